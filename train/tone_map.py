"""Exposure gain in torch, batched: the twin of `intrinsic_flow.decomposition.exposure`, which is the definition."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from intrinsic_flow.decomposition.exposure import ToneMap

TONE_MAP = ToneMap()


def luminance(image: Tensor) -> Tensor:
    """(B, 3, H, W) linear Rec.709 -> (B, H, W)."""
    red, green, blue = image.unbind(1)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _sorted(rows: Tensor) -> Tensor:
    """(B, N) float32, each row in ascending order; on the CPU by numpy's vectorised sort, several times faster."""
    if rows.device.type == "cpu" and not rows.requires_grad:
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.sort(dim=1).values


def exposure_gain(image: Tensor) -> Tensor:
    """(B, 3, H, W) linear, finite -> (B, 1, 1, 1) gain that brings the 90th percentile of luminance to 0.8.

    Only pixels above 2% of the 99.5th percentile count; percentiles interpolate linearly; a black image has gain 1.
    """
    ordered = _sorted(luminance(image.float()).flatten(1))
    total = ordered.shape[1]

    def value_at(position: Tensor) -> Tensor:
        lower = position.floor().clamp(0, total - 1)
        upper = (lower + 1).clamp(max=total - 1)
        low, high = ordered.gather(1, lower.long()), ordered.gather(1, upper.long())
        return low + (high - low) * (position - lower)

    reference = value_at(torch.full_like(ordered[:, :1], (total - 1) * TONE_MAP.reference_percentile / 100))
    counted = (ordered > TONE_MAP.dark_fraction * reference).sum(dim=1, keepdim=True).clamp(min=1)
    level = value_at(total - counted + (counted - 1) * (TONE_MAP.percentile / 100))
    gain = torch.where(level > 0, TONE_MAP.target / level.clamp(min=1e-12), torch.ones_like(level))
    return gain.clamp(TONE_MAP.min_gain, TONE_MAP.max_gain)[:, :, None, None]
