"""Furniture of wood, metal and boards: tables, desks, chairs, stools, shelves, cabinets, counters, radiators.

Fronts face -y. Tops and boards are `Support`s.
"""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder, Support
from intrinsic_flow.train.rendering.world.fabrics import draped
from intrinsic_flow.train.rendering.world.geometry import (
    arc_path,
    box,
    cylinder,
    lathe,
    merged,
    moved,
    prism,
    rotation,
    rounded_box,
    smooth_profile,
    superquadric,
    surface,
    translation,
    tube,
)


def bevel(b: SceneBuilder) -> float:
    """The width of an edge, metres: 1 to 8 mm."""
    return b.log_uniform(0.0012, 0.008)


def leg(b: SceneBuilder, height: float, width: float, style: str) -> Mesh:
    """A table or chair leg that stands on z = 0: square, tapered, round or turned."""
    if style == "square":
        return box((width, width, height), min(0.004, width / 6))
    if style == "tapered":
        return cylinder(width * 0.3, height, 0.003, 4 if b.chance(0.5) else 14, width * 0.6)
    if style == "turned":
        r = width / 2
        knots = [
            (r * 0.7, 0),
            (r * 0.9, height * 0.1),
            (r * 0.55, height * 0.2),
            (r, height * 0.5),
            (r * 0.6, height * 0.75),
            (r, height * 0.82),
        ]
        return lathe(np.vstack([[0, 0], smooth_profile([*knots, (r, height)], 18), [0, height]]), 14)
    return cylinder(width * 0.35, height, 0.003, 14)


def _legs(
    b: SceneBuilder, prop: Prop, material: int, width: float, depth: float, height: float, thick: float, style: str
) -> None:
    splay = b.rng.uniform(0, 8) if style in ("tapered", "round") else 0.0
    part = leg(b, height / np.cos(np.radians(splay)) ** 2, thick, style)
    for x in (-1, 1):
        for y in (-1, 1):
            tilt = rotation("y", -x * splay) @ rotation("x", y * splay)
            top = translation(x * (width / 2 - thick), y * (depth / 2 - thick), height)
            low = (top @ tilt @ translation(z=-height))[2, 3]
            prop.add(part, material, translation(z=-min(low, 0.0)) @ top @ tilt @ translation(z=-height))


def table(b: SceneBuilder, width: float, depth: float, height: float, cloth: bool | None = None) -> Prop:
    """A table on four legs, or on a round foot; its top is a support, with a cloth now and then."""
    prop, rng = Prop(), b.rng
    wood = b.material("wood", fresh=0.5)
    legs = wood if b.chance(0.6) else b.material(b.choice(["metal", "wood", "plastic"]), fresh=0.5)
    top = rng.uniform(0.016, 0.05)
    round_top = abs(width - depth) < 0.15 * width and b.chance(0.5)
    reach = np.array([width, depth])
    if round_top:
        prop.add(cylinder(min(width, depth) / 2, top, bevel(b), 48), wood, translation(z=height - top))
        reach = np.full(2, min(width, depth) * 0.68)
    else:
        prop.add(box((width, depth, top), bevel(b)), wood, translation(z=height - top))
    if round_top and b.chance(0.6):
        r = min(width, depth) / 2
        prop.add(cylinder(r * 0.6, 0.03, 0.006, 36), legs)
        prop.add(cylinder(0.04, height - top - 0.03, 0, 18), legs, translation(z=0.03))
    else:
        style = b.choice(["square", "square", "tapered", "turned", "round"])
        inner = reach * (1.0 if round_top else 0.98)
        _legs(b, prop, legs, inner[0], inner[1], height - top, rng.uniform(0.035, 0.075), style)
        if not round_top and style in ("square", "turned") and b.chance(0.6):
            rail = rng.uniform(0.05, 0.11)
            for side in (-1, 1):
                prop.add(
                    box((width - 0.14, 0.02, rail), 0.002),
                    legs,
                    translation(0, side * (depth / 2 - 0.06), height - top - rail),
                )
                prop.add(
                    box((0.02, depth - 0.14, rail), 0.002),
                    legs,
                    translation(side * (width / 2 - 0.06), 0, height - top - rail),
                )
    lift = 0.0
    if not round_top and (b.chance(0.16) if cloth is None else cloth):
        hang = rng.uniform(0.1, 0.35)
        sides = (hang, hang, hang, hang) if b.chance(0.6) else (0.0, 0.0, hang, hang)
        prop.add(draped(rng, width + 0.004, depth + 0.004, sides), b.material("fabric"), translation(z=height))
        lift = 0.006
    elif b.chance(0.2):
        prop.add(
            draped(rng, reach[0] * 0.3, depth + 0.004, (0.0, 0.0, 0.12, 0.12)), b.material("fabric"), translation(z=height)
        )
        lift = 0.0
    prop.supports.append(Support(translation(z=height + lift), reach[0] - 0.04, reach[1] - 0.04))
    return prop


