"""Albedo and shading of one image, and where the image came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from intrinsic_flow.media.formats import BitDepth
    from intrinsic_flow.media.plate import Plate
    from intrinsic_flow.media.samples import Image


@dataclass(frozen=True, eq=False)
class Source:
    """The image that was decomposed, without its pixels.

    name: file name, None for what has none. path: of the file, None for arrays and PIL images. bit_depth: of the samples,
    8, 16, "half" or "float". alpha: (H, W) float32 in [0, 1], None where opaque. notes: what was repaired, converted or
    ignored. plate: the values, windows and header of an OpenEXR file, None for others.
    """

    name: str | None = None
    path: Path | None = None
    bit_depth: BitDepth = "float"
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    plate: Plate | None = None

    @classmethod
    def of(cls, path: Path, image: Image) -> Source:
        """The source of an image that was read from `path`."""
        return cls(path.name, path, image.bit_depth, image.alpha, image.notes, image.plate)


@dataclass(frozen=True)
class Layers:
    """Both layers (H, W, 3) float32, linear light, Rec.709 primaries.

    albedo is at most 1, and 0 or negative where the image is; shading is positive, unbounded, in the image's own scale;
    albedo x shading = image to a relative 1e-5. exposure_gain is the factor under which the network saw the image. source:
    the image's file, depth and alpha. settings: the model and its options, as they stand in the JSON file beside an
    integer shading.
    """

    albedo: np.ndarray
    shading: np.ndarray
    exposure_gain: float
    source: Source = field(default_factory=Source, repr=False, compare=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
