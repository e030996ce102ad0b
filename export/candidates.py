"""What parity compares with PyTorch: the same graphs in other libraries and precisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np
import onnxruntime

from intrinsic_flow.backends import open_backend
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition.bundle import Bundle, Precision, graph_specs
from intrinsic_flow.export.verify import BF16_MIN_PSNR, FP16_MIN_PSNR, STEPS, run_loop, runner

CANDIDATES = (
    *("onnx-fp32", "onnx-fp16", "openvino-reduced", "cuda-fp32", "cuda"),
    *("tensorrt", "tensorrt-rtx"),
)


class Candidate(Protocol):
    """A backend that computes a bundle's graphs. min_psnr: dB of the whole loop; None where the limits of FP32 hold."""

    name: str
    min_psnr: float | None
    graphs: tuple[str, ...]

    def describe(self) -> str:
        """Library, version, device and precision."""
        ...

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One graph on float32 inputs."""
        ...

    def network(self, image: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The whole loop in STEPS steps: (B, 3, H, W), (B, 12, H/8, W/8) -> albedo (B, 3, H, W)."""
        ...

    def close(self) -> None: ...


class OnnxCandidate:
    """The bundle's graphs of one precision on ONNX Runtime's CPU provider."""

    def __init__(self, bundle: Bundle, precision: Precision):
        self.name = f"onnx-{precision}"
        self.min_psnr = None if precision == "fp32" else FP16_MIN_PSNR
        specs = graph_specs(bundle.network, precision)
        self.graphs = tuple(graph for graph in specs if bundle.has(graph, precision))
        self._run = runner(bundle.folder, specs, precision)

    def describe(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider, {self.name.removeprefix('onnx-')} graphs"

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._run(graph, inputs)

    def network(self, image: np.ndarray, z: np.ndarray) -> np.ndarray:
        return run_loop(self._run, image, z)

    def close(self) -> None:
        del self._run


class BackendCandidate:
    """One of the runtime's backends."""

    def __init__(self, name: str, bundle: Bundle, opened: Backend, graphs: tuple[str, ...]):
        self.min_psnr: float | None = {"bf16": BF16_MIN_PSNR, "fp16": FP16_MIN_PSNR}.get(opened.precision)
        self.name, self._bundle, self._backend, self.graphs = name, bundle, opened, graphs

    def describe(self) -> str:
        return self._backend.describe()

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = self._bundle.spec(graph).input_names
        return self._backend.run(graph, {name: np.asarray(inputs[name], np.float32) for name in names})

    def network(self, image: np.ndarray, z: np.ndarray) -> np.ndarray:
        return self._backend.network(image, z, STEPS)

    def close(self) -> None:
        self._backend.close()


def open_candidate(name: str, bundle: Bundle) -> Candidate:
    """Opens a candidate. Raises MissingExtraError, InputError, ValueError or RuntimeError that say why there is none."""
    openers: dict[str, Callable[[], Candidate]] = {
        "onnx-fp32": lambda: OnnxCandidate(bundle, "fp32"),
        "onnx-fp16": lambda: OnnxCandidate(bundle, "fp16"),
        "openvino-reduced": lambda: _backend(name, bundle, "openvino", precision="reduced"),
        "cuda-fp32": lambda: _backend(name, bundle, "cuda", precision="fp32"),
    }
    return openers.get(name, lambda: _backend(name, bundle, name))()


def _backend(name: str, bundle: Bundle, backend: str, precision: Literal["fp32", "reduced"] | None = None) -> Candidate:
    opened = open_backend(bundle, backend, precision=precision)
    # The loop as one file is for ONNX libraries; TensorRT has no engine of it and runs the loop itself.
    merged = backend.startswith("tensorrt") or not bundle.has("decompose_2step")
    graphs = ("encoder", "velocity_step", "decoder", *(() if merged else ("decompose_2step",)), "low_shading", "upsampler")
    return BackendCandidate(name, bundle, opened, graphs)
