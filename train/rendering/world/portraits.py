"""Portraits and half figures: somebody fills the frame, before a wall, a backdrop or the open."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.scene import Camera, LightGroup, Scene
from intrinsic_flow.train.rendering.world import fittings, furniture, real
from intrinsic_flow.train.rendering.world.builder import SceneBuilder
from intrinsic_flow.train.rendering.world.clutter import fill_shelf, potted_plant
from intrinsic_flow.train.rendering.world.geometry import block, rotation, translation
from intrinsic_flow.train.rendering.world.lighting import (
    WhiteBalance,
    balance_white,
    bulb,
    dimmed_environment,
    glowing_panel,
    make_sun,
)


def _indoors(b: SceneBuilder) -> None:
    """A wall behind, near or far, with what hangs and stands there."""
    rng, back = b.rng, b.log_uniform(0.35, 3.0)
    b.add(block((-6, -5, -0.2), (6, 6, 0.0)), b.material("floor"))
    wall = rotation("z", rng.normal(0, 8)) @ translation(0, back)
    b.add(block((-6, 0, 0), (6, 0.2, 3.0)), b.material("wall", plain=0.45, height=3.0), wall)
    for _ in range(int(rng.integers(0, 5))):
        picture = fittings.framed_picture(b, *rng.uniform(0.25, 0.9, 2))
        place = wall @ translation(rng.uniform(-1.5, 1.5), -0.002, rng.uniform(1.0, 1.7))
        b.place(picture, place, hung=True, focus=False)
    if back > 0.9:
        for side in (-1, 1):
            place = wall @ translation(side * rng.uniform(0.5, 1.4), -0.24)
            if b.chance(0.4):
                unit = furniture.bookshelf(b, 1.0, 0.3, rng.uniform(1.6, 2.1), 5)
                b.place(unit, place, focus=False)
                covers = [b.material("book", fresh=0.7) for _ in range(5)]
                for support in unit.supports:
                    fill_shelf(b, support, place, covers, 0.7)
            elif b.chance(0.5):
                b.place(potted_plant(b, rng.uniform(0.8, 1.8)), place, focus=False)


def _outdoors(b: SceneBuilder) -> None:
    """Ground, and trees, bushes or a house's wall behind; else only the far."""
    rng = b.rng
    b.add(block((-40, -40, -0.2), (40, 40, 0)), b.material(b.choice(["ground", "road"]), plain=0.0), solid=False)
    for _ in range(int(rng.integers(0, 4))):
        place = translation(rng.uniform(-5, 5), rng.uniform(2.5, 9)) @ rotation("z", rng.uniform(0, 360))
        b.place(real.tree(b), place, focus=False)
    if b.chance(0.4):
        wall = rotation("z", rng.normal(0, 15)) @ translation(0, b.log_uniform(0.4, 8))
        height = rng.uniform(2.0, 6.0)
        b.add(block((-8, 0, 0), (8, 0.3, height)), b.material("facade", height=height), wall)


def _studio(b: SceneBuilder) -> None:
    """A backdrop of one colour, from black to strong."""
    paper = b.material(b.choice(["paper", "any", "fabric", "wall"]), plain=0.9, gloss=0.0)
    b.add(block((-6, -6, -0.2), (6, 6, 0.0)), paper, solid=False)
    b.add(block((-6, b.log_uniform(0.4, 2.0), 0), (6, 6, 3.5)), paper, solid=False)


def _toward(azimuth: float, rise: float) -> np.ndarray:
    a, e = np.radians([azimuth, rise])
    return np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])


