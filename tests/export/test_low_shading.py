"""The low-shading graph against NumPy in float64, and the two ways of a decomposition against each other."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from intrinsic_flow.decomposition.bundle import PRECISIONS, Bundle, graph_file
from intrinsic_flow.decomposition.decomposer import Decomposer


def as_guide(exposed):
    return np.minimum(exposed, np.finfo(np.float32).max).astype(np.float32)


def low_shading(exposed, albedo):
    return np.maximum(exposed, 1e-4) / np.maximum(albedo, 1e-3)


@pytest.fixture(scope="module", params=PRECISIONS)
def run(request, exported_bundle):
    """albedo, guide -> the albedo as the graph gets it and log-shading."""
    path = exported_bundle / graph_file("low_shading", request.param)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(albedo, guide):
        albedo = albedo.astype(np.float16 if request.param == "fp16" else np.float32)
        return albedo.astype(np.float32), session.run(None, {"albedo": albedo, "guide": guide})[0]

    return run


@pytest.mark.parametrize("size", [(1, 64, 96, 64, 96), (2, 96, 64, 65, 33), (3, 32, 256, 32, 250)])
def test_the_graph_divides_the_light_by_the_albedo(run, size):
    batch, height, width, rows, columns = size
    rng = np.random.default_rng(0)
    albedo = rng.random((batch, 3, height, width), np.float32)
    exposed = np.exp(rng.normal(-2, 3, (batch, 3, rows, columns)))
    # Black, at the floors, and no albedo; the padding, which nothing may come from, is not even a number.
    albedo[:, :, :3, :20] = 0
    exposed[:, :, :2, :9] = 0
    exposed[:, :, 2, :9] = 1e-4
    albedo[:, :, rows:], albedo[:, :, :, columns:] = np.nan, np.nan
    albedo, found = run(albedo, as_guide(exposed))
    expected = np.log(low_shading(exposed, albedo[:, :, :rows, :columns]))
    assert found.shape == exposed.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert np.ptp(found) > 10


def test_light_close_to_the_largest_float_stays_finite(run):
    exposed = np.array([1.0, 1e29, 1e30, 2e30, 5e37, 3.4e38, 1e40]).reshape(1, 1, 1, 7).repeat(3, 1)
    for albedo in (0.0, 0.5, 1.0):
        _, found = run(np.full((1, 3, 32, 32), albedo), as_guide(exposed))
        with np.errstate(over="ignore"):
            expected = np.log(low_shading(as_guide(exposed).astype(np.float64), albedo))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_bundle_that_is_built_has_the_graph_and_decomposes_as_before(exported_bundle, monkeypatch):
    assert Bundle.load(exported_bundle).has("low_shading") and Bundle.load(exported_bundle).has("low_shading", "fp16")
    image = np.random.default_rng(0).random((70, 90, 3), np.float32) * 3
    with Decomposer.load(exported_bundle, "cpu", resolution=48) as model:
        whole = model.decompose(image)
        monkeypatch.setattr(Decomposer, "_in_one_call", lambda self, image: False)
        np.testing.assert_array_equal(model.decompose(image).albedo, whole.albedo)
