"""How steady layers are over time: measures on windows of frames, with or without ground truth.

Changes of a layer are relative to the pixel's own mean luminance, in linear light, so that bright and dark surfaces count
alike; pixels darker than DARK of the window's 95th percentile are left out, since what is relative to nothing is noise.
Pixels are still where the input itself deviates by less than STILL in WINDOW_SECONDS; an albedo that changes there more
than the input does is what one sees as breathing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intrinsic_flow.decomposition.temporal.flow import FlowEstimator, warp
from intrinsic_flow.media.color import luminance
from intrinsic_flow.train.data.shards import View

DARK = 0.03
STILL = 0.012
#: Seconds in which a breathing room is seen: people walk through it in less.
WINDOW_SECONDS = 5.0
#: Below this share of still pixels a clip says nothing about steadiness.
LEAST_STILL = 0.05
#: Most that a steady albedo deviates and changes from frame to frame: times the input's, or relative, if that is more.
DEVIATION_LIMIT, STEP_LIMIT = (1.3, 0.003), (1.5, 0.0015)
#: Frames for which what a moving thing uncovered counts as behind it.
BEHIND_FRAMES = 8
_LEAST = 1e-4


def lit_pixels(images: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 linear -> (H, W) bool: bright enough in every frame for its logarithm to mean something."""
    light = luminance(images)
    return light.min(axis=0) > DARK * np.percentile(light, 95)


class Window:
    """Sums over the frames of a window of time of one layer, from which come its deviations; frames are not kept.

    Frames are (H, W, 3) float32 linear. All deviations are relative to the luminance of the pixel's own mean.
    """

    def __init__(self) -> None:
        self.frames = 0

    def add(self, layer: np.ndarray) -> None:
        """Takes the next frame."""
        if self.frames == 0:
            # Sums of changes since the first frame: sums of squares of the values themselves would cancel.
            self._first = self._last = layer
            self._sum, self._squares, self._steps = (np.zeros(layer.shape, np.float64) for _ in range(3))
        else:
            change = (layer - self._first).astype(np.float64)
            self._sum += change
            self._squares += change * change
            self._steps += np.square(layer - self._last, dtype=np.float64)
            self._last = layer
        self.frames += 1

    def deviation(self) -> np.ndarray:
        """(H, W): standard deviation over time, root mean square of the channels."""
        variance = self._squares / self.frames - np.square(self._sum / self.frames)
        return np.sqrt(np.maximum(variance, 0).mean(axis=2)) / self._level()

    def frame_to_frame(self) -> np.ndarray:
        """(H, W): root mean square change from one frame to the next. At least two frames."""
        return np.sqrt(self._steps.mean(axis=2) / (self.frames - 1)) / self._level()

    def still(self) -> np.ndarray:
        """(H, W) bool, of the image: pixels that deviate by less than STILL and are brighter than DARK of the brightest."""
        level = self._level()
        return (self.deviation() < STILL) & (level > DARK * np.percentile(level, 95))

    def _level(self) -> np.ndarray:
        return np.maximum(luminance(self._first + self._sum / self.frames), _LEAST)


def root_mean_square(values: np.ndarray, pixels: np.ndarray) -> float:
    """Of (H, W) values over (H, W) bool pixels. NaN without pixels."""
    return float(np.sqrt(np.square(values[pixels]).mean())) if pixels.any() else float("nan")


def albedo_error(albedo: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) log ratio of an albedo to the true one, less its median over the mask (a decomposition knows no scale);
    0 outside. albedo, truth: (H, W, 3) linear; mask: (H, W) bool."""
    ratio = np.log(np.maximum(albedo, _LEAST)) - np.log(np.maximum(truth, _LEAST))
    if mask.any():
        ratio -= np.median(ratio[mask], axis=0)
    return ratio * mask[..., None]


def objects(view: View) -> np.ndarray | None:
    """(H, W) numbers of the things that a view's pixels show; None where nobody stored them."""
    if view.surface is None:
        return None
    return np.array([number for _, number, _ in view.meta["surfaces"]])[view.surface]


def behind(seen: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W) bool: pixels that showed another thing not long ago. seen: things' numbers in the last frames, now last."""
    *before, now = seen
    return np.any([things != now for things in before], axis=0) if before else np.zeros(now.shape, bool)


def carried_change(images: Sequence[np.ndarray], errors: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """Root mean square change of the albedo's log error from one frame to the next, along the motion of the images.

    What an albedo that stays with its surfaces has 0 of, however wrong it is. Each of two frames: images (H, W, 3) linear,
    errors (H, W, 3) as `albedo_error`, masks (H, W) bool. NaN where nothing is visible in both.
    """
    white = max(float(np.percentile(images[1], 95)), _LEAST)
    motion = FlowEstimator()(images[0] / white, images[1] / white)
    used = motion.visible & masks[1] & (warp(masks[0].astype(np.float32), motion.backward) > 0.99)
    if not used.any():
        return float("nan")
    change = errors[1][used] - warp(errors[0].astype(np.float32), motion.backward)[used]
    return float(np.sqrt(np.square(change, dtype=np.float64).mean()))


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
