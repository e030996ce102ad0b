"""Shading at the network's size: the image divided by the albedo that the network found in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Below the first a pixel has no light to speak of (an 8-bit code of 1 is 3e-4); below the second no real surface lies.
MIN_LIGHT = 1e-4
MIN_LOW_ALBEDO = 1e-3
# Light this bright over MIN_LOW_ALBEDO is still a float32; what is brighter adds its logarithm apart.
_BRIGHT = 1e30


class LowShading(nn.Module):
    """log(max(guide, MIN_LIGHT) / max(albedo, MIN_LOW_ALBEDO)), in FP32 whatever the albedo's type.

    Highlights clipped for the network are light all the same, so they are in the shading.
    """

    def forward(self, albedo: Tensor, guide: Tensor) -> Tensor:
        """albedo: (B, 3, 32h, 32w), padded, in [0, 1]. guide: (B, 3, low_h, low_w), no larger, linear, exposed, unclipped.

        Returns log-shading, (B, 3, low_h, low_w). The padding is left out by index, not sliced: a slice may end early,
        which would give the output's shape another name.
        """
        for axis in (2, 3):
            albedo = albedo.index_select(axis, torch.arange(guide.shape[axis]))
        albedo = albedo.float().clamp(min=MIN_LOW_ALBEDO)
        shading = guide.clamp(min=MIN_LIGHT, max=_BRIGHT) / albedo
        return shading.log() + (guide.clamp(min=_BRIGHT) / _BRIGHT).log()
