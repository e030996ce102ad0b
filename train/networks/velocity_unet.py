"""Velocity UNet v(z, t, features) of the flow from noise to albedo latents (Lipman et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intrinsic_flow.train.networks.blocks import (
    Downsample,
    ResBlock,
    SelfAttention,
    Upsample,
    group_norm,
    sinusoid,
    zero_init,
)
from intrinsic_flow.train.networks.config import LATENT_CHANNELS, NetworkConfig

TIME_WIDTH = 64
# Bounds the weight that the end of the path gets in the velocity loss; no Euler step of up to 10 starts later.
MIN_TIME_LEFT = 0.1


class VelocityUNet(nn.Module):
    """Three levels at 1/8, 1/16 and 1/32 of the image, the features added at each, self-attention at the lowest.

    The layers estimate the path's end x1, and the velocity is what leads there in the time left, (x1 - z) / (1 - t) (Li &
    He 2025): noise is subtracted exactly instead of through convolutions, which leave coloured blotches of it behind. z
    enters times t, the share of it that is signal; at t = 0 it is pure noise and says nothing. `NetworkConfig.prediction`
    has two other ways, to compare with.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.prediction = config.prediction
        widths, depths = config.unet_widths, config.unet_depths
        embedding = 2 * widths[0]
        self.time = nn.Sequential(nn.Linear(TIME_WIDTH, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.stem = nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1)
        self.fuse = nn.ModuleList([nn.Conv2d(c, w, 1) for c, w in zip(config.feature_channels, widths)])
        self.down_stages = nn.ModuleList(
            [nn.ModuleList([ResBlock(w, embedding=embedding) for _ in range(d)]) for w, d in zip(widths, depths)]
        )
        self.downs = nn.ModuleList([Downsample(a, b) for a, b in zip(widths, widths[1:])])
        self.attention = SelfAttention(widths[-1], config.attention_head_width)
        self.middle = ResBlock(widths[-1], embedding=embedding)
        self.ups = nn.ModuleList([Upsample(b, a) for a, b in zip(widths, widths[1:])])
        self.joins = nn.ModuleList([nn.Conv2d(2 * w, w, 1) for w in widths[:-1]])
        self.up_stages = nn.ModuleList(
            [nn.ModuleList([ResBlock(w, embedding=embedding) for _ in range(d)]) for w, d in zip(widths[:-1], depths[:-1])]
        )
        out = zero_init(nn.Conv2d(widths[0], LATENT_CHANNELS, 3, padding=1))
        self.head = nn.Sequential(group_norm(widths[0]), nn.SiLU(), out)

    def forward(self, z: Tensor, t: Tensor, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """z: (B, 12, h, w); t: (B,) or (1,) float32 in [0, 1]; features at h x w, its half and its quarter -> as z."""
        # A regression sees the time 0 always, where z enters as nothing.
        seen = torch.zeros_like(t) if self.prediction == "regression" else t
        first = self.time[0]
        assert isinstance(first, nn.Linear)
        embedding = self.time(sinusoid(seen, TIME_WIDTH).to(first.weight.dtype))
        t, seen = t.reshape(-1, 1, 1, 1), seen.reshape(-1, 1, 1, 1)
        h, skips = self.stem(z if self.prediction == "velocity" else seen * z), []
        for level, blocks in enumerate(self.down_stages):
            assert isinstance(blocks, nn.ModuleList)
            if level:
                h = self.downs[level - 1](h)
            h = h + self.fuse[level](features[level])
            for block in blocks:
                h = block(h, embedding)
            skips.append(h)
        h = self.middle(self.attention(h), embedding)
        for level in reversed(range(len(self.ups))):
            h = self.joins[level](torch.cat([self.ups[level](h), skips[level]], dim=1))
            blocks = self.up_stages[level]
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, embedding)
        out = self.head(h).float()
        return out if self.prediction == "velocity" else (out - z) / (1 - t).clamp(min=MIN_TIME_LEFT)
