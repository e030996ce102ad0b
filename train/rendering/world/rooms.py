"""Indoor scenes: living rooms, bedrooms, kitchens, studies, dining rooms and hallways, full of things."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from intrinsic_flow.train.rendering.scene import Camera, LightGroup, Scene
from intrinsic_flow.train.rendering.world import clutter, devices, fittings, furniture, lamps, upholstery
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.fittings import WALL, Opening
from intrinsic_flow.train.rendering.world.geometry import block, box, rotation, translation
from intrinsic_flow.train.rendering.world.layout import Footprint
from intrinsic_flow.train.rendering.world.lighting import WhiteBalance, balance, make_sun, window_portal
from intrinsic_flow.train.rendering.world.real import photographer, stand_people
from intrinsic_flow.train.rendering.world.room_plan import Room, Wall


def _build_shell(room: Room, window_share: float, night: bool) -> list[tuple[Wall, Opening]]:
    """Floor, ceiling, walls with windows and doors; returns the windows."""
    b, rng = room.b, room.b.rng
    w, d, h = room.width / 2 + WALL, room.depth / 2 + WALL, room.height
    b.add(block((-w, -d, -0.2), (w, d, 0.0)), b.material("floor"))
    b.add(block((-w, -d, h), (w, d, h + 0.2)), b.material("ceiling"))
    paint = b.material("wall", height=h)
    windows = []
    for wall in room.walls:
        if b.chance(window_share):
            windows += [(wall, hole) for hole in _cut_windows(b, wall)]
    if not windows and window_share > 0:
        wall = b.choice(room.walls)
        windows += [(wall, hole) for hole in _cut_windows(b, wall)]
    accent = b.material("wall", height=h) if b.chance(0.35) else paint
    special = b.choice(room.walls)
    skirt = b.material("wood", fresh=0.6) if b.chance(0.85) else None
    skirt_h, skirt_t = rng.uniform(0.05, 0.14), rng.uniform(0.01, 0.02)
    for k in range(int(rng.integers(1, 3))):
        _hang_door(room, b.choice(room.walls), k)
    for wall in room.walls:
        material = accent if wall is special else paint
        thing = b.add(fittings.wall_mesh(wall.length, h, wall.openings), material, wall.frame)
        if skirt is not None:
            board = fittings.skirting(wall.length, skirt_h, skirt_t, wall.doors)
            if board is not None:
                b.add(board, skirt, wall.frame, thing)
        for hole in wall.openings:
            _furnish_window(room, wall, hole, night)
        for _ in range(int(rng.integers(0, 3))):
            x, z = rng.uniform(-0.45, 0.45) * wall.length, b.choice([0.3, 0.3, 1.05])
            if wall.claim(x, z, 0.09, 0.09, 0.03):
                b.place(fittings.socket(b), wall.frame @ translation(x, 0, z), hung=True, focus=False)
    return windows


def _cut_windows(b: SceneBuilder, wall: Wall) -> list[Opening]:
    """One to three equal windows in a wall."""
    rng = b.rng
    low = rng.uniform(0.08, 0.3) if b.chance(0.2) else rng.uniform(0.6, 1.05)
    height = min(rng.uniform(1.0, 2.1), wall.height - low - rng.uniform(0.15, 0.45))
    count = int(rng.integers(1, 3)) if wall.length > 3.2 else 1
    width = min(rng.uniform(0.7, 2.4) / count**0.5, wall.length / count - 0.7)
    shift = rng.uniform(-0.5, 0.5) * (wall.length / count - width - 0.7)
    for k in range(count):
        hole = Opening((k + 0.5) * wall.length / count - wall.length / 2 + shift, low, width, height)
        wall.openings.append(hole)
        wall.claim(hole.x, hole.z, hole.width, hole.height, 0.1)
    return wall.openings


def _hang_door(room: Room, wall: Wall, number: int) -> None:
    """A door in a wall that has room for one; its leaf needs floor to open."""
    b, prop = room.b, fittings.door(room.b)
    low, high = prop.bounds()
    width = high[0] - low[0]
    x = b.rng.uniform(-0.5, 0.5) * (wall.length - width - 0.1)
    if wall.claim(x, 0.0, width, high[2], 0.02):
        b.place(prop, wall.frame @ translation(x), focus=False)
        wall.doors.append((x - width / 2, x + width / 2))
        swing = Footprint.of(
            np.array([-width / 2, -0.75, 0.0]), np.array([width / 2, 0.0, 2.0]), wall.frame @ translation(x)
        )
        room.floor.taken.append(swing)


def _furnish_window(room: Room, wall: Wall, hole: Opening, night: bool) -> None:
    """Bars, sill with things, curtain or blind, and often a radiator below."""
    b = room.b
    unit, ledge = fittings.window(b, hole, night)
    place = wall.frame @ translation(hole.x, 0, hole.z)
    thing = b.place(unit, place, hung=True, focus=False)
    b.place(ledge, place, thing=thing, focus=False)
    if hole.z > 0.4:
        for support in ledge.supports:
            if support.depth > 0.09 and b.chance(0.7):
                clutter.scatter(b, support, place, clutter.SILL, int(b.rng.integers(1, 5)))
    dressed = b.rng.random()
    if dressed < 0.45:
        prop = fittings.curtains(b, hole, room.height)
        low, high = prop.bounds()
        footprint = Footprint.of(low, high, wall.frame)
        if room.floor.claim(Footprint(footprint.center, footprint.half * 0.98, footprint.yaw, 0.0, footprint.high)):
            b.place(prop, wall.frame, hung=True, focus=False)
    elif dressed < 0.7:
        b.place(fittings.blind(b, hole), place, hung=True, focus=False)
    if hole.z > 0.6 and hole.width > 0.6 and b.chance(0.55):
        prop = furniture.radiator(b, hole.width * b.rng.uniform(0.6, 0.95), min(0.6, hole.z - 0.12))
        room.stand(prop, wall.frame @ translation(hole.x, -0.09))


def _decorate_walls(room: Room, pictures: int) -> None:
    """Pictures and shelves where the walls are free."""
    b, rng = room.b, room.b.rng
    for _ in range(pictures):
        wall = b.choice(room.walls)
        if b.chance(0.22):
            width = rng.uniform(0.5, 1.2)
            prop, height, z = fittings.wall_shelf(b, width), 0.5, rng.uniform(1.2, 1.6)
        else:
            width, height = rng.uniform(0.22, 1.0) * (np.array([1.0, 0.75]) if b.chance(0.5) else np.array([0.72, 1.0]))
            prop, z = None, rng.uniform(1.25, 1.6) - height / 2 + 0.15
        x = rng.uniform(-0.5, 0.5) * (wall.length - width - 0.1)
        if not wall.claim(x, z, width, height, 0.06):
            continue
        place = wall.frame @ translation(x, -0.002, z)
        if prop is None:
            b.place(fittings.framed_picture(b, width, height), place, hung=True)
        else:
            b.place(prop, place, hung=True)
            covers = [b.material("book", fresh=0.5) for _ in range(4)]
            for support in prop.supports:
                clutter.fill_shelf(b, support, place, covers, 0.7)


def _shelf_unit(room: Room, walls: Sequence[Wall] | None = None) -> None:
    """A bookshelf or a cabinet with things, against a wall."""
    b, rng = room.b, room.b.rng
    if b.chance(0.6):
        height = min(rng.uniform(0.8, 2.3), room.height - 0.1)
        prop = furniture.bookshelf(
            b, rng.uniform(0.55, 1.5), rng.uniform(0.24, 0.36), height, max(2, round(height / rng.uniform(0.3, 0.42)))
        )
        frame = room.against_wall(prop, walls)
        if frame is not None:
            covers = [b.material("book", fresh=0.8) for _ in range(int(rng.integers(5, 10)))]
            fullness = rng.uniform(0.45, 0.95)
            for support in prop.supports:
                clutter.fill_shelf(b, support, frame, covers, fullness)
    else:
        height = b.choice([rng.uniform(0.45, 0.65), rng.uniform(0.75, 1.2), rng.uniform(1.5, 2.1)])
        prop = furniture.cabinet(
            b, rng.uniform(0.5, 1.6), rng.uniform(0.32, 0.5), height, int(rng.integers(1, 4)), int(rng.integers(1, 5))
        )
        room.fill(prop, room.against_wall(prop, walls), clutter.SHELF, 7)


def _seats_around(room: Room, frame: np.ndarray, width: float, depth: float, count: int) -> None:
    """Chairs of one design at a table that stands in `frame`, pushed in more or less."""
    b, rng = room.b, room.b.rng
    seat = furniture.chair(b)
    spots = [(x, -1) for x in np.linspace(-0.5, 0.5, 2 + max(1, int(width / 0.62)))[1:-1] * width]
    spots += [(x, 1) for x, _ in spots]
    for k in rng.permutation(len(spots))[:count]:
        x, side = spots[int(k)]
        away = depth / 2 + rng.uniform(0.26, 0.5)
        turn = rotation("z", (0 if side > 0 else 180) + rng.normal(0, 12))
        place = frame @ translation(x, side * away) @ turn
        if room.stand(seat, place, 0.0) and b.chance(0.15):
            room.fill(seat, place, ((clutter.thrown_cloth, 1.0), (clutter.loose_cushion, 1.0), (clutter.bag, 1.0)), 1)


def _living(room: Room, color: Callable[[], np.ndarray]) -> None:
    b, rng = room.b, room.b.rng
    couch = upholstery.sofa(b, int(rng.integers(2, 4)))
    frame = room.against_wall(couch, gap=rng.uniform(0.02, 0.15))
    if frame is not None:
        width, depth = rng.uniform(0.7, 1.2), rng.uniform(0.45, 0.65)
        coffee = furniture.table(b, width, depth, rng.uniform(0.35, 0.48))
        place = frame @ translation(rng.normal(0, 0.1), -rng.uniform(0.95, 1.2))
        rug = fittings.rug(b, rng.uniform(1.6, 2.6), rng.uniform(1.1, 1.7))
        if room.stand(coffee, place):
            room.fill(coffee, place, clutter.TABLE, 8)
            _lay_rug(room, rug, place)
        if b.chance(0.5):
            room.fill(couch, frame, ((clutter.thrown_cloth, 1.0), (clutter.books.single_book, 1.0), (clutter.bag, 0.5)), 1)
    for _ in range(int(rng.integers(0, 3))):
        seat = upholstery.sofa(b, 1) if b.chance(0.6) else upholstery.pouffe(b)
        room.anywhere(seat, 0.4)
    if b.chance(0.6):
        low = furniture.cabinet(
            b, rng.uniform(1.0, 1.8), 0.42, rng.uniform(0.4, 0.6), int(rng.integers(2, 4)), int(rng.integers(1, 3))
        )
        kinds = ((devices.monitor, 3.0), *clutter.SHELF)
        room.fill(low, room.against_wall(low), kinds, 6)
    for _ in range(int(rng.integers(1, 3))):
        _shelf_unit(room)
    _side_table(room, color)


def _lay_rug(room: Room, rug: Prop, place: np.ndarray) -> None:
    """A rug under what stands already: it is thin, so it is not in the way of others, but what stands on it is lifted."""
    low, high = rug.bounds()
    spot = place @ rotation("z", 0)
    corners = Footprint.of(low, high, spot).corners()
    if np.abs(corners[:, 0]).max() < room.width / 2 and np.abs(corners[:, 1]).max() < room.depth / 2:
        room.b.place(rug, spot, focus=False)


def _side_table(room: Room, color: Callable[[], np.ndarray]) -> None:
    b, rng = room.b, room.b.rng
    prop = (
        furniture.stool(b)
        if b.chance(0.5)
        else furniture.cabinet(b, rng.uniform(0.35, 0.5), 0.38, rng.uniform(0.4, 0.6), 1, int(rng.integers(1, 4)))
    )
    frame = room.against_wall(prop, gap=0.04)
    room.fill(prop, frame, clutter.SHELF, 4)


def _bedroom(room: Room, color: Callable[[], np.ndarray]) -> None:
    b, rng = room.b, room.b.rng
    bed = upholstery.bed(b)
    frame = room.against_wall(bed, tries=30)
    if frame is not None:
        _, high = bed.bounds()
        for side in (-1, 1):
            stand = furniture.cabinet(b, rng.uniform(0.36, 0.5), 0.38, rng.uniform(0.4, 0.6), 1, int(rng.integers(1, 4)))
            place = frame @ translation(side * (high[0] + 0.28), high[1] - 0.24)
            if b.chance(0.75) and room.stand(stand, place):
                room.fill(stand, place, ((clutter.books.single_book, 1.0), *clutter.SHELF), 5)
        if b.chance(0.4):
            room.fill(bed, frame, ((clutter.books.open_book, 1.0), (clutter.thrown_cloth, 1.0), (devices.laptop, 0.6)), 2)
        if b.chance(0.6):
            rug = fittings.rug(b, rng.uniform(1.2, 2.2), rng.uniform(0.8, 1.4))
            _lay_rug(room, rug, frame @ translation(rng.uniform(-0.8, 0.8), -rng.uniform(0.6, 1.4)))
    wardrobe = furniture.cabinet(
        b, rng.uniform(0.8, 1.8), 0.58, min(rng.uniform(1.8, 2.3), room.height - 0.1), int(rng.integers(2, 5)), 1
    )
    room.fill(
        wardrobe,
        room.against_wall(wardrobe),
        ((clutter.books.carton, 1.0), (clutter.bag, 0.5), (clutter.stacked_cloths, 1.0)),
        3,
    )
    _shelf_unit(room)
    if b.chance(0.6):
        desk = furniture.desk(b)
        room.fill(desk, room.against_wall(desk), clutter.DESK, 8)
    seat = furniture.chair(b)
    room.fill(
        seat, room.anywhere(seat, 0.45), ((clutter.thrown_cloth, 2.0), (clutter.bag, 1.0), (clutter.stacked_cloths, 1.0)), 1
    )


def _kitchen(room: Room, color: Callable[[], np.ndarray]) -> None:
    b, rng = room.b, room.b.rng
    order = sorted(room.walls, key=lambda wall: len(wall.openings) + len(wall.doors))
    tiles = b.material(b.choice(["wall", "ceramic", "stone"]), plain=0.2, gloss=0.9)
    for wall in order[: int(rng.integers(1, 3))]:
        length = min(wall.length - 0.1, rng.uniform(1.4, 3.0))
        run = furniture.counter(b, length, sink=b.chance(0.6))
        frame = room.against_wall(run, [wall], gap=0.025)
        if frame is None:
            continue
        room.fill(run, frame, clutter.KITCHEN, 8)
        local = np.linalg.inv(wall.frame) @ frame
        x = float(local[0, 3])
        if wall.claim(x, 0.95, length - 0.04, 0.5):
            b.add(block((x - length / 2, -0.012, 0.9), (x + length / 2, 0.001, 1.5)), tiles, wall.frame)
        if wall.claim(x, 1.5, length - 0.1, min(0.75, room.height - 1.6)) and b.chance(0.75):
            cupboard = fittings.wall_cupboard(b, length - 0.1, min(0.7, room.height - 1.6))
            b.place(cupboard, wall.frame @ translation(x, 0, 1.5), hung=True, focus=False)
    fridge = Prop()
    steel = b.material("metal", fresh=0.5) if b.chance(0.4) else b.material("plastic", color=(0.7, 0.7, 0.68), gloss=0.9)
    tall = rng.uniform(1.3, 1.9)
    fridge.add(box((0.6, 0.58, tall), 0.008), steel, translation(0, 0.02))
    fridge.add(box((0.595, 0.04, tall * 0.3), 0.008), steel, translation(0, -0.292, tall * 0.69))
    fridge.add(box((0.595, 0.04, tall * 0.64), 0.008), steel, translation(0, -0.292, 0.035))
    fridge.add(box((0.02, 0.03, 0.4), 0.004), b.material("metal", fresh=0.4), translation(0.24, -0.325, tall * 0.25))
    room.against_wall(fridge)
    _dining_table(room)
    if b.chance(0.5):
        _shelf_unit(room)


def _dining_table(room: Room) -> np.ndarray | None:
    b, rng = room.b, room.b.rng
    width, depth = rng.uniform(0.8, 1.9), rng.uniform(0.75, 0.95)
    table = furniture.table(b, width, depth, rng.uniform(0.72, 0.77))
    frame = room.anywhere(table, 0.2, b.choice([0, 90]), 20)
    if frame is not None:
        room.fill(table, frame, clutter.TABLE, 13)
        _seats_around(room, frame, width, depth, int(rng.integers(2, 7)))
        if b.chance(0.3):
            _lay_rug(room, fittings.rug(b, width + rng.uniform(0.6, 1.0), depth + rng.uniform(0.6, 1.2)), frame)
    return frame


def _dining(room: Room, color: Callable[[], np.ndarray]) -> None:
    _dining_table(room)
    for _ in range(int(room.b.rng.integers(1, 4))):
        _shelf_unit(room)


def _study(room: Room, color: Callable[[], np.ndarray]) -> None:
    b, rng = room.b, room.b.rng
    for _ in range(int(rng.integers(1, 3))):
        desk = furniture.desk(b)
        frame = room.against_wall(desk)
        room.fill(desk, frame, clutter.DESK, 14)
        if frame is not None:
            seat = furniture.office_chair(b) if b.chance(0.6) else furniture.chair(b)
            turn = rotation("z", 180 + rng.normal(0, 30))
            room.stand(seat, frame @ translation(rng.normal(0, 0.15), -rng.uniform(0.68, 0.95)) @ turn, 0.0)
    for _ in range(int(rng.integers(1, 4))):
        _shelf_unit(room)
    if b.chance(0.4):
        _dining_table(room)


def _fill_gaps(room: Room, color: Callable[[], np.ndarray]) -> None:
    """More furniture for what is left of the room: the larger, the more."""
    b, rng = room.b, room.b.rng
    for _ in range(int(rng.integers(1, int(3 + room.width * room.depth / 5)))):
        kind = b.choice(["shelf", "side", "seat", "table", "plant"], [0.35, 0.2, 0.2, 0.15, 0.1])
        if kind == "shelf":
            _shelf_unit(room)
        elif kind == "side":
            _side_table(room, color)
        elif kind == "seat":
            seat = upholstery.sofa(b, 1) if b.chance(0.4) else furniture.chair(b)
            room.fill(seat, room.against_wall(seat, gap=0.05), ((clutter.thrown_cloth, 1.0), (clutter.bag, 1.0)), 1)
        elif kind == "table":
            table = furniture.table(b, rng.uniform(0.6, 1.3), rng.uniform(0.4, 0.7), rng.uniform(0.55, 0.8))
            room.fill(table, room.against_wall(table), clutter.TABLE, 9)
        else:
            room.against_wall(clutter.potted_plant(b, rng.uniform(0.6, 1.7)), gap=0.05)


def _hallway(room: Room, color: Callable[[], np.ndarray]) -> None:
    b, rng = room.b, room.b.rng
    for _ in range(2):
        wall, x = b.choice(room.walls), rng.uniform(-0.3, 0.3)
        hooks = fittings.coat_hooks(b)
        low, high = hooks.bounds()
        if wall.claim(x * wall.length, 1.7 + low[2], high[0] - low[0], high[2] - low[2], 0.03):
            b.place(hooks, wall.frame @ translation(x * wall.length, 0, 1.7), hung=True)
            break
    for _ in range(int(rng.integers(1, 3))):
        low_shelf = furniture.bookshelf(b, rng.uniform(0.6, 1.1), 0.32, rng.uniform(0.4, 0.9), 2)
        room.fill(low_shelf, room.against_wall(low_shelf), ((clutter.shoes, 2.0), *clutter.SHELF), 4)
    _side_table(room, color)
    if b.chance(0.6):
        runner = fittings.rug(b, 0.8, min(room.depth * 0.7, 2.8))
        _lay_rug(room, runner, np.eye(4))
    _shelf_unit(room)
    for _ in range(3):
        room.anywhere(clutter.shoes(b), 0.48)


ROOMS: tuple[
    tuple[Callable[[Room, Callable[[], np.ndarray]], None], float, tuple[float, float], tuple[float, float]], ...
] = (
    (_living, 0.28, (3.4, 6.0), (3.4, 6.0)),
    (_bedroom, 0.2, (2.9, 4.6), (3.2, 4.8)),
    (_kitchen, 0.18, (2.6, 4.6), (2.8, 5.0)),
    (_study, 0.16, (2.6, 4.4), (2.8, 4.6)),
    (_dining, 0.1, (3.2, 5.0), (3.2, 5.4)),
    (_hallway, 0.08, (1.5, 2.4), (3.2, 5.5)),
)


def _light_by_day(b: SceneBuilder, windows: list[tuple[Wall, Opening]], white: WhiteBalance) -> float:
    """Portals behind the windows and often the sun; returns the daylight's power."""
    rng = b.rng
    color = white.color(white.kelvin * rng.uniform(0.95, 1.35))
    view = b.library.window_view(rng)
    power = 0.0
    for wall, hole in windows:
        frame = wall.frame @ translation(hole.x, 0, hole.z + hole.height / 2)
        window_portal(b, frame, hole.width, hole.height, WALL, color, view)
        power += 0.6 * np.pi * hole.width * hole.height
    if b.chance(0.6):
        wall, _ = b.choice(windows)
        outward = np.degrees(np.arctan2(wall.frame[1, 1], wall.frame[0, 1]))
        b.sun = make_sun(b, outward + rng.uniform(-62, 62), rng.uniform(10, 52), b.log_uniform(2.5, 12), white)
    return power


