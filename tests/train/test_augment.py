from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from intrinsic_flow.errors import InputError
from intrinsic_flow.train.data.augment import (
    AugmentConfig,
    copied_crops,
    fill_invalid,
    gathered_crops,
    plain_batch,
    random_batch,
    saturated,
)
from intrinsic_flow.train.data.degrade import blur_or_sharpen, degrade, jpeg_like, linear_to_srgb, srgb_to_linear
from intrinsic_flow.train.data.draws import Draws, PairedDraws, paired
from intrinsic_flow.train.data.patterns import paint, random_field, shapes, stripes, transmittance
from intrinsic_flow.train.data.prints import load_prints, printed
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.sharpness import sharpen_edges
from intrinsic_flow.train.data.soft_light import LEAST_POWER, soft_light
from intrinsic_flow.train.data.store import build_views
from intrinsic_flow.train.tone_map import luminance

INDEX = torch.tensor([0, 2, 1, 2])


@pytest.fixture(scope="module")
def views():
    return build_views(procedural_views(3, 64))


@pytest.fixture(scope="module")
def store(views):
    return views.stores[0]


def draws(seed, count=4, rows=slice(None)):
    return Draws(torch.Generator().manual_seed(seed), count, rows)


def draw(views, seed=0, config=None, size=(32, 32), zooms=(1, 2), index=INDEX, rows=slice(None)):
    return random_batch(views, index[rows], size, zooms, config or AugmentConfig(), draws(seed, len(index), rows))


def test_a_stronger_colour_keeps_all_its_channels():
    red = torch.tensor([0.4, 0.03, 0.02])[:, None, None].expand(1, 3, 2, 2)
    gray = (torch.tensor([0.2126, 0.7152, 0.0722]) * red[0, :, 0, 0]).sum()
    strong = saturated(red, torch.tensor(1.8)[None, None, None, None])[0, :, 0, 0]
    torch.testing.assert_close(strong, gray * (red[0, :, 0, 0] / gray) ** 1.8)
    assert strong.min() > 0 and strong[0] / strong[2] > 20
    faint = saturated(red, torch.tensor(0.2)[None, None, None, None])[0, :, 0, 0]
    assert faint[0] / faint[2] == pytest.approx(20**0.2, rel=1e-4)
    assert bool((saturated(torch.zeros(1, 3, 1, 1), torch.full((1, 1, 1, 1), 1.5)) < 0.01).all())


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


def test_a_batch_is_a_function_of_its_seed(views):
    first, again, other = draw(views, 1), draw(views, 1), draw(views, 2)
    assert torch.equal(first.image, again.image) and torch.equal(first.albedo, again.albedo)
    assert not torch.equal(first.image, other.image)


@pytest.mark.parametrize("config", [AugmentConfig(), AugmentConfig(paint=0.7, cast_shadows=0.7)], ids=["plain", "patterns"])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_make_the_rows_that_one_would_make(views, world, config):
    whole = draw(views, 5, config)
    for rank in range(world):
        part = draw(views, 5, config, rows=slice(rank, 4, world))
        for name in ("image", "albedo", "mask"):
            torch.testing.assert_close(getattr(part, name), getattr(whole, name)[rank::world], rtol=0, atol=1e-6)


def test_light_and_surface_both_change(views):
    first, other = draw(views, 1, AugmentConfig(degrade=0)), draw(views, 4, AugmentConfig(degrade=0, albedo_gain=0.5))
    for batch in (first, other):
        assert batch.image.shape == batch.albedo.shape == (4, 3, 32, 32)
        assert batch.mask.shape == (4, 1, 32, 32)
        for tensor in (batch.image, batch.albedo):
            assert torch.isfinite(tensor).all() and tensor.min() >= 0 and tensor.max() <= 1


def test_without_random_strengths_only_the_crop_is_random(views, store):
    still = AugmentConfig(
        light_gain=0, light_color=0, albedo_gain=0, albedo_color=0, desaturate=0, exposure=0, white_balance=0, degrade=0
    )
    batch = draw(views, 0, still, (64, 64), (1,))
    plain = plain_batch(store, INDEX)
    for row in range(4):
        candidates = (plain.image[row], plain.image[row].flip(-1))
        assert min((batch.image[row] - c).abs().max() for c in candidates) < 1e-4


