"""The product contract, to the last bit that the output's type has."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.decomposition.product import clipped_fraction, finish, integer_scale

HALF_MIN_NORMAL = 2.0**-14


@pytest.fixture
def layers() -> tuple[np.ndarray, np.ndarray]:
    """An image over twelve orders of magnitude with black and negative pixels and channels, and a shading for it."""
    rng = np.random.default_rng(0)
    image = (10 ** rng.uniform(-6, 6, (50, 60, 3))).astype(np.float32)
    image[:5] = 0
    image[5:8, :, 1:] = 0
    image[8:12] *= -1
    image[12:14, :, 0] *= -1
    return image, (10 ** rng.uniform(-5, 6, (50, 60, 3))).astype(np.float32)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_product_of_float_layers_is_the_image_to_1e_5(layers, kind):
    image, own = layers
    albedo, shading = finish(image, own, "float", kind)
    product = albedo.astype(np.float64) * shading
    assert np.all(np.abs(product - image) <= 1e-5 * np.abs(image))
    assert albedo.dtype == shading.dtype == np.float32
    assert np.all(shading > 0) and np.all(albedo <= 1)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_product_of_half_layers_is_the_image_to_1e_3(layers, kind):
    image, own = layers
    albedo, shading = finish(image, own, "half", kind)
    for layer in (albedo, shading):
        np.testing.assert_array_equal(layer, layer.astype(np.float16).astype(np.float32))
    product = albedo.astype(np.float64) * shading
    normal = (np.abs(image) < 65504) & (albedo > -65504) & ((np.abs(albedo) >= HALF_MIN_NORMAL) | (image == 0))
    assert normal.mean() > 0.5
    assert np.all(np.abs(product - image)[normal] <= 1e-3 * np.abs(image)[normal])
    assert np.all(np.isfinite(shading)) and np.all(shading > 0)


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_the_sign_and_the_zeros_are_the_albedos(layers, kind):
    image, own = layers
    albedo, shading = finish(image, own, "float", kind)
    np.testing.assert_array_equal(np.sign(albedo), np.sign(image))
    assert np.all(shading > 0)


def test_shading_is_the_upsamplers_wherever_the_image_is_not_brighter(layers):
    image, own = layers
    _, shading = finish(image, own)
    below = image <= own
    assert 0.2 < below.mean() < 0.8
    np.testing.assert_array_equal(shading[below], own[below])


def test_what_is_brighter_than_its_shading_has_albedo_1_and_is_light(layers):
    image, own = layers
    albedo, shading = finish(image, own)
    above = image > own
    np.testing.assert_array_equal(shading[above], image[above])
    np.testing.assert_array_equal(albedo[above], 1)


def test_a_saturated_colour_leaves_no_hole_in_the_shading():
    yellow = np.broadcast_to(np.array([0.6, 0.5, 0.0], np.float32), (4, 4, 3)).copy()
    albedo, shading = finish(yellow, np.full_like(yellow, 0.8))
    np.testing.assert_array_equal(shading, np.float32(0.8))
    np.testing.assert_allclose(albedo[0, 0], [0.75, 0.625, 0], rtol=1e-6)


def test_gray_shading_is_one_value_a_pixel_and_keeps_the_lights_colour_in_the_albedo():
    light = np.array([1.0, 0.7, 0.4], np.float32)
    image = np.broadcast_to(0.5 * light, (4, 4, 3)).astype(np.float32)
    albedo, shading = finish(image, np.full_like(image, 0.8), "float", "gray")
    np.testing.assert_array_equal(shading, np.float32(0.8))
    np.testing.assert_allclose(albedo[0, 0], image[0, 0] / 0.8, rtol=1e-6)


def test_gray_shading_rises_to_a_highlight_instead_of_letting_the_albedo_pass_1():
    image = np.array([[[4.0, 2.0, 0.0]]], np.float32)
    albedo, shading = finish(image, np.full_like(image, 0.8), "float", "gray")
    np.testing.assert_array_equal(shading, 4.0)
    np.testing.assert_array_equal(albedo, [[[1.0, 0.5, 0.0]]])


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_rounding_float_layers_to_half_gives_what_half_alone_gives(layers, kind):
    image, own = layers
    direct = finish(image, own, "half", kind)
    by_float = finish(image, finish(image, own, "float", kind)[1], "half", kind)
    np.testing.assert_array_equal(by_float, direct)


def test_extremes_of_the_float_types_stay_finite_and_positive():
    image = np.array([[[3e38, 1e-42, 0.0]]], np.float32)
    for float_type in ("float", "half"):
        for own in (0.0, 1e-44, 3e38):
            albedo, shading = finish(image, np.full_like(image, own), float_type)
            assert np.all(np.isfinite(albedo)) and np.all(np.isfinite(shading)) and np.all(shading > 0)
            assert albedo[0, 0, 2] == 0


def test_large_images_are_finished_in_blocks_without_a_trace():
    rng = np.random.default_rng(0)
    image = rng.random((3, 400_000, 3), np.float32)
    own = rng.random((3, 400_000, 3), np.float32)
    whole = finish(image, own)
    for row in range(3):
        np.testing.assert_array_equal(finish(image[row : row + 1], own[row : row + 1])[0][0], whole[0][row])


def test_integer_scale_ignores_single_highlights():
    shading = np.full((100, 100, 3), 0.7, np.float32)
    shading[0, :3] = 500
    scale = integer_scale(np.full_like(shading, 0.5), shading)
    assert scale == pytest.approx(0.7)
    assert clipped_fraction(shading, scale) == pytest.approx(3 / 10000)


def test_integer_scale_of_a_black_image_is_1():
    shading = np.full((100, 100, 3), 1e-3, np.float32)
    albedo = np.zeros_like(shading)
    assert integer_scale(albedo, shading) == 1.0
    albedo[3, 3] = 0.1
    assert integer_scale(albedo, shading) == pytest.approx(1e-3)
