"""Albedo of mineral surfaces: paint and plaster, concrete, bricks, tiles, stone, roads, ground.

A generator takes a random generator and returns a `Patterned` texture that repeats without a seam.
"""

from __future__ import annotations

import cv2
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
    pick,
    scratches,
    stains,
    streaks,
    variants,
)
from intrinsic_flow.train.rendering.appearance.patterns.tiling import Tiling


def flat(base: np.ndarray, size: int = SIZE) -> np.ndarray:
    return np.broadcast_to(base, (size, size, 3)).astype(np.float32)


# ---------------------------------------------------------------- paint, plaster, concrete

# What `worn` and `soiled` vary about: light enough for white paint, dark enough to be scuffed lighter.
USED_ALBEDO = 0.7


def paint(rng: np.random.Generator, role: str = "wall") -> Patterned:
    """Rolled or brushed paint, from nearly even to scuffed."""
    albedo = drift(rng, flat(color(rng, role)), rng.uniform(0.005, 0.03), rng.uniform(0.002, 0.008))
    height = noise.fractal(rng, SIZE, rng.uniform(20, 60), 0.3)
    if rng.random() < 0.25:
        albedo = stains(rng, albedo, rng.uniform(0.02, 0.1))
    if rng.random() < 0.25:
        marks = scratches(rng, SIZE, 0.015)
        albedo = mix(albedo, color(rng, "concrete"), rng.uniform(0.1, 0.5) * marks)
    return finish(grain(rng, albedo, 0.01), height)


def worn(rng: np.random.Generator) -> Patterned:
    """Grey near USED_ALBEDO, to be multiplied by a colour: what a surface of one colour looks like after some years."""
    return finish(_used(rng))


def soiled(rng: np.random.Generator) -> Patterned:
    """`worn` over the height of a wall (row 0 at the floor): dirt and shoes' marks at its foot, hands' further up, dust
    below the ceiling. Drawn once, mirrored to both sides.
    """
    albedo, height = _used(rng), (np.arange(SIZE, dtype=np.float32)[:, None] + 0.5) / SIZE
    uneven = np.exp(0.5 * noise.fractal(rng, SIZE, 4, 0.6))
    foot = rng.uniform(0.02, 0.22) * np.exp(-height / log_uniform(rng, 0.015, 0.12)) + rng.uniform(0, 0.06) * (1 - height)
    top = rng.uniform(0, 0.12) * np.exp(-(1 - height) / log_uniform(rng, 0.01, 0.06))
    albedo = mix(albedo, 0.4 * color(rng, "sand"), np.clip((foot + top) * uneven, 0, 0.6))
    touched = np.exp(-((height / 0.1) ** 2)) + 0.3 * np.exp(-(((height - 0.42) / 0.12) ** 2))
    marks = noise.step(noise.fractal(rng, SIZE, 14, 0.4, stretch=(3.0, 1.0)), rng.uniform(1.6, 2.6), 0.6)
    albedo = mix(albedo, color(rng, "asphalt"), rng.uniform(0.05, 0.35) * np.clip(touched * marks, 0, 1))
    return finish(albedo, tileable=False)


def _used(rng: np.random.Generator) -> np.ndarray:
    """Albedo near USED_ALBEDO: clouds, tracks of a roller or a cloth, spots, scuffs, from hardly any to many."""
    age = log_uniform(rng, 0.4, 2.2)
    albedo = drift(rng, flat(np.full(3, USED_ALBEDO, np.float32)), 0.022 * age, 0.004 * age)
    tracks = noise.fractal(rng, SIZE, rng.uniform(6, 14), 0.5, stretch=(1.0, rng.uniform(1.5, 6)))
    albedo = albedo * np.exp(0.012 * age * tracks)[..., None]
    spots = noise.step(noise.fractal(rng, SIZE, rng.uniform(12, 40), 0.3), rng.uniform(2.2, 3.2), 0.5)
    albedo = mix(albedo, albedo * rng.uniform(0.5, 1.15), spots * min(0.5 * age, 1.0))
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, 0.06 * age)
    if rng.random() < 0.6:
        albedo = mix(albedo, color(rng, pick(rng, "asphalt", "paper")), 0.2 * age * scratches(rng, SIZE, 0.012))
    return grain(rng, albedo, rng.uniform(0.008, 0.03))


