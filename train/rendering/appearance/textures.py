"""Procedural albedo textures by role: which generators stand for what, and how often."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from intrinsic_flow.train.rendering.appearance.patterns import mineral, organic, printed, textile, timber
from intrinsic_flow.train.rendering.appearance.patterns.common import Patterned, pick

# For each role its generators and their weights.
GENERATORS: dict[str, dict[Callable[[np.random.Generator], Patterned], float]] = {
    "wall": {
        mineral.paint: 4,
        mineral.plaster: 2.5,
        printed.wallpaper: 4,
        mineral.bricks: 1,
        mineral.concrete: 0.8,
        mineral.tiles: 1,
        mineral.peeling: 0.6,
        timber.siding: 0.7,
    },
    "worn": {mineral.worn: 1},
    "soiled": {mineral.soiled: 1},
    "ceiling": {mineral.ceiling_paint: 4, mineral.ceiling_plaster: 2, mineral.ceiling_tiles: 2, timber.siding: 0.7},
    "floor": {
        timber.floorboards: 5,
        timber.parquet: 2,
        mineral.tiles: 4,
        textile.carpet: 2,
        mineral.concrete: 1,
        mineral.marble: 0.7,
        mineral.terrazzo: 1,
        mineral.granite: 0.4,
    },
    "rug": {textile.rug: 1},
    "fabric": {textile.woven: 6, textile.printed: 2.5, textile.knitted: 2, textile.leather: 1, textile.carpet: 0.4},
    "wood": {timber.solid: 6, timber.floorboards: 1.5, timber.painted: 1.5, timber.plywood: 0.7},
    "stone": {
        mineral.rock: 3,
        mineral.granite: 2,
        mineral.marble: 2,
        mineral.rubble: 1,
        mineral.terrazzo: 0.7,
        mineral.concrete: 1,
    },
    "ground": {mineral.soil: 3, mineral.lawn: 4, mineral.gravel: 2, mineral.paving: 2.5, mineral.concrete: 0.7},
    "road": {mineral.asphalt: 4, mineral.paving: 2, mineral.concrete: 1},
    "facade": {
        mineral.bricks: 4,
        mineral.plaster: 3,
        mineral.ashlar: 1.5,
        mineral.rubble: 1,
        mineral.concrete: 1.5,
        timber.siding: 2,
        mineral.peeling: 0.7,
        mineral.sheet_metal: 0.7,
        mineral.tiles: 0.5,
    },
    "roof": {mineral.roof: 6, mineral.sheet_metal: 1},
    "bark": {organic.bark: 1},
    "leaf": {organic.leaf: 1},
    "book": {printed.spine: 3, printed.cover: 2},
    "spine": {printed.spine: 1},
    "cover": {printed.cover: 1},
    "picture": {printed.picture: 1},
    "label": {printed.label: 1},
    "translucent": {mineral.marble: 1},
    "ceramic": {printed.ceramic: 1},
    "leather": {textile.leather: 1},
    "plastic": {mineral.plastic: 1},
    "metal": {mineral.bare_metal: 1},
    "paper": {printed.paper: 1},
    "cardboard": {printed.cardboard: 1},
    "any": {
        mineral.plastic: 1.5,
        timber.solid: 1.5,
        timber.painted: 1,
        textile.woven: 1.5,
        textile.printed: 1,
        textile.leather: 0.7,
        mineral.paint: 1,
        mineral.rock: 0.7,
        mineral.granite: 0.5,
        mineral.marble: 0.5,
        mineral.concrete: 0.7,
        mineral.terrazzo: 0.5,
        mineral.tiles: 0.7,
        mineral.sheet_metal: 0.7,
        printed.ceramic: 2,
        printed.wallpaper: 0.7,
    },
}

ROLES = tuple(GENERATORS)

# Roles whose textures are drawn once over uv (0, 0)..(1, 1); soiled: over a wall's height.
DRAWN_ONCE = frozenset({"rug", "book", "spine", "cover", "picture", "label", "soiled"})


def draw(rng: np.random.Generator, role: str) -> Patterned:
    """A texture for one of ROLES, made on the spot: about 30 ms."""
    generators = GENERATORS[role]
    return pick(rng, *generators, p=tuple(generators.values()))(rng)
