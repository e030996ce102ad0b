"""Albedo constancy: how much the answer for one object changes when only the lamp does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from intrinsic_flow.benchmarks.scoring.metrics.contrast import LEAST_LIGHT, OFFSET
from intrinsic_flow.benchmarks.scoring.metrics.layers import lmse
from intrinsic_flow.media.color import luminance

# Below this share of the 99th percentile of luminance a pixel is in shadow: there is nothing to judge.
LIT_SHARE = 0.01
# Of two pictures, lit in both: fewer say nothing.
LEAST_PIXELS = 1000


def lit_in_all(luminances: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: masked pixels that no light leaves dark. luminances: (H, W) each, one for each light."""
    lit = mask.copy()
    for values in luminances:
        lit &= values > LIT_SHARE * np.percentile(values[mask], 99)
    return lit


def change(albedos: list[np.ndarray], mask: np.ndarray) -> float:
    """0 if all albedos are equal up to a factor, 1 if they have nothing in common.

    albedos: (H, W, 3) each. The mean over pairs of what is left of one albedo's energy after the best multiple of the
    other is taken away, 1 - (a . b)^2 / (|a|^2 |b|^2): symmetric, and blind to exposure. A black albedo changes fully.
    Raises ValueError for fewer than two albedos.
    """
    values = [albedo[mask].astype(np.float64).ravel() for albedo in albedos]
    return _mean_of_pairs(values, lambda a, b: 1 - float(a @ b) ** 2 / max(float(a @ a) * float(b @ b), 1e-30))


def local_change(albedos: list[np.ndarray], mask: np.ndarray) -> float:
    """The same within windows: the mean over pairs of `lmse` one way and the other. Forgives slow drifts."""
    return _mean_of_pairs(albedos, lambda a, b: (lmse(a, b, mask) + lmse(b, a, mask)) / 2)


def light_left(albedos: list[np.ndarray], images: list[np.ndarray], mask: np.ndarray) -> float | None:
    """Share of the change of light that is left in the albedo: 0 none, 1 as in the images, blind to exposure.

    albedos, images: (H, W, 3) linear light, one of each for a light. The mean over pairs of std(log Y_albedo / Y_other
    albedo) over std(log Y_image / Y_other image), over masked pixels whose luminance is over .02 in both images. None where
    no pair has a thousand such pixels, or no change.
    """
    logs = [np.log(luminance(albedo) + OFFSET, dtype=np.float64) for albedo in albedos]
    lights = [luminance(image) for image in images]
    shares = []
    for a, b in combinations(range(len(logs)), 2):
        valid = mask & (lights[a] > LEAST_LIGHT) & (lights[b] > LEAST_LIGHT)
        if valid.sum() >= LEAST_PIXELS and (seen := float(np.log(lights[a][valid] / lights[b][valid]).std())) > 1e-6:
            shares.append(float((logs[a][valid] - logs[b][valid]).std()) / seen)
    return float(np.mean(shares)) if shares else None


def _mean_of_pairs(values: list[np.ndarray], measure: Callable[[np.ndarray, np.ndarray], float]) -> float:
    if len(values) < 2:
        raise ValueError("constancy needs two lights")
    return float(np.mean([measure(a, b) for a, b in combinations(values, 2)]))
