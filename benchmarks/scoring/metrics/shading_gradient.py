"""SAW's score: average precision of "the shading is smooth here", told from the gradient of a predicted shading.

B. Kovacs, S. Bell, N. Snavely, K. Bala: Shading annotations in the wild, CVPR 2017 (kovibalu/saw_release:
`evaluation.py`, `metrics.py`), and the stricter variants of Z. Li, N. Snavely: CGIntrinsics, ECCV 2018
(zhengqili/CGIntrinsics: `models/saw_utils.py`, `models/intrinsic_model.py`).

People marked pixels as normal or depth boundary (0), shadow boundary (1) or smooth (2). A pixel is called smooth
where the gradient of the shading is below a threshold; sweeping the threshold gives precision and recall of smooth,
with the three classes reweighted to 1 : 1 : 2 over the whole set. The score is the area under that curve, so it
exists for a set of photos, and the counts of single photos are what is added up.

Unlike in the published code, shading is not rounded to 8 bits and weighted counts are not cut to whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label, maximum_filter, sobel
from scipy.ndimage import mean as mean_of_regions

CLASS_WEIGHTS = np.array([1.0, 1.0, 2.0])
SMOOTH = 2
FILTER_SIZE = 10
DARKEST = 1e-4


@dataclass(frozen=True)
class ShadingLabels:
    """classes: (H, W) uint8 with 0 normal or depth boundary, 1 shadow boundary, 2 smooth; anything else is unlabelled."""

    classes: np.ndarray

    def picture(self, shape: tuple[int, int]) -> np.ndarray:
        """Red: normal or depth boundary, cyan: shadow boundary, green: smooth, as in SAW's own pictures."""
        colors = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]], np.float32)
        return colors[np.minimum(self.classes, 3)]


def linear_thresholds(count: int = 200) -> np.ndarray:
    """Kovacs et al.'s: (count,) from 0 to 1, denser at both ends."""
    half = np.logspace(-4, 0, count // 2) / 2
    return np.sort(np.concatenate([half, 1 - half]))


def log_thresholds(count: int = 400) -> np.ndarray:
    """Li & Snavely's: (count,), for gradients of log shading."""
    return np.log(np.sort(np.concatenate([np.linspace(1.001, 1.5, count // 2), np.linspace(1.501, 64.0, count // 2)])))


def gradient_magnitude(gray: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W) float64: length of the Sobel gradient."""
    gray = gray.astype(np.float64)
    return np.hypot(sobel(gray, axis=1), sobel(gray, axis=0))


def region_weights(photo: np.ndarray, labels: ShadingLabels) -> np.ndarray:
    """Li & Snavely's challenge: (H, W) float64, for each smooth region the mean gradient of the photo in it.

    photo: (H, W) sRGB-encoded grey in [0, 1]. Smooth shading is hard to tell where the photo is not smooth. 1 at
    other pixels.
    """
    smooth = labels.classes == SMOOTH
    regions, count = label(smooth)
    weights = np.ones(smooth.shape)
    if count:
        means = np.asarray(mean_of_regions(gradient_magnitude(photo), regions, np.arange(1, count + 1)))
        weights[smooth] = means[regions[smooth] - 1]
    return weights


def smooth_counts(
    gray: np.ndarray,
    labels: ShadingLabels,
    thresholds: np.ndarray,
    *,
    filter_smooth: bool,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """One photo's share of the confusion matrices, (3, T + 1) float64.

    Entry (c, k) is the weight of the labelled pixels of class c that are called smooth from threshold k on, T at none.
    gray: (H, W) shading, linear or its logarithm, as `thresholds` (T,), ascending, expect it. Gradients are widened by
    a maximum filter of 10 pixels; with `filter_smooth` False not at pixels labelled smooth. weights: (H, W), of the
    pixels labelled smooth.
    """
    sharp = gradient_magnitude(gray)
    wide = maximum_filter(sharp, size=FILTER_SIZE)
    counts = np.zeros((3, len(thresholds) + 1))
    for kind in range(3):
        chosen = labels.classes == kind
        values = (sharp if kind == SMOOTH and not filter_smooth else wide)[chosen]
        weight = weights[chosen] if kind == SMOOTH and weights is not None else None
        # A value is below a threshold from the first one that exceeds it.
        first = np.searchsorted(thresholds, values, side="right")
        counts[kind] = np.bincount(first, weight, minlength=len(thresholds) + 1)
    return counts


def precision_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 3, T + 1) counts summed over photos -> precision and recall of smooth at each threshold, (..., T).

    Where nothing is called smooth, precision is 1. Raises ValueError where a class has no pixel.
    """
    called = np.cumsum(counts, -1)
    # The last sum, not counts.sum(): another order of additions would make recall exceed 1 by a rounding error.
    totals = called[..., -1:]
    if (totals <= 0).any():
        raise ValueError("average precision needs pixels of all three classes")
    called = called[..., :-1] / totals * CLASS_WEIGHTS[:, None]
    everything = called.sum(-2)
    precision = np.divide(called[..., SMOOTH, :], everything, out=np.ones_like(everything), where=everything > 0)
    return precision, called[..., SMOOTH, :] / CLASS_WEIGHTS[SMOOTH]


def average_precision(counts: np.ndarray) -> float:
    """(3, T + 1) counts summed over photos -> area under the curve of precision over recall.

    As Li & Snavely do, the curve starts at recall 0 with the precision of the first threshold and ends at recall 1
    with 0.5, the precision of calling everything smooth. Raises ValueError where a class has no pixel.
    """
    precision, recall = precision_recall(counts)
    curve = np.concatenate([precision[:1], precision, [0.5]])
    return float(np.trapezoid(curve, np.concatenate([[0.0], recall, [1.0]])))
