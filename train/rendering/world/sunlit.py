"""Plain surfaces in hard light: bare walls and grounds under the shadows of what stands there and of what is out of sight.

A wall with hardly a thing on it, half of it in the shade, is what people photograph and what a furnished room never shows:
there the edge of a shadow has nothing but its own look to tell it from the edge of a paint. The same places with patterns
and prints on them, in one strong colour, and under trees.
"""

from __future__ import annotations

import colorsys
from dataclasses import replace
from typing import Literal

import numpy as np

from intrinsic_flow.train.rendering.appearance import palette
from intrinsic_flow.train.rendering.scene import Camera, Material, Mesh, Scene, Texture
from intrinsic_flow.train.rendering.world import clutter, fittings, real, vessels
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder, Support
from intrinsic_flow.train.rendering.world.foliage import blades, leaf_cloud
from intrinsic_flow.train.rendering.world.geometry import (
    block,
    box,
    cylinder,
    lathe,
    merged,
    moved,
    panel,
    rotation,
    scaled,
    smooth_profile,
    translation,
    tube,
)
from intrinsic_flow.train.rendering.world.layout import Footprint, Layout
from intrinsic_flow.train.rendering.world.lighting import (
    WhiteBalance,
    balance_white,
    bulb,
    dimmed_environment,
    glowing_panel,
    make_sun,
    travel_direction,
)

_GROUNDS = ("road", "stone", "floor", "ground", "paper", "fabric", "wall", "wood")
_WALLS = ("wall", "facade", "paper", "stone", "wood", "ceiling")
Style = Literal["plain", "pattern", "print", "dappled", "color"]


def _checks(b: SceneBuilder) -> int:
    """A material of checks, stripes or squares of tiles in two or three paints, some a little worn."""
    rng = b.rng
    paints = np.array([palette.color(rng, b.choice(["any", "fabric", "wall", "paper"])) for _ in range(3)], np.float32)
    if b.chance(0.35):
        paints[0], paints[1] = 0.03 * np.exp(rng.normal(0, 0.3)), 0.75
    side, y_x = 512, np.indices((512, 512))
    cells = int(rng.integers(2, 9)) * 2
    y, x = y_x * cells // side
    kind = b.choice(["checks", "stripes", "bars", "plaid", "dots"])
    if kind == "checks":
        index = (x + y) % 2
    elif kind == "stripes":
        index = x % 2 if b.chance(0.5) else rng.integers(0, 3, cells)[x]
    elif kind == "bars":
        index = np.where((y % 4 == 0) | (x % 4 == 0), 1, 0)
    elif kind == "plaid":
        index = (x % 2) + (y % 2)
    else:
        v, u = (y_x * cells % side) / side - 0.5
        index = (np.hypot(u, v) < rng.uniform(0.2, 0.45)).astype(int)
    albedo = paints[index] * np.exp(rng.uniform(0, 0.06) * rng.standard_normal((side, side, 1), np.float32))
    made = b.material(b.choice(["fabric", "ceramic", "wall"]), plain=1.0, color=(1.0, 1.0, 1.0))
    pixels = (np.sqrt(np.clip(albedo, *palette.ALBEDO_RANGE)) * 255 + 0.5).astype(np.uint8)
    tile = b.log_uniform(0.15, 1.6)
    b.materials[made] = replace(
        b.materials[made], color=(1.0, 1.0, 1.0), texture=Texture(pixels, tileable=True), tile=tile, relief_tile=tile
    )
    return made


def _strong(b: SceneBuilder, height: float | None) -> int:
    """A material in one strong colour: red, orange, yellow, green, blue, violet, or black."""
    hue, value = b.rng.uniform(0, 1), b.log_uniform(0.15, 0.75)
    red, green, blue = (colorsys.hsv_to_rgb(hue, b.rng.uniform(0.65, 0.97), value)) if b.chance(0.9) else (0.03,) * 3
    index = b.material(b.choice(["wall", "wood", "metal", "fabric"]), color=(red, green, blue), height=height)
    b.materials[index] = replace(b.materials[index], metallic=0.0)
    return index


def _cover(b: SceneBuilder, style: Style, roles: tuple[str, ...], scale: float, height: float | None = None) -> int:
    """The material of the ground, or of a wall of this height."""
    if style == "pattern":
        return _checks(b) if b.chance(0.5) else b.material(b.choice(roles), plain=0.0, tile_scale=0.7 * scale)
    if style == "color":
        return (
            _strong(b, height)
            if b.chance(0.75)
            else b.material(b.choice(roles), plain=0.5, tile_scale=scale, height=height)
        )
    if style == "dappled":
        return b.material(b.choice(roles), plain=0.1, tile_scale=scale, height=height)
    return b.material(b.choice(roles), plain=0.6 if style == "plain" else 0.4, tile_scale=scale, height=height)


