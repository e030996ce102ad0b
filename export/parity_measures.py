"""How far one tensor is from its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.media.color import linear_to_srgb

# Float32's own resolution at 1: JSON has no infinity, and equal tensors have one PSNR.
_FLOOR = float(np.finfo(np.float32).eps) ** 2


@dataclass(frozen=True)
class Difference:
    """Of a tensor to its reference.

    max, mean, p99: absolute errors in units of max(1, the largest reference value), so absolute for albedo in [0, 1] and
    relative to the largest activation elsewhere. psnr_db: peak 1 for albedo, else the largest reference value, at most 138.
    cosine: of both as vectors. steps_max, steps_mean: of albedo only, in steps of 8-bit sRGB codes.
    """

    max: float
    mean: float
    p99: float
    psnr_db: float
    cosine: float
    steps_max: int | None = None
    steps_mean: float | None = None


def difference(found: np.ndarray, expected: np.ndarray, *, albedo: bool = False) -> Difference:
    """Compares two finite arrays of one shape. albedo: linear in [0, 1]."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    error = np.abs(found - expected)
    peak = 1.0 if albedo else float(np.abs(expected).max()) or 1.0
    unit = max(1.0, float(np.abs(expected).max()))
    norms = float(np.linalg.norm(found) * np.linalg.norm(expected))
    equal_zeros = not found.any() and not expected.any()
    cosine = float(np.vdot(found, expected)) / norms if norms else float(equal_zeros)
    steps = np.abs(_codes(found) - _codes(expected)) if albedo else None
    return Difference(
        max=float(error.max() / unit),
        mean=float(error.mean() / unit),
        p99=float(np.percentile(error, 99) / unit),
        psnr_db=-10 * float(np.log10(max(float(np.mean(error**2)) / peak**2, _FLOOR))),
        cosine=cosine,
        steps_max=None if steps is None else int(steps.max()),
        steps_mean=None if steps is None else float(steps.mean()),
    )


def _codes(albedo: np.ndarray) -> np.ndarray:
    return np.round(linear_to_srgb(np.clip(albedo, 0, 1).astype(np.float32)) * 255)
