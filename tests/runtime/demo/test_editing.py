"""Edits of surface and light."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.demo.editing import (
    DAYLIGHT_KELVIN,
    Light,
    Recolour,
    black_body,
    for_display,
    light_color,
    light_level,
    parse_color,
    recolour,
    recompose,
    relight,
    select,
    weights,
)
from intrinsic_flow.media.color import luminance, srgb_to_linear

BLUE = (0.05, 0.1, 0.5)


@pytest.fixture
def room() -> tuple[np.ndarray, np.ndarray]:
    """Albedo of a red and a green wall, a red patch on the green one, and a light that falls off: (60, 80, 3) each."""
    albedo = np.empty((60, 80, 3), np.float32)
    albedo[:, :40], albedo[:, 40:] = (0.5, 0.1, 0.1), (0.1, 0.5, 0.1)
    albedo[20:40, 60:70] = (0.5, 0.1, 0.1)
    albedo *= np.random.default_rng(1).uniform(0.95, 1.05, (60, 80, 1)).astype(np.float32)
    shading = np.linspace(0.2, 3.0, 80, dtype=np.float32)[None, :, None] * np.ones((60, 80, 3), np.float32)
    return albedo, shading


def test_without_edits_the_picture_is_the_product(room):
    albedo, shading = room
    image = recompose(albedo, shading, [], Light(), light_level(shading))
    np.testing.assert_allclose(image, albedo * shading, rtol=1e-6)


def test_a_click_selects_what_hangs_together(room):
    albedo, _ = room
    weight = weights(albedo, select(albedo, Recolour(0.1, 0.5, BLUE)))
    assert weight[:, :40].min() > 0.9
    assert weight[:, 40:].max() == 0


def test_everywhere_selects_the_same_colour_elsewhere(room):
    albedo, _ = room
    weight = weights(albedo, select(albedo, Recolour(0.1, 0.5, BLUE, everywhere=True)))
    assert weight[20:40, 60:70].min() > 0.9
    assert weight[:10, 40:].max() == 0


def test_a_wide_tolerance_takes_everything(room):
    albedo, _ = room
    assert weights(albedo, select(albedo, Recolour(0.1, 0.5, BLUE, tolerance=1000))).min() > 0.9


def test_clicks_on_the_border_stay_inside(room):
    albedo, _ = room
    for x, y in ((0.0, 0.0), (0.9999, 0.9999), (1.0, 1.0)):
        assert weights(albedo, select(albedo, Recolour(x, y, BLUE))).max() > 0


def test_paint_has_the_new_mean_and_keeps_the_texture(room):
    albedo, _ = room
    painted = recolour(albedo, select(albedo, Recolour(0.1, 0.5, BLUE)), BLUE)
    np.testing.assert_allclose(painted[:, :40].mean((0, 1)), BLUE, rtol=0.05)
    ratio = luminance(painted[:, :40]) / luminance(albedo[:, :40])
    assert ratio.std() / ratio.mean() < 0.02
    np.testing.assert_array_equal(painted[:, 40:], albedo[:, 40:])
    assert painted.max() <= 1


def test_a_selection_made_small_fits_the_full_size(room):
    albedo, _ = room
    large = albedo.repeat(3, axis=0).repeat(3, axis=1)[:-1]
    selection = select(albedo, Recolour(0.1, 0.5, BLUE))
    weight = weights(large, selection)
    assert weight.shape == (179, 240)
    assert weight[:, :120].min() > 0.9
    assert weight[:, 123:].max() == 0


def test_light_strength_scales_and_temperature_keeps_brightness(room):
    _, shading = room
    level = light_level(shading)
    np.testing.assert_allclose(relight(shading, Light(strength=2), level), 2 * shading, rtol=1e-6)
    warm, cold = (relight(shading, Light(kelvin=kelvin), level) for kelvin in (2700, 12000))
    np.testing.assert_allclose(luminance(warm), luminance(shading), rtol=1e-4)
    assert (warm[..., 0] > warm[..., 2]).all() and (cold[..., 0] < cold[..., 2]).all()


def test_contrast_turns_around_the_mean_light(room):
    _, shading = room
    level = light_level(shading)
    flat = relight(shading, Light(contrast=0), level)
    np.testing.assert_allclose(luminance(flat), level, rtol=1e-4)
    harsh = relight(shading, Light(contrast=2), level)
    assert light_level(harsh) == pytest.approx(level, rel=1e-3)
    assert np.log(luminance(harsh)).std() == pytest.approx(2 * np.log(luminance(shading)).std(), rel=1e-3)


def test_black_stays_black_and_finite_at_any_contrast():
    shading = np.zeros((4, 4, 3), np.float32)
    for contrast in (0, 0.5, 2):
        assert (relight(shading, Light(contrast=contrast), light_level(shading)) == 0).all()


def test_daylight_and_white_leave_the_colour_as_it_is():
    np.testing.assert_allclose(light_color(Light(kelvin=DAYLIGHT_KELVIN)), 1, rtol=1e-6)


# CIE 15, Planckian locus: chromaticities of 2856 K (illuminant A) and of 6500 K.
@pytest.mark.parametrize(("kelvin", "xy"), [(2856, (0.4476, 0.4074)), (6500, (0.3135, 0.3237))])
def test_black_body_has_the_published_chromaticity(kelvin, xy):
    xyz = np.linalg.inv([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]) @ black_body(
        kelvin
    )
    np.testing.assert_allclose(xyz[:2] / xyz.sum(), xy, atol=2e-3)


@pytest.mark.parametrize("text", ["#ff8000", "rgb(255, 128, 0)", "rgba(255.0, 128.0, 0.0, 1)"])
def test_colours_of_a_browser(text):
    np.testing.assert_allclose(parse_color(text), srgb_to_linear(np.array([1, 128 / 255, 0])), rtol=1e-6)


@pytest.mark.parametrize("text", ["", "red", "#fff", "rgb(1,2)"])
def test_other_colours_are_refused(text):
    with pytest.raises(ValueError, match="expected #rrggbb"):
        parse_color(text)


def test_display_is_srgb():
    np.testing.assert_array_equal(for_display(np.array([[[0.0, 0.5, 4.0]]], np.float32)), [[[0, 188, 255]]])
