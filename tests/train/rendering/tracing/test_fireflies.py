from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.tracing.fireflies import relative_noise, robust_mean


def noisy(light: np.ndarray, spread: float = 0.2, seed: int = 0) -> np.ndarray:
    """(H, W, 3) -> four buckets of it under multiplicative noise."""
    rng = np.random.default_rng(seed)
    return (light * np.exp(rng.normal(0, spread, (4, *light.shape[:2], 1)) - spread**2 / 2)).astype(np.float32)


def test_noise_without_fireflies_keeps_its_mean():
    buckets = noisy(np.full((64, 64, 3), 0.5))
    assert robust_mean(buckets).mean() == pytest.approx(buckets.mean(), rel=1e-3)


def test_a_firefly_is_removed_with_its_colour():
    buckets = noisy(np.full((32, 32, 3), 0.5))
    clean = robust_mean(buckets)
    buckets[2, 10, 12] = (900.0, 300.0, 100.0)
    cleaned = robust_mean(buckets)
    assert cleaned[10, 12].max() < 4 * clean[10, 12].max()
    # Its neighbours do not notice.
    cleaned[10, 12] = clean[10, 12]
    np.testing.assert_allclose(cleaned, clean, rtol=0.02)


def test_removed_light_is_spread_where_there_are_surfaces():
    buckets = noisy(np.full((64, 64, 3), 0.5))
    clean = robust_mean(buckets)
    weight = np.ones((64, 64), np.float32)
    weight[:, 40:] = 0
    for row, column in ((20, 30), (50, 10), (5, 5)):
        buckets[1, row, column] *= 15
    cleaned = robust_mean(buckets, weight)
    assert cleaned.sum() == pytest.approx(buckets.mean(0).sum(), rel=1e-3)
    np.testing.assert_allclose(cleaned[:, 40:], clean[:, 40:], rtol=1e-5)
    assert np.abs(cleaned / clean - 1).max() < 2.5
    # What nobody believes is gone.
    buckets[2, 30, 20] = 1e7
    assert robust_mean(buckets, weight).mean() < 1.2 * clean.mean()


def test_the_brightest_bucket_keeps_its_hue():
    buckets = np.full((4, 8, 8, 3), 0.1, np.float32)
    buckets[0, 4, 4] = (80.0, 40.0, 20.0)
    red, green, blue = robust_mean(buckets)[4, 4] * 4 - 0.3
    assert red / green == pytest.approx(2, rel=1e-3)
    assert green / blue == pytest.approx(2, rel=1e-3)


def test_a_highlight_of_one_pixel_is_not_dimmed():
    light = np.full((32, 32, 3), 0.2)
    light[16, 16] = 40.0
    buckets = noisy(light)
    assert robust_mean(buckets)[16, 16].mean() == pytest.approx(buckets[:, 16, 16].mean(), rel=1e-3)


def test_a_sharp_shadow_edge_keeps_its_light():
    light = np.full((32, 32, 3), 0.01)
    light[:, 16:] = 5.0
    buckets = noisy(light)
    np.testing.assert_allclose(robust_mean(buckets).mean((0, 2)), buckets.mean((0, 1, 3)), rtol=0.02)


def test_relative_noise_is_the_standard_error():
    buckets = noisy(np.full((128, 128, 3), 2.0), spread=0.1)
    assert relative_noise(buckets, np.ones((128, 128), bool)) == pytest.approx(0.1 / 2, rel=0.06)
    assert relative_noise(buckets * 7, np.ones((128, 128), bool)) == pytest.approx(0.1 / 2, rel=0.06)
    assert relative_noise(np.zeros_like(buckets), np.ones((128, 128), bool)) == 0
    assert relative_noise(buckets, np.zeros((128, 128), bool)) == 0
