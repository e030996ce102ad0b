"""Working resolution: the size at which the network sees an image, and the padding that its strides need."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from intrinsic_flow.decomposition.bundle import SIDE_MULTIPLE

MAX_ASPECT = 4


@dataclass(frozen=True)
class WorkingSize:
    """height, width: of the working image; padded_height, padded_width: the next multiples of 32."""

    height: int
    width: int

    @property
    def padded_height(self) -> int:
        return _next_multiple(self.height)

    @property
    def padded_width(self) -> int:
        return _next_multiple(self.width)


def _next_multiple(side: int) -> int:
    return -(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE


def working_size(height: int, width: int, resolution: int) -> WorkingSize:
    """Size at which to run the network on a height x width image.

    The short side becomes `resolution` (at least 32), unless the image is smaller: nothing is enlarged, except to reach
    32. The long side is at most MAX_ASPECT x resolution, so that a strip of any length has bounded cost. The aspect
    ratio is kept, up to rounding, except for strips so narrow that their short side would fall below 32.
    """
    short, long = min(height, width), max(height, width)
    scale = min(1.0, resolution / short, MAX_ASPECT * resolution / long)
    scale = max(scale, min(SIDE_MULTIPLE / short, MAX_ASPECT * resolution / long))
    return WorkingSize(max(SIDE_MULTIPLE, round(height * scale)), max(SIDE_MULTIPLE, round(width * scale)))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes (H, W, 3) float32 linear light: area average where it shrinks, bilinear where it grows."""
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    if height <= rows and width <= columns:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    # INTER_AREA turns into plain bilinear sampling, which aliases, as soon as one side grows: shrink that other side
    # first.
    shrunk = (min(width, columns), min(height, rows))
    if shrunk != (columns, rows):
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def pad(image: np.ndarray) -> np.ndarray:
    """Reflect-pads (H, W, 3) at the bottom and the right to multiples of 32. H and W at least 32."""
    rows, columns = image.shape[:2]
    bottom, right = _next_multiple(rows) - rows, _next_multiple(columns) - columns
    if bottom == right == 0:
        return image
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="reflect")
