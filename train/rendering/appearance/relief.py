"""Reliefs: height maps as slopes of unit root mean square, generic by role or taken from a texture's own structure."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from intrinsic_flow.train.rendering.appearance import noise
from intrinsic_flow.train.rendering.appearance.patterns import tiling
from intrinsic_flow.train.rendering.appearance.patterns.common import Patterned, pick
from intrinsic_flow.train.rendering.scene import Relief, Texture

SIZE = 256

# How often a relief that is asked for with a texture follows that texture.
DEFAULT_OWN_SHARE = 0.5
OWN_SHARE = {
    "bark": 0.95,
    "facade": 0.9,
    "floor": 0.85,
    "ground": 0.85,
    "leaf": 0.9,
    "road": 0.85,
    "roof": 0.95,
    "rug": 0.7,
    "fabric": 0.65,
    "stone": 0.7,
    "wall": 0.7,
    "wood": 0.7,
}

# Slopes beyond this many times the root mean square are cut: one crack must not flatten the rest of a map.
STEEPEST = 4.0


def draw(rng: np.random.Generator, role: str) -> Relief:
    """A relief for one of textures.ROLES, without a texture to follow; repeats without a seam."""
    makers = MAKERS[role]
    return of_height(_uneven(rng, pick(rng, *makers, p=tuple(makers.values()))(rng)), True)


def of_texture(rng: np.random.Generator, texture: Texture) -> Relief:
    """The relief of a texture: its generator's own height map, or else its lightness, as dark joints are grooves."""
    if isinstance(texture, Patterned):
        if texture.height is None:
            return of_height(fine(rng), True)
        height = texture.height.astype(np.float32)
        height = _uneven(rng, _smoothed(height, rng.uniform(0.5, 1.2), texture.tileable))
        return of_height(height, texture.tileable)
    lightness = texture.pixels.astype(np.float32).mean(axis=-1)
    height, width = lightness.shape
    scale = max(1, round(SIZE / max(height, width)))
    lightness = _enlarged(lightness, scale, texture.tileable)
    # Large stains are no hills: only what is smaller than a twelfth of the picture counts.
    high = lightness - _smoothed(lightness, max(lightness.shape) / 12, texture.tileable)
    sign = 1 if rng.random() < 0.85 else -1
    high = _smoothed(high, rng.uniform(0.4, 0.9) * (scale + 0.6), texture.tileable)
    return of_height(_uneven(rng, sign * high), texture.tileable)


