"""A scene under construction: materials by role, props placed in it, lights.

A `Prop` is a thing about its own origin: it stands on z = 0, its front faces -y. A `Support` is a level place of a prop
where other props may stand. `SceneBuilder.place` puts a prop into the scene as one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from intrinsic_flow.train.rendering.appearance import palette
from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.appearance.patterns.mineral import USED_ALBEDO
from intrinsic_flow.train.rendering.appearance.vivid import vivid
from intrinsic_flow.train.rendering.scene import (
    Camera,
    Color,
    Environment,
    Light,
    Material,
    Mesh,
    Part,
    Scene,
    SphereLight,
    Sun,
    Texture,
)
from intrinsic_flow.train.rendering.world.geometry import moved, shifted_uv

T = TypeVar("T")

MAX_TRIANGLES = 450_000
# Optional things are left out above this, so that what has to come (walls, people, the last lamp) still fits.
ENOUGH_TRIANGLES = 220_000
# Light through thin sheets (`Material.transmission`): leaves send through about as much as they send back.
THROUGH = (0.25, 0.9)
# Strength of a scene's colours (see `vivid`): mean and standard deviation of its log.
VIVIDNESS = (0.73, 0.25)
# Contrast of its textures finer than some texels: lowest and highest factor.
DETAIL = (1.2, 1.9)


@dataclass(frozen=True)
class RolePrior:
    """How materials of a role vary. tile: metres of one repeat, None: the texture is shown whole. plain: probability of
    no texture. gloss: of a smooth coat. relief: of a height map; steepness: its root mean square slope. turn: whether
    the texture may be turned by 90 degrees.
    """

    tile: tuple[float, float] | None
    plain: float
    gloss: float
    relief: float
    steepness: tuple[float, float] = (0.04, 0.3)
    turn: bool = False


PRIORS: dict[str, RolePrior] = {
    "wall": RolePrior((1.0, 2.6), 0.5, 0.1, 0.6, (0.015, 0.13)),
    "ceiling": RolePrior((1.2, 3.0), 0.6, 0.05, 0.45, (0.02, 0.15)),
    "floor": RolePrior((0.9, 2.6), 0.03, 0.45, 0.5, (0.03, 0.2)),
    "rug": RolePrior(None, 0.05, 0.0, 0.6, (0.1, 0.4)),
    "fabric": RolePrior((0.25, 1.0), 0.3, 0.04, 0.7, (0.06, 0.35), True),
    "wood": RolePrior((0.6, 1.6), 0.22, 0.5, 0.4, (0.02, 0.15)),
    "stone": RolePrior((0.4, 1.4), 0.08, 0.25, 0.75, (0.08, 0.4), True),
    "ground": RolePrior((0.9, 2.5), 0.0, 0.03, 0.85, (0.08, 0.32), True),
    "road": RolePrior((1.5, 4.0), 0.02, 0.08, 0.85, (0.1, 0.4)),
    "facade": RolePrior((1.6, 4.5), 0.15, 0.06, 0.8, (0.06, 0.35)),
    "roof": RolePrior((1.4, 3.0), 0.05, 0.15, 0.85, (0.15, 0.5)),
    "bark": RolePrior((0.4, 1.0), 0.02, 0.0, 0.9, (0.2, 0.6)),
    "leaf": RolePrior((0.3, 0.8), 0.1, 0.4, 0.4, (0.03, 0.2), True),
    "book": RolePrior(None, 0.25, 0.5, 0.15),
    "picture": RolePrior(None, 0.0, 0.35, 0.1),
    "label": RolePrior(None, 0.0, 0.5, 0.1),
    "ceramic": RolePrior((0.15, 0.5), 0.5, 0.75, 0.12, (0.02, 0.15)),
    "translucent": RolePrior((0.15, 0.4), 0.6, 0.6, 0.15, (0.01, 0.05), True),
    "metal": RolePrior((0.2, 0.8), 1.0, 0.6, 0.1, (0.02, 0.1)),
    "plastic": RolePrior((0.2, 0.6), 0.85, 0.6, 0.12, (0.01, 0.06)),
    "paper": RolePrior((0.3, 0.8), 0.8, 0.1, 0.25, (0.02, 0.1)),
    "leather": RolePrior((0.2, 0.5), 1.0, 0.6, 0.6, (0.03, 0.15), True),
    "cardboard": RolePrior((0.3, 0.8), 1.0, 0.02, 0.4, (0.02, 0.1)),
    "any": RolePrior((0.25, 1.0), 0.25, 0.4, 0.4),
}
# The library's role, and the palette's for uniform colours, where they have another name.
LIBRARY_ROLE = {"metal": "any", "plastic": "any", "paper": "wall", "leather": "fabric", "cardboard": "wall"}
PALETTE_ROLE = {
    "floor": "wood",
    "rug": "fabric",
    "ground": "soil",
    "road": "asphalt",
    "facade": "wall",
    "leaf": "foliage",
    "picture": "print",
    "label": "print",
    "wood": "painted_wood",
}
# What things of a role are made of, where it is not the role's name.
MADE_OF = {
    "ceiling": "wall",
    "facade": "wall",
    "rug": "cloth",
    "fabric": "cloth",
    "road": "ground",
    "bark": "wood",
    "leaf": "foliage",
    "book": "print",
    "picture": "print",
    "label": "print",
    "cardboard": "paper",
    "any": "other",
}


@dataclass(frozen=True, eq=False)
class Support:
    """A level place to stand on. frame: (4, 4), origin in its middle, z up; width along x, depth along y; clearance:
    metres of free height above it.
    """

    frame: np.ndarray
    width: float
    depth: float
    clearance: float = 2.0


@dataclass(eq=False)
class Prop:
    """Meshes with their materials, lights and supports about a common origin."""

    pieces: list[tuple[Mesh, int]] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    supports: list[Support] = field(default_factory=list)

    def add(self, mesh: Mesh, material: int, frame: np.ndarray | None = None) -> None:
        """Add a mesh, in a frame of the prop."""
        self.pieces.append((mesh if frame is None else moved(mesh, frame), material))

    def include(self, other: Prop, frame: np.ndarray | None = None) -> None:
        """Take over all of another prop but its supports."""
        frame = np.eye(4) if frame is None else frame
        for mesh, material in other.pieces:
            self.add(mesh, material, frame)
        self.lights += [moved_light(light, frame) for light in other.lights]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner, (3,) each."""
        low = np.min([mesh.vertices.min(0) for mesh, _ in self.pieces], axis=0)
        return low, np.max([mesh.vertices.max(0) for mesh, _ in self.pieces], axis=0)

    def above_ground(self) -> Prop:
        """The prop with what reached below z = 0 (hanging leaves, sagging cables) bent up to it."""
        result = Prop(lights=self.lights, supports=self.supports)
        for mesh, material in self.pieces:
            if mesh.vertices[:, 2].min() < 0:
                vertices = mesh.vertices.copy()
                vertices[:, 2] = np.maximum(vertices[:, 2], 0.0015)
                mesh = replace(mesh, vertices=vertices)
            result.add(mesh, material)
        return result


