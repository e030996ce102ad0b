"""ONNX Runtime with a CUDA provider over `fake_cuda`: the real one computes, on the CPU, what lies in the fake's memory.

A run is work on the session's stream and returns before it is done, unless it is told to wait. It refuses buffers of
another type, shape or device, bindings of another session, and shapes that are not fixed; a graph id belongs to the
addresses that it was captured with. Raises GpuMisuse or `fake_cuda.Violation` for what a GPU would suffer from.
"""

from __future__ import annotations

import math
import weakref
from types import SimpleNamespace

import numpy as np
import onnxruntime

from tests.runtime.backends.fake_cuda import FakeCuda, Violation

TYPES = {np.float32: "tensor(float)", np.float16: "tensor(float16)"}


class GpuMisuse(AssertionError):
    """What would give wrong values or an error on a GPU."""


class IOBinding:
    """bind_input and bind_output with memory that the caller owns; ONNX Runtime does not keep it alive."""

    def __init__(self, session) -> None:
        self.session, self.inputs, self.outputs = session, {}, {}

    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        self.inputs[name] = self._place(name, device_type, device_id, element_type, shape, buffer_ptr, self.session.ins)

    def bind_output(self, name, device_type="cpu", device_id=0, element_type=None, shape=None, buffer_ptr=None):
        self.outputs[name] = self._place(name, device_type, device_id, element_type, shape, buffer_ptr, self.session.outs)

    def _place(self, name, device_type, device_id, element_type, shape, pointer, infos):
        if device_type != "cuda" or device_id != self.session.device or type(pointer) is not int:
            raise GpuMisuse(f"{name} at {pointer!r} of {device_type} {device_id}")
        info = infos[name]
        if (TYPES.get(element_type), tuple(shape)) != (info.type, tuple(info.shape)):
            raise GpuMisuse(f"{name}: {shape} {element_type}, expected {info.shape} {info.type}")
        dtype = np.dtype(element_type)
        place = pointer, math.prod(shape) * dtype.itemsize, dtype, tuple(shape)
        self.session.cuda.view(*place[:2])
        return place


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


