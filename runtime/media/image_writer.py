"""Layers as picture files: OpenImageIO writes OpenEXR, OpenCV PNG, NumPy NPY."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np

from intrinsic_flow.media.atomic_file import replace_when_complete
from intrinsic_flow.media.color import REC709_CHROMATICITIES, linear_to_srgb
from intrinsic_flow.media.formats import ImageFormat
from intrinsic_flow.media.plate import Plate
from intrinsic_flow.media.video_facts import Clock


def write_image(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    format: ImageFormat | None = None,
    colorspace: Literal["srgb", "linear"] = "srgb",
    alpha: np.ndarray | None = None,
    dtype: Literal["half", "float"] = "float",
    plate: Plate | None = None,
    chromaticities: tuple[float, ...] = REC709_CHROMATICITIES,
    clock: Clock | None = None,
) -> None:
    """Writes linear pixels (H, W, 3), and alpha (H, W) where given, under `path` once the file is complete.

    format: None for the one that the name's suffix says, .png, .exr or .npy.
    "png" and "png16" clip to [0, 1], encode with the sRGB curve (or store linear codes with
    `colorspace="linear"`) and round to nearest. "exr" (`dtype` half or float; half clips at 65504; windows,
    compression and header of `plate`; `chromaticities`, the primaries of the values; `clock`, rate and timecode) and "npy"
    (float32, (H, W, 3) or (H, W, 4)) are linear always. Raises `OSError` where the file cannot be written, `ValueError` for
    pixels of another shape and for a format that there is not.
    """
    format = format or cast(ImageFormat, Path(path).suffix.lower()[1:])
    pixels = np.asarray(pixels, np.float32)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels of shape {pixels.shape}, expected (height, width, 3)")
    channels = pixels if alpha is None else np.dstack([pixels, np.asarray(alpha, np.float32)])
    with replace_when_complete(path) as temporary:
        if format in ("png", "png16"):
            temporary.write_bytes(_encoded_png(path, channels, format, colorspace))
        elif format == "exr":
            from intrinsic_flow.media.exr import write_exr

            write_exr(temporary, channels, dtype, plate=plate, chromaticities=chromaticities, clock=clock)
        elif format == "npy":
            _write_npy(temporary, channels)
        else:
            raise ValueError(f"format {format!r}, expected png, png16, exr or npy")


def _encoded_png(path: str | os.PathLike[str], channels: np.ndarray, format: str, colorspace: str) -> bytes:
    codes = np.clip(np.nan_to_num(channels), 0.0, 1.0)
    if colorspace == "srgb":
        codes[..., :3] = linear_to_srgb(codes[..., :3])
    top, integer = (255, np.uint8) if format == "png" else (65535, np.uint16)
    samples = (codes * np.float32(top) + np.float32(0.5)).astype(integer)
    order = cv2.COLOR_RGB2BGR if channels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    done, data = cv2.imencode(".png", cv2.cvtColor(samples, order))
    if not done:
        raise OSError(f"{path}: OpenCV cannot encode a PNG of {samples.shape[1]}x{samples.shape[0]} pixels")
    return data.tobytes()


def _write_npy(path: Path, channels: np.ndarray) -> None:
    """As `np.save`, which says no more of a full disk than how many bytes it wrote."""
    array = np.ascontiguousarray(channels)
    header: dict[str, Any] = np.lib.format.header_data_from_array_1_0(array)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)
