"""Soft furniture: sofas, armchairs, beds, pouffes."""

from __future__ import annotations

from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder, Support
from intrinsic_flow.train.rendering.world.fabrics import blanket, cushion, draped
from intrinsic_flow.train.rendering.world.furniture import leg
from intrinsic_flow.train.rendering.world.geometry import box, cylinder, rotation, rounded_box, translation


def _covering(b: SceneBuilder) -> int:
    return b.material(b.choice(["fabric", "fabric", "fabric", "leather"]), fresh=0.7)


def _leaning_cushion(
    b: SceneBuilder, x: float, y: float, z: float, cover: int, prop: Prop, size: float | None = None
) -> None:
    """A cushion that stands on a seat at height z and leans back to +y."""
    size = b.rng.uniform(0.36, 0.5) if size is None else size
    thick = size * 0.34
    lean = b.rng.uniform(10, 28)
    turn = rotation("z", b.rng.normal(0, 10)) @ rotation("x", 90 - lean) @ rotation("z", b.rng.normal(0, 6))
    mesh = cushion(b.rng, size, size * b.choice([1.0, 1.0, 0.7]), thick)
    placed = Prop()
    placed.add(mesh, cover, turn)
    low, high = placed.bounds()
    prop.include(placed, translation(x - (low[0] + high[0]) / 2, y - high[1], z - low[2] - 0.012))


def sofa(b: SceneBuilder, seats: int) -> Prop:
    """An armchair (one seat) or sofa: base, seat and back cushions, arms, feet; cushions and a blanket on it."""
    prop, rng = Prop(), b.rng
    cloth = _covering(b)
    seat_w, depth = rng.uniform(0.55, 0.72), rng.uniform(0.78, 0.95)
    arm, base, seat = rng.uniform(0.1, 0.24), rng.uniform(0.06, 0.16), rng.uniform(0.38, 0.46)
    inner = seats * seat_w
    width = inner + 2 * arm
    radius = rng.uniform(0.03, 0.08)
    back_h, back_d = rng.uniform(0.72, 0.9), rng.uniform(0.16, 0.24)
    low_seat = seat - 0.14
    prop.add(rounded_box((width - 0.02, depth, low_seat - base), 0.03), cloth, translation(z=base))
    prop.add(rounded_box((width - 0.01, back_d, back_h - base), radius), cloth, translation(0, (depth - back_d) / 2, base))
    arm_h = rng.uniform(0.52, 0.66)
    for side in (-1, 1):
        prop.add(
            rounded_box((arm, depth + 0.005, arm_h - base), min(radius, arm * 0.45)),
            cloth,
            translation(side * (width - arm) / 2, 0, base),
        )
    seat_d = depth - back_d
    for k in range(seats):
        x = (k - (seats - 1) / 2) * seat_w
        pad = rounded_box((seat_w - 0.012, seat_d + 0.02, 0.15), 0.05, 3, 0.018)
        prop.add(pad, cloth, translation(x, -back_d / 2 - 0.005, low_seat - 0.008))
        if b.chance(0.8):
            rest = rounded_box((seat_w - 0.015, 0.16, back_h - seat + 0.03), 0.06, 3, 0.022)
            prop.add(rest, cloth, translation(x, depth / 2 - back_d - 0.05, seat - 0.005) @ rotation("x", -7))
    foot = b.material(b.choice(["wood", "metal"]), fresh=0.4)
    post = leg(b, base + 0.005, 0.05, b.choice(["square", "round", "tapered"]))
    for x in (-1, 1):
        for y in (-1, 1):
            prop.add(post, foot, translation(x * (width / 2 - 0.07), y * (depth / 2 - 0.07)))
    front = depth / 2 - back_d - 0.12
    for _ in range(int(rng.integers(0, 2 + seats))):
        x = rng.uniform(-0.5, 0.5) * (inner - 0.4)
        _leaning_cushion(b, x, front, seat + 0.012, b.material("fabric", fresh=0.8), prop)
    if b.chance(0.3):
        throw = draped(rng, rng.uniform(0.4, 0.7), back_d * 0.9, (0.0, 0.0, rng.uniform(0.2, 0.3), 0.35))
        prop.add(
            throw,
            b.material("fabric"),
            translation(rng.uniform(-0.25, 0.25) * inner, depth / 2 - back_d / 2, back_h + 0.003),
        )
    prop.supports.append(Support(translation(0, -0.16, seat + 0.012), inner * 0.8, seat_d * 0.5))
    return prop


