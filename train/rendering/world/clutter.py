"""Small things by place, and how they fill a table, a shelf or a floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from intrinsic_flow.train.rendering.world import books, devices, vessels
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder, Support
from intrinsic_flow.train.rendering.world.fabrics import crumpled, cushion
from intrinsic_flow.train.rendering.world.foliage import blades, branching_plant, rosette
from intrinsic_flow.train.rendering.world.geometry import (
    arc_path,
    box,
    cylinder,
    lumpy_waves,
    resized,
    rotation,
    rounded_box,
    superquadric,
    translation,
    tube,
)
from intrinsic_flow.train.rendering.world.layout import Footprint, Layout

Maker = Callable[[SceneBuilder], Prop]


def potted_plant(b: SceneBuilder, height: float | None = None) -> Prop:
    """A plant in a pot with earth: long leaves from the root, or stems with leaves. height: of the whole."""
    prop, rng = Prop(), b.rng
    height = b.log_uniform(0.18, 0.5) if height is None else height
    radius = float(np.clip(height * rng.uniform(0.14, 0.24), 0.04, 0.22))
    tall = radius * rng.uniform(1.3, 2.2)
    pot = b.material(b.choice(["ceramic", "ceramic", "stone", "any"]))
    prop.add(vessels.vessel([(radius * 0.7, 0), (radius * 0.85, tall * 0.5), (radius, tall)], 0.006, 30, 8), pot)
    earth = b.material("ground", fresh=0.3, color=(0.06, 0.04, 0.025))
    prop.add(cylinder(radius * 0.88, 0.004), earth, translation(z=tall * 0.86))
    leaf = b.material("leaf")
    soil = translation(z=tall * 0.87)
    above = height - tall * 0.87
    if b.chance(0.45):
        count = int(rng.integers(14, 40))
        leaves, stalk = rosette(
            rng, count, above * rng.uniform(0.9, 1.2), rng.uniform(0.3, 1.4), above * rng.uniform(0.04, 0.16)
        )
        prop.add(leaves, leaf, soil)
        prop.add(stalk, leaf, soil)
    else:
        stems, leaves = branching_plant(rng, above * 0.9, int(rng.integers(2, 6)), above * rng.uniform(0.15, 0.32))
        for stem in stems:
            prop.add(stem, b.material("bark", fresh=0.3), soil)
        prop.add(leaves, leaf, soil)
    return prop.above_ground()


def flower_vase(b: SceneBuilder) -> Prop:
    """A vase with flowers or dry twigs."""
    rng = b.rng
    prop = vessels.vase(b)
    _, high = prop.bounds()
    mouth, reach = high[2] * 0.9, high[2] * rng.uniform(0.7, 1.4)
    green, petal = b.material("leaf"), b.material("any", plain=1.0, gloss=0.1)
    for _ in range(int(rng.integers(3, 10))):
        azimuth, lean = rng.uniform(0, 360), rng.uniform(0.05, 0.5)
        stem = arc_path(
            (0, 0, mouth * 0.9),
            (lean * 0.3 * reach, 0, mouth + reach * 0.5),
            (lean * reach, 0, mouth + reach * rng.uniform(0.6, 1)),
        )
        turn = rotation("z", azimuth)
        prop.add(tube(stem, 0.002, 5), green, turn)
        count = int(rng.integers(8, 22))
        around = rng.normal((0.2, 0, 0.5), 1, (count, 3))
        size = reach * rng.uniform(0.06, 0.14)
        head = blades(
            np.repeat(stem[-1:], count, 0), around, np.full(count, size), np.full(count, size * 0.5), np.full(count, 0.3), 3
        )
        prop.add(head, petal, turn)
        nodes = stem[3:8:2]
        leaf = blades(
            nodes,
            rng.normal((0, 0, 0.5), 1, (len(nodes), 3)),
            np.full(len(nodes), reach * 0.2),
            np.full(len(nodes), reach * 0.06),
            np.full(len(nodes), 0.3),
        )
        prop.add(leaf, green, turn)
    return prop


def pencil_cup(b: SceneBuilder) -> Prop:
    """A cup of pens, brushes or kitchen tools."""
    prop, rng = Prop(), b.rng
    radius, tall = rng.uniform(0.035, 0.06), rng.uniform(0.08, 0.15)
    prop.add(
        vessels.vessel([(radius, 0), (radius, tall * 0.5), (radius, tall)], 0.004, 28, 6),
        b.material(b.choice(["ceramic", "metal", "wood"])),
    )
    for _ in range(int(rng.integers(3, 10))):
        foot, lean = rng.normal(0, 0.25, 2) * radius, rng.normal(0, 0.4, 2) * radius
        length = tall * rng.uniform(1.3, 2.0)
        path = np.array([[*foot, 0.006], [*(foot + lean * 1.6), length]])
        stick = b.material(b.choice(["wood", "plastic", "metal"]), fresh=0.5)
        prop.add(tube(path, rng.uniform(0.0035, 0.006), 6), stick)
        if b.chance(0.3):
            prop.add(superquadric((0.035, 0.015, 0.05), 0.8, 0.9, 6), stick, translation(*path[1]) @ translation(z=-0.01))
    return prop


def stacked_cloths(b: SceneBuilder) -> Prop:
    """Folded towels, napkins or clothes."""
    prop, rng = Prop(), b.rng
    w, d, z = rng.uniform(0.16, 0.4), rng.uniform(0.14, 0.3), 0.0
    for _ in range(int(rng.integers(1, 6))):
        h = rng.uniform(0.02, 0.05)
        fold = rounded_box((w * rng.uniform(0.93, 1.0), d * rng.uniform(0.93, 1.0), h), h * 0.45, 2, 0.003)
        prop.add(
            fold, b.material("fabric", fresh=0.7), translation(rng.normal(0, 0.005), 0, z) @ rotation("z", rng.normal(0, 3))
        )
        z += h + 0.003
    return prop


def thrown_cloth(b: SceneBuilder) -> Prop:
    """A crumpled towel or garment."""
    size = b.rng.uniform(0.18, 0.5)
    prop = Prop()
    prop.add(crumpled(b.rng, size, size * b.rng.uniform(0.6, 1), size * b.rng.uniform(0.15, 0.3)), b.material("fabric"))
    return prop


def loose_cushion(b: SceneBuilder) -> Prop:
    """A cushion that lies flat."""
    prop, size = Prop(), b.rng.uniform(0.35, 0.55)
    prop.add(cushion(b.rng, size, size * b.choice([1, 1, 0.65]), size * 0.35), b.material("fabric"))
    return prop


def toy_blocks(b: SceneBuilder) -> Prop:
    """Wooden blocks, a few of them piled up."""
    prop, rng, size = Prop(), b.rng, b.rng.uniform(0.025, 0.05)
    z = 0.0
    for k in range(int(rng.integers(2, 6))):
        paint = b.material("wood", plain=0.8, fresh=0.8)
        long = b.choice([1.0, 1.0, 2.0])
        place = translation(rng.normal(0, 0.1) * size, rng.normal(0, 0.1) * size, z) @ rotation(
            "z", rng.uniform(0, 90) if k else 0
        )
        prop.add(box((size * long, size, size), size * 0.06), paint, place)
        z += size + 0.0003
    return prop


def ball(b: SceneBuilder) -> Prop:
    """A ball, globe or onion-like round thing."""
    prop, size = Prop(), b.log_uniform(0.05, 0.22)
    prop.add(
        superquadric((size, size, size), 1, 1, 14), b.material(b.choice(["any", "plastic", "ceramic", "stone", "fabric"]))
    )
    return prop


def figurine(b: SceneBuilder) -> Prop:
    """A small sculpture: one to three odd solids on each other."""
    prop, rng, z = Prop(), b.rng, 0.0
    skin = b.material(b.choice(["ceramic", "wood", "stone", "metal", "translucent", "any"]))
    size = rng.uniform(0.06, 0.14)
    for _ in range(int(rng.integers(1, 4))):
        shape = size * rng.uniform([0.6, 0.6, 0.5], [1, 1, 1.4])
        e1, e2 = rng.choice([0.2, 0.5, 1.0, 1.0, 1.5], 2)
        prop.add(
            superquadric(shape, e1, e2, 12, lumpy_waves(rng, 0.03) if b.chance(0.4) else None),
            skin,
            translation(z=z) @ rotation("z", rng.uniform(0, 360)),
        )
        z += shape[2] * 0.94
        size *= rng.uniform(0.5, 0.85)
    return prop


def shoes(b: SceneBuilder) -> Prop:
    """A pair of shoes: sole, rounded toe, shaft."""
    prop, rng = Prop(), b.rng
    length = rng.uniform(0.24, 0.3)
    upper, sole = b.material(b.choice(["fabric", "any", "plastic"])), b.material("plastic", fresh=0.5)
    shaft = rng.uniform(0.06, 0.14)
    for side in (-1, 1):
        place = translation(side * rng.uniform(0.06, 0.09), rng.normal(0, 0.02)) @ rotation("z", rng.normal(0, 8))
        prop.add(rounded_box((0.095, length, 0.03), 0.014), sole, place)
        toe = superquadric((0.09, length * 0.62, 0.085), 0.8, 0.7, 10)
        prop.add(toe, upper, place @ translation(0, -length * 0.17, 0.015))
        heel = superquadric((0.08, length * 0.46, shaft), 0.5, 0.7, 10)
        prop.add(heel, upper, place @ translation(0, length * 0.24, 0.02))
        t = np.linspace(0, 2 * np.pi, 19)
        collar = tube(np.stack([0.03 * np.cos(t), length * 0.16 * np.sin(t), 0 * t], 1), 0.009, 7)
        prop.add(collar, upper, place @ translation(0, length * 0.24, 0.012 + shaft))
    return prop


def bag(b: SceneBuilder) -> Prop:
    """A bag or rucksack with handles."""
    prop, rng = Prop(), b.rng
    w, d, h = rng.uniform([0.25, 0.12, 0.22], [0.45, 0.22, 0.45])
    cloth = b.material(b.choice(["fabric", "fabric", "any"]))
    prop.add(superquadric((w, d, h), 0.45, 0.45, 14, lumpy_waves(rng, 0.025)), cloth)
    for side in (-1, 1):
        t = np.linspace(0, np.pi, 14)
        path = np.stack(
            [
                0.3 * w * np.cos(t),
                side * d * (0.12 + 0.25 * np.sin(t) * rng.uniform(0.2, 1)),
                h * 0.93 + 0.4 * h * np.sin(t),
            ],
            1,
        )
        prop.add(tube(path, 0.009, 7), cloth)
    return prop


def chopping_board(b: SceneBuilder) -> Prop:
    """A board with bread, vegetables or a knife."""
    prop, rng = Prop(), b.rng
    w, d = rng.uniform(0.25, 0.42), rng.uniform(0.17, 0.28)
    prop.add(box((w, d, 0.018), 0.003), b.material("wood", plain=0.0))
    crust = b.material("any", color=tuple(np.array([0.42, 0.22, 0.09]) * rng.uniform(0.6, 1.3)))
    if b.chance(0.5):
        loaf = superquadric((0.22, 0.1, 0.09), 0.7, 0.7, 12, lumpy_waves(rng, 0.02))
        prop.add(loaf, crust, translation(0, d * 0.1, 0.0175))
    else:
        skin = vessels.fruit_skin(b)
        for k in range(int(rng.integers(1, 5))):
            prop.add(
                vessels.fruit(b, rng.uniform(0.04, 0.08)),
                skin,
                translation(w * 0.2 * (k - 1.5), d * rng.uniform(-0.2, 0.3), 0.0175),
            )
    blade = b.material("metal", fresh=0.5)
    knife = translation(-0.02, -d * 0.36, 0.018) @ rotation("z", rng.normal(0, 10))
    prop.add(box((0.16, 0.025, 0.002)), blade, knife)
    prop.add(box((0.1, 0.02, 0.016), 0.003), devices.dark_plastic(b), knife @ translation(0.13))
    return prop


def stone(b: SceneBuilder, size: float | None = None) -> Prop:
    """A stone, lumpy and a little flat."""
    size = b.log_uniform(0.04, 0.16) if size is None else size
    shape = size * b.rng.uniform([0.7, 0.6, 0.4], [1.1, 1.0, 0.8])
    prop = Prop()
    prop.add(
        superquadric(
            shape, b.rng.uniform(0.6, 1), b.rng.uniform(0.6, 1), 14, lumpy_waves(b.rng, b.rng.uniform(0.04, 0.12))
        ),
        b.material("stone", fresh=0.6),
    )
    return prop


def library_model(b: SceneBuilder, size: float | None = None) -> Prop:
    """A model of the assets; where there are none, a figurine."""
    model = b.library.model(b.rng)
    if model is None:
        return figurine(b)
    size = b.log_uniform(0.07, 0.24) if size is None else size
    prop = Prop()
    gloss = 0.5 if b.chance(0.4) else 0.0
    for part in model.parts:
        prop.add(resized(part.mesh, size), b.model_material(part.color, part.texture, gloss))
    return prop


DESK: tuple[tuple[Maker, float], ...] = (
    (books.single_book, 2.0),
    (books.book_stack, 2.0),
    (books.open_book, 1.2),
    (books.papers, 2.5),
    (vessels.mug, 1.5),
    (pencil_cup, 1.5),
    (devices.laptop, 1.0),
    (devices.monitor, 0.8),
    (devices.keyboard, 0.7),
    (devices.mouse, 0.8),
    (devices.phone, 1.0),
    (devices.cable, 1.2),
    (devices.desk_lamp, 0.8),
    (potted_plant, 0.8),
    (books.standing_frame, 0.6),
    (books.gift_box, 0.6),
    (library_model, 0.5),
    (devices.clock, 0.5),
)
TABLE: tuple[tuple[Maker, float], ...] = (
    (vessels.mug, 2.0),
    (vessels.bowl, 1.6),
    (vessels.plate, 1.6),
    (vessels.bottle, 1.4),
    (vessels.vase, 0.7),
    (flower_vase, 1.0),
    (potted_plant, 0.8),
    (vessels.candles, 0.8),
    (vessels.kettle, 0.8),
    (vessels.loose_fruit, 1.0),
    (books.single_book, 1.0),
    (books.open_book, 0.6),
    (books.papers, 1.2),
    (books.gift_box, 0.7),
    (thrown_cloth, 0.7),
    (devices.phone, 0.5),
    (toy_blocks, 0.6),
    (ball, 0.4),
    (library_model, 1.0),
    (chopping_board, 0.4),
)
KITCHEN: tuple[tuple[Maker, float], ...] = (
    (vessels.jar, 2.2),
    (vessels.bottle, 2.2),
    (vessels.cooking_pot, 1.4),
    (vessels.kettle, 1.0),
    (vessels.plate, 1.2),
    (vessels.bowl, 1.2),
    (vessels.mug, 1.5),
    (chopping_board, 1.4),
    (vessels.loose_fruit, 1.2),
    (books.gift_box, 1.6),
    (pencil_cup, 1.0),
    (potted_plant, 0.6),
    (stacked_cloths, 0.5),
    (vessels.lidded_box, 0.8),
    (thrown_cloth, 0.4),
    (library_model, 0.4),
)
SHELF: tuple[tuple[Maker, float], ...] = (
    (books.book_stack, 1.8),
    (vessels.vase, 1.5),
    (figurine, 1.2),
    (books.standing_frame, 1.2),
    (potted_plant, 1.0),
    (vessels.lidded_box, 1.2),
    (books.gift_box, 1.2),
    (vessels.jar, 0.8),
    (devices.clock, 0.8),
    (vessels.candles, 0.7),
    (ball, 0.6),
    (toy_blocks, 0.6),
    (vessels.bowl, 0.6),
    (stacked_cloths, 0.6),
    (library_model, 1.2),
    (stone, 0.3),
)
FLOOR: tuple[tuple[Maker, float], ...] = (
    (books.carton, 2.0),
    (vessels.basket, 1.4),
    (shoes, 1.4),
    (bag, 1.4),
    (books.book_stack, 1.0),
    (loose_cushion, 0.8),
    (thrown_cloth, 0.9),
    (ball, 0.8),
    (toy_blocks, 0.6),
    (devices.cable, 0.8),
    (lambda b: potted_plant(b, b.rng.uniform(0.5, 1.5)), 1.4),
    (lambda b: vessels.vase(b, b.rng.uniform(0.3, 0.6)), 0.4),
    (lambda b: library_model(b, b.rng.uniform(0.2, 0.6)), 1.0),
)
SILL: tuple[tuple[Maker, float], ...] = (
    (potted_plant, 3.0),
    (vessels.vase, 1.0),
    (vessels.candles, 0.8),
    (figurine, 0.8),
    (books.book_stack, 0.5),
    (vessels.jar, 0.5),
    (library_model, 0.5),
)
STILL_LIFE: tuple[tuple[Maker, float], ...] = (
    *TABLE,
    *SHELF,
    (bag, 0.5),
    (shoes, 0.5),
    (books.carton, 0.7),
    (vessels.basket, 0.6),
    (vessels.soap, 0.8),
)


def scatter(
    b: SceneBuilder,
    support: Support,
    frame: np.ndarray,
    kinds: Sequence[tuple[Maker, float]],
    count: int,
    turn: float = 25.0,
    crowded: bool = False,
    layout: Layout | None = None,
) -> int:
    """Set up to `count` things on a support whose prop stands in `frame`, off each other and within its edges.

    turn: standard deviation of their yaw in degrees; one in five faces anywhere. crowded: they stand close together
    around the middle. layout: of things that stand there already. Returns how many found a place.
    """
    half = np.array([support.width, support.depth]) / 2
    layout = Layout((-half, half)) if layout is None else layout
    makers, weights = zip(*kinds)
    placed = 0
    for _ in range(count):
        if b.full:
            break
        prop = b.choice(makers, weights)(b)
        low, high = prop.bounds()
        if high[2] > support.clearance:
            continue
        for attempt in range(12 if crowded else 6):
            yaw = b.rng.uniform(0, 360) if b.chance(0.2) else b.rng.normal(0, turn)
            spread = b.rng.uniform(-1, 1, 2) * half
            if crowded:
                spread = np.clip(b.rng.normal(0, 0.1 + 0.04 * attempt, 2), -half, half)
            spot = translation(*spread) @ rotation("z", yaw)
            if layout.claim(Footprint.of(low, high, spot, 0.004)):
                b.place(prop, frame @ support.frame @ spot)
                placed += 1
                break
    return placed


def fill_shelf(b: SceneBuilder, support: Support, frame: np.ndarray, covers: list[int], fullness: float) -> None:
    """Books and things from left to right on a shelf board. fullness: 0..1, share of its length that is used."""
    x = -support.width / 2 + 0.01
    makers, weights = zip(*SHELF)
    while x < support.width / 2 - 0.05 and not b.full:
        room = support.width / 2 - x
        if not b.chance(fullness):
            x += b.rng.uniform(0.05, 0.25)
            continue
        is_row = b.chance(0.6)
        prop = (
            books.book_row(b, min(room, b.rng.uniform(0.12, 0.6)), support.depth, min(support.clearance, 0.34), covers)
            if is_row
            else b.choice(makers, weights)(b)
        )
        if not prop.pieces:
            break
        low, high = prop.bounds()
        wide, deep, tall = high - low
        if wide > room or deep > support.depth or tall > support.clearance - 0.005:
            x += 0.03
            continue
        slack = (support.depth - deep) / 2
        spot = translation(x - low[0], b.rng.uniform(-slack, slack) * (0.2 if is_row else 0.8) - (low[1] + high[1]) / 2)
        b.place(prop, frame @ support.frame @ spot)
        x += wide + b.rng.uniform(0.003, 0.04)
