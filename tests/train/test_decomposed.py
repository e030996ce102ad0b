from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.train.data.decomposed import (
    Rejected,
    check_view,
    decompose,
    fill_nearest,
    picture_views,
    reduce,
    reduce_mask,
    valid_pixels,
    windows,
)


def scene(height: int = 80, width: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(image, albedo) of random tiles under a smooth light."""
    rng = np.random.default_rng(seed)
    tiles = rng.uniform(0.05, 0.9, (height // 10, width // 10, 3)).astype(np.float32)
    albedo = tiles.repeat(10, 0).repeat(10, 1)
    light = np.linspace(0.5, 3, width, dtype=np.float32)[None, :, None] * np.float32([1, 0.9, 0.7])
    return albedo * light, albedo


def test_the_product_and_the_residual_make_the_image():
    image, albedo = scene()
    albedo[:20, :20] = 0.001
    albedo[30, 30] = (0.5, 0.001, 0.3)  # one dark channel
    image[50, 50] = 500  # a glint
    mask = valid_pixels(image, albedo)
    assert not mask[:20, :20].any() and mask[30, 30]
    view = decompose(image, albedo, mask, {})
    np.testing.assert_allclose(view.image / view.meta["exposure_gain"], image, rtol=3e-5)
    assert exposure_gain(view.image) == pytest.approx(1, rel=1e-3)
    np.testing.assert_array_equal(view.albedo[~mask], 0)
    assert view.shading.shape == (1, 80, 120, 3) and (view.residual >= 0).all()
    smooth = view.shading[0][mask & (np.arange(120) > 60)]
    assert np.median(smooth[:, 0] / smooth[:, 2]) == pytest.approx(1 / 0.7, rel=1e-3), "shading keeps the light's colour"
    lit = np.ones(mask.shape, bool)
    lit[:20, :20] = lit[30, 30] = lit[50, 50] = False
    assert not view.residual[0][lit].any()
    assert view.shading.max() < 20, "the glint is residual"


def test_a_given_shading_is_scaled_to_the_image():
    image, albedo = scene()
    light = image / albedo
    image = image.copy()
    image[10:14, 10:14] += 5  # gloss that neither layer has
    view = decompose(image, albedo, np.ones(image.shape[:2], bool), {}, shading=light * 37)
    gain = view.meta["exposure_gain"]
    assert np.median(view.shading[0] / light) == pytest.approx(gain, rel=0.02)
    assert view.residual[0, 10:14, 10:14].min() > 4.5 * gain
    assert np.median(view.residual[0, 20:]) == 0


def test_reducing_averages_light_over_valid_pixels_only():
    layer = np.zeros((4, 8, 3), np.float32)
    layer[:, :4] = 1.0
    layer[0, 0] = np.nan
    valid = np.isfinite(layer).all(-1)
    np.testing.assert_allclose(reduce(layer, valid, 2)[..., 0], [[1, 1, 0, 0]] * 2, atol=1e-6)
    np.testing.assert_array_equal(reduce_mask(valid, 2), [[False, True, True, True], [True] * 4])
    halves = np.indices((6, 6)).sum(0)[..., None].repeat(3, 2).astype(np.float32)
    assert reduce(halves, np.ones((6, 6), bool), 2).mean() == pytest.approx(halves.mean())


def test_windows_spread_along_the_long_side():
    whole = slice(0, 10)
    assert windows(10, 30, 1) == [(whole, slice(10, 20))]
    assert windows(30, 10, 3) == [(slice(0, 10), whole), (slice(10, 20), whole), (slice(20, 30), whole)]
    assert windows(10, 10, 3) == [(whole, whole)]


def test_unknown_pixels_take_the_nearest_known_value():
    layer = np.zeros((1, 6, 3), np.float32)
    layer[0, 0], layer[0, 5] = 1, 2
    known = np.array([[True, False, False, False, False, True]])
    np.testing.assert_array_equal(fill_nearest(layer, known)[0, :, 0], [1, 1, 1, 2, 2, 2])
    assert not fill_nearest(layer, np.zeros((1, 6), bool)).any()


def test_pictures_that_teach_nothing_are_rejected_with_the_reason():
    image, _ = scene()
    everywhere = np.ones(image.shape[:2], bool)
    check_view(image, everywhere, 0.5)
    with pytest.raises(Rejected, match="too few valid pixels: 25%"):
        check_view(image, np.arange(120)[None].repeat(80, 0) < 30, 0.5)
    with pytest.raises(Rejected, match="nearly black"):
        check_view(image * 1e-6, everywhere, 0.5)
    lamp = np.full_like(image, 0.001)
    lamp[:8, :8] = 9
    with pytest.raises(Rejected, match="nearly black"):
        check_view(lamp, everywhere, 0.5)
    with pytest.raises(Rejected, match="nearly constant"):
        check_view(np.full_like(image, 0.4), everywhere, 0.5)


def test_each_window_is_judged_alone():
    image, albedo = scene(40, 120)
    image[:, :40] = 0.3  # left: nothing to see
    albedo[:, :40] = 0.5
    options = {"size": 20, "crops": 3, "min_valid": 0.5, "meta": {"kind": "x"}}
    valid = np.ones((40, 120), bool)
    found = picture_views(image, albedo, valid, **options)
    assert [view.mask.shape for view in found] == [(20, 20)] * 2
    with pytest.raises(Rejected, match="too few"):
        picture_views(image, albedo, ~valid, **options)