def desk(b: SceneBuilder) -> Prop:
    """A writing desk: a table with a drawer block on one side."""
    width, depth, height = b.rng.uniform(1.0, 1.7), b.rng.uniform(0.55, 0.8), b.rng.uniform(0.71, 0.76)
    prop = table(b, width, depth, height, cloth=False)
    if b.chance(0.6):
        chest = cabinet(b, 0.42, depth * 0.85, height - 0.07, columns=1, rows=3, feet=0.0)
        chest.supports.clear()
        prop.include(chest, translation(b.choice([-1, 1]) * (width / 2 - 0.32), 0.02))
    return prop


def chair(b: SceneBuilder, wood: int | None = None, cloth: int | None = None) -> Prop:
    """A chair of one of several designs; it faces -y."""
    prop, rng = Prop(), b.rng
    frame = b.material(b.choice(["wood", "wood", "metal"]), fresh=0.5) if wood is None else wood
    pad = (b.material(b.choice(["fabric", "leather"]), fresh=0.5) if b.chance(0.5) else frame) if cloth is None else cloth
    w, d, h = rng.uniform(0.38, 0.46), rng.uniform(0.38, 0.45), rng.uniform(0.43, 0.47)
    high = rng.uniform(0.34, 0.52)
    design = b.choice(["slats", "ladder", "panel", "shell", "spindles"])
    if design == "shell":
        return _shell_chair(b, prop, w, d, h)
    seat = rng.uniform(0.018, 0.035)
    if pad != frame:
        prop.add(rounded_box((w, d, 0.05), 0.022, 3, 0.008), pad, translation(z=h))
    prop.add(box((w, d, seat), 0.006), frame, translation(z=h - seat))
    thick = rng.uniform(0.026, 0.04)
    style = b.choice(["square", "round"])
    post = leg(b, h - seat, thick, style)
    for x in (-1, 1):
        for y in (-1, 1):
            prop.add(post, frame, translation(x * (w / 2 - thick / 2), y * (d / 2 - thick / 2)))
    lean = translation(0, d / 2 - thick / 2, h - 0.002) @ rotation("x", -rng.uniform(4, 12))
    upright = leg(b, high, thick, style)
    for x in (-1, 1):
        prop.add(upright, frame, lean @ translation(x * (w / 2 - thick / 2)))
    inner = w - 2 * thick + 0.006
    if design == "ladder":
        for z in np.linspace(0.25, 0.88, int(rng.integers(2, 5))) * high:
            prop.add(box((inner, 0.014, 0.05), 0.003), frame, lean @ translation(z=z))
    elif design == "panel":
        prop.add(
            rounded_box((inner, 0.04, high * 0.55), 0.018, 3, 0.006)
            if pad != frame
            else box((inner, 0.016, high * 0.55), 0.004),
            pad,
            lean @ translation(z=high * 0.4),
        )
    else:
        prop.add(box((inner, 0.022, 0.06), 0.005), frame, lean @ translation(z=high - 0.065))
        count = int(rng.integers(3, 8))
        part = box((0.028, 0.01, high - 0.06), 0.002) if design == "slats" else cylinder(0.007, high - 0.06, 0, 8)
        for x in np.linspace(-0.5, 0.5, count + 2)[1:-1] * inner:
            prop.add(part, frame, lean @ translation(x))
    if b.chance(0.6):
        for x in (-1, 1):
            prop.add(box((0.016, d - thick, 0.022), 0.003), frame, translation(x * (w / 2 - thick / 2), 0, h * 0.35))
        prop.add(box((w - thick, 0.016, 0.022), 0.003), frame, translation(0, 0, h * 0.35))
    prop.supports.append(Support(translation(z=h + (0.058 if pad != frame else 0.0)), w * 0.7, d * 0.7))
    return prop


