"""Conditioning encoder: the image -> feature maps of its last three stages, at 1/8, 1/16 and 1/32 of the resolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intrinsic_flow.train.networks.blocks import Downsample, ResBlock, zero_init
from intrinsic_flow.train.networks.config import NetworkConfig
from intrinsic_flow.train.networks.efficientnet_lite import CHANNELS, EfficientNetLite
from intrinsic_flow.train.networks.vae import VaeEncoder

_LOG_GAIN = 50.0


def encode_image(image: Tensor, encoding: str) -> Tensor:
    """Linear light in [0, 1] -> [0, 1] under a curve: `linear`, `sqrt`, or `log`.

    log: log(1 + 50 x) / log(51), like the eye's over 1.7 decades (0.01 becomes 0.10, 0.1 becomes 0.46; sqrt: 0.10, 0.32),
    with a finite slope at black, where sqrt blows up noise.
    """
    if encoding == "log":
        return torch.log1p(_LOG_GAIN * image) / math.log1p(_LOG_GAIN)
    return image.sqrt() if encoding == "sqrt" else image


class ConditioningEncoder(nn.Module):
    """Image (B, 3, H, W), linear light after the exposure gain, in [0, 1] -> three feature maps.

    The image is encoded inside (`encode_image`, by default as albedo is in the VAE) and folded 4x4 into channels at once:
    the full resolution is never convolved. Features of a pretrained network, which sees the image at half its size, join
    where the stages begin; the joins start as nothing, so that one may be added to a trained encoder.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.encoding = config.input_encoding
        widths, depths = config.encoder_widths, config.encoder_depths
        self.stem = nn.Conv2d(48, widths[0], 3, padding=1)
        self.stages = nn.ModuleList([nn.Sequential(*[ResBlock(w) for _ in range(d)]) for w, d in zip(widths, depths)])
        self.downs = nn.ModuleList([Downsample(a, b) for a, b in zip(widths, widths[1:])])
        self.pretrained = EfficientNetLite() if config.pretrained_encoder != "none" else None
        if self.pretrained is not None:
            self.joins = nn.ModuleList([zero_init(nn.Conv2d(c, w, 1)) for c, w in zip(CHANNELS, widths[1:])])

    def start_from(self, vae_encoder: VaeEncoder) -> bool:
        """Copy the VAE encoder's weights into the stages down to 1/8, where both have the same shape; False where not.

        The albedo's latent and the image's share their texture: a start from what encodes it saves learning it again.
        """
        pairs = (
            (self.stem, vae_encoder.stem),
            (self.stages[0], vae_encoder.stage4),
            (self.downs[0], vae_encoder.down),
            (self.stages[1], vae_encoder.stage8),
        )
        shapes = [[{k: v.shape for k, v in module.state_dict().items()} for module in pair] for pair in pairs]
        if any(ours != theirs for ours, theirs in shapes):
            return False
        for ours, theirs in pairs:
            ours.load_state_dict(theirs.state_dict())
        return True

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Once: torch 2.13's exporter loses the bounds of a second clamp of the same tensor.
        image = image.clamp(0, 1)
        h = self.stem(F.pixel_unshuffle(encode_image(image, self.encoding) * 2 - 1, 4))
        h = self.stages[0](h)
        known = [] if self.pretrained is None else self.pretrained(F.avg_pool2d(encode_image(image, "sqrt"), 2))
        features = []
        for level, (down, stage) in enumerate(zip(self.downs, self.stages[1:])):
            h = down(h)
            if known:
                h = h + self.joins[level](known[level])
            h = stage(h)
            features.append(h)
        return features[0], features[1], features[2]
