"""An FP16 copy of the model with FP32 islands, so that its exported graphs are strongly typed FP16 graphs.

Exporting a half-precision module decides each tensor's type in one readable place; graph converters decide by operator
lists and lose two to five times as much accuracy.
"""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from intrinsic_flow.train.networks.blocks import SelfAttention
from intrinsic_flow.train.networks.model import IntrinsicFlow


class Float32GroupNorm(nn.GroupNorm):
    """Group norm that computes in FP32 and returns the input's type: FP16 sums of squares overflow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class Float32SoftmaxAttention(SelfAttention):
    """Self-attention whose softmax is FP32; the queries are scaled first, so that FP16 scores stay small."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        head_width = channels // self.heads
        qkv = self.qkv(self.norm(x)).reshape(batch, 3 * self.heads, head_width, height * width)
        query, key, value = qkv.chunk(3, dim=1)
        scores = (query * head_width**-0.5).transpose(2, 3) @ key
        attended = value @ F.softmax(scores.float(), dim=-1).to(value.dtype).transpose(2, 3)
        return x + self.out(attended.reshape(batch, channels, height, width))


class HalfInput(nn.Conv2d):
    """FP16 convolution at an FP32 edge (z): rounds its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.half())


class HalfOutput(nn.Sequential):
    """FP32 time embedding inside an FP16 network: rounds its output."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).half()


def half_copy(model: IntrinsicFlow) -> IntrinsicFlow:
    """FP16 copy for inference with the same state-dict keys.

    FP16: images, features, albedo, convolutions. FP32: z, t, dt, the time embedding, the latent's affine, the Euler
    update, group norms, softmax.
    """
    model = copy.deepcopy(model).half().eval()
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            _specialise(module, Float32GroupNorm).float()
        elif isinstance(module, SelfAttention):
            _specialise(module, Float32SoftmaxAttention)
    _specialise(model.unet.time, HalfOutput).float()
    _specialise(model.unet.stem, HalfInput)
    _specialise(model.vae.decoder.stem, HalfInput)
    model.vae.latent_mean = model.vae.latent_mean.float()
    model.vae.latent_std = model.vae.latent_std.float()
    return model


def _specialise(module: nn.Module, subclass: type[nn.Module]) -> nn.Module:
    """Gives a module of this private copy another forward. A new object would need every constructor argument again."""
    module.__class__ = subclass
    return module
