"""The builder's logic with full TensorRT, which needs a GPU, on a fake as strict as the library: what TensorRT 11 lacks
raises AttributeError, what it would refuse is refused, and a runtime without a GPU ends the test.
"""

from __future__ import annotations

import enum
import json
import re
import sys
import types

import pytest

import intrinsic_flow.export.build_trt as build_trt
import intrinsic_flow.export.trt.target as target_module
from intrinsic_flow.backends.engine_file import ENGINE_GRAPHS, EngineSidecar
from intrinsic_flow.backends.gpu import Gpu, find_gpu, why_no_gpu
from intrinsic_flow.decomposition.bundle import PRECISIONS, Bundle
from intrinsic_flow.errors import MissingExtraError
from intrinsic_flow.export.trt.builder import EngineBuilder
from intrinsic_flow.export.trt.errors import BuildError
from intrinsic_flow.export.trt.profiles import Shapes, profiles
from intrinsic_flow.export.trt.target import choose_target, import_library
from intrinsic_flow.export.trt.tensor_types import check_engine
from tests.runtime.backends.tensorrt_api import VERSIONS, differences, published

H200 = Gpu("NVIDIA H200", 90, (13, 1), 140 << 30)
RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", 89, (13, 1), 24 << 30)
SMALL = Shapes((1, 1, 2), (64, 128, 256))
# A bundle from before low_shading has no such graph.
BUILT = tuple(graph for graph in ENGINE_GRAPHS if Bundle.load("small").has(graph))


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class Tensor:
    def __init__(self, name, dtype, shape):
        self.name, self.dtype = name, DataType[{"float32": "FLOAT", "float16": "HALF"}[dtype]]
        self.shape = tuple(side if isinstance(side, int) else -1 for side in shape)


class Layer:
    def __init__(self, kind, name, tensor):
        self.type, self.name, self._tensor = kind, name, tensor

    def get_input(self, index):
        assert index == 0
        return self._tensor

    get_output = get_input


class Recorder:
    """State of one fake library: what was built with what, and what the test makes go wrong."""

    def __init__(self, version, gpu):
        self.version, self.gpu = version, gpu
        self.builds, self.runtimes, self.failures = [], 0, set()


