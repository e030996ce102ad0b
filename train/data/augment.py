"""Batched augmentation on the device: from stored views to pairs of (image, albedo).

Everything comes from one `Draws`, so that a batch is a function of its seed. The light changes (groups
recombined with random gains and colours, the strongest behind something), the surfaces change (recoloured, desaturated,
painted), then the camera does
(exposure after the tone map, white balance, and `degrade`, on the input only).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.train.data.degrade import degrade
from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.data.patterns import paint, transmittance
from intrinsic_flow.train.data.prints import printed
from intrinsic_flow.train.data.sharpness import sharpen
from intrinsic_flow.train.data.soft_light import soft_light
from intrinsic_flow.train.data.store import Views, ViewStore
from intrinsic_flow.train.data.white_balance import white_balance
from intrinsic_flow.train.data.windows import block_means
from intrinsic_flow.train.networks.config import SIDE_MULTIPLE
from intrinsic_flow.train.tone_map import exposure_gain, luminance

# Darker albedo than soot's, linear: below it a channel's ratio to the luminance means nothing.
_DARKEST = 0.004


@dataclass(frozen=True)
class Batch:
    """image: (B, 3, H, W) linear after exposure, in [0, 1]. albedo: (B, 3, H, W) linear in [0, 1], invalid pixels filled
    (see `fill_invalid`). mask: (B, 1, H, W) float, 1 = albedo is ground truth.
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
    """Strengths of the augmentation. Standard deviations are of natural logarithms unless said otherwise.

    residual_light: whether valid surfaces keep what is no diffuse reflection of theirs (gloss); sky and lamps always stay.
    paint: share of views whose surfaces are painted. cast_shadows: share of views with random shadows in their strongest
    light, single things before black left out (`train/data/patterns.py`). sharpen: share of views whose light gets sharp
    edges (`train/data/sharpness.py`). soft_light: share of views whose light has less contrast; single things and those
    with random shadows are spared (`train/data/soft_light.py`). white_balanced: whether a camera's white balance pulls the
    light to neutral (`train/data/white_balance.py`), and colours become stronger as often as weaker. prints: share of views
    over which one of `bank` (`train/data/prints.py`) is laid.
    """

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
    residual_light: bool = True
    paint: float = 0.0
    prints: float = 0.0
    bank: Tensor | None = None
    cast_shadows: float = 0.0
    sharpen: float = 0.0
    soft_light: float = 0.0
    white_balanced: bool = False
    saturation: float = 0.35


def _decode_log(codes: Tensor, code: Tensor, gain: Tensor) -> Tensor:
    """Codes (B, 2, 3, H, W) float in [0, 255], their constants (B, 2, 2) and light gains (B, 3) -> linear, in place."""
    slope, scale = code[..., 0, None, None, None], code[..., 1, None, None, None]
    return codes.mul_(slope / 255).expm1_().mul_(scale * gain[:, None, :, None, None])


