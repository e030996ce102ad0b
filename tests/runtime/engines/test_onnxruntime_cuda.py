"""ONNX Runtime on CUDA: its own logic against a fake that computes on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from runtime.bundle import GRAPHS, Bundle, graph_file
from runtime.engines import open_engine
from runtime.engines.onnxruntime_cuda import MAX_PROGRAMS
from runtime.errors import InputError, MissingExtraError
from tests.runtime.conftest import build_tiny_bundle, rewrite_manifest
from tests.runtime.engines.fake_onnxruntime import fake_onnxruntime

PARTS = ("encoder", "velocity_step", "decoder", "vae_encoder")


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


@pytest.fixture
def install(monkeypatch, half_bundle):
    """Puts a fake ONNX Runtime in the place of the real one; options are those of `fake_onnxruntime`."""

    def put(**options):
        half = {}
        for graph in PARTS:
            spec = half_bundle.spec(graph, "fp16")
            half[graph_file(graph, "fp16")] = [t.name for t in (*spec.inputs, *spec.outputs) if t.dtype == "float16"]
        module = fake_onnxruntime(half=half, **options)
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        return module

    return put


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "reduced"])
def test_the_network_agrees_with_the_cpu_engine(half_bundle, install, picture, steps, precision):
    reference = open_engine(half_bundle, "cpu")
    inputs = [picture(seed=seed) for seed in range(3)]
    expected = [reference.network(*pair, steps) for pair in inputs]
    install()
    engine = open_engine(half_bundle, "cuda", precision=precision, device=1)
    for pair, albedo in zip(inputs, expected):
        found = engine.network(*pair, steps)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, albedo, atol=1e-6 if precision == "fp32" else 4e-3)
    assert ("fp16" if precision == "reduced" else "fp32") in engine.describe()


def test_graphs_run_one_by_one_and_the_upsampler_in_fp32(half_bundle, install, picture):
    reference = open_engine(half_bundle, "cpu")
    image, noise = picture()
    rng = np.random.default_rng(1)
    low = {name: rng.random((1, 3, 30, 40), np.float32) for name in ("log_shading", "guide")}
    feeds = {
        "encoder": {"image": image},
        "decoder": {"z": noise},
        "vae_encoder": {"albedo": image},
        "upsampler": {**low, "image": rng.random((1, 3, 50, 70), np.float32), "rows": np.array([10, 80], np.float32)},
    }
    expected = {graph: reference.run(graph, inputs) for graph, inputs in feeds.items()}
    install()
    engine = open_engine(half_bundle, "cuda")
    for graph, inputs in feeds.items():
        found = engine.run(graph, inputs)
        for name, values in expected[graph].items():
            np.testing.assert_allclose(found[name], values, atol=1e-6 if graph == "upsampler" else 4e-3)


def test_each_shape_has_its_session_and_they_are_bounded(half_bundle, install, picture):
    module = install()
    engine = open_engine(half_bundle, "cuda")
    made = len(module.sessions)
    first = engine.run("decoder", {"z": picture()[1]})["albedo"]
    engine.run("decoder", {"z": picture()[1]})
    assert len(module.sessions) == made + 1
    for width in range(32, 32 * (MAX_PROGRAMS + 2), 32):
        engine.run("decoder", {"z": picture(width=width)[1]})
    assert len(engine._programs) == MAX_PROGRAMS
    np.testing.assert_array_equal(engine.run("decoder", {"z": picture()[1]})["albedo"], first)


def test_a_session_without_cuda_is_refused_and_not_used_instead(half_bundle, install):
    install(takes_cuda=False)
    with pytest.raises(RuntimeError, match="chose CPUExecutionProvider instead of CUDAExecutionProvider"):
        open_engine(half_bundle, "cuda")


def test_the_cpu_package_names_the_extra(half_bundle, install):
    install(providers=("CPUExecutionProvider",))
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[gpu\]"):
        open_engine(half_bundle, "cuda")


def test_a_graph_that_does_not_load_is_named(own_bundle, install):
    install()
    (own_bundle / "decoder.onnx").write_bytes(b"no graph")
    rewrite_manifest(own_bundle)
    with pytest.raises(InputError, match=r"decoder\.onnx: found a graph that does not load"):
        open_engine(Bundle.load(own_bundle), "cuda")


def test_a_closed_engine_does_not_run(half_bundle, install, picture):
    install()
    engine = open_engine(half_bundle, "cuda")
    engine.close()
    engine.close()
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
        with_gpu, exact = open_engine(bundle, "cuda"), open_engine(bundle, "cpu")
        for _ in range(3):
            assert psnr(with_gpu.network(image, noise, steps), exact.network(image, noise, steps)) >= 60
