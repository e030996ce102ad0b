"""ONNX Runtime on a CUDA GPU: bound device buffers, FP16 graphs, the whole network as one CUDA graph; nothing to build."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.backends.cuda_backend import CudaBackend, Network
from intrinsic_flow.backends.cuda_memory import Cuda, DeviceArray, load_cudart
from intrinsic_flow.backends.cuda_program import Tensors
from intrinsic_flow.backends.engine_file import graph_precision
from intrinsic_flow.backends.onnxruntime_session import check_interface
from intrinsic_flow.decomposition.bundle import Bundle, Precision
from intrinsic_flow.errors import InputError, MissingExtraError

EXTRA = "gpu"
PROVIDER = "CUDAExecutionProvider"
_FATAL = 4
_DTYPES: dict[str, np.dtype] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}


class OnnxRuntimeCuda(CudaBackend):
    """Runs a bundle's graphs on ONNX Runtime's CUDA provider.

    Sessions are made for fixed shapes, so that ONNX Runtime folds all arithmetic on shapes away and captures the graph as a
    CUDA graph, and run on the backend's stream, which orders them with copies and with one another; a new size costs a
    second or two. Two steps run as the bundle's merged graph, other numbers as one graph each for encoder, steps and
    decoder; features and latents stay on the device.

    Tuning: convolution algorithms are chosen by cuDNN's heuristics and not by trial, because what a trial picks differs
    from run to run, and with it the last bits of the result. ONNX Runtime from before June 2026 waits for a captured
    graph's end (microsoft/onnxruntime#28686): `network_many` then overlaps only the copies back. TensorRT is faster where
    engines can be built.
    """

    name = "cuda"

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision | None = None,
        device: int = 0,
        cuda_graphs: bool = True,
        channels_last: bool = False,
    ) -> None:
        """precision: None for FP16 where the bundle has such graphs. device: CUDA's number of the GPU. cuda_graphs: False
        launches every kernel from the host, to see what capturing them saves. channels_last: convolutions, and what stands
        between them, in NHWC, the layout of tensor cores; transpositions that it takes are ONNX Runtime's.

        Raises MissingExtraError without ONNX Runtime's GPU package or cuda-python, CudaError and RuntimeError without a GPU
        that they can use.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime-gpu", EXTRA) from error
        if PROVIDER not in onnxruntime.get_available_providers():
            raise MissingExtraError("onnxruntime-gpu (in place of onnxruntime)", EXTRA)
        # The libraries of CUDA and cuDNN as pip packages bring them; where those are missing, the system's are found.
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        self._ort, self._device, self._cuda_graphs = onnxruntime, device, cuda_graphs
        self._channels_last = channels_last
        self._sizes: set[tuple[object, ...]] = set()
        self._precision: Precision = precision or ("fp16" if bundle.has("encoder", "fp16") else "fp32")
        super().__init__(Cuda(load_cudart(EXTRA), device), bundle)
        with self._owner:
            # The smallest session: that the provider starts is known now and not at the first image.
            with ExitStack() as trial:
                self._session_of("decoder", (1, 3, 32, 32), trial)
            # Where cuDNN's graph interface has no plan for a convolution, ONNX Runtime takes another way and prints an
            # "error" for each, hundreds of lines in all, by its default logger. Only a provider that does not start has
            # its reason there alone, and that is past; what fails from here on raises an exception.
            onnxruntime.set_default_logger_severity(_FATAL)
            self._owner = self._owner.pop_all()

    @property
    def precision(self) -> str:
        return self._precision

    def describe(self) -> str:
        return f"ONNX Runtime {self._ort.__version__}, {PROVIDER}, device {self._device}, {self._precision}"

    def decompose(
        self, image: np.ndarray, noise: np.ndarray, steps: int, guide: np.ndarray, full: np.ndarray
    ) -> np.ndarray:
        """As one program from the second time on that these sizes come. The first time the graphs' own programs serve, of
        which pictures of different sizes share the network's: its session takes a second."""
        sizes = (image.shape, guide.shape, full.shape, steps)
        if sizes in self._sizes:
            return super().decompose(image, noise, steps, guide, full)
        self._sizes.add(sizes)
        return Backend.decompose(self, image, noise, steps, guide, full)

    def _release(self) -> None:
        """Sessions belong to programs."""

    def _part(self, graph: str, shapes: Mapping[str, tuple[int, ...]], owner: ExitStack) -> _Session:
        return self._session(graph, shapes, owner)

    def _network(self, shape: tuple[int, ...], steps: int, owner: ExitStack) -> Network:
        if steps != 2 or not self._bundle.has("decompose_2step", self._precision):
            return super()._network(shape, steps, owner)
        merged = self._session_of("decompose_2step", shape, owner)

        def enqueue(image: DeviceArray, noise: DeviceArray, albedo: DeviceArray, stream: Any) -> None:
            merged.enqueue({"image": image, "z": noise, "albedo": albedo}, stream)

        return Network(merged.inputs["image"], merged.inputs["z"], merged.outputs["albedo"], enqueue, [merged])

    def _session_of(self, graph: str, shape: tuple[int, ...], owner: ExitStack) -> _Session:
        """A graph's session for images of a shape."""
        return self._session(graph, self._shapes(graph, shape), owner)

    def _session(self, graph: str, shapes: Mapping[str, tuple[int, ...]], owner: ExitStack) -> _Session:
        """A graph's session for these shapes. Raises InputError where it does not load, RuntimeError without a GPU."""
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
            "enable_cuda_graph": str(int(self._cuda_graphs)),
            "user_compute_stream": str(int(self._streams.compute)),
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": "0",
            **({"prefer_nhwc": "1"} if self._channels_last else {}),
        }
        try:
            session = _Session(ort, path, options, provider, self._cuda, owner)
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            reason = " ".join(str(error).split())
            # Its traceback would keep what there is of the session beyond the stream's end.
            cause = error.with_traceback(None)
            raise InputError(path, f"a graph that does not load ({reason})", "an intact bundle and a CUDA GPU") from cause
        check_interface([*session.inputs, *session.outputs], spec, path)
        if session.provider != PROVIDER:
            raise RuntimeError(
                f"ONNX Runtime chose {session.provider} instead of {PROVIDER}: no usable GPU, or not the libraries of "
                'CUDA and cuDNN that it was built for: pip install "intrinsic-flow[gpu]"'
            )
        return session


