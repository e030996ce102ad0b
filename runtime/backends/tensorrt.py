"""TensorRT and TensorRT for RTX: the networks as built FP16 engines, captured as one CUDA graph per shape.

Buffers come from cuda-python; no torch. The runtime never builds an engine: that is `python -m export.build_trt`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.backends.cuda_backend import CudaBackend
from intrinsic_flow.backends.cuda_memory import Cuda, CudaError, load_cudart
from intrinsic_flow.backends.cuda_program import Tensors
from intrinsic_flow.backends.engine_file import (
    EXTRAS,
    LIBRARIES,
    MODULES,
    EngineSidecar,
    Flavor,
    ShapeRange,
    graph_precision,
)
from intrinsic_flow.backends.engine_files import NEEDED, find_engines
from intrinsic_flow.backends.gpu import find_gpu, why_no_gpu
from intrinsic_flow.backends.tensorrt_log import error_log
from intrinsic_flow.decomposition.bundle import Bundle, GraphSpec, Precision
from intrinsic_flow.errors import InputError, MissingExtraError


class TensorRt(CudaBackend):
    """Runs engines that `export.build_trt` built for this GPU.

    Encoder, Euler steps and decoder run as one CUDA graph per batch, size and number of steps: the image goes up, the
    albedo comes down. `decompose` is one such graph too, the upsampler included. Shapes outside the engines' profiles raise
    ValueError with the valid range.

    Tuning: build the profile's `--opt` shapes at what you run. Batches raise throughput, not latency; `network_many`
    overlaps one batch's copies with the next one's computation. Full TensorRT searches for the fastest kernels when it
    builds, TensorRT for RTX compiles them on the user's machine, at the first call of a shape.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        flavor: Flavor,
        engines: Path | None = None,
        device: int = 0,
        precision: Precision | None = None,
    ) -> None:
        """engines: folder of the engines; None for those in the bundle, where `export.build_trt` puts them.

        device: CUDA's number of the GPU. precision: that the engines must have; None takes FP16 before FP32.
        Raises MissingExtraError, CudaError without a usable GPU, and InputError where an engine is missing, damaged or not
        for this bundle, library or GPU; the message names the command that builds it.
        """
        self.name = "tensorrt" if flavor == "tensorrt" else "tensorrt-rtx"
        self._flavor = flavor
        self._graphs: dict[str, _Graph] = {}
        self._trt = _load_library(flavor)
        # The GPU first: without one, TensorRT's runtime object is one whose use ends the process.
        gpu = find_gpu(device)
        if gpu is None:
            raise CudaError(f"no GPU for {LIBRARIES[flavor]}: {why_no_gpu(device)}")
        self._gpu = gpu
        version = self._trt.__version__
        self._engines = find_engines(bundle, engines, flavor=flavor, version=version, gpu=gpu, precision=precision)
        super().__init__(Cuda(load_cudart(EXTRAS[flavor]), device), bundle)
        with self._owner:
            self._log = error_log(self._trt)
            self._runtime = self._trt.Runtime(self._log)
            for graph in NEEDED:
                self._graph(graph)
            self._owner = self._owner.pop_all()

    @property
    def precision(self) -> str:
        return self._engines.precision

    def describe(self) -> str:
        return f"{LIBRARIES[self._flavor]} {self._trt.__version__}, {self._gpu.name}, {self.precision}"

    def _release(self) -> None:
        self._graphs.clear()
        self._runtime = None

    def _graph(self, name: str) -> _Graph:
        if name not in self._graphs:
            sidecar = self._engines.sidecars.get(name)
            if sidecar is None:
                raise InputError(self._engines.folder, f"no engine of {name}", f"one ({self._engines.command})")
            spec = self._bundle.spec(name, graph_precision(name, self._engines.precision))
            self._graphs[name] = _Graph(self._trt, self._runtime, sidecar, spec, self._engines.command, self._log)
        return self._graphs[name]

    def _part(self, graph: str, shapes: Mapping[str, tuple[int, ...]], owner: ExitStack) -> _Context:
        return self._graph(graph).context(shapes, self._cuda, self._streams.compute, owner)


