"""Cameras chosen, light denoised, views judged and encoded, on a scene built by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intrinsic_flow.train.data.shard_writer import encode_view
from intrinsic_flow.train.data.shards import View, decode_members
from intrinsic_flow.train.rendering.scene import Camera
from intrinsic_flow.train.rendering.tracing.quality import Quality
from tests.train.rendering.conftest import INSIDE, window_room

QUALITY = Quality(size=(48, 64), samples=16, noise=0.5, passes=4)


@pytest.fixture(scope="module")
def view(backend) -> View:
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.views import render_view

    return render_view(assemble(window_room()), INSIDE, QUALITY, seed=3)


def test_view_has_its_groups_and_a_valid_mask(view):
    assert view.meta["groups"] == ["sun", "sky", "lamps"]
    assert view.albedo.shape == (48, 64, 3)
    assert view.shading.shape == view.residual.shape == (3, 48, 64, 3)
    assert (view.albedo[view.mask] >= 0.004).all()
    # The window shows no surface, the metal box has no albedo.
    assert 0.5 < view.mask.mean() < 0.97
    assert view.meta["samples"] in (16, 32, 48, 64)


def test_a_view_tells_what_each_pixel_shows(view):
    names = [material for material, *_ in view.meta["surfaces"]]
    assert {"sky", "metal"} <= set(names)
    metal, sky = view.of_material("metal"), view.of_material("sky")
    assert metal.any() and sky.any() and view.mask[metal].mean() < 0.2 and not view.mask[sky].any()
    boxes = [index for index, (_, thing, _) in enumerate(view.meta["surfaces"]) if thing == 6]
    (index,) = boxes
    red = view.surface == index
    np.testing.assert_allclose(view.albedo[red & view.mask].mean(0), [0.5, 0.1, 0.1], atol=0.02)
    np.testing.assert_allclose(view.meta["surfaces"][index][2], [0.5, 0.1, 0.1], atol=0.03)
    # Whatever is seen faces the camera; the floor's normal is up.
    floor = view.surface == next(k for k, (_, thing, _) in enumerate(view.meta["surfaces"]) if thing == 0)
    forward, right, up, _ = INSIDE.frame((48, 64))
    assert (view.normal[floor | red][:, 2] > -0.05).all()
    np.testing.assert_allclose(np.median(view.normal[floor], 0), [right[2], up[2], -forward[2]], atol=0.02)
    stored = decode_members(encode_view(view)).decode()
    np.testing.assert_array_equal(stored.surface, view.surface)
    assert np.abs(stored.normal - view.normal)[view.mask].mean() < 0.07


def test_denoised_view_is_what_many_samples_give(view):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.integrator import render_layers

    truth = render_layers(assemble(window_room()), INSIDE, QUALITY.size, 512, 5)
    assert view.image.mean() == pytest.approx(truth.image.mean(), rel=0.03)
    for k in range(3):
        expected = truth.diffuse.mean(0)[k] / np.maximum(truth.albedo, 4e-3)
        error = np.abs(view.shading[k] - expected)[view.mask].mean() / expected[view.mask].mean()
        assert error < 0.15


def test_tracing_at_twice_the_size_makes_edges_of_shadows_sharper(backend):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.views import render_view

    def steps(enlargement: int) -> float:
        quality = Quality(size=(96, 128), samples=64, noise=9, enlargement=enlargement)
        sun = np.log(render_view(assemble(window_room()), INSIDE, quality, seed=3).shading[0].mean(-1) + 1e-3)
        one, five = np.abs(sun[:, 1:] - sun[:, :-1]), np.abs(sun[:, 5:] - sun[:, :-5])
        largest = np.max([one[:, k : k + five.shape[1]] for k in range(5)], axis=0)
        return float(np.median((largest / np.maximum(five, 1e-9))[five > 1.0]))

    assert steps(2) > steps(1) + 0.03


def test_averaged_shading_times_averaged_albedo_is_the_averaged_light():
    from intrinsic_flow.train.rendering.tracing.views import averaged_shading, block_mean

    rng = np.random.default_rng(0)
    albedo, shading = rng.uniform(0.1, 1, (8, 12, 3)), rng.uniform(0, 5, (8, 12, 3))
    albedo[:2, :2] = 0
    mean = averaged_shading(shading, albedo, 2)
    assert mean.shape == (4, 6, 3)
    np.testing.assert_allclose(mean[0, 0], shading[:2, :2].mean((0, 1)))
    lit = block_mean(albedo * shading, 2)
    np.testing.assert_allclose((block_mean(albedo, 2) * mean)[1:], lit[1:])
    np.testing.assert_array_equal(block_mean(albedo, 1), albedo)


@pytest.mark.parametrize("samples", [0, 8, 24])
def test_samples_fill_the_buckets_of_every_traced_pixel(samples):
    with pytest.raises(ValueError, match=f"found {samples}, expected a positive multiple of 16"):
        Quality(samples=samples)


def test_encoded_view_decodes_to_the_same_picture(view):
    decoded = decode_members(encode_view(view)).decode()
    light = view.image.mean(-1)
    lit = light > 0.05 * np.percentile(light, 95)
    assert np.median(np.abs(decoded.image - view.image).mean(-1)[lit] / light[lit]) < 0.03


def test_gains_scale_groups_alone(view):
    from intrinsic_flow.train.rendering.tracing.views import with_gains

    changed = with_gains(view, np.array([2.0, 1.0, 0.0]))
    np.testing.assert_array_equal(changed.shading[1], view.shading[1])
    np.testing.assert_allclose(changed.shading[0], 2 * view.shading[0])
    assert changed.residual[2].max() == 0
    assert changed.albedo is view.albedo


def test_lamps_are_lifted_to_the_daylight(view):
    from intrinsic_flow.train.rendering.tracing.views import lamp_gains, with_gains

    dim = with_gains(view, np.array([1.0, 1.0, 0.1]))
    shares = []
    for seed in range(50):
        gains = lamp_gains(dim, np.random.default_rng(seed))
        assert gains[0] == gains[1] == 1
        lit = with_gains(dim, gains)
        light = [(lit.albedo * shading).mean() for shading in lit.shading]
        shares.append(light[2] / (light[0] + light[1]))
    assert 0.5 < np.median(shares) < 1.1
    dark = with_gains(view, np.array([1.0, 1.0, 1e-7]))
    assert lamp_gains(dark, np.random.default_rng(0)).tolist() == [1, 1, 300]
    only_day = View(view.albedo, view.shading[:2], view.residual[:2], view.mask, {**view.meta, "groups": ["sun", "sky"]})
    np.testing.assert_array_equal(lamp_gains(only_day, np.random.default_rng(0)), 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda view: replace(view, mask=np.zeros_like(view.mask)), "invalid"),
        (lambda view: replace(view, shading=0 * view.shading, residual=0 * view.residual), "invalid"),
        (lambda view: replace(view, shading=view.shading * spot(view, 0.1), residual=0 * view.residual), "dark"),
        (lambda view: replace(view, shading=view.shading * 0 + 1, residual=0 * view.residual, albedo=flat(view)), "flat"),
    ],
)
def test_views_that_teach_nothing_are_rejected(view, change, reason):
    from intrinsic_flow.train.rendering.tracing.views import RejectedView, judge

    judge(view)
    # What surrounds a single thing may be black.
    around = spot(view, 0.4)
    alone = replace(view, shading=view.shading * around, residual=0 * view.residual, mask=view.mask & (around[..., 0] == 1))
    judge(alone, isolated=True)
    with pytest.raises(RejectedView, match=reason):
        judge(change(view))


def spot(view: View, share: float) -> np.ndarray:
    lit = np.full((*view.mask.shape, 1), 1e-3, np.float32)
    lit[: round(share * len(lit))] = 1
    return lit


def flat(view: View) -> np.ndarray:
    return np.full_like(view.albedo, 0.4)


def test_cameras_that_see_much_come_first_and_blocked_ones_never(backend):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.cameras import choose_cameras

    blocked = Camera(np.array([0.0, -0.12, 0.4]), np.array([0.0, 1.0, 0.4]), 60.0)
    outside = Camera(np.array([0.0, 0.0, 20.0]), np.array([0.0, 0.0, 30.0]), 60.0)
    proposals = [blocked, outside, None, INSIDE] * 20
    scene = replace(window_room(), propose_camera=lambda rng: proposals.pop())
    chosen = choose_cameras(scene, assemble(scene), 3, (64, 64), np.random.default_rng(0))
    assert len(chosen) == 3
    assert all(camera is INSIDE for camera in chosen)


def test_no_proposal_no_camera(backend):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.cameras import choose_cameras

    scene = replace(window_room(), propose_camera=lambda rng: None)
    assert choose_cameras(scene, assemble(scene), 3, (64, 64), np.random.default_rng(0)) == []


def test_entropy_counts_things_evenly():
    from intrinsic_flow.train.rendering.tracing.cameras import view_entropy

    distance = np.full(400, 2.0)
    even = np.arange(400) % 8
    assert view_entropy(distance, even) == pytest.approx(np.log(8))
    assert view_entropy(distance, np.where(even < 5, 0, even)) is not None
    assert view_entropy(distance, np.zeros(400, int)) is None
    assert view_entropy(distance, np.zeros(400, int), isolated=True) == 0
    assert view_entropy(distance, np.where(np.arange(400) < 60, 0, 1), isolated=True) is None
    # Where things are there for their shadows, one surface is enough, as long as it is not they that are seen.
    assert view_entropy(distance, np.zeros(400, int), casters=frozenset([3])) == 0
    assert view_entropy(distance, np.where(np.arange(400) < 60, 3, 0), casters=frozenset([3])) is None
    assert view_entropy(np.full(400, 0.1), even) is None
    assert view_entropy(np.full(400, np.inf), np.full(400, -1)) is None


def test_a_vignette_leaves_the_middle_and_darkens_the_corners(view):
    from intrinsic_flow.train.rendering.tracing.views import vignetted

    darkened = vignetted(view, 0.4)
    ratio = darkened.image.mean(-1) / view.image.mean(-1)
    assert ratio[24, 32] == pytest.approx(1, abs=0.01) and ratio[0, 0] == pytest.approx(0.6, abs=0.03)
    np.testing.assert_array_equal(darkened.albedo, view.albedo)


def test_a_camera_clips_the_window_and_leaves_light_on_surfaces(view):
    from intrinsic_flow.train.rendering.tracing.views import clipped, white_level

    white = white_level(view, np.random.default_rng(0))
    # At least what brings the 90th percentile of the surfaces to 0.8 of white.
    level = np.percentile(view.image[view.mask] @ [0.2126, 0.7152, 0.0722], 90)
    assert 1.25 * level * 0.999 <= white <= 4 * level
    cut = clipped(view, white)
    np.testing.assert_array_equal(cut.image[view.mask], view.image[view.mask])
    assert view.image[~view.mask].max() > white >= 0.999 * cut.image[~view.mask].max()
    bright = ~view.mask & (view.residual.min((0, -1)) > 1e-3)
    shares = [each.residual[:, bright] / each.residual[:, bright].sum(0) for each in (view, cut)]
    np.testing.assert_allclose(*shares, rtol=1e-4)


def test_light_spreads_further_in_wax_than_in_skin(backend):
    from intrinsic_flow.train.rendering.tracing.views import scattered

    shading = np.zeros((8, 80, 3), np.float32)
    shading[:, :40] = 1
    everywhere = np.ones((8, 80), np.float32)
    skin, wax = (scattered(shading, everywhere, 1.0, kind)[4, 44] for kind in ("skin", "translucent"))
    assert (wax > skin + 0.05).all() and wax.max() < 0.5


def test_light_spreads_in_skin_red_most_and_stays_within(backend):
    from intrinsic_flow.train.rendering.tracing.views import scattered

    shading = np.zeros((40, 40, 3), np.float32)
    shading[:, :20] = 1
    skin = np.ones((40, 40), np.float32)
    skin[:10] = 0
    soft = scattered(shading, skin, 1.0)
    np.testing.assert_array_equal(soft[:10], shading[:10])
    np.testing.assert_allclose(soft[10:].mean((0, 1)), 0.5, atol=0.01)
    shadow = soft[25, 22]
    assert shadow[0] > shadow[1] + 0.05 > shadow[2] + 0.05 and shadow[0] < 0.5
    assert scattered(shading, skin, 0.01) is shading
