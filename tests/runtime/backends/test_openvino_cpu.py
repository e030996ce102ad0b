"""OpenVINO against ONNX Runtime: same results to rounding, the same bytes each time, and bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.backends import open_backend
from intrinsic_flow.backends.openvino_cpu import MAX_SHAPES
from intrinsic_flow.decomposition.bundle import Bundle

openvino = pytest.importorskip("openvino", reason='openvino is not installed: pip install "intrinsic-flow[openvino]"')

CAPABILITIES = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
needs_reduced = pytest.mark.skipif(
    not {"BF16", "FP16"} & set(CAPABILITIES), reason="this CPU computes neither BF16 nor FP16"
)


def picture(height=64, width=96, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((1, 12, height // 8, width // 8), np.float32)
    return rng.random((1, 3, height, width), np.float32), noise


def psnr(found, expected):
    return -10 * np.log10(np.mean((found.astype(np.float64) - expected) ** 2))


@pytest.fixture(scope="module")
def engine(tiny_bundle):
    loaded = open_backend(Bundle.load(tiny_bundle), "openvino", precision="fp32", threads=1)
    yield loaded
    loaded.close()


def test_fp32_agrees_with_onnx_runtime_graph_by_graph(engine, tiny_bundle, graph_feeds):
    reference = open_backend(Bundle.load(tiny_bundle), "cpu")
    for graph, inputs in graph_feeds(reference).items():
        found, expected = engine.run(graph, inputs), reference.run(graph, inputs)
        assert list(found) == list(expected)
        for name, values in expected.items():
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=f"{graph} {name}")


@needs_reduced
def test_reduced_precision_of_the_shipped_model_keeps_what_its_bits_allow():
    bundle = Bundle.load("small")
    image, noise = picture(128, 128)
    fast, exact = open_backend(bundle, "openvino", precision="reduced"), open_backend(bundle, "cpu")
    found, expected = fast.network(image, noise, 2), exact.network(image, noise, 2)
    assert fast.precision in ("bf16", "fp16")
    assert {"bf16": 55, "fp16": 60}[fast.precision] <= psnr(found, expected) < 100
    rng = np.random.default_rng(1)
    low = {name: rng.random((1, 3, 64, 64), np.float32) for name in ("log_shading", "guide")}
    feeds = {**low, "image": rng.random((1, 3, 90, 70), np.float32), "rows": np.array([0, 90], np.float32)}
    upsampled = fast.run("upsampler", feeds)["shading"]
    np.testing.assert_allclose(upsampled, exact.run("upsampler", feeds)["shading"], rtol=1e-4)


def test_same_bytes_again_after_other_shapes_and_in_another_engine(tiny_bundle, scene):
    with Decomposer.load(tiny_bundle, "openvino") as model:
        first = model.decompose(scene)
        model.decompose(scene[:50])
        again = model.decompose(scene)
    with Decomposer.load(tiny_bundle, "openvino") as model:
        other = model.decompose(scene)
    for result in (again, other):
        assert result.albedo.tobytes() == first.albedo.tobytes()


def test_two_steps_in_one_graph_agree_with_the_loop():
    bundle = Bundle.load("small")
    image, noise = picture()
    engine = open_backend(bundle, "openvino", precision="fp32")
    np.testing.assert_allclose(
        engine.network(image, noise, 2), open_backend(bundle, "cpu").network(image, noise, 2), atol=1e-4
    )


def test_results_outlive_the_next_run(engine):
    (one, _), (two, _) = picture(seed=1), picture(seed=2)
    first = engine.run("vae_encoder", {"albedo": one})["z"]
    before = first.copy()
    engine.run("vae_encoder", {"albedo": two})
    np.testing.assert_array_equal(first, before)


def test_a_graph_is_compiled_anew_after_many_shapes_and_gives_the_same_bytes(engine):
    def latent(width):
        image = np.random.default_rng(0).random((1, 3, 32, width), np.float32)
        return engine.run("vae_encoder", {"albedo": image})["z"].tobytes()

    first, request = latent(32), engine._requests["vae_encoder"]
    for width in range(64, 32 * (MAX_SHAPES + 3), 32):
        latent(width)
    assert engine._requests["vae_encoder"] is not request
    assert len(engine._shapes["vae_encoder"]) < MAX_SHAPES
    assert latent(32) == first


def test_options_are_checked_and_described(tiny_bundle, engine):
    assert "OpenVINO" in engine.describe() and "fp32, threads 1" in engine.describe()
    with pytest.raises(ValueError, match="threads 0"):
        open_backend(Bundle.load(tiny_bundle), "openvino", threads=0)


def test_the_shipped_networks_run_with_any_number_of_steps(scene):
    """OpenVINO fuses the end of the shipped decoder, whose output then has more names than the manifest's."""
    albedo = []
    for backend in ("openvino", "cpu"):
        with Decomposer.load("small", backend, steps=1, resolution=64, precision="fp32", threads=1) as model:
            albedo.append(model.decompose(scene).albedo)
    np.testing.assert_allclose(albedo[0], albedo[1], atol=2e-3)
