"""Log-albedo averaged along motion, and how many frames each pixel's average holds."""

from __future__ import annotations

import cv2
import numpy as np

from intrinsic_flow.decomposition.temporal.flow import warp
from intrinsic_flow.decomposition.temporal.surface import Correspondence

MOST_FRAMES = 48
# Natural-log units: where mean and frame disagree more than flicker does, the mean was mistaken and counts as a short one.
_DOUBT, _MISTAKE, _SHORT = 0.35, 0.7, 6.0


class AlbedoTrack:
    """A running mean for each surface point, from `MOST_FRAMES` frames on an exponential one.

    Where a point is seen for the first time, or shows another surface, the mean starts anew with the frame's own estimate.
    """

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None
        self._count: np.ndarray | None = None

    def update(self, log_albedo: np.ndarray, seen: Correspondence | None) -> np.ndarray:
        """Takes a frame's own estimate (h, w, 3) float32; returns the mean that includes it, not to be changed.

        seen: how the frame continues the last one; None where it does not.
        """
        if seen is None or self._mean is None or self._count is None:
            self._mean, self._count = log_albedo, np.ones(log_albedo.shape[:2], np.float32)
            return self._mean
        if np.any(seen.flow):
            # Cubic, because linear interpolation again and again would blur the albedo's edges into the shading.
            mean, count = warp(self._mean, seen.flow, cv2.INTER_CUBIC), warp(self._count, seen.flow)
        else:
            mean, count = self._mean, self._count
        held = seen.same * np.minimum(count, np.float32(MOST_FRAMES - 1))
        difference = log_albedo - mean
        doubt = cv2.blur(np.abs(cv2.transform(difference, np.full((1, 3), 1 / 3, np.float32))), (7, 7))
        trust = np.clip((np.float32(_MISTAKE) - doubt) / np.float32(_MISTAKE - _DOUBT), 0, 1)
        held = np.minimum(held, np.float32(_SHORT) + trust * np.float32(MOST_FRAMES))
        own = 1 / (1 + held)
        self._mean = mean + cv2.merge([own] * 3) * difference
        self._count = held + 1
        return self._mean
