"""Props made of the assets' models in metres: people, scans, furniture, trees."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from intrinsic_flow.train.rendering.appearance.gltf import Model, ModelPart
from intrinsic_flow.train.rendering.scene import Color, Material
from intrinsic_flow.train.rendering.world import clutter
from intrinsic_flow.train.rendering.world.builder import THROUGH, Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.foliage import leaf_cloud
from intrinsic_flow.train.rendering.world.geometry import resized, rotation, translation
from intrinsic_flow.train.rendering.world.layout import Footprint, Layout

FURNITURE = ("furniture_cc0", "furniture_ccby", "polyhaven")
SCANS = "ycb"
# Models of furniture/ that are no larger than this (metres) stand on tables.
_SMALL = 0.5
# Not there for a camera near them: parts of houses, and what hangs on walls or ceilings.
_NO_FURNITURE = "door|window|ceiling|socket|hanging|pendant|hood|towel|shower|biplane|hut|lamp|clock|coat|umbrella"

# What a material is made of by words in its name, and by the folder of its model.
_MADE_OF = (
    ("skin", "skin"),
    ("eye", "eye"),
    ("hair|brow|lash", "hair"),
    ("shoe", "shoes"),
    ("cloth|text|fabric|pillow|cushion|sheet|tissu|sofa|mattress", "cloth"),
    ("cuir|leather", "leather"),
    ("wood|bois|oak|parquet|pine|walnut", "wood"),
    ("metal|steel|chrome|inox|alu|iron|brass|gold", "metal"),
    ("leaf|leaves|plant|feuille|bark", "foliage"),
    ("paper|book|page|label|card", "print"),
    ("plastic|rubber", "plastic"),
    ("ceramic|porcelain|vase|pot", "ceramic"),
)
# Linear colours of hair, between which it is drawn: black, browns, blond, red, grey, white.
_HAIRS = np.array(
    [
        [0.08, 0.07, 0.062],
        [0.1, 0.06, 0.04],
        [0.1, 0.05, 0.025],
        [0.38, 0.24, 0.11],
        [0.25, 0.06, 0.02],
        [0.3, 0.29, 0.28],
        [0.6, 0.58, 0.54],
    ]
)


def _made_of(part: ModelPart, folder: str) -> str:
    if part.clear:
        return "glass"
    for words, kind in _MADE_OF:
        if re.search(words, part.name.lower()):
            return kind
    return {"ycb": "scan", "foliage": "foliage"}.get(folder, "other")


def hair_color(b: SceneBuilder) -> Color:
    """A colour of hair, dyed now and then."""
    if b.chance(0.04):
        red, green, blue = 0.4 * b.rng.dirichlet((0.6, 0.6, 0.6)) + 0.02
        return float(red), float(green), float(blue)
    first, second = _HAIRS[b.rng.choice(len(_HAIRS), 2, p=[0.28, 0.24, 0.2, 0.12, 0.05, 0.07, 0.04])]
    red, green, blue = first + (second - first) * b.rng.uniform(0, 0.4)
    return float(red), float(green), float(blue)


def _material(b: SceneBuilder, part: ModelPart, kind: str, hair: Color) -> Material:
    """As the file says, with other hair, a little of another tint on skin and some on cloth, and a drawn coat."""
    rng, color = b.rng, np.array(part.color)
    roughness = part.roughness if part.roughness is not None else 0.8
    specular = 0.02
    if kind == "hair" and part.name != "lash":
        color, roughness, specular = np.array(hair) * (0.7 if part.name == "brow" else 1.0), rng.uniform(0.35, 0.6), 0.045
    elif kind == "skin":
        color = color * np.exp(rng.normal(0, (0.05, 0.05, 0.06)))
        roughness, specular = rng.uniform(0.38, 0.65), rng.uniform(0.02, 0.04)
    elif kind == "eye":
        roughness, specular = 0.12, 0.04
    elif kind == "cloth":
        if b.chance(0.3):
            color = color * np.exp(rng.normal(0, 0.25, 3))
        roughness, specular = rng.uniform(0.7, 1.0), rng.uniform(0.0, 0.02)
    elif kind in ("shoes", "leather", "plastic", "ceramic", "other", "scan"):
        gloss = b.chance(0.45)
        roughness, specular = (b.log_uniform(0.12, 0.5), 0.045) if gloss else (rng.uniform(0.5, 0.9), 0.03)
        if part.texture is None:
            color = color * np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.1, 3))
    elif kind == "glass":
        color = 0.55 + 0.45 * color
    red, green, blue = np.clip(color, 0.012, 1.0 if part.texture is not None or part.clear else 0.85).tolist()
    metallic = float(kind == "metal" and b.chance(0.6))
    return Material(
        (red, green, blue),
        part.texture,
        roughness=b.log_uniform(0.15, 0.5) if metallic else roughness,
        specular=specular,
        metallic=metallic,
        kind=kind,
        cutoff=part.cutoff,
        clear=part.clear,
        transmission=rng.uniform(*THROUGH) if kind == "foliage" and part.cutoff else 0.0,
    )


def prop_of(b: SceneBuilder, model: Model, folder: str, scale: float = 1.0) -> Prop:
    """A model as a prop, z up, its front to -y."""
    prop, hair = Prop(), hair_color(b)
    same: dict[str, int] = {}
    for part in model.parts:
        kind = _made_of(part, folder)
        if folder == "people" or part.name not in same:
            same[part.name] = b.add_material(_material(b, part, kind, hair), "model")
        prop.add(resized(part.mesh, scale), same[part.name])
    return prop


def scan(b: SceneBuilder) -> Prop:
    """A scanned household thing, upright or lying; without assets, whatever stands on tables."""
    model = b.library.real_model(b.rng, SCANS)
    if model is None:
        return b.choice(clutter.STILL_LIFE)[0](b)
    prop = prop_of(b, model, SCANS, float(np.exp(b.rng.normal(0, 0.08))))
    if b.chance(0.3):
        turned = Prop()
        turned.include(prop, rotation(b.choice(["x", "y"]), b.choice([90.0, -90.0, 180.0])))
        low, high = turned.bounds()
        middle = (low + high) / 2
        prop = Prop()
        prop.include(turned, translation(-middle[0], -middle[1], -low[2]))
    return prop


def small_thing(b: SceneBuilder) -> Prop:
    """A modelled thing that a table carries."""
    return _sized(b, 0.0, _SMALL) or scan(b)


def furniture(b: SceneBuilder) -> Prop:
    """A modelled piece of furniture or equipment."""
    return _sized(b, _SMALL, 2.6) or clutter.potted_plant(b, 1.0)


def _sized(b: SceneBuilder, least: float, most: float) -> Prop | None:
    for _ in range(6):
        model = b.library.real_model(b.rng, *FURNITURE, name=rf"^(?!.*({_NO_FURNITURE}))")
        if model is None:
            return None
        points = np.concatenate([part.mesh.vertices for part in model.parts])
        if least < float(np.ptp(points, axis=0).max()) <= most:
            return prop_of(b, model, "furniture")
    return None


def tree(b: SceneBuilder, name: str = "tree") -> Prop:
    """A tree or a bush with leaves that are cut-outs; without assets, a cloud of leaves on nothing."""
    model = b.library.real_model(b.rng, "foliage", name=name)
    if model is not None:
        return prop_of(b, model, "foliage", float(np.exp(b.rng.normal(0, 0.15))))
    prop = Prop()
    prop.add(leaf_cloud(b.rng, 1200, np.array([3.0, 3.0, 2.5]), 0.14), b.material("leaf"), translation(z=3.0))
    return prop


def person(b: SceneBuilder) -> tuple[Prop, np.ndarray] | None:
    """Somebody who stands, and the point (3,) between the eyes. Some are mirrored and a little larger or smaller. None:
    there are no people in the assets.
    """
    model = b.library.real_model(b.rng, "people")
    if model is None:
        return None
    points = np.concatenate([part.mesh.vertices for part in model.parts])
    height = float(points[:, 2].max())
    scale = float(np.clip(b.rng.normal(1.72, 0.09), 1.5, 1.95)) / height if height > 1.2 else 1.0
    if b.chance(0.5):
        parts = []
        for part in model.parts:
            mesh = part.mesh
            normals = None if mesh.normals is None else mesh.normals * (-1, 1, 1)
            mirrored = replace(mesh, vertices=mesh.vertices * (-1, 1, 1), faces=mesh.faces[:, ::-1], normals=normals)
            parts.append(replace(part, mesh=mirrored))
        model = replace(model, parts=tuple(parts))
    eyes = [part.mesh.vertices for part in model.parts if part.name == "eye"]
    look = scale * np.concatenate(eyes).mean(0) if eyes else np.array([0.0, 0.0, 0.93 * scale * height])
    return prop_of(b, model, "people", scale), look


def photographer(rng: np.random.Generator, target: np.ndarray, distance: float) -> np.ndarray:
    """A camera's place (3,) about `distance` metres from a point (3,): held by somebody who stands, or kneels now and then,
    and steps back rather than look steeply up or down.
    """
    height = rng.normal(1.55, 0.1) if rng.random() < 0.85 else rng.uniform(0.8, 1.35)
    distance = max(distance, 1.6 * abs(height - target[2]))
    azimuth = rng.uniform(0, 2 * np.pi)
    return np.array([target[0] + distance * np.cos(azimuth), target[1] + distance * np.sin(azimuth), height])


def stand_people(b: SceneBuilder, ground: Layout, area: tuple[float, float, float, float]) -> list[int]:
    """One to four people on free ground within (x0, x1, y0, y1); cameras look at them as often as at all else.
    Returns their things.
    """
    rest = list(b.focus)
    b.focus.clear()
    people = []
    for _ in range(int(b.rng.integers(1, 5))):
        for _ in range(80):
            x, y = b.rng.uniform(area[0], area[1]), b.rng.uniform(area[2], area[3])
            frame = translation(x, y) @ rotation("z", b.rng.uniform(0, 360))
            if ground.claim(Footprint(np.array([x, y]), np.array([0.35, 0.3]), 0.0, 0.0, 1.8)):
                if stand_person(b, frame) is not None:
                    people.append(b.parts[-1].thing)
                break
    b.focus += b.focus * (len(rest) // max(len(b.focus), 1)) + rest
    return people


def stand_person(b: SceneBuilder, frame: np.ndarray) -> np.ndarray | None:
    """Put somebody into the scene; the point (3,) between the eyes. Cameras may look at the face and at the whole."""
    found = person(b)
    if found is None:
        return None
    prop, look = found
    b.place(prop, frame)
    eyes = (frame @ [*look, 1.0])[:3]
    b.focus.append((eyes, 0.3))
    return eyes
