"""Validation scores in torch, batched on the device. `benchmarks/scoring/metrics/` holds the reference definitions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.train.data.degrade import linear_to_srgb


def psnr_srgb(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """PSNR in dB of linear images in [0, 1], compared in sRGB encoding over mask. (B, 3, H, W), (B, 1, H, W) -> (B,)."""
    error = (linear_to_srgb(prediction.clamp(0, 1)) - linear_to_srgb(target)).square().mean(1, keepdim=True)
    mse = (error * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)
    return -10 * torch.log10(mse.clamp(min=1e-10))


def lmse(prediction: Tensor, target: Tensor, mask: Tensor, window: int = 20, stride: int = 10) -> Tensor:
    """Local mean squared error (Grosse et al. 2009): one least-squares scale a window, sum of errors over sum of squares.

    prediction, target: (B, 3, H, W) linear; mask: (B, 1, H, W) -> (B,). Windows lie fully inside the image.
    """

    def sums(product: Tensor) -> Tensor:
        return F.avg_pool2d((product * mask).sum(1, keepdim=True), window, stride, divisor_override=1)

    prediction, target = prediction.double(), target.double()
    pp, pt, tt = sums(prediction * prediction), sums(prediction * target), sums(target * target)
    scale = torch.where(pp > 1e-12, pt / pp.clamp(min=1e-12), torch.zeros_like(pp))
    error = (tt - 2 * scale * pt + scale * scale * pp).clamp(min=0)
    return (error.sum((1, 2, 3)) / tt.sum((1, 2, 3)).clamp(min=1e-12)).float()
