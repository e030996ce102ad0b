"""MAW's two scores by hand and against a slow transcription of the authors' evaluator."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from intrinsic_flow.benchmarks.scoring.metrics.measured_albedo import (
    MeasuredRegions,
    adobe_to_rec709,
    chromaticity_error,
    intensity_error,
    region_means,
)


def test_intensity_of_two_hand_computed_regions() -> None:
    # Greys 0.2 and 0.2 against 0.2 and 0.6, 3 and 1 pixels: scale (3*.04 + .12) / (3*.04 + .04) = 1.5, guess 0.3, 0.3.
    means = np.full((2, 3), 0.2)
    colors = np.array([[0.2] * 3, [0.6] * 3])
    expected = (3 * (0.3 - 0.2) ** 2 + (0.3 - 0.6) ** 2) / 4
    assert intensity_error(means, colors, np.array([3, 1])) == pytest.approx(expected)


def test_intensity_forgives_exposure_and_colour_chromaticity_forgives_brightness() -> None:
    colors = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.6]])
    pixels = np.array([10, 20])
    assert intensity_error(colors * 0.4, colors, pixels) == pytest.approx(0, abs=1e-12)
    swapped = colors[:, ::-1]
    assert intensity_error(swapped, colors, pixels) == pytest.approx(0, abs=1e-12)
    assert chromaticity_error(swapped, colors, pixels) > 10
    brighter = colors * np.array([[2.0], [0.5]])
    assert chromaticity_error(brighter, colors, pixels) == pytest.approx(0, abs=1e-9)
    assert intensity_error(brighter, colors, pixels) > 0.01


def test_both_scores_equal_the_loops_of_the_authors_evaluator() -> None:
    rng = np.random.default_rng(0)
    means, colors, pixels = rng.uniform(0.05, 0.7, (6, 3)), rng.uniform(0.05, 0.7, (6, 3)), rng.integers(5, 500, 6)
    top = bottom = 0.0
    for guess, wanted, weight in zip(means, colors, pixels, strict=True):
        top += weight * guess.mean() * wanted.mean()
        bottom += weight * guess.mean() ** 2
    intensity = chroma = 0.0
    for guess, wanted, weight in zip(means, colors, pixels, strict=True):
        intensity += weight * (top / bottom * guess.mean() - wanted.mean()) ** 2
        scaled = guess * wanted.mean() / guess.mean()
        pair = [np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055).clip(0, 1) for c in (wanted, scaled)]
        chroma += weight * float(deltaE_ciede2000(*(rgb2lab(color) for color in pair)))
    assert intensity_error(means, colors, pixels) == pytest.approx(intensity / pixels.sum(), rel=1e-9)
    assert chromaticity_error(means, colors, pixels) == pytest.approx(chroma / pixels.sum(), rel=1e-4)


def test_adobe_rgb_keeps_white_and_its_green_is_out_of_rec709() -> None:
    found = adobe_to_rec709(np.array([[1.0, 1, 1], [0.5, 0.5, 0.5], [0, 0.5, 0], [0.5, 0, 0]]))
    np.testing.assert_allclose(found[:2], [[1, 1, 1], [0.5, 0.5, 0.5]], atol=1e-3)
    np.testing.assert_allclose(found[2], [0, 0.5, 0], atol=1e-3)  # red -.199 and blue -.021 are clipped
    np.testing.assert_allclose(found[3], [0.699, 0, 0], atol=1e-3)  # 1.3984 of Rec.709 red


def test_region_means_are_linear_averages_at_320x240() -> None:
    albedo = np.zeros((480, 640, 3), np.float32)
    albedo[:, :320], albedo[:, 320:] = [0.5, 0.25, 0.1], 0.8
    regions = np.zeros((480, 640), np.uint8)
    regions[100:200, 100:200], regions[100:200, 400:450], regions[0, 0] = 7, 9, 11
    colors = {7: np.array([0.1, 0.1, 0.1]), 9: np.array([0.2, 0.2, 0.2]), 11: np.array([0.3, 0.3, 0.3])}
    means, wanted, pixels = region_means(albedo, MeasuredRegions(regions, colors))
    np.testing.assert_allclose(means[:2], [[0.5, 0.25, 0.1], [0.8, 0.8, 0.8]], rtol=1e-4)
    assert pixels[:2].tolist() == [2500, 1250] and wanted[0, 0] == 0.1


def test_albedo_above_one_is_scaled_not_clipped() -> None:
    albedo = np.full((240, 320, 3), 0.5, np.float32)
    albedo[:, 160:] = 2.0
    regions = np.ones((240, 320), np.uint8)
    regions[:, 160:] = 2
    measured = MeasuredRegions(regions, {1: np.full(3, 0.2), 2: np.full(3, 0.8)})
    assert intensity_error(*region_means(albedo, measured)) == pytest.approx(0, abs=1e-6)


def test_regions_too_small_for_the_scores_are_an_error() -> None:
    regions = np.zeros((2400, 3200), np.uint8)
    regions[1, 1] = 3
    with pytest.raises(ValueError, match="no measured region"):
        region_means(np.ones((24, 32, 3), np.float32), MeasuredRegions(regions, {3: np.ones(3)}))


def test_the_picture_shows_the_measured_colours() -> None:
    regions = np.zeros((40, 60), np.uint8)
    regions[:, 30:] = 5
    picture = MeasuredRegions(regions, {5: np.array([0.1, 0.2, 0.3])}).picture((20, 30))
    np.testing.assert_allclose(picture[10, 25], [0.1, 0.2, 0.3], rtol=1e-6)
    assert (picture[:, :15] == 0).all()
