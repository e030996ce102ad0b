"""Where to look from: candidate cameras, scored by a few rays each before anything is rendered.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

from dataclasses import replace

import mitsuba as mi
import numpy as np

from intrinsic_flow.train.rendering.scene import Camera, Scene
from intrinsic_flow.train.rendering.tracing.assembly import AssembledScene

CANDIDATES = 24
# Rays a candidate: a grid of this side.
_GRID = 24
# Nearer than this, something stands in front of the lens (metres).
_NEAR = 0.2
_MOST_NEAR = 0.03
_LEAST_HIT = 0.4
# The most that one thing (a wall, the ground) may fill, and the fewest things to be seen.
_MOST_OF_ONE = 0.66
_FEWEST_THINGS = 4
_MOST_OF_CLOSE = 0.93
_LEAST_OF_WANTED = 0.04
_LEAST_MEDIAN_DISTANCE = 0.35
# How much of the picture the only thing fills.
_LEAST_OF_ISOLATED = 0.25
# How much of the picture may show what is there for its shadow.
_MOST_OF_CASTERS = 0.08
# How far a random preference may lift a camera over one that sees more (nats of entropy).
_WHIM = 1.2


def rays_of(camera: Camera, x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Origins and unit directions, (N, 3) each, of the rays through picture positions (N,) in pixels.

    size: (height, width) of the picture.
    """
    height, width = size
    forward, right, up, reach = camera.frame(size)
    across, down = (x - width / 2)[:, None] * reach, (y - height / 2)[:, None] * reach
    direction = forward + right * across - up * down
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return np.broadcast_to(camera.origin, direction.shape), direction


def _grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (_GRID ** 2,) each, in pixels, of places all over a picture of (height, width)."""
    y, x = (np.indices((_GRID, _GRID)) + 0.5) / _GRID * np.reshape(size, (2, 1, 1))
    return x.ravel(), y.ravel()


def _rays(origins: np.ndarray, directions: np.ndarray) -> mi.Ray3f:
    """Rays from (N, 3) points along (N, 3) unit vectors."""
    return mi.Ray3f(mi.Point3f(origins.T.astype(np.float32)), mi.Vector3f(directions.T.astype(np.float32)))


def view_entropy(
    distance: np.ndarray,
    thing: np.ndarray,
    isolated: bool = False,
    casters: frozenset[int] = frozenset(),
    close: bool = False,
    wanted: frozenset[int] = frozenset(),
) -> float | None:
    """Entropy in nats of which thing a picture's rays hit; None for a picture that is not worth rendering.

    distance (N,): metres, inf where nothing is hit; thing (N,) int, -1 where none is. isolated: one thing before black is
    enough, where it fills a quarter of the picture. casters: things that may fill hardly any of it; where there are some,
    one surface is enough. close: so is one thing before another. wanted: of these
    things, if there are any, at least 4% of the picture have to be seen.
    """
    hit = thing >= 0
    if isolated:
        return 0.0 if (thing == 0).mean() >= _LEAST_OF_ISOLATED else None
    if hit.mean() < _LEAST_HIT or (distance < _NEAR).mean() > _MOST_NEAR:
        return None
    if wanted and np.isin(thing, list(wanted)).mean() < _LEAST_OF_WANTED:
        return None
    _, counts = np.unique(thing[hit], return_counts=True)
    shares = counts / counts.sum()
    if casters:
        if np.isin(thing, list(casters)).mean() > _MOST_OF_CASTERS:
            return None
    elif close:
        if shares.max() > _MOST_OF_CLOSE:
            return None
    elif shares.max() > _MOST_OF_ONE or len(counts) < _FEWEST_THINGS:
        return None
    if np.median(distance[hit]) < (_NEAR if close or casters else _LEAST_MEDIAN_DISTANCE):
        return None
    return float(-(shares * np.log(shares)).sum())


# Of cameras, how many have a lens that leaves what is far or near out of focus: of people and small things, of others.
_WITH_LENS = {"portrait": 0.6, "scans": 0.35, "tabletop": 0.35, "people": 0.25, "specimen": 0.25}
_OTHERS_WITH_LENS = 0.1
# Metres: the radius of a fast portrait lens.
_WIDEST = 0.02


def with_lens(
    camera: Camera, scene: Scene, assembled: AssembledScene, size: tuple[int, int], rng: np.random.Generator
) -> Camera:
    """The camera with a lens, or as it is: focused on people or on what its axis meets, with an aperture that blurs what
    is far away over 0.4 to 6% of the picture.
    """
    share, blur = _WITH_LENS.get(scene.kind, _OTHERS_WITH_LENS), float(np.exp(rng.uniform(np.log(0.004), np.log(0.06))))
    if rng.random() > share:
        return camera
    forward, *_, reach = camera.frame(size)
    distance = float(assembled.hits(_rays(camera.origin[None], forward[None]))[0][0])
    if scene.wanted:  # people are in focus, whatever the axis meets
        origins, directions = rays_of(camera, *_grid(size), size)
        away, thing = assembled.hits(_rays(origins, directions))
        people = (away * (directions @ forward))[np.isin(thing, list(scene.wanted))]
        distance = float(np.median(people)) if people.size else distance
    if not np.isfinite(distance):
        distance = float(np.linalg.norm(camera.target - camera.origin))
    aperture = min(0.5 * blur * max(size) * reach * distance, _WIDEST)
    return replace(camera, aperture=aperture, focus=distance)


def choose_cameras(
    scene: Scene, assembled: AssembledScene, count: int, size: tuple[int, int], rng: np.random.Generator
) -> list[Camera]:
    """Up to `count` cameras of those that the scene proposes, the best first. size: (height, width) of the pictures."""
    candidates = [camera for camera in (scene.propose_camera(rng) for _ in range(2 * CANDIDATES)) if camera is not None]
    candidates = candidates[:CANDIDATES]
    if not candidates:
        return []
    rays = [rays_of(camera, *_grid(size), size) for camera in candidates]
    distance, thing = assembled.hits(_rays(*(np.concatenate(part) for part in zip(*rays))))
    scored = []
    for camera, seen in zip(candidates, zip(distance.reshape(len(candidates), -1), thing.reshape(len(candidates), -1))):
        entropy = view_entropy(
            *seen, isolated=scene.isolated, casters=scene.casters, close=scene.close, wanted=scene.wanted
        )
        whim = rng.uniform(0, _WHIM)
        if entropy is not None:
            scored.append((entropy + whim, camera))
    scored.sort(key=lambda item: -item[0])
    return [with_lens(camera, scene, assembled, size, rng) for _, camera in scored[:count]]
