"""Paper things: books, rows and stacks of them, open books, papers, cartons, framed pictures."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.geometry import box, panel, rotation, sheet, surface, translation


def paper(b: SceneBuilder) -> int:
    """A material for the block of a book's pages: off-white."""
    return b.material("paper", plain=1.0, fresh=0.3)


def book(b: SceneBuilder, width: float, height: float, thickness: float, cover: int | None = None) -> Prop:
    """A closed book that lies on its back: spine along y at -x, cover picture up (it reads from -y)."""
    prop = Prop()
    hard = b.chance(0.6)
    board, overhang = (0.0028, 0.003) if hard else (0.0006, 0.0)
    front = b.material("book") if cover is None else cover
    cloth = b.material("book", plain=1.0, fresh=0.6)
    pages = box((width - 2 * overhang, height - 2 * overhang, thickness - 2 * board))
    prop.add(box((width, height, board), 0.0008 if hard else 0), cloth)
    prop.add(box((width, height, board), 0.0008 if hard else 0), cloth, translation(z=thickness - board))
    prop.add(sheet(width - 0.001, height - 0.001, whole=True), front, translation(z=thickness + 0.0002))
    prop.add(pages, paper(b), translation(overhang, z=board))
    spine = translation(-width / 2) @ rotation("z", -90) @ translation(0, -0.0004, 0)
    prop.add(box((board, height, thickness), 0.0008), cloth, translation(-width / 2))
    prop.add(panel(height, thickness), front, spine)
    return prop


def book_row(b: SceneBuilder, length: float, depth: float, height: float, covers: list[int] | None = None) -> Prop:
    """Books that stand side by side along x within `length` metres, spines to -y, some leaning or a little out of line."""
    prop, rng = Prop(), b.rng
    covers = [b.material("book") for _ in range(5)] if covers is None else covers
    pages = paper(b)
    x, usual = 0.0, rng.uniform(0.6, 0.9)
    lean = 0.0
    while True:
        thickness = rng.uniform(0.012, 0.045)
        tall = height * np.clip(rng.normal(usual, 0.1), 0.4, 0.97)
        deep = min(depth, tall * rng.uniform(0.62, 0.8), 0.26)
        if x + thickness > length:
            break
        if lean == 0.0 and b.chance(0.06) and x + thickness + 0.3 * tall < length:
            lean = rng.uniform(8, 16)
            shift = np.sin(np.radians(lean)) * tall
        else:
            lean, shift = 0.0, 0.0
        back = depth / 2 - deep / 2 - rng.uniform(0, 0.3) * (depth - deep)
        # A book leaning to +x turns about its lower right edge.
        place = translation(x + thickness, back, 0) @ rotation("y", lean) @ translation(-thickness / 2)
        cover = b.choice(covers)
        prop.add(box((thickness, deep, tall), 0.0015), b.plain_like(cover), place)
        prop.add(panel(thickness * 0.98, tall), cover, place @ translation(0, -deep / 2 - 0.0004, 0))
        inset = box((thickness * 0.75, deep - 0.004, 0.001))
        prop.add(inset, pages, place @ translation(0, 0.002, tall - 0.0004))
        x += thickness + 0.001 + shift
        if b.chance(0.03):
            x += rng.uniform(0.02, 0.1)
    return centered(prop)


def centered(prop: Prop) -> Prop:
    """The prop moved so that its bounds are centred in x and y and stand on z = 0."""
    if not prop.pieces:
        return prop
    low, high = prop.bounds()
    middle = (low + high) / 2
    result = Prop(supports=prop.supports)
    result.include(prop, translation(-middle[0], -middle[1], -low[2]))
    return result


def book_stack(b: SceneBuilder) -> Prop:
    """Two to seven books that lie on each other, turned a little."""
    prop, rng = Prop(), b.rng
    z, width = 0.0, rng.uniform(0.13, 0.23)
    for _ in range(int(rng.integers(2, 8))):
        thickness = rng.uniform(0.01, 0.045)
        each = book(b, width, width * rng.uniform(1.2, 1.45), thickness)
        turn = rotation("z", rng.normal(0, 10) + b.choice([0, 0, 180]))
        prop.include(each, translation(rng.normal(0, 0.006), rng.normal(0, 0.006), z) @ turn)
        z += thickness + 0.0004
        width *= rng.uniform(0.88, 1.0)
    return centered(prop)


