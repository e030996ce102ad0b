"""What stays of a cast shadow in the albedo, by a second picture of the same scene without it."""

from __future__ import annotations

import cv2
import numpy as np

from intrinsic_flow.media.color import luminance

# The shadow's rim of half light, and what the drawing of its mask missed, are left out.
EROSION = 7
# A shadow that covers less of the picture, its rim left out, is not judged.
LEAST_SHARE = 0.01


def core(shadow: np.ndarray) -> np.ndarray:
    """(H, W) bool -> the same without its rim."""
    return cv2.erode(shadow.astype(np.uint8), np.ones((EROSION, EROSION), np.uint8)).astype(bool)


def shadow_left(
    image: np.ndarray, lit_image: np.ndarray, albedo: np.ndarray, lit_albedo: np.ndarray, shadow: np.ndarray
) -> float | None:
    """Share of the shadow's log contrast that is left in the albedo: 0 all gone, 1 as in the image, below 0 overdone.

    image, albedo: (H, W, 3) linear light, with the shadow; lit_...: without. shadow: (H, W) bool, where it lies. Median
    over the shadow's `core` of log(Y_albedo / Y_lit_albedo), less the median of the same outside the shadow (two answers
    have two exposures), over the median of log(Y_image / Y_lit_image). None for a shadow too small or too faint to judge.
    """
    inside = core(shadow)
    if inside.mean() < LEAST_SHARE:
        return None
    removed = float(np.median(_log_ratio(image, lit_image, 1e-3)[inside]))
    if removed > -0.01:
        return None
    change = _log_ratio(albedo, lit_albedo, 1e-4)
    exposure = float(np.median(change[~shadow])) if not shadow.all() else 0.0
    return (float(np.median(change[inside])) - exposure) / removed


def _log_ratio(one: np.ndarray, other: np.ndarray, offset: float) -> np.ndarray:
    return np.log((luminance(one) + offset) / (luminance(other) + offset))
