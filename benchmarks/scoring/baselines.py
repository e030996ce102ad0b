"""The trivial answers: what any method has to beat before its numbers mean anything.

A method is a callable `(image, mask) -> Layers`. `image` is (H, W, 3) float32 linear light of any exposure,
`mask` (H, W) bool says which pixels are judged. Layers that a method has no answer for are None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intrinsic_flow.media.color import luminance


@dataclass(frozen=True)
class Layers:
    """A decomposition: (H, W, 3) float, linear light, up to one factor; None where there is no answer."""

    albedo: np.ndarray | None = None
    shading: np.ndarray | None = None


Method = Callable[[np.ndarray, np.ndarray], Layers]


def image(image: np.ndarray, mask: np.ndarray) -> Layers:
    """Albedo is the image: no shading is taken away."""
    return Layers(albedo=image)


def constant(image: np.ndarray, mask: np.ndarray) -> Layers:
    """Albedo or shading is the same everywhere and has no colour."""
    ones = np.ones(image.shape, np.float32)
    return Layers(albedo=ones, shading=ones)


def chromaticity(image: np.ndarray, mask: np.ndarray) -> Layers:
    """Albedo is the image's chromaticity RGB / (R + G + B): surfaces are equally bright. Black is grey."""
    total = image.sum(-1, keepdims=True)
    return Layers(albedo=np.divide(image, total, out=np.full_like(image, 1 / 3), where=total > 0))


def gray_image(image: np.ndarray, mask: np.ndarray) -> Layers:
    """Shading is the image's Rec.709 luminance, in all three channels: every surface is equally bright."""
    return Layers(shading=as_gray(image))


def as_gray(layer: np.ndarray) -> np.ndarray:
    """(H, W, 3) linear light -> its Rec.709 luminance in all three channels."""
    return np.repeat(luminance(layer)[..., None], 3, axis=-1)


TRIVIAL: dict[str, Method] = {
    "image": image,
    "chromaticity": chromaticity,
    "gray image": gray_image,
    "constant": constant,
}