def single_book(b: SceneBuilder) -> Prop:
    """One book that lies flat."""
    width = b.rng.uniform(0.11, 0.22)
    return centered(book(b, width, width * b.rng.uniform(1.2, 1.5), b.rng.uniform(0.008, 0.045)))


def page_curve(width: float, depth: float, rise: float, side: int) -> Mesh:
    """Half of an open book: a sheet from the gutter (x = 0) to x = side * width that swells and falls; whole texture."""
    t = np.linspace(0, 1, 12)
    z = rise * (np.sqrt(np.clip(t * 3, 0, 1)) * (1 - 0.75 * t) + 0.25 * np.sin(np.pi * t)) + 0.004
    x, y = np.meshgrid(t * width, np.array([-depth / 2, depth / 2]))
    points = np.stack([x * side, y, np.broadcast_to(z, x.shape)], -1)
    uv = np.stack(np.meshgrid(t if side > 0 else 1 - t, [0.0, 1.0]), -1)
    return surface(points, True, uv) if side > 0 else surface(points[:, ::-1], True, uv[:, ::-1])


def open_book(b: SceneBuilder) -> Prop:
    """A book that lies open, its pages with print or pictures."""
    prop, rng = Prop(), b.rng
    width, rise = rng.uniform(0.13, 0.22), rng.uniform(0.012, 0.03)
    depth = width * rng.uniform(1.2, 1.4)
    prop.add(box((2 * width + 0.01, depth + 0.008, 0.003), 0.001), b.material("book", plain=1.0))
    block = paper(b)
    for side in (-1, 1):
        picture = b.chance(0.4)
        prop.add(page_curve(width, depth, rise, side), b.material("picture" if picture else "label", gloss=0.15))
        t = np.linspace(0, 1, 12)
        z = rise * (np.sqrt(np.clip(t * 3, 0, 1)) * (1 - 0.75 * t) + 0.25 * np.sin(np.pi * t)) + 0.0035
        for y, turn in ((-depth / 2, side), (depth / 2, -side)):
            edge = np.stack(
                [np.stack([t * width * side, 0 * t + y, 0 * t + 0.002], -1), np.stack([t * width * side, 0 * t + y, z], -1)]
            )
            prop.add(surface(edge if turn > 0 else edge[:, ::-1], False), block)
        fore = np.array([[[side * width, -side * depth / 2, 0.002], [side * width, side * depth / 2, 0.002]]] * 2)
        fore[1, :, 2] = z[-1]
        prop.add(surface(fore, False), block)
    return prop


def papers(b: SceneBuilder) -> Prop:
    """Loose sheets, letters and magazines on each other."""
    prop, rng = Prop(), b.rng
    z = 0.0005
    for _ in range(int(rng.integers(1, 8))):
        width = b.choice([0.21, 0.21, 0.148, 0.11])
        depth = width * b.choice([1.414, 1.414, 0.7])
        printed = b.material("label" if b.chance(0.6) else "picture", fresh=0.5, gloss=0.2) if b.chance(0.7) else paper(b)
        thick = 0.0006 if b.chance(0.7) else rng.uniform(0.002, 0.012)
        place = translation(rng.normal(0, 0.03), rng.normal(0, 0.03), z) @ rotation("z", rng.normal(0, 20))
        prop.add(box((width, depth, thick)), paper(b), place)
        prop.add(sheet(width, depth, whole=True), printed, place @ translation(z=thick + 0.0002))
        z += thick + 0.0006
    return centered(prop)


