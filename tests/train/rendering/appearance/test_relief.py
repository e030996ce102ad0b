from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance import relief, textures
from intrinsic_flow.train.rendering.appearance.patterns import mineral
from intrinsic_flow.train.rendering.scene import Texture

MAKERS = {make.__name__: make for makers in relief.MAKERS.values() for make in makers}


def rms(slopes: np.ndarray) -> float:
    return float(np.sqrt((slopes.astype(np.float64) ** 2).mean()))


@pytest.mark.parametrize("name", MAKERS)
def test_a_relief_has_unit_slope_and_no_seam(name):
    found = relief.of_height(MAKERS[name](np.random.default_rng(0)), True)
    assert found.slopes.dtype == np.float16
    assert rms(found.slopes) == pytest.approx(1, abs=0.01)
    assert np.abs(found.slopes.astype(float).mean(axis=(0, 1))).max() < 0.02  # it comes back to where it started
    slopes = found.slopes.astype(np.float64)
    for field in (slopes, slopes.transpose(1, 0, 2)):
        steps = np.abs(np.diff(field, axis=0)).mean(axis=(1, 2))
        assert np.abs(field[0] - field[-1]).mean() <= 1.2 * steps.max() + 0.05


@pytest.mark.parametrize("role", textures.ROLES)
def test_every_role_has_reliefs(role):
    assert relief.draw(np.random.default_rng(1), role).tileable


def test_slopes_are_the_derivatives_along_u_and_v():
    u = np.arange(64) / 64 * 2 * np.pi
    height = np.broadcast_to(np.sin(u), (64, 64)).astype(np.float32)  # varies along columns: u
    slopes = relief.of_height(height, True).slopes.astype(float)
    np.testing.assert_allclose(slopes[..., 1], 0, atol=1e-3)
    np.testing.assert_allclose(slopes[0, :, 0], 2 * np.cos(u), atol=0.02)  # mean square 1 over both directions


def test_a_flat_surface_stays_flat():
    assert not relief.of_height(np.ones((16, 16), np.float32), True).slopes.any()


def test_a_relief_is_deeper_in_some_places_than_in_others():
    for seed in range(4):
        slopes = relief.draw(np.random.default_rng(seed), "worn").slopes.astype(float)
        patches = np.sqrt((slopes**2).mean(-1).reshape(4, 64, 4, 64).mean((1, 3)))
        assert patches.max() > 1.15 * patches.min()


def test_dark_joints_of_a_picture_become_grooves():
    pixels = np.full((64, 64, 3), 200, np.uint8)
    pixels[30:34] = 40
    found = [relief.of_texture(np.random.default_rng(seed), Texture(pixels, True)) for seed in range(12)]
    above, below = slice(108, 118), slice(138, 148)  # the picture is enlarged four times: the joint is at rows 120 to 136
    down = [
        f.slopes[above, :, 1].astype(float).mean() < -0.3 < 0.3 < f.slopes[below, :, 1].astype(float).mean() for f in found
    ]
    assert np.mean(down) > 0.6  # some are turned inside out


def test_a_generator_s_own_joints_match_its_texture():
    rng = np.random.default_rng(4)
    texture = mineral.bricks(rng)
    found = relief.of_texture(rng, texture)
    assert found.slopes.shape[:2] == texture.pixels.shape[:2]
    steep = np.abs(found.slopes.astype(float)).max(axis=-1)
    height = texture.height.astype(float)
    joint = height < np.quantile(height, 0.1)
    near = joint | np.roll(joint, 2, 0) | np.roll(joint, -2, 0) | np.roll(joint, 2, 1) | np.roll(joint, -2, 1)
    assert steep[near].mean() > 1.5 * steep[~near].mean()
