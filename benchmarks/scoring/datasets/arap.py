"""`arap`: "as realistic as possible" (Bonneel et al., Intrinsic decompositions for image editing, CGF 2017).

About 50 rendered scenes, some under several lights: pictures `SCENE.EXT` or `SCENE_lightN.EXT`, each with
`_albedo` and `_shading`, and some with a mask `_alpha`, beside it or anywhere below the folder (evaluators sort them
into `input/`, `reflectance/`, `shading/`, `mask/`); lights of one scene share `SCENE_albedo` and `SCENE_alpha`. EXT is
hdr, exr, png or jpg, and one scene's files may differ in it. Names as in JundanLuo/intrinsic-image-eval, whose seven
"invalid" scenes the split `valid` leaves out.

The set mixes encodings, so each file's is recognised and reported: float files are linear, and an albedo whose peak
lies near 1/179 or 179 was stored times or over 179 (lumens per watt, the constant of Radiance HDR files; the peak of
`alley` is 0.0056); 8-bit files are sRGB, unless image = albedo x shading holds clearly better without the curve.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, fitted, read_linear, resized, same_size
from intrinsic_flow.media.color import luminance, srgb_to_linear
from intrinsic_flow.media.images import read_image

EFFICACY = 179.0
KINDS = ("image", "albedo", "shading")
# By the authors of IntrinsicDiffusion (SIGGRAPH 2024), in their evaluation code.
INVALID = ("amsterdam", "redhead", "butterfly", "office", "caterpillar", "strawberries", "tiger")
SUFFIXES = (".hdr", ".exr", ".png", ".jpg", ".jpeg")
# Below this share of its 99th percentile a layer holds no information, only rounding.
FLOOR = 1e-3
WHITE = 0.8
# No method needs more than this; the largest renders are four times as long.
LONG_SIDE = 1024
# A guess about an encoding has to explain the product by this much better than sRGB does.
_CLEARLY = 0.8
# A median deviation of the product above this is worth a remark.
DOUBTFUL = 0.1
_THUMBNAIL = 24
_SAME = 0.02


@dataclass(frozen=True)
class Encoding:
    """How one scene is stored.

    files: suffix and "linear" or "sRGB" of image, albedo and shading. albedo_factor: what the albedo was multiplied by
    to lie in [0, 1]. product_factor: image / (albedo x shading), the median. product_error: the median of the relative
    deviation from it; what is not 0 is gloss, lamps, clipping or a wrong guess.
    """

    files: tuple[str, ...]
    albedo_factor: float
    product_factor: float
    product_error: float


class ArapDataset(Dataset):
    """Every picture with an albedo and a shading, by name. With `unique`, later duplicates of a picture are left out."""

    name = "arap"
    layout = f"NAME.EXT, NAME_albedo.EXT, NAME_shading.EXT, EXT one of {', '.join(s[1:] for s in SUFFIXES)}"
    splits = ("all", "valid")
    published = "https://perso.liris.cnrs.fr/nbonneel/intrinsicstar/ground_truth/"

    def __init__(self, path: Path, split: str | None = None, unique: bool = False) -> None:
        """Raises InputError where no picture has both layers."""
        super().__init__(path, split)
        if not path.is_dir():
            raise self.wrong_layout("a file")
        self._scenes = _find(path)
        if not self._scenes:
            raise self.wrong_layout("no picture with both layers")
        self.unique = unique
        self.names = [name for name in self._scenes if self.split == "all" or not any(bad in name for bad in INVALID)]
        self._duplicates: dict[str, str] | None = None
        if unique:
            self.names = [name for name in self.names if name not in self.duplicates()]

    def load(self, name: str) -> Sample:
        """The image and its truth, at most 1024 pixels long.

        A float image is scaled so that the 90th percentile of its luminance is 0.8; shading is in the image's scale
        (albedo x shading is its diffuse part). Raises InputError for an unreadable file or files of different size.
        """
        layers, _ = self._decoded(name)
        size = fitted(layers["image"].shape, min(LONG_SIDE, max(layers["image"].shape[:2])))
        image, albedo, shading = (resized(layers[kind], size) for kind in KINDS)
        mask = np.logical_and.reduce([_above_floor(layer) for layer in (albedo, shading)])
        if "alpha" in self._scenes[name]:
            mask &= resized(read_linear(self._scenes[name]["alpha"]), size)[..., 0] > 0.99
        is_float = self._scenes[name]["image"].suffix.lower() in (".hdr", ".exr")
        gain = WHITE / max(float(np.percentile(luminance(image), 90)), 1e-9) if is_float else 1.0
        return Sample(
            name=name,
            image=image * np.float32(gain),
            albedo=albedo,
            shading=shading * np.float32(gain),
            mask=mask,
            gray_shading=bool(np.ptp(layers["shading"], axis=-1).max() == 0),
            group=scene_of(name),
        )

    def encoding(self, name: str) -> Encoding:
        """How the scene's files are encoded."""
        return self._decoded(name)[1]

    def duplicates(self) -> dict[str, str]:
        """Name -> the earlier name whose picture and albedo look the same, at any size and exposure."""
        if self._duplicates is None:
            duplicates: dict[str, str] = {}
            seen: dict[str, np.ndarray] = {}
            for name in self._scenes:
                thumbnail = self._thumbnail(name)
                twin = next((other for other, seen_one in seen.items() if np.abs(seen_one - thumbnail).max() < _SAME), None)
                if twin:
                    duplicates[name] = twin
                else:
                    seen[name] = thumbnail
            self._duplicates = duplicates
        return self._duplicates

    def describe(self) -> Mapping[str, object]:
        """Encodings by name, and the duplicates."""
        return {
            "encodings": {name: asdict(self.encoding(name)) for name in self._scenes},
            "duplicates": self.duplicates(),
            "duplicates_left_out": self.unique,
        }

    def remarks(self, description: Mapping[str, Any]) -> list[str]:
        """How many scenes have which encoding, which fit badly, and the duplicates."""
        encodings = description["encodings"]
        kinds = Counter(
            f"{' | '.join(entry['files'])}, albedo x {entry['albedo_factor']:.4g}" for entry in encodings.values()
        )
        lines = [f"image | albedo | shading as {kind}: {count} pictures" for kind, count in kinds.most_common()]
        doubtful = [name for name, entry in encodings.items() if entry["product_error"] > DOUBTFUL]
        if doubtful:
            lines.append(f"image is not albedo x shading within {DOUBTFUL:.0%} in {', '.join(doubtful)}")
        twins = [f"{name} = {twin}" for name, twin in description["duplicates"].items()]
        fate = "left out" if self.unique else "kept"
        lines.append(f"duplicates ({fate}): {', '.join(twins) or 'none'}")
        return lines

    def _thumbnail(self, name: str) -> np.ndarray:
        parts = []
        for kind in ("image", "albedo"):
            pixels = read_image(self._scenes[name][kind]).pixels
            small = cv2.resize(pixels, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
            parts.append(small / max(float(np.percentile(small, 99)), 1e-9))
        return np.clip(np.concatenate(parts), 0, 1)

    def _decoded(self, name: str) -> tuple[dict[str, np.ndarray], Encoding]:
        paths = self._scenes[name]
        stored = {kind: read_image(paths[kind], colorspace="linear") for kind in KINDS}
        for kind in KINDS:
            same_size(paths[kind], stored[kind].pixels, paths["image"], stored["image"].pixels)
        coded = [kind for kind in KINDS if stored[kind].bit_depth in (8, 16)]
        best: tuple[float, float, dict[str, np.ndarray], set[str]] | None = None
        # All sRGB comes first and wins ties. Without a float file the three are one or the other.
        mixed = product((True, False), repeat=len(coded))
        for choice in mixed if len(coded) < len(KINDS) else [(True,) * 3, (False,) * 3]:
            curved = {kind for kind, is_srgb in zip(coded, choice, strict=True) if is_srgb}
            layers = {
                kind: srgb_to_linear(stored[kind].pixels) if kind in curved else stored[kind].pixels for kind in KINDS
            }
            factor, error = _product(layers)
            if best is None or error < _CLEARLY * best[0]:
                best = (error, factor, layers, curved)
        assert best is not None, "there is at least one way to read the files"
        error, factor, layers, curved = best
        albedo_factor = _albedo_factor(layers["albedo"]) if "albedo" not in coded else 1.0
        encoding = Encoding(
            files=tuple(f"{paths[kind].suffix[1:].lower()} {'sRGB' if kind in curved else 'linear'}" for kind in KINDS),
            albedo_factor=albedo_factor,
            product_factor=factor,
            product_error=error,
        )
        scaled = dict(layers)
        scaled["albedo"] = (layers["albedo"] * albedo_factor).astype(np.float32)
        scaled["shading"] = (layers["shading"] * (factor / albedo_factor)).astype(np.float32)
        return scaled, encoding


def scene_of(name: str) -> str:
    """The scene that a picture shows: its name without the number of its light."""
    return re.sub(r"[_-]?light[_-]?\d+$", "", name, flags=re.IGNORECASE)


def _find(folder: Path) -> dict[str, dict[str, Path]]:
    """Name -> paths of image, albedo, shading and, where there is one, alpha; files of the same folder come first."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            files.setdefault(path.stem.lower(), []).append(path)

    def nearest(stem: str, image: Path) -> Path | None:
        return min(files.get(stem.lower(), []), key=lambda path: path.parent != image.parent, default=None)

    scenes = {}
    for stem, paths in files.items():
        if re.search(r"_(albedo|shading|alpha|normals?|depth)$", stem):
            continue
        for image in paths:
            albedo = nearest(f"{image.stem}_albedo", image) or nearest(f"{scene_of(image.stem)}_albedo", image)
            shading = nearest(f"{image.stem}_shading", image)
            alpha = nearest(f"{image.stem}_alpha", image) or nearest(f"{scene_of(image.stem)}_alpha", image)
            if albedo and shading:
                name = image.stem if image.stem not in scenes else f"{image.parent.name}/{image.stem}"
                scenes[name] = {"image": image, "albedo": albedo, "shading": shading} | ({"alpha": alpha} if alpha else {})
    return scenes


def _above_floor(layer: np.ndarray) -> np.ndarray:
    values = layer.mean(-1)
    return values > FLOOR * np.percentile(values, 99)


def _product(layers: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Median of image / (albedo x shading) and the median relative deviation from it; (1, 1) where nothing is lit."""
    valid = np.logical_and.reduce([_above_floor(layers[kind]) for kind in KINDS])
    whole = (layers["albedo"] * layers["shading"])[valid].mean(-1)
    lit = whole > 0
    if not lit.any():
        return 1.0, 1.0
    ratio = layers["image"][valid].mean(-1)[lit] / whole[lit]
    factor = float(np.median(ratio))
    return factor, float(np.median(np.abs(ratio / factor - 1)))


def _albedo_factor(albedo: np.ndarray) -> float:
    """What brings a linear albedo of unknown scale into [0, 1]: 1, 179, 1/179, or else one over its peak."""
    peak = float(np.percentile(albedo.max(-1), 99.9))
    for factor in (1.0, EFFICACY, 1 / EFFICACY):
        if 0.2 < peak * factor <= 1.5:
            return factor
    return 1 / peak if peak > 0 else 1.0