def test_relighting_leaves_albedo_alone(views):
    only_light = AugmentConfig(albedo_gain=0, albedo_color=0, desaturate=0, degrade=0)
    lit = [
        draw(views, 3, only_light, (64, 64), (1,))
        for only_light in (
            only_light,
            AugmentConfig(light_gain=2, albedo_gain=0, albedo_color=0, desaturate=0, degrade=0),
        )
    ]
    torch.testing.assert_close(lit[0].albedo, lit[1].albedo)
    assert (lit[0].image - lit[1].image).abs().mean() > 0.01


STILL = AugmentConfig(
    light_gain=0, light_color=0, albedo_gain=0, albedo_color=0, desaturate=0, exposure=0, white_balance=0, degrade=0
)


def test_without_recombination_the_default_light_stays(views, store):
    plain = plain_batch(store, INDEX)
    lit = draw(views, 3, dataclasses.replace(STILL, white_balance=0.0), (64, 64), (1,))
    recombined = draw(views, 3, dataclasses.replace(STILL, light_gain=1.0), (64, 64), (1,))
    assert (lit.image.sort(-1).values - plain.image.sort(-1).values).abs().max() < 1e-4
    assert (recombined.image.sort(-1).values - plain.image.sort(-1).values).abs().mean() > 0.01


def test_without_residual_light_the_image_is_albedo_times_shading(views, store):
    plain = plain_batch(store, INDEX)
    matte = draw(views, 0, dataclasses.replace(STILL, residual_light=False), (64, 64), (1,))
    for row in range(4):
        diffuse = plain.albedo[row] * plain.shading[row]
        candidates = [x / x.mean() for x in (diffuse, diffuse.flip(-1))]
        unclipped = matte.image[row] < 0.999
        ours = matte.image[row] / matte.image[row][unclipped].mean()
        assert min((ours - c / c[unclipped].mean())[unclipped].abs().max() for c in candidates) < 0.02


def test_residual_light_stays_where_nothing_is_valid(views):
    sky = dataclasses.replace(views.stores[0], mask=torch.zeros_like(views.stores[0].mask))
    with_gloss, without = (
        draw(type(views)((sky,)), 0, dataclasses.replace(STILL, residual_light=on), (64, 64), (1,)) for on in (True, False)
    )
    torch.testing.assert_close(with_gloss.image, without.image)


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (96, 64)])
def test_batches_take_the_size_of_their_bucket_from_views_of_any_size(size):
    mixed = build_views([*procedural_views(2, 64), *procedural_views(2, 128, 7)])
    index = torch.tensor([3, 0, 1, 2])
    batch = draw(mixed, 2, size=size, zooms=(1, 1.5, 2), index=index)
    assert batch.image.shape == batch.albedo.shape == (4, 3, *size) and batch.mask.shape == (4, 1, *size)
    assert torch.isfinite(batch.image).all()
    alone = draw(mixed, 2, size=size, zooms=(1, 1.5, 2), index=index, rows=slice(1, 4, 4))
    torch.testing.assert_close(alone.albedo, batch.albedo[1:2], rtol=0, atol=1e-6)


def test_zoom_halves_the_resolution():
    views = build_views(procedural_views(1, 64))
    half = draw(views, 0, STILL, (32, 32), (2,), index=torch.tensor([0]))
    codes = views.stores[0].albedo.float()
    expected = torch.nn.functional.avg_pool2d(codes, 2).div(255).square()
    assert min((half.albedo - e).abs().max() for e in (expected, expected.flip(-1))) < 1e-5


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
    assert degrade(image, 0, draws(0, 2)) is image


def test_degraded_images_stay_in_range_and_near_the_original():
    # Of some size each, as things in a picture: white noise would be all detail, which sharpening doubles.
    image = (
        torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    )
    result = degrade(image, 1.0, draws(0, 16))
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


