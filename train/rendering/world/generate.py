"""Seed -> Scene. The seed (with the library) determines the scene, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.scene import Scene
from intrinsic_flow.train.rendering.world.builder import SceneBuilder
from intrinsic_flow.train.rendering.world.portraits import portrait_scene
from intrinsic_flow.train.rendering.world.rooms import room_scene
from intrinsic_flow.train.rendering.world.specimens import specimen_scene
from intrinsic_flow.train.rendering.world.streets import street_scene
from intrinsic_flow.train.rendering.world.sunlit import sunlit_scene
from intrinsic_flow.train.rendering.world.tabletops import tabletop_scene


def people_scene(b: SceneBuilder) -> Scene:
    """A room or an outdoor place with people in it."""
    return room_scene(b, people=True) if b.chance(0.55) else street_scene(b, people=True)


# What makes each kind of scene, and its share.
KINDS: dict[str, tuple[Callable[[SceneBuilder], Scene], float]] = {
    "room": (room_scene, 0.17),
    "tabletop": (tabletop_scene, 0.08),
    "street": (street_scene, 0.10),
    "specimen": (specimen_scene, 0.06),
    "sunlit": (sunlit_scene, 0.05),
    "portrait": (portrait_scene, 0.14),
    "people": (people_scene, 0.09),
    "scans": (partial(tabletop_scene, scans=True), 0.12),
    "pattern": (partial(sunlit_scene, style="pattern"), 0.06),
    "print": (partial(sunlit_scene, style="print"), 0.06),
    "dappled": (partial(sunlit_scene, style="dappled"), 0.04),
    "color": (partial(sunlit_scene, style="color"), 0.03),
}


def generate(seed: int, library: Library, kinds: Collection[str] = ()) -> Scene:
    """The scene of a seed: what `KINDS` names.

    kinds: of KINDS; empty for all.
    """
    scene, _ = compose(seed, library, kinds)
    return scene


def compose(seed: int, library: Library, kinds: Collection[str] = ()) -> tuple[Scene, SceneBuilder]:
    """The scene of a seed, and the builder that made it, which knows what hangs and what may stand."""
    b = SceneBuilder(seed, library)
    makers, weights = zip(*(maker for kind, maker in KINDS.items() if not kinds or kind in kinds))
    return b.choice(makers, weights)(b), b