def fake_tensorrt(recorder):
    """The part of the API that a builder may use, in the form that both TensorRT 10.12 and 11 have."""
    trt = types.ModuleType("tensorrt")
    trt.__version__ = recorder.version

    class Strict:
        """Attributes that the class does not declare cannot be set, as on the library's objects."""

        allowed: tuple[str, ...] = ()

        def __setattr__(self, name, value):
            if not name.startswith("_") and name not in self.allowed:
                raise AttributeError(f"{type(self).__name__} has no attribute {name}")
            object.__setattr__(self, name, value)

    class ILogger:
        class Severity(enum.IntEnum):
            INTERNAL_ERROR = 0
            ERROR = 1
            WARNING = 2

        INTERNAL_ERROR, ERROR, WARNING = Severity

        def __init__(self):
            self.initialised = True

    class IProgressMonitor:
        def __init__(self):
            self.initialised = True

    class LayerType(enum.Enum):
        CONVOLUTION = 0
        MATRIX_MULTIPLY = 1
        ELEMENTWISE = 2

    class NetworkDefinitionCreationFlag(enum.IntEnum):
        STRONGLY_TYPED = 0 if recorder.version.startswith("11") else 1

    class BuilderFlag(enum.Enum):  # FP16, BF16, INT8 and OBEY_PRECISION_CONSTRAINTS are gone in 11
        TF32 = 0
        VERSION_COMPATIBLE = 1

    class HardwareCompatibilityLevel(enum.Enum):
        NONE = 0
        AMPERE_PLUS = 1

    class ProfilingVerbosity(enum.Enum):
        LAYER_NAMES_ONLY = 0
        DETAILED = 1

    class LayerInformationFormat(enum.Enum):
        JSON = 0

    class IOptimizationProfile(Strict):
        def __init__(self):
            self._shapes = {}

        def set_shape(self, input, min, opt, max):
            assert all(isinstance(shape, tuple) for shape in (min, opt, max))
            assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
            assert input not in self._shapes
            self._shapes[input] = (min, opt, max)

    class ITimingCache:
        def __init__(self, content):
            self.content = content

        def serialize(self):
            return self.content + b"+timings"

    class IBuilderConfig(Strict):
        allowed = ("builder_optimization_level", "hardware_compatibility_level", "profiling_verbosity", "progress_monitor")

        def __init__(self):
            self._flags, self._profiles, self._cache = {BuilderFlag.TF32}, [], None

        def set_flag(self, flag):
            self._flags.add(BuilderFlag(flag))

        def clear_flag(self, flag):
            self._flags.discard(BuilderFlag(flag))

        def add_optimization_profile(self, profile):
            if "profile" in recorder.failures:
                return -1
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache):
            return ITimingCache(bytes(serialized_timing_cache))

        def set_timing_cache(self, cache, ignore_mismatch):
            assert isinstance(cache, ITimingCache) and ignore_mismatch is False
            if b"other device" in cache.content:
                return False
            self._cache = cache
            return True

        def get_timing_cache(self):
            return self._cache

    class INetworkDefinition:
        def __init__(self, flags):
            assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
            self.parsed = None

        num_inputs = property(lambda self: len(self.parsed[0].inputs))
        num_outputs = property(lambda self: len(self.parsed[0].outputs))
        num_layers = property(lambda self: len(self.layers))

        def get_input(self, index):
            spec = self.parsed[0].inputs[index]
            return Tensor(spec.name, spec.dtype, spec.shape)

        def get_output(self, index):
            spec = self.parsed[0].outputs[index]
            return Tensor(spec.name, spec.dtype, spec.shape)

        def get_layer(self, index):
            return self.layers[index]

    class OnnxParser:
        num_errors = 1

        def __init__(self, network, logger):
            assert isinstance(network, INetworkDefinition) and logger.initialised
            self._network = network

        def parse_from_file(self, model):
            if "parse" in recorder.failures:
                return False
            name = model.rsplit("/", 1)[-1]
            precision = "fp16" if ".fp16." in name else "fp32"
            spec = Bundle.load("small").spec(name.split(".")[0], precision)
            dtype = "float16" if precision == "fp16" and "weak" not in recorder.failures else "float32"
            self._network.parsed = (spec, precision)
            # Low shading has no convolution, and its arithmetic is FP32 behind an FP16 albedo.
            convolutions = [Layer(LayerType.CONVOLUTION, "conv", Tensor("c", dtype, ("batch", 8, "h", "w")))]
            self._network.layers = [
                *(convolutions if spec.name != "low_shading" else []),
                Layer(LayerType.MATRIX_MULTIPLY, "time", Tensor("m", "float32", (1, 8))),
                Layer(LayerType.ELEMENTWISE, "add", Tensor("a", "float32", ("batch", 8, "h", "w"))),
            ]
            return True

        def get_error(self, index):
            return types.SimpleNamespace(desc=lambda: "In node 3: unsupported")

    class Builder(Strict):
        def __init__(self, logger):
            assert logger.initialised
            self._logger = logger
            if "builder" in recorder.failures:
                logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags=0):
            return INetworkDefinition(flags)

        def create_builder_config(self):
            return IBuilderConfig()

        def create_optimization_profile(self):
            return IOptimizationProfile()

        def build_serialized_network(self, network, config):
            assert network.parsed is not None and config._profiles
            inputs = {spec.name for spec in network.parsed[0].inputs}
            assert all(set(profile._shapes) == inputs for profile in config._profiles)
            monitor = config.progress_monitor
            assert monitor.initialised
            monitor.phase_start("Building engine", None, 2)
            for step in range(2):
                if not monitor.step_complete("Building engine", step):
                    return None
            monitor.phase_finish("Building engine")
            if "build" in recorder.failures:
                self._logger.log(ILogger.ERROR, "Could not find any implementation\nfor node conv")
                return None
            recorder.builds.append((network, config))
            return memoryview(f"engine of {network.parsed[0].name} {network.parsed[1]}".encode())

    class Runtime(Strict):
        allowed = ("engine_host_code_allowed",)

        def __init__(self, logger):
            if recorder.gpu is None:
                pytest.fail("a runtime was made without a GPU: the real one takes the process down")
            recorder.runtimes += 1
            self.engine_host_code_allowed = False

        def deserialize_cuda_engine(self, serialized_engine):
            network, config = recorder.builds[-1]
            if BuilderFlag.VERSION_COMPATIBLE in config._flags and not self.engine_host_code_allowed:
                return None
            assert config.profiling_verbosity == ProfilingVerbosity.DETAILED
            # Low shading has no convolution; its arithmetic is FP32 behind an FP16 albedo.
            pointwise = network.parsed[0].name == "low_shading"
            half = network.parsed[1] == "fp16" and not pointwise and "engine" not in recorder.failures
            tensor = {"Name": "x", "Dimensions": [-1, 8, -1, -1]}
            if recorder.version.startswith("11"):
                tensor |= {"Format": "Row major linear", "DataType": "Half" if half else "Float"}
            else:
                tensor |= {"Format/Datatype": f"Row major linear {'FP16' if half else 'FP32'} format"}
            name, kind = ("mul", "PointWiseV2") if pointwise else ("conv", "CaskConvolution")
            layer = {"Name": name, "LayerType": kind, "Inputs": [tensor], "Outputs": [tensor]}
            text = json.dumps({"Layers": [layer]})
            return ICudaEngine(text)

    class ICudaEngine:
        def __init__(self, text):
            self._text = text

        def create_engine_inspector(self):
            return EngineInspector(self._text)

    class EngineInspector:
        def __init__(self, text):
            self._text = text

        def get_engine_information(self, format):
            assert format is LayerInformationFormat.JSON
            return self._text

    for part in (
        *(ILogger, IProgressMonitor, LayerType, NetworkDefinitionCreationFlag, BuilderFlag, HardwareCompatibilityLevel),
        *(ProfilingVerbosity, LayerInformationFormat, OnnxParser, Builder, Runtime, ICudaEngine, EngineInspector),
        *(IOptimizationProfile, ITimingCache, IBuilderConfig, INetworkDefinition),
    ):
        setattr(trt, part.__name__, part)
    trt.ITensor, trt.ILayer = Tensor, Layer
    return trt


