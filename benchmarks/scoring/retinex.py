"""Colour Retinex as published: the classical method that a learned one has to beat.

R. Grosse, M. K. Johnson, E. H. Adelson, W. T. Freeman: Ground truth dataset and baseline evaluations for
intrinsic image algorithms, ICCV 2009. Shading is grey and smooth, so a gradient of the log image belongs to
the reflectance where its chromaticity part is large (only a change of surface changes the colour) or where
its brightness part is; each has its own threshold. What belongs to the reflectance is integrated in least
squares; the rest is shading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from intrinsic_flow.benchmarks.scoring.baselines import Layers


@dataclass(frozen=True)
class Thresholds:
    """Natural-log gradients between neighbouring pixels above which a gradient belongs to the reflectance.

    chromaticity: of the Euclidean norm of the log-RGB gradient less its channel mean.
    brightness: of the absolute channel mean of the log-RGB gradient.
    """

    chromaticity: float
    brightness: float


# Chosen by `benchmarks.tune_retinex`. "mit": the best of its grid on the ten objects that it is then scored
# on, so flattering: 0.0266 mean LMSE of albedo and shading, 0.0273 leave-one-out. "shards": the best on every
# 16th view of the first training shard (73 views, 0.1056); validation views had no part in it.
THRESHOLDS = {
    "mit": Thresholds(chromaticity=0.075, brightness=1.2),
    "shards": Thresholds(chromaticity=0.3, brightness=0.6),
}

# Pixels darker than this share of the 99th percentile of the masked brightness are lifted to it before the
# logarithm, whose gradients are all noise there. (The published code lifts to 3 of 257 levels.)
FLOOR = 0.001


class PoissonSolver:
    """Exact least-squares integration of gradients over a mask.

    The masked pixels are nodes, and an edge joins each horizontal or vertical pair of them; given the wanted
    difference along each edge, `integrate` finds the field with the least sum of squared deviations. The
    borders of the mask are free (no edge crosses them). The sparse normal equations are factored once, in the
    constructor.

    A connected part of the mask determines its field up to a constant: the least-norm answer is returned,
    whose mean over each part is 0.
    """

    def __init__(self, mask: np.ndarray) -> None:
        """mask: (H, W) bool with at least one pixel set."""
        self.mask = mask
        self.across = mask[:, 1:] & mask[:, :-1]
        self.down = mask[1:] & mask[:-1]
        node = np.cumsum(mask).reshape(mask.shape) - 1
        tail = np.concatenate([node[:, :-1][self.across], node[:-1][self.down]])
        head = np.concatenate([node[:, 1:][self.across], node[1:][self.down]])
        edges, nodes = len(tail), int(mask.sum())
        number = np.arange(edges)
        self._difference = sparse.csr_matrix(
            (np.repeat([1.0, -1.0], edges), (np.tile(number, 2), np.concatenate([head, tail]))),
            shape=(edges, nodes),
        )
        laplacian = (self._difference.T @ self._difference).tocsc()
        self._parts, self._part = connected_components(laplacian, directed=False)
        # One node of each part is held at 0: that removes the free constants and nothing else.
        self._free = np.ones(nodes, bool)
        self._free[np.unique(self._part, return_index=True)[1]] = False
        if self._free.any():
            # Symmetric and positive definite: no pivoting, and a fill-reducing order made for symmetry.
            self._factor = splu(
                laplacian[self._free][:, self._free],
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )

    def integrate(self, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Wanted differences `f[:, 1:] - f[:, :-1]` (H, W-1) and `f[1:] - f[:-1]` (H-1, W) -> (H, W) float64.

        Differences that touch a pixel outside the mask are ignored; the field is 0 there.
        """
        wanted = np.concatenate([across[self.across], down[self.down]]).astype(np.float64)
        field = np.zeros(len(self._free))
        if self._free.any():
            field[self._free] = self._factor.solve((self._difference.T @ wanted)[self._free])
        means = np.bincount(self._part, field) / np.bincount(self._part)
        result = np.zeros(self.mask.shape)
        result[self.mask] = field - means[self._part]
        return result


def color_retinex(
    image: np.ndarray, mask: np.ndarray, thresholds: Thresholds, solver: PoissonSolver | None = None
) -> Layers:
    """Colour Retinex over the masked pixels.

    image: (H, W, 3) linear light, non-negative, any exposure. mask: (H, W) bool. solver: one made for the
    same mask, to try many thresholds on one picture. Returns grey shading in three channels and `albedo =
    image / shading`, float32, both 0 outside the mask. Raises ValueError for an empty mask or a picture that
    is black inside it.
    """
    brightness = image.mean(-1, dtype=np.float64)
    if not mask.any() or (peak := np.percentile(brightness[mask], 99)) <= 0:
        raise ValueError("Retinex needs a mask that holds light")
    solver = solver or PoissonSolver(mask)
    brightness = np.maximum(brightness, FLOOR * peak)
    log_image = np.log(np.maximum(image, FLOOR * peak))
    log_brightness = np.log(brightness)
    reflectance = solver.integrate(
        _reflectance_gradient(np.diff(log_image, axis=1), np.diff(log_brightness, axis=1), thresholds),
        _reflectance_gradient(np.diff(log_image, axis=0), np.diff(log_brightness, axis=0), thresholds),
    )
    shading = brightness / np.exp(reflectance)
    valid = mask[..., None]
    return Layers(
        albedo=np.where(valid, image / shading[..., None], 0).astype(np.float32),
        shading=np.where(valid, shading[..., None], 0).repeat(3, axis=-1).astype(np.float32),
    )


def _reflectance_gradient(log_image: np.ndarray, log_brightness: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Gradients of log RGB (H, W, 3) and log brightness (H, W) -> the latter, 0 where it is shading."""
    gray = log_image.mean(-1)
    color = np.linalg.norm(log_image - gray[..., None], axis=-1)
    changes = (color > thresholds.chromaticity) | (np.abs(gray) > thresholds.brightness)
    return np.where(changes, log_brightness, 0.0)
