"""Specimens: one thing before black, under one or two bare lamps, as data sets of single objects are photographed.

Nothing else sends light back, so attached shadows are black and all of the shading is the thing's own shape.
"""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Camera, LightGroup, Mesh, Scene
from intrinsic_flow.train.rendering.world import books, clutter, vessels
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.fabrics import crumpled, cushion
from intrinsic_flow.train.rendering.world.geometry import (
    Vector,
    lumpy_waves,
    rotation,
    sheet,
    superquadric,
    translation,
    tube,
)
from intrinsic_flow.train.rendering.world.lighting import WhiteBalance, bulb, glowing_panel

_SKINS = ("ceramic", "any", "paper", "fabric", "stone", "wood", "plastic", "label", "translucent")


def _skin(b: SceneBuilder, plain: float = 0.45) -> int:
    return b.material(b.choice(_SKINS), plain=plain, gloss=0.15, tile_scale=b.log_uniform(0.2, 0.7))


def creature(b: SceneBuilder) -> Prop:
    """A toy animal of a body, a head, legs, ears and a tail in a few paints."""
    prop, rng = Prop(), b.rng
    coat, belly, dark = _skin(b), _skin(b), b.material("any", plain=1.0, gloss=0.4)
    length, width, height = 0.16 * rng.uniform([0.7, 0.45, 0.45], [1.1, 0.8, 0.8])
    leg = height * rng.uniform(0.15, 0.8)

    def ball(size: Vector, lumps: float) -> Mesh:
        return superquadric(size, rng.uniform(0.8, 1.1), rng.uniform(0.8, 1.1), 16, lumpy_waves(rng, lumps))

    prop.add(ball((length, width, height), rng.uniform(0.02, 0.08)), coat, translation(z=leg))
    head = np.mean([width, height]) * rng.uniform(0.5, 0.9) * rng.uniform(0.85, 1.15, 3)
    front, top = length * rng.uniform(0.38, 0.6), leg + height * rng.uniform(0.35, 0.9)
    prop.add(ball(head, rng.uniform(0.02, 0.07)), coat if b.chance(0.6) else belly, translation(front, 0, top))
    snout = head * rng.uniform(0.3, 0.6, 3)
    prop.add(ball(snout, 0.03), belly, translation(front + 0.45 * head[0], 0, top + 0.2 * head[2]))
    for side in (-1, 1):
        eye = 0.09 * head[0]
        place = translation(front + 0.36 * head[0], side * 0.27 * head[1], top + 0.62 * head[2])
        prop.add(superquadric((eye, eye, eye), 1, 1, 6), dark, place)
        ear = superquadric(head * rng.uniform([0.1, 0.15, 0.25], [0.2, 0.35, 0.6]), 1, 1, 8)
        prop.add(ear, coat, translation(front, side * 0.32 * head[1], top + 0.8 * head[2]) @ rotation("x", -side * 20))
        for end in (-0.32, 0.3):
            foot, hip = (end * length, side * 0.3 * width), leg + 0.4 * height
            path = np.array([[*foot, 0.0], [*foot, hip]])
            prop.add(tube(path, 0.11 * width * rng.uniform(0.8, 1.4), 12), coat if b.chance(0.8) else belly)
    if b.chance(0.7):
        t = np.linspace(0, 1, 12)[:, None]
        bend = np.hstack([-t, 0.4 * rng.normal() * t**2, rng.uniform(-0.3, 0.8) * t**2])
        path = np.array([-0.45 * length, 0, leg + 0.6 * height]) + bend * length * rng.uniform(0.3, 0.9)
        path[:, 2] = np.maximum(path[:, 2], 0.012)
        prop.add(tube(path, 0.09 * width * (1.1 - 0.8 * t[:, 0]), 10), coat)
    return prop


def lump(b: SceneBuilder) -> Prop:
    """A potato-like or folded body in one skin, with a patch of another now and then."""
    prop, rng = Prop(), b.rng
    shape = 0.14 * rng.uniform([0.6, 0.5, 0.5], [1.1, 1.0, 1.0])
    waves = lumpy_waves(rng, b.log_uniform(0.03, 0.16), 12)
    prop.add(superquadric(shape, rng.uniform(0.5, 1.1), rng.uniform(0.5, 1.1), 26, waves), _skin(b))
    for _ in range(int(rng.integers(0, 3))):
        patch = superquadric(shape * rng.uniform(0.25, 0.5), 1, 1, 12, lumpy_waves(rng, 0.06))
        offset = rng.normal(size=3) * [1, 1, 0.5]
        offset *= 0.42 * shape / np.linalg.norm(offset)
        prop.add(patch, _skin(b, 0.7), translation(offset[0], offset[1], 0.3 * shape[2] + abs(offset[2])))
    return prop


