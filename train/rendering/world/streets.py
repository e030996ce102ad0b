"""Outdoor scenes: streets, courtyards, gardens, walls in the sun, parks, in hard and soft daylight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from intrinsic_flow.train.rendering.scene import Camera, Mesh, Scene
from intrinsic_flow.train.rendering.world import books, buildings, clutter, furniture, vessels
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.foliage import conifer, grass, leaf_cloud, terrain, tree
from intrinsic_flow.train.rendering.world.geometry import (
    block,
    box,
    cylinder,
    lumpy_waves,
    panel,
    polygons,
    prism,
    rotation,
    rounded_box,
    superquadric,
    translation,
    tube,
)
from intrinsic_flow.train.rendering.world.layout import Footprint, Layout
from intrinsic_flow.train.rendering.world.lighting import outdoor_light
from intrinsic_flow.train.rendering.world.real import photographer, stand_people


class Place:
    """An outdoor place under construction. ground: who stands where; stage: (x0, x1, y0, y1) where cameras may stand."""

    def __init__(self, b: SceneBuilder) -> None:
        self.b = b
        self.ground = Layout()
        self.stage = (-6.0, 6.0, -6.0, 4.0)
        self.aims: list[np.ndarray] = []

    def keep_free(self, x0: float, x1: float, y0: float, y1: float) -> None:
        """Nothing may stand here (a house does)."""
        half = np.array([x1 - x0, y1 - y0]) / 2
        self.ground.taken.append(Footprint(np.array([x0 + x1, y0 + y1]) / 2, half, 0.0, 0.0, 20.0))

    def stand(self, prop: Prop, x: float, y: float, yaw: float, z: float = 0.0, focus: bool = True) -> np.ndarray | None:
        """Put a prop somewhere if nothing is there; its frame."""
        if self.b.full:
            return None
        frame = translation(x, y, z) @ rotation("z", yaw)
        if not self.ground.claim(Footprint.of(*prop.bounds(), frame, 0.02)):
            return None
        self.b.place(prop, frame, focus=focus)
        return frame

    def scatter(
        self, make: Callable[[SceneBuilder], Prop], count: int, area: tuple[float, float, float, float], z: float = 0.0
    ) -> None:
        """Things anywhere in (x0, x1, y0, y1)."""
        for _ in range(count):
            x, y = self.b.rng.uniform(area[0], area[1]), self.b.rng.uniform(area[2], area[3])
            self.stand(make(self.b), x, y, self.b.rng.uniform(0, 360), z)


def tree_prop(b: SceneBuilder, height: float, leaf: int, bark: int, count: int = 3400) -> Prop:
    """A tree as a prop whose footprint is that of its trunk's foot: crowns may overlap."""
    prop = Prop()
    wood: list[Mesh]
    leaves: Mesh | None
    if b.chance(0.2):
        wood, leaves = conifer(b.rng, height, count + 1000)
        if b.chance(0.8):  # needles stay dark green while other leaves turn
            shade = b.rng.uniform(0.6, 1.5)
            leaf = b.material("leaf", color=(0.035 * shade, 0.06 * shade, 0.028 * shade), fresh=0.3)
    else:
        wood, leaves = tree(b.rng, height, count, height * b.rng.uniform(0.03, 0.05), bare=b.chance(0.08))
    for part in wood:
        prop.add(part, bark)
    if leaves is not None:
        prop.add(leaves, leaf)
    return prop


def plant_tree(place: Place, x: float, y: float, height: float, leaf: int, bark: int, count: int = 3400) -> None:
    """A tree whose trunk has room."""
    b = place.b
    trunk = np.array([0.25, 0.25])
    if b.full or not place.ground.claim(Footprint(np.array([x, y]), trunk, 0.0, 0.0, 2.0)):
        return
    b.place(
        tree_prop(b, height, leaf, bark, count),
        translation(x, y) @ rotation("z", b.rng.uniform(0, 360)),
        focus=b.chance(0.4),
    )


