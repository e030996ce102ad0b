"""Shading at the network's size: the image divided by the albedo that the network found in it, its colour by confidence.

An albedo has errors of some hundredths. In the blue of a red door, where image and albedo are both nearly zero, their
quotient is noise, and the light would turn violet. What a channel says about the colour of the light therefore counts by
its albedo a, as a / (a + NEUTRAL); the rest is neutral light of the brightness that the luminances give. (The posterior
mean of a channel's log-light under a normal prior around neutral, with an error of the square-root coded albedo that is
the same everywhere, has this form.) What it brings, and why NEUTRAL has its value, is in docs/design-log.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Below the first a pixel has no light to speak of (an 8-bit code of 1 is 3e-4); below the second no real surface lies.
MIN_LIGHT = 1e-4
MIN_LOW_ALBEDO = 1e-3
# Linear albedo at which half of a channel's colour of light is believed.
NEUTRAL = 0.15
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def _log_luminance(linear: Tensor) -> Tensor:
    """(B, 3, H, W) linear Rec.709 -> (B, 1, H, W); of half of it, so that the sum of the largest floats is finite."""
    red, green, blue = (linear[:, c : c + 1] * (weight / 2) for c, weight in enumerate(_LUMINANCE))
    return (red + green + blue).log()


class LowShading(nn.Module):
    """log(max(guide, MIN_LIGHT) / max(albedo, MIN_LOW_ALBEDO)), its colour shrunk towards neutral where the albedo is dark.

    In FP32 whatever the albedo's type. Highlights clipped for the network are light all the same, so they are in the
    shading.
    """

    def forward(self, albedo: Tensor, guide: Tensor) -> Tensor:
        """albedo: (B, 3, 32h, 32w), padded, in [0, 1]. guide: (B, 3, low_h, low_w), no larger, linear, exposed, unclipped.

        Returns log-shading, (B, 3, low_h, low_w). The padding is left out by index, not sliced: a slice may end early,
        which would give the output's shape another name.
        """
        for axis in (2, 3):
            albedo = albedo.index_select(axis, torch.arange(guide.shape[axis], device=albedo.device))
        albedo = albedo.float().clamp(min=MIN_LOW_ALBEDO)
        light = guide.clamp(min=MIN_LIGHT)
        neutral = _log_luminance(light) - _log_luminance(albedo)
        return neutral + (light.log() - albedo.log() - neutral) * (albedo / (albedo + NEUTRAL))
