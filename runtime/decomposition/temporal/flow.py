"""Optical flow between neighbouring frames at working resolution: where each pixel was, and whether it was visible there.

Dense inverse search (Kroeger et al. 2016, OpenCV's DIS) on log-luminance, in which other light is an offset that the
search's mean normalisation removes. It runs at a coarse scale for speed; one step of Lucas and Kanade takes out the bias of
a tenth of a pixel that this leaves, which would add up from frame to frame. Visible is what flows forth and back to itself
(Sundaram et al. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from intrinsic_flow.media.color import luminance

# Log-luminance from 1/50 of the exposure's white to twice it is spread over the 8 bits that DIS takes.
_DARK, _BRIGHT = 0.02, 2.0
_SMALLEST_SIDE = 16
_WINDOW = (11, 11)
# Squared slopes, in log units a pixel, below which a window is too flat to refine by.
_FLAT = 1e-4


@dataclass(frozen=True)
class Motion:
    """backward: (h, w, 2) float32, pixels (x, y) to add to a pixel of this frame to find it in the last one. visible:
    (h, w) bool, where it lies inside the last frame and flows back to itself."""

    backward: np.ndarray
    visible: np.ndarray


class FlowEstimator:
    """Holds DIS's buffers. Frames are (h, w, 3) float32 linear, brought to display range by the exposure's gain."""

    def __init__(self) -> None:
        # OpenCV's type stubs ask for the flow to start from, which DIS does without.
        self._dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(self, before: np.ndarray, now: np.ndarray) -> Motion:
        """Motion from `before` to `now`, two frames of one size."""
        height, width = now.shape[:2]
        if min(height, width) < _SMALLEST_SIDE:
            return Motion(np.zeros((height, width, 2), np.float32), np.ones((height, width), bool))
        codes = [_codes(frame) for frame in (before, now)]
        backward = self._dis.calc(codes[1], codes[0], None)
        forward = self._dis.calc(codes[0], codes[1], None)
        return Motion(backward, consistent(backward, forward))


def consistent(backward: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels that `backward` leads into the frame and `forward` leads back again. Both (h, w, 2) float32."""
    returned = warp(forward, backward)
    error = _squares(backward + returned)
    length = _squares(backward) + _squares(returned)
    return (error <= 0.01 * length + 0.5) & inside(backward)


def refine(before: np.ndarray, now: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """One step of Lucas and Kanade (1981) on (h, w) float32 pictures, of at most a pixel; nothing moves without texture."""
    x, y = (cv2.Scharr(now, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    error = now - warp(before, flow)
    sums = [cv2.blur(product, _WINDOW) for product in (x * x, x * y, y * y, x * error, y * error)]
    xx, xy, yy, xe, ye = sums
    xx, yy = xx + np.float32(_FLAT), yy + np.float32(_FLAT)
    scale = 1 / np.maximum(xx * yy - xy * xy, np.float32(_FLAT**2))
    step = cv2.merge([(yy * xe - xy * ye) * scale, (xx * ye - xy * xe) * scale])
    return flow + np.clip(step, -1, 1, out=step)


def inside(flow: np.ndarray) -> np.ndarray:
    """(h, w) bool: whether a pixel's flow ends inside the frame."""
    columns, rows = _grid(*flow.shape[:2])
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    height, width = flow.shape[:2]
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def warp(
    maps: np.ndarray,
    flow: np.ndarray,
    interpolation: int = cv2.INTER_LINEAR,
    box: tuple[slice, slice] = (slice(None), slice(None)),
) -> np.ndarray:
    """Maps (h, w) or (h, w, C) of the last frame as this frame sees them: out[p] = maps[p + flow[p]], border repeated; of
    the pixels in a box of it."""
    columns, rows = _grid(*flow.shape[:2])
    x, y = columns[box] + flow[..., 0][box], rows[box] + flow[..., 1][box]
    return cv2.remap(maps, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)


def _squares(flow: np.ndarray) -> np.ndarray:
    return flow[..., 0] ** 2 + flow[..., 1] ** 2


def _codes(frame: np.ndarray) -> np.ndarray:
    log = cv2.log(np.clip(luminance(frame), 0, _BRIGHT) + np.float32(_DARK))
    low, high = np.log(_DARK), np.log(_BRIGHT + _DARK)
    return np.round((log - np.float32(low)) * np.float32(255 / (high - low))).astype(np.uint8)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return columns, rows
