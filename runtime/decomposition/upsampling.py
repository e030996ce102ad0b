"""Carrying low-resolution shading up to full resolution with a bundle's upsampler graph, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intrinsic_flow.backends.base import Backend

_MOST = np.finfo(np.float32).max


def upsample_shading(
    backend: Backend, image: np.ndarray, low: Mapping[str, np.ndarray], gain: float, strip_pixels: int | None = None
) -> np.ndarray:
    """Full-resolution shading, positive, in the image's scale.

    image: (H, W, 3) float32 linear, unclipped, non-negative. low: the upsampler's low-resolution inputs by name, (1, C, h,
    w) float32: `guide`, gain * image, and what low_shading made of it. Returns (H, W, 3) float32.

    An image of more than `strip_pixels` (None: as the backend says) goes through the graph in strips of whole rows, which
    it joins without seams: beside the strip it gets the whole of the low-resolution maps and the strip's place.
    """
    height, width = image.shape[:2]
    rows = strip_rows(backend, width, strip_pixels)
    strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]

    def feeds(strip: slice) -> dict[str, np.ndarray]:
        return {**low, "image": expose(image[strip], gain), "rows": np.array([strip.start, height], np.float32)}

    shading = np.empty(image.shape, np.float32)
    results = backend.run_many("upsampler", map(feeds, strips), ("shading",))
    for strip, result in zip(strips, results, strict=True):
        shading[strip] = unexposed(result["shading"], gain)
    return shading


def strip_rows(backend: Backend, width: int, strip_pixels: int | None = None) -> int:
    """Rows of one strip; an image of no more goes through the upsampler whole."""
    return max(1, (strip_pixels or backend.strip_pixels) // width)


def expose(image: np.ndarray, gain: float) -> np.ndarray:
    """(H, W, 3) float32 linear -> gain * image, (1, 3, H, W) float32, finite: `image` and `guide` of the graphs."""
    with np.errstate(over="ignore"):  # a float image may come close to the largest float
        exposed = to_nchw(image) * np.float32(gain)
    return np.minimum(exposed, _MOST, out=exposed)


def unexposed(shading: np.ndarray, gain: float) -> np.ndarray:
    """(1, 3, H, W) float32, the upsampler's shading -> (H, W, 3) float32, finite, of the image without its gain."""
    with np.errstate(over="ignore"):
        shading = from_nchw(shading) / np.float32(gain)
    return np.minimum(shading, _MOST, out=shading)


def to_nchw(image: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (1, C, H, W), contiguous float32."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)


def from_nchw(tensor: np.ndarray) -> np.ndarray:
    """(1, C, H, W) -> (H, W, C), contiguous float32."""
    return np.ascontiguousarray(tensor[0].transpose(1, 2, 0), dtype=np.float32)