def crop(tensor: Tensor, views: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut (n, ..., *size) of any dtype out of the views (n,) of a tensor (N, ..., H, W), corners at top, left (n,).

    The three index tensors are on the CPU. There, copying row by row is fastest; a GPU would wait for each row's launch.
    """
    function = copied_crops if tensor.device.type == "cpu" else gathered_crops
    return function(tensor, views, top, left, size)


def copied_crops(tensor: Tensor, views: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """`crop`, one copy for each row."""
    height, width = size
    crops = torch.empty(len(views), *tensor.shape[1:-2], height, width, dtype=tensor.dtype, device=tensor.device)
    for row, (i, y, x) in enumerate(zip(views.tolist(), top.tolist(), left.tolist())):
        crops[row].copy_(tensor[i, ..., y : y + height, x : x + width])
    return crops


def gathered_crops(tensor: Tensor, views: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """`crop`, all rows at once."""
    (height, width), (whole_height, whole_width), device = size, tensor.shape[-2:], tensor.device
    picked = tensor[views.to(device, non_blocking=True)]
    if size == (whole_height, whole_width):
        return picked
    corner = (top * whole_width + left).to(device, non_blocking=True)
    inside = torch.arange(height, device=device)[:, None] * whole_width + torch.arange(width, device=device)
    places = corner[:, None] + inside.flatten()
    flat = picked.reshape(len(views), -1, whole_height * whole_width)
    gathered = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1))
    return gathered.reshape(*picked.shape[:-2], height, width)


@dataclass(frozen=True)
class _Cut:
    """Crops of (height, width) stored pixels from views of one store.

    rows: (n,) places in the batch; views: (n,) in the store; top, left: (n,) corner of each crop; all on the CPU. size:
    (height, width) that the crops are resized to.
    """

    store: ViewStore
    rows: Tensor
    views: Tensor
    top: Tensor
    left: Tensor
    height: int
    width: int
    size: tuple[int, int]

    def of(self, tensor: Tensor, chosen: Tensor | None = None) -> Tensor:
        """(n, ..., *size) float32 in [0, 255], from a tensor (N, ..., H, W) of the store; `chosen` (n,) bool picks rows.

        Averaging codes instead of light keeps `image = albedo * shading + residual` exact, since the image is composed
        of the averages, and decodes only the pixels that are needed.
        """
        views, top, left = (x if chosen is None else x[chosen] for x in (self.views, self.top, self.left))
        crops = crop(tensor, views, top, left, (self.height, self.width))
        shape = crops.shape
        if (self.height, self.width) == self.size:
            return crops.float()
        reduction, rest = divmod(self.height, self.size[0])
        if rest == 0 and self.width == reduction * self.size[1]:
            return block_means(crops, reduction)
        flat = crops.reshape(len(crops), -1, self.height, self.width).float()
        resized = F.interpolate(flat, self.size, mode="bilinear")
        return resized.reshape(*shape[:-2], *self.size)


def _cuts(views: Views, index: Tensor, size: tuple[int, int], zooms: tuple[float, ...], draws: Draws) -> Iterator[_Cut]:
    """Where to cut the views `index`: one zoom for the batch, among those that a view is large enough for."""
    # Places are indices that the host counts with: fetched once, not for every tensor that is cut.
    choice, top, left = draws.number(), draws.uniform().cpu(), draws.uniform().cpu()
    for store, rows, inside in views.locate(index):
        fit = min(store.size[0] / size[0], store.size[1] / size[1])
        fitting = [zoom for zoom in zooms if zoom <= fit] or [fit]
        zoom = fitting[int(choice * len(fitting))]
        height, width = (min(round(side * zoom), whole) for side, whole in zip(size, store.size))
        y, x = (
            (place[rows] * (whole - cut + 1)).long() for place, whole, cut in zip((top, left), store.size, (height, width))
        )
        yield _Cut(store, rows, inside, y, x, height, width, size)


def _gather(cuts: list[_Cut], count: int, channels: int, part: Callable[[ViewStore], Tensor]) -> Tensor:
    """(count, channels, *size) float32: a tensor of the stores, cut for each row of the batch."""
    gathered = torch.empty(count, channels, *cuts[0].size, device=cuts[0].store.device)
    for cut in cuts:
        gathered[cut.rows] = cut.of(part(cut.store))
    return gathered


def _of_views(cuts: list[_Cut], count: int, part: Callable[[ViewStore], Tensor]) -> Tensor:
    """(count, ...): what the stores hold of each view as a whole, for each row of the batch."""
    first = part(cuts[0].store)
    gathered = torch.empty(count, *first.shape[1:], dtype=first.dtype, device=first.device)
    for cut in cuts:
        gathered[cut.rows] = part(cut.store)[cut.views]
    return gathered


def saturated(albedo: Tensor, saturation: Tensor) -> Tensor:
    """The albedo (B, 3, H, W), linear, with the log of each channel's ratio to the luminance times (B, 1, 1, 1).

    A power and no difference: no channel of a strong colour reaches zero, as none of a real surface does. Where the
    albedo is zero, any shading is right, and a network learns to paint the light of red things blue.
    """
    gray = luminance(albedo)[:, None].clamp(min=_DARKEST)
    return gray * (albedo.clamp(min=_DARKEST) / gray) ** saturation


def fill_invalid(albedo: Tensor, diffuse: Tensor, residual: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
    """Give invalid pixels (sky, lamps, metal) a target: what the camera sees, by the share that is not diffuse light.

    A black sky in the albedo would make its shading explode; taken as its own colour under white light, it stays a sky.
    All (B, 3, H, W) linear but mask (B, 1, H, W); `seen` is the image after exposure, in [0, 1].
    """
    surface, other = luminance(diffuse)[:, None], luminance(residual)[:, None]
    emitted = torch.where(mask > 0.5, torch.zeros_like(mask), other / (surface + other).clamp(min=1e-9))
    return albedo + emitted * (seen - albedo)


def plain_batch(store: ViewStore, index: Tensor) -> ValidationBatch:
    """Views under their default light, nothing random: what validation sees. Sides are cut down to multiples of 32."""
    height, width = (side - side % SIDE_MULTIPLE for side in store.size)
    white = torch.ones(len(index), 3, device=store.device)
    groups = (
        _decode_log(store.layers[index, :, k, :, :height, :width].float(), store.code[index, :, k], white)
        for k in range(store.layers.shape[2])
    )
    layers = reduce(torch.add, groups)
    albedo = store.albedo[index, :, :height, :width].float().div(255).square()
    mask = store.mask[index, :, :height, :width].float()
    diffuse, residual = albedo * layers[:, 0], layers[:, 1]
    gain = exposure_gain(diffuse + residual)
    exposed = (diffuse + residual) * gain
    seen = exposed.clamp(0, 1)
    target = fill_invalid(albedo, diffuse, residual, mask, seen)
    return ValidationBatch(seen, target, mask, exposed, layers[:, 0] * gain)


def random_batch(
    views: Views,
    index: Tensor,
    size: tuple[int, int],
    zooms: tuple[float, ...],
    config: AugmentConfig,
    draws: Draws,
    surfaces: Draws | None = None,
) -> Batch:
    """One augmented batch of the views `index` (B,) at `size` (height, width).

    A zoom (stored pixels per pixel of the batch, in each direction) is drawn for the batch, positions and everything else
    for each view. A view that is too small for every zoom is cut as large as it is, and so enlarged. surfaces: the draws
    for places and surfaces, where they are not those for light and camera.
    """
    device, count = views.device, len(index)
    surfaces, normal = surfaces or draws, draws.normal

    cuts = list(_cuts(views, index, size, zooms, surfaces))
    albedo = _gather(cuts, count, 3, lambda store: store.albedo).div_(255).square_()
    mask = (_gather(cuts, count, 1, lambda store: store.mask) > 0.99).float()

    gains = torch.exp(config.light_gain * normal(3, 1) + config.light_color * normal(3, 3))
    share = _of_views(cuts, count, lambda store: store.light_share)
    weak = share[..., None] < config.weak_light_share
    gains = torch.where(weak, gains.clamp(max=config.weak_light_max_gain), gains)
    gains = gains * torch.exp(config.white_balance * normal(1, 3))
    layers = torch.zeros(count, 2, 3, *size, device=device)
    through = None
    # Nothing out of sight stands before a single thing that is lit before black, by lamps.
    surrounded = ~_of_views(cuts, count, lambda store: store.isolated)[:, None, None, None]
    softer = surrounded
    if config.cast_shadows:
        # Sky and lamps are seen as they are.
        taken = 1 - transmittance(size, (share > 0).sum(1) < 2, config.cast_shadows, draws)
        through = 1 - mask * surrounded * taken
        softer = surrounded & (taken.amax((2, 3), keepdim=True) == 0)
    for cut in cuts:
        lit = (cut.store.light_share[cut.views] > 0).cpu()
        for group, chosen in enumerate(lit.unbind(1)):
            if chosen.any():
                rows = cut.rows[chosen]
                codes = cut.of(cut.store.layers[:, :, group], chosen)
                light = _decode_log(codes, cut.store.code[cut.views[chosen], :, group], gains[rows, group])
                if through is not None:
                    shadowed = (share[rows].argmax(1) == group)[:, None, None, None]
                    light *= torch.where(shadowed, through[rows], torch.ones_like(through[rows]))[:, None]
                layers[rows] += light

    if config.sharpen:
        layers[:, 0] = sharpen(layers[:, 0], config.sharpen, draws)

    if config.soft_light:
        layers[:, 0] = soft_light(layers[:, 0], mask, config.soft_light * softer, draws)

    if config.white_balanced:
        layers = layers * white_balance(layers[:, 0], mask, draws)[:, None]

    recolor = torch.exp(config.albedo_gain * surfaces.normal(1, 1, 1) + config.albedo_color * surfaces.normal(3, 1, 1))
    if config.white_balanced:
        saturation = torch.exp(config.saturation * surfaces.normal(1, 1, 1)).clamp(0.2, 1.8)
        albedo = (saturated(albedo, saturation) * recolor).clamp(0, 1)
    else:
        gray = (config.desaturate * surfaces.uniform(1, 1, 1) * (surfaces.uniform(1, 1, 1) < 0.5)) * luminance(albedo)[
            :, None
        ]
        keep = torch.where(gray > 0, 1 - gray / luminance(albedo)[:, None].clamp(min=1e-6), torch.ones_like(gray))
        albedo = ((albedo * keep + gray) * recolor).clamp(0, 1)
    if config.paint:
        albedo = paint(albedo, config.paint, surfaces)
    if config.bank is not None:
        albedo = printed(albedo, config.bank, config.prints, surfaces)

    flip = surfaces.uniform(1, 1, 1) < 0.5
    diffuse, residual = albedo * layers[:, 0], layers[:, 1]
    if not config.residual_light:
        residual = residual * (1 - mask)
    diffuse, residual, albedo, mask = (torch.where(flip, x.flip(-1), x) for x in (diffuse, residual, albedo, mask))

    image = diffuse + residual
    gain = exposure_gain(image) * torch.exp(config.exposure * normal(1, 1, 1))
    seen = (image * gain).clamp(0, 1)
    target = fill_invalid(albedo, diffuse, residual, mask, seen)
    return Batch(degrade(seen, config.degrade, draws), target, mask)