def pouffe(b: SceneBuilder) -> Prop:
    """A round or square upholstered stool."""
    prop, rng = Prop(), b.rng
    size, height = rng.uniform(0.4, 0.65), rng.uniform(0.32, 0.45)
    cloth = _covering(b)
    if b.chance(0.5):
        prop.add(rounded_box((size, size, height), 0.07, 3, 0.02), cloth)
    else:
        prop.add(cylinder(size / 2, height, 0.04, 40), cloth)
    prop.supports.append(Support(translation(z=height + 0.018), size * 0.5, size * 0.5))
    return prop


def bed(b: SceneBuilder) -> Prop:
    """A bed with its head at +y: frame, mattress, sheet, pillows, duvet and a folded blanket."""
    prop, rng = Prop(), b.rng
    width, length, base = b.choice([0.92, 1.2, 1.45, 1.65]), 2.02, rng.uniform(0.2, 0.34)
    wood, linen = b.material("wood", fresh=0.6), b.material("fabric")
    prop.add(box((width + 0.06, length + 0.04, 0.12), 0.006), wood, translation(z=base - 0.12))
    post = leg(b, base - 0.1, 0.07, b.choice(["square", "round"]))
    for x in (-1, 1):
        for y in (-1, 1):
            prop.add(post, wood, translation(x * (width / 2 - 0.04), y * (length / 2 - 0.06)))
    head = rng.uniform(0.7, 1.15)
    if b.chance(0.5):
        prop.add(box((width + 0.1, 0.05, head - 0.05), 0.008), wood, translation(0, length / 2 + 0.045, 0.05))
    else:
        prop.add(
            rounded_box((width + 0.1, 0.1, head - 0.05), 0.04, 3, 0.01),
            _covering(b),
            translation(0, length / 2 + 0.07, 0.05),
        )
    thick = rng.uniform(0.16, 0.24)
    prop.add(rounded_box((width, length - 0.02, thick), 0.05, 3, 0.012), linen, translation(z=base))
    top = base + thick + 0.012
    pillow = linen if b.chance(0.5) else b.material("fabric")
    count = 1 if width < 1.1 else 2
    for k in range(count):
        aside = (k - (count - 1) / 2) * width / 2
        place = (
            translation(aside, length / 2 - 0.28, top - 0.012)
            @ rotation("z", rng.normal(0, 5))
            @ rotation("x", rng.uniform(0, 8))
        )
        prop.add(cushion(rng, min(0.72, width / count * 0.9), 0.46, 0.18), pillow, place)
        if b.chance(0.4):
            _leaning_cushion(b, aside, length / 2 - 0.04, top + 0.11, b.material("fabric"), prop)
    cover_length = length * rng.uniform(0.6, 0.74)
    duvet = blanket(rng, width + 0.03, cover_length, rng.uniform(0.04, 0.09), min(0.3, top - 0.12))
    prop.add(duvet, b.material("fabric"), translation(0, -length / 2 + cover_length / 2, top - 0.004))
    if b.chance(0.45):
        rolled = draped(rng, width + 0.13, rng.uniform(0.4, 0.6), (0.25, 0.25, 0.0, 0.0))
        prop.add(rolled, b.material("fabric"), translation(0, -length * 0.3, top + 0.11))
    flat = Support(translation(0, -length * 0.1, top + 0.1), width * 0.6, 0.5)
    prop.supports.append(flat)
    return prop
