"""Small whole files of every format that the reader knows, to be damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


def picture(height: int = 24, width: int = 36) -> np.ndarray:
    """(H, W, 3) uint8: smooth, colourful, without symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([255 * x / (width - 1), 255 * y / (height - 1), 60 + 150 * x * y / (height * width)]).astype(np.uint8)


def _openimageio(path: Path, samples: np.ndarray, **attributes: object) -> None:
    import OpenImageIO as oiio

    kind = {"float16": "half", "float32": "float"}.get(samples.dtype.name, samples.dtype.name)
    spec = oiio.ImageSpec(samples.shape[1], samples.shape[0], samples.shape[2], kind)
    for name, value in attributes.items():
        spec.attribute(name, value)
    output = oiio.ImageOutput.create(os.fspath(path))
    assert output.open(os.fspath(path), spec) and output.write_image(samples) and output.close(), output.geterror()


def _pillow(path: Path, samples: np.ndarray, **options: object) -> None:
    from PIL import Image

    Image.fromarray(samples).save(path, **options)


def _tifffile(path: Path, samples: np.ndarray, **options: object) -> None:
    import tifffile

    tifffile.imwrite(path, samples, photometric="rgb", **options)


def make_seeds(folder: Path) -> list[Path]:
    """Writes one file a format into `folder`."""
    rgb = picture()
    rgba, deep = np.dstack([rgb, rgb[..., :1]]), rgb.astype(np.uint16) * 257
    light = (rgb / 64).astype(np.float32)
    writers: dict[str, Callable[[Path], None]] = {
        "rgb.png": lambda path: _pillow(path, rgb),
        "rgba.png": lambda path: _pillow(path, rgba),
        "deep.png": lambda path: _openimageio(path, deep),
        "rgb.jpg": lambda path: _pillow(path, rgb, quality=90),
        "progressive.jpg": lambda path: _pillow(path, rgb, progressive=True),
        "rgb.bmp": lambda path: _pillow(path, rgb),
        "lossless.webp": lambda path: _pillow(path, rgba, lossless=True),
        "lossy.webp": lambda path: _pillow(path, rgb),
        "rgb.gif": lambda path: _pillow(path, rgb),
        "zip.tif": lambda path: _tifffile(path, deep, compression="zlib"),
        "planar.tif": lambda path: _tifffile(path, np.moveaxis(light, 2, 0), planarconfig="separate"),
        "big.tif": lambda path: _tifffile(path, rgb, bigtiff=True),
        "rgb.jp2": lambda path: _pillow(path, rgb),
        "rgb.jxl": lambda path: _openimageio(path, rgb),
        "light.hdr": lambda path: _openimageio(path, light),
        "half.exr": lambda path: _openimageio(path, light.astype(np.float16), compression="piz"),
        "light.exr": lambda path: _openimageio(path, light, compression="zip"),
        "rgb.ppm": lambda path: _pillow(path, rgb),
        "light.pfm": lambda path: _openimageio(path, light),
        "rgb.tga": lambda path: _pillow(path, rgb, compression="tga_rle"),
        "rgb.sgi": lambda path: _pillow(path, rgb),
        "deep.dpx": lambda path: _openimageio(path, deep),
        "rgb.ico": lambda path: _pillow(path, rgb),
        "rgb.avif": lambda path: _pillow(path, rgb),
        "light.npy": lambda path: np.save(path, light),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in writers.items():
        write(folder / name)
    return [folder / name for name in writers]
