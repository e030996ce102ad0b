"""Houses: facades with recessed windows, shutters, doors, ledges and balconies; roofs; shop fronts and awnings.

A facade's frame has its origin at the middle of its foot; x runs along it, y into the house, its outside faces -y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh
from intrinsic_flow.train.rendering.world.builder import SceneBuilder, Support
from intrinsic_flow.train.rendering.world.clutter import SHELF, scatter
from intrinsic_flow.train.rendering.world.fittings import WALL, Opening, wall_mesh
from intrinsic_flow.train.rendering.world.foliage import leaf_cloud
from intrinsic_flow.train.rendering.world.geometry import (
    block,
    box,
    cylinder,
    merged,
    moved,
    panel,
    polygons,
    rotation,
    surface,
    translation,
    tube,
)


@dataclass(frozen=True)
class Style:
    """What all parts of a house share; numbers are material indices and metres."""

    wall: int
    base: int
    trim: int
    frame: int
    glass: int
    shutter: int | None
    roof: int
    storey: float
    pitch: float
    window: tuple[float, float]
    timber: int | None


def draw_style(b: SceneBuilder) -> Style:
    """A random house style."""
    rng = b.rng
    storey, pitch = rng.uniform(2.6, 3.5), rng.uniform(1.5, 2.9)
    window = (pitch * rng.uniform(0.36, 0.62), storey * rng.uniform(0.42, 0.62))
    value = b.log_uniform(0.012, 0.07)
    white = tuple(np.full(3, rng.uniform(0.55, 0.82)))
    return Style(
        wall=b.material("facade"),
        base=b.material("stone"),
        trim=b.material("stone", plain=0.6) if b.chance(0.5) else b.material("wood", color=white),
        frame=b.material("wood", color=white) if b.chance(0.6) else b.material("wood", plain=1.0),
        glass=b.material("plastic", color=(value, value * 1.05, value * 1.15), gloss=1.0),
        shutter=b.material("wood", plain=0.85) if b.chance(0.4) else None,
        roof=b.material("roof"),
        storey=storey,
        pitch=pitch,
        window=window,
        timber=b.material("wood", plain=0.5) if b.chance(0.15) else None,
    )


def house(
    b: SceneBuilder, frame: np.ndarray, width: float, depth: float, storeys: int, style: Style, shop: bool = False
) -> None:
    """A whole house whose front is at the frame, y = 0."""
    height = 0.3 + storeys * style.storey
    thing = b.new_thing()
    facade(b, frame, width, storeys, style, thing, door=True, shop=shop)
    for side in (-1, 1):
        turned = frame @ translation(side * width / 2, depth / 2) @ rotation("z", side * 90)
        detail = b.chance(0.5) and not b.full
        facade(b, turned, depth - 2 * WALL, storeys, style, thing, door=False, windows=detail)
    b.add(block((-width / 2, depth - WALL, 0), (width / 2, depth, height)), style.wall, frame, thing)
    _roof(b, frame, width, depth, height, style, b.new_thing())


def facade(
    b: SceneBuilder,
    frame: np.ndarray,
    width: float,
    storeys: int,
    style: Style,
    thing: int,
    door: bool = True,
    shop: bool = False,
    windows: bool = True,
) -> None:
    """One outer wall, storey by storey, on a base 0.3 m high."""
    rng = b.rng
    foot, columns = 0.3, max(1, int(width / style.pitch)) if windows else 0
    b.add(block((-width / 2, -0.03, 0), (width / 2, WALL, foot)), style.base, frame, thing)
    xs = (np.arange(columns) + 0.5) * width / max(columns, 1) - width / 2
    door_at = int(rng.integers(columns)) if door and columns else -1
    meshes = []
    for floor in range(storeys):
        z = foot + floor * style.storey
        w, h = style.window
        sill = z + max(0.25, (style.storey - h) * 0.5)
        holes = [Opening(x, sill, w, h) for k, x in enumerate(xs) if not (floor == 0 and (k == door_at or shop))]
        for hole in holes:
            _window(b, frame, hole, style, thing)
        if floor == 0 and columns:
            holes += _ground_floor(b, frame, xs, width, style, thing, door_at, shop)
        meshes.append(wall_mesh(width, z + style.storey, holes, z, 0.0))
    b.add(merged(meshes), style.wall, frame, thing)
    _ledges(b, frame, width, storeys, style, thing)
    if windows and b.chance(0.5):
        _drainpipe(b, frame, width, foot + storeys * style.storey)


def _ground_floor(
    b: SceneBuilder, frame: np.ndarray, xs: np.ndarray, width: float, style: Style, thing: int, door_at: int, shop: bool
) -> list[Opening]:
    """Door and shop windows; returns their holes."""
    rng, foot, holes = b.rng, 0.3, []
    if shop:
        span, sill = width * rng.uniform(0.7, 0.88), foot + rng.uniform(0.1, 0.5)
        hole = Opening(0.0, sill, span, style.storey * 0.74 - sill + foot)
        holes.append(hole)
        _shop_front(b, frame, hole, style, thing)
        return holes
    if door_at >= 0:
        w, h = rng.uniform(0.9, 1.25), min(rng.uniform(2.05, 2.4), style.storey - 0.2)
        x = float(xs[door_at])
        holes.append(Opening(x, foot, w, h))
        _front_door(b, frame @ translation(x, 0, foot), w, h, style, thing)
    return holes


def _window(b: SceneBuilder, frame: np.ndarray, hole: Opening, style: Style, thing: int) -> None:
    """Panes, bars, sill, lintel, shutters, now and then a flower box."""
    rng = b.rng
    w, h = hole.width, hole.height
    place = frame @ translation(hole.x, 0, hole.z)
    back = 0.12
    b.add(box((w, 0.01, h)), style.glass, place @ translation(0, back + 0.03), thing)
    if b.chance(0.35):  # a curtain or blind behind the pane shows as a lighter part of it
        share = rng.uniform(0.2, 0.7)
        cloth = b.material("fabric", fresh=0.1, plain=0.8)
        b.add(box((w, 0.006, h * share)), cloth, place @ translation(0, back + 0.021, h * (1 - share)), thing)
    bar = 0.055
    bars = [box((bar, 0.05, h)), box((bar, 0.05, h)), box((w, 0.05, bar)), box((w, 0.05, bar))]
    spots = [(-(w - bar) / 2, 0), ((w - bar) / 2, 0), (0, 0), (0, h - bar)]
    if w > 0.6:
        bars.append(box((bar, 0.045, h)))
        spots.append((0, 0))
    for z in np.linspace(0, h, 1 + int(h / 0.6))[1:-1]:
        bars.append(box((w, 0.035, 0.025)))
        spots.append((0, z))
    frame_mesh = merged([_at(bar_mesh, x, back, z) for bar_mesh, (x, z) in zip(bars, spots)])
    b.add(frame_mesh, style.frame, place, thing)
    b.add(box((w + 0.16, 0.2 + back, 0.06), 0.008), style.trim, place @ translation(0, back / 2 - 0.07, -0.06), thing)
    if b.chance(0.5):
        b.add(box((w + 0.2, 0.09, 0.12), 0.008), style.trim, place @ translation(0, -0.015, h), thing)
    if style.shutter is not None and not b.full:
        _shutters(b, place, w, h, style.shutter, thing)
    if b.chance(0.07) and not b.full:
        flower_box(b, place @ translation(0, -0.12, 0.0), w)


def _at(mesh: Mesh, x: float, y: float, z: float) -> Mesh:
    return moved(mesh, translation(x, y, z))


def _shutters(b: SceneBuilder, place: np.ndarray, w: float, h: float, paint: int, thing: int) -> None:
    """Two slatted or boarded leaves, open against the wall, some of them closed."""
    leaf = w / 2
    closed = b.chance(0.12)
    slats = b.chance(0.5)
    for side in (-1, 1):
        angle = 0.0 if not b.chance(0.15) else b.rng.uniform(5, 40)
        x = side * (w / 4 if closed else w / 2 + leaf / 2 + 0.02)
        hinge = place @ translation(x, -0.035) @ rotation("z", -side * angle)
        parts = [_at(box((leaf - 0.02, 0.025, h)), 0, 0, 0)]
        if slats:
            parts += [_at(box((leaf - 0.12, 0.02, 0.03)), 0, -0.018, z) for z in np.arange(0.08, h - 0.08, 0.09)]
        else:
            parts += [_at(box((leaf - 0.04, 0.02, 0.08)), 0, -0.02, z) for z in (0.15 * h, 0.8 * h)]
        b.add(merged(parts), paint, hinge, thing)


def _front_door(b: SceneBuilder, place: np.ndarray, w: float, h: float, style: Style, thing: int) -> None:
    """A door in its hole with panels, handle and steps; its origin is the threshold."""
    paint = b.material("wood", plain=0.7)
    back = place @ translation(0, 0.12)
    b.add(box((w, 0.05, h), 0.003), paint, back, thing)
    rows = b.choice([2, 3, 4])
    for i in range(rows):
        for side in (-1, 1):
            ph = (h - 0.2) / rows - 0.08
            spot = back @ translation(side * w * 0.23, -0.03, 0.12 + i * (ph + 0.08))
            mesh, skin = box((w * 0.36, 0.02, ph), 0.008), paint
            if i == rows - 1 and b.chance(0.4):
                skin = style.glass
            b.add(mesh, skin, spot, thing)
    grip = np.array([[0, -0.02, 1.0], [0, -0.08, 1.0], [0.11, -0.08, 1.0]])
    b.add(tube(grip, 0.011, 8), b.material("metal", fresh=0.3), back @ translation(-w * 0.42), thing)
    for side in (-1, 1):
        b.add(box((0.12, 0.08, h + 0.12), 0.008), style.trim, place @ translation(side * (w / 2 + 0.06), -0.01), thing)
    b.add(box((w + 0.3, 0.14, 0.14), 0.01), style.trim, place @ translation(0, -0.02, h + 0.12), thing)
    for k in range(2):
        step = box((w + 0.3 + 0.3 * (1 - k), 0.3 * (2 - k), 0.15), 0.008)
        b.add(step, style.base, place @ translation(0, -0.15 * (2 - k) - 0.03, -0.3 + 0.15 * k), thing)


def _shop_front(b: SceneBuilder, frame: np.ndarray, hole: Opening, style: Style, thing: int) -> None:
    """A wide window with mullions, goods behind the bars, a sign above and often an awning."""
    rng = b.rng
    place = frame @ translation(hole.x, 0, hole.z)
    paint = b.material("wood", plain=0.9)
    count = max(2, round(hole.width / 1.3))
    for k in range(count + 1):
        x = (k / count - 0.5) * (hole.width - 0.08)
        b.add(box((0.08, 0.1, hole.height), 0.005), paint, place @ translation(x, 0.1), thing)
    for z in (0.0, hole.height - 0.1):
        b.add(box((hole.width, 0.1, 0.1), 0.005), paint, place @ translation(0, 0.1, z), thing)
    _display(b, place, hole, thing)
    sign = place @ translation(0, -0.06, hole.height + 0.08)
    b.add(box((hole.width, 0.08, 0.45), 0.008), paint, sign, thing)
    label = b.material("label")
    b.add(panel(hole.width * 0.6, 0.32), label, sign @ translation(0, -0.042, 0.06), thing)
    if b.chance(0.6):
        awning(b, place @ translation(0, -0.1, hole.height + 0.05), hole.width, rng.uniform(0.8, 1.5))


def _display(b: SceneBuilder, place: np.ndarray, hole: Opening, thing: int) -> None:
    """The room behind a shop's bars: floor, walls, a table of goods; it has no glass."""
    deep, w, h = b.rng.uniform(0.9, 1.6), hole.width / 2, hole.height
    walls = [
        block((-w, WALL, -0.05), (w, deep, 0.0)),
        block((-w, deep, -0.05), (w, deep + 0.05, h)),
        block((-w - 0.05, WALL, -0.05), (-w, deep + 0.05, h)),
        block((w, WALL, -0.05), (w + 0.05, deep + 0.05, h)),
        block((-w, WALL, h), (w, deep, h + 0.05)),
    ]
    b.add(merged(walls), b.material("wall"), place, thing)
    for x in np.arange(-w + 0.7, w - 0.6, 1.4):
        tall = b.rng.uniform(0.2, 0.7)
        b.add(box((1.1, 0.5, tall), 0.005), b.material("wood", fresh=0.4), place @ translation(x, deep * 0.55), thing)
        goods = Support(translation(x, deep * 0.55, tall), 1.05, 0.45, h - tall - 0.05)
        scatter(b, goods, place, SHELF, int(b.rng.integers(1, 5)))


