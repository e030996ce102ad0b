"""Stored samples to linear light: integer codes through tables, floats repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import srgb_to_linear
from intrinsic_flow.media.color_tags import ColorTags
from intrinsic_flow.media.formats import BitDepth, ColorSpace
from intrinsic_flow.media.icc import parse_matrix_profile, profile_name, table_transform
from intrinsic_flow.media.plate import Plate

#: uint8 or uint16 codes (H, W, channels) -> (H, W, 3) float32, linear Rec.709, not negative.
Decoder = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Image:
    """A decoded image.

    `pixels` (H, W, 3) float32 RGB, linear light, Rec.709 primaries, finite; from float files not bounded and
    perhaps negative. `alpha` (H, W) float32 in [0, 1], None where the file has none or is opaque
    everywhere; colours are as the file stores them (straight in PNG, WebP and TIFF, premultiplied in OpenEXR
    by convention). `bit_depth` is that of the file: 8, 16, "half" or "float". `notes` are short sentences on
    what was repaired, converted or ignored. `plate` is what an OpenEXR file is beside: its own values,
    windows and header; `pixels` and `alpha` then lie in its data window.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    bit_depth: BitDepth
    notes: tuple[str, ...]
    plate: Plate | None = None


def integer_decoder(
    dtype: np.dtype | type,
    colorspace: ColorSpace,
    notes: list[str],
    *,
    profile: bytes = b"",
    tags: ColorTags | None = None,
    channels: int = 3,
) -> Decoder:
    """The decoder of uint8 or uint16 codes of 1 or 3 channels. profile: an ICC profile. tags: what the file says beside it,
    and before it. Both count for colorspace "auto" only; what they change goes to the notes."""
    top = 255 if dtype == np.uint8 else 65535
    codes = np.arange(top + 1, dtype=np.float32) / np.float32(top)
    if colorspace == "linear":
        return _table_decoder([codes])
    if colorspace == "auto" and tags is not None and not tags.is_srgb():
        if tags.limited:
            step = 1 if top == 255 else 256
            codes = np.clip((np.arange(top + 1) - 16 * step) / (219 * step), 0.0, 1.0).astype(np.float32)
        notes.append(f"decoded as tagged: {tags.name}")
        return _table_decoder([tags.curve(codes)], tags.matrix)
    if colorspace == "auto" and profile and tags is None:
        parsed = parse_matrix_profile(profile)
        if parsed is not None and not (profile[16:20] == b"GRAY" and channels == 3):
            if parsed.is_srgb():
                return _table_decoder([srgb_to_linear(codes)])
            notes.append(f"converted from the colour profile '{parsed.name}' to Rec.709")
            if profile[16:20] == b"GRAY":
                return _table_decoder([parsed.curves[0](codes)])
            return _table_decoder([curve(codes) for curve in parsed.curves], parsed.matrix)
        transform = table_transform(profile, channels)
        if transform is not None:
            notes.append(f"converted from the colour profile '{profile_name(profile)}' to sRGB with 8 bits")
            decode = _table_decoder([srgb_to_linear(np.arange(256, dtype=np.float32) / np.float32(255))])
            return lambda samples: decode(transform(in_8_bits(samples)))
        notes.append(f"colour profile '{profile_name(profile)}' ignored, sRGB assumed")
    return _table_decoder([srgb_to_linear(codes)])


