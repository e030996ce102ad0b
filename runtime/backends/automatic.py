"""`auto`: the fastest backend that this machine has for a bundle, and why it is that one."""

from __future__ import annotations

from collections.abc import Callable

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.backends.gpu import find_gpu, why_no_gpu
from intrinsic_flow.errors import InputError, MissingExtraError

ON_GPU = ("tensorrt", "tensorrt-rtx", "cuda")


def open_fastest(open_by_name: Callable[[str], Backend], *, device: int = 0, exact: bool = False) -> Backend:
    """TensorRT where engines fit, ONNX Runtime on CUDA, then OpenVINO where the CPU computes in BF16 or FP16, then ONNX
    Runtime on the CPU. `choice` of the result says which and why.

    open_by_name: opens a backend by name. exact: FP32 is asked for, in which OpenVINO is no faster than ONNX Runtime.
    Raises as `open_by_name` does for the last.
    """
    reasons: list[str] = []
    if find_gpu(device) is None:
        reasons.append(f"no GPU: {why_no_gpu(device)}")
    else:
        for backend in ON_GPU:
            try:
                return _chosen(open_by_name(backend), reasons)
            except (MissingExtraError, InputError, RuntimeError) as error:
                reasons.append(f"not {backend}: {_one_line(error)}")
    if exact:
        reasons.append("not openvino: no faster in fp32")
    else:
        try:
            # Without, it would load longer and take more memory for nothing.
            return _chosen(open_by_name("openvino"), reasons)
        except (MissingExtraError, ValueError) as error:
            reasons.append(f"not openvino: {_one_line(error)}")
    return _chosen(open_by_name("cpu"), reasons)


def _chosen(opened: Backend, reasons: list[str]) -> Backend:
    opened.choice = f"{opened.name} ({'; '.join(reasons)})" if reasons else opened.name
    return opened


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