def awning(b: SceneBuilder, frame: np.ndarray, width: float, reach: float) -> None:
    """A sloping striped cloth with a valance, fixed at the frame's origin, reaching to -y."""
    drop = reach * b.rng.uniform(0.35, 0.6)
    profile = np.array([[0.0, 0.0], [-reach * 0.5, -drop * 0.48], [-reach, -drop], [-reach - 0.01, -drop - 0.22]])
    columns = max(6, int(width / 0.25))
    x = np.linspace(-width / 2, width / 2, columns)
    points = np.stack([np.broadcast_to(x, (4, columns)), *np.repeat(profile.T[..., None], columns, -1)], -1).copy()
    points[-1, ::2, 2] += 0.06
    thing = b.new_thing()
    b.hung.add(thing)
    cloth = b.material("fabric", plain=0.4)
    b.add(surface(points[::-1], False), cloth, frame, thing)
    for side in (-1, 1):
        b.add(
            tube(np.array([[side * width * 0.48, 0, -drop], [side * width * 0.48, -reach, -drop]]), 0.015, 6),
            b.material("metal", fresh=0.3),
            frame,
            thing,
        )


def _ledges(b: SceneBuilder, frame: np.ndarray, width: float, storeys: int, style: Style, thing: int) -> None:
    """Cornices between storeys, pilasters or timber framing."""
    top = 0.3 + storeys * style.storey
    if b.chance(0.5):
        for floor in range(1, storeys):
            z = 0.3 + floor * style.storey
            b.add(box((width, 0.1, 0.14), 0.015), style.trim, frame @ translation(0, -0.05, z - 0.07), thing)
    if b.chance(0.7):
        b.add(box((width + 0.1, 0.2, 0.22), 0.02), style.trim, frame @ translation(0, -0.1, top - 0.22), thing)
    if style.timber is not None:
        _timbers(b, frame, width, storeys, style, style.timber, thing)
    elif b.chance(0.3):
        for side in (-1, 1):
            b.add(box((0.35, 0.08, top), 0.01), style.trim, frame @ translation(side * (width / 2 - 0.18), -0.04), thing)