def _shell_chair(b: SceneBuilder, prop: Prop, w: float, d: float, h: float) -> Prop:
    """A moulded shell on thin legs."""
    skin = b.material(b.choice(["plastic", "wood", "leather"]), fresh=0.5)
    profile = smooth_profile(
        [(-d * 0.55, -0.02), (-d * 0.3, 0.005), (d * 0.25, 0.0), (d * 0.47, 0.08), (d * 0.6, 0.38)], 22
    )
    t = np.linspace(-1, 1, 15)
    side = (
        w * (0.5 + 0.05 * np.sin(np.linspace(0, np.pi, 22)))[:, None] * (1 - 0.06 * (np.linspace(0, 1, 22)[:, None] ** 6))
    )
    x = side * t
    curl = 0.07 * np.abs(t) ** 3
    y = profile[:, :1] - curl * np.linspace(0, 1, 22)[:, None] ** 2
    z = profile[:, 1:] + h + curl * np.linspace(1, 0.1, 22)[:, None]
    points = np.stack([x, np.broadcast_to(y, x.shape), np.broadcast_to(z, x.shape)], -1)
    prop.add(surface(points), skin)
    prop.add(surface(points[:, ::-1] - (0, 0, 0.007)), skin)
    legs = b.material(b.choice(["metal", "wood"]), fresh=0.5)
    for sx in (-1, 1):
        for sy in (-1, 1):
            path = np.array([[sx * w * 0.46, sy * d * 0.5, 0.011], [sx * w * 0.25, sy * d * 0.22, h - 0.004]])
            prop.add(tube(path, 0.011 if b.chance(0.5) else 0.012, 9), legs)
    prop.supports.append(Support(translation(z=h + 0.012), w * 0.5, d * 0.4))
    return _lowered(prop)


def _lowered(prop: Prop) -> Prop:
    """The prop moved so that it stands on z = 0, supports with it."""
    low, _ = prop.bounds()
    down = translation(z=-low[2])
    result = Prop(supports=[Support(down @ s.frame, s.width, s.depth, s.clearance) for s in prop.supports])
    result.include(prop, down)
    return result


def office_chair(b: SceneBuilder) -> Prop:
    """A swivel chair on five castors."""
    prop, rng = Prop(), b.rng
    metal, cloth = b.material("metal", fresh=0.5), b.material(b.choice(["fabric", "leather"]))
    dark = b.material("plastic", color=(0.03, 0.03, 0.03), fresh=0.3)
    for k in range(5):
        turn = rotation("z", 72 * k + 10)
        prop.add(tube(np.array([[0.02, 0, 0.1], [0.28, 0, 0.07]]), 0.016, 8), metal, turn)
        prop.add(cylinder(0.026, 0.04, 0.006, 14), dark, turn @ translation(0.28, 0.02, 0.026) @ rotation("x", 90))
    h = rng.uniform(0.44, 0.52)
    prop.add(cylinder(0.025, h - 0.09, 0, 14), metal, translation(z=0.085))
    prop.add(rounded_box((0.48, 0.47, 0.09), 0.04, 3, 0.01), cloth, translation(z=h - 0.01))
    prop.add(tube(arc_path((0, 0.18, h), (0, 0.3, h), (0, 0.29, h + 0.3)), 0.018, 8), dark)
    back = translation(0, 0.22, h + 0.12) @ rotation("x", -rng.uniform(4, 12))
    prop.add(rounded_box((0.44, 0.07, rng.uniform(0.35, 0.6)), 0.033, 3, 0.012), cloth, back)
    if b.chance(0.6):
        for side in (-1, 1):
            arm = np.array([[side * 0.22, 0.05, h], [side * 0.29, 0.05, h + 0.02], [side * 0.29, 0.05, h + 0.2]])
            prop.add(tube(arm, 0.014, 8), dark)
            prop.add(rounded_box((0.07, 0.26, 0.03), 0.013), dark, translation(side * 0.29, 0, h + 0.19))
    return _lowered(prop)