def peeling(rng: np.random.Generator, role: str = "wall") -> Patterned:
    """Old paint that has come off and shows an earlier coat and the plaster below."""
    coats = [color(rng, role), color(rng, "wall"), color(rng, "concrete")]
    field = noise.fractal(rng, SIZE, rng.uniform(2, 5), rng.uniform(0.5, 0.9))
    level = rng.uniform(0.6, 1.6)
    first, second = noise.step(field, level, 0.08), noise.step(field, level + rng.uniform(0.2, 0.7), 0.08)
    albedo = drift(rng, mix(mix(flat(coats[0]), coats[1], first), coats[2], second), 0.06, 0.015)
    albedo = stains(rng, albedo, rng.uniform(0.1, 0.35))
    return finish(grain(rng, albedo, 0.03), -first - 0.7 * second + 0.1 * noise.fractal(rng, SIZE, 10, 0.5))


def plaster(rng: np.random.Generator, role: str = "wall") -> Patterned:
    """Trowelled or weathered plaster: clouds, hairline cracks, dirt from below the eaves."""
    base = color(rng, role)
    albedo = drift(rng, flat(base), rng.uniform(0.03, 0.1), rng.uniform(0.005, 0.02))
    albedo = drift(rng, albedo, rng.uniform(0.02, 0.06), 0.005, 20)
    height = noise.fractal(rng, SIZE, rng.uniform(4, 20), rng.uniform(0.2, 0.6))
    if rng.random() < 0.5:
        cracks = _cracks(rng, int(rng.integers(2, 5)))
        albedo = mix(albedo, base * 0.35, rng.uniform(0.3, 0.8) * cracks)
        height = height - 2 * cracks
    if rng.random() < 0.6:
        albedo = stains(rng, albedo, rng.uniform(0.1, 0.4))
    if role == "wall" and rng.random() < 0.4:
        albedo = streaks(rng, albedo, rng.uniform(0.1, 0.4), color(rng, "asphalt"))
    return finish(grain(rng, albedo, 0.03), height)


def concrete(rng: np.random.Generator) -> Patterned:
    """Cast or trowelled concrete: clouds, pores, board marks, rust or lime runs."""
    base = color(rng, "concrete")
    albedo = drift(rng, flat(base), rng.uniform(0.06, 0.18), rng.uniform(0.005, 0.02))
    height = noise.fractal(rng, SIZE, rng.uniform(6, 30), 0.4)
    pores = noise.step(noise.fractal(rng, SIZE, 40, 0.2, high=110), rng.uniform(2.3, 3.2), 0.4)
    albedo = mix(albedo, base * 0.4, 0.8 * pores)
    height = height - 4 * pores
    if rng.random() < 0.35:
        panels = tiling.bond(SIZE, int(rng.integers(1, 3)), int(rng.integers(1, 9)), np.zeros(9))
        seams = 1 - noise.step(panels.edge, rng.uniform(0.002, 0.006), 0.004)
        albedo = albedo * panels.per_piece(variants(rng, np.ones(3, np.float32), panels.count, 0.06, 0.01))
        albedo = mix(albedo, base * 0.45, 0.8 * seams)
        height = height - 4 * seams
    if rng.random() < 0.6:
        albedo = stains(rng, albedo, rng.uniform(0.15, 0.5), color(rng, pick(rng, "asphalt", "rust", "sand", "soil")))
    if rng.random() < 0.4:
        albedo = streaks(rng, albedo, rng.uniform(0.15, 0.5), color(rng, pick(rng, "asphalt", "rust", "paper")))
    if rng.random() < 0.35:
        cracks = _cracks(rng, int(rng.integers(2, 4)))
        albedo = mix(albedo, base * 0.3, 0.8 * cracks)
        height = height - 4 * cracks
    return finish(grain(rng, albedo, rng.uniform(0.03, 0.08)), height)


def _cracks(rng: np.random.Generator, count: int) -> np.ndarray:
    """A mask of thin lines along the borders of large bent cells, broken into pieces."""
    _, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.02)
    gaps = noise.fractal(rng, SIZE, 2, 0.8)
    return (1 - noise.step(edge, 0.0022, 0.003)) * noise.step(gaps, 0.3, 0.6)


# ---------------------------------------------------------------- bricks, tiles, slabs


