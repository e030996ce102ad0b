"""What belongs to a room's walls: windows with sills, curtains and blinds, doors, skirting, sockets, shelves, hooks.

A wall's frame has its origin at the middle of the wall's foot, on the inner face; x runs along the wall, y out of the
room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh
from intrinsic_flow.train.rendering.world.books import picture_frame
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder, Support
from intrinsic_flow.train.rendering.world.fabrics import curtain
from intrinsic_flow.train.rendering.world.geometry import (
    block,
    box,
    cylinder,
    merged,
    rotation,
    sheet,
    superquadric,
    translation,
    tube,
)

WALL = 0.22  # metres thick


@dataclass(frozen=True)
class Opening:
    """A window's hole in a wall: its middle along the wall, its lower edge, its size, metres."""

    x: float
    z: float
    width: float
    height: float


def wall_mesh(length: float, height: float, openings: list[Opening], base: float = 0.0, beyond: float = WALL) -> Mesh:
    """A wall from z = base up to `height` with holes side by side, as one mesh of blocks with a continuous texture; it
    reaches `beyond` metres past both ends.
    """
    pieces, x = [], -length / 2 - beyond
    for hole in sorted(openings, key=lambda each: each.x):
        left, right = hole.x - hole.width / 2, hole.x + hole.width / 2
        pieces.append(block((x, 0, base), (left, WALL, height)))
        if hole.z > base + 1e-3:
            pieces.append(block((left, 0, base), (right, WALL, hole.z)))
        pieces.append(block((left, 0, hole.z + hole.height), (right, WALL, height)))
        x = right
    pieces.append(block((x, 0, base), (length / 2 + beyond, WALL, height)))
    return merged(pieces)


def window(b: SceneBuilder, hole: Opening, night: bool) -> tuple[Prop, Prop]:
    """The window in a hole, about the hole's middle at its lower edge: (frame with bars, sill with a support). night: its
    panes are dark instead of open.
    """
    unit, rng = Prop(), b.rng
    w, h = hole.width, hole.height
    wood = b.material("wood", color=tuple(np.full(3, rng.uniform(0.6, 0.82)))) if b.chance(0.65) else b.material("wood")
    bar, deep = rng.uniform(0.04, 0.075), 0.06
    back = rng.uniform(0.08, 0.15)
    for side in (-1, 1):
        unit.add(box((bar, deep, h), 0.004), wood, translation(side * (w - bar) / 2, back))
    for z in (0.0, h - bar):
        unit.add(box((w - 2 * bar, deep, bar), 0.004), wood, translation(0, back, z))
    sashes = max(1, round(w / rng.uniform(0.6, 1.1)))
    for k in range(1, sashes):
        unit.add(box((bar * 1.2, deep * 0.9, h - 2 * bar), 0.004), wood, translation(k * w / sashes - w / 2, back, bar))
    thin = rng.uniform(0.018, 0.03)
    rows, columns = (int(rng.integers(1, 4)), int(rng.integers(1, 3))) if b.chance(0.5) else (1, 1)
    for k in range(1, rows):
        unit.add(box((w - 2 * bar, 0.03, thin), 0.003), wood, translation(0, back, k * h / rows))
    for sash in range(sashes):
        for k in range(1, columns):
            x = (sash + k / columns) * w / sashes - w / 2
            unit.add(box((thin, 0.03, h - 2 * bar), 0.003), wood, translation(x, back, bar))
    if h > 0.7 and b.chance(0.6):
        grip = translation(w / 2 - bar / 2 if sashes == 1 else 0, back - deep / 2 - 0.012, h * 0.5)
        unit.add(box((0.02, 0.03, 0.12), 0.004), b.material("metal", fresh=0.3), grip)
    if night:
        pane = b.material("plastic", color=(0.012, 0.014, 0.02), gloss=1.0)
        unit.add(box((w, 0.006, h)), pane, translation(0, back + 0.02))
    ledge = Prop()
    reach = rng.uniform(0.04, 0.2)
    stone = wood if b.chance(0.6) else b.material("stone")
    depth = reach + back - deep / 2
    ledge.add(box((w + 0.08, depth, 0.025), 0.004), stone, translation(0, -reach + depth / 2, -0.024))
    ledge.supports.append(Support(translation(0, -reach + depth / 2, 0.001), w - 0.06, depth - 0.01, h * 0.8))
    return unit, ledge