def light_figure(b: SceneBuilder, face: np.ndarray, outside: bool) -> None:
    """Light on something at `face` (3,) that is seen from -y: sun, soft box, bare lamp, flash, from behind, by night, warm
    and cold at once.
    """
    rng = b.rng
    kelvin = b.log_uniform(2500, 6500)
    white = WhiteBalance.draw(rng, 5400 if outside else kelvin)
    if outside:
        dimmed_environment(b, "outdoor", 1.0)
        if b.chance(0.7):
            azimuth = 90 + rng.normal(0, 40) if b.chance(0.25) else -90 + rng.uniform(-100, 100)
            elevation = rng.uniform(8, 65)
            b.sun = make_sun(b, azimuth, elevation, np.pi * b.log_uniform(0.8, 5), white)
        balance_white(b)
        if b.chance(0.12):  # filled in by a flash
            _lamp(b, face, -90 + rng.normal(0, 6), rng.uniform(-3, 12), 0.03, b.log_uniform(1, 6), white.color(5500))
        return
    mood = b.choice(["window", "key", "lamp", "flash", "back", "mixed", "night"], [3, 2.5, 2, 1.2, 1.2, 1.3, 1])
    ambient = {"night": (0.004, 0.03), "flash": (0.02, 0.3), "lamp": (0.02, 0.5)}.get(mood, (0.05, 0.7))
    dimmed_environment(b, "indoor", b.log_uniform(*ambient))
    warm, cold = white.color(b.log_uniform(2300, 3500)), white.color(b.log_uniform(6000, 9000))
    color = white.color(kelvin * np.exp(rng.normal(0, 0.1)))
    around = -90 + rng.uniform(-85, 85)
    if mood == "window":
        _lamp(b, face, around, rng.uniform(-5, 30), b.log_uniform(0.8, 2.2), b.log_uniform(4, 12), cold)
    elif mood == "key":
        _lamp(b, face, around, rng.uniform(5, 50), b.log_uniform(0.25, 1.0), b.log_uniform(4, 14), color)
        _lamp(b, face, -180 - around, rng.uniform(0, 30), 1.0, b.log_uniform(0.4, 3), color, "ceiling")
    elif mood in ("lamp", "night"):
        _lamp(b, face, around, rng.uniform(-10, 75), b.log_uniform(0.03, 0.2), b.log_uniform(4, 14), warm)
        if b.chance(0.5):
            _lamp(b, face, rng.uniform(0, 360), rng.uniform(-10, 40), 0.2, b.log_uniform(0.3, 4), cold, "ceiling")
    elif mood == "flash":
        _lamp(b, face, -90 + rng.normal(0, 5), rng.uniform(-2, 10), b.log_uniform(0.02, 0.1), b.log_uniform(6, 12), color)
    elif mood == "back":
        _lamp(b, face, 90 + rng.normal(0, 35), rng.uniform(5, 50), b.log_uniform(0.15, 1.0), b.log_uniform(6, 20), color)
        _lamp(b, face, around, rng.uniform(0, 40), 1.0, b.log_uniform(0.5, 3), color, "ceiling")
    else:
        _lamp(b, face, -170 + rng.normal(0, 20), rng.uniform(0, 40), b.log_uniform(0.1, 1), b.log_uniform(2, 8), warm)
        colored = cold if b.chance(0.7) else rng.dirichlet((0.7, 0.7, 0.7)) * 2
        _lamp(
            b,
            face,
            -10 + rng.normal(0, 20),
            rng.uniform(0, 40),
            b.log_uniform(0.1, 1),
            b.log_uniform(2, 8),
            colored,
            "ceiling",
        )


def _lamp(
    b: SceneBuilder,
    face: np.ndarray,
    azimuth: float,
    rise: float,
    side: float,
    strength: float,
    color: np.ndarray,
    group: LightGroup = "lamps",
) -> None:
    """A panel (from 0.2 m on) or a ball of `side` metres that lights `face`, `strength` times 0.3 as an irradiance."""
    distance = b.rng.uniform(1.0, 3.0) + side / 2
    toward = _toward(azimuth, rise)
    center = face + distance * toward
    center[2] = max(center[2], 0.1 + side / 2)
    if side > 0.2:
        b.lights.append(glowing_panel(center, -toward, side, side, distance**2 * strength, color, group))
    else:
        b.lights.append(bulb(center, side / 2, distance**2 * strength * 4, color, group))


def portrait_scene(b: SceneBuilder) -> Scene:
    """One to three people, the first of whom the camera looks at."""
    rng = b.rng
    surroundings = b.choice([_indoors, _outdoors, _studio], [0.42, 0.38, 0.2])
    surroundings(b)
    b.focus.clear()
    faces = []
    for number in range(1 if b.chance(0.75) else int(rng.integers(2, 4))):
        x = 0.0 if number == 0 else (-1) ** number * rng.uniform(0.42, 0.7)
        place = translation(x, 0.0 if number == 0 else rng.uniform(-0.1, 0.5)) @ rotation("z", rng.normal(0, 28))
        face = real.stand_person(b, place)
        if face is not None:
            faces.append(face)
    if not faces:  # no people in the assets: a plant stands for them
        b.place(potted_plant(b, 1.5), np.eye(4))
        faces.append(np.array([0.0, 0.0, 1.2]))
    light_figure(b, faces[0], surroundings is _outdoors)
    scene = b.build("portrait", lambda draw: _propose(b, faces, draw))
    scene.close = True
    return scene


def _propose(b: SceneBuilder, faces: list[np.ndarray], rng: np.random.Generator) -> Camera | None:
    """A face, head and shoulders, or to the knee, from about the eyes' height."""
    face = faces[0] if rng.random() < 0.75 else faces[int(rng.integers(len(faces)))]
    extent = float(np.exp(rng.uniform(np.log(0.3), np.log(1.3))))
    aim = face + np.array(
        [rng.normal(0, 0.12 * extent), 0.0, 0.02 - 0.28 * max(extent - 0.3, 0) + rng.normal(0, 0.05 * extent)]
    )
    fov = float(np.exp(rng.uniform(np.log(14), np.log(55))))
    distance = extent / (2 * np.tan(np.radians(fov) / 2))
    origin = aim + distance * _toward(-90 + rng.normal(0, 30), rng.normal(2, 4))
    if origin[2] < 0.1 or distance < 0.45 or b.blocked(origin, 0.05):
        return None
    return Camera(origin, aim, fov)