def _post(b: SceneBuilder, depth: float, width: float, height: float) -> None:
    """Posters, pages, labels and signs on the wall y = depth, some of them framed, a few under glass."""
    rng = b.rng
    face = Layout()
    for _ in range(int(rng.integers(2, 14))):
        picture = b.library.print(rng, b.choice(["print", "art", "photo", "print"]))
        rows, columns = picture.pixels.shape[:2]
        tall = b.log_uniform(0.18, 0.75) * height
        wide = min(tall * columns / rows, 1.6 * width)
        tall = wide * rows / columns
        tint = float(rng.uniform(0.75, 1.0))
        gloss = b.chance(0.35)
        rough, coat = (b.log_uniform(0.15, 0.5), 0.045) if gloss else (0.8, 0.015)
        skin = b.add_material(Material((tint,) * 3, picture, roughness=rough, specular=coat, kind="print"), "label")
        x, z = rng.uniform(-width, width), rng.uniform(0.05, max(0.1, height - tall))
        if not face.claim(Footprint(np.array([x, z + tall / 2]), np.array([wide, tall]) / 2 + 0.01, 0.0, 0.0, 1.0)):
            continue
        prop, framed = Prop(), b.chance(0.3)
        prop.add(panel(wide, tall), skin, translation(0, -0.012))
        if framed:
            bar, rail = rng.uniform(0.01, 0.04), b.material(b.choice(["wood", "metal", "plastic"]), fresh=0.5)
            for side in (-1, 1):
                prop.add(box((bar, 0.03, tall + 2 * bar)), rail, translation(side * (wide + bar) / 2, -0.015, -bar))
            for low in (-bar, tall):
                prop.add(box((wide, 0.03, bar)), rail, translation(0, -0.015, low))
            if b.chance(0.4):
                pane = Material((0.97, 0.98, 0.97), clear=True, kind="glass")
                prop.add(panel(wide, tall), b.add_material(pane, "glass"), translation(0, -0.02))
        b.place(prop, translation(x, depth, z) @ rotation("y", rng.normal(0, 1.5)), hung=True)


def hat(b: SceneBuilder) -> Prop:
    """A hat with a brim and a ribbon, its opening down."""
    rng, prop = b.rng, Prop()
    crown, brim, height = rng.uniform(0.08, 0.1), rng.uniform(0.12, 0.2), rng.uniform(0.08, 0.13)
    droop = rng.uniform(-0.02, 0.03)
    outer = [
        (brim, droop),
        (brim + 0.003, droop + 0.004),
        (crown + 0.02, 0.006),
        (crown, 0.025),
        (0.96 * crown, height * 0.7),
    ]
    outer += [(0.75 * crown, height), (0.3 * crown, height * rng.uniform(0.9, 1.02)), (0.0, height * 0.97)]
    inner = [(0.0, height * 0.9), (0.9 * crown, height * 0.6), (crown - 0.004, 0.0), (brim, droop)]
    skin = b.material(b.choice(["fabric", "paper", "leather"]), plain=0.7, gloss=0.05, tile_scale=0.4)
    prop.add(lathe(np.vstack([inner, smooth_profile(outer, 28)[1:]])), skin)
    if b.chance(0.7):
        band = [(crown * 0.99, 0.02), (crown * 1.05, 0.022), (crown * 1.03, 0.05), (crown * 0.97, 0.052)]
        prop.add(lathe(np.array(band)), b.material("fabric", plain=0.9))
    return prop


def _bars(b: SceneBuilder, width: float, height: float) -> Mesh:
    """A window's frame and bars, a blind, a fence or a ladder, upright in the plane y = 0, its middle in the origin."""
    rng = b.rng
    columns, rows = b.choice([(2, 2), (2, 3), (3, 4), (1, 2), (0, 9), (0, 16), (9, 1), (14, 2), (4, 4)])
    thick = min(width, height) * b.log_uniform(0.015, 0.07)
    pieces = []
    for x in np.linspace(-width / 2, width / 2, columns + 1) if columns else (-width / 2, width / 2):
        pieces.append(block((x - thick / 2, -thick / 2, -height / 2), (x + thick / 2, thick / 2, height / 2)))
    for z in np.linspace(-height / 2, height / 2, rows + 1):
        slat = thick * (1.0 if columns else rng.uniform(0.8, 2.0))
        pieces.append(block((-width / 2, -thick / 2, z - slat / 2), (width / 2, thick / 2, z + slat / 2)))
    if b.chance(0.5):  # the wall that the opening is in
        margin = 1.5 * max(width, height)
        for side in (-1, 1):
            low, high = sorted([side * width / 2, side * (width / 2 + margin)])
            pieces.append(block((low, -0.03, -height / 2 - margin), (high, 0.03, height / 2 + margin)))
            low, high = sorted([side * height / 2, side * (height / 2 + margin)])
            pieces.append(block((-width / 2, -0.03, low), (width / 2, 0.03, high)))
    return merged(pieces)