def bricks(rng: np.random.Generator) -> Patterned:
    """Brickwork in running, stack or flemish-like bond, with burnt bricks, lime bloom and dirty joints."""
    rows = int(rng.integers(6, 23) // 2 * 2)
    columns = max(2, round(rows * rng.uniform(0.28, 0.45)))
    stagger = pick(rng, "half", "third", "stack", "free", p=(6, 1, 0.7, 1))
    row = np.arange(rows)
    offsets = {"half": row % 2 / 2, "third": row % 3 / 3 if rows % 3 == 0 else row % 2 / 3, "stack": row * 0.0}
    offset = offsets[stagger] if stagger in offsets else rng.random(rows)
    rough = log_uniform(rng, 0.0004, 0.002)
    bend = rough * noise.fractal(rng, SIZE, 8, 0.3), rough * noise.fractal(rng, SIZE, 8, 0.3)
    pieces = tiling.bond(SIZE, columns, rows, offset, bend)
    return _masonry(rng, pieces, color(rng, "brick"), color(rng, "mortar"), rng.uniform(0.04, 0.1) / rows, 0.12)


def ashlar(rng: np.random.Generator) -> Patterned:
    """Stone blocks in courses."""
    rows = int(rng.integers(3, 12))
    pieces = tiling.boards(rng, SIZE, rows, rng.uniform(1.4, 3.0) / rows)
    stone = color(rng, "stone")
    return _masonry(
        rng, pieces, stone, mix(color(rng, "mortar"), stone, np.array(0.5, np.float32))[0], rng.uniform(0.02, 0.07) / rows
    )


def rubble(rng: np.random.Generator) -> Patterned:
    """Irregular stones in mortar or soil."""
    count = int(rng.integers(4, 16))
    pieces = tiling.rubble(rng, SIZE, count, max(2, round(count * rng.uniform(0.8, 1.7))), rng.uniform(0.002, 0.006))
    joint = color(rng, pick(rng, "mortar", "soil", "asphalt"))
    return _masonry(rng, pieces, color(rng, pick(rng, "stone", "stone", "brick")), joint, rng.uniform(0.05, 0.14) / count)


def _masonry(
    rng: np.random.Generator,
    pieces: Tiling,
    base: np.ndarray,
    mortar: np.ndarray,
    joint: float,
    overpainted: float = 0.0,
) -> Patterned:
    """Pieces of one material in mortar. joint: half its width in repeats. overpainted: how often paint hides it all."""
    colors = variants(rng, base, pieces.count, rng.uniform(0.08, 0.3), rng.uniform(0.01, 0.06))
    burnt = rng.random(pieces.count) < rng.choice([0, 0.05, 0.15])
    colors[burnt] *= rng.uniform(0.3, 0.6)
    other = rng.random(pieces.count) < rng.choice([0, 0.1, 0.35])
    colors[other] = variants(rng, 0.5 * (base + color(rng, "brick")), int(other.sum()), 0.15, 0.03)
    ragged = joint * (1 + 0.22 * noise.fractal(rng, SIZE, 12, 0.6))
    inside = np.clip((pieces.edge - ragged) / (1.6 / SIZE) + 0.5, 0, 1)
    faces = drift(rng, pieces.per_piece(colors), rng.uniform(0.05, 0.16), rng.uniform(0.01, 0.03), 12)
    faces = grain(rng, faces, rng.uniform(0.04, 0.12))
    chips = noise.step(noise.fractal(rng, SIZE, 30, 0.3), rng.uniform(1.8, 2.8), 0.5)
    faces = mix(faces, base * rng.uniform(0.5, 1.5), 0.5 * chips)
    bed = grain(rng, drift(rng, flat(mortar), 0.12, 0.02, 6), 0.08)
    albedo = mix(bed, faces, inside)
    if rng.random() < 0.35:  # lime bloom
        albedo = stains(rng, albedo, rng.uniform(0.1, 0.35), color(rng, "paper"))
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, rng.uniform(0.15, 0.5), color(rng, pick(rng, "asphalt", "soil", "foliage")) * 0.7)
    if rng.random() < overpainted:
        albedo = mix(albedo, color(rng, "wall"), np.full(albedo.shape[:2], rng.uniform(0.8, 0.95), np.float32))
    bulge = np.minimum(pieces.edge / (3 * joint), 1)
    height = 1.5 * np.sqrt(bulge) * inside + 0.12 * noise.fractal(rng, SIZE, 20, 0.4) - 0.3 * chips
    height = height + inside * pieces.per_piece(0.15 * rng.standard_normal(pieces.count).astype(np.float32))
    return finish(albedo, height)


