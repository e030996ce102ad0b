"""Light of less contrast, as under an overcast sky or beside a flash.

A renderer's lamps, recombined at random and with random shadows, explain half of a picture's contrast; in photographs, most
of which are taken in soft light, surfaces explain more (the slope of log-albedo on log-image is .51 in our training, .64
on views as rendered, and .62 to .66 in published answers for photographs). A network learns the share it is shown.
"""

from __future__ import annotations

import torch
from torch import Tensor

from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.tone_map import luminance

#: The least power of the light's luminance.
LEAST_POWER = 0.35
# Darker than this, relative to a view's mean light, there is none to lift.
_DARK = 1e-3


def soft_light(light: Tensor, mask: Tensor, share: Tensor, draws: Draws) -> Tensor:
    """Diffuse light (B, 3, H, W), linear, whose contrast is reduced in a share of the views; its colours stay.

    mask: (B, 1, H, W), 1 where it falls on a surface; share: (B, 1, 1, 1), how likely each view is one of them. Luminance,
    relative to its mean over the surfaces, is raised to a power between LEAST_POWER and 1.
    """
    power = LEAST_POWER + (1 - LEAST_POWER) * draws.uniform(1, 1, 1)
    power = torch.where(draws.uniform(1, 1, 1) < share, power, torch.ones_like(power))
    brightness = luminance(light)[:, None]
    mean = (brightness * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)
    return light * (brightness / mean.clamp(min=1e-9)).clamp(min=_DARK) ** (power - 1)
