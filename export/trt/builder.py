"""One graph's ONNX file -> the bytes of an engine, with its tensors as they came out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intrinsic_flow.backends.engine_file import EngineTensor, ShapeRange
from intrinsic_flow.backends.tensorrt_log import error_log
from intrinsic_flow.decomposition.bundle import GraphSpec, Precision
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.trt.errors import BuildError
from intrinsic_flow.export.trt.progress_monitor import progress_monitor
from intrinsic_flow.export.trt.target import Target
from intrinsic_flow.export.trt.tensor_types import DTYPES, check_engine, check_interface, check_network
from intrinsic_flow.media.atomic_file import write_complete

_NAMES = {name: dtype for dtype, name in DTYPES.items()}


@dataclass(frozen=True)
class BuiltEngine:
    """engine: serialised. compute_layers: in the parsed network. inspected: in the engine, None without a GPU."""

    engine: bytes
    tensors: tuple[EngineTensor, ...]
    compute_layers: int
    inspected: int | None


class EngineBuilder:
    """Builds engines for one target, one after the other. The builder object is made here, a runtime only with a GPU."""

    def __init__(self, target: Target, *, optimization_level: int | None = None, timing_cache: Path | None = None) -> None:
        """optimization_level: 0 (quick to build) to 5, None for the library's own. timing_cache: read and written.

        Raises BuildError where the library makes no builder, and for a timing cache with TensorRT for RTX.
        """
        if timing_cache is not None and target.flavor == "rtx":
            raise BuildError("--timing-cache: TensorRT for RTX measures nothing while it builds, so it has no use for one")
        self._target, self._trt = target, target.trt
        self._level, self._timing_cache = optimization_level, timing_cache
        self._log = error_log(self._trt)
        try:
            self._builder = self._trt.Builder(self._log)
        except (TypeError, RuntimeError) as error:  # pybind's way to say that the library returned none
            raise BuildError(f"TensorRT makes no builder: {self._log.text(error)}") from error

    def build(
        self,
        spec: GraphSpec,
        onnx: Path,
        precision: Precision,
        profiles: Sequence[Mapping[str, ShapeRange]],
        report: Callable[[float, float | None], None],
    ) -> BuiltEngine:
        """Parses, checks and builds a graph. report: gets the fraction done and the seconds left, or None.

        Raises BuildError, InputError for a graph that the parser refuses.
        """
        trt = self._trt
        self._log.forget()
        network = self._builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._log)
        # From its file, since the weights are external data in a file beside it.
        if not parser.parse_from_file(str(onnx)):
            errors = "; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors))
            raise InputError(onnx, f"a graph that TensorRT does not parse ({errors or self._log.text()})", "one it does")
        check_interface(network, spec)
        compute_layers = check_network(trt, network, spec.name, precision)
        config = self._config(profiles)
        monitor = progress_monitor(trt, report)
        if monitor is not None:
            config.progress_monitor = monitor
        serialized = self._builder.build_serialized_network(network, config)
        if monitor is not None and monitor.error is not None:
            raise monitor.error
        if serialized is None:
            raise BuildError(f"{spec.name}: TensorRT builds no engine: {self._log.text()}")
        if self._timing_cache is not None:
            self._timing_cache.parent.mkdir(parents=True, exist_ok=True)
            write_complete(self._timing_cache, bytes(config.get_timing_cache().serialize()))
        engine = bytes(serialized)
        tensors = tuple(
            EngineTensor(tensor.name, _NAMES[tensor.dtype.name], is_input)
            for is_input, count, tensor_at in (
                (True, network.num_inputs, network.get_input),
                (False, network.num_outputs, network.get_output),
            )
            for tensor in map(tensor_at, range(count))
        )
        inspected = None
        if self._target.gpu is not None:
            inspected = check_engine(self._inspect(engine, spec.name), spec.name, precision)
        return BuiltEngine(engine, tensors, compute_layers, inspected)

    def _config(self, profiles: Sequence[Mapping[str, ShapeRange]]) -> Any:
        trt, target = self._trt, self._target
        config = self._builder.create_builder_config()
        # On by default: TF32 has 10 bits, and FP32 is asked for where FP16 with as many is not enough.
        config.clear_flag(trt.BuilderFlag.TF32)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if self._level is not None:
            config.builder_optimization_level = self._level
        if target.flavor == "rtx":
            config.num_compute_capabilities = len(target.compute_capabilities)
            for index, capability in enumerate(target.compute_capabilities):
                config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), index)
        elif target.compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        for shapes in profiles:
            profile = self._builder.create_optimization_profile()
            for name, shape in shapes.items():
                profile.set_shape(name, shape.min, shape.opt, shape.max)
            if config.add_optimization_profile(profile) < 0:
                raise BuildError(f"TensorRT refuses a profile: {self._log.text(dict(shapes))}")
        if self._timing_cache is not None:
            self._use_timings(config, self._timing_cache)
        return config

    def _use_timings(self, config: Any, file: Path) -> None:
        """A cache of another GPU or version is set aside: TensorRT refuses it, and it is replaced after the build."""
        try:
            stored = file.read_bytes()
        except FileNotFoundError:
            stored = b""
        except OSError as error:
            raise InputError(file, f"{error.strerror}", "a timing cache, or a name that is free") from error
        for content in (stored, b""):
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                return
        raise BuildError(f"TensorRT refuses even an empty timing cache: {self._log.text()}")

    def _inspect(self, serialized: bytes, graph: str) -> dict[str, Any]:
        trt = self._trt
        runtime = trt.Runtime(self._log)
        # A version-compatible engine brings code of its own, which is not run unless allowed; this one is ours.
        if self._target.flavor == "tensorrt" and self._target.compatible:
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(serialized)
        if engine is None:
            raise BuildError(f"{graph}: found an engine that this GPU does not load: {self._log.text()}")
        text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        return json.loads(text)
