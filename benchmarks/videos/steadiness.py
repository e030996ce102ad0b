"""How steady layers are over time: measures on short windows of frames, with or without ground truth.

Changes of a layer are relative to the pixel's own mean luminance, so that bright and dark surfaces count alike; pixels
darker than DARK of the window's 95th percentile are left out, since what is relative to nothing is noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from intrinsic_flow.decomposition.temporal.flow import FlowEstimator, warp
from intrinsic_flow.media.color import luminance

DARK = 0.03
STATIC = 0.04
_LEAST = 1e-4


def lit_pixels(images: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 linear -> (H, W) bool: bright enough in every frame for its logarithm to mean something."""
    light = luminance(images)
    return light.min(axis=0) > DARK * np.percentile(light, 95)


def static_pixels(images: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 linear -> (H, W) bool: lit pixels whose own log-luminance deviates by less than STATIC over the
    window, and whose neighbours' does too: nothing moves there and the light is steady."""
    lit = lit_pixels(images)
    deviation = np.log(np.maximum(luminance(images), _LEAST)).std(axis=0)
    still = ((deviation < STATIC) & lit).astype(np.uint8)
    return cv2.erode(still, np.ones((7, 7), np.uint8)).astype(bool)


def deviation(layer: np.ndarray, pixels: np.ndarray) -> float:
    """Root mean square over pixels and channels of the standard deviation over time.

    layer: (T, H, W, 3) float32 linear; pixels: (H, W) bool. NaN without pixels.
    """
    if not pixels.any():
        return float("nan")
    return float(np.sqrt(_relative(layer, pixels).var(axis=0, dtype=np.float64).mean()))


def frame_to_frame(layer: np.ndarray, pixels: np.ndarray) -> float:
    """Root mean square of the change from one frame to the next, as `deviation`."""
    if not pixels.any() or len(layer) < 2:
        return float("nan")
    return float(np.sqrt((np.diff(_relative(layer, pixels), axis=0).astype(np.float64) ** 2).mean()))


def _relative(layer: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(T, pixels, 3): values over the pixel's luminance, averaged over time."""
    values = layer[:, pixels]
    return values / np.maximum(luminance(values).mean(axis=0), _LEAST)[:, None]


def warped_error(images: Sequence[np.ndarray] | np.ndarray, layers: Sequence[np.ndarray] | np.ndarray) -> float:
    """Warped temporal error (as in Lai et al. 2018): root mean square difference of a layer to the last frame's, carried
    along the flow of the images, relative to both frames' luminance, over lit pixels that are visible in both.

    images, layers: (H, W, 3) float32 linear each. NaN for fewer than two frames.
    """
    estimator, total, count = FlowEstimator(), 0.0, 0
    for before, now in zip(range(len(images) - 1), range(1, len(images))):
        pair = np.stack([images[before], images[now]])
        white = float(np.percentile(pair, 95)) or 1.0
        motion = estimator(pair[0] / white, pair[1] / white)
        used = motion.visible & lit_pixels(pair)
        carried = warp(layers[before], motion.backward)[used]
        level = np.maximum((luminance(carried) + luminance(layers[now][used])) / 2, _LEAST)
        error = (layers[now][used] - carried) / level[:, None]
        total += float((error.astype(np.float64) ** 2).sum())
        count += error.size
    return float(np.sqrt(total / count)) if count else float("nan")


@dataclass(frozen=True)
class Lit:
    """A frame: image, predicted and true shading (H, W, 3) float32 linear, mask (H, W) bool, where the truth is valid."""

    image: np.ndarray
    shading: np.ndarray
    truth: np.ndarray
    mask: np.ndarray


def light_response(before: Lit, after: Lit) -> float:
    """Share of a true change of shading that a predicted one shows: 1 for all of it.

    The regression of the predicted log-change on the true one, through zero, along the flow from `before` to `after`, over
    pixels that are valid and visible in both. NaN where there is none.
    """
    white = [max(float(np.percentile(frame.image, 95)), _LEAST) for frame in (before, after)]
    motion = FlowEstimator()(before.image / white[0], after.image / white[1])
    used = motion.visible & after.mask & (warp(before.mask.astype(np.float32), motion.backward) > 0.99)
    if not used.any():
        return float("nan")

    def change(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        carried = warp(first, motion.backward)[used]
        return np.log(np.maximum(second[used], _LEAST)).astype(np.float64) - np.log(np.maximum(carried, _LEAST))

    predicted, true = change(before.shading, after.shading), change(before.truth, after.truth)
    return float((predicted * true).sum() / max(float((true * true).sum()), 1e-12))
