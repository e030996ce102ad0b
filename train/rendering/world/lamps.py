"""Lamps and their light: table and floor lamps with shades, pendants, globes, spots, ceiling panels.

Each maker takes the colour (3,) of its light, luminance 1, and a power (see `lighting.flux`).
"""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import LightGroup, Mesh
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.geometry import (
    arc_path,
    box,
    cylinder,
    lathe,
    rotation,
    smooth_profile,
    surface,
    translation,
    tube,
)
from intrinsic_flow.train.rendering.world.lighting import bulb, glowing_panel


def shade(low: float, high: float, height: float, pleats: int = 0) -> Mesh:
    """An open lamp shade from radius `low` at z = 0 to `high` at z = height, with vertical pleats."""
    thick = 0.002
    outside, inside = np.array([(low, 0), (high, height)]), np.array([(high - thick, height), (low - thick, 0)])
    if not pleats:
        return lathe(np.vstack([outside, inside, outside[:1]]), 36)
    angle = np.linspace(0, 2 * np.pi, 4 * pleats + 1)
    radius = np.array([low, high])[:, None] * (1 + 0.03 * np.sin(pleats * angle))
    z = np.broadcast_to(np.array([[0.0], [height]]), radius.shape)
    return surface(np.stack([radius * np.cos(angle), radius * np.sin(angle), z], -1))


def shaded_lamp(b: SceneBuilder, color: np.ndarray, power: float, height: float) -> Prop:
    """A table or floor lamp of `height` metres: foot, stem and a shade around a bulb that lights up and down."""
    prop, rng = Prop(), b.rng
    size = float(np.clip(height * 0.35, 0.12, 0.24)) * rng.uniform(0.8, 1.2)
    tall = size * rng.uniform(0.8, 1.5)
    skin = b.material(b.choice(["metal", "ceramic", "wood"]))
    stem_top = height - tall * 0.4
    if height < 0.9 and b.chance(0.6):
        r = size * rng.uniform(0.3, 0.5)
        knots = [(r * 0.7, 0), (r, stem_top * 0.35), (r * 0.5, stem_top * 0.8), (0.012, stem_top)]
        prop.add(lathe(np.vstack([[0, 0], smooth_profile(knots, 16), [0, stem_top]]), 30), skin)
    else:
        prop.add(cylinder(size * 0.6, 0.018, 0.004, 36), skin)
        prop.add(cylinder(0.009, stem_top - 0.016, 0, 12), skin, translation(z=0.016))
    made_of = b.choice(["fabric", "paper", "fabric", "metal"])
    cover = b.material(made_of, plain=0.7, thin=made_of != "metal")
    narrow = size * rng.uniform(0.5, 1.0)
    prop.add(shade(size, narrow, tall, b.choice([0, 0, 20])), cover, translation(z=height - tall))
    prop.lights.append(bulb((0, 0, height - tall * 0.5), min(0.035, narrow * 0.4), power, color))
    return prop


def globe_lamp(b: SceneBuilder, color: np.ndarray, power: float, height: float) -> Prop:
    """A lamp whose glowing globe stands free on a foot: light on everything around."""
    prop, radius = Prop(), b.rng.uniform(0.06, 0.14)
    skin = b.material(b.choice(["metal", "wood"]))
    prop.add(cylinder(radius * 0.8, 0.02, 0.004, 30), skin)
    prop.add(cylinder(0.01, max(height - 2 * radius, 0.05), 0, 12), skin, translation(z=0.018))
    prop.lights.append(bulb((0, 0, max(height - 2 * radius, 0.05) + 0.018 + radius), radius, power, color))
    return prop