def _place_lamps(room: Room, color: Callable[[], np.ndarray], overhead: LightGroup) -> None:
    """Ceiling lights and lamps on floors and furniture, all of like power; `balance` scales them later."""
    b, rng = room.b, room.b.rng
    kind = rng.random()
    if kind < 0.35:
        for _ in range(int(rng.integers(1, 3))):
            x, y = rng.uniform(-0.25, 0.25, 2) * (room.width, room.depth)
            panel = lamps.ceiling_panel(b, color(), 1.0, overhead)
            b.place(panel, translation(x, y, room.height), hung=True, focus=False)
    elif kind < 0.7:
        x, y = rng.normal(0, 0.06, 2) * (room.width, room.depth)
        drop = rng.uniform(0.35, room.height - 1.75)
        b.place(lamps.pendant(b, color(), 1.0, drop, overhead), translation(x, y, room.height), hung=True)
    elif kind < 0.85:
        x, y = rng.uniform(-0.2, 0.2, 2) * (room.width, room.depth)
        spots = lamps.spot_bar(b, color(), 1.0, overhead)
        b.place(spots, translation(x, y, room.height) @ rotation("z", b.choice([0, 90])), hung=True)
    for _ in range(int(rng.integers(0 if kind < 0.85 else 1, 3))):
        # None: the arc lamp, which draws its own height.
        make = b.choice([lamps.shaded_lamp, lamps.shaded_lamp, lamps.globe_lamp, None])
        power = rng.uniform(0.3, 0.9)
        prop = lamps.arc_lamp(b, color(), power) if make is None else make(b, color(), power, rng.uniform(1.2, 1.65))
        room.anywhere(prop, 0.47)


