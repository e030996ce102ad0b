"""MAW's scores: predicted albedo against albedo measured on surfaces of real rooms.

J. Wu et al.: Measured albedo in the wild, ICCP 2023 (MeasuredAlbedo/code: `numerical_albedo.AlbedoEvaluator`): a
prediction is shrunk to 320x240 in sRGB encoding and averaged, in linear light, over each marked surface. Here it is shrunk
by area averages, where the authors use Pillow's antialiased bilinear filter, and it is not rounded to 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear, to_rec709_matrix

SIZE = (320, 240)
ADOBE_RGB = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)


@dataclass(frozen=True)
class MeasuredRegions:
    """regions: (H, W) integers, 0 where nothing was measured. colors: label -> (3,) float64 linear Rec.709 albedo."""

    regions: np.ndarray
    colors: dict[int, np.ndarray]

    @property
    def small(self) -> np.ndarray:
        """The regions at the scores' size, (240, 320) int32."""
        return cv2.resize(self.regions.astype(np.int32), SIZE, interpolation=cv2.INTER_NEAREST)

    @property
    def visible(self) -> list[int]:
        """Labels of the regions that are left at the scores' size."""
        small = self.small
        return [index for index in self.colors if (small == index).any()]

    def picture(self, shape: tuple[int, int]) -> np.ndarray:
        """The measured colours in their places on black."""
        height, width = shape
        regions = cv2.resize(self.regions.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
        picture = np.zeros((height, width, 3), np.float32)
        for index, color in self.colors.items():
            picture[regions == index] = color
        return picture


def adobe_to_rec709(colors: np.ndarray) -> np.ndarray:
    """(N, 3) linear Adobe RGB, as MAW stores it -> (N, 3) float64 linear Rec.709, clipped to [0, 1]."""
    return np.clip(np.asarray(colors, np.float64) @ to_rec709_matrix(ADOBE_RGB).T, 0, 1)


def region_means(albedo: np.ndarray, measured: MeasuredRegions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W, 3) linear albedo -> means over regions (N, 3), measured colours (N, 3), pixels of each region (N,).

    Albedo above 1 is brought under it by one factor, which neither score sees. Regions are taken at 320x240, where a
    tiny one may vanish. Raises ValueError if all do.
    """
    inside = np.clip(albedo / max(1.0, float(albedo.max())), 0, 1)
    small = cv2.resize(linear_to_srgb(inside), SIZE, interpolation=cv2.INTER_AREA)
    linear = srgb_to_linear(small).astype(np.float64)
    regions, present = measured.small, measured.visible
    if not present:
        raise ValueError("no measured region is left at 320x240 pixels")
    means = np.stack([linear[regions == index].mean(0) for index in present])
    return means, np.stack([measured.colors[i] for i in present]), np.array([(regions == i).sum() for i in present])


def intensity_error(means: np.ndarray, colors: np.ndarray, pixels: np.ndarray) -> float:
    """Mean over regions, weighted by pixels, of the squared difference of grey (mean of RGB).

    After the one scale for the picture that minimises it. Papers print it times 100.
    """
    guess, wanted = means.mean(1), colors.mean(1)
    scale = np.sum(pixels * guess * wanted) / max(np.sum(pixels * guess * guess), 1e-6)
    return float(np.average((scale * guess - wanted) ** 2, weights=pixels))


def chromaticity_error(means: np.ndarray, colors: np.ndarray, pixels: np.ndarray) -> float:
    """Mean over regions, weighted by pixels, of CIEDE2000 after each region was given the measured grey."""
    gray = means.mean(1, keepdims=True)
    scaled = means * colors.mean(1, keepdims=True) / np.maximum(gray, 1e-6)
    difference = deltaE_ciede2000(_lab(colors), _lab(scaled))
    return float(np.average(difference, weights=pixels))


def _lab(linear: np.ndarray) -> np.ndarray:
    return rgb2lab(np.clip(linear_to_srgb(linear), 0, 1).astype(np.float64))
