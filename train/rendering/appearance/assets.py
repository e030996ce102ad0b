"""What an --assets folder holds: hdri/ (environment maps), textures/ (pictures named by material), models/ (small glTF
models without a scale); people/, objects/*/ and foliage/ (glTF in metres); prints/ (pictures), fonts/ (TrueType).

Any of them may be missing. Files are listed when the folder is opened and decoded when they are first drawn; a file
that cannot be used is named in the log and left out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.train.rendering.appearance import palette, sky
from intrinsic_flow.train.rendering.appearance.gltf import Model, ModelPart, needs_draco, read_model, srgb_to_linear
from intrinsic_flow.train.rendering.scene import Environment, Texture

__all__ = ["Assets", "Model", "ModelPart"]

log = logging.getLogger(__name__)

Usable = TypeVar("Usable")

# Which materials serve a role, with weights. A material is a file's name up to the first "_" or digit.
MATERIALS: dict[str, dict[str, float]] = {
    "wall": {
        "plaster": 4,
        "wallpaper": 2,
        "concrete": 2,
        "bricks": 2,
        "tiles": 2,
        "woodsiding": 1,
        "planks": 1,
        "paint": 0.5,
    },
    "ceiling": {"officeceiling": 2, "plaster": 3, "planks": 0.5},
    "floor": {
        "woodfloor": 5,
        "tiles": 4,
        "planks": 1.5,
        "carpet": 1.5,
        "marble": 1,
        "terrazzo": 1,
        "concrete": 1,
        "granite": 0.7,
        "travertine": 0.7,
        "tatami": 0.5,
    },
    "fabric": {"fabric": 6, "carpet": 1.5},
    "wood": {"wood": 6, "planks": 1, "woodfloor": 1, "chipboard": 0.5, "cork": 0.5, "bamboo": 0.5},
    "stone": {"rock": 3, "rocks": 1, "granite": 1, "marble": 1.5, "onyx": 0.7, "travertine": 1, "concrete": 0.5},
    "ground": {
        "ground": 4,
        "grass": 3,
        "gravel": 2,
        "pavingstones": 2.5,
        "moss": 0.5,
        "rocks": 0.5,
        "scatteredleaves": 0.5,
        "woodchips": 0.3,
        "snow": 0.3,
    },
    "road": {"asphalt": 4, "pavingstones": 2, "concrete": 1, "gravel": 0.5},
    "facade": {
        "bricks": 4,
        "concrete": 2,
        "plaster": 2,
        "woodsiding": 1,
        "planks": 1,
        "corrugatedsteel": 0.7,
        "rock": 0.5,
        "paint": 0.1,
        "tiles": 0.5,
    },
    "roof": {"roofingtiles": 4, "thatchedroof": 0.5, "corrugatedsteel": 0.5, "rust": 0.2},
    "bark": {"bark": 1},
    "translucent": {"marble": 2, "onyx": 1},
    "ceramic": {"glazedterracotta": 1, "clay": 1},
    "plastic": {"plastic": 1},
    "paper": {"paper": 1},
    "cardboard": {"cardboard": 1},
}
# Metals, glass and cut-outs: their pictures are no albedo of an opaque, diffuse surface.
NO_ALBEDO = frozenset(
    ("metal", "chainmail", "foil", "solarpanel", "net", "diamondplate", "porcelain", "pineneedles", "brushed", "glass")
)
# Drawn patterns of a size of their own do not suit every object.
NOT_ANY = frozenset({"officeceiling", "road", "tatami", "pavingstones", "roofingtiles"})
SMALLEST = 48  # pixels that must be left of a texture's shorter side
MAP_SIZE = (512, 256)
# The least albedo of print: darker, and it would count as black, where shading is unknown.
_BLACK_INK = 0.032


class Assets:
    """The usable files of a folder. Draws depend on the generator's state and the files only."""

    def __init__(
        self,
        textures: list[Path],
        environments: list[tuple[Environment, bool]],
        models: list[Path],
        real: dict[str, list[Path]] | None = None,
        prints: list[Path] | None = None,
        fonts: tuple[Path, ...] = (),
    ) -> None:
        """textures, models, prints, fonts: sorted. environments: with whether each is outdoors. real: models in metres, by
        folder (people, foliage, or the name of a folder of objects/).
        """
        self._environments = {
            "outdoor": [found for found, outdoor in environments if outdoor],
            "indoor": [found for found, outdoor in environments if not outdoor],
        }
        by_material: dict[str, list[Path]] = {}
        for path in textures:
            material = material_of(path)
            if material not in NO_ALBEDO:
                by_material.setdefault(material, []).append(path)
        self._by_material = by_material
        self._materials = {role: _present(weights, by_material) for role, weights in MATERIALS.items()}
        # Equal shares per file would make half of everything tiles and paving: the square root evens it out.
        anything = {name: len(files) ** 0.5 for name, files in by_material.items() if name not in NOT_ANY}
        self._materials["any"] = _present(anything, by_material)
        self._models = models
        self._real = real or {}
        self._prints = prints or []
        self.fonts = fonts
        self._texture = cache(_or_none(read_texture))
        self._model = cache(_or_none(read_model))
        # People and scans are large: what was used longest ago is read again.
        self._real_model = lru_cache(maxsize=24)(_or_none(partial(read_model, real=True)))
        self._print = lru_cache(maxsize=64)(_or_none(_read_print))

    @classmethod
    def open(cls, folder: Path) -> Assets:
        """InputError: no such folder, or nothing in it. MissingExtraError: its models need DracoPy."""
        kinds = ("hdri", "textures", "models", "people", "objects", "foliage", "prints", "fonts")
        if not folder.is_dir():
            raise InputError(folder, "no such folder", f"a folder with any of {', '.join(kinds)}")
        if not any((folder / kind).is_dir() for kind in kinds):
            raise InputError(folder, "none of the sub-folders", f"a folder with any of {', '.join(kinds)}")
        maps = map(_or_none(read_environment), _files(folder / "hdri", ".hdr"))
        environments = [found for found in maps if found is not None]
        models = _files(folder / "models", ".gltf", ".glb")
        _require_draco(models)
        objects = folder / "objects"
        groups = sorted(path for path in objects.iterdir() if path.is_dir()) if objects.is_dir() else []
        real = {path.name: _files(path, ".gltf", ".glb") for path in (folder / "people", folder / "foliage", *groups)}
        prints, fonts = _files(folder / "prints", ".jpg", ".jpeg", ".png"), _files(folder / "fonts", ".ttf", ".otf")
        textures = _files(folder / "textures", ".jpg", ".jpeg", ".png")
        assets = cls(textures, environments, models, real, prints, tuple(fonts))
        log.info("%s: %s", folder, assets.summary())
        return assets

    def summary(self) -> str:
        textures = sum(len(files) for files in self._by_material.values())
        outdoor, indoor = (len(self._environments[kind]) for kind in ("outdoor", "indoor"))
        return (
            f"{outdoor} outdoor and {indoor} indoor maps, {textures} textures, "
            f"{len(self._models) + sum(map(len, self._real.values()))} models, {len(self._prints)} prints, "
            f"{len(self.fonts)} fonts"
        )

    def has_textures(self, role: str) -> bool:
        return bool(self._materials.get(role))

    def texture(self, rng: np.random.Generator, role: str) -> Texture | None:
        """A texture of a role that has some; None: the file drawn cannot be used."""
        weights = self._materials[role]
        share = np.array(list(weights.values()))
        files = self._by_material[list(weights)[int(rng.choice(len(share), p=share / share.sum()))]]
        return self._texture(files[int(rng.integers(len(files)))])

    def has_environments(self, kind: str) -> bool:
        return bool(self._environments[kind])

    def environment(self, rng: np.random.Generator, kind: str) -> Environment:
        found = self._environments[kind]
        return found[int(rng.integers(len(found)))]

    def model(self, rng: np.random.Generator) -> Model | None:
        """A model; where the one drawn cannot be used, the next that can. None: there is none."""
        if not self._models:
            return None
        start = int(rng.integers(len(self._models)))
        for offset in range(len(self._models)):
            found = self._model(self._models[(start + offset) % len(self._models)])
            if found is not None:
                return found
        return None

    def real(self, rng: np.random.Generator, *folders: str, name: str = "") -> Model | None:
        """A model in metres of one of these folders, whose file name matches the regular expression `name`. None: there is
        none, or it cannot be used.
        """
        found = [path for folder in folders for path in self._real.get(folder, []) if re.search(name, path.stem)]
        return self._real_model(found[int(rng.integers(len(found)))]) if found else None

    def has_prints(self) -> bool:
        return bool(self._prints)

    def print(self, rng: np.random.Generator, name: str = "") -> Texture | None:
        """A picture to be shown whole, top at v = 1, whose file name matches `name`; its sides are in its pixels' shape."""
        found = [path for path in self._prints if re.search(name, path.stem)]
        return self._print(found[int(rng.integers(len(found)))]) if found else None


