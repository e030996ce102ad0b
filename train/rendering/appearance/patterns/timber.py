"""Albedo of wood: grain from the contours of stretched noise, pores, knots; boards, parquet, siding, panels.

Wood runs along x. A generator returns a `Patterned` texture that repeats without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.train.rendering.appearance import noise
from intrinsic_flow.train.rendering.appearance.patterns import tiling
from intrinsic_flow.train.rendering.appearance.patterns.common import (
    SIZE,
    Patterned,
    color,
    drift,
    finish,
    grain,
    log_uniform,
    mix,
    scratches,
    stains,
    variants,
)
from intrinsic_flow.train.rendering.appearance.patterns.tiling import Tiling


@dataclass(frozen=True, eq=False)
class _Timber:
    """Fields of one wood, (SIZE, SIZE) float32: rings 0 (early wood) to 1 (late wood), pores and knots as masks."""

    rings: np.ndarray
    pores: np.ndarray
    knots: np.ndarray


def solid(rng: np.random.Generator) -> Patterned:
    """A slab or veneer without joints."""
    base = color(rng, "wood")
    timber = _timber(rng, rng.uniform(0.6, 1.6))
    albedo = _stained(rng, base, timber)
    return finish(
        _worn(rng, albedo), -0.5 * timber.rings - timber.pores + 0.2 * noise.fractal(rng, SIZE, 10, 0.5, stretch=(8, 1))
    )


def floorboards(rng: np.random.Generator) -> Patterned:
    rows = int(rng.integers(3, 12))
    return _laid(rng, tiling.boards(rng, SIZE, rows, rng.uniform(0.3, 1.2)), rows)


def parquet(rng: np.random.Generator) -> Patterned:
    """Herringbone."""
    ratio, repeats = int(rng.choice([3, 4, 5, 6])), int(rng.integers(1, 3))
    return _laid(rng, tiling.herringbone(SIZE, ratio, repeats), 2 * ratio * repeats)


def siding(rng: np.random.Generator) -> Patterned:
    """Painted or bare cladding, weathered."""
    rows = int(rng.integers(4, 13))
    pieces = tiling.boards(rng, SIZE, rows, 2.0)
    if rng.random() < 0.4:
        return _laid(rng, pieces, rows)
    return _painted(rng, pieces, rows)


def painted(rng: np.random.Generator) -> Patterned:
    """A painted board: grain shows faintly, edges and scratches show the wood."""
    return _painted(rng, tiling.boards(rng, SIZE, 1, 2.0), 0)


def plywood(rng: np.random.Generator) -> Patterned:
    """Chipboard and fibreboard: pressed flakes."""
    base = color(rng, "wood")
    albedo = np.broadcast_to(base * 0.9, (SIZE, SIZE, 3)).astype(np.float32)
    coarse = int(rng.integers(12, 60))
    for count in (coarse * 2, coarse):
        number, edge = noise.cells(rng, SIZE, count, int(count * rng.uniform(0.5, 1)), 1.0, 0.2 / count)
        colors = variants(rng, base, count * count, 0.2, 0.03)
        shown = rng.random(count * count) < 0.7
        albedo = mix(albedo, colors[number], shown[number] * noise.step(edge, 0.05 / count, 2 / SIZE))
    return finish(grain(rng, drift(rng, albedo, 0.05, 0.01), 0.06), noise.fractal(rng, SIZE, coarse, 0.3))


def _timber(rng: np.random.Generator, scale: float) -> _Timber:
    """scale: 1 for a repeat of about a metre; smaller is seen from nearer."""
    along = rng.uniform(6, 14)
    # Contours of noise that is stretched along the trunk look like flat-sawn wood; a ramp across adds straight grain.
    field = noise.fractal(rng, SIZE, rng.uniform(1.0, 2.0), 1.2, high=24, stretch=(along, 1.0))
    _, y = noise.grid(SIZE)
    straight = round(rng.choice([0, 0, 6, 14]) * scale)
    turns = rng.uniform(1.5, 5) * scale * field + straight * y
    knots = np.zeros((SIZE, SIZE), np.float32)
    if rng.random() < 0.4:
        knots, pushed = _knots(rng, int(rng.integers(1, 5)))
        turns = turns + 6 * pushed
    phase = turns % 1
    # Growth rings: a slow darkening, then a sharp edge that the pixel grid still resolves.
    rings = phase ** rng.uniform(1.2, 3) * noise.step(-phase, -0.94, 0.12)
    streak = noise.fractal(rng, SIZE, 12, 0.4, stretch=(rng.uniform(20, 50), 1.0))
    rings = np.clip(rings + 0.18 * streak, -0.6, 1.4)
    dots = noise.fractal(rng, SIZE, 50, 0.0, stretch=(rng.uniform(8, 24), 1.0))
    pores = noise.step(dots + 0.8 * phase, rng.uniform(1.6, 2.6), 0.8)
    return _Timber(rings.astype(np.float32), pores.astype(np.float32), knots)


def _knots(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask of knots, and how far the rings run around them."""
    x, y = noise.grid(SIZE)
    mask = np.zeros_like(x)
    pushed = np.zeros_like(x)
    for _ in range(count):
        center, radius = rng.random(2), log_uniform(rng, 0.006, 0.025)
        dx = (x - center[0] + 0.5) % 1 - 0.5
        dy = (y - center[1] + 0.5) % 1 - 0.5
        distance = np.hypot(dx / rng.uniform(1.0, 1.8), dy) / radius
        mask = np.maximum(mask, noise.step(-distance, -1.0, 0.5) * rng.uniform(0.5, 1.0))
        pushed = pushed + rng.choice([-1, 1]) * np.exp(-np.hypot(dx / 4, dy) / (2.5 * radius))
    return mask.astype(np.float32), pushed.astype(np.float32)


