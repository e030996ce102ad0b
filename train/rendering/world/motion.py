"""Clips: what happens, frame by frame, before a camera in a scene.

The camera moves or zooms, the light does, or things and people move rigidly before a camera that rests. Albedo stays with
its surface throughout, and things keep their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from intrinsic_flow.train.rendering.scene import Camera, Light, Part, RectangleLight, Scene
from intrinsic_flow.train.rendering.world.geometry import moved
from intrinsic_flow.train.rendering.world.relight import moved_sun, sun_angles

ClipKind = Literal[
    "moving_camera", "moving_light", "switched_light", "cut", "moving_things", "zoom", "handheld", "flicker", "fade"
]
CLIP_KINDS: tuple[ClipKind, ...] = get_args(ClipKind)

# A walking cameraman, at 24 frames a second: metres and degrees between two frames.
MAX_STEP, MAX_TURN = 0.05, 3.0
# Hand-held shake: metres at the camera, and degrees of the direction, root mean square.
SHAKE_METRES, SHAKE_DEGREES = 0.0025, 0.12
# A group that is switched off keeps this much, so that its layers are not empty.
OFF_GAIN = 0.02
# The sun's course over a clip, degrees; through windows it has to go on entering.
SUN_COURSE, WINDOW_SUN_COURSE = 45.0, 16.0


@dataclass(frozen=True, eq=False)
class Frame:
    """scene: the clip's scene, with its lights as they are now (the very same object while they rest). gains: (K,) factors
    on the light groups.
    """

    camera: Camera
    scene: Scene
    gains: np.ndarray


@dataclass(frozen=True, eq=False)
class Clip:
    """cuts: frames that show another place than the frame before; light_changes: frames whose light differs abruptly."""

    kind: ClipKind
    frames: list[Frame]
    cuts: tuple[int, ...] = ()
    light_changes: tuple[int, ...] = ()


def make_clip(scene: Scene, cameras: list[Camera], rng: np.random.Generator, frames: int, kind: ClipKind) -> Clip:
    """A clip of some frames (at least 4). cameras: two that see something; the second is where a cut goes to.

    ValueError: kind is none of CLIP_KINDS, or frames or cameras are too few.
    """
    if frames < 4 or len(cameras) < 2:
        raise ValueError(f"clip: found {frames} frames and {len(cameras)} cameras, expected at least 4 and 2")
    on = np.ones(len(scene.groups))
    if kind == "moving_camera":
        path = camera_path(scene, cameras[0], rng, frames)
        return Clip(kind, [Frame(camera, scene, on) for camera in path])
    if kind == "moving_light":
        return Clip(kind, [Frame(cameras[0], lit, on) for lit in light_path(scene, rng, frames)])
    if kind == "switched_light":
        return _switched(scene, cameras[0], rng, frames)
    if kind == "cut":
        at = int(rng.integers(frames // 4, frames - frames // 4))
        # As often on a tripod as moving.
        shots = [
            [camera] * count if rng.random() < 0.5 else camera_path(scene, camera, rng, count)
            for camera, count in zip(cameras, (at, frames - at))
        ]
        return Clip(kind, [Frame(camera, scene, on) for shot in shots for camera in shot], cuts=(at,))
    if kind == "moving_things":
        return Clip(
            kind, [Frame(cameras[0], moved_scene, on) for moved_scene in things_path(scene, cameras[0], rng, frames)]
        )
    if kind == "zoom":
        ratio = float(rng.uniform(1.2, 2.2)) ** float(rng.choice([-1, 1]))
        fovs = np.clip(cameras[0].fov * ratio ** _ease(frames, rng), 8, 85)
        return Clip(kind, [Frame(replace(cameras[0], fov=float(fov)), scene, on) for fov in fovs])
    if kind == "handheld":
        shake, tremble = _wander(frames, rng), _wander(frames, rng)
        distance = float(np.linalg.norm(cameras[0].target - cameras[0].origin))
        degrees = SHAKE_DEGREES * float(rng.uniform(1, 4))
        path = [
            replace(
                cameras[0],
                origin=cameras[0].origin + SHAKE_METRES * s,
                target=cameras[0].target + np.radians(degrees) * distance * t,
            )
            for s, t in zip(shake, tremble)
        ]
        return Clip(kind, [Frame(camera, scene, on) for camera in path])
    if kind in ("flicker", "fade"):
        return Clip(kind, [Frame(cameras[0], scene, gains) for gains in _gains(kind, len(on), rng, frames)])
    raise ValueError(f"clip: found kind {kind!r}, expected one of {', '.join(CLIP_KINDS)}")


def _ease(frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames,) from 0 to 1: even, or slow at either end."""
    t = np.linspace(0, 1, frames)
    smooth = t * t * (3 - 2 * t)
    return t + (smooth - t) * rng.uniform(0, 1)


