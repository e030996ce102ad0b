"""Multi-scale gradient loss (Li & Snavely 2018): differences of neighbouring pixels compared at several resolutions.

An L1 loss forgives a shadow that stays in the albedo as a faint step; its edge, compared as an edge, it does not. The
coarse scales see the same for soft shadows.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = 4
# Keeps the logarithm's slope finite for black albedo; square-root encoded, so 0.0025 linear.
LOG_OFFSET = 0.05


def multiscale_gradient_loss(error: Tensor, mask: Tensor, scales: int = SCALES) -> Tensor:
    """(B, 3, H, W) prediction - truth, and mask (B, 1, H, W), 1 = valid -> (B,).

    At each scale (halved by averages, sides at least divisible by 2 ** (scales - 1)) the mean over all pixels and channels
    of |difference to the right| + |difference below|, pairs with an invalid pixel counted as 0; summed over scales. The
    gradient of a difference is the difference of gradients, so the error is all that is needed. A coarse pixel is valid
    where all of its pixels are.
    """
    total = torch.zeros(len(error), device=error.device)
    for scale in range(scales):
        if scale:
            error = F.avg_pool2d(error, 2)
            mask = -F.max_pool2d(-mask, 2)
        right = (error[..., 1:] - error[..., :-1]).abs() * (mask[..., 1:] * mask[..., :-1])
        below = (error[..., 1:, :] - error[..., :-1, :]).abs() * (mask[..., 1:, :] * mask[..., :-1, :])
        total = total + (right.sum((1, 2, 3)) + below.sum((1, 2, 3))) / math.prod(error.shape[1:])
    return total


def log_shading_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Error of the natural log of shading = image / albedo; both albedos square-root encoded (B, 3, H, W), the first not
    clamped.

    The image cancels: what the albedo has too little of, the shading has too much of. Against the decoded albedo's own
    error this one weighs dark surfaces as much as bright ones.
    """
    return 2 * ((target + LOG_OFFSET).log() - (prediction.clamp(min=0) + LOG_OFFSET).log())