def folded_sheet(b: SceneBuilder) -> Prop:
    """Crumpled paper or cloth that stands upright, printed or plain."""
    prop = Prop()
    width = b.rng.uniform(0.14, 0.22)
    mesh = crumpled(b.rng, width, width * b.rng.uniform(0.7, 1.2), width * b.rng.uniform(0.12, 0.4))
    skin = b.material(b.choice(["paper", "label", "fabric", "picture"]), plain=0.3, gloss=0.1, tile_scale=0.5)
    prop.add(mesh, skin, translation(z=0.5 * width) @ rotation("x", b.rng.uniform(55, 85)))
    return prop


def small_pillow(b: SceneBuilder) -> Prop:
    """A little bag that stands upright, with a label on it now and then."""
    prop, rng = Prop(), b.rng
    width = rng.uniform(0.09, 0.15)
    tilt = translation(z=0.4 * width) @ rotation("x", rng.uniform(60, 85))
    prop.add(cushion(rng, width, width * rng.uniform(0.8, 1.4), width * rng.uniform(0.15, 0.45), 28), _skin(b, 0.3), tilt)
    return prop


_KINDS = (
    (creature, 3.0),
    (lump, 2.2),
    (folded_sheet, 1.6),
    (small_pillow, 1.2),
    (clutter.figurine, 1.2),
    (clutter.toy_blocks, 0.6),
    (clutter.stone, 0.5),
    (clutter.library_model, 0.8),
    (vessels.soap, 0.4),
    (vessels.mug, 1.0),
    (vessels.bowl, 0.5),
    (vessels.loose_fruit, 0.8),
    (vessels.jar, 0.4),
    (vessels.bottle, 0.4),
    (vessels.vase, 0.6),
    (vessels.lidded_box, 0.5),
    (books.gift_box, 0.8),
    (books.book_stack, 0.4),
)


def specimen_scene(b: SceneBuilder) -> Scene:
    """One thing, on a dark cloth or on nothing."""
    rng = b.rng
    makers, weights = zip(*_KINDS)
    prop = b.choice(makers, weights)(b)
    prop.lights.clear()
    on_cloth = b.chance(0.4)
    b.place(prop, rotation("z", rng.uniform(0, 360)), hung=not on_cloth)
    low, high = prop.bounds()
    size = float(np.linalg.norm(high - low))
    center = b.focus[0][0]
    if on_cloth:
        level = b.log_uniform(0.003, 0.05)
        cloth = b.material("fabric", color=(level, level, level), gloss=0.0)
        b.add(sheet(12 * size, 12 * size), cloth, translation(z=-0.001), solid=False)
    white = WhiteBalance.draw(rng, 4200)
    for index in range(1 if b.chance(0.65) else 2):
        away = rng.normal((0, -0.9, 0.25), (1.0, 0.6, 0.8))
        away[2] = max(away[2], -0.1 if index else 0.02)
        away *= rng.uniform(2.0, 9.0) * size / np.linalg.norm(away)
        color = white.color(4200 * np.exp(rng.normal(0, 0.06)))
        power = float(away @ away) * (12.0 if index == 0 else b.log_uniform(0.8, 8.0))
        side = size * b.log_uniform(0.05, 0.6)
        group: LightGroup = "lamps" if index == 0 else "ceiling"
        if b.chance(0.5):
            b.lights.append(bulb(center + away, side / 2, power, color, group))
        else:
            b.lights.append(glowing_panel(center + away, -away / np.linalg.norm(away), side, side, power, color, group))
    scene = b.build("specimen", lambda draw: _propose(b, center, size, draw))
    scene.isolated = True
    return scene


def _propose(b: SceneBuilder, center: np.ndarray, size: float, rng: np.random.Generator) -> Camera | None:
    """From the front, so near that the thing fills most of the picture."""
    azimuth, rise = -np.pi / 2 + rng.normal(0, 0.45), np.radians(rng.uniform(0, 32))
    fov = float(rng.uniform(16, 34))
    distance = size * rng.uniform(0.8, 1.25) / (2 * np.tan(np.radians(fov) / 2))
    away = np.array([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
    aim = center + rng.normal(0, 0.04 * size, 3)
    origin = aim + distance * away
    return None if b.blocked(origin, 0.02) or origin[2] < 0.005 else Camera(origin, aim, fov)
