"""How much of the picture is in the albedo: its contrast against the image's, and how alike the two are.

Neither has a good direction. The image itself scores 1 and 1, a constant 0 and nothing; every score that a flat albedo
would win (`cast_shadow`, `constancy`) has to be read beside these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intrinsic_flow.media.color import luminance

# Below this luminance of the image there is more noise than surface.
LEAST_LIGHT = 0.02
# Bounds the logarithm of a black albedo.
OFFSET = 1e-3
# An answer with less contrast than this is flat: what is measured relative to its contrast is undefined.
FLAT = 0.02


def contrast_and_correlation(albedo: np.ndarray, image: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    """`contrast` = std log(Y_albedo + 1e-3) / std log(Y_image), and the `correlation` of the two logarithms.

    albedo, image: (H, W, 3) linear light; mask: (H, W) bool. Y is Rec.709 luminance, pixels are those of the mask with
    Y_image > .02. Both are None where fewer than two such pixels or no contrast in the image leave them undefined, the
    correlation also for a constant albedo.
    """
    light = luminance(image)
    valid = mask & (light > LEAST_LIGHT)
    seen, found = np.log(light[valid], dtype=np.float64), np.log(luminance(albedo)[valid] + OFFSET, dtype=np.float64)
    if len(seen) < 2 or seen.std() < 1e-6:
        return {"contrast": None, "correlation": None}
    flat = found.std() < 1e-6
    correlation = None if flat else float(np.corrcoef(seen, found)[0, 1])
    return {"contrast": 0.0 if flat else float(found.std() / seen.std()), "correlation": correlation}


def mean_of(scores: Sequence[dict[str, Any]], key: str) -> float | None:
    """Mean of a score over pictures, of those that have it; None where none has."""
    values = [score[key] for score in scores if score[key] is not None]
    return float(np.mean(values)) if values else None
