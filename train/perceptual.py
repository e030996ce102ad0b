"""Perceptual distance: differences of an ImageNet-trained network's features (Zhang et al. 2018, without learned weights).

Weights are never downloaded: the caller names a local torchvision state dict.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# After the activations of conv1, fire3, fire5 and fire8 of torchvision's squeezenet1_0.
_LAYERS = {"squeezenet1_0": (1, 4, 8, 10)}


class PerceptualError(Exception):
    """The perceptual network cannot be built. The message names the file, what was found and what is expected."""


def import_torchvision_models():
    """torchvision.models, also where torchvision's compiled operators do not load (its wheel beside a CPU-only torch).

    Declaring the missing operators first lets the import succeed; classification networks never call them.
    """
    try:
        from torchvision import models
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in (
            "nms",
            "qnms",
            "roi_align",
            "roi_pool",
            "ps_roi_align",
            "ps_roi_pool",
            "deform_conv2d",
            "_roi_align_backward",
            "_roi_pool_backward",
            "_ps_roi_align_backward",
            "_ps_roi_pool_backward",
            "_deform_conv2d_backward",
        ):
            library.define(f"{name}(Tensor x) -> Tensor")
        from torchvision import models
    return models


class PerceptualDistance(nn.Module):
    """Mean squared difference of channel-normalised features, summed over the chosen layers.

    network: `squeezenet1_0`. weights: a .safetensors or .pth torchvision state dict of it. The parameters are frozen.
    """

    def __init__(self, network: str, weights: str | Path):
        super().__init__()
        if network not in _LAYERS:
            raise PerceptualError(f"perceptual network: found {network!r}, expected one of {sorted(_LAYERS)}")
        weights = Path(weights)
        if not weights.is_file():
            raise PerceptualError(
                f"{weights}: found no such file, expected the weights of {network} (torchvision state dict)"
            )
        try:
            state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
            model = getattr(import_torchvision_models(), network)(weights=None)
            model.load_state_dict(state)
        except Exception as error:
            found = str(error).splitlines()[0]
            raise PerceptualError(f"{weights}: found {found}, expected a torchvision state dict of {network}") from None
        last = max(_LAYERS[network])
        self.layers = set(_LAYERS[network])
        self.features = model.features[: last + 1].eval().requires_grad_(False)
        for module in self.features.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(_STD)[:, None, None])

    def extract(self, encoded: Tensor) -> list[Tensor]:
        """Unit-length features of every chosen layer. encoded: (B, 3, H, W), display-encoded, in [0, 1]."""
        h, features = (encoded - self.mean) / self.std, []
        for index, layer in enumerate(self.features):
            h = layer(h)
            if index in self.layers:
                features.append(F.normalize(h.float(), dim=1, eps=1e-6))
        return features

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 3, H, W) display-encoded images in [0, 1] -> (B,) distances. Gradients flow into `prediction` only."""
        with torch.no_grad():
            references = self.extract(target)
        return sum((a - b).square().sum(1).mean((1, 2)) for a, b in zip(self.extract(prediction), references, strict=True))
