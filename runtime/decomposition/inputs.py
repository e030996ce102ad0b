"""Whatever a caller holds an image as: an array, a path or a PIL image."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from intrinsic_flow.decomposition.layers import Source
from intrinsic_flow.media.color import srgb_to_linear

if TYPE_CHECKING:
    import PIL.Image

    from intrinsic_flow.media.images import BitDepth

ImageInput: TypeAlias = Union[np.ndarray, str, os.PathLike[str], "PIL.Image.Image"]


def read_input(image: ImageInput) -> tuple[np.ndarray, Source]:
    """The pixels, (H, W, 3) float32, linear light, Rec.709 primaries, finite; and where they came from.

    Raises InputError for a bad file and for an array without a finite pixel, ValueError for an array of another shape or
    type or a PIL image of another mode.
    """
    pixels, source = _read(image)
    floating = pixels.dtype.kind == "f"
    pixels = _linear(pixels)
    if floating and not (pixels.min() > -np.inf and pixels.max() < np.inf):  # false for NaN too
        from intrinsic_flow.media.samples import repaired

        notes = list(source.notes)
        pixels = repaired(source.path or Path(source.name or "image"), pixels.copy(), notes)
        source = replace(source, notes=tuple(notes))
    return pixels, source


def _read(image: ImageInput) -> tuple[np.ndarray, Source]:
    """Arrays as they are, all else linear."""
    if isinstance(image, (str, os.PathLike)):
        from intrinsic_flow.media.images import read_image

        path = Path(image)
        read = read_image(path)
        return read.pixels, Source.of(path, read)
    # Whoever passes a PIL image has imported Pillow.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(image, pillow.Image):
        return _from_pillow(image)
    image = np.asarray(image)
    return image, Source(bit_depth=_depth(image.dtype))


def _depth(dtype: np.dtype) -> BitDepth:
    if dtype == np.uint8:
        return 8
    return 16 if dtype == np.uint16 else "half" if dtype == np.float16 else "float"


def _from_pillow(image: PIL.Image.Image) -> tuple[np.ndarray, Source]:
    """As `read_image` reads the file that the image would be stored in: sRGB unless it carries another matrix profile, EXIF
    orientation applied, alpha apart. Mode F is linear grey."""
    from intrinsic_flow.media.samples import Image, cmyk_decoder, integer_image, oriented

    image.load()  # which turns a TIFF picture and takes its orientation away
    name = os.path.basename(os.fspath(getattr(image, "filename", "") or "")) or None
    orientation = image.getexif().get(0x0112, 1)
    profile = image.info.get("icc_profile") or b""
    if image.mode == "CMYK":
        notes: list[str] = []
        pixels = oriented(cmyk_decoder("auto", notes, profile)(np.asarray(image)), orientation)
        return pixels, Source(name, None, 8, None, tuple(notes))
    if image.mode == "F" or image.mode.startswith("I;16"):
        samples = np.asarray(image)
        samples = samples.astype(np.float32 if image.mode == "F" else np.uint16)
    else:
        samples = np.asarray(_in_8_bits(image))
    samples = samples[..., None] if samples.ndim == 2 else samples
    samples = oriented(samples, orientation)
    if samples.dtype == np.float32:
        return np.repeat(samples, 3, axis=2), Source(name)
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    read: Image = integer_image(np.ascontiguousarray(samples[..., :3]), alpha, "auto", [], profile)
    return read.pixels, Source(name, None, read.bit_depth, read.alpha, read.notes)


def _in_8_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image in mode L, RGB or RGBA."""
    if image.mode in ("LA", "La", "PA", "RGBa") or (image.mode in ("1", "L", "P", "RGB") and "transparency" in image.info):
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "RGBA"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "RGBX", "YCbCr"):
        return image.convert("RGB")
    raise ValueError(f"PIL image of mode {image.mode}, expected L, LA, RGB, RGBA, P, CMYK, YCbCr, 1, I;16 or F")


def _linear(image: np.ndarray) -> np.ndarray:
    """Any accepted image as (H, W, 3) float32, linear. Raises ValueError."""
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image of shape {image.shape}, expected (height, width, 3)")
    if image.dtype in (np.uint8, np.uint16):
        levels = np.iinfo(image.dtype).max
        codes = np.arange(levels + 1, dtype=np.float32) / np.float32(levels)
        return srgb_to_linear(codes).astype(np.float32)[image]
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image of type {image.dtype}, expected floating point, uint8 or uint16")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(image, dtype=np.float32)