def _stained(rng: np.random.Generator, base: np.ndarray, timber: _Timber) -> np.ndarray:
    """Colour from the fields. base: (3,) or (SIZE, SIZE, 3)."""
    contrast = rng.uniform(0.15, 0.6)
    # Late wood is darker and redder: blue falls faster than red.
    late = np.exp(-contrast * np.array([0.8, 1.0, 1.25], np.float32))
    albedo = base * late ** timber.rings[..., None]
    albedo = albedo * np.exp(-rng.uniform(0.2, 0.9) * timber.pores)[..., None]
    albedo = mix(albedo, base * np.array([0.35, 0.27, 0.22], np.float32), 0.85 * timber.knots)
    fibres = noise.fractal(rng, SIZE, 30, 0.1, stretch=(rng.uniform(10, 30), 1.0))
    return drift(rng, albedo * np.exp(0.05 * fibres)[..., None], rng.uniform(0.02, 0.08), rng.uniform(0.005, 0.02))


def _worn(rng: np.random.Generator, albedo: np.ndarray) -> np.ndarray:
    if rng.random() < 0.4:
        albedo = mix(albedo, color(rng, "straw"), rng.uniform(0.1, 0.4) * scratches(rng, SIZE))
    if rng.random() < 0.4:
        albedo = stains(rng, albedo, rng.uniform(0.1, 0.45), albedo.mean(axis=(0, 1)) * rng.uniform(0.3, 0.6))
    if rng.random() < 0.15:  # silvered by the weather
        grey = albedo.mean(axis=-1, keepdims=True) * np.array([1.02, 1.0, 0.95], np.float32)
        albedo = albedo + rng.uniform(0.4, 0.9) * (grey - albedo)
    return grain(rng, albedo, rng.uniform(0.01, 0.04))


def _moved(rng: np.random.Generator, timber: _Timber, pieces: Tiling) -> _Timber:
    """Every piece cut from another place of the wood, its grain along the piece."""
    start = rng.random((pieces.count, 2)).astype(np.float32)
    x, y = noise.grid(SIZE)
    u = pieces.along + pieces.per_piece(start[:, 0]) - x
    v = pieces.across + pieces.per_piece(start[:, 1]) - y
    u, v = np.ascontiguousarray(u, np.float32), np.ascontiguousarray(v, np.float32)
    return _Timber(*(noise.warped(field, u, v) for field in (timber.rings, timber.pores, timber.knots)))


def _laid(rng: np.random.Generator, pieces: Tiling, rows: int) -> Patterned:
    """Bare or varnished pieces with dark joints. rows: pieces across one repeat."""
    base = color(rng, "wood")
    timber = _moved(rng, _timber(rng, rng.uniform(0.8, 2.0)), pieces)
    colors = variants(rng, base, pieces.count, rng.uniform(0.04, 0.25), rng.uniform(0.005, 0.03))
    albedo = _stained(rng, pieces.per_piece(colors), timber)
    gap = log_uniform(rng, 0.004, 0.03) / rows
    joint = 1 - noise.step(pieces.edge, gap, 1.5 / SIZE)
    albedo = mix(_worn(rng, albedo), base * rng.uniform(0.15, 0.5), rng.uniform(0.6, 1.0) * joint)
    height = np.minimum(pieces.edge, 3 * gap) / gap - 0.15 * timber.rings - 0.3 * timber.pores
    return finish(albedo, height)


def _painted(rng: np.random.Generator, pieces: Tiling, rows: int) -> Patterned:
    """rows: pieces across one repeat, 0 for none visible."""
    base, wood = color(rng, "painted_wood"), color(rng, "wood")
    timber = _moved(rng, _timber(rng, 1.0), pieces)
    tones = pieces.per_piece(variants(rng, base, pieces.count, 0.02, 0.004))
    albedo = drift(rng, tones * np.exp(-0.06 * timber.rings)[..., None], rng.uniform(0.01, 0.06), 0.01)
    worn = noise.fractal(rng, SIZE, 4, 0.5, stretch=(rng.uniform(1.5, 6), 1.0)) + 0.5 * timber.rings
    bare = noise.step(worn, rng.uniform(1.2, 4.0), 0.15)
    albedo = mix(albedo, _stained(rng, wood, timber), bare)
    height = -0.1 * timber.rings - 0.3 * bare
    if rows:
        joint = 1 - noise.step(pieces.edge, 0.015 / rows, 1.5 / SIZE)
        albedo = mix(albedo, base * 0.25, 0.8 * joint)
        height = height + np.minimum(pieces.edge * rows * 20, 1)
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, rng.uniform(0.05, 0.4))
    return finish(grain(rng, albedo, 0.015), height)
