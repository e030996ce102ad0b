from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.scene import Camera, Environment, Mesh, Part, Scene, SphereLight, Sun
from intrinsic_flow.train.rendering.world.motion import CLIP_KINDS, MAX_STEP, MAX_TURN, OFF_GAIN, make_clip


def scene(sun: bool = True, lamp: bool = True) -> Scene:
    """A ground, a box, and some lights."""
    corners = np.array([[-5, -5, 0], [5, -5, 0], [5, 5, 0], [-5, 5, 0]], float)
    ground = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), corners[:, :2], False)
    cube = Mesh(corners * (0.06, 0.06, 1) + (0, 0, 0.3), np.array([[0, 1, 2], [0, 2, 3]]), corners[:, :2], False)
    down = np.array([0.3, 0.2, -0.8]) / np.linalg.norm([0.3, 0.2, -0.8])
    return Scene(
        0,
        "tabletop",
        [Part(ground, 0, 0), Part(cube, 0, 1)],
        [],
        [SphereLight(np.array([1.0, 1, 2]), 0.1, np.ones(3), "lamps")] if lamp else [],
        Sun(down, np.ones(3)) if sun else None,
        Environment(np.ones((4, 8, 3), np.float32)),
        lambda rng: None,
    )


CAMERAS = [Camera(np.array([0.0, -2.0, 1.0]), np.zeros(3), 50.0), Camera(np.array([2.0, 0.5, 1.2]), np.zeros(3), 40.0)]


@pytest.mark.parametrize("kind", CLIP_KINDS)
def test_clips_are_complete_and_reproducible(kind):
    first, second = (make_clip(scene(), CAMERAS, np.random.default_rng(1), 24, kind) for _ in range(2))
    assert first.kind == kind and len(first.frames) == 24
    for a, b in zip(first.frames, second.frames):
        np.testing.assert_array_equal(a.camera.origin, b.camera.origin)
        np.testing.assert_array_equal(a.gains, b.gains)
        assert len(a.gains) == len(a.scene.groups) == 3


@pytest.mark.parametrize("seed", range(12))
def test_a_moving_camera_moves_no_faster_than_a_walker(seed):
    clip = make_clip(scene(), CAMERAS, np.random.default_rng(seed), 48, "moving_camera")
    origins = np.array([frame.camera.origin for frame in clip.frames])
    looks = np.array([frame.camera.target - frame.camera.origin for frame in clip.frames])
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    assert np.linalg.norm(np.diff(origins, axis=0), axis=1).max() <= MAX_STEP
    assert np.degrees(np.arccos((looks[1:] * looks[:-1]).sum(1).clip(-1, 1))).max() <= MAX_TURN + 1e-6
    assert np.abs(origins - CAMERAS[0].origin).max() + np.abs(looks - looks[0]).max() > 0.01
    assert not clip.cuts and not clip.light_changes
    assert all(frame.scene is clip.frames[0].scene for frame in clip.frames)


def test_a_moving_camera_does_not_enter_things():
    near = [Camera(np.array([0.0, -0.6, 0.32]), np.array([0, 0, 0.3]), 50.0), CAMERAS[1]]
    for seed in range(10):
        clip = make_clip(scene(), near, np.random.default_rng(seed), 48, "moving_camera")
        origins = np.array([frame.camera.origin for frame in clip.frames])
        inside = (np.abs(origins[:, :2]) < 0.3).all(1) & (np.abs(origins[:, 2] - 0.3) < 0.03)
        assert not inside.any()


