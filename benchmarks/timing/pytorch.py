"""A bundle's networks in PyTorch, eager and compiled: what the runtime's latency is compared with. Needs torch."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from intrinsic_flow.benchmarks.timing.workload import Call, Variant, Workload
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.export.graphs.half import half_copy
from intrinsic_flow.export.weights import load_model
from intrinsic_flow.train.networks.model import IntrinsicFlow

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# Inductor packs weights for the CPU's matrix kernels only when it may treat them as constants ("freezing").
COMPILED = ("default", "default, freezing", "max-autotune, freezing")
REDUCED = {"cpu": "bf16", "cuda": "fp16"}


def device() -> str:
    """Where PyTorch's variants run: on the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_reduced() -> bool:
    """Whether reduced precision is arithmetic of this machine and not only emulated: BF16 on CPUs, FP16 on GPUs."""
    return device() == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def names(backend: str) -> list[str]:
    """Variants of "torch-eager" or "torch-compile", "WAY PRECISION"; the fastest one of each precision is reported."""
    ways = FORMATS if backend == "torch-eager" else COMPILED if device() == "cpu" else ("max-autotune",)
    precisions = ["fp32", *([REDUCED[device()]] if has_reduced() else [])]
    return [f"{way} {precision}" for precision in precisions for way in ways]


def open_variant(bundle: Bundle, backend: str, name: str, workload: Workload, *, stages: bool = True) -> Variant:
    """Builds a variant, compiling included. In inference mode, TF32 on GPUs, with the workload's threads.

    stages: with the parts of the network as calls of their own, where they are not compiled into one. Reduced precision:
    autocast to BF16 on CPUs, the FP16 copy with FP32 islands that the FP16 graphs come from on GPUs.
    """
    torch.set_num_threads(workload.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    where = device()
    way, _, precision = name.rpartition(" ")
    model = load_model(bundle)
    if precision == "fp16":
        model = half_copy(model)
    layout = FORMATS.get(way, torch.channels_last if where == "cuda" else torch.contiguous_format)
    # A documented overload that torch's stub lacks.
    model = model.to(where).to(memory_format=layout)  # type: ignore[call-overload]
    run = _Run(model, workload, where, layout, precision)
    if backend == "torch-compile":
        run.compile(way)
    calls: dict[str, Call] = {"network": run.network, **(run.stages() if stages and backend == "torch-eager" else {})}
    phases = run.phases if where == "cuda" else None
    return Variant(backend, precision, way, where, calls, run.network, phases, [run.close])


def runs_in_a_process_of_its_own(bundle: Bundle, backend: str, name: str, workload: Workload) -> bool:
    """Whether a variant runs at all; some torch builds crash the process in channels-last kernels."""
    process = multiprocessing.get_context("spawn").Process(target=_run_once, args=(bundle.folder, backend, name, workload))
    process.start()
    process.join()
    return process.exitcode == 0


def _run_once(folder: str, backend: str, name: str, workload: Workload) -> None:
    open_variant(Bundle.load(folder), backend, name, workload, stages=False).calls["network"]()


class _Run:
    """One model on one workload. Host arrays in and out, from pinned memory where there is a device."""

    def __init__(self, model: IntrinsicFlow, workload: Workload, where: str, layout: torch.memory_format, precision: str):
        self._steps, self._device, self._precision = workload.steps, where, precision
        self._model = model
        self._function: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor] = model
        dtype = torch.float16 if precision == "fp16" else torch.float32
        image = torch.from_numpy(workload.image).to(dtype).contiguous(memory_format=layout)
        noise = torch.from_numpy(workload.noise).contiguous(memory_format=layout)
        self._host = (image.pin_memory(), noise.pin_memory()) if where == "cuda" else (image, noise)

    def compile(self, way: str) -> None:
        mode, _, freezing = way.partition(", ")
        torch._dynamo.reset()
        # Read when the first call compiles, which is therefore here.
        with torch._inductor.config.patch(freezing=bool(freezing)):
            self._function = torch.compile(self._model, mode=mode)
            self.network()

    def network(self) -> np.ndarray:
        with torch.inference_mode(), self._cast():
            image, noise = self._upload()
            return self._function(image, noise, self._steps).float().cpu().numpy()

    def stages(self) -> dict[str, Call]:
        model = self._model
        with torch.inference_mode(), self._cast():
            image, noise = self._upload()
            t, dt = (torch.full((1,), value, device=self._device) for value in (0.0, 1 / self._steps))
            features = model.encoder(image)
        return {
            "encoder": self._stage(model.encoder, image),
            "velocity_step": self._stage(model.velocity_step, noise, t, dt, features),
            "decoder": self._stage(model.vae.decode, noise),
        }

    def phases(self) -> Mapping[str, float]:
        """One call's parts by CUDA events, and how long the host took to enqueue its kernels, ms."""
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        with torch.inference_mode():
            torch.cuda.synchronize()
            marks[0].record()
            image, noise = self._upload()
            marks[1].record()
            start = time.perf_counter()
            albedo = self._function(image, noise, self._steps)
            enqueue = (time.perf_counter() - start) * 1e3
            marks[2].record()
            albedo.float().cpu()
            marks[3].record()
            torch.cuda.synchronize()
        h2d, compute, d2h = (a.elapsed_time(b) for a, b in zip(marks, marks[1:]))
        return {"h2d_ms": h2d, "compute_ms": compute, "d2h_ms": d2h, "enqueue_ms": enqueue}

    def close(self) -> None:
        del self._model, self._function
        torch._dynamo.reset()

    def _stage(self, function: Callable[..., object], *arguments: object) -> Call:
        def call() -> None:
            with torch.inference_mode(), self._cast():
                function(*arguments)
            if self._device == "cuda":
                torch.cuda.synchronize()

        return call

    def _upload(self) -> list[torch.Tensor]:
        return [x.to(self._device, non_blocking=True) for x in self._host]

    def _cast(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16) if self._precision == "bf16" else nullcontext()