def curtains(b: SceneBuilder, hole: Opening, ceiling: float) -> Prop:
    """A rod with one or two curtains beside a window, in the wall's frame, inside of the wall."""
    prop, rng = Prop(), b.rng
    rod_z = min(hole.z + hole.height + rng.uniform(0.06, 0.2), ceiling - 0.04)
    to_floor = b.chance(0.6) or hole.z < 0.45
    low = rng.uniform(0.01, 0.05) if to_floor else hole.z - rng.uniform(0.08, 0.2)
    cloth = b.material("fabric", thin=True)
    reach = hole.width / 2 + 0.15
    metal = b.material(b.choice(["metal", "wood"]), fresh=0.5)
    y = -0.1
    prop.add(tube(np.array([[hole.x - reach - 0.08, y, rod_z], [hole.x + reach + 0.08, y, rod_z]]), 0.011, 10), metal)
    for side in (-1, 1):
        end = translation(hole.x + side * (reach + 0.09), y, rod_z - 0.022)
        prop.add(superquadric((0.044, 0.044, 0.044), 1, 1, 6), metal, end)
        prop.add(
            tube(np.array([[hole.x + side * reach, y, rod_z], [hole.x + side * reach, 0.001, rod_z]]), 0.007, 7), metal
        )
        if b.chance(0.92):
            width = hole.width * rng.uniform(0.16, 0.36) + 0.1
            gathered = rng.uniform(0.3, 0.9) if b.chance(0.3) else 0.0
            hanging = curtain(rng, width, rod_z - 0.005 - low, gathered)
            prop.add(hanging, cloth, translation(hole.x + side * (reach + 0.03 - width / 2), y, low))
    return prop


def blind(b: SceneBuilder, hole: Opening) -> Prop:
    """A slatted or roller blind in a hole, let down in part; about the hole's middle at its lower edge."""
    prop, rng = Prop(), b.rng
    drop = hole.height * rng.uniform(0.15, 0.95)
    width = hole.width - 0.02
    cover = b.material(b.choice(["plastic", "wood", "metal"]), plain=0.8)
    prop.add(box((width, 0.05, 0.04), 0.003), cover, translation(0, 0.03, hole.height - 0.04))
    if b.chance(0.4):
        cloth = b.material("fabric", thin=True)
        prop.add(box((width, 0.002, drop - 0.03)), cloth, translation(0, 0.03, hole.height - drop))
        prop.add(box((width, 0.012, 0.02), 0.003), cover, translation(0, 0.03, hole.height - drop - 0.01))
        return prop
    pitch, tilt = rng.uniform(0.028, 0.05), rng.uniform(10, 70)
    slat = box((width, 0.036, 0.002))
    for z in np.arange(hole.height - 0.06, hole.height - drop, -pitch):
        prop.add(slat, cover, translation(0, 0.03, z) @ rotation("x", tilt) @ translation(z=-0.001))
    for x in (-0.35, 0.35):
        cord = np.array([[x * width, 0.03, hole.height - 0.03], [x * width, 0.03, hole.height - drop]])
        prop.add(tube(cord, 0.0015, 5), cover)
    return prop


