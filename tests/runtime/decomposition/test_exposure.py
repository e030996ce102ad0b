"""The exposure gain and its filter over time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intrinsic_flow.decomposition.exposure import GainFilter, ToneMap, exposure_gain


def gray(values: object) -> np.ndarray:
    return np.repeat(np.asarray(values, np.float32)[..., None], 3, axis=-1)


def test_the_90th_percentile_of_luminance_is_brought_to_0_8():
    image = np.random.default_rng(0).uniform(0.2, 3, (60, 80, 3)).astype(np.float32)
    light = image @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    assert exposure_gain(image) == pytest.approx(0.8 / np.percentile(light, 90), rel=1e-5)


def test_scaling_the_image_scales_the_gain_inversely():
    image = np.random.default_rng(1).uniform(0.1, 1, (40, 40, 3)).astype(np.float32)
    assert exposure_gain(image * 7) == pytest.approx(exposure_gain(image) / 7, rel=1e-5)


def test_a_dark_surround_does_not_drive_the_gain():
    subject = np.random.default_rng(2).uniform(0.3, 1, (30, 30)).astype(np.float32)
    surrounded = np.full((120, 120), 0.001, np.float32)
    surrounded[:30, :30] = subject
    assert exposure_gain(gray(surrounded)) == pytest.approx(exposure_gain(gray(subject)), rel=1e-6)
    assert 0.8 / np.percentile(surrounded, 90) > 2 * exposure_gain(gray(subject))


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.full((4, 4, 3), np.nan), -np.ones((4, 4, 3))])
def test_a_frame_without_light_has_gain_1(image):
    assert exposure_gain(image) == 1.0


def test_non_finite_pixels_are_left_out():
    image = gray(np.full((10, 10), 0.4))
    image[0, :5] = np.nan
    image[1, :5] = np.inf
    assert exposure_gain(image) == pytest.approx(2.0)


def test_the_gain_is_bounded():
    assert exposure_gain(gray(np.full((4, 4), 1e-9))) == 1e4
    assert exposure_gain(gray(np.full((4, 4), 1e30))) == 1e-3


def test_a_few_stars_on_black_are_what_is_exposed_for():
    image = np.zeros((100, 100), np.float32)
    image[10, 10] = 0.4
    assert exposure_gain(gray(image)) == pytest.approx(2.0)


def test_the_constants_survive_the_manifest():
    tone_map = ToneMap(target=0.7, min_gain=0.01)
    assert ToneMap.from_dict(tone_map.to_dict()) == tone_map
    with pytest.raises(ValueError, match="keys"):
        ToneMap.from_dict({**tone_map.to_dict(), "gamma": 2.2})
    with pytest.raises(ValueError, match="percentile"):
        ToneMap(percentile=101)
    with pytest.raises(ValueError, match="target"):
        ToneMap(target=math.nan)


def test_a_trembling_gain_comes_out_calmer():
    trembling = [1.0 + 0.1 * (-1) ** frame for frame in range(40)]
    gains = GainFilter()
    filtered = [gains.update(gain) for gain in trembling]
    assert np.ptp(filtered[20:]) < 0.2 * np.ptp(trembling)


def test_the_first_frame_has_its_own_gain_and_a_steady_gain_stays():
    gains = GainFilter()
    assert [gains.update(3.0) for _ in range(5)] == pytest.approx([3.0] * 5)


def test_a_jump_of_more_than_a_stop_takes_effect_at_once():
    gains = GainFilter()
    gains.update(1.0)
    assert gains.update(1.8) == pytest.approx(1.8**0.5)
    assert gains.update(5.0) == pytest.approx(5.0)


def test_a_gain_is_forgotten_after_so_many_frames():
    young, old = GainFilter(frames=4), GainFilter(frames=4)
    for gain in (1.7, 1.2, 1.3):
        old.update(gain)
    assert [old.update(gain) for gain in (1.4, 1.5, 1.6, 1.4, 1.3)][3:] == [
        young.update(g) for g in (1.4, 1.5, 1.6, 1.4, 1.3)
    ][3:]


def test_a_slow_drift_is_followed():
    gains = GainFilter(frames=8)
    for step in range(200):
        gain = gains.update(1.01**step)
    assert gain == pytest.approx(1.01**199, rel=0.05)
