"""The product contract, to the last bit that the output's type has."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.product import clipped_fraction, finish, integer_scale

HALF_MIN_NORMAL = 2.0**-14


@pytest.fixture
def layers() -> tuple[np.ndarray, np.ndarray]:
    """An image over twelve orders of magnitude with black pixels and channels, and an upsampler's albedo for it."""
    rng = np.random.default_rng(0)
    image = (10 ** rng.uniform(-6, 6, (50, 60, 3))).astype(np.float32)
    image[:5] = 0
    image[5:8, :, 1:] = 0
    shading = (10 ** rng.uniform(-5, 6, (50, 60, 1))).astype(np.float32)
    return image, np.clip(image / shading, 1e-4, 1).astype(np.float32)


@pytest.mark.parametrize("shading_kind", ["rgb", "gray"])
def test_product_of_float_layers_is_the_image_to_1e_5(layers, shading_kind):
    image, albedo_up = layers
    albedo, shading = finish(image, albedo_up, "float", shading_kind)
    product = albedo.astype(np.float64) * shading
    assert np.all(np.abs(product - image) <= 1e-5 * image)
    assert albedo.dtype == shading.dtype == np.float32
    assert np.all(shading >= 0) and np.all(albedo <= 1)


@pytest.mark.parametrize("shading_kind", ["rgb", "gray"])
def test_product_of_half_layers_is_the_image_to_1e_3(layers, shading_kind):
    image, albedo_up = layers
    albedo, shading = finish(image, albedo_up, "half", shading_kind)
    for layer in (albedo, shading):
        np.testing.assert_array_equal(layer, layer.astype(np.float16).astype(np.float32))
    product = albedo.astype(np.float64) * shading
    normal = (shading < 65504) & ((shading >= HALF_MIN_NORMAL) | (image == 0))
    normal &= (albedo >= HALF_MIN_NORMAL) | (image == 0)
    assert normal.mean() > 0.5
    assert np.all(np.abs(product - image)[normal] <= 1e-3 * image[normal])
    assert np.all(np.isfinite(shading))


def test_black_pixels_have_black_shading_and_the_smallest_albedo(layers):
    image, albedo_up = layers
    albedo, shading = finish(image, albedo_up)
    assert np.all(shading[:5] == 0)
    np.testing.assert_allclose(albedo[:5], 1e-4)


def test_rgb_albedo_is_the_upsamplers_and_stays_within_its_bounds(layers):
    image, albedo_up = layers
    albedo, _ = finish(image, albedo_up)
    np.testing.assert_array_equal(albedo, albedo_up)
    albedo, _ = finish(image, albedo_up * 3 - 1)
    assert albedo.min() == np.float32(1e-4) and albedo.max() == 1


def test_shading_is_not_clamped_at_1():
    image = np.full((2, 2, 3), 50, np.float32)
    _, shading = finish(image, np.full((2, 2, 3), 0.5, np.float32))
    np.testing.assert_array_equal(shading, 100)


def test_gray_shading_is_one_value_a_pixel_and_keeps_the_lights_colour_in_the_albedo():
    light = np.array([1.0, 0.7, 0.4], np.float32)
    image = np.broadcast_to(0.5 * light, (4, 4, 3)).astype(np.float32)
    albedo, shading = finish(image, np.clip(image / 0.8, 1e-4, 1), "float", "gray")
    np.testing.assert_allclose(shading, 0.8, rtol=1e-6)
    np.testing.assert_allclose(albedo[0, 0], image[0, 0] / 0.8, rtol=1e-6)


def test_gray_shading_rises_to_a_highlight_instead_of_letting_the_albedo_pass_1():
    image = np.array([[[4.0, 2.0, 0.0]]], np.float32)
    albedo, shading = finish(image, np.clip(image / 0.8, 1e-4, 1), "float", "gray")
    np.testing.assert_array_equal(shading, 4.0)
    np.testing.assert_array_equal(albedo, [[[1.0, 0.5, 0.0]]])


def test_rounding_float_layers_to_half_gives_what_half_alone_gives(layers):
    image, albedo_up = layers
    direct = finish(image, albedo_up, "half")
    by_float = finish(image, finish(image, albedo_up, "float")[0], "half")
    np.testing.assert_array_equal(by_float, direct)
    direct = finish(image, albedo_up, "half", "gray")
    by_float = finish(image, finish(image, albedo_up, "float", "gray")[0], "half", "gray")
    np.testing.assert_allclose(by_float, direct, rtol=2**-9, atol=2**-23)


def test_large_images_are_finished_as_small_ones():
    rng = np.random.default_rng(0)
    image = rng.random((3, 400_000, 3), np.float32)
    albedo = rng.random((3, 400_000, 3), np.float32)
    whole = finish(image, albedo)
    for row in range(3):
        np.testing.assert_array_equal(finish(image[row : row + 1], albedo[row : row + 1])[1][0], whole[1][row])


def test_integer_scale_ignores_single_highlights():
    shading = np.full((100, 100, 3), 0.7, np.float32)
    shading[0, :3] = 500
    assert integer_scale(shading) == pytest.approx(0.7)
    assert clipped_fraction(shading, integer_scale(shading)) == pytest.approx(3 / 10000)


def test_integer_scale_of_black_is_1_and_of_a_lone_light_is_that_light():
    shading = np.zeros((100, 100, 3), np.float32)
    assert integer_scale(shading) == 1.0
    shading[3, 3] = 2.5
    assert integer_scale(shading) == 2.5