def room_scene(b: SceneBuilder, people: bool = False) -> Scene:
    """A furnished room by day or night. people: one to four stand in it."""
    rng = b.rng
    weights = [each[1] for each in ROOMS]
    furnish, _, widths, depths = b.choice(ROOMS, weights)
    room = Room(b, rng.uniform(*widths), rng.uniform(*depths), rng.uniform(2.35, 3.1))
    day = b.chance(0.68)
    windows = _build_shell(room, 0.45 if day or b.chance(0.4) else 0.0, night=not day)
    kelvin = b.log_uniform(2500, 4300)
    white = WhiteBalance.draw(rng, b.log_uniform(5000, 7200) if day else 1.1 * kelvin)

    def color() -> np.ndarray:
        return white.color(kelvin * np.exp(rng.normal(0, 0.04)) if b.chance(0.75) else b.log_uniform(2300, 6000))

    power = _light_by_day(b, windows, white) if day else 0.0
    if not day or b.chance(0.45):
        overhead: LightGroup = "lamps" if b.sun is not None else "ceiling"
        _place_lamps(room, color, overhead)
    furnish(room, color)
    _fill_gaps(room, color)
    _decorate_walls(room, int(rng.integers(1, 8)))
    makers, shares = zip(*clutter.FLOOR)
    for _ in range(int(rng.integers(4, 15))):
        prop = b.choice(makers, shares)(b)
        if b.chance(0.45):
            room.against_wall(prop, gap=0.03)
        else:
            room.anywhere(prop, 0.48)
    if not any(light.group != "sky" for light in b.lights) and not day:
        b.place(lamps.ceiling_panel(b, color(), 1.0, "ceiling"), translation(z=room.height), hung=True, focus=False)
    target = power * b.log_uniform(0.06, 0.6) if day else np.pi * 0.3 * room.width * room.depth
    balance(b, ("ceiling", "lamps"), target)
    area = (-0.45 * room.width, 0.45 * room.width, -0.45 * room.depth, 0.45 * room.depth)
    standing = stand_people(b, room.floor, area) if people else []
    scene = b.build("people" if people else "room", lambda draw: _propose(b, room, people, draw))
    scene.wanted = frozenset(standing)
    return scene