def tiles(rng: np.random.Generator) -> Patterned:
    """Glazed or stone tiles with grout: plain, checkered, mottled or with a painted motif."""
    pieces, span = _tile_layout(rng)
    base = color(rng, pick(rng, "ceramic", "stone", "marble", p=(3, 1.5, 1)))
    second = color(rng, pick(rng, "ceramic", "stone", "glaze"))
    style = pick(rng, "plain", "checker", "random", "motif", p=(4, 1, 1.5, 1.5))
    colors = variants(rng, base, pieces.count, rng.uniform(0.01, 0.1), rng.uniform(0.002, 0.02))
    if style == "random":
        palette = np.stack([color(rng, "ceramic") for _ in range(4)] + [base])
        colors = variants(rng, palette[rng.integers(0, 5, pieces.count)], pieces.count, 0.05, 0.01)
    if style == "checker":
        columns = round(1 / span)
        chosen = (np.arange(pieces.count) // columns + np.arange(pieces.count) % columns) % 2 == 1
        colors[chosen] = variants(rng, second, int(chosen.sum()), 0.03, 0.01)
    faces = pieces.per_piece(colors)
    faces = drift(rng, faces, rng.uniform(0.01, 0.08), rng.uniform(0.002, 0.015), rng.uniform(4, 20))
    if style == "motif":
        faces = mix(faces, color(rng, "glaze"), rng.uniform(0.7, 1.0) * _motif(rng, pieces, span))
    if rng.random() < 0.3:
        faces = mix(faces, second, rng.uniform(0.2, 0.6) * _veins(rng, pieces))
    joint = span * log_uniform(rng, 0.008, 0.04)
    inside = noise.step(pieces.edge, joint, 1.5 / SIZE)
    grout = color(rng, pick(rng, "mortar", "mortar", "paper", "asphalt"))
    bed = drift(rng, flat(grout), 0.12, 0.02, 5)
    albedo = mix(bed, faces, inside)
    if rng.random() < 0.4:
        albedo = stains(rng, albedo, rng.uniform(0.05, 0.3))
    height = np.minimum(pieces.edge, 2.5 * joint) / joint + 0.02 * noise.fractal(rng, SIZE, 5, 0.8)
    return finish(grain(rng, albedo, rng.uniform(0.005, 0.03)), height)


def _tile_layout(rng: np.random.Generator) -> tuple[Tiling, float]:
    """A layout and the size of its pieces in repeats."""
    kind = pick(rng, "square", "offset", "hexagon", "herringbone", "mosaic", p=(4, 2, 1, 1, 1))
    if kind == "square":
        columns = int(rng.choice([2, 4, 4, 6, 8, 12]))
        return tiling.bond(SIZE, columns, columns, np.zeros(columns)), 1 / columns
    if kind == "offset":
        rows = int(rng.choice([4, 6, 8, 12]))
        columns = max(1, rows // int(rng.choice([1, 2, 3])))
        return tiling.bond(SIZE, columns, rows, np.arange(rows) % 2 / 2), 1 / rows
    if kind == "hexagon":
        columns = int(rng.integers(4, 14))
        return tiling.hexagons(SIZE, columns), 1 / columns
    if kind == "herringbone":
        repeats = int(rng.integers(1, 4))
        return tiling.herringbone(SIZE, int(rng.choice([2, 3, 4])), repeats), 1 / (6 * repeats)
    columns = int(rng.integers(14, 36))
    return tiling.bond(SIZE, columns, columns, np.zeros(columns)), 1 / columns


def _motif(rng: np.random.Generator, pieces: Tiling, span: float) -> np.ndarray:
    """The same painted figure on every piece: a mask with the symmetry of a square."""
    x, y = np.abs(pieces.along / span - 0.5), np.abs(pieces.across / span - 0.5)
    far, near = np.maximum(x, y), np.minimum(x, y)
    angle, radius = np.arctan2(near, far + 1e-6), np.hypot(x, y)
    petals = radius - rng.uniform(0.15, 0.4) * (1 + rng.uniform(0.2, 0.7) * np.cos(angle * 4 * rng.integers(1, 3)))
    ring = np.abs(radius - rng.uniform(0.2, 0.5)) - rng.uniform(0.01, 0.05)
    diamond = np.abs(x + y - rng.uniform(0.3, 0.7)) - rng.uniform(0.01, 0.06)
    frame = np.abs(far - rng.uniform(0.38, 0.46)) - rng.uniform(0.008, 0.025)
    shapes = [np.abs(petals) - rng.uniform(0.01, 0.06) if rng.random() < 0.5 else petals, ring, diamond, frame]
    chosen = rng.permutation(4)[: rng.integers(1, 4)]
    distance = np.min([shapes[i] for i in chosen], axis=0)
    return noise.step(-distance, 0.0, 1.5 / SIZE / span)


def _veins(rng: np.random.Generator, pieces: Tiling) -> np.ndarray:
    """Marble-like veins that do not run on from one piece to the next."""
    moved = pieces.per_piece(rng.random((pieces.count, 2)).astype(np.float32))
    return noise.warped(_vein_field(rng), np.ascontiguousarray(moved[..., 0]), np.ascontiguousarray(moved[..., 1]))


def _vein_field(rng: np.random.Generator) -> np.ndarray:
    """Where a warped noise crosses zero: lines of varying width, a mask."""
    field = noise.fractal(rng, SIZE, rng.uniform(1.5, 4), rng.uniform(0.7, 1.1))
    strength = noise.step(noise.fractal(rng, SIZE, 2, 1.0), -0.1, 1.6)
    return np.exp(-np.abs(field) / rng.uniform(0.03, 0.12)) * strength


# ---------------------------------------------------------------- stone


def marble(rng: np.random.Generator) -> Patterned:
    """Polished marble: clouds and veins at three scales."""
    base = color(rng, "marble")
    vein = color(rng, pick(rng, "stone", "asphalt", "marble", "rust"))
    albedo = drift(rng, flat(base), rng.uniform(0.04, 0.15), rng.uniform(0.005, 0.02), 2)
    cloud = noise.step(noise.fractal(rng, SIZE, 2, 0.7), 0.8, 2.0)
    albedo = mix(albedo, 0.5 * (base + vein), rng.uniform(0.1, 0.5) * cloud)
    for _ in range(int(rng.integers(2, 5))):
        albedo = mix(albedo, variants(rng, vein, 1, 0.2, 0.02)[0], rng.uniform(0.4, 1.0) * _vein_field(rng))
    return finish(grain(rng, albedo, 0.015))


def granite(rng: np.random.Generator) -> Patterned:
    """Crystals of three or four minerals."""
    count = int(rng.integers(45, 120))
    number, _ = noise.cells(rng, SIZE, count, count, 1.0, 0.3 / count)
    base = color(rng, "stone")
    minerals = np.stack([base, color(rng, "concrete"), color(rng, "asphalt"), color(rng, "stone")])
    share = np.array([0.5, 0.2, 0.15, 0.15]) * rng.uniform(0.5, 1.5, 4)
    colors = variants(rng, minerals[rng.choice(4, count * count, p=share / share.sum())], count * count, 0.2, 0.02)
    albedo = drift(rng, colors[number], rng.uniform(0.02, 0.15), 0.015, 2)
    return finish(grain(rng, albedo, 0.06))


def terrazzo(rng: np.random.Generator) -> Patterned:
    """Chips of stone in a polished binder, of two sizes."""
    binder = color(rng, pick(rng, "concrete", "paper", "ceramic", "stone"))
    albedo = grain(rng, drift(rng, flat(binder), 0.05, 0.01), 0.03)
    chips = np.stack([color(rng, pick(rng, "marble", "stone", "brick", "ceramic")) for _ in range(4)])
    coarse = int(rng.integers(10, 36))
    for count in (coarse * 3, coarse):
        number, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.12 / count)
        shown = rng.random(count * count) < rng.uniform(0.2, 0.8)
        gap = rng.uniform(0.05, 0.3, count * count).astype(np.float32) / count
        mask = shown[number] * noise.step(edge - gap[number], 0.0, 1.5 / SIZE)
        albedo = mix(albedo, variants(rng, chips[rng.integers(0, 4, count**2)], count**2, 0.12, 0.02)[number], mask)
    return finish(stains(rng, albedo, rng.uniform(0, 0.15)))


def rock(rng: np.random.Generator) -> Patterned:
    """Raw rock face: strata or fractures, lichen."""
    base = color(rng, "stone")
    stretch = (1.0, 1.0) if rng.random() < 0.5 else (rng.uniform(2, 5), 1.0)
    field = noise.fractal(rng, SIZE, 2, rng.uniform(0.5, 0.9), stretch=stretch)
    ridges = -np.abs(noise.fractal(rng, SIZE, 3, 0.8, stretch=stretch))
    albedo = flat(base) * np.exp(0.22 * field + 0.12 * ridges)[..., None]
    albedo = mix(albedo, color(rng, "stone"), 0.4 * noise.step(noise.fractal(rng, SIZE, 3, 0.7, stretch=stretch), 0.5, 2.0))
    albedo = mix(albedo, base * 0.35, 0.6 * noise.step(ridges, -0.03, 0.05))
    if rng.random() < 0.4:
        spots = noise.step(noise.fractal(rng, SIZE, 10, 0.5), 1.3, 0.2)
        albedo = mix(albedo, color(rng, pick(rng, "foliage", "straw", "paper")), 0.7 * spots)
    return finish(grain(rng, drift(rng, albedo, 0.05, 0.02, 8), 0.06), 1.2 * field + ridges)


# ---------------------------------------------------------------- roads and ground


def asphalt(rng: np.random.Generator) -> Patterned:
    """Aggregate in bitumen, with patches, cracks, oil and chewing gum."""
    base = color(rng, "asphalt")
    count = int(rng.integers(70, 150))
    number, edge = noise.cells(rng, SIZE, count, count)
    stone = rng.random(count * count) < rng.uniform(0.3, 0.9)
    colors = np.where(
        stone[:, None], variants(rng, 1.6 * base, count**2, 0.3, 0.04), variants(rng, base, count**2, 0.15, 0.01)
    )
    albedo = drift(rng, colors[number].astype(np.float32), rng.uniform(0.06, 0.18), 0.01)
    height = stone[number] * np.minimum(edge * count, 0.5) + 0.15 * noise.fractal(rng, SIZE, 8, 0.6)
    if rng.random() < 0.6:
        cracks = _cracks(rng, int(rng.integers(2, 9)))
        albedo = mix(albedo, base * 0.4, 0.8 * cracks)
        height = height - cracks
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, rng.uniform(0.2, 0.6), pick(rng, base * 0.5, base * 1.7, color(rng, "sand")))
    return finish(albedo, height)


