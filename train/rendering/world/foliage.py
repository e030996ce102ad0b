"""Plants: leaf blades, house plants, grass, trees, hedges. Leaves are open sheets; uv are metres."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh
from intrinsic_flow.train.rendering.world.geometry import surface, tube


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def blades(
    roots: np.ndarray, directions: np.ndarray, lengths: np.ndarray, widths: np.ndarray, droop: np.ndarray, steps: int = 4
) -> Mesh:
    """Many curved leaf blades as one mesh. roots, directions: (N, 3); lengths, widths: (N,) metres; droop: (N,) how far the
    tip sags, in lengths. Each is a folded strip, widest at a third of its length, pointed at its tip.
    """
    count = len(roots)
    t = np.linspace(0, 1, steps + 1)
    forward = _unit(directions)
    side = _unit(np.cross(forward, [0.0, 0.0, 1.0]) + 1e-6)
    normal = np.cross(side, forward)
    along = roots[:, None] + forward[:, None] * (lengths[:, None] * t)[..., None]
    along[..., 2] -= (droop * lengths)[:, None] * t**2
    outline = np.sin(np.pi * np.clip(t, 0, 1) ** 0.7) * 0.5
    outline[0], outline[-1] = 0.06, 0.004
    reach = (widths[:, None] * outline)[..., None]
    fold = normal[:, None] * reach * 0.35  # halves rise from the midrib
    points = np.stack([along - side[:, None] * reach + fold, along, along + side[:, None] * reach + fold], 2)
    rows = steps + 1
    index = np.arange(count * rows * 3).reshape(count, rows, 3)
    a, b, c, d = index[:, :-1, :-1], index[:, :-1, 1:], index[:, 1:, 1:], index[:, 1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    across = np.stack([-reach[..., 0], 0 * reach[..., 0], reach[..., 0]], -1)
    uv = np.stack([across, np.broadcast_to((lengths[:, None] * t)[..., None], across.shape)], -1)
    uv = uv + (np.arange(count) * 0.37)[:, None, None, None]  # every leaf another place of the texture
    return Mesh(points.reshape(-1, 3), faces, uv.reshape(-1, 2), True)


def leaflets(roots: np.ndarray, directions: np.ndarray, lengths: np.ndarray, widths: np.ndarray) -> Mesh:
    """Many small leaves seen from afar: diamonds of two triangles, folded along the midrib. Arguments as for `blades`."""
    count = len(roots)
    forward = _unit(directions)
    side = _unit(np.cross(forward, [0.0, 0.0, 1.0]) + 1e-6)
    rise = np.cross(side, forward) * (0.18 * widths)[:, None]
    middle = roots + forward * (0.45 * lengths)[:, None] + rise
    reach = side * (0.5 * widths)[:, None]
    tips = roots + forward * lengths[:, None] - [0, 0, 1] * (0.15 * lengths)[:, None]
    points = np.stack([roots, middle + reach, tips, middle - reach], 1).reshape(-1, 3)
    faces = (np.arange(count)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    zero = np.zeros(count)
    across = np.stack([zero, widths / 2, zero, -widths / 2], 1)
    along = np.stack([zero, 0.45 * lengths, lengths, 0.45 * lengths], 1)
    uv = np.stack([across, along], -1) + (np.arange(count) * 0.37)[:, None, None]
    return Mesh(points, faces, uv.reshape(-1, 2), False)


def leaf_cloud(rng: np.random.Generator, count: int, size: np.ndarray, leaf: float) -> Mesh:
    """Leaves that fill an uneven blob of (x, y, z) metres about the origin, denser outside, mostly facing up and out."""
    away = _unit(rng.normal(size=(count, 3)))
    lump = 1 + 0.3 * np.sin(away @ rng.normal(0, 2.5, 3) + rng.uniform(0, 6.3)) + 0.15 * np.sin(away @ rng.normal(0, 6, 3))
    roots = away * (rng.random((count, 1)) ** 0.45 * lump[:, None]) * size / 2
    directions = _unit(away + rng.normal(0, 0.7, (count, 3)) + (0, 0, 0.15))
    lengths = leaf * rng.uniform(0.6, 1.3, count)
    return leaflets(roots, directions, lengths, lengths * rng.uniform(0.4, 0.65))


def grass(rng: np.random.Generator, count: int, width: float, depth: float, height: float) -> Mesh:
    """Grass blades of three triangles on a width x depth patch of z = 0, in tufts."""
    tufts = np.stack([rng.uniform(-0.5, 0.5, count // 12 + 1) * width, rng.uniform(-0.5, 0.5, count // 12 + 1) * depth], 1)
    foot = tufts[rng.integers(len(tufts), size=count)] + rng.normal(0, 0.5 * height, (count, 2))
    foot = np.clip(foot, (-width / 2, -depth / 2), (width / 2, depth / 2))
    tall = height * rng.uniform(0.4, 1.2, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    across = np.stack([np.cos(angle), np.sin(angle)], 1) * np.maximum(0.05 * height, 0.004)
    lean = rng.normal(0, 0.35, (count, 2)) * tall[:, None]
    flat = np.stack(
        [foot - across, foot + across, foot + 0.4 * lean - 0.7 * across, foot + 0.4 * lean + 0.7 * across, foot + lean], 1
    )
    level = tall[:, None] * np.array([0.0, 0.0, 0.6, 0.6, 1.0])
    points = np.concatenate([flat, level[..., None]], -1).reshape(-1, 3)
    faces = (np.arange(count)[:, None, None] * 5 + np.array([[0, 1, 3], [0, 3, 2], [2, 3, 4]])).reshape(-1, 3)
    wide = np.linalg.norm(across, axis=1)[:, None] * np.array([-1, 1, -0.7, 0.7, 0])
    uv = np.stack([wide, level], -1) + (np.arange(count) * 0.37)[:, None, None]
    return Mesh(points, faces, uv.reshape(-1, 2), True)


def rosette(rng: np.random.Generator, count: int, reach: float, rise: float, width: float) -> tuple[Mesh, Mesh]:
    """A plant of long leaves from one root at the origin (aloe, fern, spider plant): leaf blades, and their stalks."""
    azimuth = np.arange(count) * 2.399963 + rng.normal(0, 0.3, count)  # the golden angle
    steep = rng.uniform(0.15, 1.0, count)
    directions = np.stack([np.cos(azimuth), np.sin(azimuth), rise * steep * 3], 1)
    lengths = reach * rng.uniform(0.6, 1.1, count)
    roots = directions * 0.02
    leaves = blades(
        roots, directions, lengths, width * rng.uniform(0.7, 1.2, count), rng.uniform(0.1, 0.55, count), steps=6
    )
    return leaves, tube(np.array([[0, 0, -0.03], [0, 0, 0.05]]), 0.015 + 0.02 * reach, 7)


def branching_plant(rng: np.random.Generator, height: float, stems: int, leaf: float) -> tuple[list[Mesh], Mesh]:
    """Stems that rise and bend outwards from the origin, with leaves along them: (stems, leaves)."""
    wood: list[Mesh] = []
    starts, ways = [], []
    for _ in range(stems):
        lean = rng.normal(0, 0.28, 2) * height
        t = np.linspace(0, 1, 8)[:, None]
        bend = rng.normal(0, 0.05, 2) * height
        path = np.hstack([lean * t**1.6 + bend * np.sin(np.pi * t), height * rng.uniform(0.65, 1.0) * t])
        wood.append(tube(path, np.linspace(0.012, 0.004, 8) * (0.4 + height), 6))
        nodes = rng.uniform(0.25, 1.0, max(4, int(14 * height / max(leaf, 0.04) * 0.12)))
        at = np.stack([np.interp(nodes, t[:, 0], path[:, k]) for k in range(3)], 1)
        away = _unit(rng.normal(size=(len(nodes), 3)) * (1, 1, 0.35) + (0, 0, 0.45))
        starts.append(at)
        ways.append(away)
    roots, directions = np.concatenate(starts), np.concatenate(ways)
    lengths = leaf * rng.uniform(0.6, 1.25, len(roots))
    leaves = blades(
        roots, directions, lengths, lengths * rng.uniform(0.35, 0.7), rng.uniform(0.1, 0.6, len(roots)), steps=4
    )
    return wood, leaves


def tree(
    rng: np.random.Generator, height: float, leaf_count: int, leaf: float, bare: bool = False
) -> tuple[list[Mesh], Mesh | None]:
    """A tree from the origin: trunk and branches (three levels), and leaves about its twigs; bare: without leaves."""
    wood: list[Mesh] = []
    tips: list[np.ndarray] = []
    thickness = height * rng.uniform(0.018, 0.03)
    fork = height * rng.uniform(0.2, 0.45)
    spread = rng.uniform(0.5, 1.0)

    def grow(start: np.ndarray, direction: np.ndarray, length: float, radius: float, level: int) -> None:
        steps = 7 if level == 0 else 5
        points = [start]
        for _ in range(steps):
            direction = _unit(direction + rng.normal(0, 0.09 + 0.06 * level, 3) + (0, 0, 0.05))
            points.append(points[-1] + direction * length / steps)
        path = np.array(points)
        wood.append(tube(path, np.linspace(radius, radius * 0.55, steps + 1), (9, 6, 5, 4)[level]))
        if level == 3 or (level == 2 and not bare):
            tips.extend(path[1:])
            return
        for _ in range((int(rng.integers(4, 7)), int(rng.integers(3, 5)), 3)[level]):
            at = rng.uniform(0.35 if level else fork / height, 1.0)
            root = np.array([np.interp(at, np.linspace(0, 1, steps + 1), path[:, k]) for k in range(3)])
            azimuth = rng.uniform(0, 2 * np.pi)
            outward = np.array([np.cos(azimuth), np.sin(azimuth), 0]) * spread
            grow(
                root,
                _unit(direction * 0.7 + outward),
                length * rng.uniform(0.4, 0.6),
                radius * (0.9 - 0.45 * at) * 0.6,
                level + 1,
            )

    grow(np.array([0, 0, -0.05]), np.array([0.0, 0.0, 1.0]), height * 0.75, thickness, 0)
    if bare:
        return wood, None
    around = np.array(tips)[rng.integers(len(tips), size=leaf_count)]
    roots = around + rng.normal(0, 0.045 * height, (leaf_count, 3))
    directions = _unit(rng.normal((0, 0, 0.2), 1, (leaf_count, 3)))
    lengths = leaf * rng.uniform(0.6, 1.3, leaf_count)
    return wood, leaflets(roots, directions, lengths, lengths * rng.uniform(0.4, 0.65, leaf_count))


def conifer(rng: np.random.Generator, height: float, count: int) -> tuple[list[Mesh], Mesh]:
    """A fir from the origin: a straight trunk, and drooping needle fans in whorls that shorten upwards."""
    trunk = tube(
        np.array([[0, 0, -0.05], [0, 0, height * 0.6], [0, 0, height]]), height * np.array([0.02, 0.012, 0.002]), 8
    )
    level = rng.uniform(0.08, 1.0, count) ** 1.2
    azimuth = rng.uniform(0, 2 * np.pi, count)
    reach = height * rng.uniform(0.2, 0.28) * (1.03 - level) * rng.uniform(0.7, 1.1, count)
    out = np.stack([np.cos(azimuth), np.sin(azimuth), rng.normal(0.05, 0.12, count)], 1)
    inner = rng.uniform(0, 0.75, count)
    roots = np.stack([0 * level, 0 * level, level * height], 1) + out * (inner * reach)[:, None]
    fans = out + rng.normal(0, 0.35, (count, 3)) - (0, 0, 0.3)
    leaves = leaflets(roots, fans, reach * 0.3 + 0.05, reach * 0.08 + 0.02)
    return [trunk], leaves


def terrain(rng: np.random.Generator, size: float, height: float, cells: int = 48, flat: float = 0.0) -> Mesh:
    """A rolling patch of ground about the origin, at most `height` metres up and down; level within `flat` metres."""
    s = np.linspace(-size / 2, size / 2, cells + 1)
    x, y = np.meshgrid(s, s)
    z = np.zeros_like(x)
    for wavelength, share in ((size / 2, 0.6), (size / 5, 0.3), (size / 12, 0.1)):
        for _ in range(3):
            angle = rng.uniform(0, np.pi)
            z += share / 3 * np.sin(2 * np.pi / wavelength * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6.3))
    away = np.clip((np.hypot(x, y) - flat) / (0.2 * size), 0, 1)
    return surface(np.stack([x, y, height * z * away], -1), True, np.stack([x, y], -1))