class _Session:
    """A session of fixed shapes on the backend's stream. inputs, outputs: their shapes and dtypes by name.

    ONNX Runtime's own object is held nowhere else, so that it ends with the owner: before the stream that it uses.
    """

    def __init__(
        self, ort: Any, path: Path, options: Any, provider: Mapping[str, str], cuda: Cuda, owner: ExitStack
    ) -> None:
        self._ort, self._cuda = ort, cuda
        self._runs: dict[tuple[int, ...], tuple[Any, Any]] = {}
        self._session = ort.InferenceSession(os.fspath(path), options, providers=[(PROVIDER, provider)])
        owner.callback(self._release)
        self.provider = self._session.get_providers()[0]
        self.inputs, self.outputs = _tensors(self._session.get_inputs()), _tensors(self._session.get_outputs())

    def enqueue(self, tensors: Tensors, stream: Any) -> None:
        """Puts one run over those of these tensors that it has on the stream, which is the one that it was made for.

        Each set of addresses is captured at its first run.
        """
        addresses = tuple(tensors[name].pointer for name in (*self.inputs, *self.outputs))
        if addresses not in self._runs:
            self._runs[addresses] = self._bind(tensors)
        binding, options = self._runs[addresses]
        self._session.run_with_iobinding(binding, options)

    def capturable(self, stream: Any) -> bool:
        """No: ONNX Runtime captures by itself, at the first run over a set of addresses."""
        return False

    def _bind(self, tensors: Tensors) -> tuple[Any, Any]:
        binding, device = self._session.io_binding(), self._cuda.device
        for names, bind in ((self.inputs, binding.bind_input), (self.outputs, binding.bind_output)):
            for name in names:
                array = tensors[name]
                bind(name, "cuda", device, array.dtype.type, array.shape, array.pointer)
        options = self._ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(len(self._runs) + 1))
        # What follows is ordered by events on the stream; waiting is for who reads the result.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        return binding, options

    def _release(self) -> None:
        # Work under way uses the session's memory.
        self._cuda.drain()
        self._runs.clear()
        self._session = None


def _tensors(infos: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    return {info.name: (tuple(info.shape), _DTYPES[info.type]) for info in infos}
