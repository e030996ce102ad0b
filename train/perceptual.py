"""Perceptual distances by name: differences of an ImageNet-trained network's features (Zhang et al. 2018).

`torchvision:NAME`      any classification network of torchvision, its features compared without learned weights
`squeezenet1_0`         the same as torchvision:squeezenet1_0, from a local file only
`lpips:vgg|alex|squeeze` the package lpips, whose learned weights come with it; its backbone is torchvision's

A local weights file is a torchvision state dict (.safetensors or .pth). Without one, torchvision downloads its own.
Distances of different networks differ in scale, so each needs its own weight in a loss.
"""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Layers by default, by pattern of the network's name: after activations, from fine to coarse.
_LAYERS = {
    "squeezenet1_0": ("features.1", "features.4", "features.8", "features.10"),
    "squeezenet1_1": ("features.1", "features.4", "features.7", "features.10"),
    "vgg16": ("features.3", "features.8", "features.15", "features.22", "features.29"),
    "alexnet": ("features.1", "features.4", "features.7", "features.9", "features.11"),
    "resnet*": ("relu", "layer1", "layer2", "layer3"),
}
_LPIPS_BACKBONES = {"vgg": "vgg16", "alex": "alexnet", "squeeze": "squeezenet1_1"}


class PerceptualError(Exception):
    """The perceptual network cannot be built. The message names the file, what was found and what is expected."""

    #: Of programs that it ends: wrong usage.
    exit_code = 2


def open_distance(network: str, weights: str | Path | None = None, layers: Sequence[str] = ()) -> nn.Module:
    """The distance of that name: a frozen module, (prediction, target) -> (B,), as `PerceptualDistance` describes.

    layers: of a torchvision network, by module name; empty for its default ones. PerceptualError for what cannot be had.
    """
    kind, _, name = network.rpartition(":")
    if kind == "lpips" and name in _LPIPS_BACKBONES and not layers:
        return LpipsDistance(name, weights)
    if kind == "torchvision" or (network == "squeezenet1_0" and weights is not None):
        return PerceptualDistance(name, weights, layers)
    expected = (
        "squeezenet1_0 and a weights file, torchvision:NAME, or (without layers) lpips:vgg, lpips:alex, lpips:squeeze"
    )
    raise PerceptualError(f"perceptual network: found {network!r}, expected {expected}")


def import_torchvision_models() -> ModuleType:
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

    network: of torchvision.models. weights: a local state dict of it, or None to download torchvision's. layers: module
    names. What lies behind the last of them is not computed. The parameters are frozen.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: str, weights: str | Path | None, layers: Sequence[str] = ()):
        super().__init__()
        model = _classifier(network, weights)
        layers = tuple(layers) or next((v for k, v in _LAYERS.items() if fnmatch.fnmatch(network, k)), ())
        known = [name for name, _ in model.named_modules() if name]
        wrong = [layer for layer in layers if layer not in known]
        if wrong or not layers:
            found = f"no layers for {network}" if not layers else f"layers {', '.join(wrong)} for {network}"
            some = ", ".join(known[:12])
            raise PerceptualError(f"perceptual layers: found {found}, expected some of its modules: {some}, ...")
        from torchvision.models.feature_extraction import create_feature_extractor

        for module in model.modules():
            if hasattr(module, "inplace"):
                # In place, it would overwrite the features that it follows. (torch's stub takes tensors and modules only.)
                module.inplace = False  # type: ignore[assignment]
        self.features = create_feature_extractor(model.eval(), list(layers)).eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(_STD)[:, None, None])

    def extract(self, encoded: Tensor) -> list[Tensor]:
        """Unit-length features of every chosen layer. encoded: (B, 3, H, W), display-encoded, in [0, 1]."""
        features = self.features((encoded - self.mean) / self.std)
        return [F.normalize(x.float(), dim=1, eps=1e-6) for x in features.values()]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 3, H, W) display-encoded images in [0, 1] -> (B,) distances. Gradients flow into `prediction` only."""
        with torch.no_grad():
            references = self.extract(target)
        features = zip(self.extract(prediction), references, strict=True)
        return reduce(torch.add, ((a - b).square().sum(1).mean((1, 2)) for a, b in features))


class LpipsDistance(nn.Module):
    """LPIPS 0.1 with its learned weights. backbone: vgg, alex or squeeze (torchvision's squeezenet1_1)."""

    def __init__(self, backbone: str, weights: str | Path | None):
        super().__init__()
        import_torchvision_models()
        try:
            import lpips
        except ImportError:
            found = f"lpips:{backbone} without the package lpips"
            raise PerceptualError(
                f"perceptual network: found {found}, expected pip install 'intrinsic-flow[lpips]'"
            ) from None
        classifier = _classifier(_LPIPS_BACKBONES[backbone], weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lpips 0.1.4 builds its backbone by torchvision's old arguments
            distance = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        self.distance = distance.eval().requires_grad_(False)
        # lpips names the slices of its backbone by the places of their modules in the classifier's `features`.
        features = classifier.features
        assert isinstance(features, nn.Sequential)
        for part in self.distance.net.children():
            for place, module in part.named_children():
                module.load_state_dict(features[int(place)].state_dict())

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """As `PerceptualDistance.forward`."""
        return self.distance(prediction, target, normalize=True).float().flatten()


def _classifier(network: str, weights: str | Path | None) -> nn.Module:
    """A classification network of torchvision with weights. PerceptualError for what cannot be had."""
    models = import_torchvision_models()
    if network not in models.list_models(module=models):
        raise PerceptualError(f"perceptual network: found {network!r}, expected a classification network of torchvision")
    if weights is None:
        try:
            return models.get_model(network, weights="DEFAULT")
        except Exception as error:
            found = f"no weights of {network} ({type(error).__name__}: {str(error).splitlines()[0]})"
            expected = "a network connection to download them, or --perceptual-weights FILE"
            raise PerceptualError(f"perceptual network: found {found}, expected {expected}") from None
    weights = Path(weights)
    if not weights.is_file():
        raise PerceptualError(f"{weights}: found no such file, expected the weights of {network} (torchvision state dict)")
    try:
        state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
        model = models.get_model(network, weights=None)
        model.load_state_dict(state)
    except Exception as error:
        found = str(error).splitlines()[0]
        raise PerceptualError(f"{weights}: found {found}, expected a torchvision state dict of {network}") from None
    return model