def fake_onnxruntime(
    cuda: FakeCuda,
    *,
    providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
    takes_cuda=True,
    replay_waits=False,
    half=(),
):
    """The module. providers: that the package was built with. takes_cuda: whether sessions really get the GPU.
    replay_waits: as in versions that wait for a captured graph whatever the run's options say. half: per graph file the
    tensors that are float16 in it, since the tiny bundle's files hold FP32 graphs.

    `sessions` are those alive; `runs` names what runs do, "first", "replay", "wait"; `violations` what went wrong where no
    exception could tell."""
    module = SimpleNamespace(
        __version__="1.31.0",
        RunOptions=RunOptions,
        SessionOptions=SessionOptions,
        sessions=weakref.WeakSet(),
        made=0,
        runs=[],
        violations=[],
        loaded=[],
    )
    module.get_available_providers = lambda: list(providers)
    module.preload_dlls = lambda: module.loaded.append(True)
    module.default_severity = 2

    def set_default_logger_severity(level):
        if level not in range(5):
            raise ValueError(f"severity {level}")
        module.default_severity = level

    module.set_default_logger_severity = set_default_logger_severity
    half = dict(half)

    class InferenceSession:
        def __init__(self, path, options, providers):
            (name, provider), *others = providers
            if name != "CUDAExecutionProvider" or others:
                raise GpuMisuse("a provider to fall back to")
            if not module.loaded:
                raise GpuMisuse("CUDA's libraries are not loaded yet")
            self.cuda, self.device, self.graphs = cuda, int(provider["device_id"]), {}
            self.stream = int(provider["user_compute_stream"])
            if cuda.streams[self.stream].device != self.device:
                raise GpuMisuse("a stream of another device")
            self.captures = provider["enable_cuda_graph"] == "1"
            self.deterministic = options.use_deterministic_compute and provider["cudnn_conv_algo_search"] != "EXHAUSTIVE"
            real = onnxruntime.SessionOptions()
            for dim, side in options.overrides.items():
                real.add_free_dimension_override_by_name(dim, side)
            self.session = onnxruntime.InferenceSession(path, real, providers=["CPUExecutionProvider"])
            half_names = set(half.get(path.rpartition("/")[2], ()))
            self.ins, self.outs = (
                {i.name: SimpleNamespace(name=i.name, shape=i.shape, type=self._type(i.name in half_names)) for i in infos}
                for infos in (self.session.get_inputs(), self.session.get_outputs())
            )
            module.sessions.add(self)
            module.made += 1

        def __del__(self):
            stream = cuda.streams.get(getattr(self, "stream", None))
            if stream is None or stream.done < len(stream.queue):
                module.violations.append("a session dropped after its stream, or while work is under way")

        @staticmethod
        def _type(is_half):
            return "tensor(float16)" if is_half else "tensor(float)"

        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"] if takes_cuda else ["CPUExecutionProvider"]

        def get_inputs(self):
            return list(self.ins.values())

        def get_outputs(self):
            return list(self.outs.values())

        def io_binding(self):
            return IOBinding(self)

        def run_with_iobinding(self, binding, options):
            if binding.session is not self:
                raise ValueError("IOBinding must be used with the session that created it.")
            if list(binding.inputs) != list(self.ins) or list(binding.outputs) != list(self.outs):
                raise GpuMisuse(f"bound {[*binding.inputs, *binding.outputs]}, expected {[*self.ins, *self.outs]}")
            if not self.deterministic or not self.captures:
                raise GpuMisuse("results that differ from run to run, or no CUDA graph")
            cuda.current = self.device
            if cuda.stream(self.stream).capture is not None:
                raise GpuMisuse("a run while its stream is captured by somebody else")
            places = {**binding.inputs, **binding.outputs}
            for name in binding.outputs:
                if any(other != name and places[other][0] == places[name][0] for other in places):
                    raise Violation(f"{name} is written where another tensor lies")
            addresses = tuple(place[0] for place in places.values())
            graph_id = int(options.entries["gpu_graph_id"])
            if graph_id < 0:
                raise GpuMisuse("a run that is not captured")
            first = graph_id not in self.graphs
            if first and module.default_severity < 4:
                module.violations.append("cuDNN's convolutions without a plan fill the log")
            if self.graphs.setdefault(graph_id, addresses) != addresses:
                raise GpuMisuse("a captured graph replayed over other addresses")
            module.runs.append("first" if first else "replay")
            alive, session, inputs, outputs = weakref.ref(self), self.session, binding.inputs, binding.outputs

            def compute():
                if alive() is None:
                    raise Violation("a run of a session that is gone")
                compute_places(session, inputs, outputs)

            # The first run allocates, the second is captured, and what was captured is replayed.
            for _ in range(2 if first else 1):
                cuda.enqueue(self.stream, compute)
            asynchronous = options.entries.get("disable_synchronize_execution_providers") == "1"
            if not asynchronous or replay_waits:
                module.runs.append("wait")
                cuda.finish(self.stream)

    def compute_places(session, inputs, outputs):
        feeds = {}
        for name, (pointer, nbytes, dtype, shape) in inputs.items():
            values = cuda.view(pointer, nbytes).view(dtype).reshape(shape)
            if not np.isfinite(values).all():
                raise Violation(f"{name} is read before it is written")
            feeds[name] = values.astype(np.float32)
        for (pointer, nbytes, dtype, shape), result in zip(outputs.values(), session.run(list(outputs), feeds)):
            if result.shape != shape:
                raise GpuMisuse(f"a result of {result.shape}, bound {shape}")
            cuda.view(pointer, nbytes)[:] = result.astype(dtype).view(np.uint8).reshape(-1)

    module.InferenceSession = InferenceSession
    return module
