"""Things turned on a wheel or blown: mugs, bowls, plates, bottles, jars, vases, pots, baskets, candles."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Material, Mesh
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.geometry import (
    arc_path,
    cylinder,
    lathe,
    lumpy_waves,
    rotation,
    smooth_profile,
    superquadric,
    translation,
    tube,
    vessel_profile,
)


def vessel(outer: list[tuple[float, float]], thickness: float, segments: int = 28, samples: int = 10) -> Mesh:
    """A hollow vessel whose outside is a smooth curve through (radius, z) points from its foot to its rim."""
    return lathe(vessel_profile(smooth_profile(outer, samples), thickness), segments)


def _handle(radius: float, low: float, high: float, reach: float, thickness: float) -> Mesh:
    """A handle in the xz plane on the +x side of a vessel."""
    t = np.linspace(0, np.pi, 12)
    squash = np.sin(t) ** 0.7
    path = np.stack([radius - 0.003 + reach * squash, 0 * t, (low + high) / 2 - (high - low) / 2 * np.cos(t)], 1)
    return tube(path, thickness, 8)


def mug(b: SceneBuilder) -> Prop:
    """A cup or mug with a handle, sometimes on a saucer, sometimes with coffee."""
    prop, rng = Prop(), b.rng
    radius, height = rng.uniform(0.034, 0.048), rng.uniform(0.06, 0.11)
    clay = b.material("ceramic")
    belly = radius * rng.uniform(0.75, 1.1)
    body = vessel([(belly * 0.75, 0), (belly, height * 0.25), (radius, height * 0.7), (radius, height)], 0.004)
    base = 0.0
    if b.chance(0.3):
        prop.add(vessel([(radius * 0.8, 0), (radius * 1.3, 0.008), (radius * 1.8, 0.018)], 0.003, samples=8), clay)
        base = 0.0035
    turn = rotation("z", rng.uniform(0, 360))
    prop.add(body, clay, translation(z=base))
    prop.add(_handle(radius, height * 0.2, height * 0.85, radius * 0.75, 0.005), clay, translation(z=base) @ turn)
    if b.chance(0.5):
        drink = b.material("any", color=b.choice([(0.02, 0.012, 0.008), (0.12, 0.06, 0.03), (0.25, 0.1, 0.04)]), gloss=1.0)
        prop.add(cylinder(radius * 0.8, 0.002), drink, translation(z=base + height * 0.72))
    return prop


def bowl(b: SceneBuilder) -> Prop:
    """A bowl, most often full of fruit."""
    prop, rng = Prop(), b.rng
    radius = rng.uniform(0.07, 0.16)
    height = radius * rng.uniform(0.45, 0.75)
    outside = [(radius * 0.4, 0), (radius * 0.78, height * 0.35), (radius, height)]
    prop.add(vessel(outside, 0.006, 36), b.material(b.choice(["ceramic", "ceramic", "wood", "metal", "translucent"])))
    if b.chance(0.65):
        skin = fruit_skin(b)
        for layer, count in ((0.25, int(rng.integers(3, 6))), (0.6, int(rng.integers(2, 5)))):
            for k in range(count):
                size = radius * rng.uniform(0.42, 0.55)
                angle = 360 * k / count + rng.uniform(-15, 15)
                out = radius * (0.48 if count > 2 else 0.25)
                middle = max(height * layer, size * 0.6 + 0.008)
                place = rotation("z", angle) @ translation(out, 0, middle) @ rotation("x", rng.uniform(0, 360))
                prop.add(fruit(b, size), skin if b.chance(0.7) else fruit_skin(b), place @ translation(z=-size / 2))
    return prop


FRUIT = ((0.5, 0.04, 0.03), (0.35, 0.42, 0.06), (0.62, 0.3, 0.03), (0.65, 0.5, 0.05), (0.2, 0.03, 0.06), (0.45, 0.25, 0.08))


def fruit_skin(b: SceneBuilder) -> int:
    """A material for fruit of one kind."""
    base = np.array(b.choice(FRUIT)) * np.exp(b.rng.normal(0, 0.15))
    return b.material("any", color=tuple(np.clip(base, 0.02, 0.8)), gloss=0.6)


def fruit(b: SceneBuilder, size: float) -> Mesh:
    """An apple, orange, lemon or potato of about `size` metres."""
    shape = size * np.array(b.choice([(1, 1, 0.9), (1, 1, 1), (0.8, 0.8, 1.1), (0.8, 1.1, 0.75)]))
    return superquadric(shape, 1.0, 1.0, 8, lumpy_waves(b.rng, b.rng.uniform(0.01, 0.05)))


def loose_fruit(b: SceneBuilder) -> Prop:
    """One to three pieces of fruit or vegetable that lie on the table."""
    prop, skin = Prop(), fruit_skin(b)
    for k in range(int(b.rng.integers(1, 4))):
        size = b.rng.uniform(0.05, 0.09)
        prop.add(fruit(b, size), skin, rotation("z", b.rng.uniform(0, 360)) @ translation(0.1 * k - 0.05))
    return prop


def plate(b: SceneBuilder) -> Prop:
    """A plate, or a stack of them, sometimes with a bun or slices on it."""
    prop, rng = Prop(), b.rng
    radius, clay = rng.uniform(0.08, 0.15), b.material("ceramic")
    count = 1 if b.chance(0.7) else int(rng.integers(2, 7))
    outside = [(radius * 0.6, 0), (radius * 0.72, 0.006), (radius, 0.02)]
    for k in range(count):
        prop.add(vessel(outside, 0.004, 36, 8), clay, translation(z=0.008 * k))
    if count == 1 and b.chance(0.6):
        crust = b.material("any", color=tuple(np.array([0.45, 0.25, 0.1]) * rng.uniform(0.5, 1.3)))
        for k in range(int(rng.integers(1, 4))):
            size = radius * rng.uniform(0.4, 0.7)
            bun = superquadric((size, size * rng.uniform(0.7, 1), size * 0.55), 0.8, 1.0, 8, lumpy_waves(rng, 0.03))
            prop.add(bun, crust, rotation("z", 120 * k) @ translation(radius * 0.36, 0, 0.0035))
    return prop


def glass(b: SceneBuilder) -> Prop:
    """A tumbler, a goblet, a clear bottle or a jar of thin glass, clear or tinted, now and then with something in it."""
    prop, rng = Prop(), b.rng
    radius, height = rng.uniform(0.025, 0.05), rng.uniform(0.08, 0.26)
    tint = (0.97, 0.98, 0.97) if b.chance(0.55) else tuple(np.exp(-rng.uniform(0, 1.3, 3)).tolist())
    clear = b.add_material(Material(tint, clear=True, kind="glass"), "glass")
    if b.chance(0.3):
        foot = height * rng.uniform(0.3, 0.5)
        prop.add(cylinder(radius * 0.8, 0.004), clear)
        prop.add(cylinder(0.005, foot), clear, translation(z=0.004))
        outer = [(0.006, foot), (radius, foot + 0.45 * (height - foot)), (radius * rng.uniform(0.7, 1.1), height)]
    else:
        foot = 0.0
        neck = radius * rng.uniform(0.35, 1.15)
        outer = [(radius * 0.9, 0.0), (radius, 0.05 * height), (radius, 0.6 * height), (neck, height)]
    prop.add(lathe(np.vstack([[0, outer[0][1]], smooth_profile(outer, 18)]), 30), clear)
    if b.chance(0.4):
        level = foot + (height - foot) * rng.uniform(0.3, 0.7)
        inner = [
            (0.0, foot + 0.003),
            (radius * 0.82, max(foot + 0.4 * (level - foot), foot + 0.004)),
            (radius * 0.9, level),
        ]
        drink = b.material("plastic", plain=1.0, gloss=1.0)
        prop.add(lathe(np.vstack([inner, [0.0, level]])), drink)
    return prop


def bottle(b: SceneBuilder) -> Prop:
    """A bottle, can or carton-like flask with a cap and often a label."""
    prop, rng = Prop(), b.rng
    radius, height = rng.uniform(0.025, 0.045), rng.uniform(0.15, 0.32)
    neck = radius * rng.uniform(0.3, 0.6)
    shoulder = rng.uniform(0.5, 0.75)
    profile = smooth_profile(
        [
            (radius, 0.004),
            (radius, height * shoulder * 0.6),
            (radius, height * shoulder),
            (neck, height * 0.9),
            (neck, height),
        ],
        20,
    )
    glass = b.choice([(0.02, 0.06, 0.025), (0.1, 0.04, 0.015), (0.03, 0.04, 0.05), None, None])
    body = b.material("plastic", color=glass, gloss=1.0 if glass else 0.7)
    prop.add(lathe(np.vstack([[0, 0], [radius * 0.9, 0], profile, [0, height]])), body)
    cap = cylinder(neck * 1.15, height * 0.09, 0.002, 20)
    prop.add(cap, b.material("plastic", fresh=0.5), translation(z=height * 0.95))
    if b.chance(0.75):
        low, high = height * shoulder * rng.uniform(0.1, 0.3), height * shoulder * rng.uniform(0.7, 0.95)
        band = lathe(np.array([(radius + 0.0006, low), (radius + 0.0006, high)]), 30, whole=True)
        prop.add(band, b.material("label"))
    return prop


def jar(b: SceneBuilder) -> Prop:
    """A tin or jar with a lid and a label around it."""
    prop, rng = Prop(), b.rng
    radius, height = rng.uniform(0.03, 0.06), rng.uniform(0.07, 0.18)
    prop.add(cylinder(radius, height, 0.004, 32), b.material(b.choice(["metal", "plastic", "ceramic"])))
    if b.chance(0.75):
        band = lathe(np.array([(radius + 0.0006, height * 0.12), (radius + 0.0006, height * 0.86)]), 32, whole=True)
        prop.add(band, b.material("label"))
    if b.chance(0.6):
        prop.add(
            cylinder(radius * 1.05, height * 0.12, 0.002, 32),
            b.material(b.choice(["metal", "wood", "plastic"])),
            translation(z=height),
        )
    return prop


def vase(b: SceneBuilder, size: float | None = None) -> Prop:
    """A vase of free profile, closed below, open above."""
    rng, prop = b.rng, Prop()
    height = rng.uniform(0.12, 0.35) if size is None else size
    foot = height * rng.uniform(0.14, 0.3)
    knots = [(foot, 0.0)]
    for k in (0.3, 0.6, 0.85):
        knots.append((height * rng.uniform(0.12, 0.38) * (1 if k < 0.8 else 0.7), height * k))
    knots.append((knots[-1][0] * rng.uniform(0.8, 1.4), height))
    prop.add(
        vessel(knots, 0.005, 32, 20), b.material(b.choice(["ceramic", "ceramic", "stone", "metal", "wood", "translucent"]))
    )
    return prop


def cooking_pot(b: SceneBuilder) -> Prop:
    """A pot with two handles, or a pan with a long one, with or without a lid."""
    prop, rng = Prop(), b.rng
    radius, steel = rng.uniform(0.08, 0.14), b.material("metal", fresh=0.6)
    grip = b.material("plastic", color=(0.03, 0.03, 0.03), fresh=0.5)
    if b.chance(0.4):
        height = rng.uniform(0.04, 0.06)
        handle = tube(
            arc_path((radius, 0, height * 0.8), (radius * 1.5, 0, height), (radius * 2.6, 0, height * 1.5)), 0.009, 8
        )
        prop.add(handle, grip)
    else:
        height = radius * rng.uniform(0.8, 1.3)
        for side in (0, 180):
            t = np.linspace(0, np.pi, 9)
            path = np.stack([radius + 0.03 * np.sin(t), -0.04 * np.cos(t), np.full(9, height * 0.8)], 1)
            prop.add(tube(path, 0.005, 7), grip if b.chance(0.5) else steel, rotation("z", side))
    prop.add(vessel([(radius * 0.93, 0), (radius, height * 0.15), (radius, height)], 0.003, 36, 10), steel)
    if b.chance(0.5):
        lid = smooth_profile([(radius * 1.01, 0), (radius * 0.7, 0.018), (0, 0.028)], 10)
        prop.add(lathe(np.vstack([[0, 0], lid]), 36), steel, translation(z=height + 0.0015))
        prop.add(superquadric((0.03, 0.03, 0.025), 0.8, 1, 6), grip, translation(z=height + 0.028))
    return prop


def kettle(b: SceneBuilder) -> Prop:
    """A kettle or teapot: round body, lid, spout and handle."""
    prop, rng = Prop(), b.rng
    radius = rng.uniform(0.06, 0.1)
    height = radius * rng.uniform(1.2, 2.0)
    shell = b.material(b.choice(["ceramic", "metal", "metal"]))
    body = smooth_profile(
        [
            (radius * 0.85, 0),
            (radius, height * 0.3),
            (radius * 0.75, height * 0.85),
            (radius * 0.4, height),
            (0, height * 1.02),
        ],
        18,
    )
    prop.add(lathe(np.vstack([[0, 0], body]), 36), shell)
    prop.add(superquadric((0.03, 0.03, 0.03), 0.9, 1, 6), b.material("plastic", fresh=0.5), translation(z=height))
    spout = arc_path((radius * 0.8, 0, height * 0.35), (radius * 1.3, 0, height * 0.4), (radius * 1.45, 0, height * 0.9))
    prop.add(tube(spout, np.linspace(0.2, 0.09, 10) * radius, 10), shell)
    prop.add(_handle(radius * 0.85, height * 0.2, height * 0.85, radius * 0.6, 0.008), shell, rotation("z", 180))
    return prop


def basket(b: SceneBuilder) -> Prop:
    """A basket or bucket, empty or with cloth in it."""
    prop, rng = Prop(), b.rng
    radius = rng.uniform(0.12, 0.24)
    height = radius * rng.uniform(0.9, 1.7)
    wall = [(radius * 0.8, 0), (radius * rng.uniform(0.9, 1.1), height * 0.5), (radius, height)]
    prop.add(vessel(wall, 0.01, 36, 12), b.material(b.choice(["fabric", "wood", "plastic", "metal"]), plain=0.3))
    if b.chance(0.6):
        filling = superquadric((radius * 1.6, radius * 1.6, height * 0.5), 0.8, 0.9, 12, lumpy_waves(rng, 0.08))
        prop.add(filling, b.material("fabric"), translation(z=height * 0.55))
    return prop


def candles(b: SceneBuilder) -> Prop:
    """One to three candles, thick ones free, thin ones in holders."""
    prop, rng = Prop(), b.rng
    wax = b.material("translucent", plain=1.0)
    holder = b.material(b.choice(["metal", "wood", "ceramic"]))
    for k in range(int(rng.integers(1, 4))):
        place = translation(0.09 * k)
        if b.chance(0.5):
            prop.add(cylinder(rng.uniform(0.025, 0.04), rng.uniform(0.06, 0.16), 0.004, 24), wax, place)
        else:
            stem = rng.uniform(0.04, 0.18)
            profile = smooth_profile([(0.04, 0.004), (0.012, 0.02), (0.01, stem * 0.8), (0.02, stem)], 14)
            prop.add(lathe(np.vstack([[0, 0], [0.04, 0], profile, [0, stem]]), 24), holder, place)
            prop.add(cylinder(0.011, rng.uniform(0.12, 0.22), 0.002, 16, 0.009), wax, place @ translation(z=stem))
    return prop


def soap(b: SceneBuilder) -> Prop:
    """A bar of soap, a block of wax or a polished piece of jade or alabaster."""
    prop, rng = Prop(), b.rng
    size = rng.uniform([0.07, 0.05, 0.025], [0.1, 0.065, 0.05])
    prop.add(superquadric(size, rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.8), 16), b.material("translucent"))
    return prop


def lidded_box(b: SceneBuilder) -> Prop:
    """A round or square tin."""
    prop, rng = Prop(), b.rng
    size = rng.uniform(0.06, 0.16, 3) * (1, 1, 0.6)
    skin = b.material(b.choice(["metal", "wood", "any", "plastic"]))
    prop.add(superquadric(size, 0.15, b.choice([0.2, 0.4, 1.0]), 12), skin)
    return prop