@pytest.mark.parametrize("version", VERSIONS)
def test_the_fake_has_only_what_each_version_publishes(version):
    assert differences(fake_tensorrt(Recorder(version, H200)), published()[version]) == []


@pytest.fixture(params=["10.12.0.36", "11.4.0.106"])
def library(request, monkeypatch):
    """The fake of a version, installed as `tensorrt` beside an H200; returns its Recorder."""
    recorder = Recorder(request.param, H200)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(recorder))
    return recorder


@pytest.fixture
def bundle():
    return Bundle.load("small")


@pytest.fixture
def no_rtx(monkeypatch):
    for name in target_module.MODULES["rtx"]:
        monkeypatch.setitem(sys.modules, name, None)


def test_engines_for_the_gpu_here(library, bundle, tmp_path):
    target = choose_target("auto", None, False, library.gpu)
    sidecars = build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL)
    assert [sidecar.graph for sidecar in sidecars] == list(BUILT)
    for sidecar, (_, config) in zip(sidecars, library.builds, strict=True):
        assert (sidecar.flavor, sidecar.gpu, sidecar.hardware) == ("tensorrt", "NVIDIA H200", "same")
        assert sidecar.check(bundle, "tensorrt", library.version, 90) == []
        assert sidecar.check(bundle, "tensorrt", "12.0", 89) != []
        assert config._flags == set() and not hasattr(config, "hardware_compatibility_level")
        given = [{name: shape for name, shape in profile._shapes.items()} for profile in config._profiles]
        stored = [{n: (s.min, s.opt, s.max) for n, s in profile.items()} for profile in sidecar.profiles]
        assert given == stored
    assert library.runtimes == len(BUILT)
    build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL)
    assert len(library.builds) == len(BUILT)


def test_another_gpu_or_version_rebuilds(library, bundle, tmp_path, monkeypatch):
    build_trt.build_engines(bundle, choose_target("auto", None, False, H200), tmp_path, shapes=SMALL)
    build_trt.build_engines(bundle, choose_target("auto", None, False, RTX_4090), tmp_path, shapes=SMALL)
    assert len(library.builds) == 2 * len(BUILT)
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "11.5.0.1")
    build_trt.build_engines(bundle, choose_target("auto", None, False, RTX_4090), tmp_path, shapes=SMALL)
    assert len(library.builds) == 3 * len(BUILT)


def test_compatible_engines_set_both_compatibilities_and_allow_their_own_code(library, bundle, tmp_path):
    target = choose_target("tensorrt", None, True, library.gpu)
    (sidecar, *_) = build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL, optimization_level=5)
    _, config = library.builds[0]
    assert {flag.name for flag in config._flags} == {"VERSION_COMPATIBLE"}
    assert config.hardware_compatibility_level.name == "AMPERE_PLUS" and config.builder_optimization_level == 5
    assert sidecar.version_compatible and sidecar.check(bundle, "tensorrt", "11.9.0.1", 120) == []


