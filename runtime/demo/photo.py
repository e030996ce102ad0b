"""One photo of the demo: decomposed, written for download, and kept small for the browser; its edits."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from intrinsic_flow.decomposition.decomposer import Mode
from intrinsic_flow.decomposition.layers import Source
from intrinsic_flow.decomposition.product import ShadingKind
from intrinsic_flow.decomposition.working_size import resize
from intrinsic_flow.demo.decoding import read_image_apart
from intrinsic_flow.demo.editing import Light, Recolour, for_display, light_level, recompose, select
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.media.images import ColorSpace, Image, ImageFormat, read_image, write_image
from intrinsic_flow.output.layer_files import write_layers

PREVIEW_SIDE = 800
VIEW_QUALITY = 92


@dataclass(frozen=True)
class Options:
    """What the user chose; see `Decomposer.load`."""

    mode: Mode = "flow"
    steps: int = 2
    seed: int = 0
    colorspace: ColorSpace = "auto"
    shading: ShadingKind = "rgb"

    def for_model(self) -> dict[str, Any]:
        """Those of the options that `Decomposer` takes."""
        return {"mode": self.mode, "steps": self.steps, "seed": self.seed, "shading": self.shading}


@dataclass(frozen=True, eq=False)
class Photo:
    """A decomposed photo. path: its file. image, albedo, shading: (h, w, 3) float32 linear at preview size, read only;
    views: JPEGs of them for the browser. size: (H, W) of the photo. gain: brings the image to display range. scale: shading
    that is shown as white. seconds: for the decomposition, waiting for others not included. files: for download, by
    "albedo.png", "albedo.exr", "shading.png", "shading.exr" and "shading.json". format: of integer downloads. notes: what
    the reader had to say.
    """

    path: Path
    name: str
    image: np.ndarray
    albedo: np.ndarray
    shading: np.ndarray
    size: tuple[int, int]
    gain: float
    scale: float
    seconds: float
    files: dict[str, Path]
    views: tuple[Path, Path, Path]
    format: ImageFormat
    options: Options
    notes: tuple[str, ...]

    @cached_property
    def level(self) -> float:
        """See `editing.light_level`."""
        return light_level(self.shading)

    def write_view(self, edits: Sequence[Recolour], light: Light, path: Path) -> Path:
        """Writes the edited photo for the browser, at preview size."""
        surfaces = [(select(self.albedo, edit), edit.color) for edit in edits]
        return write_view(path, recompose(self.albedo, self.shading, surfaces, light, self.level), self.gain)

    def write_edited(self, edits: Sequence[Recolour], light: Light, folder: Path, kind: str) -> Path:
        """Writes the edited photo at full size to `folder`, from the linear layers on disk. kind: "png" or "exr"."""
        albedo, shading = (read_image(self.files[f"{layer}.exr"]).pixels for layer in ("albedo", "shading"))
        surfaces = [(select(self.albedo, edit), edit.color) for edit in edits]
        image = recompose(albedo, shading, surfaces, light, self.level)
        path = folder / f"{self.name}_edited.{kind}"
        if kind == "exr":
            write_image(path, image, format="exr")
        else:
            write_image(path, image * np.float32(self.gain), format=self.format)
        return path


def decompose_photo(
    path: Path,
    options: Options,
    worker: Worker,
    folder: Path,
    max_pixels: int,
    *,
    reader: Callable[..., Image] = read_image_apart,
) -> Photo:
    """Decomposes a picture and writes its layers to `folder`. Raises InputError, ValueError, OSError, MemoryError."""
    image = reader(path, options.colorspace, max_pixels=max_pixels)
    result, seconds = worker.model(**options.for_model()).timed(image.pixels)
    result = replace(result, source=Source.of(path, image))
    format: ImageFormat = "png16" if image.bit_depth == 16 else "png"
    # A browser names uploads as the user did, within reason; the name becomes part of several others.
    name = path.stem[:60] or "photo"
    names = ("albedo.png", "albedo.exr", "shading.png", "shading.exr", "shading.json")
    files = {file: folder / f"{name}_{file}" for file in names}
    paths = {"albedo": files["albedo.png"], "shading": files["shading.png"], "sidecar": files["shading.json"]}
    scale = write_layers(paths, result, format=format)
    write_image(files["albedo.exr"], result.albedo, format="exr")
    write_image(files["shading.exr"], result.shading, format="exr")
    small, albedo, shading = (_small(layer) for layer in (image.pixels, result.albedo, result.shading))
    gain = 1.0 if image.bit_depth in (8, 16) else result.exposure_gain
    size = (image.pixels.shape[0], image.pixels.shape[1])

    def view(layer: np.ndarray, factor: float) -> Path:
        return write_view(folder / f"{secrets.token_urlsafe(16)}.jpg", layer, factor)

    views = (view(small, gain), view(albedo, 1.0), view(shading, 1 / scale))
    return Photo(path, name, small, albedo, shading, size, gain, scale, seconds, files, views, format, options, image.notes)


def write_view(path: Path, image: np.ndarray, factor: float = 1.0) -> Path:
    """Writes linear light times a factor as the JPEG that the browser shows. Returns the path."""
    cv2.imwrite(str(path), for_display(image, factor)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, VIEW_QUALITY])
    return path


def _small(layer: np.ndarray) -> np.ndarray:
    height, width = layer.shape[:2]
    factor = min(1.0, PREVIEW_SIDE / max(height, width))
    small = resize(layer, max(1, round(height * factor)), max(1, round(width * factor)))
    small = np.array(small, np.float32) if small is layer else small
    small.flags.writeable = False
    return small
