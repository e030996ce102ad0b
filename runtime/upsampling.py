"""Carrying low-resolution shading up to full resolution with a bundle's upsampler graph, in bounded memory."""

from __future__ import annotations

import numpy as np

from runtime.engines.base import Engine

STRIP_PIXELS = 1 << 22


def upsample_albedo(
    engine: Engine, image: np.ndarray, log_shading: np.ndarray, gain: float, strip_pixels: int = STRIP_PIXELS
) -> np.ndarray:
    """Full-resolution albedo = clip(gain * image / exp(up(log_shading)), 1e-4, 1).

    image: (H, W, 3) float32 linear, unclipped. log_shading: (h, w, 3) float32, natural log of the shading of gain *
    image. Returns (H, W, 3) float32.

    An image of more than `strip_pixels` goes through the graph in strips of whole rows. Bilinear interpolation is
    separable: each strip gets the log-shading with its rows already interpolated, and the graph does the columns, so
    the seams are exact to float rounding.
    """
    height, width = image.shape[:2]
    rows = max(1, strip_pixels // width)
    if rows >= height:
        return _run(engine, image, log_shading, gain)
    albedo = np.empty_like(image)
    for top in range(0, height, rows):
        strip = slice(top, min(top + rows, height))
        shading_rows = _interpolate_rows(log_shading, strip.start, strip.stop, height)
        albedo[strip] = _run(engine, image[strip], shading_rows, gain)
    return albedo


def _run(engine: Engine, image: np.ndarray, log_shading: np.ndarray, gain: float) -> np.ndarray:
    with np.errstate(over="ignore"):  # a float image may come close to the largest float; the albedo clips at 1
        exposed = to_nchw(image) * np.float32(gain)
    np.minimum(exposed, np.finfo(np.float32).max, out=exposed)
    outputs = engine.run("upsampler", {"log_shading": to_nchw(log_shading), "image": exposed})
    return from_nchw(outputs["albedo"])


def _interpolate_rows(values: np.ndarray, start: int, stop: int, height: int) -> np.ndarray:
    """Rows start..stop of (h, w, C) values interpolated to `height` rows; half-pixel centres, clamped at the border."""
    source = (np.arange(start, stop) + 0.5) * (values.shape[0] / height) - 0.5
    source = np.clip(source, 0, values.shape[0] - 1)
    above = np.floor(source).astype(np.intp)
    below = np.minimum(above + 1, values.shape[0] - 1)
    weight = (source - above).astype(np.float32)[:, None, None]
    return values[above] * (1 - weight) + values[below] * weight


def to_nchw(image: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (1, C, H, W), contiguous float32."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)


def from_nchw(tensor: np.ndarray) -> np.ndarray:
    """(1, C, H, W) -> (H, W, C), contiguous float32."""
    return np.ascontiguousarray(tensor[0].transpose(1, 2, 0), dtype=np.float32)