def bush(b: SceneBuilder, size: np.ndarray, leaf: int, density: float = 1.0) -> Prop:
    """A bush or a length of hedge of (x, y, z) metres: leaves in clumps about a core in shade."""
    prop, rng = Prop(), b.rng
    core = superquadric(size * (0.42, 0.42, 0.6), 0.8, 0.8, 7, lumpy_waves(rng, 0.15))
    prop.add(core, b.material("leaf", color=(0.025, 0.035, 0.015), fresh=0.05))
    surface = size[0] * size[1] + size[2] * (size[0] + size[1])
    small = rng.uniform(0.05, 0.09) * float(np.clip(size.mean(), 0.5, 1.3))
    count = int(np.clip(density * 2.4 * surface / (small * small * 0.35), 300, 2600))
    clumps = 3 if size[0] < 1.4 else 5
    for _ in range(clumps):
        part = size * rng.uniform(0.6, 0.85, 3)
        spot = rng.uniform(-0.5, 0.5, 3) * (size - part)
        prop.add(leaf_cloud(rng, count // clumps, part, small), leaf, translation(*spot) @ translation(z=size[2] * 0.5))
    return prop.above_ground()


def bin_prop(b: SceneBuilder) -> Prop:
    """A wheeled bin or a round one."""
    prop, rng = Prop(), b.rng
    skin = b.material("plastic", gloss=0.5)
    if b.chance(0.5):
        prop.add(rounded_box((0.55, 0.6, 0.9), 0.05), skin, translation(z=0.05))
        prop.add(box((0.6, 0.68, 0.06), 0.02), skin, translation(0, -0.02, 0.955) @ rotation("x", -4))
        for side in (-1, 1):
            prop.add(
                cylinder(0.1, 0.05, 0.01, 20),
                b.material("plastic", color=(0.02, 0.02, 0.02)),
                translation(side * 0.3, 0.27, 0.1) @ rotation("y", 90) @ translation(z=-0.025),
            )
    else:
        r = rng.uniform(0.2, 0.28)
        prop.add(vessels.vessel([(r * 0.85, 0), (r * 0.95, 0.4), (r, 0.8)], 0.01, 32, 6), b.material("metal"))
    return prop.above_ground()


def pole(b: SceneBuilder, height: float) -> Prop:
    """A lamp post, or a traffic or street sign on its pole."""
    prop = Prop()
    iron = b.material("metal", fresh=0.5)
    prop.add(cylinder(0.09, 0.12, 0.01, 18), iron)
    prop.add(cylinder(0.04, height, 0.003, 14), iron)
    if b.chance(0.5):
        label = b.material("label", gloss=0.5)
        w, h = b.choice([(0.6, 0.6), (0.9, 0.3), (0.4, 0.6)])
        face = translation(0, -0.045, height - h - 0.05)
        prop.add(box((w, 0.01, h), 0.002), b.plain_like(label), face)
        prop.add(panel(w * 0.98, h * 0.98), label, face @ translation(0, -0.0055, h * 0.01))
    else:
        prop.add(tube(np.array([[0, 0, height - 0.02], [0, -0.3, height + 0.15], [0, -0.8, height + 0.2]]), 0.03, 9), iron)
        prop.add(rounded_box((0.2, 0.5, 0.1), 0.04), b.material("plastic", fresh=0.5), translation(0, -0.95, height + 0.14))
    return prop


def bollard(b: SceneBuilder) -> Prop:
    """A post of stone or iron, or a concrete block."""
    prop = Prop()
    if b.chance(0.7):
        prop.add(
            cylinder(b.rng.uniform(0.06, 0.14), b.rng.uniform(0.6, 1.0), 0.015, 20),
            b.material(b.choice(["metal", "stone"]), fresh=0.3),
        )
    else:
        prop.add(box(b.rng.uniform([0.4, 0.3, 0.3], [1.2, 0.6, 0.6]), 0.02), b.material("stone"))
    return prop


def planter(b: SceneBuilder) -> Prop:
    """A trough or tub with a bush."""
    prop, rng = Prop(), b.rng
    w, d, h = rng.uniform([0.4, 0.35, 0.3], [1.4, 0.5, 0.6])
    prop.add(box((w, d, h), 0.012), b.material(b.choice(["stone", "wood", "metal"])))
    prop.add(
        box((w - 0.08, d - 0.08, 0.02)),
        b.material("ground", color=(0.05, 0.035, 0.02), fresh=0.1),
        translation(z=h - 0.012),
    )
    size = np.array([w * 0.95, d * 1.1, rng.uniform(0.3, 0.8)])
    prop.include(bush(b, size, b.material("leaf", fresh=0.5)), translation(z=h - 0.02))
    if b.chance(0.4):
        prop.add(leaf_cloud(rng, 80, size, 0.05), b.material("any", plain=1.0), translation(z=h + size[2] * 0.45))
    return prop


def car(b: SceneBuilder) -> Prop:
    """A parked car or van that looks to +x: body, cabin with windows all around, wheels, bumpers, lights, mirrors."""
    prop, rng = Prop(), b.rng
    length, width = rng.uniform(3.7, 4.6), rng.uniform(1.65, 1.82)
    van = b.chance(0.25)
    paint = b.material("plastic", plain=1.0, gloss=1.0)
    glass = b.material("plastic", color=(0.02, 0.022, 0.026), gloss=1.0)
    dark = b.material("plastic", color=(0.025, 0.025, 0.025), gloss=0.2)
    belt, roof = rng.uniform(0.86, 0.95), rng.uniform(1.75, 2.0) if van else rng.uniform(1.38, 1.5)
    prop.add(rounded_box((length, width, belt - 0.24), 0.16, 4, 0.025), paint, translation(z=0.24))
    # The cabin's side: feet of the screens at the belt, then the roof, in fractions of the length.
    feet, top = ((-0.5, 0.34), (-0.49, 0.2)) if van else ((-0.42, 0.2), (-0.28, 0.04))
    outline = np.array([[feet[0], belt - 0.05], [feet[1], belt - 0.05], [top[1], roof], [top[0], roof]]) * (length, 1)
    across = translation(0, width * 0.43) @ rotation("x", 90)
    prop.add(prism(outline, width * 0.86), paint, across)
    middle = outline.mean(0)
    pane = middle + (outline - middle) * (0.9, 0.74) + (0, 0.01)
    prop.add(prism(pane, width * 0.86 + 0.012), glass, translation(0, width * 0.43 + 0.006) @ rotation("x", 90))
    shrunk = [[0.06, 0.1], [0.94, 0.1], [0.94, 0.86], [0.06, 0.86]]
    for low, high in ((outline[1], outline[2]), (outline[3], outline[0])):
        out = np.array([high[1] - low[1], 0, -(high[0] - low[0])]) / np.linalg.norm(high - low)
        corners = []
        for s, t in shrunk:
            along = low + t * (high - low) if low[1] < high[1] else high + t * (low - high)
            corners.append(np.array([along[0], (s - 0.5) * width * 0.86, along[1]]) + 0.004 * out)
        prop.add(polygons([np.array(corners if low[1] < high[1] else corners[::-1])]), glass)
    for x in (-0.31, 0.31):
        for side in (-1, 1):
            wheel = translation(x * length, side * (width / 2 - 0.09), 0.31) @ rotation("x", 90)
            prop.add(cylinder(0.31, 0.2, 0.03, 28), dark, wheel @ translation(z=-0.1))
            prop.add(cylinder(0.19, 0.21, 0.02, 20), b.material("metal", fresh=0.2), wheel @ translation(z=-0.105))
    for x in (-1, 1):
        prop.add(rounded_box((0.12, width * 0.94, 0.2), 0.05, 2), dark, translation(x * (length / 2 - 0.02), 0, 0.3))
        for side in (-1, 1):
            lamp = b.material("plastic", color=(0.7, 0.7, 0.68) if x > 0 else (0.4, 0.03, 0.02), gloss=1.0, fresh=0.1)
            spot = translation(x * (length / 2 - 0.06), side * width * 0.36, belt - 0.3)
            prop.add(superquadric((0.14, 0.32, 0.15), 0.5, 0.5, 6), lamp, spot)
    for side in (-1, 1):
        prop.add(
            rounded_box((0.1, 0.16, 0.1), 0.03, 2),
            paint,
            translation(length * 0.16, side * (width * 0.43 + 0.1), belt + 0.02),
        )
    return prop


STREET_THINGS: tuple[tuple[Callable[[SceneBuilder], Prop], float], ...] = (
    (bin_prop, 1.2),
    (bollard, 1.4),
    (planter, 1.6),
    (lambda b: furniture.bench(b, b.rng.uniform(1.2, 2.0)), 1.2),
    (books.carton, 1.0),
    (lambda b: clutter.potted_plant(b, b.rng.uniform(0.5, 1.6)), 1.4),
    (lambda b: pole(b, b.rng.uniform(2.2, 4.5)), 1.2),
    (furniture.chair, 0.6),
    (lambda b: furniture.table(b, 0.75, 0.7, 0.73), 0.6),
    (vessels.basket, 0.6),
    (clutter.bag, 0.4),
    (lambda b: clutter.library_model(b, b.rng.uniform(0.3, 1.2)), 1.2),
    (lambda b: clutter.stone(b, b.rng.uniform(0.2, 0.7)), 0.8),
)


def _any_thing(b: SceneBuilder) -> Prop:
    makers, weights = zip(*STREET_THINGS)
    return b.choice(makers, weights)(b)


def _row(place: Place, y: float, facing: float, length: float, storeys: tuple[int, int], shops: float) -> None:
    """Houses side by side along x, their fronts at y; facing: -1 they look to -y, 1 to +y."""
    b, rng = place.b, place.b.rng
    x = -length / 2
    while x < length / 2 and not b.full:
        width, depth = rng.uniform(4.5, 10.0), rng.uniform(5.0, 8.0)
        style = buildings.draw_style(b)
        step = rng.uniform(-0.4, 0.4)
        frame = translation(x + width / 2, y + step) @ rotation("z", 0 if facing < 0 else 180)
        buildings.house(b, frame, width, depth, int(rng.integers(storeys[0], storeys[1] + 1)), style, b.chance(shops))
        front = y + step
        low, high = (front, front + depth) if facing < 0 else (front - depth, front)
        place.keep_free(x, x + width, low - 0.1, high)
        x += width + (0.0 if b.chance(0.7) else rng.uniform(0.8, 3.0))


def _street(place: Place) -> None:
    """A road between two rows of houses, or one row and open ground."""
    b, rng = place.b, place.b.rng
    half = rng.uniform(2.2, 4.0)
    walk = rng.uniform(1.5, 3.2)
    b.add(block((-45, -45, -0.4), (45, 45, -0.1)), b.material("ground", plain=0.0))
    buildings.paving(b, -40, 40, -half, half, 0.0)
    kerb = rng.uniform(0.06, 0.14)
    stone = b.material("stone")
    pave = b.material(b.choice(["road", "floor", "stone"]), plain=0.0)
    for side in (-1, 1):
        low, high = sorted((side * half, side * (half + 0.14)))
        b.add(block((-40, low, -0.1), (40, high, kerb)), stone)
        low, high = sorted((side * (half + 0.14), side * (half + walk + 0.3)))
        b.add(block((-40, low, -0.1), (40, high, kerb - 0.004)), pave)
    front = half + walk
    _row(place, front, -1, rng.uniform(20, 34), (1, 4), 0.3)
    if b.chance(0.6):
        _row(place, -front, 1, rng.uniform(14, 28), (1, 4), 0.2)
    leaf, bark = b.material("leaf"), b.material("bark")
    for x in np.arange(-14, 14, rng.uniform(4, 9)):
        if b.chance(0.5):
            plant_tree(place, x + rng.normal(0, 0.5), half + 0.7, rng.uniform(3.5, 7), leaf, bark, 3000)
    for x in np.arange(-14, 14, 5.2):
        if b.chance(0.35):
            place.stand(
                car(b),
                x + rng.uniform(-0.3, 0.3),
                b.choice([-1, 1]) * (half - 1.05),
                b.choice([0, 180]) + rng.normal(0, 1.5),
            )
    for _ in range(int(rng.integers(6, 18))):
        side = b.choice([-1, 1, 1])
        y = side * (half + rng.uniform(0.4, walk - 0.35))
        place.stand(_any_thing(b), rng.uniform(-9, 9), y, (0 if side > 0 else 180) + rng.normal(0, 12), kerb - 0.004)
    place.stage = (-9, 9, -half - walk * 0.5, half)
    place.aims = [np.array([x, front, z]) for x in (-6, -2, 2, 6) for z in (1.5, 3.0)]


def _courtyard(place: Place) -> None:
    """Paving between house walls on two to four sides."""
    b, rng = place.b, place.b.rng
    w, d = rng.uniform(6, 13), rng.uniform(6, 13)
    b.add(block((-40, -40, -0.2), (40, 40, 0)), b.material(b.choice(["road", "floor", "ground", "stone"]), plain=0.0))
    style = buildings.draw_style(b)
    for k in range(int(rng.integers(2, 5))):
        distance, length = (d / 2, w) if k % 2 == 0 else (w / 2, d)
        frame = rotation("z", -90 * k) @ translation(0, distance)
        storeys, deep = int(rng.integers(1, 4)), rng.uniform(4, 6)
        buildings.house(b, frame, length, deep, storeys, style if b.chance(0.5) else buildings.draw_style(b))
        corner = (frame @ np.array([[-length / 2, 0, 0, 1], [length / 2, deep, 0, 1]]).T)[:2].T
        low, high = corner.min(0), corner.max(0)
        place.keep_free(low[0], high[0], low[1], high[1])
    _dress_yard(place, (-w / 2, w / 2, -d / 2, d / 2))
    place.stage = (-w * 0.42, w * 0.42, -d * 0.42, d * 0.42)
    place.aims = [np.array([0, d / 2, 1.5]), np.array([w / 2, 0, 1.5]), np.array([0.0, 0, 0.5])]


def _dress_yard(place: Place, area: tuple[float, float, float, float]) -> None:
    """Things along the edges and in the middle of a yard."""
    b, rng = place.b, place.b.rng
    leaf, bark = b.material("leaf"), b.material("bark")
    if b.chance(0.6):
        plant_tree(
            place, rng.uniform(*area[:2]) * 0.6, rng.uniform(*area[2:]) * 0.6, rng.uniform(2.5, 5.5), leaf, bark, 2600
        )
    for _ in range(int(rng.integers(7, 18))):
        prop = _any_thing(b)
        if b.chance(0.6):
            side, t = int(rng.integers(4)), rng.uniform(0.05, 0.95)
            inset = 0.5
            x = (area[0] + t * (area[1] - area[0]), area[1] - inset, area[0] + t * (area[1] - area[0]), area[0] + inset)[
                side
            ]
            y = (area[3] - inset, area[2] + t * (area[3] - area[2]), area[2] + inset, area[2] + t * (area[3] - area[2]))[
                side
            ]
            place.stand(prop, x, y, -90 * side + rng.normal(0, 10))
        else:
            place.stand(prop, rng.uniform(*area[:2]), rng.uniform(*area[2:]), rng.uniform(0, 360))


def _garden(place: Place) -> None:
    """A lawn behind a house, with beds, hedges, a path, a terrace with chairs, trees."""
    b, rng = place.b, place.b.rng
    b.add(block((-40, -40, -0.3), (40, 40, 0)), b.material("ground", plain=0.0))
    leaf, bark = b.material("leaf"), b.material("bark")
    blade = b.material("leaf")
    for _ in range(2):
        if b.full:
            break
        patch = grass(rng, 7000, 8, 6, rng.uniform(0.07, 0.16))
        b.add(patch, blade, translation(rng.uniform(-2, 2), rng.uniform(-3, 1)))
    if b.chance(0.65):
        y = rng.uniform(5, 8)
        style, width = buildings.draw_style(b), rng.uniform(7, 12)
        buildings.house(b, translation(0, y), width, 6, int(rng.integers(1, 3)), style)
        place.keep_free(-width / 2, width / 2, y - 0.1, y + 6)
        deep = rng.uniform(2, 3.5)
        b.add(
            block((-width / 2, y - deep, -0.1), (width / 2, y, 0.05)), b.material(b.choice(["stone", "floor"]), plain=0.0)
        )
        table = furniture.table(b, rng.uniform(0.8, 1.6), 0.8, 0.73)
        frame = place.stand(table, rng.uniform(-0.3, 0.3) * width, y - deep * 0.5, rng.normal(0, 15), 0.05)
        if frame is not None:
            for support in table.supports:
                clutter.scatter(b, support, frame, clutter.TABLE, 6)
            seat = furniture.chair(b)
            for side in (-1, 1):
                spot = (frame @ [rng.normal(0, 0.2), side * 0.75, 0, 1])[:2]
                place.stand(
                    seat,
                    spot[0],
                    spot[1],
                    np.degrees(np.arctan2(frame[1, 0], frame[0, 0])) + (0 if side > 0 else 180) + rng.normal(0, 15),
                    0.05,
                )
    edge = b.choice(["hedge", "fence", "wall"])
    for side, x in ((-1, -7.0), (1, 7.0), (0, 0.0)):
        frame = translation(x, -1) @ rotation("z", 90) if side else translation(0, 9.0)
        if edge == "fence":
            buildings.fence(b, frame, 14, rng.uniform(0.9, 1.8))
        elif edge == "wall":
            buildings.garden_wall(b, frame, 14, rng.uniform(0.8, 2.0))
        else:
            for k in range(7):
                if b.full:
                    break
                hedge = bush(b, np.array([2.2, 1.0, rng.uniform(1.2, 1.7)]), leaf, 0.6)
                b.place(hedge, frame @ translation(2 * (k - 3)), focus=False)
    for k in range(int(rng.integers(5, 9))):
        step = box(rng.uniform([0.4, 0.3, 0.05], [0.6, 0.45, 0.06]), 0.01)
        b.add(
            step,
            b.material("stone", fresh=0.2),
            translation(rng.normal(0, 0.1), -4 + 0.75 * k, -0.02) @ rotation("z", rng.normal(0, 12)),
        )
    for _ in range(int(rng.integers(2, 5))):
        plant_tree(
            place,
            rng.uniform(-6, 6),
            rng.uniform(-4, 5),
            rng.uniform(2.5, 6),
            leaf if b.chance(0.6) else b.material("leaf"),
            bark,
            2200,
        )
    for _ in range(int(rng.integers(2, 7))):
        size = rng.uniform(0.4, 1.1, 3)
        place.stand(
            bush(b, size, b.material("leaf", fresh=0.5)), rng.uniform(-6, 6), rng.uniform(-3, 4), rng.uniform(0, 360)
        )
    for _ in range(int(rng.integers(3, 9))):
        place.stand(_any_thing(b), rng.uniform(-5, 5), rng.uniform(-4, 4), rng.uniform(0, 360))
    place.stage = (-6, 6, -6, 3)
    place.aims = [np.array([0, 4, 1.0]), np.array([-4, 2, 0.6]), np.array([4, 2, 0.6])]


def _wall_in_sun(place: Place) -> None:
    """One facade close up, with things before it and on it."""
    b, rng = place.b, place.b.rng
    b.add(block((-40, -40, -0.2), (40, 40, 0)), b.material(b.choice(["road", "stone", "floor"]), plain=0.0))
    style = buildings.draw_style(b)
    buildings.house(b, np.eye(4), rng.uniform(9, 13), 5, int(rng.integers(1, 4)), style, b.chance(0.25))
    place.keep_free(-7, 7, -0.05, 5)
    for _ in range(int(rng.integers(0, 4))):
        buildings.flat_sign(b, translation(rng.uniform(-4, 4), -0.03, rng.uniform(1.4, 2.6)), *rng.uniform(0.3, 0.9, 2))
    if b.chance(0.5) and not b.full:
        for _ in range(int(rng.integers(1, 4))):
            size = np.array([rng.uniform(0.8, 2.4), 0.3, rng.uniform(1.0, 3.0)])
            climber = leaf_cloud(rng, int(1100 * size[0]), size, rng.uniform(0.09, 0.14))
            thing = b.add(climber, b.material("leaf", fresh=0.4), translation(rng.uniform(-4.5, 4.5), -0.06, size[2] * 0.5))
            b.hung.add(thing)
    for _ in range(int(rng.integers(5, 14))):
        place.stand(
            _any_thing(b),
            rng.uniform(-5, 5),
            -rng.uniform(0.35, 1.2) if b.chance(0.7) else -rng.uniform(1, 4),
            rng.normal(0, 15),
        )
    leaf, bark = b.material("leaf"), b.material("bark")
    if b.chance(0.6):  # out of sight, it throws its shadow on the wall
        plant_tree(place, rng.uniform(-4, 4), -rng.uniform(2.5, 8), rng.uniform(4, 7), leaf, bark, 3000)
    place.stage = (-5, 5, -8, -1.2)
    place.aims = [np.array([x, 0.0, z]) for x in (-3.5, -1, 1, 3.5) for z in (0.8, 1.6, 3.0)]


def _park(place: Place) -> None:
    """Rolling ground with trees, rocks, bushes, grass and a path."""
    b, rng = place.b, place.b.rng
    b.add(terrain(rng, 90, rng.uniform(0.5, 4.0), 56, flat=9.0), b.material("ground", plain=0.0), solid=False)
    path = b.material("ground", plain=0.0) if b.chance(0.5) else b.material("road", plain=0.0)
    b.add(block((-1.2, -12, -0.1), (1.2, 9, 0.006)), path, rotation("z", rng.uniform(-50, 50)))
    leaf, bark = [b.material("leaf") for _ in range(3)], b.material("bark")
    for _ in range(int(rng.integers(6, 14))):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(3.5, 9.5)
        plant_tree(place, distance * np.cos(angle), distance * np.sin(angle), rng.uniform(3, 9), b.choice(leaf), bark, 2200)
    for _ in range(int(rng.integers(4, 10))):
        size = rng.uniform(0.5, 1.6, 3)
        place.stand(bush(b, size, b.choice(leaf)), rng.uniform(-8, 8), rng.uniform(-8, 8), rng.uniform(0, 360))
    for _ in range(int(rng.integers(4, 16))):
        place.stand(clutter.stone(b, b.log_uniform(0.15, 1.6)), rng.uniform(-7, 7), rng.uniform(-7, 7), rng.uniform(0, 360))
    for _ in range(2):
        if b.full:
            break
        b.add(grass(rng, 4500, 9, 9, rng.uniform(0.08, 0.3)), b.choice(leaf), translation(*rng.uniform(-4, 4, 2)))
    for _ in range(int(rng.integers(0, 5))):
        place.stand(_any_thing(b), rng.uniform(-5, 5), rng.uniform(-5, 5), rng.uniform(0, 360))
    place.stage = (-7, 7, -7, 7)
    place.aims = [np.array([0.0, 0.0, 1.0]), np.array([5.0, 3.0, 1.0]), np.array([-5.0, 2.0, 1.0])]


PLACES: tuple[tuple[Callable[[Place], None], float], ...] = (
    (_street, 0.32),
    (_courtyard, 0.18),
    (_garden, 0.2),
    (_wall_in_sun, 0.18),
    (_park, 0.12),
)


def street_scene(b: SceneBuilder, people: bool = False) -> Scene:
    """An outdoor place in daylight. people: one to four stand in it."""
    makers, weights = zip(*PLACES)
    place = Place(b)
    b.choice(makers, weights)(place)
    outdoor_light(b)
    standing = []
    if people:
        x0, x1, y0, y1 = place.stage
        near = np.mean(place.aims, axis=0)[:2] if place.aims else np.zeros(2)
        area = (min(x0, near[0] - 2), max(x1, near[0] + 2), min(y0, near[1] - 2), max(y1, near[1] + 2))
        standing = stand_people(b, place.ground, area)
    scene = b.build("people" if people else "street", lambda draw: _propose(b, place, people, draw))
    scene.wanted = frozenset(standing)
    return scene


def _propose(b: SceneBuilder, place: Place, people: bool, rng: np.random.Generator) -> Camera | None:
    """A passer-by's view, or a thing from nearby."""
    x0, x1, y0, y1 = place.stage
    if rng.random() < 0.45 and b.focus:
        target, size = b.focus[int(rng.integers(len(b.focus)))]
        azimuth, rise = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(2, 35))
        distance = max(0.7, size * rng.uniform(1.2, 3.2))
        origin = target + distance * np.array(
            [np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)]
        )
        origin = photographer(rng, target, distance) if people else origin
        aim, fov = target + rng.normal(0, 0.1 * size, 3), rng.uniform(30, 60)
    else:
        origin = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(0.7, 2.2)])
        aim = place.aims[int(rng.integers(len(place.aims)))] + rng.normal(0, 0.6, 3) * (1, 1, 0.4)
        if rng.random() < 0.25:
            azimuth = rng.uniform(0, 2 * np.pi)
            aim = origin + 5 * np.array([np.cos(azimuth), np.sin(azimuth), rng.normal(-0.02, 0.12)])
        fov = rng.uniform(40, 75)
    if origin[2] < 0.2 or np.linalg.norm(aim - origin) < 0.5 or b.blocked(origin, 0.12):
        return None
    return Camera(origin, aim, float(fov))