def _uneven(rng: np.random.Generator, height: np.ndarray) -> np.ndarray:
    """The relief worn down in places and deeper in others: no wall or cloth is equally rough all over."""
    patches = cv2.resize(noise.fractal(rng, 64, 1.5, 1.0), height.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (height - height.mean()) * np.exp(rng.uniform(0.2, 0.8) * patches)


def of_height(height: np.ndarray, tileable: bool) -> Relief:
    """Central differences per pixel, scaled to a root mean square of 1 over both directions; flat maps stay flat."""
    wide = cv2.copyMakeBorder(height, 1, 1, 1, 1, _border(tileable))
    slopes = np.stack([wide[1:-1, 2:] - wide[1:-1, :-2], wide[2:, 1:-1] - wide[:-2, 1:-1]], axis=-1)
    for _ in range(2):  # cutting the peaks lowers the root mean square: once more
        slopes = slopes / max(float(np.sqrt((slopes**2).mean())), 1e-6)
        slopes = np.clip(slopes, -STEEPEST, STEEPEST)
    slopes = slopes / max(float(np.sqrt((slopes**2).mean())), 1e-6)
    return Relief(slopes.astype(np.float16), tileable)


def _border(tileable: bool) -> int:
    # What does not repeat is mirrored by the renderer.
    return cv2.BORDER_WRAP if tileable else cv2.BORDER_REFLECT


def _smoothed(field: np.ndarray, sigma: float, tileable: bool) -> np.ndarray:
    pad = min(int(3 * sigma) + 1, *field.shape)
    wide = cv2.copyMakeBorder(field, pad, pad, pad, pad, _border(tileable))
    return cv2.GaussianBlur(wide, (0, 0), sigma)[pad:-pad, pad:-pad]


def _enlarged(field: np.ndarray, scale: int, tileable: bool) -> np.ndarray:
    """`scale` times the size, smooth across the borders too."""
    pad = 4
    wide = cv2.copyMakeBorder(field, pad, pad, pad, pad, _border(tileable))
    wide = cv2.resize(wide, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return wide[pad * scale : -pad * scale, pad * scale : -pad * scale]


# ---------------------------------------------------------------- height maps, (SIZE, SIZE) float32


def fine(rng: np.random.Generator) -> np.ndarray:
    """Paper, eggshell paint."""
    return noise.fractal(rng, SIZE, rng.uniform(25, 50), 0.2)


def orange_peel(rng: np.random.Generator) -> np.ndarray:
    """Sprayed or rolled paint."""
    return noise.fractal(rng, SIZE, rng.uniform(10, 30), 2.0) + 0.15 * noise.fractal(rng, SIZE, 40, 0.5)


def plaster(rng: np.random.Generator) -> np.ndarray:
    """Trowel marks and lumps."""
    swirl = noise.fractal(rng, SIZE, 3, 1.0, stretch=(rng.uniform(1, 3), 1.0))
    return swirl + 0.3 * np.abs(noise.fractal(rng, SIZE, 8, 0.8)) + 0.08 * noise.fractal(rng, SIZE, 30, 0.4)


def rough(rng: np.random.Generator) -> np.ndarray:
    """Weathered stone, render, concrete."""
    return noise.fractal(rng, SIZE, rng.uniform(2, 10), rng.uniform(0.6, 1.2))


def wrinkles(rng: np.random.Generator) -> np.ndarray:
    """Creased paper, leather, cloth."""
    creases = [-np.abs(noise.fractal(rng, SIZE, low, 1.3)) for low in (1.5, 3, 6)]
    return creases[0] + 0.5 * creases[1] + 0.25 * creases[2]


def folds(rng: np.random.Generator) -> np.ndarray:
    """Soft folds of hanging or thrown cloth."""
    x, _ = noise.grid(SIZE)
    count = int(rng.integers(2, 9))
    bent = rng.uniform(0.05, 0.3) * noise.fractal(rng, SIZE, 1, 1.6)
    wave = np.sin(2 * np.pi * (count * x + bent * count / 2))
    return wave + 0.4 * noise.fractal(rng, SIZE, 2, 1.6, stretch=(1.0, 2.0)) + 0.01 * noise.fractal(rng, SIZE, 40, 0.2)


def weave(rng: np.random.Generator) -> np.ndarray:
    """Over and under, with slubs."""
    x, y = noise.grid(SIZE)
    count = 2 * int(rng.integers(8, 26))
    dx, dy = (0.1 / count * noise.fractal(rng, SIZE, 5, 0.6) for _ in range(2))
    u, v = (x + dx) * count, (y + dy) * count
    warp = np.abs(np.cos(np.pi * u)) * (1 + np.cos(np.pi * v) * np.sign(np.cos(np.pi * u)))
    weft = np.abs(np.cos(np.pi * v)) * (1 - np.cos(np.pi * u) * np.sign(np.cos(np.pi * v)))
    return np.maximum(warp, weft) + 0.1 * noise.fractal(rng, SIZE, 6, 0.6)


def cord(rng: np.random.Generator) -> np.ndarray:
    """Ribs: corduroy, corrugated sheet, fluting."""
    x, _ = noise.grid(SIZE)
    count = int(rng.integers(6, 40))
    return np.abs(np.sin(np.pi * count * x)) ** rng.uniform(0.5, 1.5) + 0.08 * noise.fractal(rng, SIZE, 10, 0.5)


def hammered(rng: np.random.Generator) -> np.ndarray:
    """Dents side by side."""
    count = int(rng.integers(6, 22))
    _, edge = noise.cells(rng, SIZE, count, count, 0.9)
    dent = np.minimum(edge * count * 2, 1)
    return noise.blurred(-(dent * (2 - dent)).astype(np.float32), 1.5) + 0.03 * noise.fractal(rng, SIZE, 10, 0.5)


def pebbled(rng: np.random.Generator) -> np.ndarray:
    """Leather, moulded plastic grain."""
    count = int(rng.integers(20, 50))
    _, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.1 / count)
    return noise.blurred(np.minimum(edge * count * 3, 1).astype(np.float32), 1.0)


def gravel(rng: np.random.Generator) -> np.ndarray:
    """Stones of three sizes."""
    height = np.zeros((SIZE, SIZE), np.float32)
    coarse = int(rng.integers(8, 26))
    for count, level in ((3 * coarse, 0.4), (coarse, 1.0)):
        number, edge = noise.cells(rng, SIZE, count, count)
        shown = rng.random(count * count) < 0.7
        dome = level * np.sqrt(np.minimum(edge * count * 2.5, 1))
        height = np.maximum(height, shown[number] * dome)
    return noise.blurred(height, 1.0) + 0.03 * noise.fractal(rng, SIZE, 20, 0.4)


def grain(rng: np.random.Generator) -> np.ndarray:
    """Brushed wood: fibres and pores along x."""
    rings = noise.fractal(rng, SIZE, 2, 1.0, stretch=(10.0, 1.0))
    fibres = noise.fractal(rng, SIZE, 20, 0.3, stretch=(rng.uniform(10, 30), 1.0))
    return np.abs((4 * rings) % 1 - 0.5) + 0.4 * fibres


def brushed(rng: np.random.Generator) -> np.ndarray:
    """Scratches along x on metal."""
    return noise.fractal(rng, SIZE, 20, 0.2, stretch=(rng.uniform(20, 60), 1.0))


def bark(rng: np.random.Generator) -> np.ndarray:
    """Furrows along y."""
    ridges = np.abs(noise.fractal(rng, SIZE, rng.uniform(3, 7), 0.9, stretch=(1.0, rng.uniform(3, 6))))
    return np.minimum(ridges, 1.2) + 0.15 * noise.fractal(rng, SIZE, 15, 0.4, stretch=(1.0, 3.0))


def joints(rng: np.random.Generator) -> np.ndarray:
    """Boards, tiles or bricks without a texture."""
    rows = 2 * int(rng.integers(1, 6))
    offsets = np.arange(rows) % 2 / 2 * float(rng.integers(0, 2))
    pieces = tiling.bond(SIZE, max(1, rows // int(rng.integers(1, 4))), rows, offsets)
    groove = np.minimum(pieces.edge * rows * rng.uniform(8, 25), 1)
    return noise.blurred(groove.astype(np.float32), 0.8) + 0.03 * noise.fractal(rng, SIZE, 12, 0.5)


def veins(rng: np.random.Generator) -> np.ndarray:
    """Leaves."""
    count = int(rng.integers(5, 14))
    _, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.2 / count)
    return np.sqrt(np.minimum(edge * count * 2, 1)) + 0.1 * noise.fractal(rng, SIZE, 12, 0.6)


MAKERS: dict[str, dict[Callable[[np.random.Generator], np.ndarray], float]] = {
    "wall": {orange_peel: 3, plaster: 3, fine: 1, rough: 1, joints: 0.4},
    "worn": {fine: 1},
    "translucent": {fine: 1},
    "soiled": {fine: 1},
    "ceiling": {orange_peel: 3, plaster: 3, fine: 1},
    "floor": {joints: 2, grain: 2, rough: 1, orange_peel: 0.5},
    "rug": {weave: 2, rough: 1, wrinkles: 0.5},
    "fabric": {weave: 3, wrinkles: 2, folds: 2, cord: 1, pebbled: 0.7},
    "wood": {grain: 4, joints: 0.5, fine: 1},
    "stone": {rough: 3, hammered: 1, gravel: 0.7},
    "ground": {gravel: 2, rough: 2},
    "road": {gravel: 1, rough: 1, fine: 1},
    "facade": {plaster: 2, rough: 2, joints: 1.5, cord: 0.5},
    "roof": {joints: 2, cord: 2},
    "bark": {bark: 1},
    "leaf": {veins: 3, wrinkles: 1},
    "book": {fine: 3, weave: 1, pebbled: 1},
    "spine": {fine: 3, weave: 1, pebbled: 1},
    "cover": {fine: 3, weave: 1, pebbled: 1},
    "picture": {fine: 1, weave: 2, rough: 1},
    "label": {fine: 2, wrinkles: 2},
    "ceramic": {fine: 1, orange_peel: 2, hammered: 1, cord: 0.7},
    "leather": {pebbled: 3, wrinkles: 1},
    "plastic": {orange_peel: 2, pebbled: 2, fine: 1, cord: 0.5},
    "metal": {brushed: 3, hammered: 1, orange_peel: 1, cord: 0.5},
    "paper": {fine: 2, wrinkles: 1},
    "cardboard": {cord: 2, wrinkles: 1, fine: 1},
    "any": {
        orange_peel: 2,
        rough: 1.5,
        wrinkles: 1.5,
        hammered: 1,
        pebbled: 1,
        weave: 0.7,
        cord: 0.7,
        brushed: 1,
        joints: 0.5,
        folds: 0.5,
    },
}
