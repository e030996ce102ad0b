"""Layers put together from the coarse part of one and the detail of another: at which scale an error lies."""

from __future__ import annotations

import cv2
import numpy as np

# Cells of so many pixels where the short side has 256.
CELL = 16
_SHORT_SIDE = 256
# Of a layer's 99th percentile: darker values have no logarithm to speak of.
_LEAST = 1e-4


def cell_of(shape: tuple[int, ...]) -> int:
    """Pixels of a cell's side in a picture (H, W, ...)."""
    return max(1, round(CELL * min(shape[:2]) / _SHORT_SIDE))


def coarse_and_detail(coarse: np.ndarray, detail: np.ndarray, mask: np.ndarray, cell: int) -> np.ndarray:
    """(H, W, 3) float32: `coarse` above `cell` pixels, `detail` below.

    coarse, detail: (H, W, 3) linear, of any scale. The logarithm of the answer is that of `detail`, less its means over the
    masked pixels of cells, interpolated linearly between centres, plus the same of `coarse`. Outside the mask it is 1.
    """
    logs = []
    for layer in (coarse, detail):
        least = _LEAST * max(float(np.percentile(layer[mask], 99)), 1e-12)
        logs.append(np.log(np.maximum(layer, least), dtype=np.float64))
    answer = logs[1] + _low_band(logs[0] - logs[1], mask, cell)
    return np.where(mask[..., None], np.exp(answer), 1).astype(np.float32)


def _low_band(values: np.ndarray, mask: np.ndarray, cell: int) -> np.ndarray:
    """(H, W, 3) -> the means over cells, interpolated; cells count as much as they have masked pixels."""
    height, width = mask.shape
    size = max(1, round(width / cell)), max(1, round(height / cell))
    weight = mask[..., None].astype(np.float64)
    cells = cv2.resize(
        np.concatenate([np.where(mask[..., None], values, 0), weight], -1), size, interpolation=cv2.INTER_AREA
    )
    smooth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return smooth[..., :3] / np.maximum(smooth[..., 3:], 1e-9)