def test_paint_is_on_the_albedo_and_seen_in_the_image(views):
    plain, painted = (draw(views, 3, dataclasses.replace(STILL, paint=share), (64, 64), (1,)) for share in (0.0, 1.0))
    # What the albedo leaves of the image is the light, which paint does not change but for gloss and exposure. Patterns are
    # drawn before the flip, which may therefore differ.
    for row in range(4):
        spread = []
        for turn in (lambda x: x, lambda x: x.flip(-1)):
            image, albedo = turn(plain.image[row]), turn(plain.albedo[row])
            mask = (turn(plain.mask[row]) > 0) & (painted.image[row] < 1) & (image < 1) & (painted.albedo[row] > 0.05)
            ratio = (painted.image[row] / painted.albedo[row])[mask] / (image / albedo)[mask]
            spread.append(ratio.log().std())
            assert (painted.albedo[row] / albedo)[mask].log().std() > 0.02
        assert min(spread) < 0.25


def test_paint_covers_texture_and_hue():
    """A checkerboard's contrast and colour go where a coat of paint lies; a shadow would let both through."""
    checks = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float()
    texture = torch.stack([0.2 + 0.4 * checks, 0.1 + 0.1 * checks, torch.full((64, 64), 0.05)]).expand(4, 3, 64, 64)

    def contrast(x):
        log = x[:, 0].log()
        return (log[:, :, 1:] - log[:, :, :-1]).abs()

    painted = torch.cat([paint(texture, 1.0, draws(seed)) for seed in range(30)])
    kept = contrast(painted) / contrast(texture[:1])
    covered = kept < 0.3
    assert 0.1 < covered.float().mean() < 0.6
    # The surface has at least four times as much red as blue everywhere; paint has any hue.
    red_to_blue = (painted[:, 0] / painted[:, 2])[:, :, 1:].log()
    assert red_to_blue[covered].mean() < 0.6 < 0.99 * math.log(4) < red_to_blue[kept > 0.9].median()


def test_small_shapes_are_paint():
    softness = torch.full((4, 1, 1, 1), 0.1)

    def edges(finest):
        drawn = torch.stack([shapes(draws(seed), (96, 96), softness, finest) for seed in range(30)])
        return (drawn[..., 1:] - drawn[..., :-1]).abs().mean()

    assert edges(48) > 1.3 * edges(16)


def test_stripes_are_straight_and_as_fine_as_asked():
    for seed in range(5):
        waves = stripes(draws(seed), (64, 64), 8)
        assert waves.shape == (4, 1, 64, 64) and waves.abs().max() <= 1.4
        # Second differences of a plane wave are a constant times the wave.
        inner = waves[..., 1:-1, 1:-1]
        across = waves[..., 1:-1, 2:] + waves[..., 1:-1, :-2]
        factor = (across * inner).sum((2, 3)) / inner.square().sum((2, 3))
        torch.testing.assert_close(across, factor[..., None, None] * inner, atol=1e-4, rtol=0)
        # cos(2 pi waves / 64) on each axis: never finer than eight waves in 64 pixels.
        assert (factor / 2 > math.cos(2 * math.pi * 8 / 63) - 1e-3).all()


def test_cast_shadows_leave_the_albedo_alone(views):
    before, after = (draw(views, 3, dataclasses.replace(STILL, cast_shadows=s), (64, 64), (1,)) for s in (0.0, 1.0))
    for row in range(4):
        valid = before.mask[row].expand(3, -1, -1) > 0
        turn = min(
            (lambda x: x, lambda x: x.flip(-1)), key=lambda f: (f(after.albedo[row]) - before.albedo[row]).abs().sum()
        )
        torch.testing.assert_close(turn(after.albedo[row])[valid], before.albedo[row][valid])
        # The exposure brings what is left back to the same brightness, so that some places gain and others lose.
        lit = before.image[row] > 0.02
        ratio = turn(after.image[row])[lit] / before.image[row][lit]
        assert ratio.max() / ratio.min() > 1.5


def before_black(view):
    """The view with everything but a square in its middle black, no surface and unlit."""
    keep = np.zeros(view.mask.shape, bool)
    keep[16:48, 16:48] = True
    return dataclasses.replace(
        view,
        albedo=view.albedo * keep[..., None],
        shading=view.shading * keep[..., None],
        residual=view.residual * keep[..., None],
        mask=view.mask & keep,
    )