def material_of(path: Path) -> str:
    """The material that a texture's name starts with, lower case: "large_Grass001_1K.jpg" -> "grass"."""
    return re.split(r"[_\d\W]", path.stem.removeprefix("large_"), maxsplit=1)[0].lower()


def read_texture(path: Path) -> Texture:
    """An albedo texture from a picture in sRGB; whether it repeats is measured at its borders. InputError: not usable."""
    picture = without_white_border(_read_picture(path))
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise InputError(path, f"{width} x {height} pixels of texture", f"at least {SMALLEST} x {SMALLEST}")
    linear = without_shading(_LINEAR[picture])
    pixels = (np.sqrt(np.clip(linear, *palette.ALBEDO_RANGE)) * 255 + 0.5).astype(np.uint8)
    return Texture(pixels, tileable=_repeats(pixels))


def read_environment(path: Path) -> tuple[Environment, bool]:
    """A normalised map, and whether it was taken outdoors. InputError: not usable."""
    radiance = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if radiance is None or radiance.dtype != np.float32 or radiance.ndim != 3:
        raise InputError(path, "no radiance map that can be decoded", "a Radiance .hdr file")
    height, width = radiance.shape[:2]
    if width != 2 * height:
        raise InputError(path, f"{width} x {height} pixels", "a latitude-longitude map twice as wide as high")
    if not np.isfinite(radiance).all() or radiance.max() <= 0:
        raise InputError(path, "radiance that is infinite or 0 everywhere", "finite, positive radiance")
    radiance = cv2.resize(radiance, MAP_SIZE, interpolation=cv2.INTER_AREA)[..., ::-1]
    radiance = sky.normalise(radiance)
    return Environment(np.ascontiguousarray(radiance), name=path.stem), is_outdoor(radiance)


