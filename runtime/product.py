"""The product contract: albedo x shading = image in linear light, everywhere.

In float files to a relative 1e-5, in half files to 1e-3 (subnormals and values over 65504 excepted). Integer files are
encoded for the eye; the factor by which their shading is scaled stands in a JSON file beside them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

MIN_ALBEDO = 1e-4
_BLOCK_PIXELS = 1 << 20

FloatType = Literal["float", "half"]
ShadingKind = Literal["rgb", "gray"]

_DTYPES: dict[FloatType, type[np.floating]] = {"float": np.float32, "half": np.float16}


def finish(
    image: np.ndarray, albedo: np.ndarray, float_type: FloatType = "float", shading: ShadingKind = "rgb"
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the layers' product exact for a float type.

    image: (H, W, 3) float32, linear, finite, non-negative, any scale.
    albedo: (H, W, 3) float32 = clip(image / shading_up, 1e-4, 1) as the upsampler returns it.
    Returns albedo and shading, (H, W, 3) float32; both hold values of `float_type`, so storing them loses nothing.

    "rgb": the albedo is rounded to the type, then shading = image / albedo in FP32.
    "gray": shading_up must have been grey. The grey shading is the largest of the channels' image / albedo: that is
    shading_up, or the image's largest channel where a highlight outshines it. It is rounded first, then albedo =
    image / shading, in [0, 1]: for the product to hold with a single shading value, a channel without light has
    albedo 0.
    """
    dtype = _DTYPES[float_type]
    final_albedo, final_shading = np.empty_like(image), np.empty_like(image)
    # In blocks of rows, so that the copies on the way to the result stay small beside a large image.
    rows = max(1, _BLOCK_PIXELS // image.shape[1])
    for top in range(0, image.shape[0], rows):
        block = slice(top, top + rows)
        final_albedo[block], final_shading[block] = _finish_block(image[block], albedo[block], dtype, shading)
    return final_albedo, final_shading


def _finish_block(
    image: np.ndarray, albedo: np.ndarray, dtype: type[np.floating], shading: ShadingKind
) -> tuple[np.ndarray, np.ndarray]:
    albedo = _rounded(np.clip(albedo, MIN_ALBEDO, 1.0, dtype=np.float32), dtype)
    with np.errstate(over="ignore"):
        quotient = image / albedo
    if shading == "rgb":
        return albedo, _store(quotient, dtype)
    gray = _store(_largest_channel(quotient)[..., None], dtype)
    # Rounding the shading down may bring the quotient a hair above 1; black pixels keep the smallest albedo.
    ratio = np.divide(image, gray, out=np.full_like(image, MIN_ALBEDO), where=gray > 0)
    albedo = _rounded(np.minimum(ratio, 1.0), dtype)
    return albedo, np.broadcast_to(gray, image.shape)


def _store(values: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    """Rounds to a float type, saturating at its largest finite value."""
    return _rounded(np.minimum(values, np.float32(np.finfo(dtype).max)), dtype)


def _rounded(values: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    return values.astype(dtype, copy=False).astype(np.float32, copy=False)


def _largest_channel(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W); several times as fast as a reduction over so short an axis."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def integer_scale(shading: np.ndarray, percentile: float = 99.9) -> float:
    """Factor that stands for white in an integer shading file: a high percentile of the largest channel, so that single
    highlights do not darken everything else. shading: (H, W, 3) linear. Returns 1.0 for shading without any light."""
    level = float(np.percentile(_largest_channel(shading), percentile))
    if level <= 0:
        level = float(shading.max())
    return level if level > 0 else 1.0


def clipped_fraction(shading: np.ndarray, scale: float) -> float:
    """Fraction of pixels with a channel above `scale`, which an integer file cannot hold."""
    return float(np.count_nonzero(_largest_channel(shading) > scale) / (shading.shape[0] * shading.shape[1]))
