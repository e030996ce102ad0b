from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance import palette

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def draws(role: str, count: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([palette.color(rng, role) for _ in range(count)])


@pytest.mark.parametrize("role", palette.PRIORS)
def test_every_colour_is_a_plausible_albedo(role):
    colors = draws(role)
    low, high = palette.ALBEDO_RANGE
    assert colors.min() >= low and colors.max() <= high
    assert colors.std(axis=0).max() > 0.005


def test_most_surfaces_are_neither_black_nor_white():
    luminance = draws("any") @ LUMINANCE
    assert np.mean((luminance > 0.07) & (luminance < 0.7)) > 0.85


def test_walls_are_bright_and_nearly_neutral_but_not_always():
    colors = draws("wall")
    luminance = colors @ LUMINANCE
    spread = np.log(colors.max(axis=1) / colors.min(axis=1))
    assert np.median(luminance) > 0.55
    assert np.median(spread) < 0.25
    assert np.mean(spread > 0.5) > 0.05


def test_grey_is_lightness_cubed():
    assert palette.oklch(0.7, 0.0, 0.0) == pytest.approx((0.343,) * 3, rel=1e-3)


def test_the_hue_survives_when_chroma_does_not_fit():
    red, green, blue = palette.oklch(0.6, 0.4, 29.0)
    assert red > 3 * green and red > 3 * blue
    assert red <= palette.ALBEDO_RANGE[1]
