"""Scene cuts: is this frame another shot than the last one?

Two frames of one shot hold the same edges, if shifted, however the light changes; so small high-passed pictures of their
log-luminance are compared by normalised correlation at the best shift. A histogram of chromaticity decides in between:
fast motion keeps the colours, another shot seldom does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from intrinsic_flow.decomposition.working_size import resize
from intrinsic_flow.media.color import luminance

SHORT_SIDE = 36
MAX_SHIFT = 4
SURE_CUT = 0.25
POSSIBLE_CUT = 0.5
SAME_COLORS = 0.6
_BINS = 8
_DARK = 0.02
# Less contrast than this in a whole thumbnail is no picture to compare by: a frame of one colour, black for instance.
_FLAT = 0.02


@dataclass(frozen=True)
class Thumbnail:
    """What is compared: edges (rows, columns) float32, colors a chromaticity histogram that sums to 1."""

    edges: np.ndarray
    colors: np.ndarray

    @classmethod
    def of(cls, exposed: np.ndarray) -> Thumbnail:
        """exposed: (H, W, 3) float32 linear, brought to display range by the exposure's gain."""
        factor = SHORT_SIDE / min(exposed.shape[:2])
        small = resize(exposed, *(max(2 * MAX_SHIFT + 4, round(side * factor)) for side in exposed.shape[:2]))
        log = np.log(np.maximum(luminance(small), 0) + np.float32(_DARK))
        edges = log - cv2.GaussianBlur(log, (0, 0), 3)
        total = small.sum(axis=2, keepdims=True) + np.float32(3 * _DARK)
        share = (small[..., :2] + np.float32(_DARK)) / total
        colors = cv2.calcHist([share], [0, 1], None, [_BINS, _BINS], [0.1, 0.6, 0.1, 0.6])
        return cls(edges, colors / max(float(colors.sum()), 1.0))


def is_cut(before: Thumbnail, now: Thumbnail) -> bool:
    """Whether `now` belongs to another shot than `before`, the frame right before it."""
    if before.edges.shape != now.edges.shape:
        return True
    flat = [float(edges.std()) < _FLAT for edges in (before.edges, now.edges)]
    if any(flat):
        # From black, or to it, is a change of shot; one even colour after another is none that matters.
        return not all(flat)
    correlation = _best_correlation(before.edges, now.edges)
    if correlation < SURE_CUT:
        return True
    overlap = float(np.minimum(before.colors, now.colors).sum())
    return correlation < POSSIBLE_CUT and overlap < SAME_COLORS


def _best_correlation(before: np.ndarray, now: np.ndarray) -> float:
    """Normalised correlation of the inner part of `now` with `before`, at the best of all shifts up to MAX_SHIFT."""
    inner = np.ascontiguousarray(now[MAX_SHIFT:-MAX_SHIFT, MAX_SHIFT:-MAX_SHIFT])
    return float(cv2.matchTemplate(before, inner, cv2.TM_CCOEFF_NORMED).max())
