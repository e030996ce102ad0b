"""Plates: what an OpenEXR picture is beside its Rec.709 light, and how layers go back to it.

The network looks at Rec.709. Shading is a radiance, so it is carried to other primaries as a colour is, by the matrix; the
albedo, a ratio, is not: it is the plate divided by the carried shading, channel by channel in the plate's own values. So
albedo x shading = plate there, negative and out-of-gamut values included.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from intrinsic_flow.decomposition.product import ShadingKind, finish
from intrinsic_flow.media.color import REC709_CHROMATICITIES, is_identity, to_rec709_matrix

#: Linear spaces by the names of `--output-colorspace`; others come from OpenColorIO's configuration.
SPACES: dict[str, tuple[float, ...]] = {
    "rec709": REC709_CHROMATICITIES,
    "acescg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
    "aces2065-1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767),
    "p3-d65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    "rec2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
}
INPUT = "input"
# Light of one colour may have no part, or less than none, in other primaries; what is divided by has to be positive.
_LEAST_PART = 1e-3


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int

    def union(self, other: Window) -> Window:
        """The smallest window that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        return Window(x, y, right - x, max(self.y + self.height, other.y + other.height) - y)

    def meets(self, other: Window) -> bool:
        """Whether both share a pixel."""
        across = max(self.x, other.x) < min(self.x + self.width, other.x + other.width)
        return across and max(self.y, other.y) < min(self.y + self.height, other.y + other.height)


@dataclass(frozen=True, eq=False)
class Plate:
    """`pixels` (H, W, 3) float32 linear, finite, any sign, in the primaries `chromaticities`; the same array as
    `Image.pixels` where these are Rec.709's. They lie in the data window; `display` is the display window. `half`: all
    channels are half floats. `attributes`: name, type and value of the header's other entries, as OpenImageIO has them.
    """

    pixels: np.ndarray
    chromaticities: tuple[float, ...]
    data: Window
    display: Window
    half: bool
    compression: str
    attributes: tuple[tuple[str, Any, Any], ...] = ()

    def cut(self, plane: np.ndarray, window: Window) -> np.ndarray:
        """What of a plane (H, W, ...) in the data window lies in another one, black outside."""
        return cut(plane, self.data, window)

    @property
    def shown(self) -> Window:
        """The display window; the data window where both do not meet."""
        return self.display if self.display.meets(self.data) else self.data


def cut(plane: np.ndarray, at: Window, window: Window) -> np.ndarray:
    """What of a plane (H, W, ...) that lies at `at` lies in `window`, 0 outside."""
    if at == window:
        return plane
    out = np.zeros((window.height, window.width, *plane.shape[2:]), plane.dtype)
    x0, x1 = max(at.x, window.x), min(at.x + at.width, window.x + window.width)
    y0, y1 = max(at.y, window.y), min(at.y + at.height, window.y + window.height)
    if x0 < x1 and y0 < y1:
        out[y0 - window.y : y1 - window.y, x0 - window.x : x1 - window.x] = plane[
            y0 - at.y : y1 - at.y, x0 - at.x : x1 - at.x
        ]
    return out


def chromaticities_of(space: str) -> tuple[float, ...]:
    """The primaries and white of a linear space by name: those of `SPACES`, else of OpenColorIO's configuration ($OCIO, or
    the one that comes with it). Raises ValueError where there is none, or it is not linear."""
    if space.lower() in SPACES:
        return SPACES[space.lower()]
    import OpenImageIO as oiio

    config = oiio.ColorConfig()
    if (problem := config.geterror()) and "OCIO" in os.environ:
        # OpenImageIO would go on with what it has built in.
        raise ValueError(
            f"found $OCIO with {os.environ['OCIO']} ({' '.join(problem.split())[:200]}), expected a "
            "configuration of OpenColorIO"
        )
    values = config.get_chromaticities(space) if config.getColorSpaceIndex(config.resolve(space)) >= 0 else None
    if values is None or not config.isColorSpaceLinear(space):
        linear = [name for name in config.getColorSpaceNames() if config.isColorSpaceLinear(name)]
        raise ValueError(
            f"found {space}, expected {INPUT}, {', '.join(SPACES)} or a linear space of {config.configname()} "
            f"({', '.join(linear)[:300]})"
        )
    return tuple(float(value) for value in values)


def in_primaries(
    image: np.ndarray,
    albedo: np.ndarray,
    shading: np.ndarray,
    plate: Plate | None,
    chromaticities: tuple[float, ...],
    *,
    half: bool,
    kind: ShadingKind,
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo and shading for float files in these primaries, rounded to half where that is wanted.

    image, albedo, shading: (H, W, 3) float32 linear Rec.709, the product exact. plate: what the image was read from, so
    that its own values are divided; None for the image itself.
    """
    to_file = np.linalg.inv(to_rec709_matrix(chromaticities))
    same = is_identity(to_file, 1e-6)
    if same and not half and (plate is None or plate.pixels is image):
        return albedo, shading
    values, matrix = image, to_file
    if plate is not None:
        values, matrix = plate.pixels, to_file @ to_rec709_matrix(plate.chromaticities)
    values = values if is_identity(matrix, 1e-6) else carried(values, matrix)
    light = shading
    if not same:
        light = carried(shading, to_file)
        largest = np.maximum(np.maximum(light[..., :1], light[..., 1:2]), light[..., 2:])
        light = np.maximum(light, np.float32(_LEAST_PART) * largest)
    return finish(values, light, "half" if half else "float", kind)


def carried(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 times a matrix (3, 3), float64 on the way: strong colours take differences of large numbers."""
    out = np.empty_like(pixels)
    for row in range(0, pixels.shape[0], 64):
        with np.errstate(over="ignore"):
            out[row : row + 64] = np.clip(
                pixels[row : row + 64].astype(np.float64) @ matrix.T, -np.finfo(np.float32).max, np.finfo(np.float32).max
            )
    return out


def placed(plate: Plate, window: Window) -> Plate:
    """The plate in another data window, black where it had no pixels."""
    return replace(plate, pixels=plate.cut(plate.pixels, window), data=window)
