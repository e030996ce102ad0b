"""The guided filter of a bundle's upsampler graph, computed on the CPU by OpenCV: several times as fast as the graph there.

In windows of the low resolution log-shading is a line over log-luminance, `slope * log(Y + dark) + offset`, with an offset
for each channel (train/networks/guided_upsampler.py derives it). The graph interpolates by matrix products, computes in
whole planes and fits anew for every strip; here the fit is a value, which a video changes before it is applied, and the
full resolution is computed in strips that stay in the processor's cache. Both agree to rounding.

He & Sun, "Fast guided filter" (2015).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import cv2
import numpy as np

from intrinsic_flow.media.color import REC709_LUMINANCE

# Three float channels of a strip, about half of a core's second cache.
STRIP_PIXELS = 1 << 15
_MOST = np.finfo(np.float32).max
# Of any constant.
_LARGEST = 64


@dataclass(frozen=True)
class GuidedFilter:
    """Constants of the upsampler graph, as a bundle's manifest states them under "upsampler".

    cell: side of a cell, in low-resolution pixels. radius, color_radius: of the windows, in cells. epsilon: variance of
    log-luminance below which nothing is fitted. dark, min_light: luminance that is added, and that counts at least.
    min_shading: least luminance of shading. prior: weight of the whole picture's colour of light. min_weight: of a pixel.
    """

    cell: int
    radius: int
    color_radius: int
    epsilon: float
    dark: float
    min_light: float
    min_shading: float
    prior: float
    min_weight: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = name in ("cell", "radius", "color_radius")
            good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not good or not 0 < value <= _LARGEST:
                kind = "integer" if whole else "number"
                raise ValueError(f"{name} {value!r}, expected a positive {kind} of at most {_LARGEST}")

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> GuidedFilter:
        """Builds the constants from a manifest's entry. Raises ValueError on a missing, unknown or bad value."""
        expected = set(cls.__dataclass_fields__)
        if set(values) != expected:
            raise ValueError(f"keys {sorted(values)}, expected {sorted(expected)}")
        return cls(**values)  # type: ignore[arg-type]  # checked above and in __post_init__

    def to_dict(self) -> dict[str, float]:
        """The manifest's entry."""
        return asdict(self)

    def fit(self, log_shading: np.ndarray, guide: np.ndarray) -> Lines:
        """log_shading, guide: (h, w, 3) float32, natural log of shading and the exposed image it was divided out of."""
        height, width = guide.shape[:2]
        brightness = np.maximum(_luminance(guide), np.float32(self.min_light))
        light = cv2.log(brightness + np.float32(self.dark))
        shade = cv2.log(np.maximum(_luminance(cv2.exp(log_shading)), np.float32(self.min_shading)))
        weight = cv2.sqrt(brightness + np.float32(self.dark)) + np.float32(self.min_weight)

        def cells_of(maps: list[np.ndarray]) -> np.ndarray:
            return np.stack([_cells(plane, self.cell) for plane in maps])

        def windows(cells: np.ndarray, radius: int) -> np.ndarray:
            over = [_windows(count, radius) for count in cells.shape[-2:]]
            return over[0] @ cells @ over[1].T

        weighted_light, weighted_shade = weight * light, weight * shade
        sums = cells_of([weight, weighted_light, weighted_light * light, weighted_shade, weighted_shade * light])
        total, *means = windows(sums, self.radius)
        mean_light, mean_square, mean_shade, mean_product = (mean / total for mean in means)
        variance = np.maximum(mean_square - mean_light * mean_light, 0)
        slope = np.clip((mean_product - mean_light * mean_shade) / (variance + np.float32(self.epsilon)), 0, 1)
        line = windows(sums[0] * np.stack([slope, mean_shade - slope * mean_light]), self.radius) / total

        ratio = np.abs(cv2.log(np.maximum(guide, np.float32(self.min_light))) - cv2.merge([cv2.log(brightness)] * 3))
        weight = weight * cv2.exp(-np.maximum(np.maximum(ratio[..., 0], ratio[..., 1]), ratio[..., 2]))
        colors = cells_of([weight, *(weight * (log_shading[..., channel] - shade) for channel in range(3))])
        colors = windows(windows(colors, self.color_radius), self.color_radius)
        colors += np.float32(self.prior) * colors.mean((1, 2), keepdims=True)
        offset = line[1] + colors[1:] / colors[0]
        return Lines(self, line[0], cv2.merge(list(offset)), self.cell, (height, width))