def test_a_timing_cache_is_read_extended_and_replaced_when_it_is_of_another_device(library, bundle, tmp_path):
    cache, target = tmp_path / "cache/timings", choose_target("auto", None, False, library.gpu)
    build_trt.build_engines(bundle, target, tmp_path / "a", shapes=SMALL, timing_cache=cache)
    assert cache.read_bytes() == b"+timings" * len(BUILT)
    cache.write_bytes(b"other device")
    build_trt.build_engines(bundle, target, tmp_path / "b", shapes=SMALL, timing_cache=cache)
    assert cache.read_bytes() == b"+timings" * len(BUILT)
    assert [path.name for path in cache.parent.iterdir()] == ["timings"]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("builder", "makes no builder: CUDA initialization failure"),
        ("parse", "encoder.fp16.onnx: found a graph that TensorRT does not parse .In node 3"),
        ("weak", r"1 compute layers of another type in the network: conv .FLOAT.; expected HALF"),
        ("engine", r"1 compute layers of another type in the engine: conv .FLOAT.; expected HALF"),
        ("profile", "refuses a profile"),
        ("build", "builds no engine: Could not find any implementation for node conv"),
    ],
)
def test_what_fails_is_one_line_and_publishes_nothing(library, tmp_path, capfd, monkeypatch, failure, message):
    library.failures.add(failure)
    monkeypatch.setattr(build_trt, "find_gpu", lambda: library.gpu)
    assert build_trt.main(["-q", "--bundle", "small", "-o", str(tmp_path / "e"), "--flavor", "tensorrt"]) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err)
    assert not (tmp_path / "e").exists()


def test_ctrl_c_during_a_build_ends_it_and_publishes_nothing(library, bundle):
    def interrupt(fraction, left):
        raise KeyboardInterrupt

    builder, spec = EngineBuilder(choose_target("auto", None, False, library.gpu)), bundle.spec("encoder", "fp16")
    with pytest.raises(KeyboardInterrupt):
        builder.build(spec, bundle.path("encoder", "fp16"), "fp16", profiles(spec, SMALL), interrupt)
    assert library.builds == []


def test_without_a_gpu_full_tensorrt_is_not_even_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BuildError, match="no GPU: no NVIDIA driver"):
        choose_target("tensorrt", None, False, None, "no NVIDIA driver")


def test_a_missing_library_names_its_extra(monkeypatch, no_rtx):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[tensorrt\]"):
        choose_target("tensorrt", None, False, H200)
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[rtx\]"):
        choose_target("auto", None, False, None, "no driver")
    with pytest.raises(BuildError, match=r"neither library serves the NVIDIA H200: .*\[tensorrt\].*\[rtx\]"):
        choose_target("auto", None, False, H200)


@pytest.mark.parametrize(
    "content",
    ["", "from tensorrt_bindings_that_are_not_there import *", "raise ImportError('libnvinfer.so.11: no such file')"],
)
def test_a_wheel_without_its_libraries_is_told_from_none(tmp_path, monkeypatch, content):
    (tmp_path / "tensorrt.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(BuildError, match=r"found a package without its libraries .*pypi.nvidia.com") as error:
        import_library("tensorrt")
    sys.modules.pop("tensorrt", None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", ["8.6.1", "10.11.0", "12.0.0"])
def test_a_version_that_is_too_old_or_unknown_is_refused(monkeypatch, version):
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(Recorder(version, H200)))
    with pytest.raises(BuildError, match=rf"found version {version}, expected 10.12 or later, below 12"):
        import_library("tensorrt")


def test_a_driver_older_than_the_library_is_said_before_anything_is_made(library, monkeypatch):
    packages = {"tensorrt_bindings": ["tensorrt_cu13_bindings"]}
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: packages)
    old = Gpu("NVIDIA H200", 90, (12, 8), 140 << 30)
    with pytest.raises(BuildError, match=r"found one for CUDA 12.8, expected one for CUDA 13"):
        choose_target("tensorrt", None, False, old)
    packages["tensorrt_bindings"] = ["tensorrt_cu12_bindings"]
    assert choose_target("tensorrt", None, False, old).flavor == "tensorrt"


