"""Seed -> Scene. The seed (with the library) determines the scene, bit for bit."""

from __future__ import annotations

from train.rendering.appearance.library import Library
from train.rendering.scene import Scene
from train.rendering.world.builder import SceneBuilder
from train.rendering.world.rooms import room_scene
from train.rendering.world.streets import street_scene
from train.rendering.world.tabletops import tabletop_scene

KINDS = ((room_scene, 0.50), (tabletop_scene, 0.24), (street_scene, 0.26))


def generate(seed: int, library: Library) -> Scene:
    """The scene of a seed: a room, a still life or an outdoor place."""
    scene, _ = compose(seed, library)
    return scene


def compose(seed: int, library: Library) -> tuple[Scene, SceneBuilder]:
    """The scene of a seed, and the builder that made it, which knows what hangs and what may stand."""
    b = SceneBuilder(seed, library)
    makers, weights = zip(*KINDS)
    return b.choice(makers, weights)(b), b