def pendant(b: SceneBuilder, color: np.ndarray, power: float, drop: float, group: LightGroup) -> Prop:
    """A lamp that hangs `drop` metres below its origin (the ceiling): cable, shade or bare globe."""
    prop, rng = Prop(), b.rng
    dark = b.material("plastic", color=(0.03, 0.03, 0.03), fresh=0.3)
    prop.add(cylinder(0.05, 0.025, 0.004, 24), b.material("plastic", fresh=0.3), translation(z=-0.025))
    if b.chance(0.35):
        radius = rng.uniform(0.09, 0.2)
        prop.add(tube(np.array([[0, 0, -0.02], [0, 0, -drop + 2 * radius]]), 0.003, 6), dark)
        prop.lights.append(bulb((0, 0, -drop + radius), radius * 0.99, power, color, group))
        return prop
    size = rng.uniform(0.12, 0.28)
    tall = size * rng.uniform(0.5, 1.2)
    made_of = b.choice(["metal", "fabric", "paper", "ceramic"])
    skin = b.material(made_of, plain=0.8, thin=made_of in ("fabric", "paper"))
    prop.add(tube(np.array([[0, 0, -0.02], [0, 0, -drop + tall]]), 0.003, 6), dark)
    if b.chance(0.5):
        profile = smooth_profile([(size, 0), (size * 0.8, tall * 0.55), (0.03, tall)], 14)
        shell = np.vstack([profile, [0.001, tall], [0.001, tall - 0.003], profile[::-1] - (0.003, 0.002)])
        prop.add(lathe(shell[shell[:, 0] > 0], 36), skin, translation(z=-drop))
    else:
        prop.add(shade(size, size * rng.uniform(0.6, 1.0), tall), skin, translation(z=-drop))
    prop.lights.append(bulb((0, 0, -drop + tall * 0.4), min(0.05, size * 0.3), power, color, group))
    return prop


def ceiling_panel(b: SceneBuilder, color: np.ndarray, power: float, group: LightGroup) -> Prop:
    """A flat ceiling light below its origin: a housing with a glowing underside, square, long or round-ish."""
    prop = Prop()
    width, depth = b.choice([(0.6, 0.6), (0.3, 1.2), (1.2, 0.3), (0.4, 0.4), (0.16, 1.5)])
    prop.add(
        box((width + 0.03, depth + 0.03, 0.05), 0.004),
        b.material("metal", color=(0.7, 0.7, 0.7), fresh=0.2),
        translation(z=-0.05),
    )
    prop.lights.append(glowing_panel((0, 0, -0.052), (0, 0, -1), depth, width, power, color, group))
    # RectangleLight: width of a ceiling light runs along y.
    return prop


def spot_bar(b: SceneBuilder, color: np.ndarray, power: float, group: LightGroup) -> Prop:
    """Two to four spots on a rail below the origin, each turned another way."""
    prop, rng = Prop(), b.rng
    skin = b.material("metal", fresh=0.5)
    count = int(rng.integers(2, 5))
    prop.add(box((0.35 * count, 0.04, 0.03), 0.003), skin, translation(z=-0.03))
    for k in range(count):
        turn = (
            translation(0.35 * (k - (count - 1) / 2), 0, -0.1)
            @ rotation("z", rng.uniform(0, 360))
            @ rotation("y", 180 - rng.uniform(5, 50))
        )
        barrel = lathe(np.array([(0, 0), (0.03, 0), (0.04, 0.1), (0.037, 0.1), (0.028, 0.02), (0, 0.02)]), 20)
        prop.add(barrel, skin, turn @ translation(z=-0.05))
        prop.add(
            tube(np.array([[0.35 * (k - (count - 1) / 2), 0, -0.02], [0.35 * (k - (count - 1) / 2), 0, -0.1]]), 0.006, 7),
            skin,
        )
        light = glowing_panel((0, 0, 0), (0, 0, 1), 0.04, 0.04, power / count, color, group)
        center, normal = (turn @ [0, 0, 0.02, 1])[:3], turn[:3, 2]
        prop.lights.append(type(light)(center, normal, light.width, light.height, light.radiance, group))
    return prop


def arc_lamp(b: SceneBuilder, color: np.ndarray, power: float) -> Prop:
    """A floor lamp whose arm reaches out over a seat."""
    prop, rng = Prop(), b.rng
    metal = b.material("metal")
    reach, height = rng.uniform(0.5, 0.9), rng.uniform(1.5, 1.9)
    prop.add(cylinder(0.15, 0.03, 0.005, 32), metal)
    path = arc_path((0, 0, 0.025), (0, 0, height * 1.25), (reach, 0, height * 0.93), 18)
    prop.add(tube(path, 0.011, 9), metal)
    tip = path[-1]
    profile = smooth_profile([(0.14, 0), (0.11, 0.09), (0.02, 0.14)], 12)
    shell = np.vstack([profile, profile[::-1] - (0.003, 0.003)])
    prop.add(lathe(shell, 32), metal, translation(tip[0], 0, tip[2] - 0.14))
    prop.lights.append(bulb((tip[0], 0, tip[2] - 0.07), 0.035, power, color))
    return prop
