"""Edges of the light as sharp as those of paint.

Path-traced light is denoised, so the edge of a hard shadow spreads over pixels where the edge of a paint is one pixel wide
(largest log step over one pixel / over five: .51 and .70 on our renders). Photographs know no such difference, and a
network that has learnt it leaves sharp shadows in the albedo.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.data.windows import on_rows, windows

# Where edges are looked for, in pixels, and the most that detail is amplified by.
_WINDOW = 5
_MOST = 3.0
# Darker than this, relative to a view's brightest, there is nothing to sharpen.
_DARK = 1e-4


def sharpen_edges(light: Tensor, amount: Tensor) -> Tensor:
    """Amplify detail of log-light, never beyond what stands within two pixels: edges get narrow without a halo.

    light: (rows, 3, H, W) linear, non-negative; amount: (rows, 1, 1, 1), 0 leaves a row as it is.
    """
    floor = (_DARK * light.amax((1, 2, 3), keepdim=True)).clamp(min=1e-12)
    log_light = light.maximum(floor).log()
    around = F.pad(log_light, (_WINDOW // 2,) * 4, mode="replicate")
    mean = windows(around, _WINDOW, torch.add) / _WINDOW**2
    low, high = windows(around, _WINDOW, torch.minimum), windows(around, _WINDOW, torch.maximum)
    sharp = (log_light + amount * (log_light - mean)).minimum(high).maximum(low)
    return torch.where((amount > 0) & (light > floor), sharp.exp(), light)


def sharpen(light: Tensor, share: float, draws: Draws) -> Tensor:
    """`sharpen_edges` by random amounts, in a share of the views."""
    amount = _MOST * draws.uniform(1, 1, 1)
    return on_rows(sharpen_edges, light, torch.where(draws.uniform(1, 1, 1) < share, amount, torch.zeros_like(amount)))