def is_outdoor(radiance: np.ndarray) -> bool:
    """Whether a map (256, 512, 3) shows the open sky or the crowns of trees.

    Outdoors the upper half is a smooth bluish or much brighter expanse, or finely broken foliage. What stays undecided
    counts as indoors: a dark studio behind a window is worse than a forest that only lights a tabletop.
    """
    luminance = radiance @ sky.LUMINANCE
    upper, bright = radiance[20:115], luminance[20:115]
    red, green, blue = (upper[..., k] for k in range(3))
    logarithm = np.log(luminance + 1e-3 * float(np.median(luminance)))
    smooth = np.abs(cv2.blur(logarithm, (9, 9)) - logarithm)[20:115] < 0.12
    lit = smooth & (bright > 0.5 * float(np.median(luminance)))
    above_below = float(np.median(bright) / max(float(np.median(luminance[140:])), 1e-6))
    blue_sky = (lit & (blue > 1.12 * red)).mean() > 0.3 and above_below > 1.2
    grey_sky = lit.mean() > 0.6 and above_below > 6
    foliage = smooth.mean() < 0.25 and ((green > 1.05 * red) & (green > 1.25 * blue)).mean() > 0.1
    return bool(blue_sky or grey_sky or foliage)


def without_white_border(picture: np.ndarray) -> np.ndarray:
    """Cut the white that a preview leaves around its material, and two more pixels that its edge bleeds into.

    picture: (H, W, 3) uint8. One that would lose nearly all, as white paper would, stays whole.
    """
    height, width = picture.shape[:2]
    (top, bottom), (left, right) = (_inside(picture.mean(axis=axis)) for axis in (1, 0))
    if min(bottom - top, right - left) < SMALLEST:
        return picture
    return picture[top and top + 2 : bottom - 2 * (bottom < height), left and left + 2 : right - 2 * (right < width)]