def _branch(b: SceneBuilder, size: float) -> Mesh:
    """A few twigs with leaves that can be told apart in their shadow."""
    rng, pieces = b.rng, []
    for _ in range(int(rng.integers(1, 5))):
        t = np.linspace(0, 1, 9)[:, None]
        toward = rng.normal(0, 1, 3)
        toward *= size * rng.uniform(0.7, 1.4) / np.linalg.norm(toward)
        path = rng.normal(0, 0.15 * size, 3) - toward / 2 + toward * t + 0.15 * size * rng.normal(0, 1, 3) * t**2
        pieces.append(tube(path, 0.012 * size * (1.2 - t[:, 0]), 6))
        count = int(rng.integers(10, 40))
        at = path[rng.integers(1, len(path), count)]
        lengths = size * rng.uniform(0.1, 0.3, count)
        leaves = blades(
            at, rng.normal(0, 1, (count, 3)), lengths, lengths * rng.uniform(0.25, 0.6), rng.uniform(0, 0.4, count)
        )
        pieces.append(leaves)
    return merged(pieces)


def _cast(
    b: SceneBuilder,
    thing: int,
    aim: np.ndarray,
    to_light: np.ndarray,
    size: float,
    nearest: float,
    farthest: float,
    dappled: bool = False,
) -> None:
    """Put a part of `thing` between the light and a point (3,) of the surfaces, to shade about `size` metres."""
    rng = b.rng
    center = aim + to_light * b.log_uniform(nearest, farthest)
    yaw = float(np.degrees(np.arctan2(to_light[1], to_light[0]))) + 90
    kind = b.choice(
        ["bars", "leaves", "branch", "edge", "board", "thing", "pole", "disc", "tree"],
        [0, 1, 1, 0, 0, 0, 0, 0, 6] if dappled else [3, 1.2, 1.6, 2, 1.2, 1, 1, 0.8, 0.5],
    )
    skin = b.material("any")
    facing = translation(*center) @ rotation("z", yaw + rng.normal(0, 20))
    if kind == "bars":
        width, height = size * rng.uniform(0.5, 1.6, 2)
        tilt = rotation("x", b.choice([0.0, 0.0, float(rng.uniform(-60, 60))])) @ rotation("y", rng.normal(0, 6))
        b.add(_bars(b, width, height), skin, facing @ tilt, thing)
    elif kind == "leaves":
        mesh = leaf_cloud(rng, int(rng.integers(60, 900)), size * rng.uniform(0.5, 1.3, 3), size * rng.uniform(0.04, 0.14))
        b.add(mesh, b.material("leaf"), translation(*center), thing, solid=False)
    elif kind == "branch":
        b.add(_branch(b, size * rng.uniform(0.6, 1.2)), b.material("leaf"), translation(*center), thing, solid=False)
    elif kind == "edge":  # a half plane: the corner of a house, an eave
        far = 12 * size
        turn = rotation("y", b.choice([0.0, 90.0, -90.0, 180.0, float(rng.uniform(0, 360))]))
        b.add(block((-far, 0, -far), (0, 0.05 * size, far)), skin, facing @ turn, thing)
    elif kind == "board":
        half = 0.5 * size * rng.uniform(0.15, 0.9, 2)
        turn = rotation("y", rng.uniform(0, 90)) @ rotation("x", rng.normal(0, 30))
        b.add(block((-half[0], -0.01, -half[1]), (half[0], 0.01, half[1])), skin, facing @ turn, thing)
    elif kind == "disc":
        radius = 0.5 * size * rng.uniform(0.2, 0.8)
        b.add(cylinder(radius, 0.02 * size), skin, facing @ rotation("x", 90 + rng.normal(0, 30)), thing)
    elif kind == "pole":
        for _ in range(int(rng.integers(1, 4))):
            lean = rotation("y", rng.normal(0, 25)) @ translation(rng.normal(0, 0.3 * size), 0, -4 * size)
            b.add(cylinder(size * b.log_uniform(0.01, 0.07), 8 * size, segments=14), skin, facing @ lean, thing)
    elif kind == "tree":  # a part of a crown, of about its own size
        prop = real.tree(b)
        low, high = prop.bounds()
        grow = size * rng.uniform(0.8, 2.0) / float(high[0] - low[0]) if size < 2.5 else 1.0
        middle = translation(*(-grow * (0.5 * low + 0.5 * high)))
        for mesh, material in prop.pieces:
            b.add(
                moved(scaled(mesh, grow), middle), material, translation(*center) @ rotation("z", yaw), thing, solid=False
            )
    else:
        prop = b.choice(clutter.FLOOR)[0](b)
        prop.lights.clear()
        low, high = prop.bounds()
        grow = size * rng.uniform(0.5, 1.0) / float(np.linalg.norm(high - low))
        for mesh, material in prop.pieces:
            b.add(moved(mesh, np.diag([grow, grow, grow, 1.0])), material, facing, thing)


