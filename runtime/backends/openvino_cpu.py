"""OpenVINO on the CPU: reduced precision where the CPU computes it, which ONNX Runtime's CPU provider cannot."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import InputError, MissingExtraError

# What a compiled graph keeps for each input shape takes up to 15 MB and is never given back by itself.
MAX_SHAPES = 16

CpuPrecision = Literal["fp32", "reduced"]
_HINTS = {"BF16": "bf16", "FP16": "f16"}


@functools.cache
def _core() -> Any:
    """The process's one core.

    It is never given back: on CPUs with AMX the plugin provides the stack that signals are handled on, and takes its memory
    away when the last core goes, so that the next Ctrl-C would crash the process.
    """
    import openvino

    return openvino.Core()


class OpenVinoCpu(Backend):
    """Runs the FP32 graphs on OpenVINO's CPU plugin, or another one (`device`), which chooses the arithmetic's precision
    when it compiles them.

    Graphs keep their dynamic shapes: compiled for one size they run a tenth faster, but each new size costs half a second.
    A graph that has seen MAX_SHAPES sizes is compiled anew, which bounds its memory.

    Tuning: "reduced" is BF16 (or FP16) matrix arithmetic on FP32 sums, about twice as fast on CPUs with AMX or
    AVX512-BF16 and at least 55 dB PSNR from FP32 (60 in FP16); the shading stays FP32 in any case. Two steps run as one
    graph.
    """

    name = "openvino"
    # It keeps more of the upsampler's intermediate results than ONNX Runtime does.
    strip_pixels = 1 << 20

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        precision: CpuPrecision | None = None,
        device: Literal["CPU", "GPU", "NPU"] = "CPU",
    ) -> None:
        """threads: of one inference on the CPU; None lets OpenVINO take the physical cores.

        precision: None for reduced where this processor has it and FP32 elsewhere. device: of OpenVINO; GPU and NPU are
        wired and untested. Raises MissingExtraError, RuntimeError without the device, and ValueError for "reduced" on a
        processor that has none.
        """
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtraError("openvino", "openvino") from error
        if threads is not None and threads < 1:
            raise ValueError(f"threads {threads}, expected at least 1")
        self._bundle = bundle
        self._version = openvino.__version__.split("-")[0]
        self._core = _core()
        self._device = device
        self.on_cpu = device == "CPU"
        if device != "CPU":
            self.name = f"openvino-{device.lower()}"
        if not any(found.split(".")[0] == device for found in self._core.available_devices):
            raise RuntimeError(f"OpenVINO finds {', '.join(self._core.available_devices)}, no {device}")
        has = self._core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        reduced = next((hint for name, hint in _HINTS.items() if name in has), None)
        if precision == "reduced" and reduced is None:
            raise ValueError(f"precision 'reduced', expected 'fp32': this {device} has neither BF16 nor FP16 arithmetic")
        self._hint = "f32" if precision == "fp32" or reduced is None else reduced
        self._options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None and device == "CPU":
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._threads = threads
        self._requests: dict[str, Any] = {}
        self._shapes: dict[str, set[tuple[object, ...]]] = {}
        self._closed = False

    @property
    def precision(self) -> str:
        return self._hint if self._hint == "bf16" else f"fp{self._hint[1:]}"

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph on float32 inputs. Raises InputError when the graph's file cannot be loaded."""
        if self._closed:
            raise RuntimeError("the backend is closed")
        feeds = {name: np.ascontiguousarray(feeds[name]) for name in self._bundle.spec(graph).input_names}
        shapes = tuple((name, feeds[name].shape) for name in sorted(feeds))
        seen = self._shapes.setdefault(graph, set())
        if shapes not in seen and len(seen) >= MAX_SHAPES:
            self._requests.pop(graph, None)
            seen.clear()
        request = self._requests.get(graph)
        if request is None:
            request = self._requests[graph] = self._compile(graph)
        seen.add(shapes)
        results = request.infer(feeds, share_inputs=True, share_outputs=True)
        # Copies: the request writes to the same memory the next time.
        return {name: np.array(results[name]) for name in self._bundle.spec(graph).output_names}

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        """As one graph where the bundle has it for that number of steps."""
        if steps == 2 and self._bundle.has("decompose_2step"):
            return self.run("decompose_2step", {"image": image, "z": noise})["albedo"]
        return super().network(image, noise, steps)

    def describe(self) -> str:
        threads = f"threads {self._threads}" if self._threads else "threads by default"
        return f"OpenVINO {self._version}, {self._device}, {self.precision}, {threads}"

    def close(self) -> None:
        """Drops the compiled models and with them weights and thread pools."""
        self._requests.clear()
        self._shapes.clear()
        self._closed = True

    def _compile(self, graph: str) -> Any:
        spec, path = self._bundle.spec(graph), self._bundle.path(graph)
        hint = "f32" if graph in ("low_shading", "upsampler") else self._hint
        try:
            model = self._core.read_model(os.fspath(path))
            compiled = self._core.compile_model(model, self._device, {**self._options, "INFERENCE_PRECISION_HINT": hint})
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise InputError(path, f"a graph that does not load ({reason})", "an intact bundle") from error
        # A tensor may have several names, of which `any_name` tells any.
        tensors, wanted = (*compiled.inputs, *compiled.outputs), (*spec.input_names, *spec.output_names)
        if len(tensors) != len(wanted) or any(name not in tensor.names for name, tensor in zip(wanted, tensors)):
            found = ", ".join(tensor.any_name for tensor in tensors)
            raise InputError(path, f"tensors {found}", "those that the bundle's manifest states")
        taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if taken != hint:
            raise RuntimeError(f"OpenVINO chose {taken} for {path.name}, asked for {hint}")
        (ran_on,) = {name.split(".")[0] for name in compiled.get_property("EXECUTION_DEVICES")}
        if ran_on != self._device:
            raise RuntimeError(f"OpenVINO chose {ran_on} for {path.name}, asked for {self._device}")
        return compiled.create_infer_request()