def test_nothing_out_of_sight_shades_a_single_thing_before_black():
    pairs = list(procedural_views(2, 64))
    mixed = build_views([pairs[0], ("alone", before_black(pairs[1][1]))])
    assert mixed.stores[0].isolated.tolist() == [False, True]
    index = torch.tensor([0, 1, 0, 1])
    shaded = {}
    for share in (0.0, 1.0):
        config = dataclasses.replace(STILL, cast_shadows=share)
        # Shadows are drawn before the flip, so both ways round count.
        shaded[share] = [draw(mixed, seed, config, (64, 64), (1,), index).image for seed in range(4)]
    for plain, dark in zip(shaded[0.0], shaded[1.0]):
        changed = [
            min((dark[row] - plain[row]).abs().mean(), (dark[row].flip(-1) - plain[row]).abs().mean()) for row in range(4)
        ]
        assert max(changed[1], changed[3]) < 1e-5 < 0.01 < min(changed[0], changed[2])


def test_shadows_of_the_only_light_are_not_black(views):
    alone, share = torch.tensor([True, False, True, False]), 1.0
    through = torch.stack([transmittance((48, 64), alone, share, draws(seed)) for seed in range(20)])
    assert through.shape == (20, 4, 1, 48, 64) and through.min() >= 0 and through.max() <= 1
    assert through[:, alone].min() >= 0.099 > through[:, ~alone].min()
    assert torch.equal(transmittance((8, 8), alone, 0.0, draws(0)), torch.ones(4, 1, 8, 8))


def test_a_field_has_unit_variance_and_the_pattern_of_its_seed():
    field = random_field(draws(1), (40, 64), (3, 10))
    assert field.shape == (4, 1, 40, 64)
    torch.testing.assert_close(field.std((2, 3)), torch.ones(4, 1), atol=1e-3, rtol=0)
    assert torch.equal(field, random_field(draws(1), (40, 64), (3, 10)))
    assert not torch.allclose(field, random_field(draws(2), (40, 64), (3, 10))[:, :, :40, :64])


def test_paint_leaves_views_alone_that_are_not_drawn():
    albedo = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(paint(albedo, 0.0, draws(0)), albedo)
    changed = torch.stack([(paint(albedo, 0.5, draws(seed)) != albedo).flatten(1).any(1) for seed in range(50)]).float()
    assert 0.35 < changed.mean() < 0.65


def test_both_ways_to_cut_crops_agree():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (5, 2, 3, 40, 64), dtype=torch.uint8, generator=generator)
    views, top, left = torch.tensor([4, 0, 2, 2]), torch.tensor([0, 3, 8, 5]), torch.tensor([1, 0, 32, 7])
    crops = copied_crops(codes, views, top, left, (32, 32))
    assert torch.equal(crops[1], codes[0, ..., 3:35, 0:32])
    assert torch.equal(gathered_crops(codes, views, top, left, (32, 32)), crops)
    whole = gathered_crops(codes[:, :, 1], views, 0 * top, 0 * left, (40, 64))
    assert torch.equal(whole, codes[views][:, :, 1])


def test_sharpening_narrows_an_edge_without_a_halo():
    step = torch.sigmoid(torch.arange(64) - 31.5).expand(2, 3, 64, 64) * 0.9 + 0.1
    sharp = sharpen_edges(step, torch.tensor([0.0, 3.0]).reshape(2, 1, 1, 1))
    assert torch.equal(sharp[0], step[0])
    before, after = (x.log().diff(dim=-1).max() for x in (step[1], sharp[1]))
    assert after > 1.6 * before
    assert sharp[1].min() >= step.min() - 1e-6 and sharp[1].max() <= step.max() + 1e-6
    flat = torch.full((1, 3, 32, 32), 0.4)
    flat[..., :8] = 0
    assert torch.allclose(sharpen_edges(flat, torch.full((1, 1, 1, 1), 3.0)), flat, atol=1e-6)