def stool(b: SceneBuilder) -> Prop:
    """A stool or small side table."""
    prop, rng = Prop(), b.rng
    radius, height = rng.uniform(0.15, 0.24), rng.uniform(0.38, 0.7)
    wood = b.material(b.choice(["wood", "wood", "metal", "plastic"]), fresh=0.5)
    prop.add(cylinder(radius, 0.03, 0.006, 36), wood, translation(z=height - 0.03))
    count = int(rng.integers(3, 5))
    for k in range(count):
        a = 2 * np.pi * k / count + 0.4
        foot, head = radius * 1.0, radius * 0.6
        path = np.array([[foot * np.cos(a), foot * np.sin(a), 0.0], [head * np.cos(a), head * np.sin(a), height - 0.028]])
        prop.add(tube(path, 0.015, 9), wood)
    prop.supports.append(Support(translation(z=height), radius * 1.3, radius * 1.3))
    return _lowered(prop)


def bookshelf(b: SceneBuilder, width: float, depth: float, height: float, boards: int) -> Prop:
    """An open shelf; every board is a support."""
    prop, rng = Prop(), b.rng
    wood, t, edge = b.material("wood", fresh=0.5), rng.uniform(0.016, 0.03), min(bevel(b), 0.003)
    for side in (-1, 1):
        prop.add(box((t, depth, height), edge), wood, translation(side * (width - t) / 2))
    if b.chance(0.75):
        prop.add(
            box((width - 2 * t, 0.006, height - 0.03)),
            wood if b.chance(0.7) else b.material("wood", fresh=0.5),
            translation(0, depth / 2 - 0.006, 0.02),
        )
    foot = rng.uniform(0.0, 0.09)
    levels = np.linspace(foot, height - t, boards + 1)
    levels[1:-1] += rng.uniform(-0.15, 0.15, boards - 1) * (height / boards)
    for z, above in zip(levels, [*levels[1:], height + 0.5]):
        prop.add(box((width - 2 * t, depth - 0.004, t), edge), wood, translation(z=z))
        prop.supports.append(Support(translation(0, -0.003, z + t), width - 2 * t - 0.01, depth - 0.02, above - z - t))
    return prop


def handle(b: SceneBuilder, kind: str) -> Mesh:
    """A drawer's handle on a front at y = 0, reaching to -y: bar, knob or arch."""
    if kind == "knob":
        return moved(superquadric((0.028, 0.028, 0.024), 0.8, 1.0, 4), rotation("x", 90))
    if kind == "arch":
        t = np.linspace(0, np.pi, 10)
        return tube(np.stack([0.055 * np.cos(t), -0.028 * np.sin(t) + 0.002, 0 * t], 1), 0.005, 7)
    bar = tube(np.array([[-0.07, -0.028, 0], [0.07, -0.028, 0]]), 0.005, 8)
    stubs = [tube(np.array([[x, 0.001, 0], [x, -0.028, 0]]), 0.0045, 7) for x in (-0.055, 0.055)]
    return merged([bar, *stubs])