def door(b: SceneBuilder) -> Prop:
    """A closed door with casing and handle that stands on the floor against a wall at y = 0."""
    prop, rng = Prop(), b.rng
    w, h, casing = rng.uniform(0.76, 0.92), rng.uniform(1.98, 2.1), rng.uniform(0.06, 0.1)
    leaf, trim = b.material("wood", plain=0.5), b.material("wood", fresh=0.5)
    prop.add(box((w, 0.02, h), 0.002), leaf, translation(0, -0.01, 0.004))
    for side in (-1, 1):
        prop.add(box((casing, 0.035, h + casing), 0.005), trim, translation(side * (w + casing) / 2, -0.0175))
    prop.add(box((w, 0.035, casing), 0.005), trim, translation(0, -0.0175, h))
    rows, columns = b.choice([(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (0, 0)])
    for i in range(rows):
        for j in range(columns):
            pw, ph = (w - 0.12) / columns - 0.06, (h - 0.24) / rows - 0.08
            x, z = -w / 2 + 0.09 + pw / 2 + j * (pw + 0.06), 0.14 + i * (ph + 0.08)
            for part, spot in ((box((pw, 0.008, 0.02), 0.003), (0, 0)), (box((pw, 0.008, 0.02), 0.003), (0, ph - 0.02))):
                prop.add(part, leaf, translation(x + spot[0], -0.023, z + spot[1]))
            for side in (-1, 1):
                prop.add(
                    box((0.02, 0.008, ph - 0.038), 0.003), leaf, translation(x + side * (pw / 2 - 0.01), -0.023, z + 0.019)
                )
            prop.add(box((pw - 0.12, 0.006, ph - 0.12), 0.003), leaf, translation(x, -0.022, z + 0.06))
    metal, side = b.material("metal", fresh=0.4), b.choice([-1, 1])
    knob = np.array([[0, -0.019, 1.02], [0, -0.06, 1.02], [-side * 0.02, -0.065, 1.02], [-side * 0.12, -0.065, 1.015]])
    prop.add(tube(knob, 0.009, 9), metal, translation(side * (w / 2 - 0.06)))
    prop.add(box((0.04, 0.006, 0.2), 0.002), metal, translation(side * (w / 2 - 0.06), -0.022, 0.92))
    return prop


def skirting(length: float, height: float, thick: float, gaps: list[tuple[float, float]]) -> Mesh | None:
    """A board along a wall's foot, in the wall's frame, left out between the (start, end) of each gap; None: no room."""
    pieces, x = [], -length / 2
    for start, end in [*sorted(gaps), (length / 2, length / 2)]:
        if start - x > 0.05:
            lower = block((x, -thick, 0.0), (start, 0.001, height - thick))
            upper = block((x, -thick * 0.5, height - thick), (start, 0.001, height))
            pieces += [lower, upper]
        x = max(x, end)
    return merged(pieces) if pieces else None


def socket(b: SceneBuilder) -> Prop:
    """A light switch or socket on a wall at y = 0, about its lower edge."""
    prop = Prop()
    white = b.material("plastic", color=(0.75, 0.74, 0.7), gloss=0.8, fresh=0.2)
    prop.add(box((0.08, 0.012, 0.08), 0.003), white, translation(0, -0.006))
    if b.chance(0.5):
        prop.add(box((0.055, 0.008, 0.055), 0.002), white, translation(0, -0.014, 0.0125))
    else:
        dark = b.material("plastic", color=(0.05, 0.05, 0.05), fresh=0.2)
        prop.add(cylinder(0.02, 0.002, 0, 20), white, translation(0, -0.0115, 0.04) @ rotation("x", 90))
        for x in (-0.01, 0.01):
            prop.add(cylinder(0.003, 0.002, 0, 8), dark, translation(x, -0.0125, 0.04) @ rotation("x", 90))
    return prop


def wall_shelf(b: SceneBuilder, width: float) -> Prop:
    """One board on brackets at a wall (y = 0), its lower edge at z = 0; it is a support."""
    prop, rng = Prop(), b.rng
    depth, thick = rng.uniform(0.16, 0.26), rng.uniform(0.018, 0.035)
    prop.add(box((width, depth, thick), 0.002), b.material("wood", fresh=0.6), translation(0, -depth / 2))
    iron = b.material("metal", fresh=0.4)
    for side in (-1, 1):
        prop.add(box((0.02, depth * 0.8, 0.012), 0.001), iron, translation(side * width * 0.36, -depth * 0.4, -0.012))
        prop.add(box((0.02, 0.012, 0.12), 0.001), iron, translation(side * width * 0.36, -0.006, -0.13))
    prop.supports.append(Support(translation(0, -depth / 2, thick), width - 0.02, depth - 0.02, 0.45))
    return prop


def wall_cupboard(b: SceneBuilder, width: float, height: float) -> Prop:
    """A kitchen cupboard at a wall (y = 0), its lower edge at z = 0."""
    prop, depth = Prop(), 0.34
    body, metal = b.material("wood", fresh=0.3), b.material("metal", fresh=0.4)
    prop.add(box((width, depth - 0.02, height), 0.001), body, translation(0, -(depth - 0.02) / 2))
    doors = max(1, round(width / 0.45))
    for k in range(doors):
        x = (k + 0.5) * width / doors - width / 2
        prop.add(box((width / doors - 0.004, 0.018, height - 0.004), 0.002), body, translation(x, -depth + 0.01, 0.002))
        at = x + (-1) ** k * (width / doors / 2 - 0.04)
        grip = np.array([[at, -depth - 0.02, 0.05], [at, -depth - 0.02, 0.19]])
        prop.add(tube(grip, 0.005, 7), metal)
    return prop


def coat_hooks(b: SceneBuilder) -> Prop:
    """A board with hooks and coats, scarves or bags on them, at a wall (y = 0); z = 0 is the board's lower edge."""
    prop, rng = Prop(), b.rng
    count = int(rng.integers(3, 7))
    width = 0.18 * count
    prop.add(box((width, 0.02, 0.1), 0.004), b.material("wood", fresh=0.5), translation(0, -0.01))
    metal = b.material("metal", fresh=0.4)
    for k in range(count):
        x = 0.18 * (k - (count - 1) / 2)
        prop.add(tube(np.array([[x, -0.018, 0.05], [x, -0.07, 0.05], [x, -0.085, 0.09]]), 0.006, 7), metal)
        if b.chance(0.6):
            length = rng.uniform(0.5, 1.0)
            coat = superquadric((rng.uniform(0.16, 0.3), 0.12, length), 0.5, 0.8, 12, _folds(rng))
            prop.add(coat, b.material("fabric"), translation(x, -0.09, 0.07 - length))
    return prop


def _folds(rng: np.random.Generator) -> np.ndarray:
    """Waves around the z axis for `superquadric(lumps=...)`: the folds of something that hangs."""
    angle = rng.uniform(0, 2 * np.pi, 5)
    waves = rng.uniform(5, 16, 5)
    direction = np.stack([np.cos(angle) * waves, np.sin(angle) * waves, rng.normal(0, 1, 5)], 1)
    return np.hstack([direction, rng.uniform(0, 6.3, (5, 1)), rng.uniform(0.02, 0.06, (5, 1))])


def framed_picture(b: SceneBuilder, width: float, height: float) -> Prop:
    """A picture on a wall (y = 0), hanging a touch askew now and then; z = 0 is its lower edge."""
    picture = picture_frame(b, width, height)
    if b.chance(0.8):
        return picture
    tilted = Prop()
    tilted.include(picture, rotation("y", b.rng.normal(0, 1.2)))
    return tilted


def rug(b: SceneBuilder, width: float, depth: float) -> Prop:
    """A rug with one pattern all over, or carpet with a repeating one."""
    prop = Prop()
    if b.chance(0.7):
        cloth = b.material("rug")
        prop.add(box((width, depth, 0.01), 0.003), b.plain_like(cloth))
        prop.add(sheet(width - 0.004, depth - 0.004, whole=True), cloth, translation(z=0.0105))
    else:
        prop.add(box((width, depth, 0.014), 0.005), b.material("fabric"))
    return prop
