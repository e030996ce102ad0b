"""ONNX Runtime on a CUDA GPU: bound device buffers, FP16 graphs, the whole network as one CUDA graph; no plan to build."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from runtime.bundle import Bundle, Precision
from runtime.engines.base import Engine
from runtime.engines.onnxruntime_session import check_interface
from runtime.engines.plan import graph_precision
from runtime.errors import InputError, MissingExtraError

MAX_PROGRAMS = 6
PROVIDER = "CUDAExecutionProvider"


class OnnxRuntimeCuda(Engine):
    """Runs a bundle's graphs on ONNX Runtime's CUDA provider.

    Sessions are made for fixed shapes, so that ONNX Runtime folds all arithmetic on shapes away and the graph can be
    captured as a CUDA graph; a new size costs a second or two, and the MAX_PROGRAMS latest stay. Two steps run as the
    bundle's merged graph; for other numbers, features and latents are bound from one graph to the next on the device.

    Tuning: convolution algorithms are chosen by cuDNN's heuristics and not by trial, because what a trial picks differs
    from run to run, and with it the last bits of the result. TensorRT is faster where plans can be built.
    """

    name = "cuda"

    def __init__(self, bundle: Bundle, *, precision: Precision | None = None, device: int = 0) -> None:
        """precision: None for FP16 where the bundle has such graphs. device: CUDA's number of the GPU.

        Raises MissingExtraError without ONNX Runtime's GPU package.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime-gpu", "gpu") from error
        if PROVIDER not in onnxruntime.get_available_providers():
            raise MissingExtraError("onnxruntime-gpu (in place of onnxruntime)", "gpu")
        # The libraries of CUDA and cuDNN as pip packages bring them; where those are missing, the system's are found.
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        self._ort, self._bundle, self._device = onnxruntime, bundle, device
        self._precision: Precision = precision or ("fp16" if bundle.has("encoder", "fp16") else "fp32")
        self._programs: OrderedDict[tuple[object, ...], _Program] = OrderedDict()
        self._closed = False
        # The smallest session: that the provider starts is known now and not at the first image.
        self._session("decoder", {"z": (1, 12, 4, 4)})

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph. Raises InputError when it cannot be loaded, RuntimeError where the GPU does not take it."""
        shapes = {name: tuple(value.shape) for name, value in feeds.items()}
        key = (graph, *sorted(shapes.items()))
        return self._program(key, lambda: self._graph_program(graph, shapes))(feeds)

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        """As one CUDA graph for two steps; for others as one each for encoder, steps and decoder."""
        feeds = {"image": image, "z": noise}
        if steps == 2 and self._bundle.has("decompose_2step", self._precision):
            return self.run("decompose_2step", feeds)["albedo"]
        key = ("network", image.shape, steps)
        return self._program(key, lambda: self._network_program(image.shape, steps))(feeds)["albedo"]

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"ONNX Runtime {self._ort.__version__}, {PROVIDER}, device {self._device}, {self._precision}"

    def close(self) -> None:
        """Drops sessions and buffers, and with them the device memory."""
        self._programs.clear()
        self._closed = True

    def _program(self, key: tuple[object, ...], build: Callable[[], _Program]) -> _Program:
        if self._closed:
            raise RuntimeError("the engine is closed")
        if key not in self._programs:
            # Room first: memory on the device is what there is least of.
            while len(self._programs) >= MAX_PROGRAMS:
                self._programs.popitem(last=False)
            self._programs[key] = build()
        self._programs.move_to_end(key)
        return self._programs[key]

    def _graph_program(self, graph: str, shapes: Mapping[str, tuple[int, ...]]) -> _Program:
        session = self._session(graph, shapes)
        inputs, outputs = self._tensors(session.get_inputs()), self._tensors(session.get_outputs())
        return _Program(inputs, outputs, [self._launch(session, {**inputs, **outputs}, "1")])

    def _network_program(self, shape: tuple[int, ...], steps: int) -> _Program:
        sizes = {"batch": shape[0], "h": shape[2] // 32, "w": shape[3] // 32}
        sessions = {}
        for graph in ("encoder", "velocity_step", "decoder"):
            spec = self._bundle.spec(graph, graph_precision(graph, self._precision))
            sessions[graph] = self._session(graph, {tensor.name: tensor.resolve(**sizes) for tensor in spec.inputs})
        encoder, step, decoder = sessions.values()
        image, features = self._tensors(encoder.get_inputs()), self._tensors(encoder.get_outputs())
        noise = self._tensors(step.get_inputs()[:1])["z"]
        # Each step reads one and writes the other; the noise itself stays for the next call.
        latents = [self._tensors(step.get_outputs())["z_next"] for _ in range(min(2, steps))]
        albedo = self._tensors(decoder.get_outputs())
        launches, z = [self._launch(encoder, {**image, **features}, "1")], noise
        for index in range(steps):
            time = {"t": self._constant(index / steps), "dt": self._constant(1 / steps)}
            tensors = {"z": z, **time, **features, "z_next": latents[index % 2]}
            # Captured apart: each has addresses of its own.
            launches.append(self._launch(step, tensors, str(index + 1)))
            z = latents[index % 2]
        launches.append(self._launch(decoder, {"z": z, **albedo}, "1"))
        return _Program({**image, "z": noise}, albedo, launches)

    def _session(self, graph: str, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        ort, precision = self._ort, graph_precision(graph, self._precision)
        path, spec = self._bundle.path(graph, precision), self._bundle.spec(graph, precision)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        for tensor in spec.inputs:
            for dim, side in zip(tensor.shape, shapes[tensor.name], strict=True):
                if isinstance(dim, str):
                    options.add_free_dimension_override_by_name(dim, side)
        provider = {
            "device_id": str(self._device),
            "enable_cuda_graph": "1",
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": "0",
        }
        try:
            session = ort.InferenceSession(os.fspath(path), options, providers=[(PROVIDER, provider)])
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            reason = " ".join(str(error).split())
            raise InputError(path, f"a graph that does not load ({reason})", "an intact bundle and a CUDA GPU") from error
        check_interface(session, spec, path)
        if session.get_providers()[0] != PROVIDER:
            raise RuntimeError(
                f"ONNX Runtime chose {session.get_providers()[0]} instead of {PROVIDER}: no usable GPU, or not the "
                'libraries of CUDA and cuDNN that it was built for: pip install "intrinsic-flow[gpu]"'
            )
        return session

    def _tensors(self, infos: Any) -> dict[str, Any]:
        dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        make = self._ort.OrtValue.ortvalue_from_shape_and_type
        return {info.name: make(info.shape, dtypes[info.type], "cuda", self._device) for info in infos}

    def _constant(self, value: float) -> Any:
        return self._ort.OrtValue.ortvalue_from_numpy(np.array([value], np.float32), "cuda", self._device)

    def _launch(self, session: Any, tensors: Mapping[str, Any], graph_id: str) -> _Launch:
        binding = session.io_binding()
        for info in session.get_inputs():
            binding.bind_ortvalue_input(info.name, tensors[info.name])
        for info in session.get_outputs():
            binding.bind_ortvalue_output(info.name, tensors[info.name])
        options = self._ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", graph_id)
        return _Launch(session, binding, options)


class _Launch:
    """One run of a session over bound device memory; the second or third run is captured, later ones are replayed."""

    def __init__(self, session: Any, binding: Any, options: Any) -> None:
        self._session, self._binding, self._options = session, binding, options

    def __call__(self) -> None:
        # A binding orders neither the copies before a run nor other sessions' work: each is a stream of its own.
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding, self._options)
        self._binding.synchronize_outputs()


class _Program:
    """Launches in order, over inputs that are overwritten in place."""

    def __init__(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], launches: list[_Launch]) -> None:
        self._inputs, self._outputs, self._launches = inputs, outputs, launches
        self._dtypes = {
            name: np.float16 if value.data_type() == "tensor(float16)" else np.float32 for name, value in inputs.items()
        }

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, value in self._inputs.items():
            value.update_inplace(np.ascontiguousarray(feeds[name], self._dtypes[name]))
        for launch in self._launches:
            launch()
        return {name: value.numpy().astype(np.float32, copy=False) for name, value in self._outputs.items()}
