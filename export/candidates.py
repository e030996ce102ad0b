"""What parity compares with PyTorch: the same graphs in other libraries and precisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import onnxruntime

from intrinsic_flow.backends import open_backend
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition.bundle import Bundle, NetworkInterface, Precision, graph_file, graph_specs
from intrinsic_flow.export.cases import STEPS

FP16_MIN_PSNR = 60.0
# BF16 keeps three bits less than FP16, 18 dB; an albedo of 55 dB is off by less than half of an 8-bit step.
BF16_MIN_PSNR = 55.0

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
    """The graphs of one precision in a bundle's folder, finished or not, on ONNX Runtime's CPU provider."""

    def __init__(self, folder: Path, network: NetworkInterface, precision: Precision):
        self.name = f"onnx-{precision}"
        self.min_psnr = None if precision == "fp32" else FP16_MIN_PSNR
        self._specs = graph_specs(network, precision)
        self._files = {graph: folder / graph_file(graph, precision) for graph in self._specs}
        self.graphs = tuple(graph for graph, file in self._files.items() if file.is_file())
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def describe(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider, {self.name.removeprefix('onnx-')} graphs"

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            file = str(self._files[graph])
            self._sessions[graph] = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        spec = self._specs[graph]
        feeds = {tensor.name: inputs[tensor.name].astype(tensor.dtype) for tensor in spec.inputs}
        return dict(zip(spec.output_names, self._sessions[graph].run(list(spec.output_names), feeds), strict=True))

    def network(self, image: np.ndarray, z: np.ndarray) -> np.ndarray:
        features = self.run("encoder", {"image": image})
        dt = np.full(1, 1 / STEPS, np.float32)
        for step in range(STEPS):
            t = np.full(1, step / STEPS, np.float32)
            z = self.run("velocity_step", {"z": z, "t": t, "dt": dt, **features})["z_next"]
        return self.run("decoder", {"z": z, "image": image})["albedo"]

    def close(self) -> None:
        self._sessions.clear()


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
        "onnx-fp32": lambda: OnnxCandidate(bundle.folder, bundle.network, "fp32"),
        "onnx-fp16": lambda: OnnxCandidate(bundle.folder, bundle.network, "fp16"),
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