def test_hardware_compatibility_begins_with_ampere(library):
    with pytest.raises(BuildError, match="found below 80"):
        choose_target("tensorrt", None, True, Gpu("NVIDIA T4", 75, (13, 1), 16 << 30))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("graph", ENGINE_GRAPHS)
def test_profiles_cover_portrait_and_landscape(bundle, graph, precision):
    spec = bundle.spec(graph, "fp32" if graph == "upsampler" else precision)
    first, *more = profiles(spec, SMALL)
    sizes = dict(batch=2, low_h=225, low_w=64, full_h=256, full_w=64)
    for h, w in ((8, 2), (2, 8), (8, 8), (2, 2)):
        assert all(first[x.name].contains(x.resolve(h=h, w=w, **sizes)) for x in spec.inputs)
    if graph != "upsampler":
        assert not more
        assert not all(first[x.name].contains(x.resolve(h=9, w=2, **sizes)) for x in spec.inputs)


@pytest.mark.parametrize(
    "size", [(1, 1), (1080, 1920), (3840, 2160), (3000, 1500), (4000, 6000), (300, 16384), (16384, 300)]
)
def test_every_strip_of_an_image_lies_in_a_profile_of_the_upsampler(bundle, size):
    from intrinsic_flow.backends.base import Backend

    height, width = size
    rows = min(height, max(1, Backend.strip_pixels // width))
    spec = bundle.spec("upsampler")
    shapes = [x.resolve(batch=1, low_h=97, low_w=256, full_h=rows, full_w=width) for x in spec.inputs]
    fitting = [all(p[x.name].contains(s) for x, s in zip(spec.inputs, shapes)) for p in profiles(spec, SMALL)]
    assert any(fitting)


@pytest.mark.parametrize("sizes", [((0, 1, 2), (64, 64, 64)), ((1, 3, 2), (64, 64, 64)), ((1, 1, 1), (64, 96, 100))])
def test_sizes_out_of_order_are_refused(sizes):
    with pytest.raises(ValueError, match="expected"):
        Shapes(*sizes)


def test_the_inspector_counts_fused_kernels_and_excuses_fixed_shapes():
    def layer(kind, types, sides):
        tensors = [{"Format/Datatype": f"Row major linear {name} format", "Dimensions": sides} for name in types]
        return {"Name": kind, "LayerType": kind, "Inputs": tensors[:1], "Outputs": tensors[1:]}

    fused = layer("CaskConvolution", ("FP32", "FP16"), [-1, 8, -1, -1])
    time = layer("CaskGemm", ("FP32", "FP32"), [1, 8])
    norm = layer("Normalization", ("FP32", "FP32"), [-1, 8, -1, -1])
    assert check_engine({"Layers": [fused, time, norm, "name only"]}, "g", "fp16") == 1
    assert check_engine({"Layers": ["name only"]}, "g", "fp16") == 0
    with pytest.raises(BuildError, match="CaskConvolution"):
        check_engine({"Layers": [fused, layer("CaskConvolution", ("FP32", "FP32"), [-1, 8, 8, 8])]}, "g", "fp16")


def test_a_sidecar_holds_no_time_and_no_path(library, bundle, tmp_path):
    target = choose_target("auto", None, False, library.gpu)
    for name in ("a", "b"):
        build_trt.build_engines(bundle, target, tmp_path / name, shapes=SMALL)
    for graph in BUILT:
        a, b = ((tmp_path / name / f"{graph}.plan.json").read_text() for name in ("a", "b"))
        assert a == b and str(tmp_path) not in a and EngineSidecar.load(tmp_path / f"a/{graph}.plan.json")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_engines_built_on_this_gpu_compute_in_the_precision_asked_for(bundle, precision):
    gpu = find_gpu()
    if gpu is None:
        pytest.skip(f"no GPU: {why_no_gpu()}")
    target = choose_target("auto", None, False, gpu)
    builder = EngineBuilder(target)
    for graph in ("encoder", "velocity_step", "decoder", "vae_encoder"):
        spec = bundle.spec(graph, precision)
        onnx = bundle.path(graph, precision)
        built = builder.build(spec, onnx, precision, profiles(spec, SMALL), lambda *_: None)
        assert built.inspected is not None
        # TensorRT for RTX compiles its kernels later and may name none.
        assert built.inspected > 0 or target.flavor == "rtx"