def _propose(b: SceneBuilder, room: Room, people: bool, rng: np.random.Generator) -> Camera | None:
    """A view of a thing from nearby, of a corner, or of the room; people: of them, from where a photographer stands."""
    kind = rng.random()
    if kind < 0.6 and b.focus:
        target, size = b.focus[int(rng.integers(len(b.focus)))]
        steep = rng.uniform(4, 50) if rng.random() < 0.96 else rng.uniform(50, 75)
        azimuth, rise = rng.uniform(0, 2 * np.pi), np.radians(steep)
        distance = max(0.35, size * rng.uniform(1.1, 3.0))
        away = np.array([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
        origin = photographer(rng, target, distance) if people else target + distance * away
        aim = target + rng.normal(0, 0.12 * size, 3)
        fov = rng.uniform(30, 62)
    else:
        spread = 0.42
        origin = np.array([*(rng.uniform(-spread, spread, 2) * (room.width, room.depth)), rng.uniform(0.8, 1.75)])
        if kind < 0.86:  # towards the far part of the room
            across = -origin[:2] + rng.normal(0, 0.2, 2) * (room.width, room.depth)
            aim = np.array([*(origin[:2] + across), rng.uniform(0.4, 1.5)])
        else:
            azimuth = rng.uniform(0, 2 * np.pi)
            aim = origin + np.array([np.cos(azimuth), np.sin(azimuth), rng.normal(-0.12, 0.15)])
        fov = rng.uniform(45, 85)
    inside = np.abs(origin[:2]) < np.array([room.width, room.depth]) / 2 - 0.12
    if not inside.all() or not 0.12 < origin[2] < room.height - 0.12 or np.linalg.norm(aim - origin) < 0.2:
        return None
    if b.blocked(origin, 0.07):
        return None
    return Camera(origin, aim, float(fov))
