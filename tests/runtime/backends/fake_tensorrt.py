"""TensorRT's runtime API over `fake_cuda`: engines hold an ONNX file that ONNX Runtime computes on the fake device memory.

It answers as the real one does: False or None with a logged reason where a call comes too early, in the wrong order, or
with a shape, name, address or stream that does not fit. What would end the process or be undefined raises Violation.
"""

from __future__ import annotations

import base64
import json
import math
import weakref
from enum import Enum
from types import SimpleNamespace

import numpy as np
import onnxruntime

from tests.runtime.backends.fake_cuda import FakeCuda, Violation, _Refused

ALIGNMENT = 256


class Severity(Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self.ready = True


class TensorIOMode(Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    FLOAT = "float32"
    HALF = "float16"


class Strategy(Enum):
    LAZY = 0
    EAGER = 1
    NONE = 2


def write_engine(onnx: bytes, spec, profiles: list[dict[str, tuple]]) -> bytes:
    """An engine as the fake reads it. profiles: per dynamic input its lowest, usual and highest shape."""
    tensors = [
        {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "input": tensor in spec.inputs}
        for tensor in (*spec.inputs, *spec.outputs)
    ]
    engine = {"tensors": tensors, "profiles": profiles, "onnx": base64.b64encode(onnx).decode()}
    return json.dumps(engine).encode()


def fake_tensorrt(cuda: FakeCuda, *, rtx: bool = False, version: str = "10.13.0") -> SimpleNamespace:
    """The module. rtx: with what TensorRT for RTX has in addition."""

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            if not cuda.devices or "cudaGetDeviceCount" not in cuda.calls:
                raise Violation("a Runtime without a GPU, or before one was looked for")
            if not logger.ready:
                raise Violation("a logger without its base class's __init__")
            self.logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
            try:
                return Engine(json.loads(serialized_engine), self.logger)
            except ValueError:
                self.logger.log(Severity.ERROR, "magic tag does\nnot match")
                return None

    class Engine:
        def __init__(self, engine: dict, logger: ILogger) -> None:
            self.logger, self.device = logger, cuda.current
            self.tensors = {tensor["name"]: tensor for tensor in engine["tensors"]}
            self.profiles = engine["profiles"]
            self.session = onnxruntime.InferenceSession(
                base64.b64decode(engine["onnx"]), providers=["CPUExecutionProvider"]
            )
            self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), len(self.profiles)

        def get_tensor_name(self, index: int) -> str:
            return list(self.tensors)[index]

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return TensorIOMode.INPUT if self.tensors[name]["input"] else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> DataType:
            return DataType(self.tensors[name]["dtype"])

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            return [tuple(shape) for shape in self.profiles[profile_index][name]]

        def create_runtime_config(self) -> SimpleNamespace:
            if not rtx:
                raise AttributeError("create_runtime_config")
            return SimpleNamespace(dynamic_shapes_kernel_specialization_strategy=Strategy.LAZY)

        def create_execution_context(self, runtime_config: SimpleNamespace | None = None) -> Context:
            if cuda.current != self.device:
                raise Violation("a context under another device than its engine's")
            strategy = getattr(runtime_config, "dynamic_shapes_kernel_specialization_strategy", None)
            if rtx and strategy is not Strategy.EAGER:
                raise Violation("results that change when specialised kernels arrive")
            return Context(self)

    class Context:
        def __init__(self, engine: Engine) -> None:
            self.engine = engine
            self.profile: dict | None = engine.profiles[0] if len(engine.profiles) == 1 else None
            self.shapes: dict[str, tuple[int, ...]] = {}
            self.addresses: dict[str, int] = {}
            self.warm: set[tuple] = set()
            if rtx:
                self.is_stream_capturable = lambda stream: stream in cuda.streams and bool(self.warm)

        def _no(self, reason: str) -> bool:
            self.engine.logger.log(Severity.ERROR, reason)
            return False

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            if not 0 <= profile_index < len(self.engine.profiles) or stream_handle not in cuda.streams:
                return self._no(f"no profile {profile_index} or no stream {stream_handle}")
            self.profile = self.engine.profiles[profile_index]
            self.shapes.clear()
            return True

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            if self.profile is None or name not in self.profile:
                return self._no(f"no profile is active, or {name} is no dynamic input")
            low, _, high = self.profile[name]
            if len(shape) != len(low) or not all(a <= side <= b for a, side, b in zip(low, shape, high)):
                return self._no(f"{name} {shape} is outside the profile")
            self.shapes[name] = tuple(shape)
            return True

        def infer_shapes(self) -> list[str]:
            dynamic = [name for name, tensor in self.engine.tensors.items() if tensor["input"] and _dynamic(tensor)]
            return [name for name in dynamic if name not in self.shapes]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            tensor = self.engine.tensors[name]
            if tensor["input"]:
                return self.shapes.get(name, tuple(-1 if isinstance(dim, str) else dim for dim in tensor["shape"]))
            return self._solve(tensor["shape"])

        def _solve(self, shape: list[int | str]) -> tuple[int, ...]:
            sizes: dict[str, int] = {}
            for name, found in self.shapes.items():
                for dim, side in zip(self.engine.tensors[name]["shape"], found):
                    if isinstance(dim, str):
                        factor, symbol = _split(dim)
                        if side % factor or sizes.setdefault(symbol, side // factor) != side // factor:
                            raise RuntimeError(f"shapes of {name} and the other inputs contradict each other")
            return tuple(dim if isinstance(dim, int) else _split(dim)[0] * sizes.get(_split(dim)[1], -1) for dim in shape)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            if name not in self.engine.tensors or type(memory) is not int or not memory or memory % ALIGNMENT:
                return self._no(f"address {memory} of {name}")
            self.addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            if type(stream_handle) is not int:
                raise TypeError("stream handle, expected an int")
            if stream_handle == 0:
                raise Violation("the default stream")
            try:
                found = cuda.stream(stream_handle)
            except _Refused:
                return self._no(f"no stream {stream_handle}")
            tensors = self.engine.tensors
            missing = [name for name in tensors if name not in self.addresses]
            if missing or self.infer_shapes():
                return self._no(f"no address of {missing} or no shape of {self.infer_shapes()}")
            shapes = {name: self.get_tensor_shape(name) for name in tensors}
            key = tuple(sorted(shapes.items()))
            if found.capture is not None and key not in self.warm:
                found.invalid = True
                return self._no("the first run of a shape allocates and cannot be captured")
            self.warm.add(key)
            places = {name: (self.addresses[name], shapes[name], np.dtype(tensors[name]["dtype"])) for name in tensors}
            for name, (address, shape, dtype) in places.items():
                cuda.view(address, math.prod(shape) * dtype.itemsize)
                for other in places:
                    if other != name and not tensors[name]["input"] and places[other][0] == address:
                        raise Violation(f"{name} is written where {other} lies")
            alive = weakref.ref(self)
            session, engine_tensors = self.engine.session, tensors

            def compute() -> None:
                if alive() is None:
                    raise Violation("a run of a context that is gone")
                feeds = {}
                for name, (address, shape, dtype) in places.items():
                    values = cuda.view(address, math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
                    if engine_tensors[name]["input"]:
                        if not np.isfinite(values).all():
                            raise Violation(f"{name} is read before it is written")
                        feeds[name] = values.astype(np.float32)
                outputs = [name for name, tensor in engine_tensors.items() if not tensor["input"]]
                for name, values in zip(outputs, session.run(outputs, feeds)):
                    address, shape, dtype = places[name]
                    if values.shape != shape:
                        raise Violation(f"{name} {values.shape}, inferred {shape}")
                    cuda.view(address, values.size * dtype.itemsize)[:] = values.astype(dtype).view(np.uint8).reshape(-1)

            cuda.enqueue(stream_handle, compute)
            return True

    module = SimpleNamespace(
        __version__=version, Runtime=Runtime, ILogger=ILogger, TensorIOMode=TensorIOMode, DataType=DataType
    )
    module.ICudaEngine, module.IExecutionContext = Engine, Context
    module.nptype = lambda kind: np.dtype(kind.value).type
    if rtx:
        module.DynamicShapesKernelSpecializationStrategy = Strategy
    return module


def _dynamic(tensor: dict) -> bool:
    return any(isinstance(dim, str) for dim in tensor["shape"])


def _split(dim: str) -> tuple[int, str]:
    factor, _, symbol = dim.rpartition("*")
    return int(factor or 1), symbol
