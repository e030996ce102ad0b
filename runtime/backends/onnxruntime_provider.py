"""ONNX Runtime on other processors: execution providers that come as plug-ins (WebGPU) or with a wheel of their own.

Wired and hardly tested: docs/backends.md says what ran where. "auto" never takes one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from intrinsic_flow.backends.onnxruntime_cpu import OnnxRuntimeCpu
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import MissingExtraError


@dataclass(frozen=True)
class Provider:
    """One of ONNX Runtime's execution providers.

    name: ONNX Runtime's. extra: brings it. plug_in: the module of a plug-in library, None where ONNX Runtime's own wheel
    has the provider built in. processors: what it runs on.
    """

    name: str
    extra: str
    plug_in: str | None
    processors: str


PROVIDERS = {
    "webgpu": Provider("WebGpuExecutionProvider", "webgpu", "onnxruntime_ep_webgpu", "GPUs through Vulkan, D3D12 or Metal"),
    "coreml": Provider("CoreMLExecutionProvider", "cpu", None, "Apple's GPUs and Neural Engine"),
    "directml": Provider("DmlExecutionProvider", "directml", None, "GPUs through Direct3D 12"),
}


class OnnxRuntimeProvider(OnnxRuntimeCpu):
    """Runs the FP32 graphs on a provider; operators that it lacks run on the CPU, as ONNX Runtime divides them.

    Tuning: none was tried. FP16 graphs were not tried on any of them.
    """

    on_cpu = False

    def __init__(self, bundle: Bundle, backend: str, *, threads: int | None = None) -> None:
        """backend: of PROVIDERS. Raises MissingExtraError without the provider's library, RuntimeError without a device
        that it can use."""
        super().__init__(bundle, threads=threads)
        self.name, known = backend, PROVIDERS[backend]
        self.provider = known.name
        ort = self._onnxruntime
        self._devices: list[Any] = []
        if known.plug_in is None:
            if known.name not in ort.get_available_providers():
                raise MissingExtraError(f"an onnxruntime with {known.name}", known.extra)
            return
        try:
            plug_in = importlib.import_module(known.plug_in)
        except ModuleNotFoundError as error:
            raise MissingExtraError(known.plug_in, known.extra) from error
        if not hasattr(ort, "register_execution_provider_library"):
            raise RuntimeError(f"onnxruntime {ort.__version__}, expected one that takes plug-ins (1.24.4 or later)")
        _register(ort, known.name, plug_in.get_library_path())
        self._devices = [device for device in ort.get_ep_devices() if device.ep_name == known.name][:1]
        if not self._devices:
            raise RuntimeError(f"{known.name} finds none of {known.processors}")

    def parallel(self) -> None:
        """None: the device has no cores to divide."""

    def _select(self, options: Any) -> list[str] | None:
        if not self._devices:
            if self.name == "directml":
                options.enable_mem_pattern = False  # which the provider does not allow
            return [self.provider]
        # A plug-in that is named in `providers` is left out without a word, and the CPU runs the graph.
        options.add_provider_for_devices(self._devices, {})
        return None


_registered: set[str] = set()


def _register(ort: Any, name: str, library: str) -> None:
    """Once in a process: a second time is an error."""
    if name not in _registered:
        ort.register_execution_provider_library(name, library)
        _registered.add(name)