def _timbers(b: SceneBuilder, frame: np.ndarray, width: float, storeys: int, style: Style, timber: int, thing: int) -> None:
    """Dark beams on the upper storeys: sills, posts and braces."""
    beams = []
    columns = max(1, int(width / style.pitch))
    for floor in range(1, storeys):
        z = 0.3 + floor * style.storey
        beams += [
            _at(box((width, 0.05, 0.18)), 0, -0.02, z),
            _at(box((width, 0.05, 0.14)), 0, -0.02, z + style.storey - 0.16),
        ]
        for k in range(columns + 1):
            x = (k / columns - 0.5) * (width - 0.16)
            beams.append(_at(box((0.16, 0.045, style.storey)), x, -0.02, z))
            if b.chance(0.4):
                lean = rotation("y", b.choice([-1, 1]) * 28)
                brace = box((0.12, 0.04, style.storey * 0.8))
                turned = moved(brace, translation(x, -0.018, z + 0.1) @ lean)
                if np.abs(turned.vertices[:, 0]).max() < width / 2:
                    beams.append(turned)
    if beams:
        b.add(merged(beams), timber, frame, thing)


def _drainpipe(b: SceneBuilder, frame: np.ndarray, width: float, height: float) -> None:
    x = b.choice([-1, 1]) * (width / 2 - 0.12)
    path = np.array([[x, -0.09, 0.02], [x, -0.09, height * 0.5], [x, -0.09, height - 0.05]])
    thing = b.add(tube(path, 0.045, 10), b.material("metal", fresh=0.4), frame)
    b.hung.add(thing)


