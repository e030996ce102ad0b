"""What the machine can do at most, measured beside the candidates: a large matrix product and a large copy."""

from __future__ import annotations

import importlib.util

import numpy as np

from intrinsic_flow.benchmarks.timing.candidate import Candidate, Row

SIDE = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}


def product_limit(precision: str, device: str, threads: int) -> Candidate | None:
    """C = A B of SIDE^3 multiply-accumulates in "fp32" (TF32 on GPUs), "bf16" or "fp16"; None where there is no way.

    By PyTorch, or by NumPy where that is missing, which has FP32 only and its own number of threads. On CPUs PyTorch
    multiplies as a 1x1 convolution, which oneDNN computes: `torch.mm` goes to MKL in FP32, whose product takes twice the
    time on CPUs that are not Intel's.
    """
    side = SIDE[device]
    labels = {"backend": "limit", "graph": "matrix product", "precision": precision, "device": device, "threads": threads}
    if importlib.util.find_spec("torch") is None:
        if (precision, device) != ("fp32", "cpu"):
            return None
        left, right, out = (np.ones((side, side), np.float32) for _ in range(3))
        return Candidate({**labels, "gmac": side**3 / 1e9}, lambda: np.matmul(left, right, out=out), 1)
    import torch

    torch.set_num_threads(threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    a, b, c = (torch.randn(side, side, device=device).to(dtype) for _ in range(3))
    # Row i of A is pixel i of an image of `side` channels, channels last.
    pixels, kernel = a.reshape(1, 64, side // 64, side).permute(0, 3, 1, 2), b[:, :, None, None]

    def call() -> None:
        if device == "cpu":
            with torch.inference_mode():
                torch.nn.functional.conv2d(pixels, kernel)
        else:
            torch.mm(a, b, out=c)
            _wait(device)

    return Candidate({**labels, "gmac": side**3 / 1e9}, call, 1)


def copy_limit(device: str) -> Candidate:
    """A copy of COPY_BYTES inside the device's memory; read and written bytes both count."""
    count = COPY_BYTES[device] // 4
    labels = {"backend": "limit", "graph": "copy", "precision": "", "device": device, "gigabytes": 2 * 4 * count / 1e9}
    if device == "cpu":
        source, target = np.ones(count, np.float32), np.zeros(count, np.float32)
        return Candidate(labels, lambda: np.copyto(target, source), 1)
    import torch

    a, b = torch.ones(count, device=device), torch.zeros(count, device=device)

    def call() -> None:
        b.copy_(a)
        _wait(device)

    return Candidate(labels, call, 1)


def limit_row(candidate: Candidate) -> Row:
    """The candidate's row with what it reached in its fastest call: "gmac_per_second" or "gigabytes_per_second"."""
    row = candidate.row()
    row.pop("frames_per_second")
    for unit in ("gmac", "gigabytes"):
        if unit in row:
            row[f"{unit}_per_second"] = round(row.pop(unit) * 1e3 / row["min_ms"], 1)
    return row


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
