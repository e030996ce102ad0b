"""A decomposition whose layers are still to be computed at full resolution: by another thread, or as codes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from intrinsic_flow.decomposition.guided_filter import Lines
from intrinsic_flow.decomposition.layers import Source
from intrinsic_flow.decomposition.product import ShadingKind, finish, finish_rows
from intrinsic_flow.decomposition.result import Decomposition

# Below any light that a float image of a video holds, and finite.
_DARKEST = np.float32(1e-30)


@dataclass(frozen=True, eq=False)
class PendingLayers:
    """image: (H, W, 3) float32, linear. shading: the filter's lines for it, or its shading, (H, W, 3) float32, positive.
    The others: see `Layers`."""

    image: np.ndarray
    shading: Lines | np.ndarray
    kind: ShadingKind
    exposure_gain: float
    source: Source
    settings: Mapping[str, Any]

    def finish(self) -> Decomposition:
        """The layers in floats."""
        if isinstance(self.shading, Lines):
            albedo, shading = np.empty_like(self.image), np.empty_like(self.image)
            for rows, strip in self.shading.strips(without_negatives(self.image), self.exposure_gain):
                finish_rows(self.image[rows], strip, albedo[rows], shading[rows], kind=self.kind)
        else:
            albedo, shading = finish(self.image, self.shading, "float", self.kind)
        return Decomposition(albedo, shading, self.exposure_gain, self.source, self.settings)

    @property
    def has_logs(self) -> bool:
        """Whether `logs` can be had."""
        return isinstance(self.shading, Lines) and self.kind == "rgb"

    def logs(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """In strips: rows, and the natural logs of their image and shading, (n, 3 W) float32 each, the shading not below
        the image. The albedo's log is their difference, to rounding. A channel without light counts as 1e-30. Raises
        ValueError where there are none (`has_logs`)."""
        if not isinstance(self.shading, Lines) or self.kind != "rgb":
            raise ValueError("no logs, expected an RGB shading by the filter's lines")
        for rows, strip in self.shading.log_strips(without_negatives(self.image), self.exposure_gain):
            shading = strip.reshape(len(strip), -1)
            image = cv2.log(np.maximum(self.image[rows].reshape(shading.shape), _DARKEST))
            yield rows, image, np.maximum(shading, image, out=shading)


def without_negatives(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 -> the same without negative values."""
    return image if image.min() >= 0 else np.maximum(image, 0)