def carton(b: SceneBuilder, size: np.ndarray | None = None) -> Prop:
    """A cardboard box, closed with tape or open with its flaps out."""
    prop, rng = Prop(), b.rng
    size = rng.uniform([0.2, 0.16, 0.12], [0.55, 0.45, 0.42]) if size is None else size
    w, d, h = size
    board = b.material("cardboard", fresh=0.4)
    t = 0.004
    if b.chance(0.45):
        prop.add(box(size, 0.002), board)
        tape = b.material("plastic", color=(0.5, 0.4, 0.26), gloss=1.0)
        prop.add(box((w + 0.002, 0.05, 0.0008)), tape, translation(z=h))
    else:
        prop.add(box((w, d, t)), board)
        for side in (-1, 1):
            prop.add(box((t, d, h)), board, translation(side * (w - t) / 2))
            prop.add(box((w - 2 * t, t, h)), board, translation(0, side * (d - t) / 2))
            tilt = rng.uniform(100, 165)
            flap = translation(side * w / 2, 0, h) @ rotation("y", side * tilt)
            prop.add(box((t, d, min(d / 2, w / 2, 0.9 * h))), board, flap)
            tilt = rng.uniform(95, 150)
            prop.add(box((w, t, min(d / 2, 0.9 * h))), board, translation(0, side * d / 2, h) @ rotation("x", -side * tilt))
        if b.chance(0.6):
            filling = box((w * 0.9, d * 0.9, h * rng.uniform(0.3, 0.85)), 0.01)
            prop.add(filling, b.material("fabric"), translation(z=t))
    if b.chance(0.5):
        prop.add(
            panel(w * 0.35, h * 0.4),
            b.material("label"),
            translation(w * rng.uniform(-0.25, 0.25), -d / 2 - 0.001, h * 0.3),
        )
    return prop


def gift_box(b: SceneBuilder) -> Prop:
    """A printed package: cereal, tea, toothpaste, a game."""
    prop, rng = Prop(), b.rng
    w, d, h = rng.uniform([0.06, 0.03, 0.08], [0.24, 0.09, 0.32])
    skin = b.material("label" if b.chance(0.7) else "book", gloss=0.5)
    prop.add(box((w, d, h), 0.001), b.plain_like(skin))
    prop.add(panel(w * 0.99, h * 0.99), skin, translation(0, -d / 2 - 0.0004, h * 0.005))
    prop.add(panel(w * 0.99, h * 0.99), skin, rotation("z", 180) @ translation(0, -d / 2 - 0.0004, h * 0.005))
    prop.add(panel(d * 0.98, h * 0.99), skin, rotation("z", 90) @ translation(0, -w / 2 - 0.0004, h * 0.005))
    prop.add(panel(d * 0.98, h * 0.99), skin, rotation("z", -90) @ translation(0, -w / 2 - 0.0004, h * 0.005))
    return prop


def picture_frame(b: SceneBuilder, width: float, height: float) -> Prop:
    """A framed picture whose back is at y = 0, its lower edge at z = 0: frame with profile, often a mat, the picture."""
    prop, rng = Prop(), b.rng
    bar, deep = rng.uniform(0.012, 0.05), rng.uniform(0.015, 0.035)
    rail = b.material(b.choice(["wood", "wood", "metal", "plastic"]), fresh=0.5)
    prop.add(box((bar, deep, height), 0.002), rail, translation(-(width - bar) / 2, -deep / 2))
    prop.add(box((bar, deep, height), 0.002), rail, translation((width - bar) / 2, -deep / 2))
    for z in (0, height - bar):
        prop.add(box((width - 2 * bar, deep * 0.98, bar), 0.002), rail, translation(0, -deep * 0.5, z))
    inner_w, inner_h = width - 2 * bar, height - 2 * bar
    back = deep * 0.45
    mat = rng.uniform(0.1, 0.22) * min(inner_w, inner_h) if b.chance(0.5) else 0.0
    if mat:
        white = b.material("paper", color=tuple(np.full(3, rng.uniform(0.6, 0.82))), fresh=0.4)
        prop.add(panel(inner_w, inner_h), white, translation(0, -back, bar))
    picture = panel(inner_w - 2 * mat, inner_h - 2 * mat)
    prop.add(picture, b.material("picture"), translation(0, -back - (0.001 if mat else 0), bar + mat))
    return prop


def standing_frame(b: SceneBuilder) -> Prop:
    """A small framed photograph that leans on its stand."""
    prop = Prop()
    width, height = b.choice([(0.13, 0.18), (0.18, 0.13), (0.2, 0.25), (0.1, 0.15)])
    lean = 12.0
    prop.include(picture_frame(b, width, height), rotation("x", -lean))
    leg = b.material("plastic", color=(0.05, 0.05, 0.05), fresh=0.2)
    path = translation(0, height * 0.7 * np.sin(np.radians(lean)), height * 0.7) @ rotation("x", 180 + 1.2 * lean)
    prop.add(box((0.03, 0.003, height * 0.69)), leg, path)
    return centered(prop)