def _roof(b: SceneBuilder, frame: np.ndarray, width: float, depth: float, height: float, style: Style, thing: int) -> None:
    """A gable roof along or across the street, or a flat one with a parapet; chimneys."""
    rng = b.rng
    b.hung.add(thing)
    kind = b.choice(["along", "across", "flat"], [0.45, 0.3, 0.25])
    if kind == "flat":
        b.add(block((-width / 2, 0, height), (width / 2, depth, height + 0.1)), style.roof, frame, thing)
        b.add(
            block((-width / 2, -0.03, height), (width / 2, 0.2, height + rng.uniform(0.3, 0.8))), style.wall, frame, thing
        )
        return
    span, run = (depth, width) if kind == "along" else (width, depth)
    rise, over = span * rng.uniform(0.28, 0.55), rng.uniform(0.2, 0.5)
    local = frame @ translation(0, depth / 2, height)
    if kind == "across":
        local = local @ rotation("z", 90)
    slope = rise / (span / 2)
    eave = span / 2 + over
    low = -over * slope
    x0, x1 = -run / 2 - over * 0.6, run / 2 + over * 0.6
    thick = np.array([0, 0, 0.16])
    sides = []
    for side in (-1, 1):
        a, c = np.array([x0, side * eave, low]), np.array([x1, side * eave, low])
        d, e = np.array([x1, 0, rise]), np.array([x0, 0, rise])
        top = np.array([a, c, d, e]) if side < 0 else np.array([c, a, e, d])
        sides.append(top + thick)
        sides.append(top[::-1])
        edge = np.array([a, c, c + thick, a + thick])
        sides.append(edge if side < 0 else edge[::-1])
    for x in (x0, x1):
        profile = np.array(
            [
                [x, -eave, low],
                [x, 0, rise],
                [x, eave, low],
                [x, eave, low + 0.16],
                [x, 0, rise + 0.16],
                [x, -eave, low + 0.16],
            ]
        )
        halves = [profile[[0, 1, 4, 5]], profile[[1, 2, 3, 4]]]
        sides += [half if x < 0 else half[::-1] for half in halves]
    b.add(polygons(sides), style.roof, local, thing)
    gable = np.array([[-run / 2, -span / 2, 0], [-run / 2, 0, rise], [-run / 2, span / 2, 0]])
    b.add(polygons([gable, gable[::-1] * (-1, 1, 1)]), style.wall, local, thing)
    if b.chance(0.7):
        x, y = rng.uniform(-0.35, 0.35) * run, rng.uniform(-0.2, 0.2) * span
        z = rise * (1 - abs(y) / (span / 2))
        stack = local @ translation(x, y, z - 0.3)
        b.add(box((0.6, 0.45, 1.3), 0.01), style.base, stack, thing)
        b.add(box((0.7, 0.55, 0.12), 0.01), style.trim, stack @ translation(z=1.3), thing)
        b.add(cylinder(0.11, 0.3, 0, 14), style.roof, stack @ translation(z=1.42), thing)


