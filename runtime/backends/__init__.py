"""Backends: what executes a bundle's graphs. `open_backend` chooses one by name.

Each is a module of its own that imports its library when it is opened, so that `import intrinsic_flow.backends` needs none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition.bundle import Bundle, Precision

Arithmetic = Literal["fp32", "reduced"]
OpenVinoDevice = Literal["CPU", "GPU", "NPU"]
#: Wired, and not tested on what they are for; "auto" never takes them.
UNTESTED = ("webgpu", "coreml", "directml", "openvino-gpu", "openvino-npu")
BACKENDS = ("auto", "cpu", "openvino", "cuda", "tensorrt", "tensorrt-rtx", *UNTESTED)
#: The packages of the libraries that they run on, whose versions reports state.
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx")
#: Names that commands took once, and still take.
_ALIASES = {"onnxruntime-cpu": "cpu", "onnxruntime-cuda": "cuda", "onnxruntime-cuda-fp32": "cuda-fp32"}
OPENVINO_DEVICES: dict[str, OpenVinoDevice] = {"openvino": "CPU", "openvino-gpu": "GPU", "openvino-npu": "NPU"}
TENSORRT_FLAVORS: dict[str, Literal["tensorrt", "rtx"]] = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}


def backend_name(text: str) -> str:
    """A backend's name of today, for an option's text."""
    return _ALIASES.get(text, text)


def open_backend(
    bundle: Bundle,
    backend: str = "auto",
    *,
    threads: int | None = None,
    precision: Arithmetic | None = None,
    engines: Path | None = None,
    device: int = 0,
) -> Backend:
    """Opens a backend by its name.

    backend: one of BACKENDS; "auto" takes the fastest that this machine has (`automatic`), every other name that and none
    else. threads: of the CPU backends. engines: folder of TensorRT engines, None for the bundle's own. device: CUDA's
    number of the GPU.
    precision: "fp32"; "reduced" for the backend's faster arithmetic (FP16 on GPUs, BF16 or FP16 in OpenVINO); None for
    reduced where backend and machine have it. TensorRT engines have the one that they were built in.
    Raises ValueError for an unknown backend, MissingExtraError where its library is not installed, RuntimeError where the
    library finds no device that it can use, InputError for engines that do not fit.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r}, expected one of {', '.join(BACKENDS)}")
    if backend == "auto":
        from intrinsic_flow.backends.automatic import open_fastest

        def opened(name: str) -> Backend:
            # OpenVINO only in its faster arithmetic, which it refuses on a CPU that has none.
            wanted: Arithmetic | None = "reduced" if name == "openvino" else precision
            return open_backend(bundle, name, threads=threads, precision=wanted, engines=engines, device=device)

        return open_fastest(opened, device=device, exact=precision == "fp32")
    stored: Precision | None = None if precision is None else "fp32" if precision == "fp32" else "fp16"
    if backend in TENSORRT_FLAVORS:
        from intrinsic_flow.backends.tensorrt import TensorRt

        flavor = TENSORRT_FLAVORS[backend]
        return TensorRt(bundle, flavor=flavor, engines=engines, device=device, precision=stored)
    if backend == "cuda":
        from intrinsic_flow.backends.onnxruntime_cuda import OnnxRuntimeCuda

        return OnnxRuntimeCuda(bundle, precision=stored, device=device)
    if backend in OPENVINO_DEVICES:
        from intrinsic_flow.backends.openvino_cpu import OpenVinoCpu

        return OpenVinoCpu(bundle, threads=threads, precision=precision, device=OPENVINO_DEVICES[backend])
    if backend in UNTESTED:
        from intrinsic_flow.backends.onnxruntime_provider import OnnxRuntimeProvider

        if precision == "reduced":
            raise ValueError(f"precision 'reduced', expected 'fp32': FP16 was not tried on {backend}")
        return OnnxRuntimeProvider(bundle, backend, threads=threads)
    from intrinsic_flow.backends.onnxruntime_cpu import OnnxRuntimeCpu

    return OnnxRuntimeCpu(bundle, threads=threads)
