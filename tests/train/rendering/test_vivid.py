from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance.vivid import detailed, vivid, vivid_color
from intrinsic_flow.train.rendering.scene import Material, Texture


def saturation(rgb: np.ndarray) -> float:
    return float(((rgb.max(-1) - rgb.min(-1)) / rgb.max(-1)).mean())


def test_colours_are_stronger_at_the_same_luminance_and_grey_stays_grey():
    brick = np.array([0.30, 0.18, 0.12])
    strong = vivid_color(brick, 1.6)
    np.testing.assert_allclose(strong @ [0.2126, 0.7152, 0.0722], brick @ [0.2126, 0.7152, 0.0722], rtol=1e-5)
    # A saturation of .6 leaves 1 - .36 of the strength.
    np.testing.assert_allclose(strong[0] / strong[2], (0.30 / 0.12) ** (1 + 0.6 * 0.64), rtol=1e-5)
    pure = np.array([0.5, 0.02, 0.01])
    np.testing.assert_allclose(vivid_color(pure, 1.6), pure, rtol=0.1)
    np.testing.assert_allclose(vivid_color(np.full(3, 0.4), 1.6), 0.4, rtol=1e-5)
    assert vivid_color(np.array([0.9, 0.05, 0.02]), 2.0).max() <= 0.9


def test_a_texture_is_changed_once_and_skin_not_at_all():
    pixels = np.random.default_rng(0).integers(110, 200, (8, 8, 3)).astype(np.uint8)
    shared = Texture(pixels, True)
    cloth, wood, skin = (Material(texture=shared, kind=kind) for kind in ("cloth", "wood", "skin"))
    strong = vivid([cloth, wood, skin], 1.5)
    assert strong[0].texture is strong[1].texture and strong[2].texture is shared
    before, after = ((texture.pixels / 255.0) ** 2 for texture in (shared, strong[0].texture))
    assert saturation(after) > saturation(before) * 1.1
    assert strong[0].color == pytest.approx((1, 1, 1))
    assert vivid([cloth], 1.0)[0].texture.pixels == pytest.approx(pixels, abs=1)


def test_fine_contrast_grows_and_drawn_edges_do_not():
    grain = (
        0.3 * np.exp(0.1 * np.random.default_rng(0).normal(size=(64, 64, 1))).astype(np.float32) * np.ones(3, np.float32)
    )
    finer = detailed(grain, 1.5)
    assert np.log(finer).std() == pytest.approx(1.4 * np.log(grain).std(), rel=0.1)
    np.testing.assert_allclose(finer.mean(), grain.mean(), rtol=0.01)
    letter = np.where(np.arange(64)[None, :, None] < 32, 0.05, 0.8).astype(np.float32) * np.ones((64, 1, 3), np.float32)
    assert np.abs(np.log(detailed(letter, 1.5) / letter)).max() < 0.1
