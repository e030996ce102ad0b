"""Fireflies: single samples that happen to be thousands of times too bright, and would be smeared into blotches.

A firefly is bright in one bucket of a pixel's samples; a real highlight is bright in all of them. So a bucket may be a
few times as bright as the pixel's other buckets or as its surroundings, whichever is more, and is scaled down to that
(in the spirit of the median of means, Buisine et al. 2021, "Firefly removal in Monte Carlo rendering with adaptive
Median of meaNs").

What fireflies carry is light all the same, mostly of many bounces: without it, rooms lose up to a fifth of their indirect
light. So what is taken from a pixel is spread over its surroundings.
"""

from __future__ import annotations

import cv2
import numpy as np

# How many times as bright as the second brightest bucket, or as the surroundings' brightest quarter, a bucket may be.
OWN_FACTOR = 3.0
SURROUNDINGS_FACTOR = 4.0
_WINDOW = 5
# A firefly beyond so many times its limit is not believed at all. Light is spread with this sigma, a share of the side.
_MOST_BELIEVED = 30.0
_SPREAD = 0.05


def _brightness(light: np.ndarray) -> np.ndarray:
    """(..., 3) -> (...): its mean over the channels, which NumPy takes eight times as long for along so short an axis."""
    return (light[..., 0] + light[..., 1] + light[..., 2]) / np.float32(3)


def _surroundings(light: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(H, W) -> (N,) 75th percentile of a 5x5 window around each pixel of `where` (H, W)."""
    padded = cv2.copyMakeBorder(light, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_WINDOW, _WINDOW))[where].reshape(-1, _WINDOW**2)
    rank = round(0.75 * (_WINDOW**2 - 1))
    return np.partition(windows, rank, axis=-1)[..., rank]


def robust_mean(buckets: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """(B, H, W, 3) float32 light in B >= 3 buckets of samples -> (H, W, 3) mean without fireflies. Colours are kept.

    weight: (H, W), where removed light is spread to (the share of a pixel that can receive it); None: it is lost.
    """
    brightness = _brightness(buckets)
    # The two brightest of the few buckets, one bucket after the other: several times as fast as sorting.
    first, second = np.maximum(brightness[0], brightness[1]), np.minimum(brightness[0], brightness[1])
    for bucket in brightness[2:]:
        second = np.maximum(second, np.minimum(first, bucket))
        first = np.maximum(first, bucket)
    limit = OWN_FACTOR * second
    # The surroundings count where a bucket is beyond its pixel's own limit.
    beyond = first > limit
    limit[beyond] = np.maximum(limit[beyond], SURROUNDINGS_FACTOR * _surroundings(second, beyond))
    scale = np.minimum(1.0, limit / np.maximum(brightness, 1e-12))[..., None]
    kept = (buckets * scale).mean(0)
    if weight is None:
        return kept
    believed = np.minimum(1.0, _MOST_BELIEVED * limit / np.maximum(brightness, 1e-12))[..., None]
    removed = (buckets * (believed - scale)).mean(0)
    return kept + _spread(removed, weight.astype(np.float32), kept)


def _spread(light: np.ndarray, weight: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Light (H, W, 3) moved to its surroundings, there in proportion to `weight` (H, W) and to the brightness of `pattern`
    (H, W, 3), so that it does not shine into dark places. Its sum stays what it was.
    """
    sigma = _SPREAD * max(light.shape[:2])

    def blurred(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)

    share = weight * _brightness(pattern)
    available = np.maximum(blurred(share), 1e-12)
    return blurred(light / available[..., None] * (available[..., None] > 1e-9)) * share[..., None]


def relative_noise(buckets: np.ndarray, mask: np.ndarray) -> float:
    """Standard error of the mean over buckets (B, H, W, 3), root mean square over `mask` (H, W), relative to the mean
    light there; 0 where there is none.
    """
    brightness = _brightness(buckets)[:, mask]
    if not brightness.size or brightness.mean() <= 0:
        return 0.0
    error = brightness.std(0, ddof=1) / np.sqrt(len(buckets))
    # Fireflies are dealt with elsewhere: the brightest hundredth of the errors does not count.
    error = np.minimum(error, np.percentile(error, 99))
    return float(np.sqrt(np.square(error).mean()) / brightness.mean())
