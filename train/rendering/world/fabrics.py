"""Soft meshes: cushions, curtains, blankets and tablecloths, crumpled cloth."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh
from intrinsic_flow.train.rendering.world.geometry import merged, standing, surface


def ripples(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, wavelength: float, count: int = 6) -> np.ndarray:
    """Smooth noise of root mean square about 1 over coordinates in metres: waves of random direction near a wavelength."""
    total = np.zeros(np.broadcast(x, y).shape)
    for _ in range(count):
        angle, length = rng.uniform(0, np.pi), wavelength * np.exp(rng.normal(0, 0.35))
        total += np.sin(2 * np.pi / length * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6.3))
    return total * np.sqrt(2 / count)


def cushion(rng: np.random.Generator, width: float, height: float, thickness: float, cells: int = 16) -> Mesh:
    """A closed pillow that lies flat: two sheets that meet in a seam, with pulled-in sides and creases."""
    s = np.sin(np.linspace(-np.pi / 2, np.pi / 2, cells + 1))  # dense at the seam
    x, y = np.meshgrid(s, s)
    profile = ((1 - x**2) * (1 - y**2)) ** rng.uniform(0.35, 0.5)
    pull = rng.uniform(0.04, 0.1)
    px = width / 2 * x * (1 - pull * (1 - y**2) * x**2)
    py = height / 2 * y * (1 - pull * (1 - x**2) * y**2)
    creases = 1 + 0.1 * ripples(rng, x, y, 0.9)
    upper = np.stack([px, py, thickness / 2 * profile * creases], -1)
    lower = np.stack([px, py, -thickness / 2 * profile * (1 + 0.05 * ripples(rng, x, y, 0.9))], -1)
    return standing(merged([surface(upper), surface(lower[:, ::-1])]))


def curtain(rng: np.random.Generator, width: float, height: float, gathered: float = 0.0) -> Mesh:
    """Cloth that hangs in the xz plane from z = height to z = 0 with vertical folds along y; open. gathered: 0..1, how far
    its middle is drawn in by a band.
    """
    folds = max(3, round(width / rng.uniform(0.09, 0.17)))
    columns, rows = 7 * folds + 1, 15
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    depth = rng.uniform(0.025, 0.055) * np.exp(0.25 * ripples(rng, u * width, v * 0.3, 0.5))
    wander = 0.35 * ripples(rng, u * width, v * height * 0.4, 0.8)
    phase = 2 * np.pi * folds * u + wander + rng.uniform(0, 6.3)
    y = depth * (np.sin(phase) + 0.25 * np.sin(2 * phase + 1.3 * wander)) * (0.75 + 0.5 * v)
    x = (u - 0.5) * width + 0.4 * depth * np.cos(phase)
    pinch = 1 - gathered * 0.55 * np.exp(-(((v - 0.62) / 0.28) ** 2))
    hem = 0.008 * np.sin(phase) * (v > 0.99)
    return surface(np.stack([x * pinch, y, height * (1 - v) + hem], -1)[:, ::-1])


def draped(
    rng: np.random.Generator, width: float, depth: float, overhang: tuple[float, float, float, float], lift: float = 0.004
) -> Mesh:
    """Cloth over a level top of width x depth metres at z = 0, hanging over its -x, +x, -y and +y edges by `overhang`
    metres (0: it ends 2 cm inside of that edge), with folds in what hangs. Open; uv in metres of cloth.
    """
    step = 0.045
    west, east, south, north = (hang if hang > 0 else -0.02 for hang in overhang)
    s = np.linspace(-width / 2 - west, width / 2 + east, max(10, round((width + west + east) / step)))
    t = np.linspace(-depth / 2 - south, depth / 2 + north, max(10, round((depth + south + north) / step)))
    u, v = np.meshgrid(s, t)
    over_x, over_y = np.maximum(np.abs(u) - width / 2, 0), np.maximum(np.abs(v) - depth / 2, 0)
    hanging = np.hypot(over_x, over_y)
    bend = 0.02
    drop = np.where(hanging > bend, hanging - bend / 2, hanging**2 / (2 * bend))
    flare = 0.02 + 0.18 * hanging
    fold = ripples(rng, u + 0.3 * v, v - 0.3 * u, rng.uniform(0.2, 0.35)) * np.minimum(hanging, 0.3) * 0.13
    # Folds swing in and out, but never into the table.
    out_x, out_y = np.minimum(over_x, flare), np.minimum(over_y, flare)
    x = np.clip(u, -width / 2, width / 2) + np.sign(u) * np.maximum(out_x + fold * (over_x > 0), 0.2 * out_x)
    y = np.clip(v, -depth / 2, depth / 2) + np.sign(v) * np.maximum(out_y + fold * (over_y > 0), 0.2 * out_y)
    wrinkles = 0.0015 * (1 + ripples(rng, u, v, 0.25)) * (hanging == 0)
    z = lift + np.abs(wrinkles) - drop
    return surface(np.stack([x, y, z], -1), True, np.stack([u, v], -1))


def crumpled(rng: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    """A cloth thrown onto z = 0: folds everywhere, its edge on the ground; open."""
    cells = 40
    u, v = np.meshgrid(np.linspace(-1, 1, cells), np.linspace(-1, 1, cells))
    inside = np.clip((1 - np.maximum(np.abs(u), np.abs(v))) * 3, 0, 1)
    ridges = 1 - np.abs(ripples(rng, u, v, 0.9)) * 0.6
    z = height * np.clip(0.55 * ridges + 0.25 * ripples(rng, u, v, 1.3) + 0.15 * ripples(rng, u, v, 0.4), 0, None) * inside
    wander = 0.08 * ripples(rng, u, v, 1.1)
    x = width / 2 * (u * 0.85 + wander)
    y = depth / 2 * (v * 0.85 + 0.08 * ripples(rng, u, v, 1.0))
    return surface(np.stack([x, y, z + 0.002], -1))


def blanket(rng: np.random.Generator, width: float, depth: float, thickness: float, hang: float) -> Mesh:
    """A duvet on a bed's top at z = 0, hanging down both long sides (-x, +x) by `hang` metres: soft swells; open below."""
    columns, rows = 44, 34
    u, v = np.meshgrid(np.linspace(-1, 1, columns) * (width / 2 + hang), np.linspace(0, 1, rows) * depth)
    over = np.maximum(np.abs(u) - width / 2, 0)
    radius = 0.07
    drop = np.where(over > radius, over - radius / 2, over**2 / (2 * radius))
    x = np.sign(u) * (np.minimum(np.abs(u), width / 2) + np.minimum(over, radius))
    swell = 0.5 + 0.22 * ripples(rng, u, v, 0.55) + 0.1 * ripples(rng, u, v, 0.2)
    ends = np.clip(np.minimum(v, depth - v) / 0.06, 0, 1) ** 0.5
    z = np.maximum(thickness * ends * swell, 0.004) - drop
    x = x + np.sign(u) * (over > 0) * thickness * 0.35 * (1 + 0.5 * ripples(rng, u * 0.2, v, 0.3))
    return surface(np.stack([x, v - depth / 2, z], -1), True, np.stack([u, v], -1))
