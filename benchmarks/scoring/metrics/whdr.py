"""WHDR: how often an albedo disagrees with people about which of two points is the darker surface.

S. Bell, K. Bala, N. Snavely: Intrinsic images in the wild, SIGGRAPH 2014, section 3.5, as the published `whdr.py`
computes it: the grey of a pixel is the mean of its linear RGB, at least 1e-10; a pair's weight is the people's
confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DELTA = 0.10
_LEAST = 1e-10


@dataclass(frozen=True)
class Judgements:
    """The usable comparisons of one photo, N of them.

    first, second: (N, 2) float64 positions (x, y) in [0, 1) of the two points. darker: (N,) int8: 1 or 2, the point
    whose surface is darker, or 0 for equal. weight: (N,) float64, positive.
    """

    first: np.ndarray
    second: np.ndarray
    darker: np.ndarray
    weight: np.ndarray

    def picture(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Nothing to draw: points say nothing without their partners."""
        return None


def whdr(intensity: np.ndarray, judgements: Judgements, delta: float = DELTA) -> float:
    """Weighted human disagreement rate in [0, 1]: 0 is full agreement.

    intensity: (H, W) linear, of any scale. Point 1 is called darker where the second is more than 1 + delta times as
    bright, and the other way round. Raises ValueError without judgements.
    """
    if not len(judgements.weight):
        raise ValueError("WHDR needs at least one judgement")
    first, second = (np.maximum(_LEAST, at_points(intensity, points)) for points in (judgements.first, judgements.second))
    answer = np.where(second / first > 1 + delta, 1, np.where(first / second > 1 + delta, 2, 0))
    return float(np.average(answer != judgements.darker, weights=judgements.weight))


def at_points(intensity: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(H, W) values at (N, 2) positions (x, y) in [0, 1): the pixel that holds each."""
    height, width = intensity.shape
    return intensity[(points[:, 1] * height).astype(int), (points[:, 0] * width).astype(int)]


def with_offset(intensity: np.ndarray) -> np.ndarray:
    """(H, W), not negative -> intensity plus its maximum: the same order of brightness, squeezed into [0.5, 1].

    No surface becomes darker than another that it was not darker than before, yet most pairs come within 10% of each
    other, which is what people answer most often. A score that this map improves does not measure albedo.
    """
    return 0.5 + 0.5 * intensity / max(float(intensity.max()), _LEAST)