def _hang(b: SceneBuilder, depth: float, width: float, height: float) -> None:
    """Hats, bowls, plates or pictures on the wall y = depth, between x = -width and width, up to z = height."""
    rng = b.rng
    makers = {
        "hat": lambda: hat(b),
        "bowl": lambda: vessels.bowl(b),
        "plate": lambda: vessels.plate(b),
        "picture": lambda: fittings.framed_picture(b, *rng.uniform(0.2, 0.6, 2)),
    }
    same = b.choice(list(makers)) if b.chance(0.6) else None
    taken: list[np.ndarray] = []
    for _ in range(int(rng.integers(1, 8))):
        kind = same or b.choice(list(makers))
        prop = makers[kind]()
        turned = (
            np.eye(4) if kind == "picture" else rotation("x", 90 + rng.normal(0, 7)) @ rotation("z", rng.uniform(0, 360))
        )
        points = np.concatenate([mesh.vertices for mesh, _ in prop.pieces]) @ turned[:3, :3].T
        reach = float(np.abs(points[:, [0, 2]]).max())
        place = np.array([rng.uniform(-width, width), rng.uniform(min(0.3, height / 2), height)])
        if any(np.abs(place - other[:2]).max() < reach + other[2] for other in taken):
            continue
        taken.append(np.array([*place, reach]))
        b.place(prop, translation(place[0], depth - points[:, 1].max() - 0.001, place[1]) @ turned, hung=True)


def _sun(b: SceneBuilder, azimuth: float, elevation: float) -> np.ndarray:
    """A sky and a sun that is 1.2 to 7 times as strong on level ground. Returns the unit vector (3,) towards it."""
    dimmed_environment(b, b.choice(["outdoor", "any"]), 1.0)
    level = np.pi * b.log_uniform(1.2, 7.0) / max(np.sin(np.radians(elevation)), 0.5)
    b.sun = make_sun(b, azimuth, elevation, level, WhiteBalance.draw(b.rng, 5400))
    balance_white(b)
    return -travel_direction(azimuth, elevation)


def _lamp(b: SceneBuilder, azimuth: float, elevation: float, aim: np.ndarray, size: float) -> np.ndarray:
    """A small lamp in a dim room, and a large soft one beside it now and then. Returns the unit vector (3,) towards it."""
    kelvin = b.log_uniform(2600, 6000)
    white = WhiteBalance.draw(b.rng, kelvin)
    toward = -travel_direction(azimuth, elevation)
    distance = size * b.rng.uniform(2.5, 7.0)
    dimmed_environment(b, "indoor", b.log_uniform(0.15, 1.0))
    power = distance**2 * b.log_uniform(12.0, 60.0)
    b.lights.append(bulb(aim + toward * distance, size * b.log_uniform(0.01, 0.08), power, white.color(kelvin)))
    if b.chance(0.3):
        away = b.rng.normal((0, -0.6, 0.9), 0.4)
        away /= np.linalg.norm(away)
        color = white.color(b.log_uniform(2600, 7000))
        power *= b.log_uniform(0.05, 0.5)
        b.lights.append(glowing_panel(aim + away * distance, -away, size, size, power, color, "ceiling"))
    return toward


_FORMS = {"print": (0.6, 0.0, 0.3, 0.1), "color": (0.6, 0.1, 0.2, 0.1), "dappled": (0.2, 0.4, 0.3, 0.1)}


