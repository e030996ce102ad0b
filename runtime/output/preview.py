"""Input, albedo and shading side by side, for a look at the result."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.decomposition.working_size import resize

PANEL_SIDE = 960


def side_by_side(
    image: np.ndarray, albedo: np.ndarray, shading: np.ndarray, scale: float, gain: float = 1.0, side: int = PANEL_SIDE
) -> np.ndarray:
    """Three panels of one size in a row, linear light in [0, 1].

    image, albedo, shading: (H, W, 3) float32 linear. scale: shading that becomes white. gain: brings the image to
    display range (1 for what comes from an integer file). Returns (h, 3 w, 3) float32; a panel is at most `side`
    long and has even sides, as most video codecs want.
    """
    height, width = panel_size(image.shape[0], image.shape[1], side)
    layers = ((image, gain), (albedo, 1.0), (shading, 1.0 / scale))
    with np.errstate(over="ignore"):
        panels = [np.clip(resize(layer, height, width) * np.float32(factor), 0, 1) for layer, factor in layers]
    return np.concatenate(panels, axis=1)


def panel_size(height: int, width: int, side: int = PANEL_SIDE) -> tuple[int, int]:
    """(height, width) of each panel for an image's size."""
    factor = min(1.0, side / max(height, width))
    return max(2, round(height * factor / 2) * 2), max(2, round(width * factor / 2) * 2)
