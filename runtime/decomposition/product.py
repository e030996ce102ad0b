"""The product contract: albedo x shading = image in linear light, everywhere.

The shading is positive, also where a channel or a pixel is black: it is what the light does. The albedo is what remains
of the image, so it has the image's sign, and is 0 where the image is. It is at most 1: what is brighter, a highlight, is
light.

In float files the product holds to a relative 1e-5, in half files to 1e-3 (subnormals and values over 65504 excepted).
Integer files are encoded for the eye; the factor by which their shading is scaled stands in a JSON file beside them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

_BLOCK_PIXELS = 1 << 15

FloatType = Literal["float", "half"]
ShadingKind = Literal["rgb", "gray"]

_DTYPES: dict[FloatType, type[np.floating]] = {"float": np.float32, "half": np.float16}


def finish(
    image: np.ndarray, shading: np.ndarray, float_type: FloatType = "float", kind: ShadingKind = "rgb"
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the layers' product exact for a float type.

    image: (H, W, 3) float32, linear, finite, any scale and sign. shading: (H, W, 3) float32, positive, in the same scale.
    Returns albedo, at most 1, and shading, (H, W, 3) float32; both hold values of `float_type`, so storing them loses
    nothing, and the image with the returned shading gives the same again.

    The shading is raised to the image where that is brighter, for "gray" in all channels to the brightest one, and rounded;
    the albedo is image / shading.
    """
    final_albedo, final_shading = np.empty_like(image), np.empty_like(image)
    # In blocks of rows that stay in the processor's cache.
    rows = max(1, _BLOCK_PIXELS // image.shape[1])
    for top in range(0, image.shape[0], rows):
        block = slice(top, top + rows)
        finish_rows(image[block], shading[block], final_albedo[block], final_shading[block], float_type, kind)
    return final_albedo, final_shading


def finish_rows(
    image: np.ndarray,
    shading: np.ndarray,
    final_albedo: np.ndarray,
    final_shading: np.ndarray,
    float_type: FloatType = "float",
    kind: ShadingKind = "rgb",
) -> None:
    """`finish` of some rows: writes them to `final_albedo` and `final_shading`, all (n, W, 3) float32."""
    dtype = _DTYPES[float_type]
    np.maximum(shading, image, out=final_shading)
    if kind == "gray":
        final_shading[...] = _largest_channel(final_shading)[..., None]
    limits = np.finfo(dtype)
    least = limits.tiny if dtype is np.float32 else limits.smallest_subnormal
    np.clip(final_shading, np.float32(least), np.float32(limits.max), out=final_shading)
    with np.errstate(over="ignore"):
        if dtype is not np.float32:
            final_shading[...] = final_shading.astype(dtype)
        np.divide(image, final_shading, out=final_albedo)
        # Rounding the shading down, or its largest value, may bring the quotient above 1.
        np.clip(final_albedo, -np.float32(limits.max), 1, out=final_albedo)
        if dtype is not np.float32:
            final_albedo[...] = final_albedo.astype(dtype)


def _largest_channel(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W); several times as fast as a reduction over so short an axis."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def integer_scale(albedo: np.ndarray, shading: np.ndarray, percentile: float = 99.9) -> float:
    """Factor that stands for white in an integer shading file: a high percentile of the largest channel, so that single
    highlights do not darken everything else. albedo, shading: (H, W, 3) linear. Returns 1.0 for a black image, of whose
    light nothing is known."""
    return float(np.percentile(_largest_channel(shading), percentile)) if albedo.any() else 1.0


def clipped_fraction(shading: np.ndarray, scale: float) -> float:
    """Fraction of pixels with a channel above `scale`, which an integer file cannot hold."""
    if shading.max() <= scale:
        return 0.0
    return float(np.count_nonzero(_largest_channel(shading) > scale) / (shading.shape[0] * shading.shape[1]))