def sunlit_scene(b: SceneBuilder, style: Style = "plain") -> Scene:
    """A wall, the ground or both, nearly bare, in the sun or by a small lamp, with one to four shadows on them.

    style: what they are covered with; print: with posters, labels and signs. dappled: the shadows are trees'.
    """
    rng = b.rng
    size = b.log_uniform(0.8, 4.0) if style != "color" else b.log_uniform(0.5, 2.0)
    form = b.choice(["wall", "ground", "both", "corner"], _FORMS.get(style, (0.32, 0.26, 0.27, 0.15)))
    depth, scale = 0.0 if form == "wall" else size * rng.uniform(0.2, 0.8), 0.5 if size < 1.4 else 1.0
    far = 30 * size
    upright = form != "ground"
    ground = _cover(b, style, ("ground", "road", "stone", "floor") if style == "dappled" else _GROUNDS, scale)
    b.add(block((-far, -far, -0.2), (far, far, 0)), ground)
    if upright:
        paint = _cover(b, style, ("facade", "stone", "wall") if style == "dappled" else _WALLS, scale, height=2.7)
        b.add(block((-far, depth, 0), (far, depth + 0.2, size * rng.uniform(1.2, 6.0))), paint)
        if b.chance(0.3):  # a dado, a plinth or a band of another paint
            low, high = np.sort(rng.uniform(0, size, 2))
            b.hung.add(b.add(block((-far, depth - 0.002, low), (far, depth, high)), b.material("wall", plain=0.8)))
        if form == "corner":
            side, away = b.choice([-1, 1]), size * rng.uniform(0.3, 1.0)
            x = side * away
            same = paint if b.chance(0.7) else b.material(b.choice(_WALLS), plain=0.6)
            b.add(block((x - 0.1, -far / 4, 0), (x + 0.1, depth, 3 * size)), same)
        if style == "print":
            _post(b, depth, 0.75 * size, min(1.2 * size, 2.4))
        elif b.chance(0.5):
            _hang(b, depth, 0.6 * size, min(size, 2.2))
    if form != "wall" and b.chance(0.7):
        support = Support(np.eye(4), 1.2 * size, 0.35 * size if upright else 1.0 * size)
        kinds = clutter.FLOOR if size > 1.3 else clutter.STILL_LIFE
        if style != "plain":
            kinds = (*kinds, (real.scan, 8.0), (real.furniture if size > 1.3 else real.small_thing, 8.0))
        clutter.scatter(b, support, np.eye(4), kinds, int(rng.integers(1, 6)), turn=60.0)
    base = np.array([0.0, depth, 0.5 * min(size, 2.0)]) if form == "wall" or (upright and b.chance(0.5)) else np.zeros(3)
    azimuth = -90 + rng.uniform(-72, 72) if upright else rng.uniform(0, 360)
    elevation = rng.uniform(12, 62)
    outdoors = style == "dappled" or b.chance(0.65)
    toward = _sun(b, azimuth, elevation) if outdoors else _lamp(b, azimuth, elevation, base, size)
    low, high = (0.5, 6.0) if outdoors else (0.3, 1.6)
    caster = b.new_thing()
    for _ in range(int(rng.integers(1, 5))):
        if b.full:
            break
        aim = base + rng.normal(0, 0.3 * size, 3) * ((1, 0, 0.5) if base[2] else (1, 0.6, 0))
        aim[2] = max(aim[2], 0.0)
        _cast(b, caster, aim, toward, size * b.log_uniform(0.35, 1.2), low * size, high * size, style == "dappled")
    scene = b.build("sunlit" if style == "plain" else style, lambda draw: _propose(b, base, size, toward, draw))
    scene.casters = frozenset([caster])
    return scene


def _propose(b: SceneBuilder, base: np.ndarray, size: float, toward: np.ndarray, rng: np.random.Generator) -> Camera | None:
    """In front of the shadows, not where the light (3,) comes from: from there, things hide their shadows."""
    spread = (1.0, 0.0, 0.5) if base[2] else (1.0, 0.5, 0.0)
    aim = base + rng.normal(0, 0.22 * size, 3) * spread
    if b.focus and rng.random() < 0.35:
        aim = 0.6 * b.focus[int(rng.integers(len(b.focus)))][0] + 0.4 * aim
    azimuth = -np.pi / 2 + rng.normal(0, 0.45)
    rise = np.radians(rng.uniform(-4, 25) if base[2] else rng.uniform(15, 80))
    distance, fov = size * rng.uniform(0.6, 1.8), float(rng.uniform(30, 60))
    away = np.array([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
    origin = aim + distance * away
    if (
        away @ toward > 0.9
        or origin[2] < 0.05
        or any(b.blocked(aim + part * distance * away, 0.03) for part in (0.25, 0.45, 0.65, 0.85, 1.0))
    ):
        return None
    return Camera(origin, aim, fov)
