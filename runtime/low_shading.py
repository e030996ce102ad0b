"""Shading at the network's size: the image divided by the albedo that the network found in it."""

from __future__ import annotations

import numpy as np

# Below the first a pixel has no light to speak of (an 8-bit code of 1 is 3e-4); below the second no real surface lies.
MIN_LIGHT = 1e-4
MIN_LOW_ALBEDO = 1e-3


def low_shading(exposed: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    """exposed: image times gain, linear, unclipped, float64 or float32. albedo: float32 in [0, 1], of the same shape.

    Highlights clipped for the network are light all the same, so they are in the shading. The bundle's graph
    "low_shading" computes the logarithm of this.
    """
    return np.maximum(exposed, MIN_LIGHT) / np.maximum(albedo, MIN_LOW_ALBEDO)


def as_guide(exposed: np.ndarray) -> np.ndarray:
    """The exposed image as the graphs take it: float32, where what is too bright for that is its largest value."""
    return np.minimum(exposed, np.finfo(np.float32).max).astype(np.float32)