class _Graph:
    """An engine, deserialised and checked against the interface of its graph."""

    def __init__(self, trt: Any, runtime: Any, sidecar: EngineSidecar, spec: GraphSpec, command: str, log: Any) -> None:
        self.spec, self._trt, self._path, self._command, self._log = spec, trt, sidecar.engine, command, log
        log.forget()
        self._engine = runtime.deserialize_cuda_engine(self._path.read_bytes())
        if self._engine is None:
            raise InputError(self._path, f"an engine that does not load ({log.text()})", f"an intact one ({command})")
        self._check()

    def context(self, shapes: Mapping[str, tuple[int, ...]], cuda: Cuda, stream: Any, owner: ExitStack) -> _Context:
        """An execution context for one set of input shapes. Raises ValueError for shapes in none of the profiles."""
        profile = self._profile(shapes)
        self._log.forget()
        context = self._engine.create_execution_context(*self._runtime_config())
        if context is None:
            raise RuntimeError(f"{self._path}: no execution context ({self._log.text()})")
        self._succeed(context.set_optimization_profile_async(profile, int(stream)), "set_optimization_profile_async")
        cuda.synchronize(stream)
        for tensor in self._dynamic:
            self._succeed(context.set_input_shape(tensor.name, shapes[tensor.name]), f"set_input_shape of {tensor.name}")
        unknown = context.infer_shapes()
        if unknown:
            raise RuntimeError(f"{self._path}: shapes of {', '.join(unknown)} stay unknown")
        outputs = {
            tensor.name: (tuple(context.get_tensor_shape(tensor.name)), np.dtype(tensor.dtype))
            for tensor in self.spec.outputs
        }
        inputs = {tensor.name: (shapes[tensor.name], np.dtype(tensor.dtype)) for tensor in self.spec.inputs}
        return _Context(context, inputs, outputs, self._succeed, owner)

    @property
    def _dynamic(self) -> list[Any]:
        return [tensor for tensor in self.spec.inputs if tensor.symbols]

    def _profile(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """The profile that is tuned for the shapes nearest to these, among those that take them."""
        tensors = self._dynamic
        distances: dict[int, float] = {}
        ranges: list[str] = []
        for profile in range(self._engine.num_optimization_profiles):
            limits = {
                tensor.name: ShapeRange(*map(tuple, self._engine.get_tensor_profile_shape(tensor.name, profile)))
                for tensor in tensors
            }
            if all(limit.contains(shapes[name]) for name, limit in limits.items()):
                distances[profile] = sum(_distance(shapes[name], limit.opt) for name, limit in limits.items())
            ranges.append(", ".join(f"{name} {_sides(limit.min)} to {_sides(limit.max)}" for name, limit in limits.items()))
        if distances:
            return min(distances, key=lambda profile: (distances[profile], profile))
        found = ", ".join(f"{tensor.name} {_sides(shapes[tensor.name])}" for tensor in tensors)
        expected = " or ".join(dict.fromkeys(ranges))
        raise ValueError(f"{self._path}: found {found}, expected {expected} (others: {self._command})")

    def _check(self) -> None:
        engine, mode = self._engine, self._trt.TensorIOMode
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: (engine.get_tensor_mode(name), self._trt.nptype(engine.get_tensor_dtype(name))) for name in names}
        expected = {tensor.name: (mode.INPUT, np.dtype(tensor.dtype).type) for tensor in self.spec.inputs}
        expected |= {tensor.name: (mode.OUTPUT, np.dtype(tensor.dtype).type) for tensor in self.spec.outputs}
        if found != expected:
            tensors = ", ".join(f"{name} {np.dtype(kind).name}" for name, (_, kind) in found.items())
            raise InputError(self._path, f"tensors {tensors}", f"those of the bundle's {self.spec.name} ({self._command})")

    def _runtime_config(self) -> tuple[Any, ...]:
        """For RTX: kernels for a shape are compiled before its first run, not exchanged under way for others whose results
        differ in the last bits, and that a captured graph would not have."""
        strategies = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:
            return ()
        config = self._engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        return (config,)

    def _succeed(self, done: bool, what: str) -> None:
        if not done:
            raise RuntimeError(f"{self._path}: {what} failed ({self._log.text()})")


class _Context:
    """An execution context with its shapes set; a `Part`."""

    def __init__(
        self,
        context: Any,
        inputs: dict[str, tuple[tuple[int, ...], np.dtype]],
        outputs: dict[str, tuple[tuple[int, ...], np.dtype]],
        succeed: Callable[[bool, str], None],
        owner: ExitStack,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._context, self._succeed = context, succeed
        owner.callback(self._release)

    def enqueue(self, tensors: Tensors, stream: Any) -> None:
        """Puts one run over those of these tensors that the graph has on a stream."""
        for name in (*self.inputs, *self.outputs):
            address = tensors[name].pointer
            self._succeed(self._context.set_tensor_address(name, address), f"set_tensor_address of {name}")
        self._succeed(self._context.execute_async_v3(int(stream)), "execute_async_v3")

    def capturable(self, stream: Any) -> bool:
        """Whether the run may be captured; TensorRT for RTX says so, full TensorRT captures whatever these graphs hold."""
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or ask(int(stream))

    def _release(self) -> None:
        self._context = None


def _load_library(flavor: Flavor) -> Any:
    """TensorRT's module. Raises MissingExtraError, also where the bindings are there without their libraries."""
    for module in MODULES[flavor]:
        try:
            return importlib.import_module(module)
        except (ImportError, OSError, RuntimeError) as error:
            reason = error
    raise MissingExtraError(MODULES[flavor][0], EXTRAS[flavor]) from reason


def _distance(shape: tuple[int, ...], best: tuple[int, ...]) -> float:
    """How many doublings lie between two shapes."""
    return sum(abs(math.log2(side / other)) for side, other in zip(shape, best))


def _sides(shape: Iterable[int]) -> str:
    return "x".join(str(side) for side in shape)
