"""ONNX Runtime on CUDA: its own logic against a fake that computes on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import gc
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest

from intrinsic_flow.backends import onnxruntime_cuda, open_backend
from intrinsic_flow.backends.cuda_backend import MAX_PROGRAMS
from intrinsic_flow.backends.cuda_memory import CudaError, load_cudart
from intrinsic_flow.benchmarks.timing.backends import open_variant
from intrinsic_flow.benchmarks.timing.workload import Workload
from intrinsic_flow.decomposition.bundle import GRAPHS, Bundle, graph_file
from intrinsic_flow.errors import InputError, MissingExtraError
from tests.runtime.backends.fake_cuda import FakeCuda
from tests.runtime.backends.fake_onnxruntime import fake_onnxruntime
from tests.runtime.conftest import build_tiny_bundle, rewrite_manifest

PARTS = ("encoder", "velocity_step", "decoder", "low_shading", "vae_encoder")


def psnr(found, expected):
    return -10 * np.log10(np.mean((found.astype(np.float64) - expected) ** 2))


@pytest.fixture(scope="module")
def half_bundle(tmp_path_factory):
    """The tiny bundle with FP16 graphs as far as names and interfaces go; the fake does the rounding."""
    folder = build_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    for graph in PARTS:
        (folder / graph_file(graph, "fp16")).write_bytes((folder / graph_file(graph)).read_bytes())
    rewrite_manifest(folder)
    return Bundle.load(folder)


@pytest.fixture(scope="module")
def merged_bundle(half_bundle, tmp_path_factory):
    """The same with the merged graph."""
    pytest.importorskip("torch", reason="torch, which the exporter needs, is not installed")
    from intrinsic_flow.export.graphs.merge import merge_loop

    folder = shutil.copytree(half_bundle.folder, tmp_path_factory.mktemp("bundle") / "tiny")
    parts = (onnx.load(folder / graph_file(graph)) for graph in ("encoder", "velocity_step", "decoder"))
    merged = merge_loop(*parts, half_bundle.spec("decompose_2step"))
    for precision in ("fp32", "fp16"):
        onnx.save(merged, folder / graph_file("decompose_2step", precision))
    rewrite_manifest(folder)
    return Bundle.load(folder)


@pytest.fixture(params=["early", "late"])
def install(request, monkeypatch, half_bundle):
    """Puts fakes of ONNX Runtime and CUDA in the place of the real ones; options are those of `fake_onnxruntime`."""
    cuda = FakeCuda(late=request.param == "late")
    modules = []

    def put(**options):
        half = {}
        for graph in (*PARTS, "decompose_2step"):
            spec = half_bundle.spec(graph, "fp16")
            half[graph_file(graph, "fp16")] = [t.name for t in (*spec.inputs, *spec.outputs) if t.dtype == "float16"]
        module = fake_onnxruntime(cuda, half=half, **options)
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        monkeypatch.setattr(onnxruntime_cuda, "load_cudart", lambda extra: cuda)
        modules.append(module)
        return SimpleNamespace(ort=module, cuda=cuda)

    yield put
    gc.collect()
    assert [message for module in modules for message in module.violations] == []


@pytest.fixture
def gpu(install):
    return install()


@pytest.fixture
def engine(gpu, half_bundle):
    loaded = open_backend(half_bundle, "cuda")
    yield loaded
    loaded.close()
    gc.collect()
    assert gpu.cuda.live() == [] and not gpu.ort.sessions


@pytest.fixture(scope="module")
def reference(half_bundle):
    return open_backend(half_bundle, "cpu")


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "reduced"])
@pytest.mark.parametrize("replay_waits", [False, True])
def test_the_network_agrees_with_the_cpu_engine(half_bundle, install, reference, picture, steps, precision, replay_waits):
    gpu = install(replay_waits=replay_waits)
    engine = open_backend(half_bundle, "cuda", precision=precision, device=1)
    for seed in range(3):
        image, noise = picture(seed=seed)
        found = engine.network(image, noise, steps)
        assert found.dtype == np.float32
        tolerance = 1e-6 if precision == "fp32" else 4e-3
        np.testing.assert_allclose(found, reference.network(image, noise, steps), atol=tolerance)
    assert engine.precision == ("fp16" if precision == "reduced" else "fp32") and engine.precision in engine.describe()
    assert {block.device for block in gpu.cuda.blocks.values()} == {1}
    engine.close()


@pytest.mark.parametrize("precision", ["fp32", "reduced"])
def test_two_steps_are_one_run_of_the_merged_graph(gpu, merged_bundle, reference, picture, precision):
    engine = open_backend(merged_bundle, "cuda", precision=precision)
    image, noise = picture()
    for _ in range(2):
        gpu.ort.runs.clear()
        found = engine.network(image, noise, 2)
    assert gpu.ort.runs == ["replay"]
    tolerance = 1e-6 if precision == "fp32" else 4e-3
    np.testing.assert_allclose(found, reference.network(image, noise, 2), atol=tolerance)
    assert engine.phases(image, noise, 2)["compute_ms"] == 1
    engine.close()


@pytest.mark.parametrize("fixture", ["half_bundle", "merged_bundle"])
def test_a_whole_decomposition_is_one_program_from_the_second_picture_of_a_size_on(
    gpu, fixture, request, reference, picture
):
    engine = open_backend(request.getfixturevalue(fixture), "cuda")
    image, noise = picture()
    guide = 1.5 * image[:, :, :50, :70]
    full = np.random.default_rng(0).random((1, 3, 90, 140), np.float32)
    first = engine.decompose(image, noise, 2, guide, full)
    np.testing.assert_allclose(first, reference.decompose(image, noise, 2, guide, full), rtol=1e-2, atol=1e-2)
    assert not any(key[0] == "decompose" for key in engine._programs)
    np.testing.assert_array_equal(engine.decompose(image, noise, 2, guide, full), first)
    gpu.cuda.calls.clear()
    gpu.ort.runs.clear()
    np.testing.assert_array_equal(engine.decompose(image, noise, 2, guide, full), first)
    assert set(gpu.ort.runs) == {"replay"}
    # Image, guide and full image go up, the shading comes down.
    assert gpu.cuda.calls.count("cudaMemcpyAsync") == 4
    assert engine.decomposition_phases(image, noise, 2, guide, full)["compute_ms"] > 0
    engine.close()
    gc.collect()
    assert gpu.cuda.live() == [] and not gpu.ort.sessions


def test_graphs_run_one_by_one_and_the_upsampler_in_fp32(engine, reference, graph_feeds):
    for graph, inputs in graph_feeds(reference).items():
        expected = reference.run(graph, inputs)
        for _ in range(2):
            found = engine.run(graph, inputs)
            assert list(found) == list(expected)
            for name, values in expected.items():
                assert found[name].dtype == np.float32
                np.testing.assert_allclose(found[name], values, atol=1e-6 if graph == "upsampler" else 4e-3)


def test_a_call_sends_one_image_replays_what_was_captured_and_fetches_one_albedo(engine, gpu, picture):
    image, noise = picture()
    engine.network(image, noise, 3)
    gpu.cuda.calls.clear()
    gpu.ort.runs.clear()
    engine.network(image, noise, 3)
    assert gpu.ort.runs == ["replay"] * 5
    assert gpu.cuda.calls.count("cudaMemcpyAsync") == 2
    assert not {name for name in gpu.cuda.calls if "Malloc" in name or "Free" in name or "StreamSynchronize" in name}


def test_other_noise_is_sent_also_while_a_call_is_under_way(engine, reference, picture):
    image, noise = picture()
    calls = [(engine._submit_network(image, scale * noise, 2), scale * noise) for scale in (1, 2, 1)]
    for pending, values in reversed(calls):
        np.testing.assert_allclose(pending.result()["albedo"], reference.network(image, values, 2), atol=8e-3)


def test_many_images_keep_their_order_and_results_outlive_later_calls(engine, reference, picture):
    _, noise = picture()
    images = [picture(seed=seed)[0] for seed in range(5)]
    for image, result in zip(images, list(engine.network_many(iter(images), noise, 2)), strict=True):
        np.testing.assert_allclose(result, reference.network(image, noise, 2), atol=4e-3)
    calls = [{"albedo": image} for image in images]
    for feeds, result in zip(calls, list(engine.run_many("vae_encoder", iter(calls))), strict=True):
        np.testing.assert_allclose(result["z"], reference.run("vae_encoder", feeds)["z"], atol=4e-3)


def test_the_next_call_is_begun_before_the_last_ones_result_is_awaited(engine, gpu, picture, monkeypatch):
    _, noise = picture()
    images = [picture(seed=seed)[0] for seed in range(4)]
    list(engine.network_many(images, noise, 1))
    gpu.cuda.calls.clear()
    monkeypatch.setattr(gpu.ort, "runs", gpu.cuda.calls)
    list(engine.network_many(images, noise, 1))
    calls = [name for name in gpu.cuda.calls if name in ("replay", "cudaEventSynchronize")]
    launch, wait = ["replay"] * 3, ["cudaEventSynchronize"]
    assert calls == launch + launch + wait + launch + wait + launch + wait + wait


def test_a_calls_parts_are_those_that_the_device_times(engine, gpu, picture):
    image, noise = picture()
    for _ in range(2):
        found = engine.phases(image, noise, 3)
        # On the fake's clock a copy takes 1 ms, and so does each of encoder, three steps and decoder.
        assert (found["h2d_ms"], found["compute_ms"], found["d2h_ms"]) == (1, 5, 1)
        assert 0 < found["enqueue_ms"] < 1000
    # Those of one slot; the ones with timing are gone.
    assert len(gpu.cuda.events) == 3


def test_the_latency_benchmark_finds_precision_and_parts(gpu, half_bundle):
    variant = open_variant(half_bundle, "cuda", "default", Workload(1, 64, 1, 1))
    assert variant.precision == "fp16" and variant.phases()["compute_ms"] == 3
    for call in variant.calls.values():
        call()
    variant.close()
    gc.collect()
    assert gpu.cuda.live() == []


def test_each_shape_has_its_session_and_they_are_bounded(engine, gpu, picture):
    made = gpu.ort.made
    first = engine.run("decoder", {"z": picture()[1]})["albedo"]
    engine.run("decoder", {"z": picture()[1]})
    assert gpu.ort.made == made + 1
    for width in range(32, 32 * (MAX_PROGRAMS + 2), 32):
        engine.run("decoder", {"z": picture(width=width)[1]})
    gc.collect()
    assert len(engine._programs) == MAX_PROGRAMS == len(gpu.ort.sessions)
    np.testing.assert_array_equal(engine.run("decoder", {"z": picture()[1]})["albedo"], first)


def test_a_failure_of_any_cuda_call_leaves_nothing_behind(gpu, half_bundle, picture, fail_in_turn):
    def work():
        engine = open_backend(half_bundle, "cuda")
        try:
            list(engine.network_many([picture()[0]] * 3, picture()[1], 3))
            engine.phases(*picture(), 3)
        finally:
            engine.close()

    for number in fail_in_turn(gpu, work, 4):
        assert gpu.cuda.live() == [] and not gpu.ort.sessions, f"call {number}"


def test_a_session_without_cuda_is_refused_and_not_used_instead(half_bundle, install):
    gpu = install(takes_cuda=False)
    with pytest.raises(RuntimeError, match="chose CPUExecutionProvider instead of CUDAExecutionProvider"):
        open_backend(half_bundle, "cuda")
    assert gpu.ort.default_severity == 2, "ONNX Runtime's own line about the missing library is not shown"
    gc.collect()
    assert gpu.cuda.live() == [] and not gpu.ort.sessions


def test_a_machine_without_a_gpu_is_named_before_a_session_is_made(half_bundle, gpu):
    gpu.cuda.devices = 0
    with pytest.raises(CudaError, match="cudaErrorInsufficientDriver"):
        open_backend(half_bundle, "cuda")
    gpu.cuda.devices = 1
    with pytest.raises(CudaError, match="device 2, expected one of the 1"):
        open_backend(half_bundle, "cuda", device=2)
    assert gpu.ort.made == 0


def test_the_cpu_package_names_the_extra(half_bundle, install):
    install(providers=("CPUExecutionProvider",))
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[gpu\]"):
        open_backend(half_bundle, "cuda")


def test_missing_cuda_bindings_name_the_extra(half_bundle, gpu, monkeypatch):
    monkeypatch.setattr(onnxruntime_cuda, "load_cudart", load_cudart)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingExtraError, match=r"cuda-bindings is not installed.*intrinsic-flow\[gpu\]"):
        open_backend(half_bundle, "cuda")


def test_a_graph_that_does_not_load_is_named(own_bundle, gpu, unloadable_graph):
    (own_bundle / "decoder.onnx").write_bytes(unloadable_graph)
    rewrite_manifest(own_bundle)
    with pytest.raises(InputError, match=r"decoder\.onnx: found a graph that does not load"):
        open_backend(Bundle.load(own_bundle), "cuda")
    gc.collect()
    assert gpu.cuda.live() == []


def test_a_closed_engine_and_its_pending_results_raise(engine, picture):
    pending = engine._submit_network(*picture(), 2)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        pending.result()
    with pytest.raises(RuntimeError, match="closed"):
        engine.network(*picture(), 2)


@pytest.mark.parametrize("graph", GRAPHS)
def test_fixed_shapes_leave_no_arithmetic_on_shapes_which_cuda_graphs_cannot_hold(graph, tmp_path):
    bundle = Bundle.load("small")
    if not bundle.has(graph):
        pytest.skip(f"the shipped bundle has no {graph}")
    sizes = {"batch": 1, "h": 2, "w": 3, "low_h": 60, "low_w": 90, "full_h": 100, "full_w": 150}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    for tensor in bundle.spec(graph).inputs:
        for dim, side in zip(tensor.shape, tensor.resolve(**sizes)):
            if isinstance(dim, str):
                options.add_free_dimension_override_by_name(dim, side)
    onnxruntime.InferenceSession(str(bundle.path(graph)), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "optimized.onnx", load_external_data=False)
    left = {node.op_type for node in optimized.graph.node}
    assert not left & {"Shape", "Range", "ConstantOfShape", "NonZero", "Size", "If", "Loop"}


@pytest.mark.gpu
def test_on_a_gpu_fp16_keeps_60_decibels_of_the_cpu(picture):
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider: onnxruntime-gpu is not installed")
    bundle = Bundle.load()
    image, noise = picture(1, 256, 256)
    for steps in (1, 2, 3):
        with_gpu, exact = open_backend(bundle, "cuda"), open_backend(bundle, "cpu")
        for _ in range(3):
            assert psnr(with_gpu.network(image, noise, steps), exact.network(image, noise, steps)) >= 60
