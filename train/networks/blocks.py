"""Building blocks shared by the networks. No batch norm, no transposed convolution."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm with 8 channels or more a group, at most 8 groups (Wu & He 2018)."""
    return nn.GroupNorm(max(1, min(8, channels // 8)), channels)


def zero_init(module: Layer) -> Layer:
    """Zero weights and bias: a residual branch that starts as the identity."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


class ResBlock(nn.Module):
    """x + conv(silu(conv(silu(norm(x))))), pre-activation (He et al. 2016).

    `norm=False` leaves the norm out, for resolutions where it is pure bandwidth. With `embedding`, the norm's output is
    scaled and shifted by it (adaptive group norm, Dhariwal & Nichol 2021).
    """

    def __init__(self, channels: int, *, norm: bool = True, embedding: int | None = None):
        super().__init__()
        self.norm = group_norm(channels) if norm else nn.Identity()
        self.modulation = zero_init(nn.Linear(embedding, 2 * channels)) if embedding else None
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = zero_init(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """x: (B, C, H, W); embedding: (B or 1, E)."""
        h = self.norm(x)
        if self.modulation is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return x + self.conv2(F.silu(self.conv1(F.silu(h))))


class SelfAttention(nn.Module):
    """Residual multi-head self-attention over all positions (Vaswani et al. 2017), meant for 1/32 resolution."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.heads = max(1, channels // head_width)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> the same shape."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3 * self.heads, channels // self.heads, height * width)
        query, key, value = qkv.transpose(2, 3).chunk(3, dim=1)
        attended = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(attended.transpose(2, 3).reshape(batch, channels, height, width))


class Downsample(nn.Module):
    """Halve the resolution with a stride-2 convolution."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Double the resolution: 1x1 convolution (cheaper at low resolution), nearest neighbour; the next block smooths."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of a float time in [0, 1] (Vaswani et al. 2017), computed in float32.

    t: (B,) float32 -> (B, width) float32. Frequencies run from 1/2 to 64 periods over [0, 1]: time is never cast to an
    integer, which would make the network blind to it.
    """
    exponents = torch.linspace(-1.0, 6.0, width // 2, device=t.device, dtype=torch.float32)
    angles = t.float()[:, None] * (2 * torch.pi * torch.exp2(exponents))[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