def in_8_bits(samples: np.ndarray) -> np.ndarray:
    """uint8 as it is, uint16 rounded to uint8."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _table_decoder(tables: list[np.ndarray], matrix: np.ndarray | None = None) -> Decoder:
    """One table for all channels or one each, then the matrix."""
    tables = [np.maximum(np.ascontiguousarray(table, np.float32), 0.0) for table in tables]

    def decode(samples: np.ndarray) -> np.ndarray:
        if samples.shape[2] == 1:
            samples = np.repeat(samples, 3, axis=2)
        if len(tables) == 1:
            pixels = cv2.LUT(np.ascontiguousarray(samples), tables[0])
        else:
            pixels = np.dstack([cv2.LUT(np.ascontiguousarray(samples[..., i]), table) for i, table in enumerate(tables)])
        if matrix is not None:
            pixels = cv2.transform(pixels, matrix.astype(np.float32))
        return np.maximum(pixels, 0.0, out=pixels) if matrix is not None else pixels

    return decode


def cmyk_decoder(colorspace: ColorSpace, notes: list[str], profile: bytes) -> Decoder:
    """The decoder of uint8 or uint16 CMYK codes, where the largest is full ink; without a usable profile ink is taken for
    what is missing from white."""
    transform = table_transform(profile, 4) if profile and colorspace == "auto" else None
    decode = integer_decoder(np.uint8, "linear" if colorspace == "linear" else "srgb", notes)
    if transform is not None:
        notes.append(f"converted from the colour profile '{profile_name(profile)}' to sRGB with 8 bits")
        return lambda samples: decode(transform(in_8_bits(samples)))
    notes.append("CMYK converted to RGB without a profile")

    def convert(samples: np.ndarray) -> np.ndarray:
        left = 255 - in_8_bits(samples).astype(np.uint32)
        return decode(((left[..., :3] * left[..., 3:] + 127) // 255).astype(np.uint8))

    return convert


def integer_image(
    colors: np.ndarray, alpha: np.ndarray | None, colorspace: ColorSpace, notes: list[str], profile: bytes = b""
) -> Image:
    """8- or 16-bit RGB or grey codes (H, W, 1 or 3) -> `Image`."""
    decode = integer_decoder(colors.dtype, colorspace, notes, profile=profile, channels=colors.shape[2])
    top = np.iinfo(colors.dtype).max
    return Image(decode(colors), alpha_plane(alpha, top, notes), 8 if top == 255 else 16, tuple(notes))


def alpha_plane(alpha: np.ndarray | None, top: float, notes: list[str]) -> np.ndarray | None:
    """Alpha samples (H, W) up to `top` -> float32 in [0, 1]; None where it is opaque everywhere."""
    if alpha is None:
        return None
    values = np.clip(np.nan_to_num(alpha.astype(np.float32) / np.float32(top)), 0.0, 1.0)
    if (values == 1.0).all():
        return None
    notes.append("alpha kept apart, colours used as stored")
    return values


def float_image(
    path: Path,
    colors: np.ndarray,
    alpha: np.ndarray | None,
    bit_depth: BitDepth,
    colorspace: ColorSpace,
    notes: list[str],
    matrix: np.ndarray | None = None,
) -> Image:
    """Float RGB -> `Image`: repaired, decoded, converted by `matrix` (3, 3) to Rec.709."""
    with np.errstate(over="ignore"):
        pixels: np.ndarray = np.array(colors, np.float32, order="C")
    pixels = repaired(path, pixels, notes)
    if colorspace == "srgb":
        pixels = srgb_to_linear(pixels)
    if matrix is not None:
        pixels = cv2.transform(pixels, matrix.astype(np.float32))
    return Image(pixels, alpha_plane(alpha, 1.0, notes), bit_depth, tuple(notes))


def repaired(path: Path, pixels: np.ndarray, notes: list[str]) -> np.ndarray:
    """NaN and negative infinity become 0, infinity the largest finite value; counted by pixel."""
    finite = np.isfinite(pixels)
    if not finite.all():
        broken = int((~finite).any(axis=2).sum())
        if not finite.any():
            raise InputError(path, "no finite pixel", "at least one finite pixel")
        top = max(float(pixels[finite].max()), 0.0)
        pixels = np.nan_to_num(pixels, copy=False, nan=0.0, posinf=top, neginf=0.0)
        notes.append(f"{broken} non-finite pixel{'' if broken == 1 else 's'} repaired")
    return pixels


def oriented(samples: np.ndarray, orientation: int) -> np.ndarray:
    """The image as EXIF orientation 1 to 8 says that it is seen; unknown values change nothing."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2) if samples.ndim == 3 else samples.transpose()
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)
