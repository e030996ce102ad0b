"""The low-shading graph against NumPy in float64, and the two ways of a decomposition against each other."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from intrinsic_flow.decomposition.bundle import PRECISIONS, Bundle, graph_file
from intrinsic_flow.decomposition.decomposer import Decomposer


def as_guide(exposed):
    return np.minimum(exposed, np.finfo(np.float32).max).astype(np.float32)


def log_low_shading(exposed, albedo):
    """(B, 3, H, W) float64: each channel's own log-shading by a / (a + .15), the luminances' by the rest."""
    light, albedo = np.maximum(exposed, 1e-4), np.maximum(albedo, 1e-3).astype(np.float64)
    bright, reflecting = (np.tensordot([0.2126, 0.7152, 0.0722], rgb, (0, 1)) for rgb in (light, albedo))
    own = albedo / (albedo + 0.15)
    return own * np.log(light / albedo) + (1 - own) * np.log(bright / reflecting)[:, None]


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
    expected = log_low_shading(exposed, albedo[:, :, :rows, :columns])
    assert found.shape == exposed.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(found) > 10


def test_light_close_to_the_largest_float_stays_finite(run):
    exposed = np.array([1.0, 1e29, 1e30, 2e30, 5e37, 3.4e38, 1e40]).reshape(1, 1, 1, 7).repeat(3, 1)
    for albedo in (0.0, 0.5, 1.0):
        _, found = run(np.full((1, 3, 32, 32), albedo), as_guide(exposed))
        expected = log_low_shading(as_guide(exposed).astype(np.float64), np.full((1, 3, 1, 7), albedo))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_red_door_has_no_violet_light(run):
    """Half of the right blue where there is hardly any hardly moves the light's colour."""
    exposed = np.array([0.35, 0.04, 0.01]).reshape(1, 3, 1, 1).repeat(32, 2).repeat(32, 3)
    true = np.array([0.5, 0.06, 0.016]).reshape(1, 3, 1, 1).repeat(32, 2).repeat(32, 3)
    wrong = true * np.array([1, 1, 0.5]).reshape(1, 3, 1, 1)
    (_, right), (_, found) = run(true, as_guide(exposed)), run(wrong, as_guide(exposed))
    assert np.abs(found - right)[:, 2].max() < 0.15 and np.abs(found - right)[:, :2].max() < 0.02


def test_the_bundle_that_is_built_has_the_graph_and_decomposes_as_before(exported_bundle, monkeypatch):
    assert Bundle.load(exported_bundle).has("low_shading") and Bundle.load(exported_bundle).has("low_shading", "fp16")
    image = np.random.default_rng(0).random((70, 90, 3), np.float32) * 3
    with Decomposer.load(exported_bundle, "cpu", resolution=48) as model:
        whole = model.decompose(image)
        monkeypatch.setattr(Decomposer, "_in_one_call", lambda self, image: False)
        np.testing.assert_array_equal(model.decompose(image).albedo, whole.albedo)