def _wander(frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames, 3) of root mean square about 1, the trembling of a hand: waves of 10 to 60 frames."""
    time = np.arange(frames)[:, None]
    periods, phases = rng.uniform(10, 60, (4, 1, 3)), rng.uniform(0, 2 * np.pi, (4, 1, 3))
    waves = np.sin(2 * np.pi * time / periods + phases)
    return waves.sum(0) / np.sqrt(2)


def _turned(vector: np.ndarray, degrees: float) -> np.ndarray:
    """(3,) turned about z."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1], vector[2]])


def camera_path(scene: Scene, camera: Camera, rng: np.random.Generator, frames: int) -> list[Camera]:
    """A dolly, a sideways move, an orbit or a pan from a camera, with hand-held shake. No step is over MAX_STEP and
    MAX_TURN, and the way does not lead through things (their bounds): it shortens until it is free.
    """
    origin, target = np.asarray(camera.origin, float), np.asarray(camera.target, float)
    view = target - origin
    distance = float(np.linalg.norm(view))
    forward = view / distance
    side = np.cross(forward, [0.0, 0.0, 1.0])
    side /= max(float(np.linalg.norm(side)), 1e-6)
    move = str(rng.choice(["dolly", "truck", "orbit", "pan"]))
    reach = float(rng.uniform(0.15, 0.5)) * min(distance, 3.0) * float(rng.choice([-1, 1]))
    turn = float(rng.uniform(8, 40)) * float(rng.choice([-1, 1]))
    lift = float(rng.normal(0, 0.06)) * distance
    progress, shake, tremble = _ease(frames, rng), _wander(frames, rng), _wander(frames, rng)
    steady = float(rng.choice([0.0, 0.6, 1.0]))
    way = min(1.0, 0.6 * MAX_STEP * (frames - 1) / max(abs(reach), 1e-6), 0.5 * MAX_TURN * (frames - 1) / abs(turn))
    for _ in range(6):
        path = []
        for k, along in enumerate(way * progress):
            at, aim = origin, target
            if move == "dolly":
                at = origin + forward * min(reach, 0.5 * distance) * along
            elif move == "truck":
                at, aim = origin + side * reach * along, target + side * reach * along * 0.5
            elif move == "orbit":
                at = target - _turned(view, turn * along)
            else:
                aim = origin + _turned(view, turn * along)
            at = at + np.array([0, 0, lift * along * (move != "pan")]) + steady * SHAKE_METRES * shake[k]
            aim = aim + steady * np.radians(SHAKE_DEGREES) * distance * tremble[k]
            path.append(replace(camera, origin=at, target=aim))
        if _is_free(scene, path):
            return path
        way *= 0.5
    return [camera] * frames


def _directions(path: list[Camera]) -> np.ndarray:
    view = np.array([camera.target - camera.origin for camera in path])
    return view / np.linalg.norm(view, axis=1, keepdims=True)


