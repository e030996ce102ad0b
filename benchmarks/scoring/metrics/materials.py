"""Which material each pixel of a rendered view shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A material with less of a view's valid pixels is not judged there.
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Materials:
    """names: of the materials in a view. index: (H, W) integers into them, one a pixel."""

    names: tuple[str, ...]
    index: np.ndarray

    def picture(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Nothing: the materials are seen in the picture itself."""
        return None

    def masks(self, mask: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (H, W) bool, for materials that have enough of the masked pixels."""
        places = {name: mask & (self.index == number) for number, name in enumerate(self.names)}
        return {name: place for name, place in places.items() if place.sum() >= LEAST_SHARE * mask.sum() > 0}