def moved_light(light: Light, frame: np.ndarray) -> Light:
    """The light in the coordinates of a rigid (4, 4) frame."""
    center = frame[:3, :3] @ light.center + frame[:3, 3]
    if isinstance(light, SphereLight):
        return replace(light, center=center)
    return replace(light, center=center, normal=frame[:3, :3] @ light.normal)


@dataclass(frozen=True, eq=False)
class _Block:
    """Bounds of a placed piece in its own frame, to keep cameras out of it."""

    inverse: np.ndarray
    low: np.ndarray
    high: np.ndarray


class SceneBuilder:
    """Collects the parts of a scene. `rng` makes all of its draws: the seed fixes the scene."""

    def __init__(self, seed: int, library: Library) -> None:
        self.seed = seed
        self.library = library
        self.rng = np.random.default_rng(seed)
        self.materials: list[Material] = []
        self.parts: list[Part] = []
        self.lights: list[Light] = []
        self.sun: Sun | None = None
        self.environment: Environment | None = None
        self.focus: list[tuple[np.ndarray, float]] = []
        self.hung: set[int] = set()
        self.triangles = 0
        self._roles: list[str] = []
        self._plain: dict[int, int] = {}
        self._uniform: dict[int, Color] = {}
        self._walls: set[int] = set()
        self._things = 0
        self._blocks: list[_Block] = []
        self._stacked: tuple[np.ndarray, ...] = (np.zeros(0),) * 3

    @property
    def full(self) -> bool:
        """Whether optional things should be left out now."""
        return self.triangles > ENOUGH_TRIANGLES

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def choice(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, as it is (numpy would turn it into an array scalar)."""
        if weights is None:
            return options[int(self.rng.integers(len(options)))]
        shares = np.asarray(weights, float) / np.sum(weights)
        return options[int(self.rng.choice(len(options), p=shares))]

    def log_uniform(self, low: float, high: float) -> float:
        """A number whose logarithm is uniform."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def material(
        self,
        role: str,
        *,
        fresh: float = 1.0,
        color: Color | None = None,
        plain: float | None = None,
        gloss: float | None = None,
        tile_scale: float = 1.0,
        thin: bool = False,
        height: float | None = None,
    ) -> int:
        """Index of a material for a role of PRIORS.

        fresh: probability of a new one where the scene has some of this role (rooms repeat their materials). color: a
        uniform colour instead of a draw. plain, gloss: probabilities in place of the role's. tile_scale: on the
        metres of a repeat. thin: a sheet that light shines through, as leaves always are; translucent things (wax,
        soap, jade, milk glass) are closed shells of such sheets, through whose far side light comes in. height: metres of
        a wall that stands on z = 0: one colour gets dirtier towards the floor.
        """
        same = [index for index, other in enumerate(self._roles) if other == role]
        if color is not None:
            same = [index for index in same if self._uniform.get(index) == color]
        if same and not self.chance(fresh):
            return self.choice(same)
        rng, prior = self.rng, PRIORS[role]
        source = LIBRARY_ROLE.get(role, role)
        texture = None
        tint: Color = color if color is not None else palette.color(rng, PALETTE_ROLE.get(role, role))
        if color is None and not self.chance(prior.plain if plain is None else plain):
            texture = self.library.texture(rng, source)
            tint = _tint(rng)
        tile = None if prior.tile is None else self.log_uniform(*prior.tile) * tile_scale
        relief, strength = None, 0.0
        if self.chance(prior.relief * (1.0 if texture is not None else 0.7)):
            relief = self.library.relief(rng, source, texture)
            strength = self.log_uniform(*prior.steepness)
        roughness, specular = self._coat(role, prior.gloss if gloss is None else gloss)
        metallic = float(role == "metal" and self.chance(0.45))
        if metallic:  # bare metal is polished or brushed, never chalk
            roughness = max(0.55 * roughness, 0.1)
        kind = MADE_OF.get(role, role)
        made = Material(tint, texture, tile, relief, tile, strength, roughness, specular, metallic, kind)
        if thin or role in ("leaf", "translucent"):
            made = replace(made, transmission=float(rng.uniform(*THROUGH)))
        index = self.add_material(made, role)
        if texture is None:
            self._uniform[index] = tint
            self._use(index, height)
        return index

    def _use(self, index: int, height: float | None) -> None:
        """Make a material of one colour look used: no wall, cloth or plastic has one albedo all over. A scene has a few
        such textures; they are drawn apart from all else.
        """
        role = "worn" if height is None else "soiled"
        texture = self.library.texture(np.random.default_rng([self.seed, 7, index % 6]), role)
        made = self.materials[index]
        red, green, blue = (channel / USED_ALBEDO for channel in made.color)
        tile = made.tile if height is None else height
        self.materials[index] = replace(made, color=(red, green, blue), texture=texture, tile=tile, relief_tile=made.tile)
        if height is not None:
            self._walls.add(index)

    def plain_like(self, index: int) -> int:
        """A uniform material in the mean colour of another, for sides that its picture does not reach."""
        material = self.materials[index]
        if material.texture is None or index in self._uniform:
            return index
        if index not in self._plain:
            mean = ((material.texture.pixels.reshape(-1, 3) / 255.0) ** 2).mean(0) * material.color
            red, green, blue = np.clip(mean, 0.02, 0.85).tolist()
            self._plain[index] = self.material(self._roles[index], color=(red, green, blue))
        return self._plain[index]

    def model_material(self, color: Color, texture: Texture | None, gloss: float) -> int:
        """A material of a library model: its own colour and texture, which is shown whole; gloss: probability of a coat."""
        roughness, specular = self._coat("any", gloss)
        red, green, blue = np.clip(np.array(color) * np.exp(self.rng.normal(0, 0.15)), 0.02, 0.85).tolist()
        return self.add_material(Material((red, green, blue), texture, roughness=roughness, specular=specular), "model")

    def _coat(self, role: str, gloss: float) -> tuple[float, float]:
        """Roughness and specular reflectance."""
        if self.chance(gloss):
            return self.log_uniform(0.12, 0.5), self.rng.uniform(0.03, 0.06)
        matt = role in ("fabric", "rug", "ground", "bark", "paper", "ceiling")
        return self.rng.uniform(0.6, 1.0), self.rng.uniform(0.0, 0.02) if matt else self.rng.uniform(0.01, 0.045)

    def add_material(self, material: Material, role: str) -> int:
        """Index of a material that was made elsewhere."""
        self.materials.append(material)
        self._roles.append(role)
        return len(self.materials) - 1

    def new_thing(self) -> int:
        """A number for the next object."""
        self._things += 1
        return self._things - 1

    def add(
        self, mesh: Mesh, material: int, frame: np.ndarray | None = None, thing: int | None = None, solid: bool = True
    ) -> int:
        """Put a mesh into the scene; its texture is shifted at random where it repeats. Returns its thing. solid: cameras
        keep out of its bounds (a backdrop or rolling ground stands around them).
        """
        frame = np.eye(4) if frame is None else frame
        thing = self.new_thing() if thing is None else thing
        if self.materials[material].tile is not None:
            turn = PRIORS[self._roles[material]].turn and self.chance(0.5)
            offset = self.rng.uniform(0, 20, 2) * (1, material not in self._walls)
            mesh = shifted_uv(mesh, offset, turn and material not in self._walls)
        if solid:
            self._blocks.append(_Block(np.linalg.inv(frame), mesh.vertices.min(0), mesh.vertices.max(0)))
        self.parts.append(Part(moved(mesh, frame), material, thing))
        self.triangles += len(mesh.faces)
        return thing

    def place(
        self, prop: Prop, frame: np.ndarray, *, thing: int | None = None, hung: bool = False, focus: bool = True
    ) -> int:
        """Put a prop into the scene as one thing. hung: it is fixed to a wall or the ceiling and needs no support below.
        focus: cameras may look at it.
        """
        thing = self.new_thing() if thing is None else thing
        for mesh, material in prop.pieces:
            self.add(mesh, material, frame, thing)
        self.lights += [moved_light(light, frame) for light in prop.lights]
        if hung:
            self.hung.add(thing)
        if focus and prop.pieces:
            low, high = prop.bounds()
            center = frame[:3, :3] @ ((low + high) / 2) + frame[:3, 3]
            self.focus.append((center, float(np.linalg.norm(high - low) / 1.5)))
        return thing

    def blocked(self, point: np.ndarray, margin: float) -> bool:
        """Whether a point (3,) lies in the bounds of a placed mesh, or within `margin` metres of them."""
        if len(self._blocks) != len(self._stacked[0]):
            kinds = (
                [block.inverse for block in self._blocks],
                [b.low for b in self._blocks],
                [b.high for b in self._blocks],
            )
            self._stacked = tuple(np.array(kind) for kind in kinds)
        inverse, low, high = self._stacked
        local = inverse[:, :3, :3] @ point + inverse[:, :3, 3]
        return bool(((local > low - margin) & (local < high + margin)).all(1).any())

    def build(self, kind: str, propose_camera: Callable[[np.random.Generator], Camera | None]) -> Scene:
        """The finished scene. ValueError: over MAX_TRIANGLES, or its light groups do not fit a view."""
        if self.triangles > MAX_TRIANGLES:
            raise ValueError(f"scene {self.seed}: found {self.triangles} triangles, expected at most {MAX_TRIANGLES}")
        scene = Scene(
            self.seed,
            kind,
            self.parts,
            vivid(self.materials, float(np.exp(self.rng.normal(*VIVIDNESS))), self.rng.uniform(*DETAIL)),
            self.lights,
            self.sun,
            self.environment,
            propose_camera,
            self.focus,
        )
        _ = scene.groups
        return scene


def _tint(rng: np.random.Generator) -> Color:
    """A factor on a texture: mostly brightness, now and then another dye."""
    brightness = np.exp(rng.normal(0, 0.16))
    cast = rng.normal(1, 0.05, 3)
    if rng.random() < 0.1:
        dye = np.array(palette.color(rng, "any")) ** 0.5
        cast = dye / dye.max()
    red, green, blue = np.clip(brightness * cast, 0.35, 1.35)
    return float(red), float(green), float(blue)
