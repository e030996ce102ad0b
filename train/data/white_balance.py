"""White balance as cameras do it: the light's mean colour pulled to neutral, with a rest of its own that stays.

Renders show the light as it is, on the average warm by .35 in log R/B; photographs come balanced. A network that has seen
only the first takes the warm colour of skin for the light's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.tone_map import luminance

#: How much of the light's colour a camera takes away, least and most.
PULL = (0.6, 1.0)
#: What a camera leaves or adds by mistake, mired along the Planckian locus (standard deviation), and how often far more.
SMALL_MIRED, LARGE_MIRED, LARGE_SHARE = 12.0, 80.0, 0.1
#: Natural log of the linear Rec.709 colour of a black body per 100 mired from 6500 K, mean zero, at 4000 to 9000 K.
PLANCKIAN = (0.5, 0.02, -0.52)
_LEAST = 1e-6


def white_balance(shading: Tensor, mask: Tensor, draws: Draws) -> Tensor:
    """Gains (B, 3, 1, 1) for all light of a picture, of luminance 1.

    shading: (B, 3, H, W) linear; mask: (B, 1, H, W), 1 where it is a surface's. The mean colour of the light there is
    pulled to neutral by PULL, then shifted along the Planckian locus.
    """
    surface = mask.sum((2, 3)).clamp(min=1)
    light = (shading * mask).sum((2, 3)) / surface
    neutral = (luminance(light[..., None, None]).reshape(-1, 1) + _LEAST) / (light + _LEAST)
    low, high = PULL
    pull = low + (high - low) * draws.uniform(1)
    far = (draws.uniform(1) < LARGE_SHARE).float()
    mired = draws.normal(1) * (SMALL_MIRED + far * (LARGE_MIRED - SMALL_MIRED))
    locus = torch.tensor(PLANCKIAN, device=shading.device)
    gains = neutral.clamp(0.2, 5.0) ** pull * torch.exp(mired / 100 * locus)
    # The luminance of the light stays.
    after = luminance((light * gains)[..., None, None]).reshape(-1, 1) + _LEAST
    gains = gains * (luminance(light[..., None, None]).reshape(-1, 1) + _LEAST) / after
    return gains[..., None, None]
