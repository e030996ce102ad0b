"""The engine builder with TensorRT for RTX, which builds really, without a GPU."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import onnx
import pytest

import intrinsic_flow.export.build_trt as build_trt
from intrinsic_flow.backends.engine_file import ENGINE_GRAPHS, EngineSidecar
from intrinsic_flow.backends.gpu import Gpu
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.decomposition.bundle import Bundle, graph_file, graph_specs
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.trt.builder import EngineBuilder
from intrinsic_flow.export.trt.errors import BuildError
from intrinsic_flow.export.trt.profiles import Shapes, profiles
from intrinsic_flow.export.trt.target import choose_target
from intrinsic_flow.export.trt.tensor_types import check_network

rtx = pytest.importorskip("tensorrt_rtx_bindings", reason='TensorRT for RTX is not installed: pip install ".[rtx]"')

RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", 89, (13, 1), 24 << 30)
H100 = Gpu("NVIDIA H100", 90, (13, 1), 80 << 30)
SMALL = Shapes((1, 1, 2), (64, 128, 256))
# A bundle from before low_shading has no such graph.
BUILT = tuple(graph for graph in ENGINE_GRAPHS if Bundle.load("small").has(graph))


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("small")


@pytest.fixture(scope="module")
def target():
    return choose_target("auto", None, False, None, "no driver")


@pytest.fixture(scope="module")
def built(bundle, target, tmp_path_factory):
    """Engines of the shipped bundle for 86, 89 and 120, and their sidecars."""
    folder = tmp_path_factory.mktemp("engines")
    return folder, build_trt.build_engines(bundle, target, folder, shapes=SMALL)


@pytest.fixture
def engines(built, tmp_path):
    """A copy of the built engines that a test may spoil."""
    return shutil.copytree(built[0], tmp_path / "engines")


@pytest.fixture
def two_graphs(monkeypatch):
    """Builds these alone, where a test is about what is built and not about the graphs."""
    monkeypatch.setattr(build_trt, "ENGINE_GRAPHS", ("decoder", "vae_encoder"))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(build_trt, "find_gpu", lambda: None)
    monkeypatch.setattr(build_trt, "why_no_gpu", lambda: "no NVIDIA driver")


def modified(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_without_a_gpu_every_graph_becomes_an_rtx_engine_for_86_89_and_120(bundle, built):
    folder, sidecars = built
    assert {path.name for path in folder.iterdir()} == {f"{g}.plan{end}" for g in BUILT for end in ("", ".json")}
    for graph, sidecar in zip(BUILT, sidecars, strict=True):
        assert EngineSidecar.load(folder / f"{graph}.plan.json") == sidecar
        sidecar.verify()
        assert sidecar.gpu is None and sidecar.compute_capabilities == (86, 89, 120)
        for capability in (86, 89, 120):
            assert sidecar.check(bundle, "rtx", rtx.__version__, capability) == []
        assert "compute capability 90" in sidecar.check(bundle, "rtx", rtx.__version__, 90)[0]
        spec = bundle.spec(graph, sidecar.precision)
        wanted = [(x.name, x.dtype, True) for x in spec.inputs] + [(x.name, x.dtype, False) for x in spec.outputs]
        assert sorted((x.name, x.dtype, x.is_input) for x in sidecar.tensors) == sorted(wanted)
    assert {sidecar.graph for sidecar in sidecars if sidecar.precision == "fp32"} == {"upsampler"}


@pytest.mark.parametrize("capability", [86, 89, 120])
def test_engines_are_built_for_one_card_alone(bundle, tmp_path, monkeypatch, capability):
    monkeypatch.setattr(build_trt, "ENGINE_GRAPHS", ("encoder",))
    target = choose_target("rtx", [capability], False, None)
    sidecars = build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL)
    assert all(sidecar.engine.stat().st_size > 100_000 for sidecar in sidecars)
    assert all(sidecar.compute_capabilities == (capability,) for sidecar in sidecars)


def test_fp16_engines_hold_half_the_weights_of_fp32_ones(bundle, target, built, tmp_path, monkeypatch):
    monkeypatch.setattr(build_trt, "ENGINE_GRAPHS", ("velocity_step", "vae_encoder"))
    half = {sidecar.graph: sidecar for sidecar in built[1]}
    fp32 = build_trt.build_engines(bundle, target, tmp_path, precision="fp32", shapes=SMALL)
    for full in fp32:
        assert (half[full.graph].precision, full.precision) == ("fp16", "fp32")
        assert half[full.graph].plan_bytes < 0.75 * full.plan_bytes


def test_a_compute_layer_of_another_type_fails_the_build(bundle, target):
    spec, shapes = bundle.spec("decoder", "fp32"), profiles(bundle.spec("decoder", "fp32"), SMALL)
    with pytest.raises(BuildError, match=r"found 21 compute layers of another type in the network: .*; expected HALF"):
        EngineBuilder(target).build(spec, bundle.path("decoder", "fp32"), "fp16", shapes, lambda *_: None)


def test_a_graph_with_another_interface_fails_the_build(bundle, target):
    spec, shapes = bundle.spec("decoder", "fp32"), profiles(bundle.spec("decoder", "fp32"), SMALL)
    with pytest.raises(BuildError, match=r"decoder, input image: found HALF .* expected FLOAT"):
        EngineBuilder(target).build(spec, bundle.path("decoder", "fp16"), "fp16", shapes, lambda *_: None)


def test_only_the_time_embedding_is_fp32_in_the_fp16_step(bundle):
    log = rtx.Logger(rtx.Logger.ERROR)
    network = rtx.Builder(log).create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert rtx.OnnxParser(network, log).parse_from_file(str(bundle.path("velocity_step", "fp16")))
    assert check_network(rtx, network, "velocity_step", "fp16") == 33
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    full = [x for x in layers if x.type == rtx.LayerType.MATRIX_MULTIPLY and x.get_output(0).dtype == rtx.float32]
    assert len(full) == 2 and all(layer.get_output(0).shape[0] == 1 for layer in full)


def test_a_graph_without_its_weights_names_the_file(bundle, target, tmp_path):
    alone = shutil.copy2(bundle.path("decoder", "fp16"), tmp_path)
    spec = bundle.spec("decoder", "fp16")
    with pytest.raises(InputError, match=r"decoder.fp16.onnx: found a graph that TensorRT does not parse"):
        EngineBuilder(target).build(spec, alone, "fp16", profiles(spec, SMALL), lambda *_: None)


def test_nothing_is_rebuilt_while_nothing_changed(bundle, target, engines):
    before = modified(engines)
    build_trt.build_engines(bundle, target, engines, shapes=SMALL)
    assert modified(engines) == before


@pytest.mark.parametrize(
    "change",
    [
        {"shapes": Shapes((1, 1, 4), (64, 128, 256))},
        {"optimization_level": 1},
        {"precision": "fp32"},
    ],
)
def test_other_options_rebuild(bundle, target, engines, two_graphs, change):
    for graph in set(BUILT) - {"decoder", "vae_encoder"}:
        (engines / f"{graph}.plan").unlink()
        (engines / f"{graph}.plan.json").unlink()
    before = modified(engines)
    build_trt.build_engines(bundle, target, engines, **{"shapes": SMALL, **change})
    after = modified(engines)
    assert set(after) == set(before) and all(after[name] != before[name] for name in before)


def test_a_damaged_engine_a_lost_sidecar_and_another_onnx_are_rebuilt_alone(bundle, target, engines):
    before = modified(engines)
    (engines / "decoder.plan").write_bytes(b"damaged")
    (engines / "encoder.plan.json").unlink()
    sidecar = engines / "vae_encoder.plan.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "onnx_sha256": "0" * 64}))
    build_trt.build_engines(bundle, target, engines, shapes=SMALL)
    after = modified(engines)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{graph}.plan{end}" for graph in ("decoder", "encoder", "vae_encoder") for end in ("", ".json")}
    assert all(EngineSidecar.load(engines / f"{graph}.plan.json").check(bundle) == [] for graph in BUILT)


def test_a_bundle_whose_files_are_not_its_manifests_builds_nothing(bundle, target, tmp_path):
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="sha256"):
        build_trt.build_engines(Bundle.load(folder), target, tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_an_interrupted_build_leaves_complete_engines_and_goes_on_from_them(bundle, target, tmp_path, monkeypatch):
    monkeypatch.setattr(build_trt, "ENGINE_GRAPHS", ("decoder", "vae_encoder", "encoder"))

    class Interrupting(Progress):
        def show(self, status):
            if status.startswith("[3/3]"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL, progress=Interrupting(quiet=True))
    complete = {"decoder.plan", "decoder.plan.json", "vae_encoder.plan", "vae_encoder.plan.json"}
    before = modified(tmp_path)
    assert set(before) == complete
    build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL)
    after = modified(tmp_path)
    assert len(after) == 6 and {name: after[name] for name in complete} == before


def test_progress_rises_to_the_end_with_an_estimate(bundle, target):
    spec, seen = bundle.spec("encoder", "fp16"), []
    EngineBuilder(target).build(
        spec, bundle.path("encoder", "fp16"), "fp16", profiles(spec, SMALL), lambda *x: seen.append(x)
    )
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] < 0.2 and fractions[-1] > 0.8
    assert seen[-1][1] is not None and seen[-1][1] < 5


def test_an_rtx_card_gets_an_engine_of_its_own_and_an_old_driver_a_line(monkeypatch):
    assert choose_target("rtx", None, False, RTX_4090).compute_capabilities == (89,)
    old = Gpu("NVIDIA GeForce RTX 4090", 89, (12, 4), 24 << 30)
    with pytest.raises(BuildError, match=r"driver of the NVIDIA GeForce RTX 4090: found one for CUDA 12.4, expected .* 13"):
        choose_target("rtx", None, False, old)
    assert choose_target("rtx", [89], False, old).gpu is None


def test_rtx_serves_no_data_centre_card_and_says_so():
    for gpu, asked in ((H100, None), (None, [90])):
        with pytest.raises(BuildError, match=r"compute capability 90: .* expected one of 75, 80, 86, 89, 120"):
            choose_target("rtx", asked, False, gpu)


def test_compatible_rtx_engines_are_for_all_its_cards_from_ampere_on(bundle, tmp_path, two_graphs):
    target = choose_target("rtx", [86], True, None)
    assert {80, 86, 89, 120} <= set(target.compute_capabilities) and 75 not in target.compute_capabilities
    (sidecar, *_) = build_trt.build_engines(bundle, target, tmp_path, shapes=SMALL)
    assert sidecar.check(bundle, "rtx", rtx.__version__, 80) == []


def run(capfd, *arguments):
    code = build_trt.main([*map(str, arguments)])
    out, err = capfd.readouterr()
    return code, out, err


def test_the_command_builds_and_then_finds_nothing_to_do(no_gpu, two_graphs, tmp_path, capfd):
    arguments = ("--bundle", "small", "--resolution", 64, 128, 256, "--max-batch", 2, "-o", tmp_path / "e")
    code, _, err = run(capfd, *arguments)
    assert code == 0 and "no GPU here" in err and "86, 89, 120" in err and "2 engines" in err
    code, _, err = run(capfd, *arguments)
    assert code == 0 and err.count("unchanged") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--flavor", "tensorrt"], "no GPU: no NVIDIA driver"),
        (["--compute-capability", "90"], "expected one of 75, 80"),
        (["--timing-cache", "cache"], "--timing-cache: TensorRT for RTX measures nothing"),
        (["--flavor", "tensorrt", "--compute-capability", "86"], "only for the GPU that is here"),
        (["--bundle", "nowhere"], "nowhere: found no such folder"),
    ],
)
def test_what_cannot_be_built_is_one_line_and_makes_no_runtime(no_gpu, tmp_path, capfd, monkeypatch, arguments, message):
    monkeypatch.setattr(rtx, "Runtime", None)
    code, _, err = run(capfd, "-q", "-o", tmp_path / "e", "--bundle", "small", *arguments)
    assert code == 1 and message in err and err.count("\n") == 1
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    "arguments", [["--resolution", "100", "256", "512"], ["--opt-batch", "9"], ["--optimization-level", "6"], ["--int8"]]
)
def test_wrong_usage_ends_with_2(arguments, capfd):
    with pytest.raises(SystemExit) as exit:
        build_trt.main(arguments)
    assert exit.value.code == 2


def test_building_engines_needs_no_torch():
    code = "import sys, intrinsic_flow.export.build_trt; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "onnx", "onnxruntime", "tensorrt_rtx_bindings", "cuda"} & set(modules)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_low_shading_is_built_and_computes_in_fp32_whatever_the_albedos_type(bundle, target, exported_bundle, precision):
    spec = graph_specs(bundle.network, precision)["low_shading"]
    path = exported_bundle / graph_file("low_shading", precision)
    shapes = profiles(spec, SMALL)
    assert [(shapes[0][name].min, shapes[0][name].max) for name in ("albedo", "guide")] == [
        ((1, 3, 64, 64), (2, 3, 256, 256)),
        ((1, 3, 33, 33), (2, 3, 256, 256)),
    ]
    built = EngineBuilder(target).build(spec, path, precision, shapes, lambda *_: None)
    assert built.compute_layers >= 3 and len(built.engine) > 1000
    dtypes = {tensor.name: tensor.dtype for tensor in built.tensors}
    albedo = "float16" if precision == "fp16" else "float32"
    assert dtypes == {"albedo": albedo, "guide": "float32", "log_shading": "float32"}


def test_low_shading_that_computes_in_fp16_fails_the_build(bundle, target, exported_bundle, tmp_path):
    spec = graph_specs(bundle.network, "fp16")["low_shading"]
    model, path = onnx.load(exported_bundle / graph_file("low_shading", "fp16")), tmp_path / "low_shading.fp16.onnx"
    (last,) = (node for node in model.graph.node if "log_shading" in node.output)
    last.output[:] = ["full"]
    half = (("Cast", "full", "half", onnx.TensorProto.FLOAT16), ("Exp", "half", "exp", None))
    half += (("Cast", "exp", "log_shading", onnx.TensorProto.FLOAT),)
    for operator, value, result, to in half:
        model.graph.node.append(onnx.helper.make_node(operator, [value], [result], **({"to": to} if to else {})))
    onnx.save(model, path)
    with pytest.raises(BuildError, match=r"low_shading: found \d compute layers of another type .*; expected FLOAT"):
        EngineBuilder(target).build(spec, path, "fp16", profiles(spec, SMALL), lambda *_: None)


def test_a_bundle_gets_engines_of_the_graphs_that_it_has(exported_bundle, target, tmp_path, monkeypatch):
    monkeypatch.setattr(build_trt, "ENGINE_GRAPHS", ("low_shading", "decoder"))
    sidecars = build_trt.build_engines(Bundle.load(exported_bundle), target, tmp_path / "new", shapes=SMALL)
    assert [(x.graph, x.onnx) for x in sidecars] == [
        ("low_shading", "low_shading.fp16.onnx"),
        ("decoder", "decoder.fp16.onnx"),
    ]
