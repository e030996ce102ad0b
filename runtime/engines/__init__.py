"""Engines: what executes a bundle's graphs. `open_engine` chooses one by name.

Each engine is a module of its own that imports its library when it is opened, so that `import runtime.engines` needs
none of them.
"""

from __future__ import annotations

from runtime.bundle import Bundle
from runtime.engines.base import Engine

BACKENDS = ("auto", "cpu")


def open_engine(bundle: Bundle, backend: str = "auto", *, threads: int | None = None, spinning: bool = False) -> Engine:
    """Opens the engine for a backend.

    backend: one of BACKENDS; "auto" takes the fastest that this machine has.
    threads, spinning: see `onnxruntime_cpu.OnnxRuntimeCpu`.
    Raises ValueError for an unknown backend, MissingExtraError where its library is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r}, expected one of {', '.join(BACKENDS)}")
    from runtime.engines.onnxruntime_cpu import OnnxRuntimeCpu

    return OnnxRuntimeCpu(bundle, threads=threads, spinning=spinning)
