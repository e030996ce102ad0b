"""Devices: laptops, screens, keyboards, telephones, clocks, desk lamps and their cables."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.geometry import (
    arc_path,
    box,
    cylinder,
    lathe,
    panel,
    rotation,
    rounded_box,
    sheet,
    smooth_profile,
    superquadric,
    translation,
    tube,
    vessel_profile,
)


def dark_plastic(b: SceneBuilder) -> int:
    """Black or grey plastic of a device."""
    return b.material("plastic", color=tuple(np.full(3, b.choice([0.02, 0.03, 0.06, 0.35, 0.6]))), gloss=0.6, fresh=0.5)


def laptop(b: SceneBuilder) -> Prop:
    """A laptop, open."""
    prop, rng = Prop(), b.rng
    w, d, shell = rng.uniform(0.29, 0.37), rng.uniform(0.2, 0.25), dark_plastic(b)
    prop.add(box((w, d, 0.014), 0.003), shell)
    keys = b.material("plastic", color=(0.03, 0.03, 0.03), fresh=0.4)
    for row in range(5):
        for column in range(12):
            prop.add(
                box((w * 0.062, d * 0.085, 0.002)),
                keys,
                translation(w * 0.075 * (column - 5.5), d * (0.36 - 0.11 * row), 0.0139),
            )
    prop.add(box((w * 0.32, d * 0.25, 0.0008)), shell, translation(0, -d * 0.31, 0.0139))
    tilt = translation(0, d / 2, 0.013) @ rotation("x", -rng.uniform(8, 30))
    prop.add(box((w, 0.006, d), 0.002), shell, tilt)
    prop.add(
        panel(w * 0.94, d * 0.88),
        b.material("picture", gloss=1.0) if b.chance(0.5) else keys,
        tilt @ translation(0, -0.0036, d * 0.06),
    )
    return prop


def monitor(b: SceneBuilder) -> Prop:
    """A computer screen or television on its foot."""
    prop, rng = Prop(), b.rng
    w = rng.uniform(0.45, 0.75)
    h, shell = w * 0.58, dark_plastic(b)
    prop.add(box((w * 0.35, 0.18, 0.012), 0.003), shell)
    prop.add(box((0.04, 0.03, 0.16), 0.003), shell, translation(0, 0.04, 0.011))
    screen = translation(0, 0, 0.12) @ rotation("x", -rng.uniform(0, 8))
    prop.add(box((w, 0.035, h), 0.005), shell, screen)
    face = (
        b.material("picture", gloss=1.0) if b.chance(0.4) else b.material("plastic", color=(0.02, 0.02, 0.022), gloss=1.0)
    )
    prop.add(panel(w * 0.97, h * 0.94), face, screen @ translation(0, -0.0181, h * 0.03))
    return prop


def keyboard(b: SceneBuilder) -> Prop:
    """A keyboard with its keys."""
    prop, shell = Prop(), dark_plastic(b)
    prop.add(box((0.43, 0.14, 0.014), 0.004), shell)
    keys = dark_plastic(b)
    for row in range(5):
        for column in range(15):
            prop.add(
                box((0.0235, 0.0205, 0.007), 0.0015), keys, translation(0.0275 * (column - 7), 0.025 * (row - 2), 0.0138)
            )
    return prop


def mouse(b: SceneBuilder) -> Prop:
    """A computer mouse with a cable."""
    prop = Prop()
    shell = dark_plastic(b)
    prop.add(superquadric((0.06, 0.11, 0.036), 0.8, 0.8, 8), shell)
    bend = b.rng.uniform(-0.1, 0.1)
    prop.add(tube(arc_path((0, 0.05, 0.008), (bend, 0.13, 0.004), (-bend, 0.2, 0.004), 12), 0.0022, 6), shell)
    return prop.above_ground()


def phone(b: SceneBuilder) -> Prop:
    """A telephone, tablet or remote control that lies flat."""
    prop = Prop()
    w, d, h = b.choice([(0.072, 0.15, 0.008), (0.17, 0.24, 0.008), (0.045, 0.17, 0.018)])
    prop.add(box((w, d, h), 0.002), dark_plastic(b))
    if h < 0.01:
        prop.add(sheet(w * 0.94, d * 0.95, whole=True), b.material("picture", gloss=1.0), translation(z=h + 0.0003))
    else:
        keys = b.material("plastic", fresh=0.4)
        for k in range(8):
            prop.add(
                cylinder(0.006, 0.002, 0, 8),
                keys,
                translation(0.012 * (k % 2 * 2 - 1), -0.06 + 0.03 * (k // 2), h - 0.0002),
            )
    return prop


def clock(b: SceneBuilder) -> Prop:
    """A table clock or loudspeaker: a box with a round face."""
    prop, rng = Prop(), b.rng
    w, h = rng.uniform(0.08, 0.18), rng.uniform(0.09, 0.28)
    d = w * rng.uniform(0.5, 0.9)
    prop.add(rounded_box((w, d, h), 0.012), b.material(b.choice(["wood", "plastic", "any"])))
    radius = min(w, h) * 0.4
    face = translation(0, -d / 2 + 0.002, h * 0.52) @ rotation("x", 90)
    prop.add(cylinder(radius, 0.006, 0.002), dark_plastic(b), face)
    prop.add(cylinder(radius * 0.5, 0.012, 0.004), b.material("plastic", fresh=0.5), face)
    return prop


def cable(b: SceneBuilder) -> Prop:
    """A cable that lies in loops."""
    rng, prop = b.rng, Prop()
    t = np.linspace(0, 1, 40)
    phase, turns = rng.uniform(0, 6.3, 4), rng.uniform(0.6, 2.2)
    reach = rng.uniform(0.08, 0.3)
    angle = 2 * np.pi * turns * t + phase[0]
    radius = reach * (0.55 + 0.35 * np.sin(3 * t + phase[1]))
    height = 0.004 + 0.003 * (1 + np.sin(9 * t + phase[2]))
    prop.add(tube(np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1), 0.003, 6), dark_plastic(b))
    return prop.above_ground()


def desk_lamp(b: SceneBuilder) -> Prop:
    """An unlit jointed lamp: foot, two arms, a conical shade."""
    prop, rng = Prop(), b.rng
    skin = b.material("metal")
    prop.add(cylinder(0.08, 0.02, 0.004), skin)
    elbow, head = np.array([-0.1, 0, 0.26]), np.array([0.14, 0, rng.uniform(0.36, 0.44)])
    prop.add(tube(np.array([[0, 0, 0.018], elbow]), 0.006, 8), skin)
    prop.add(tube(np.array([elbow, head]), 0.006, 8), skin)
    prop.add(superquadric((0.025, 0.025, 0.025), 1, 1, 5), skin, translation(*(elbow - (0, 0, 0.0125))))
    cone = lathe(vessel_profile(smooth_profile([(0.02, 0), (0.03, 0.04), (0.075, 0.11)], 10), 0.002), 28)
    prop.add(cone, skin, translation(*head) @ rotation("y", 180 - rng.uniform(0, 35)) @ translation(z=-0.02))
    return prop
