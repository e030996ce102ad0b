"""Seed -> Scene. The seed (with the library) determines the scene, bit for bit."""

from __future__ import annotations

from collections.abc import Collection

from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.scene import Scene
from intrinsic_flow.train.rendering.world.builder import SceneBuilder
from intrinsic_flow.train.rendering.world.rooms import room_scene
from intrinsic_flow.train.rendering.world.specimens import specimen_scene
from intrinsic_flow.train.rendering.world.streets import street_scene
from intrinsic_flow.train.rendering.world.sunlit import sunlit_scene
from intrinsic_flow.train.rendering.world.tabletops import tabletop_scene

# What makes each kind of scene, and its share.
KINDS = {
    "room": (room_scene, 0.40),
    "tabletop": (tabletop_scene, 0.19),
    "street": (street_scene, 0.20),
    "specimen": (specimen_scene, 0.11),
    "sunlit": (sunlit_scene, 0.10),
}


def generate(seed: int, library: Library, kinds: Collection[str] = ()) -> Scene:
    """The scene of a seed: a room, a still life, an outdoor place, a single thing or a bare wall in the sun.

    kinds: of KINDS; empty for all.
    """
    scene, _ = compose(seed, library, kinds)
    return scene


def compose(seed: int, library: Library, kinds: Collection[str] = ()) -> tuple[Scene, SceneBuilder]:
    """The scene of a seed, and the builder that made it, which knows what hangs and what may stand."""
    b = SceneBuilder(seed, library)
    makers, weights = zip(*(maker for kind, maker in KINDS.items() if not kinds or kind in kinds))
    return b.choice(makers, weights)(b), b