def gravel(rng: np.random.Generator) -> Patterned:
    """Pebbles of three sizes, one layer on another."""
    tones = np.stack([color(rng, "stone") for _ in range(3)])
    soil = color(rng, pick(rng, "soil", "sand", "stone"))
    albedo = grain(rng, drift(rng, flat(soil), 0.15, 0.02, 5), 0.15)
    height = 0.1 * noise.fractal(rng, SIZE, 10, 0.4)
    coarse = int(rng.integers(14, 40))
    for count, level in ((coarse * 3, 0.5), (int(coarse * 1.7), 0.75), (coarse, 1.0)):
        number, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.08 / count)
        shown = rng.random(count**2) < (0.85 if level < 1 else rng.uniform(0.3, 1.0))
        gap = rng.uniform(0.03, 0.15) / count
        mask = shown[number] * noise.step(edge, gap, 1.5 / SIZE)
        colors = variants(rng, tones[rng.integers(0, 3, count**2)], count**2, 0.3, 0.04)
        albedo = mix(albedo, colors[number], mask)
        dome = level * np.sqrt(np.clip(edge * count * 2.5, 0, 1))
        height = np.where(mask > 0.5, dome, height)
    return finish(grain(rng, drift(rng, albedo, 0.08, 0.01), 0.08), height)


