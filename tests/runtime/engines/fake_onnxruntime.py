"""ONNX Runtime with a CUDA provider, on the CPU: the real one computes, this part refuses what a GPU would suffer from.

Device memory can only be reached through OrtValues. A run needs its inputs synchronised since they were written; a value
is read only after the run that wrote it was synchronised. With CUDA graphs a graph id belongs to the addresses that it was
first run with, and shapes must be fixed.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnxruntime

TYPES = {np.dtype(np.float32): "tensor(float)", np.dtype(np.float16): "tensor(float16)"}


class GpuMisuse(AssertionError):
    """What would give wrong values or an error on a GPU."""


class OrtValue:
    def __init__(self, array: np.ndarray, device: int, filled: bool) -> None:
        self.array, self.device, self.filled = array, device, filled
        self.written = filled  # and not yet synchronised

    @staticmethod
    def ortvalue_from_shape_and_type(shape, dtype, kind, device):
        if kind != "cuda" or not all(isinstance(side, int) for side in shape):
            raise GpuMisuse(f"{kind} memory of shape {shape}")
        return OrtValue(np.full(shape, np.nan, dtype), device, False)

    @staticmethod
    def ortvalue_from_numpy(array, kind, device):
        if kind != "cuda":
            raise GpuMisuse(f"{kind} memory")
        return OrtValue(array.copy(), device, True)

    def update_inplace(self, array):
        if array.shape != self.array.shape or array.dtype != self.array.dtype or not array.flags.c_contiguous:
            raise GpuMisuse(f"{array.shape} {array.dtype} into {self.array.shape} {self.array.dtype}")
        self.array[...] = array
        self.filled = self.written = True

    def data_type(self):
        return TYPES[self.array.dtype]

    def numpy(self):
        if not self.filled or self.written:
            raise GpuMisuse("read before it is written, or before the run is synchronised")
        return self.array.copy()


class IOBinding:
    def __init__(self) -> None:
        self.inputs, self.outputs = {}, {}

    def bind_ortvalue_input(self, name, value):
        self.inputs[name] = value

    def bind_ortvalue_output(self, name, value):
        self.outputs[name] = value

    def synchronize_inputs(self):
        for value in self.inputs.values():
            value.written = False

    def synchronize_outputs(self):
        for value in self.outputs.values():
            value.written = False


class RunOptions:
    def __init__(self) -> None:
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value


class SessionOptions:
    def __init__(self) -> None:
        self.overrides = {}
        self.log_severity_level, self.use_deterministic_compute = 2, False

    def add_free_dimension_override_by_name(self, name, side):
        if self.overrides.setdefault(name, side) != side:
            raise GpuMisuse(f"{name} is {self.overrides[name]} and {side}")


def fake_onnxruntime(*, providers=("CUDAExecutionProvider", "CPUExecutionProvider"), takes_cuda=True, half=()):
    """The module. providers: that the package was built with. takes_cuda: whether sessions really get the GPU. half: per
    graph file the tensors that are float16 in it, since the tiny bundle's files hold FP32 graphs."""
    module = SimpleNamespace(
        __version__="1.31.0",
        OrtValue=OrtValue,
        RunOptions=RunOptions,
        SessionOptions=SessionOptions,
        sessions=[],
        loaded=[],
    )
    module.get_available_providers = lambda: list(providers)
    module.preload_dlls = lambda: module.loaded.append(True)
    half = dict(half)

    class InferenceSession:
        def __init__(self, path, options, providers):
            (name, provider), *others = providers
            if name != "CUDAExecutionProvider" or others:
                raise GpuMisuse("a provider to fall back to")
            if not module.loaded:
                raise GpuMisuse("CUDA's libraries are not loaded yet")
            self.device, self.graphs = int(provider["device_id"]), {}
            self.captures = provider["enable_cuda_graph"] == "1"
            self.deterministic = options.use_deterministic_compute and provider["cudnn_conv_algo_search"] != "EXHAUSTIVE"
            real = onnxruntime.SessionOptions()
            for dim, side in options.overrides.items():
                real.add_free_dimension_override_by_name(dim, side)
            self.session = onnxruntime.InferenceSession(path, real, providers=["CPUExecutionProvider"])
            self.half = set(half.get(path.rpartition("/")[2], ()))
            module.sessions.append(self)

        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"] if takes_cuda else ["CPUExecutionProvider"]

        def _infos(self, infos):
            kind = {True: "tensor(float16)", False: "tensor(float)"}
            return [SimpleNamespace(name=i.name, shape=i.shape, type=kind[i.name in self.half]) for i in infos]

        def get_inputs(self):
            return self._infos(self.session.get_inputs())

        def get_outputs(self):
            return self._infos(self.session.get_outputs())

        def io_binding(self):
            return IOBinding()

        def run_with_iobinding(self, binding, options):
            for info, value in (
                *((info, binding.inputs[info.name]) for info in self.get_inputs()),
                *((info, binding.outputs[info.name]) for info in self.get_outputs()),
            ):
                if tuple(info.shape) != value.array.shape or info.type != value.data_type() or value.device != self.device:
                    raise GpuMisuse(
                        f"{info.name}: {value.array.shape} {value.data_type()}, expected {info.shape} {info.type}"
                    )
            if not self.deterministic:
                raise GpuMisuse("results that differ from run to run")
            unready = [name for name, value in binding.inputs.items() if not value.filled or value.written]
            if unready:
                raise GpuMisuse(f"{unready} written after the last synchronisation, or never")
            addresses = tuple(value.array.ctypes.data for value in (*binding.inputs.values(), *binding.outputs.values()))
            known = self.graphs.setdefault(options.entries["gpu_graph_id"], addresses)
            if self.captures and known != addresses:
                raise GpuMisuse("a captured graph replayed over other addresses")
            feeds = {name: value.array.astype(np.float32) for name, value in binding.inputs.items()}
            for (_, value), result in zip(binding.outputs.items(), self.session.run(list(binding.outputs), feeds)):
                value.array[...] = result.astype(value.array.dtype)
                value.filled = value.written = True

    module.InferenceSession = InferenceSession
    return module