def _inside(lines: np.ndarray) -> tuple[int, int]:
    """Where the lines (N, 3), means of rows or columns, first and last are not white: a range of indices."""
    colored = np.flatnonzero(lines.min(axis=-1) < 236)
    return (int(colored[0]), int(colored[-1]) + 1) if len(colored) else (0, 0)


def without_shading(albedo: np.ndarray, allowed: float = 0.25) -> np.ndarray:
    """Take out a gradient of light that a picture was taken with: a quadratic surface fitted to the log luminance is
    divided out where it swings by more than `allowed` (natural log) and is most of what the picture shows from afar (a
    pattern of large tiles can be fitted, too, but badly). albedo: (H, W, 3) float32, linear.
    """
    height, width = albedo.shape[:2]
    small = cv2.resize(np.log(albedo @ sky.LUMINANCE + 0.01), (24, 24), interpolation=cv2.INTER_AREA)
    terms = _quadratic(24, 24)
    weights, *_ = np.linalg.lstsq(terms, small.ravel(), rcond=None)
    weights[0] = 0
    surface = terms @ weights
    explained = surface.var() / max(float(small.var()), 1e-9)
    if surface.max() - surface.min() <= allowed or explained < 0.7:
        return albedo
    full = (_quadratic(height, width) @ weights - surface.mean()).reshape(height, width, 1)
    return albedo * np.exp(-full).astype(np.float32)


def _quadratic(height: int, width: int) -> np.ndarray:
    """1, x, y, x^2, xy, y^2 at the pixel centres of a unit square about 0: (height * width, 6)."""
    y, x = ((np.indices((height, width)) + 0.5) / np.array([height, width])[:, None, None] - 0.5).reshape(2, -1)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _repeats(pixels: np.ndarray) -> bool:
    """Whether the step across both seams is no larger than the steps between neighbours within."""
    value = pixels.astype(np.float32)
    for field in (value, value.transpose(1, 0, 2)):
        inner = np.abs(np.diff(field, axis=0)).mean(axis=(1, 2))
        if np.abs(field[0] - field[-1]).mean() > 1.1 * np.percentile(inner, 90):
            return False
    return True


def _files(folder: Path, *suffixes: str) -> list[Path]:
    """Sorted, so that draws do not depend on the file system; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def _present(weights: dict[str, float], by_material: dict[str, list[Path]]) -> dict[str, float]:
    return {name: weights[name] for name in sorted(weights) if name in by_material}


def _require_draco(models: list[Path]) -> None:
    try:
        import DracoPy  # noqa: F401
    except ImportError as error:
        if any(needs_draco(path) for path in models):
            raise MissingExtraError("DracoPy", "render") from error


def _or_none(read: Callable[[Path], Usable]) -> Callable[[Path], Usable | None]:
    """`read`, but a file that it cannot use is named in the log and gives None."""

    def attempt(path: Path) -> Usable | None:
        try:
            return read(path)
        except InputError as error:
            log.warning("skipped: %s", error)
            return None

    return attempt


def _read_print(path: Path) -> Texture:
    linear = np.clip(_LINEAR[_read_picture(path)[::-1]], _BLACK_INK, palette.ALBEDO_RANGE[1])
    return Texture((np.sqrt(linear) * 255 + 0.5).astype(np.uint8), tileable=False)


def _read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB. InputError: none."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(path, "no picture that can be decoded", "a JPEG or PNG")
    return picture[..., ::-1]


_LINEAR = srgb_to_linear(np.arange(256, dtype=np.float32) / 255).astype(np.float32)
