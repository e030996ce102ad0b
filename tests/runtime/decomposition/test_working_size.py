"""Working resolution, resizing and padding."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.decomposition.working_size import MAX_ASPECT, pad, resize, working_size


@pytest.mark.parametrize(
    ("image", "resolution", "expected"),
    [
        ((512, 768), 256, (256, 384)),
        ((768, 512), 256, (384, 256)),
        ((1080, 1920), 256, (256, 455)),
        ((256, 256), 256, (256, 256)),
        ((100, 150), 256, (100, 150)),
        ((20, 20), 256, (32, 32)),
        ((1, 1), 256, (32, 32)),
        ((20, 40), 256, (32, 64)),
        ((10, 5000), 256, (32, 1024)),
        ((5000, 1), 256, (1024, 32)),
        ((400, 4000), 256, (102, 1024)),
    ],
)
def test_short_side_is_the_resolution_and_nothing_is_enlarged_except_to_reach_32(image, resolution, expected):
    size = working_size(*image, resolution)
    assert (size.height, size.width) == expected


def test_sizes_are_always_usable_and_bounded():
    rng = np.random.default_rng(0)
    for _ in range(500):
        height, width = (int(2**x) for x in rng.uniform(0, 15, 2))
        resolution = int(rng.integers(32, 600))
        size = working_size(height, width, resolution)
        assert min(size.height, size.width) >= 32
        assert max(size.height, size.width) <= max(32, MAX_ASPECT * resolution)
        assert size.padded_height % 32 == 0 and size.padded_width % 32 == 0
        assert 0 <= size.padded_height - size.height < 32 and 0 <= size.padded_width - size.width < 32
        if min(height, width) >= 32 and max(height, width) <= MAX_ASPECT * min(height, width):
            assert size.height <= height and size.width <= width


def test_padding_reflects_to_multiples_of_32_and_leaves_the_image_in_place():
    image = np.random.default_rng(0).random((33, 64, 3), np.float32)
    padded = pad(image)
    assert padded.shape == (64, 64, 3)
    np.testing.assert_array_equal(padded[:33], image)
    np.testing.assert_array_equal(padded[33:63], image[2:32][::-1])
    assert pad(padded) is padded


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).random((64, 96, 3), np.float32)
    np.testing.assert_allclose(resize(image, 32, 32), image.reshape(32, 2, 32, 3, 3).mean(axis=(1, 3)), rtol=1e-5)


def test_shrinking_one_side_while_the_other_grows_does_not_alias():
    stripes = np.tile(np.array([0.0, 1.0], np.float32)[None, :, None], (4, 500, 3))
    resized = resize(stripes, 32, 100)
    assert resized.shape == (32, 100, 3)
    np.testing.assert_allclose(resized, 0.5, atol=1e-6)


def test_one_pixel_grows_to_a_constant_image():
    resized = resize(np.full((1, 1, 3), 0.3, np.float32), 32, 32)
    np.testing.assert_allclose(resized, 0.3, rtol=1e-6)
