"""Losses that compare albedo as an image: the decoder's own, or the product's, which the guided upsampler has made."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intrinsic_flow.train.config import FlowConfig
from intrinsic_flow.train.gradient_loss import log_shading_error, multiscale_gradient_loss
from intrinsic_flow.train.networks.guided_upsampler import GuidedUpsampler
from intrinsic_flow.train.networks.low_shading import LowShading
from intrinsic_flow.train.networks.vae import encode_albedo


class ImageLosses:
    """Those that a configuration gives a weight; `weights` has them by name."""

    def __init__(self, config: FlowConfig) -> None:
        weights = {
            "decoded": config.decoded_weight,
            "gradient": config.gradient_weight,
            "shading": config.shading_weight,
            "shading_gradient": config.shading_gradient_weight,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight}

    def __call__(self, prediction: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """(B,) by name, not weighted. prediction, not clamped, and target: (B, 3, H, W) square-root encoded albedo; mask:
        (B, 1, H, W), 1 = valid. Gradients are compared at several scales, shading as its logarithm.
        """
        errors = {"albedo": prediction - target}
        if self.weights.keys() & {"shading", "shading_gradient"}:
            errors["shading"] = log_shading_error(prediction, target)
        terms = {
            "decoded": lambda: (errors["albedo"].abs() * mask).mean((1, 2, 3)),
            "gradient": lambda: multiscale_gradient_loss(errors["albedo"], mask),
            "shading": lambda: (errors["shading"].abs() * mask).mean((1, 2, 3)),
            "shading_gradient": lambda: multiscale_gradient_loss(errors["shading"], mask),
        }
        return {name: terms[name]() for name in self.weights}


class Product(nn.Module):
    """The albedo that users get, at the working resolution: the image over the shading that the guided filter makes."""

    def __init__(self) -> None:
        super().__init__()
        self.low_shading, self.upsampler = LowShading(), GuidedUpsampler()

    def forward(self, prediction: Tensor, image: Tensor) -> Tensor:
        """prediction: (B, 3, H, W) square-root encoded albedo, not clamped; image: (B, 3, H, W) linear. Returns albedo,
        (B, 3, H, W) square-root encoded, in FP32 whatever the autocast.
        """
        with torch.autocast(image.device.type, enabled=False):
            rows = torch.tensor([0.0, image.shape[-2]], device=image.device)
            log_shading = self.low_shading(prediction.float().clamp(0, 1).square(), image)
            shading = self.upsampler(log_shading, image, image, rows)
            return encode_albedo((image / shading).clamp(min=1e-6))
