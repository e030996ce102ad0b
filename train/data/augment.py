"""Batched augmentation on the device: from stored views to pairs of (image, albedo).

Everything is drawn from one `torch.Generator`, so that a batch is a function of its seed. The light changes (groups
recombined with random gains and colours), the surfaces change (recoloured, desaturated), then the camera does
(exposure after the tone map, white balance, and `degrade`, on the input only).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from train.data.degrade import degrade
from train.data.store import ViewStore
from train.tone_map import exposure_gain, luminance


@dataclass(frozen=True)
class Batch:
    """image: (B, 3, s, s) linear after exposure, in [0, 1]. albedo: (B, 3, s, s) linear in [0, 1], invalid pixels filled
    (see `fill_invalid`). mask: (B, 1, s, s) float, 1 = albedo is ground truth.
    """

    image: Tensor
    albedo: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ValidationBatch(Batch):
    """Adds what the derived layer needs. exposed: (B, 3, H, W) image after exposure, not clipped. shading: (B, 3, H, W) its
    ground truth.
    """

    exposed: Tensor
    shading: Tensor


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths of the augmentation. Standard deviations are of natural logarithms unless said otherwise."""

    light_gain: float = 0.8
    light_color: float = 0.12
    weak_light_share: float = 0.08
    weak_light_max_gain: float = 3.0
    albedo_gain: float = 0.2
    albedo_color: float = 0.06
    desaturate: float = 0.7
    exposure: float = 0.25
    white_balance: float = 0.08
    degrade: float = 1.0


def _decode_log(codes: Tensor, code: Tensor, gain: Tensor) -> Tensor:
    """Codes (B, 2, 3, s, s) float in [0, 255], their constants (B, 2, 2) and light gains (B, 3) -> linear, in place."""
    slope, scale = code[..., 0, None, None, None], code[..., 1, None, None, None]
    return codes.mul_(slope / 255).expm1_().mul_(scale * gain[:, None, :, None, None])


def _crop(tensor: Tensor, index: Tensor, top: Tensor, left: Tensor, crop: int, side: int) -> Tensor:
    """(B, ..., side, side) float32 in [0, 255]: crops of the views `index`, reduced as coded.

    Averaging codes instead of light keeps `image = albedo * shading + residual` exact, since the image is composed of
    the averages, and decodes only the pixels that are needed.
    """
    crops = torch.empty((len(index), *tensor.shape[1:-2], crop, crop), dtype=tensor.dtype, device=tensor.device)
    for row, (i, y, x) in enumerate(zip(index.tolist(), top.tolist(), left.tolist())):
        crops[row].copy_(tensor[i, ..., y : y + crop, x : x + crop])
    if crop == side:
        return crops.float()
    flat = crops.reshape(len(index), -1, crop, crop).float()
    resized = F.avg_pool2d(flat, crop // side) if crop % side == 0 else F.interpolate(flat, (side, side), mode="bilinear")
    return resized.reshape(*crops.shape[:-2], side, side)


def fill_invalid(albedo: Tensor, diffuse: Tensor, residual: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
    """Give invalid pixels (sky, lamps, metal) a target: what the camera sees, by the share that is not diffuse light.

    A black sky in the albedo would make its shading explode; taken as its own colour under white light, it stays a sky.
    All (B, 3, s, s) linear but mask (B, 1, s, s); `seen` is the image after exposure, in [0, 1].
    """
    surface, other = luminance(diffuse)[:, None], luminance(residual)[:, None]
    emitted = torch.where(mask > 0.5, torch.zeros_like(mask), other / (surface + other).clamp(min=1e-9))
    return albedo + emitted * (seen - albedo)


def plain_batch(store: ViewStore, index: Tensor) -> ValidationBatch:
    """Whole views under their default light, nothing random: what validation sees."""
    white = torch.ones(len(index), 3, device=store.device)
    layers = sum(
        _decode_log(store.layers[index, :, k].float(), store.code[index, :, k], white) for k in range(store.layers.shape[2])
    )
    albedo, mask = store.albedo[index].float().div(255).square(), store.mask[index].float()
    diffuse, residual = albedo * layers[:, 0], layers[:, 1]
    gain = exposure_gain(diffuse + residual)
    exposed = (diffuse + residual) * gain
    seen = exposed.clamp(0, 1)
    target = fill_invalid(albedo, diffuse, residual, mask, seen)
    return ValidationBatch(seen, target, mask, exposed, layers[:, 0] * gain)


def random_batch(
    store: ViewStore,
    index: Tensor,
    side: int,
    crops: tuple[int, ...],
    config: AugmentConfig,
    generator: torch.Generator,
) -> Batch:
    """One augmented batch of the views `index` at (side, side): a random crop size of `crops` (pixels of the stored view)
    is drawn for the batch, positions and everything else for each view.
    """
    device, count = store.device, len(index)
    height, width = store.size

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, generator=generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=generator)

    fitting = [crop for crop in crops if crop <= min(height, width)] or [min(height, width)]
    crop = fitting[int(uniform(1).item() * len(fitting))]
    top = (uniform(count) * (height - crop + 1)).long()
    left = (uniform(count) * (width - crop + 1)).long()
    albedo = _crop(store.albedo, index, top, left, crop, side).div_(255).square_()
    mask = (_crop(store.mask, index, top, left, crop, side) > 0.99).float()

    gains = torch.exp(config.light_gain * normal(count, 3, 1) + config.light_color * normal(count, 3, 3))
    weak = store.light_share[index][..., None] < config.weak_light_share
    gains = torch.where(weak, gains.clamp(max=config.weak_light_max_gain), gains)
    balance = torch.exp(config.white_balance * normal(count, 1, 3))
    gains = gains * balance
    layers = torch.zeros(count, 2, 3, side, side, device=device)
    for group in range(store.layers.shape[2]):
        rows = (store.light_share[index, group] > 0).nonzero().flatten()
        if len(rows):
            views = index[rows]
            codes = _crop(store.layers[:, :, group], views, top[rows], left[rows], crop, side)
            layers.index_add_(0, rows, _decode_log(codes, store.code[views, :, group], gains[rows, group]))

    recolor = torch.exp(config.albedo_gain * normal(count, 1, 1, 1) + config.albedo_color * normal(count, 3, 1, 1))
    gray = (config.desaturate * uniform(count, 1, 1, 1) * (uniform(count, 1, 1, 1) < 0.5)) * luminance(albedo)[:, None]
    keep = torch.where(gray > 0, 1 - gray / luminance(albedo)[:, None].clamp(min=1e-6), torch.ones_like(gray))
    albedo = ((albedo * keep + gray) * recolor).clamp(0, 1)

    flip = uniform(count, 1, 1, 1) < 0.5
    diffuse, residual = albedo * layers[:, 0], layers[:, 1]
    diffuse, residual, albedo, mask = (torch.where(flip, x.flip(-1), x) for x in (diffuse, residual, albedo, mask))

    image = diffuse + residual
    gain = exposure_gain(image) * torch.exp(config.exposure * normal(count, 1, 1, 1))
    seen = (image * gain).clamp(0, 1)
    target = fill_invalid(albedo, diffuse, residual, mask, seen)
    return Batch(degrade(seen, config.degrade, generator), target, mask)