@dataclass(frozen=True, eq=False)
class Lines:
    """slope: (r, c) float32. offset: (r, c, 3) float32, of the natural log of shading. step: low-resolution pixels from one
    place to the next, the first in the middle of the first `step`. low: height and width of the low resolution."""

    filter: GuidedFilter
    slope: np.ndarray
    offset: np.ndarray
    step: int
    low: tuple[int, int]

    def at_low_resolution(self) -> Lines:
        """The same lines with a place for every low-resolution pixel."""
        height, width = self.low
        slope, offset = (_enlarged(maps, self.step, self.step)[:height, :width] for maps in (self.slope, self.offset))
        return Lines(self.filter, slope, offset, 1, self.low)

    def shading(self, image: np.ndarray, gain: float) -> np.ndarray:
        """As `strips`, of the whole: (H, W, 3) float32."""
        shading = np.empty(image.shape, np.float32)
        for rows, strip in self.strips(image, gain):
            shading[rows] = strip
        return shading

    def strips(self, image: np.ndarray, gain: float) -> Iterator[tuple[slice, np.ndarray]]:
        """Shading of an image (H, W, 3) float32, linear, finite, not negative, in its own scale: `gain` times it is what
        the lines were fitted to. In strips: rows, and their shading (n, W, 3) float32, positive, perhaps infinite."""
        for rows, strip in self.log_strips(image, gain):
            flat = strip.reshape(len(strip), -1)
            cv2.exp(flat, flat)
            yield rows, strip

    def log_strips(self, image: np.ndarray, gain: float) -> Iterator[tuple[slice, np.ndarray]]:
        """As `strips`, the natural log of the shading. A strip is the caller's to change."""
        height, width = image.shape[:2]
        down, across = (self.step * side / low for side, low in zip((height, width), self.low))
        slope, offset = _enlarged(self.slope, down, 1), _enlarged(self.offset - np.float32(math.log(gain)), down, 1)
        weights = (REC709_LUMINANCE * np.float32(gain))[None]
        count = max(1, STRIP_PIXELS // width)
        for top in range(0, height, count):
            rows = slice(top, min(top + count, height))
            light = np.asarray(cv2.transform(image[rows], weights), np.float32)
            np.clip(light, np.float32(self.filter.min_light), _MOST, out=light)
            light += np.float32(self.filter.dark)
            cv2.log(light, light)
            light *= _enlarged(slope[rows], 1, across)[:, :width]
            strip = cv2.merge([light] * 3)
            strip += _enlarged(offset[rows], 1, across)[:, :width]
            yield rows, strip


def _enlarged(maps: np.ndarray, down: float, across: float) -> np.ndarray:
    """Maps (r, c) or (r, c, C) sampled `down` and `across` times as densely, linearly between their places."""
    if down == across == 1:
        return maps
    return cv2.resize(maps, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)


def _luminance(image: np.ndarray) -> np.ndarray:
    return cv2.transform(image, REC709_LUMINANCE[None])


def _cells(plane: np.ndarray, cell: int) -> np.ndarray:
    """(h, w) -> means over squares of `cell` pixels a side; the last ones may be smaller."""
    height, width = plane.shape
    below, right = -height % cell, -width % cell
    padded = cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_CONSTANT)
    size = (padded.shape[1] // cell, padded.shape[0] // cell)
    means = np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.float32)
    means[-1] *= np.float32(cell / (cell - below))
    means[:, -1] *= np.float32(cell / (cell - right))
    return means


@lru_cache(maxsize=16)
def _windows(cells: int, radius: int) -> np.ndarray:
    """(cells, cells) float32: row i averages the window of `radius` cells to both sides of i, ended by the border."""
    index = np.arange(cells)
    inside = (np.abs(index[:, None] - index[None]) <= radius).astype(np.float32)
    return inside / inside.sum(axis=1, keepdims=True)