def cabinet(
    b: SceneBuilder, width: float, depth: float, height: float, columns: int, rows: int, feet: float | None = None
) -> Prop:
    """A chest of drawers, sideboard or wardrobe: a body with columns x rows of fronts with gaps and handles; its top is a
    support.
    """
    prop, rng = Prop(), b.rng
    body = b.material("wood", fresh=0.5)
    front = body if b.chance(0.6) else b.material("wood", fresh=0.6)
    feet = (rng.uniform(0.06, 0.16) if b.chance(0.4) else 0.0) if feet is None else feet
    if feet:
        _legs(
            b,
            prop,
            body if b.chance(0.5) else b.material("metal", fresh=0.5),
            width * 0.96,
            depth * 0.94,
            feet,
            0.04,
            "tapered",
        )
    plinth = 0.06 if not feet and b.chance(0.5) else 0.0
    if plinth:
        prop.add(box((width - 0.02, depth - 0.06, plinth)), body, translation(0, 0.01))
    base = feet + plinth
    t, gap, edge = 0.02, rng.uniform(0.002, 0.005), min(bevel(b), 0.004)
    prop.add(box((width, depth - 0.02, height - base - t), 0.001), body, translation(0, 0.01, base))
    over = rng.uniform(0, 0.02)
    prop.add(box((width + 2 * over, depth + over, t), edge), body, translation(0, -over / 2, height - t))
    pull, metal = b.choice(["bar", "knob", "arch", "none"]), b.material(b.choice(["metal", "metal", "wood"]), fresh=0.4)
    grip = handle(b, pull) if pull != "none" else None
    inner_h = height - base - t - gap
    w, h = width / columns - gap, inner_h / rows - gap
    framed = b.chance(0.35) and min(w, h) > 0.15
    for i in range(columns):
        for j in range(rows):
            ajar = 0.03 * rng.random() if b.chance(0.1) else 0.0
            x, z = (i + 0.5) * width / columns - width / 2, base + gap + j * inner_h / rows
            place = translation(x, -depth / 2 + 0.01 - ajar, z)
            prop.add(box((w, 0.019, h), edge), front, place)
            if framed:
                for part, spot in _frame_bars(w, h, 0.05):
                    prop.add(part, front, place @ translation(spot[0], -0.0125, spot[1]))
            if grip is not None:
                door = h > 1.3 * w
                side = (1 if i % 2 == 0 else -1) * w * 0.42 if door else 0.0
                turn = rotation("y", 90) if door and pull != "knob" else np.eye(4)
                prop.add(
                    grip, metal, place @ translation(side, -0.0095 - 0.006 * framed, h * (0.55 if door else 0.6)) @ turn
                )
    prop.supports.append(Support(translation(z=height), width - 0.03, depth - 0.03))
    return prop


def _frame_bars(w: float, h: float, bar: float) -> list[tuple[Mesh, tuple[float, float]]]:
    """Raised bars around a front, with their (x, z) places."""
    upright, level = box((bar, 0.008, h), 0.0015), box((w - 2 * bar, 0.008, bar), 0.0015)
    return [(upright, (-(w - bar) / 2, 0)), (upright, ((w - bar) / 2, 0)), (level, (0, 0)), (level, (0, h - bar))]


