"""Layers put together from the coarse part of one and the detail of another: at which scale an error lies."""

from __future__ import annotations

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

    coarse, detail: (H, W, 3) linear, of any scale. The logarithm of the answer is that of `detail` less its mean over the
    masked pixels of each cell x cell square, plus the same mean of `coarse`. Outside the mask it is 1.
    """
    logs, answer = [], np.ones(coarse.shape, np.float32)
    rows, columns = (np.arange(side) // cell for side in mask.shape)
    cells = (rows[:, None] * (columns[-1] + 1) + columns)[mask]
    count = np.maximum(np.bincount(cells), 1)
    for layer in (coarse, detail):
        values = layer[mask].astype(np.float64)
        logs.append(np.log(np.maximum(values, _LEAST * max(float(np.percentile(values, 99)), 1e-12))))
    for channel in range(3):
        means = [(np.bincount(cells, values[:, channel]) / count)[cells] for values in logs]
        answer[..., channel][mask] = np.exp(logs[1][:, channel] - means[1] + means[0])
    return answer
