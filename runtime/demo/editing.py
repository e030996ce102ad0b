"""Editing a decomposition: recolour a surface in the albedo, change the light in the shading, multiply again.

Everything is (H, W, 3) float32, linear light, Rec.709 primaries. An edit is decided at preview size, where it is tried
live, and applied at any size: what depends on the whole picture (the clicked surface, the mean light) is measured once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from intrinsic_flow.media.color import linear_to_srgb, luminance, srgb_to_linear

DAYLIGHT_KELVIN = 6500.0
KELVIN_RANGE = (2000.0, 15000.0)
# Lightness counts less than colour when surfaces are compared: what shading an albedo still holds is lightness.
LIGHTNESS_WEIGHT = 0.5
CLICK_RADIUS = 2


@dataclass(frozen=True)
class Recolour:
    """A click and what is to become of the surface there.

    x, y: of the click, as fractions of width and height, in [0, 1). color: (3,) the surface's new albedo, linear.
    tolerance: largest difference that still counts as the same surface, in CIELAB units with lightness weighed by
    LIGHTNESS_WEIGHT. everywhere: whether all of the picture counts, or only what hangs together with the click.
    """

    x: float
    y: float
    color: tuple[float, float, float]
    tolerance: float = 18.0
    everywhere: bool = False


@dataclass(frozen=True)
class Light:
    """A change of the light: strength and contrast as factors (1 leaves all as it is), temperature in kelvin (6500 leaves
    the colour as it is), tint (3,) linear, of which only the colour counts."""

    strength: float = 1.0
    contrast: float = 1.0
    kelvin: float = DAYLIGHT_KELVIN
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Selection:
    """A clicked surface. reference: (3,) its mean albedo. region: (h, w) bool where it lies, at preview size; None for
    anywhere."""

    reference: np.ndarray
    tolerance: float
    region: np.ndarray | None


def select(albedo: np.ndarray, edit: Recolour) -> Selection:
    """The surface that `edit` clicks on in `albedo`."""
    height, width = albedo.shape[:2]
    row, column = min(int(edit.y * height), height - 1), min(int(edit.x * width), width - 1)
    rows = slice(max(row - CLICK_RADIUS, 0), row + CLICK_RADIUS + 1)
    columns = slice(max(column - CLICK_RADIUS, 0), column + CLICK_RADIUS + 1)
    reference = np.median(albedo[rows, columns].reshape(-1, 3), axis=0).astype(np.float32)
    if edit.everywhere:
        return Selection(reference, edit.tolerance, None)
    alike = _similarity(albedo, reference, edit.tolerance) > 0
    # The click itself may sit on a speck that differs from its neighbourhood's median.
    alike[row, column] = True
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=8)
    return Selection(reference, edit.tolerance, labels == labels[row, column])


def weights(albedo: np.ndarray, selection: Selection) -> np.ndarray:
    """How much each pixel belongs to the selection: (H, W) float32 in [0, 1], soft at its edges.

    albedo: at any size. A region that was found at another size is scaled and reaches one of its pixels further, so that
    the edge is that of the albedo at hand.
    """
    weight = _similarity(albedo, selection.reference, selection.tolerance)
    if selection.region is None:
        return weight
    region: np.ndarray = selection.region.astype(np.uint8)
    if region.shape != weight.shape:
        region = cv2.dilate(region, np.ones((3, 3), np.uint8))
        region = cv2.resize(region, weight.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return weight * region


def recolour(albedo: np.ndarray, selection: Selection, color: Sequence[float]) -> np.ndarray:
    """Gives a surface another mean colour; its texture, which is lightness relative to the mean, stays. In [0, 1]."""
    weight = weights(albedo, selection)[..., None]
    texture = luminance(albedo) / max(float(luminance(selection.reference)), 1e-4)
    painted = np.minimum(texture[..., None] * np.asarray(color, np.float32), 1.0)
    return albedo + weight * (painted - albedo)


def light_level(shading: np.ndarray) -> float:
    """The geometric mean of the light, around which its contrast turns. 1.0 for a picture without light."""
    light = luminance(shading)
    light = light[light > 0]
    return float(np.exp(np.log(light).mean())) if light.size else 1.0


def relight(shading: np.ndarray, light: Light, level: float) -> np.ndarray:
    """Changes strength, contrast and colour of the shading. level: `light_level` of the picture."""
    factor = light.strength * light_color(light)
    if light.contrast == 1.0:
        return shading * factor.astype(np.float32)
    # Black stays black, and near it no contrast below 1 makes light out of noise.
    relative = np.maximum(luminance(shading) / np.float32(level), 1e-3)
    return shading * (relative ** np.float32(light.contrast - 1.0))[..., None] * factor.astype(np.float32)


def light_color(light: Light) -> np.ndarray:
    """(3,) float64, linear, of luminance 1: the colour by which a light multiplies what it falls on."""
    color = black_body(light.kelvin) / black_body(DAYLIGHT_KELVIN) * np.maximum(light.tint, 1e-3)
    return color / float(luminance(color))


def black_body(kelvin: float) -> np.ndarray:
    """Linear Rec.709 colour, (3,) float64 of luminance 1, of a black body from 1667 to 25000 K, clipped to the gamut.

    Cubic fit of the Planckian locus by Kim et al. (2002), US patent 7024034.
    """
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    color = np.maximum(_XYZ_TO_REC709 @ xyz, 0.02)
    return color / float(luminance(color))


# IEC 61966-2-1, equation 7.
_XYZ_TO_REC709 = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])


def recompose(
    albedo: np.ndarray,
    shading: np.ndarray,
    edits: Sequence[tuple[Selection, Sequence[float]]],
    light: Light,
    level: float,
) -> np.ndarray:
    """The edited image: albedo with every surface of `edits` (selection, new colour) repainted x shading under `light`.

    Without edits, under the neutral light, it is the input again.
    """
    for selection, color in edits:
        albedo = recolour(albedo, selection, color)
    return albedo * relight(shading, light, level)


def parse_color(text: str) -> tuple[float, float, float]:
    """A browser's colour, #rrggbb or rgb(r, g, b) or rgba(...), sRGB-encoded -> linear. Raises ValueError."""
    text = text.strip()
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        codes = [float(int(text[i : i + 2], 16)) for i in (1, 3, 5)]
    else:
        match = re.fullmatch(r"rgba?\(\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*(?:,[^)]*)?\)", text)
        if not match:
            raise ValueError(f"colour {text[:40]!r}, expected #rrggbb")
        codes = [min(float(code), 255.0) for code in match.groups()]
    red, green, blue = (float(value) for value in srgb_to_linear(np.array(codes) / 255))
    return red, green, blue


def for_display(image: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Linear light times a factor as 8-bit sRGB, (H, W, 3) uint8."""
    return np.rint(255 * linear_to_srgb(np.clip(image * np.float32(factor), 0, 1))).astype(np.uint8)


def _similarity(albedo: np.ndarray, reference: np.ndarray, tolerance: float) -> np.ndarray:
    """1 where the albedo is close to the reference, 0 from `tolerance` on, smooth between: (H, W) float32."""
    difference = _lab(albedo) - _lab(reference[None, None])
    difference[..., 0] *= LIGHTNESS_WEIGHT
    distance = np.sqrt(np.einsum("hwc,hwc->hw", difference, difference))
    ramp = np.clip(2 * (1 - distance / np.float32(max(tolerance, 1e-3))), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _lab(albedo: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(albedo, np.float32), cv2.COLOR_LRGB2Lab)