def counter(b: SceneBuilder, width: float, depth: float = 0.6, height: float = 0.9, sink: bool = True) -> Prop:
    """A kitchen counter: cupboards below a worktop, with a sink and tap or hot plates; the worktop has two supports."""
    rng = b.rng
    prop = cabinet(b, width, depth, height - 0.035, max(2, round(width / 0.55)), b.choice([1, 1, 2, 3]), feet=0.0)
    prop.supports.clear()
    top = b.material(b.choice(["stone", "wood", "stone", "plastic"]))
    prop.add(box((width + 0.02, depth + 0.03, 0.035), 0.003), top, translation(0, -0.01, height - 0.035))
    at = rng.uniform(-0.2, 0.2) * width
    if sink:
        steel = b.material("metal", fresh=0.4)
        basin = rounded_box((0.5, 0.36, 0.012), 0.005)
        prop.add(basin, steel, translation(at, -0.02, height - 0.006))
        prop.add(
            box((0.42, 0.28, 0.001)), b.material("metal", color=(0.06, 0.06, 0.06)), translation(at, -0.02, height + 0.0062)
        )
        swan = np.array(
            [
                [at, 0.21, height],
                [at, 0.21, height + 0.2],
                [at, 0.17, height + 0.28],
                [at, 0.08, height + 0.27],
                [at, 0.06, height + 0.21],
            ]
        )
        prop.add(tube(swan, 0.011, 9), steel)
        prop.add(cylinder(0.022, 0.04, 0.004, 18), steel, translation(at, 0.21, height))
    else:
        dark = b.material("plastic", color=(0.02, 0.02, 0.022), gloss=1.0)
        prop.add(box((0.58, 0.5, 0.006), 0.002), dark, translation(at, -0.01, height - 0.0005))
        for x in (-0.14, 0.14):
            for y in (-0.12, 0.12):
                prop.add(
                    cylinder(0.085, 0.004, 0.001, 30),
                    b.material("metal", fresh=0.3),
                    translation(at + x, y, height + 0.005),
                )
    left, right = at - 0.32 + width / 2, width / 2 - at - 0.32
    for start, length in ((-width / 2, left), (at + 0.32, right)):
        if length > 0.2:
            prop.supports.append(Support(translation(start + length / 2, 0, height), length - 0.04, depth - 0.06, 0.5))
    return prop


def radiator(b: SceneBuilder, width: float, height: float) -> Prop:
    """A ribbed radiator that stands on two feet, its back at y = 0.05."""
    prop = Prop()
    paint = b.material("metal", color=tuple(np.full(3, b.rng.uniform(0.6, 0.82))), fresh=0.3)
    pitch = 0.05
    rib = rounded_box((0.036, 0.07, height - 0.1), 0.015, 1)
    for x in np.arange(-width / 2 + pitch / 2, width / 2, pitch):
        prop.add(rib, paint, translation(x, 0, 0.1))
    for z in (0.14, height - 0.05):
        prop.add(box((width, 0.03, 0.03), 0.004), paint, translation(z=z))
    for side in (-1, 1):
        prop.add(box((0.03, 0.05, 0.11), 0.003), paint, translation(side * (width / 2 - 0.06)))
    prop.add(
        tube(np.array([[width / 2, 0, 0.15], [width / 2 + 0.06, 0, 0.15], [width / 2 + 0.06, 0, 0.001]]), 0.009, 8), paint
    )
    return _lowered(prop)


def bench(b: SceneBuilder, width: float) -> Prop:
    """A slatted bench with a back, for gardens and stations."""
    prop = Prop()
    wood, iron = b.material("wood", plain=0.3), b.material("metal", fresh=0.5)
    for k in range(5):
        prop.add(box((width, 0.07, 0.03), 0.005), wood, translation(0, -0.2 + 0.085 * k, 0.42))
    lean = translation(0, 0.2, 0.45) @ rotation("x", -14)
    for k in range(3):
        prop.add(box((width, 0.03, 0.085), 0.005), wood, lean @ translation(0, 0, 0.08 + 0.12 * k))
    outline = np.array(
        [[-0.24, 0], [-0.19, 0], [-0.17, 0.37], [0.16, 0.37], [0.24, 0], [0.29, 0], [0.22, 0.42], [-0.22, 0.42]]
    )
    side = prism(outline, 0.04)
    turn = rotation("z", 90) @ rotation("x", 90)
    for x in (-width * 0.4, width * 0.4):
        prop.add(side, iron, translation(x) @ turn @ translation(z=-0.02))
        prop.add(box((0.04, 0.02, 0.42)), iron, translation(x) @ lean @ translation(0, 0.026, 0))
    prop.supports.append(Support(translation(0, -0.02, 0.45), width - 0.2, 0.3))
    return prop
