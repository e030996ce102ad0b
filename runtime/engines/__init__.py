"""Engines: what executes a bundle's graphs. `open_engine` chooses one by name.

Each engine is a module of its own that imports its library when it is opened, so that `import runtime.engines` needs
none of them.
"""

from __future__ import annotations

from typing import Literal

from runtime.bundle import Bundle
from runtime.engines.base import Engine

BACKENDS = ("auto", "cpu", "openvino")


def open_engine(
    bundle: Bundle,
    backend: str = "auto",
    *,
    threads: int | None = None,
    spinning: bool = False,
    precision: Literal["fp32", "reduced"] | None = None,
) -> Engine:
    """Opens the engine for a backend.

    backend: one of BACKENDS; "auto" takes the fastest that this machine has.
    threads: of the CPU engines. spinning: see `onnxruntime_cpu.OnnxRuntimeCpu`. precision: see each engine.
    Raises ValueError for an unknown backend, MissingExtraError where its library is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r}, expected one of {', '.join(BACKENDS)}")
    if backend == "openvino":
        from runtime.engines.openvino_cpu import OpenVinoCpu

        return OpenVinoCpu(bundle, threads=threads, precision=precision)
    from runtime.engines.onnxruntime_cpu import OnnxRuntimeCpu

    return OnnxRuntimeCpu(bundle, threads=threads, spinning=spinning)
