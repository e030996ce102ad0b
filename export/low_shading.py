"""Shading at the network's size as a graph, so that an engine need not come back to the host for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intrinsic_flow.low_shading import MIN_LIGHT, MIN_LOW_ALBEDO

# Light this bright over MIN_LOW_ALBEDO is still a float32; what is brighter adds its logarithm apart.
_BRIGHT = 1e30


class LowShading(nn.Module):
    """`intrinsic_flow.low_shading.low_shading` and its natural log, in FP32 whatever the albedo's type."""

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
