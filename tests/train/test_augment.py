from __future__ import annotations

import pytest
import torch

from train.data.augment import AugmentConfig, fill_invalid, plain_batch, random_batch
from train.data.degrade import degrade, jpeg_like, linear_to_srgb, srgb_to_linear
from train.data.procedural import procedural_views
from train.data.store import build_store

INDEX = torch.tensor([0, 2, 1, 2])


@pytest.fixture(scope="module")
def store():
    return build_store(procedural_views(3, 64))


def draw(store, seed=0, config=None, side=32, crops=(32, 64)):
    return random_batch(store, INDEX, side, crops, config or AugmentConfig(), torch.Generator().manual_seed(seed))


def test_plain_batch_is_albedo_times_shading_plus_gloss(store):
    batch = plain_batch(store, INDEX)
    assert batch.image.shape == (4, 3, 64, 64)
    residual = batch.exposed - batch.albedo * batch.shading
    views = [view.decode() for _, view in procedural_views(3, 64)]
    for row, index in enumerate(INDEX.tolist()):
        gloss = torch.from_numpy(views[index].residual.sum(0)).permute(2, 0, 1)
        gain = batch.exposed[row].sum() / torch.from_numpy(views[index].image).sum()
        torch.testing.assert_close(residual[row], gloss * gain, atol=2e-3, rtol=1e-2)
    torch.testing.assert_close(batch.image, batch.exposed.clamp(0, 1))


def test_a_batch_is_a_function_of_its_seed(store):
    first, again, other = draw(store, 1), draw(store, 1), draw(store, 2)
    assert torch.equal(first.image, again.image) and torch.equal(first.albedo, again.albedo)
    assert not torch.equal(first.image, other.image)


def test_light_and_surface_both_change(store):
    first, other = draw(store, 1, AugmentConfig(degrade=0)), draw(store, 4, AugmentConfig(degrade=0, albedo_gain=0.5))
    for batch in (first, other):
        assert batch.image.shape == batch.albedo.shape == (4, 3, 32, 32)
        assert batch.mask.shape == (4, 1, 32, 32)
        for tensor in (batch.image, batch.albedo):
            assert torch.isfinite(tensor).all() and tensor.min() >= 0 and tensor.max() <= 1


def test_without_random_strengths_only_the_crop_is_random(store):
    still = AugmentConfig(
        light_gain=0, light_color=0, albedo_gain=0, albedo_color=0, desaturate=0, exposure=0, white_balance=0, degrade=0
    )
    batch = draw(store, 0, still, side=64, crops=(64,))
    plain = plain_batch(store, INDEX)
    for row in range(4):
        candidates = (plain.image[row], plain.image[row].flip(-1))
        assert min((batch.image[row] - c).abs().max() for c in candidates) < 1e-4


def test_relighting_leaves_albedo_alone(store):
    only_light = AugmentConfig(albedo_gain=0, albedo_color=0, desaturate=0, degrade=0)
    lit = [
        draw(store, 3, only_light, 64, (64,))
        for only_light in (
            only_light,
            AugmentConfig(light_gain=2, albedo_gain=0, albedo_color=0, desaturate=0, degrade=0),
        )
    ]
    torch.testing.assert_close(lit[0].albedo, lit[1].albedo)
    assert (lit[0].image - lit[1].image).abs().mean() > 0.01


def test_invalid_pixels_take_what_the_camera_sees_by_their_share_of_emitted_light():
    albedo, seen = torch.full((1, 3, 1, 3), 0.2), torch.full((1, 3, 1, 3), 0.9)
    diffuse = torch.tensor([0.5, 0.0, 0.5]).expand(1, 3, 1, 3)
    residual = torch.tensor([0.5, 1.0, 0.0]).expand(1, 3, 1, 3)
    mask = torch.zeros(1, 1, 1, 3)
    filled = fill_invalid(albedo, diffuse, residual, mask, seen)
    torch.testing.assert_close(filled[0, 0, 0], torch.tensor([0.55, 0.9, 0.2]))
    torch.testing.assert_close(fill_invalid(albedo, diffuse, residual, mask + 1, seen), albedo)


def test_degradation_of_strength_zero_is_none():
    image = torch.rand(2, 3, 16, 16)
    assert degrade(image, 0, torch.Generator()) is image


def test_degraded_images_stay_in_range_and_near_the_original():
    image = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    result = degrade(image, 1.0, torch.Generator().manual_seed(0))
    assert result.min() >= 0 and result.max() <= 1
    assert not torch.equal(result, image)
    assert (result - image).abs().mean() < 0.15


def test_jpeg_error_grows_with_its_scale():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4, generator=generator), size=(32, 32), mode="bilinear")
    fine, coarse = ((jpeg_like(smooth, torch.full((2, 1, 1, 1), s)) - smooth).abs().mean() for s in (0.05, 3.0))
    assert fine < 0.003 < coarse


def test_srgb_curve_and_its_inverse_cancel():
    x = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(x)), x, atol=1e-5, rtol=1e-5)