def _is_free(scene: Scene, path: list[Camera]) -> bool:
    """Whether a path is slow enough and enters the bounds of no part that it was not within from the start."""
    points, looks = np.array([camera.origin for camera in path]), _directions(path)
    if np.linalg.norm(np.diff(points, axis=0), axis=1).max() > MAX_STEP:
        return False
    if (looks[1:] * looks[:-1]).sum(1).min() < np.cos(np.radians(MAX_TURN)):
        return False
    margin = 0.06
    for part in scene.parts:
        low, high = part.mesh.vertices.min(0) - margin, part.mesh.vertices.max(0) + margin
        inside = ((points > low) & (points < high)).all(1)
        if inside.any() and not inside[0]:
            return False
    return True


def light_path(scene: Scene, rng: np.random.Generator, frames: int) -> list[Scene]:
    """The scene under a light that moves: its sun, else a lamp, else its whole sky turns."""
    progress = _ease(frames, rng)
    if scene.sun is not None:
        windows = any(isinstance(light, RectangleLight) and light.portal for light in scene.lights)
        course = WINDOW_SUN_COURSE if windows else SUN_COURSE
        azimuth, elevation = sun_angles(scene.sun)
        turn = course * float(rng.uniform(0.4, 1.0)) * float(rng.choice([-1, 1]))
        rise = float(rng.uniform(-0.5, 0.5)) * course
        heights = np.clip(elevation + rise * progress, 6, 80)
        return [replace(scene, sun=moved_sun(scene.sun, azimuth + turn * p, float(h))) for p, h in zip(progress, heights)]
    lamps = [k for k, light in enumerate(scene.lights) if not (isinstance(light, RectangleLight) and light.portal)]
    if lamps:
        moving = int(rng.choice(lamps))
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.1, 0.35) * np.array([np.cos(angle), np.sin(angle), 0.0])
        swing = np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * progress)
        return [replace(scene, lights=_with_light_moved(scene.lights, moving, reach * s)) for s in swing]
    if scene.environment is not None:
        turn = float(rng.uniform(20, 60)) * float(rng.choice([-1, 1]))
        start = scene.environment.rotation
        return [replace(scene, environment=replace(scene.environment, rotation=start + turn * p)) for p in progress]
    return [
        replace(scene, lights=[replace(light, radiance=light.radiance * (1 - 0.7 * p)) for light in scene.lights])
        for p in progress
    ]


def _with_light_moved(lights: list[Light], index: int, by: np.ndarray) -> list[Light]:
    moved = replace(lights[index], center=np.asarray(lights[index].center, float) + by)
    return [*lights[:index], moved, *lights[index + 1 :]]