@pytest.mark.parametrize("sun, lamp", [(True, True), (False, True), (False, False)])
def test_a_moving_light_moves_evenly_before_a_still_camera(sun, lamp):
    clip = make_clip(scene(sun, lamp), CAMERAS, np.random.default_rng(2), 24, "moving_light")
    assert all(frame.camera is CAMERAS[0] for frame in clip.frames)
    assert all(frame.scene.parts is clip.frames[0].scene.parts for frame in clip.frames)
    if sun:
        directions = np.array([frame.scene.sun.direction for frame in clip.frames])
        turns = np.degrees(np.arccos((directions[1:] * directions[:-1]).sum(1).clip(-1, 1)))
        assert directions[:, 2].max() < 0 and 0 < turns.max() < 5
    elif lamp:
        centers = np.array([frame.scene.lights[0].center for frame in clip.frames])
        assert 0 < np.linalg.norm(np.diff(centers, axis=0), axis=1).max() < 0.3
    else:
        turns = [frame.scene.environment.rotation for frame in clip.frames]
        assert 0 < np.abs(np.diff(turns)).max() < 6


@pytest.mark.parametrize("seed", range(8))
def test_a_switched_light_changes_at_the_reported_frames_only(seed):
    clip = make_clip(scene(), CAMERAS, np.random.default_rng(seed), 24, "switched_light")
    gains = np.array([frame.gains for frame in clip.frames])
    changed = np.flatnonzero(np.abs(np.diff(gains, axis=0)).max(1) > 0) + 1
    assert tuple(changed) == clip.light_changes and len(changed) in (1, 2)
    assert gains.min() == OFF_GAIN and gains.max() == 1
    assert (np.abs(gains - gains[0]).max(0) > 0).sum() == 1
    assert all(frame.camera is CAMERAS[0] for frame in clip.frames)


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_changes_the_place_at_the_reported_frame(seed):
    clip = make_clip(scene(), CAMERAS, np.random.default_rng(seed), 24, "cut")
    (at,) = clip.cuts
    assert 6 <= at <= 18
    for index, frame in enumerate(clip.frames):
        own, other = CAMERAS if index < at else CAMERAS[::-1]
        origin = frame.camera.origin
        assert np.linalg.norm(origin - own.origin) < np.linalg.norm(origin - other.origin)


@pytest.mark.parametrize("seed", range(6))
def test_things_move_rigidly_and_keep_their_numbers(seed):
    clip = make_clip(scene(), CAMERAS, np.random.default_rng(seed), 24, "moving_things")
    still, moving = zip(*(frame.scene.parts for frame in clip.frames))
    assert all(part.mesh is still[0].mesh for part in still)
    corners = np.array([part.mesh.vertices for part in moving])
    assert {part.thing for part in moving} == {1}
    edges = np.linalg.norm(np.diff(corners, axis=1), axis=-1)
    np.testing.assert_allclose(edges, np.broadcast_to(edges[0], edges.shape), rtol=1e-9)
    middles = corners.mean(1)
    steps = np.linalg.norm(np.diff(middles, axis=0), axis=1)
    assert np.abs(middles - middles[0]).max() > 0.05 and steps.max() <= 2 * MAX_STEP
    np.testing.assert_allclose(middles[:, 2], 0.3)


def test_zoom_flicker_and_fade_change_what_they_say():
    zoom, flicker, fade = (
        make_clip(scene(), CAMERAS, np.random.default_rng(3), 24, kind) for kind in ("zoom", "flicker", "fade")
    )
    fovs = np.array([frame.camera.fov for frame in zoom.frames])
    assert (np.diff(fovs) > 0).all() or (np.diff(fovs) < 0).all()
    gains = np.array([frame.gains for frame in flicker.frames])
    assert (gains.std(0) > 0).sum() == 1 and gains.min() > 0.2
    gains = np.array([frame.gains for frame in fade.frames])
    assert gains.min() < 0.16 and gains.max() == pytest.approx(1) and np.ptp(gains, axis=1).max() == 0


def test_too_few_frames_or_cameras_are_refused():
    with pytest.raises(ValueError, match="2 frames"):
        make_clip(scene(), CAMERAS, np.random.default_rng(0), 2, "cut")
    with pytest.raises(ValueError, match="1 cameras"):
        make_clip(scene(), CAMERAS[:1], np.random.default_rng(0), 24, "cut")
    with pytest.raises(ValueError, match="spin"):
        make_clip(scene(), CAMERAS, np.random.default_rng(0), 24, "spin")