def flower_box(b: SceneBuilder, frame: np.ndarray, width: float) -> None:
    """A box of flowers on a window sill."""
    thing = b.new_thing()
    b.hung.add(thing)
    b.add(box((width * 0.9, 0.2, 0.18), 0.01), b.material("wood", fresh=0.3), frame, thing)
    b.add(
        leaf_cloud(b.rng, 260, np.array([width * 0.95, 0.4, 0.4]), 0.07),
        b.material("leaf", fresh=0.3),
        frame @ translation(z=0.25),
        thing,
    )
    b.add(
        leaf_cloud(b.rng, 70, np.array([width * 0.9, 0.42, 0.4]), 0.05),
        b.material("any", plain=1.0),
        frame @ translation(z=0.28),
        thing,
    )


def garden_wall(b: SceneBuilder, frame: np.ndarray, length: float, height: float) -> None:
    """A wall with a coping that overhangs."""
    thing = b.add(block((-length / 2, -0.13, 0), (length / 2, 0.13, height)), b.material("facade", plain=0.05), frame)
    b.add(box((length, 0.36, 0.08), 0.012), b.material("stone"), frame @ translation(z=height), thing)


def fence(b: SceneBuilder, frame: np.ndarray, length: float, height: float) -> None:
    """Pickets, boards or iron bars on two rails."""
    rng, thing = b.rng, b.new_thing()
    kind = b.choice(["pickets", "boards", "bars"])
    paint = b.material("metal" if kind == "bars" else "wood", plain=0.5)
    step, wide = {"pickets": (0.15, 0.08), "boards": (0.16, 0.15), "bars": (0.12, 0.018)}[kind]
    parts = []
    for x in np.arange(-length / 2, length / 2, step):
        tall = height + rng.normal(0, 0.006)
        parts.append(_at(box((wide, 0.02, tall)), x, -0.03, 0.0))
    for z in (0.2 * height, 0.78 * height):
        parts.append(_at(box((length, 0.04, 0.07)), 0, 0, z))
    for x in np.arange(-length / 2, length / 2 + 0.1, 2.0):
        parts.append(_at(box((0.1, 0.1, height * 1.06)), x, 0.06, 0))
    b.add(merged(parts), paint, frame, thing)


def paving(b: SceneBuilder, x0: float, x1: float, y0: float, y1: float, height: float, kind: str = "road") -> None:
    """A slab of pavement with a kerb along its long sides."""
    b.add(block((x0, y0, -0.05), (x1, y1, height)), b.material(kind, plain=0.0))


def flat_sign(b: SceneBuilder, frame: np.ndarray, width: float, height: float) -> None:
    """A sign board fixed on a wall (its back at y = 0) or lying about."""
    thing = b.new_thing()
    b.hung.add(thing)
    label = b.material("label", gloss=0.5)
    b.add(box((width, 0.02, height), 0.002), b.plain_like(label), frame @ translation(0, -0.01), thing)
    b.add(panel(width * 0.98, height * 0.98), label, frame @ translation(0, -0.0205, height * 0.01), thing)