def _gains(kind: str, groups: int, rng: np.random.Generator, frames: int) -> np.ndarray:
    """(frames, groups) factors. flicker: one group's light trembles as flames do; fade: all of it comes up from or
    goes down to nearly nothing.
    """
    result = np.ones((frames, groups))
    time = np.arange(frames)
    if kind == "fade":
        start = int(rng.integers(0, frames // 3))
        part = np.clip((time - start) / max(frames * rng.uniform(0.3, 0.65), 2), 0, 1)
        low = float(rng.uniform(0.03, 0.15))
        result *= (low + (1 - low) * (part if rng.random() < 0.5 else 1 - part))[:, None]
        return result
    depth, period = rng.uniform(0.08, 0.4), rng.uniform(2.0, 9.0)
    wave = np.sin(2 * np.pi * time / period + rng.uniform(0, 6.3)) + 0.7 * rng.standard_normal(frames)
    result[:, int(rng.integers(groups))] = np.exp(depth * (wave - wave.mean()) / 1.2)
    return result


def _bounds(parts: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    low = np.min([part.mesh.vertices.min(0) for part in parts], axis=0)
    return low, np.max([part.mesh.vertices.max(0) for part in parts], axis=0)


def things_path(scene: Scene, camera: Camera, rng: np.random.Generator, frames: int) -> list[Scene]:
    """One to three things in view move: each along a level path, turning a little, as far as nothing is in its way."""
    forward, right, up, reach = camera.frame((256, 256))
    by_thing: dict[int, list[Part]] = {}
    for part in scene.parts:
        by_thing.setdefault(part.thing, []).append(part)
    boxes = {thing: _bounds(parts) for thing, parts in by_thing.items()}
    lamps = [light for light in scene.lights if not (isinstance(light, RectangleLight) and light.portal)]
    fitting = []
    for thing, (low, high) in boxes.items():
        middle, size = (low + high) / 2, float(np.max(high - low))
        view = middle - camera.origin
        depth = float(view @ forward)
        if (
            depth <= 0
            or max(abs(view @ right), abs(view @ up)) > 110 * reach * depth
            or not size / depth > 0.03
            or size > 2.4
        ):
            continue
        if not any(((light.center > low - 0.05) & (light.center < high + 0.05)).all() for light in lamps):
            fitting.append(thing)
    if not fitting:
        fitting = [min(boxes, key=lambda thing: float(np.max(boxes[thing][1] - boxes[thing][0])))]
    chosen = rng.permutation(fitting)[: int(rng.integers(1, 4))].tolist()
    moves: dict[int, np.ndarray] = {}
    for thing in chosen:
        low, high = boxes[thing]
        size, angle = float(np.max(high - low)), rng.uniform(0, 2 * np.pi)
        step = 0.55 * min(MAX_STEP, 0.06 * size + 0.004)
        way = rng.uniform(0.4, 1.0) * min(step * (frames - 1), 2.5 * size) * np.array([np.cos(angle), np.sin(angle), 0.0])
        others = [box for other, box in boxes.items() if other not in chosen and box[1][2] > low[2] + 0.02]
        for _ in range(5):
            if not any(_meets(low, high, way * part, box) for part in np.linspace(0, 1, 9) for box in others):
                break
            way = way * 0.5
        moves[thing] = way
    progress, turns = _ease(frames, rng), {thing: float(rng.normal(0, 25)) for thing in chosen}
    swing = np.sin(np.pi * progress) if rng.random() < 0.4 else progress
    result = []
    for along in swing:
        frames_of = {}
        for thing in chosen:
            middle = sum(boxes[thing]) / 2
            turn = np.eye(4)
            cosine, sine = np.cos(np.radians(turns[thing] * along)), np.sin(np.radians(turns[thing] * along))
            turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
            turn[:3, 3] = middle - turn[:3, :3] @ middle + moves[thing] * along
            frames_of[thing] = turn
        parts = [
            replace(part, mesh=moved(part.mesh, frames_of[part.thing])) if part.thing in frames_of else part
            for part in scene.parts
        ]
        result.append(replace(scene, parts=parts))
    return result


def _meets(low: np.ndarray, high: np.ndarray, by: np.ndarray, box: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether bounds moved by `by` meet a box that they did not meet before."""
    before = ((low < box[1]) & (high > box[0])).all()
    return bool(not before and ((low + by < box[1]) & (high + by > box[0])).all())


def _switched(scene: Scene, camera: Camera, rng: np.random.Generator, frames: int) -> Clip:
    """One group goes off or on at a frame, and back later now and then; a group that is alone goes dim instead of off."""
    groups = len(scene.groups)
    group = int(rng.integers(groups))
    low = OFF_GAIN if groups > 1 else float(rng.uniform(0.1, 0.4))
    first = int(rng.integers(frames // 4, frames // 2 + 1))
    changes = [first]
    if rng.random() < 0.4 and frames - first > 4:
        changes.append(int(rng.integers(first + 2, frames - 1)))
    bright = bool(rng.random() < 0.5)
    steps = []
    for index in range(frames):
        bright ^= index in changes
        gains = np.ones(groups)
        gains[group] = 1.0 if bright else low
        steps.append(Frame(camera, scene, gains))
    return Clip("switched_light", steps, light_changes=tuple(changes))
