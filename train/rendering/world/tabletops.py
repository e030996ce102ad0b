"""Still lives: a few things on a table, on a floor before a backdrop, or on the ground outdoors."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.appearance.library import EnvironmentKind
from intrinsic_flow.train.rendering.scene import Camera, Scene
from intrinsic_flow.train.rendering.world import clutter, fittings, furniture, real, upholstery, vessels
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder, Support
from intrinsic_flow.train.rendering.world.fabrics import draped
from intrinsic_flow.train.rendering.world.foliage import grass, leaf_cloud
from intrinsic_flow.train.rendering.world.geometry import block, rotation, surface, translation
from intrinsic_flow.train.rendering.world.layout import Layout
from intrinsic_flow.train.rendering.world.lighting import (
    WhiteBalance,
    balance_white,
    dimmed_environment,
    glowing_panel,
    make_sun,
)
from intrinsic_flow.train.rendering.world.portraits import light_figure


def _sweep(width: float, depth: float, height: float) -> Prop:
    """A studio backdrop: paper that runs over the floor and up behind in one bend, its front at -depth / 2."""
    bend = 0.5 * height
    t = np.linspace(0, np.pi / 2, 14)
    floor = np.array([[-depth / 2, 0.0]])
    curve = np.stack([depth / 2 - bend + bend * np.sin(t), bend * (1 - np.cos(t))], 1)
    profile = np.vstack([floor, curve, [[depth / 2, height]]])
    x = np.linspace(-width / 2, width / 2, 2)
    points = np.stack([np.broadcast_to(x, (len(profile), 2)), *np.repeat(profile.T[..., None], 2, -1)], -1)
    return Prop([(surface(points), 0)])


def _on_sweep(b: SceneBuilder) -> tuple[Support, np.ndarray, float]:
    size = b.log_uniform(0.8, 2.4)
    prop = _sweep(3 * size, 3 * size, 1.8 * size)
    mesh, _ = prop.pieces[0]
    b.add(
        mesh, b.material(b.choice(["paper", "fabric", "wall"]), plain=0.75), rotation("z", b.rng.normal(0, 8)), solid=False
    )
    return Support(np.eye(4), size, 0.8 * size), np.eye(4), size


def _on_table(b: SceneBuilder) -> tuple[Support, np.ndarray, float]:
    """A table in a corner of a room that is open above and towards the camera."""
    rng = b.rng
    width, depth = rng.uniform(0.9, 1.8), rng.uniform(0.7, 1.0)
    table = furniture.table(b, width, depth, rng.uniform(0.7, 0.78))
    frame = rotation("z", rng.normal(0, 10))
    b.place(table, frame, focus=False)
    b.add(block((-6, -6, -0.2), (6, 6, 0.0)), b.material("floor"))
    back = depth / 2 + (rng.uniform(0.05, 0.25) if b.chance(0.4) else rng.uniform(0.6, 2.2))
    if b.chance(0.75):
        wall = rotation("z", rng.normal(0, 4)) @ translation(0, back + 0.15)
        paint = b.material("wall", height=3.0)
        b.add(block((-6, 0, 0), (6, 0.2, 3.0)), paint, wall)
        side = b.choice([-1, 1])
        if b.chance(0.5):
            b.add(block((-0.1, -6, 0), (0.1, 1, 3.0)), paint, translation(side * rng.uniform(1.4, 3.0)))
        for x in rng.uniform(-1.6, 1.6, int(rng.integers(0, 3))):
            picture = fittings.framed_picture(b, rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7))
            b.place(picture, wall @ translation(x, -0.002, rng.uniform(1.0, 1.6)), hung=True, focus=False)
            break
        if back > depth / 2 + 0.55:
            unit = furniture.bookshelf(b, 1.2, 0.3, 1.8, 5) if b.chance(0.5) else furniture.cabinet(b, 1.4, 0.4, 0.8, 3, 2)
            place = wall @ translation(rng.uniform(-0.8, 0.8), -0.24)
            b.place(unit, place, focus=False)
            covers = [b.material("book", fresh=0.7) for _ in range(5)]
            for support in unit.supports:
                clutter.fill_shelf(b, support, place, covers, 0.7)
    seat = furniture.chair(b) if b.chance(0.7) else upholstery.pouffe(b)
    b.place(
        seat,
        frame @ translation(rng.uniform(-0.3, 0.3) * width, -depth / 2 - 0.5) @ rotation("z", 180 + rng.normal(0, 25)),
        focus=False,
    )
    support = table.supports[0]
    near = rng.uniform(0.45, 1.0)
    small = Support(support.frame, support.width * near, support.depth * max(near, 0.7))
    return small, frame, max(small.width, 0.5)


def _on_ground(b: SceneBuilder) -> tuple[Support, np.ndarray, float]:
    """Ground outdoors, with grass and bushes around."""
    rng = b.rng
    size = b.log_uniform(0.8, 1.8)
    kind = b.choice(["ground", "road", "floor", "stone"])
    b.add(block((-30, -30, -0.2), (30, 30, 0)), b.material(kind, plain=0.0, tile_scale=0.6 if size < 1.4 else 1.0))
    leaf = b.material("leaf")
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(-2.2, 2.2) * size, rng.uniform(0.9, 3) * size
        bush = rng.uniform(0.4, 1.1, 3) * size * 1.2
        b.add(
            leaf_cloud(rng, int(rng.integers(500, 1400)), bush, rng.uniform(0.03, 0.09)),
            leaf if b.chance(0.6) else b.material("leaf"),
            translation(x, y, bush[2] * 0.4),
        )
    if b.chance(0.6):
        patch = grass(rng, 4500, 5 * size, 2.5 * size, rng.uniform(0.05, 0.16))
        b.add(patch, b.material("leaf"), translation(0, 1.9 * size))
    if b.chance(0.4):
        b.add(
            block((-8, 0, 0), (8, 0.3, rng.uniform(0.6, 2.5))),
            b.material("facade"),
            rotation("z", rng.normal(0, 6)) @ translation(0, 2.8 * size),
        )
    for _ in range(int(rng.integers(0, 6))):
        spot = rng.uniform(-1.5, 1.5, 2) * size
        if np.abs(spot).max() > 0.62 * size:
            b.place(clutter.stone(b, rng.uniform(0.06, 0.3)), translation(*spot), focus=False)
    return Support(np.eye(4), size, size * 0.8), np.eye(4), size


def _light_studio(b: SceneBuilder, size: float) -> None:
    """Soft boxes, bare lamps or a window-like panel in a dim room."""
    rng = b.rng
    kelvin = b.log_uniform(2800, 6000)
    white = WhiteBalance.draw(rng, kelvin)
    dimmed_environment(b, "indoor", b.log_uniform(0.08, 0.8))
    for _ in range(int(rng.integers(1, 4))):
        away = rng.normal((0, -0.5, 0), 1, 3)
        away[2] = abs(away[2]) * 0.8 + 0.35
        away /= np.linalg.norm(away)
        distance = rng.uniform(1.5, 2.8) * max(size, 0.9)
        side = b.log_uniform(0.08, 1.3) * max(size, 0.9)
        color = white.color(kelvin * np.exp(rng.normal(0, 0.12)) if b.chance(0.75) else b.log_uniform(2600, 6800))
        power = distance**2 * b.log_uniform(3.0, 18.0)
        center = away * distance + (0, 0, 0.8)
        b.lights.append(glowing_panel(center, -away, side, side * rng.uniform(0.6, 1.5), power, color, "lamps"))


def _light_outdoors(b: SceneBuilder, kind: EnvironmentKind) -> None:
    dimmed_environment(b, kind, 1.0)
    if b.chance(0.7):
        white = WhiteBalance.draw(b.rng, 5400)
        b.sun = make_sun(b, b.rng.uniform(0, 360), b.rng.uniform(14, 65), np.pi * b.log_uniform(1.2, 8), white)
    balance_white(b)


SCANNED = (
    (real.scan, 5.0),
    (real.small_thing, 3.0),
    (vessels.glass, 1.0),
    (vessels.bottle, 0.5),
    (vessels.kettle, 0.3),
    (vessels.candles, 0.5),
    (vessels.soap, 0.4),
    (clutter.figurine, 0.6),
)


def tabletop_scene(b: SceneBuilder, scans: bool = False) -> Scene:
    """2 to 14 things in front of the camera. scans: most of them scanned or modelled, with glass and shiny ones between."""
    rng = b.rng
    place = b.choice([_on_table, _on_sweep, _on_ground], [0.5, 0.22, 0.28])
    support, frame, size = place(b)
    if place is not _on_ground and b.chance(0.18):
        cloth = draped(rng, support.width * 0.8, support.depth * 0.75, (0.0, 0.0, 0.0, 0.0))
        b.add(cloth, b.material("fabric"), frame @ support.frame)
    count = int(rng.integers(3, 19))
    b.focus.clear()
    kinds = clutter.STILL_LIFE
    scale = 1.0
    if place is _on_table:
        kinds = b.choice([clutter.TABLE, clutter.DESK, clutter.KITCHEN, clutter.STILL_LIFE])
    elif size > 1.4:
        kinds = (*clutter.FLOOR, *clutter.STILL_LIFE)
    else:
        scale = 0.6
    if scans:
        kinds = (*SCANNED, (real.furniture, 4.0)) if size > 1.4 and place is not _on_table else SCANNED
    reach = Support(support.frame, support.width * scale, support.depth * scale)
    half = np.array([reach.width, reach.depth]) / 2
    layout, placed = Layout((-half, half)), 0
    for _ in range(3):
        placed += clutter.scatter(b, reach, frame, kinds, count, turn=60.0, crowded=True, layout=layout)
        if placed >= 4:
            break
    if scans and place is not _on_ground and b.chance(0.6):
        light_figure(b, (frame @ support.frame)[:3, 3] + (0, 0, 0.15), outside=b.chance(0.2))
    elif place is _on_ground:
        _light_outdoors(b, "outdoor")
    elif b.chance(0.55):
        _light_studio(b, size)
    else:
        _light_outdoors(b, "any")
    base = float((frame @ support.frame)[2, 3])
    scene = b.build("scans" if scans else "tabletop", lambda draw: _propose(b, base, size, draw))
    scene.close = scans
    return scene


def _propose(b: SceneBuilder, base: float, size: float, rng: np.random.Generator) -> Camera | None:
    """From the front and a little above: near one thing, or over all of them; now and then straight down."""
    if not b.focus:
        return None
    target, extent = b.focus[int(rng.integers(len(b.focus)))]
    near = rng.random() < 0.5
    middle = np.array([0.0, 0.0, base + 0.08])
    aim = target * 0.8 + middle * 0.2 if near else target * 0.3 + middle * 0.7
    aim = aim + rng.normal(0, 0.03 * size, 3)
    azimuth = -np.pi / 2 + rng.normal(0, 0.75)
    rise = np.radians(rng.uniform(5, 50) if rng.random() < 0.94 else rng.uniform(60, 88))
    distance = max(0.3, extent * rng.uniform(1.2, 2.6)) if near else rng.uniform(0.9, 2.0) * max(size, 0.5)
    away = np.array([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
    origin = aim + distance * away
    if origin[2] < base + 0.04 or b.blocked(origin, 0.04):
        return None
    return Camera(origin, aim, float(rng.uniform(28, 58)))