def soil(rng: np.random.Generator) -> Patterned:
    """Bare earth or sand: clods, damp patches, little stones, straw."""
    base = color(rng, pick(rng, "soil", "soil", "sand"))
    clods = noise.fractal(rng, SIZE, rng.uniform(6, 25), rng.uniform(0.2, 0.6))
    albedo = flat(base) * np.exp(rng.uniform(0.08, 0.3) * clods)[..., None]
    albedo = drift(rng, albedo, rng.uniform(0.08, 0.2), rng.uniform(0.01, 0.03))
    if rng.random() < 0.6:
        count = int(rng.integers(20, 70))
        number, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.1 / count)
        shown = rng.random(count**2) < rng.uniform(0.03, 0.25)
        gap = rng.uniform(0.05, 0.4, count**2).astype(np.float32) / count
        mask = shown[number] * noise.step(edge - gap[number], 0.0, 1.5 / SIZE)
        albedo = mix(albedo, variants(rng, color(rng, "stone"), count**2, 0.25, 0.03)[number], mask)
        clods = clods + 2.5 * mask
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, rng.uniform(0.2, 0.6), base * rng.uniform(0.4, 0.6))
    return finish(grain(rng, albedo, rng.uniform(0.08, 0.18)), clods)


def paving(rng: np.random.Generator) -> Patterned:
    """Slabs, cobbles, herringbone pavers or crazy paving with sand, soil or moss between."""
    kind = pick(rng, "slab", "paver", "herringbone", "cobble", "crazy", p=(2, 2, 2, 2, 1))
    if kind == "slab":
        rows = int(rng.integers(2, 6))
        pieces, span = tiling.bond(SIZE, rows, rows, np.arange(rows) % 2 * (0.5 if rows % 2 == 0 else 0.0)), 1 / rows
    elif kind == "paver":
        rows = int(rng.integers(4, 9)) * 2
        pieces, span = tiling.bond(SIZE, rows // 2, rows, np.arange(rows) % 2 / 2), 1 / rows
    elif kind == "herringbone":
        repeats = int(rng.integers(2, 5))
        pieces, span = tiling.herringbone(SIZE, 2, repeats), 1 / (4 * repeats)
    elif kind == "cobble":
        count = int(rng.integers(8, 20))
        pieces, span = tiling.rubble(rng, SIZE, count, count, 0.002), 0.8 / count
    else:
        count = int(rng.integers(3, 6))
        pieces, span = tiling.rubble(rng, SIZE, count, count, 0.003), 0.5 / count
    joint = color(rng, pick(rng, "sand", "soil", "foliage", "asphalt", "mortar"))
    return _masonry(
        rng,
        pieces,
        color(rng, pick(rng, "concrete", "stone", "brick", p=(3, 3, 1.5))),
        joint,
        rng.uniform(0.02, 0.07) * span,
    )


# ---------------------------------------------------------------- roofs, ceilings


def roof(rng: np.random.Generator) -> Patterned:
    """Courses of tiles, slates or shingles, each lapping over the next; bleached, sooty, mossy."""
    rows = int(rng.integers(5, 15)) * 2
    columns = max(2, round(rows * rng.uniform(0.5, 1.3)))
    offset = pick(rng, np.zeros(rows), np.arange(rows) % 2 / 2, p=(1, 2))
    bend = 0.0012 * noise.fractal(rng, SIZE, 10, 0.4), 0.0012 * noise.fractal(rng, SIZE, 10, 0.4)
    pieces = tiling.bond(SIZE, columns, rows, offset, bend)
    base = color(rng, "roof")
    colors = variants(rng, base, pieces.count, rng.uniform(0.1, 0.35), rng.uniform(0.02, 0.06))
    albedo = drift(rng, pieces.per_piece(colors), 0.1, 0.02, 6)
    # The exposed foot of a course weathers differently from its head.
    depth = pieces.across * rows
    albedo = mix(albedo, color(rng, "asphalt"), 0.25 * depth)
    gap = 1 - noise.step(pieces.edge, 0.04 / rows, 1.6 / SIZE)
    albedo = mix(albedo, base * 0.3, 0.7 * gap)
    if rng.random() < 0.6:
        albedo = stains(rng, albedo, rng.uniform(0.2, 0.6), color(rng, pick(rng, "foliage", "asphalt", "straw")))
    albedo = streaks(rng, albedo, rng.uniform(0, 0.3), color(rng, pick(rng, "asphalt", "paper")))
    wave = 0.6 * np.sin(np.pi * pieces.along * columns) if rng.random() < 0.5 else 0.0
    height = depth + wave - gap + 0.05 * noise.fractal(rng, SIZE, 20, 0.4)
    return finish(grain(rng, albedo, 0.06), height)


def ceiling_paint(rng: np.random.Generator) -> Patterned:
    return paint(rng, "ceiling")


def ceiling_plaster(rng: np.random.Generator) -> Patterned:
    return plaster(rng, "ceiling")


def ceiling_tiles(rng: np.random.Generator) -> Patterned:
    """Mineral fibre tiles with pinholes in a grid of rails."""
    count = int(rng.integers(2, 5))
    base = color(rng, "ceiling")
    pieces = tiling.bond(SIZE, count, count * int(rng.integers(1, 3)), np.zeros(10))
    albedo = pieces.per_piece(variants(rng, base, pieces.count, 0.02, 0.004))
    holes = noise.step(noise.fractal(rng, SIZE, 60, 0.0, high=140), rng.uniform(1.8, 2.6), 0.5)
    albedo = mix(albedo, base * 0.3, rng.uniform(0.3, 0.8) * holes)
    rail = 1 - noise.step(pieces.edge, rng.uniform(0.004, 0.012), 1.5 / SIZE)
    albedo = mix(albedo, color(rng, "ceiling"), rail)
    line = np.exp(-(((pieces.edge - 0.013) * SIZE) ** 2))
    albedo = mix(albedo, base * 0.4, 0.7 * line)
    if rng.random() < 0.4:
        albedo = stains(rng, albedo, rng.uniform(0.1, 0.4), color(rng, "straw"))
    return finish(grain(rng, albedo, 0.015), rail - holes)


def plastic(rng: np.random.Generator) -> Patterned:
    """Moulded plastic or lacquer: one colour, marbled or speckled now and then, scuffed."""
    base = color(rng, "plastic")
    albedo = drift(rng, flat(base), rng.uniform(0.003, 0.02), rng.uniform(0.001, 0.006))
    kind = pick(rng, "plain", "speckled", "marbled", p=(4, 1, 1))
    if kind == "speckled":
        specks = noise.fractal(rng, SIZE, rng.uniform(20, 60), 0.0, high=130)
        albedo = mix(albedo, color(rng, "plastic"), noise.step(specks, rng.uniform(1.5, 2.8), 0.4))
    elif kind == "marbled":
        swirl = noise.fractal(rng, SIZE, 2, 1.4, stretch=(rng.uniform(1, 4), 1.0))
        albedo = mix(albedo, color(rng, "plastic"), noise.step(swirl, rng.uniform(-0.5, 1.0), rng.uniform(0.2, 1.5)))
    if rng.random() < 0.5:
        albedo = mix(albedo, base * 1.3 + 0.03, rng.uniform(0.1, 0.5) * scratches(rng, SIZE, 0.01))
    return finish(grain(rng, albedo, 0.006), noise.fractal(rng, SIZE, 25, 0.3))


def bare_metal(rng: np.random.Generator) -> Patterned:
    """Reflectance of bare metal: brushed, smudged, tarnished."""
    base = color(rng, "metal")
    brushed = noise.fractal(rng, SIZE, 20, 0.2, stretch=(rng.uniform(1, 40), 1.0))
    albedo = drift(rng, flat(base), rng.uniform(0.01, 0.05), 0.006) * np.exp(0.03 * brushed)[..., None]
    if rng.random() < 0.6:
        albedo = stains(rng, albedo, rng.uniform(0.1, 0.5), base * rng.uniform(0.4, 0.7))
    if rng.random() < 0.25:
        albedo = stains(rng, albedo, rng.uniform(0.3, 0.8), color(rng, "rust"))
    return finish(albedo, brushed)


def sheet_metal(rng: np.random.Generator) -> Patterned:
    """Painted sheet metal whose paint gives way to rust; ribs are only in the relief."""
    base = color(rng, pick(rng, "plastic", "painted_wood", "concrete"))
    albedo = drift(rng, flat(base), rng.uniform(0.03, 0.1), 0.01)
    field = noise.fractal(rng, SIZE, rng.uniform(2, 6), 0.6, stretch=(1.0, rng.uniform(1, 3)))
    level = rng.uniform(0.8, 2.5)
    rust = drift(rng, flat(color(rng, "rust")), 0.25, 0.05, 6)
    albedo = mix(albedo, rust, noise.step(field, level, 0.12))
    albedo = streaks(rng, albedo, rng.uniform(0.1, 0.5), color(rng, "rust"))
    x, _ = noise.grid(SIZE)
    ribs = np.sin(2 * np.pi * x * int(rng.integers(6, 20)))
    return finish(grain(rng, albedo, 0.04), ribs + 0.05 * noise.fractal(rng, SIZE, 10, 0.5))


def lawn(rng: np.random.Generator) -> Patterned:
    """Grass, thin in places."""
    albedo = _blades(rng)
    bare = noise.step(noise.fractal(rng, SIZE, 2.5, 0.6), rng.uniform(0.7, 2.5), 0.6)
    earth = grain(rng, drift(rng, flat(color(rng, "soil")), 0.2, 0.02, 8), 0.15)
    return finish(mix(albedo, earth, bare), noise.fractal(rng, SIZE, 12, 0.3))


def _blades(rng: np.random.Generator) -> np.ndarray:
    """A lawn from above: thousands of short strokes of scattered greens, (SIZE, SIZE, 3)."""
    base, dry = color(rng, "foliage"), color(rng, "straw")
    albedo = drift(rng, flat(base * 0.6), 0.25, 0.05, 4)
    canvas = np.ascontiguousarray(albedo)
    count = 2600
    start = rng.uniform(0, SIZE, (count, 2))
    angle = rng.normal(rng.uniform(0, np.pi), rng.uniform(0.5, 2), count)
    length = log_uniform(rng, 8, 26) * rng.uniform(0.5, 1.5, count)
    ends = start + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    colors = variants(rng, base, count, 0.3, 0.08)
    brown = rng.random(count) < rng.uniform(0, 0.3)
    colors[brown] = variants(rng, dry, int(brown.sum()), 0.2, 0.04)
    # Strokes that leave on one side come in on the other.
    for p, q, tone in zip(start, ends, colors.tolist()):
        for dx, dy in _wraps(p, q):
            a = (round((p[0] + dx) * 16), round((p[1] + dy) * 16))
            b = (round((q[0] + dx) * 16), round((q[1] + dy) * 16))
            cv2.line(canvas, a, b, tone, 1, cv2.LINE_8, 4)
    return drift(rng, canvas, 0.1, 0.04, 2.5)


def _wraps(p: np.ndarray, q: np.ndarray) -> list[tuple[int, int]]:
    """The shifts by one repeat under which a stroke from p to q shows in the picture."""
    low, high = np.minimum(p, q), np.maximum(p, q)
    return [
        (dx, dy)
        for dx in (-SIZE, 0, SIZE)
        for dy in (-SIZE, 0, SIZE)
        if high[0] + dx >= 0 and low[0] + dx < SIZE and high[1] + dy >= 0 and low[1] + dy < SIZE
    ]
