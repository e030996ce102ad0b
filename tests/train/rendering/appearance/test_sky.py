from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance import sky


@pytest.mark.parametrize("kind", ["outdoor", "indoor"])
@pytest.mark.parametrize("seed", range(4))
def test_a_map_is_normalised_and_the_same_for_the_same_state(kind, seed):
    found = sky.draw(np.random.default_rng(seed), kind)
    assert found.radiance.shape == (256, 512, 3) and found.radiance.dtype == np.float32
    assert np.isfinite(found.radiance).all() and found.radiance.min() >= 0
    luminance = found.radiance @ sky.LUMINANCE
    weight = np.broadcast_to(sky.solid_angle(256), luminance.shape)
    assert np.average(np.minimum(luminance, np.percentile(luminance, 98)), weights=weight) == pytest.approx(1, rel=1e-3)
    again = sky.draw(np.random.default_rng(seed), kind)
    np.testing.assert_array_equal(found.radiance, again.radiance)


def test_the_sky_is_brighter_than_the_ground():
    ratios = []
    for seed in range(6):
        luminance = sky.draw(np.random.default_rng(seed), "outdoor").radiance @ sky.LUMINANCE
        ratios.append(np.median(luminance[:110]) / np.median(luminance[150:]))
    assert min(ratios) > 1


def test_the_seam_at_the_back_is_closed():
    radiance = sky.draw(np.random.default_rng(1), "outdoor").radiance
    steps = np.abs(np.diff(radiance, axis=1)).mean(axis=(0, 2))
    assert np.abs(radiance[:, 0] - radiance[:, -1]).mean() <= 1.2 * steps.max()


def test_a_sun_does_not_set_the_exposure():
    radiance = np.ones((64, 128, 3), np.float32)
    radiance[10, 20] = 1e5
    found = sky.normalise(radiance)
    assert np.median(found) == pytest.approx(1, rel=0.01)
    assert found.max() <= sky.BRIGHTEST


def test_window_views_have_mean_one_and_no_sun():
    rng = np.random.default_rng(0)
    bright = np.ones((256, 512, 3), np.float32)
    bright[85:95] = 4000
    for view in (sky.window_view(rng), sky.window_crop(rng, bright)):
        assert view.dtype == np.float32 and view.ndim == 3 and view.shape[2] == 3
        assert view.mean() == pytest.approx(1, rel=1e-3)
        assert view.max() < 20


def test_a_clear_sky_is_blue_away_from_the_sun_and_bright_near_it():
    up = np.array([0.9, 0.5], np.float32)
    toward = np.array([0.2, 0.98], np.float32)
    far, near = sky._preetham(up, toward, np.radians(50), 2.5)
    assert far[2] > 1.5 * far[0]
    assert near.mean() > 2 * far.mean()