def test_soft_light_lowers_the_contrast_of_the_light_and_keeps_its_colours():
    generator = torch.Generator().manual_seed(0)
    light = torch.exp(torch.randn(4, 3, 24, 24, generator=generator))
    mask, share = torch.ones(4, 1, 24, 24), torch.tensor([1.0, 0.0, 1.0, 1.0]).reshape(4, 1, 1, 1)
    soft = soft_light(light, mask, share, draws(0))
    assert torch.equal(soft[1], light[1])
    before, after = (luminance(x).log().flatten(1).std(1) for x in (light, soft))
    ratio = (after / before)[[0, 2, 3]]
    assert ratio.min() >= LEAST_POWER - 1e-4 and ratio.max() < 1
    torch.testing.assert_close(soft / luminance(soft)[:, None], light / luminance(light)[:, None])
    dark = light * (torch.arange(24) >= 12)
    assert torch.isfinite(soft_light(dark, mask, share, draws(0))).all()


def test_a_print_covers_a_part_of_a_view_with_its_own_colours(tmp_path):
    bank = torch.zeros(1, 4, 64, 64, dtype=torch.uint8)
    bank[:, 0], bank[:, 3] = 180, 255
    albedo = torch.full((4, 3, 64, 64), 0.5)
    covered = torch.cat([printed(albedo, bank, 1.0, draws(seed)) for seed in range(8)])
    changed = (covered != 0.5).any(1)
    assert 0.05 < changed.float().mean() < 0.9
    # Pure red at full opacity would leave no green: a fifth of the surface may show through.
    assert covered[:, 1][changed].max() <= 0.5 * 0.2 + 0.01 and covered[:, 0][changed].min() > covered[:, 1][changed].max()
    assert torch.equal(printed(albedo, bank, 0.0, draws(0)), albedo)
    bank[:, 3] = 0
    assert torch.equal(printed(albedo, bank, 1.0, draws(0)), albedo)


@pytest.mark.parametrize("content", ["text", "floats"])
def test_a_file_that_is_no_bank_of_prints_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "prints.npy"
    if content == "text":
        path.write_text("prints")
    else:
        np.save(path, np.zeros((2, 4, 8, 8), np.float32))
    with pytest.raises(InputError, match=r"prints\.npy: found .*, expected prints of train\.prepare_prints"):
        load_prints(path)


def test_paired_draws_give_one_view_in_two_lights(views):
    config = AugmentConfig(paint=0.5, saturation=0.3, white_balanced=True, degrade=0.0, residual_light=False)
    light, index = draws(4), paired(INDEX)
    pair = random_batch(views, index, (48, 48), (1.0,), config, light, PairedDraws(draws(5)))
    assert index.tolist() == [0, 2, 0, 2]
    valid = (pair.mask[:2] * pair.mask[2:]) > 0
    assert torch.equal(pair.mask[:2], pair.mask[2:]) and valid.any()
    surface = (pair.albedo[:2] - pair.albedo[2:]).abs() * valid
    assert surface.max() < 1e-6
    assert ((pair.image[:2] - pair.image[2:]).abs() * valid).mean() > 0.01
    assert paired(torch.arange(5)).tolist() == [0, 1, 0, 1, 4]


def test_a_camera_sharpens_some_images_and_blurs_others():
    generator = torch.Generator().manual_seed(0)
    image = 0.3 + 0.2 * torch.rand(4, 3, 32, 32, generator=generator)
    amount = torch.tensor([0.5, -0.5, 0.0, -0.9]).reshape(4, 1, 1, 1)
    ratio = blur_or_sharpen(image, amount).std((1, 2, 3)) / image.std((1, 2, 3))
    assert ratio[0] < 0.7 and ratio[1] > 1.3 and ratio[2] == 1 and ratio[3] > ratio[1]
    # A flat picture has nothing to sharpen.
    torch.testing.assert_close(blur_or_sharpen(torch.full_like(image, 0.4), amount), torch.full_like(image, 0.4))


def test_a_sharpened_image_of_black_and_white_stays_one():
    checks = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float().expand(8, 3, 16, 16)
    for seed in range(8):
        result = degrade(checks, 1.0, draws(seed, 8))
        assert torch.isfinite(result).all() and result.min() >= 0 and result.max() <= 1
