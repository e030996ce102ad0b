"""Random patterns over a picture: paint on surfaces, and what stands in the way of a light.

Both have edges that follow no geometry. Where they are in the albedo, all light groups show them in equal proportion;
where they are shadows, only one group does, so that the other groups' colour and shading stay.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from train.data.draws import Draws


def random_field(draws: Draws, size: tuple[int, int], cells: tuple[float, float]) -> Tensor:
    """Smooth noise (rows, 1, H, W), zero mean and unit variance a picture.

    cells: range of the number of bumps along a side; drawn for the batch and for each direction, log-uniform, so that
    bumps are round or long.
    """
    low, high = (math.log(max(2.0, count)) for count in cells)
    grid = [round(math.exp(low + (high - low) * draws.number())) for _ in size]
    field = F.interpolate(draws.normal(1, *grid), size, mode="bicubic", align_corners=True)
    field = field - field.mean((2, 3), keepdim=True)
    return field / field.std((2, 3), keepdim=True).clamp(min=1e-3)


def shapes(draws: Draws, size: tuple[int, int], softness: Tensor) -> Tensor:
    """Random shapes (rows, 1, H, W) in [0, 1]. softness: (rows, 1, 1, 1), width of their edges in units of the field."""
    field = random_field(draws, size, (3, 20))
    return torch.sigmoid((field - 0.7 * draws.normal(1, 1, 1)) * 4 / softness)


def paint(albedo: Tensor, share: float, draws: Draws) -> Tensor:
    """Paints shapes of another colour and a fine texture onto a share of the views.

    albedo: (rows, 3, H, W) linear in [0, 1] -> the same. Paint darkens, by a factor of two in the median: what brightens
    would mostly end at 1.
    """
    size = (albedo.shape[2], albedo.shape[3])
    softness = 0.1 + 0.3 * draws.uniform(1, 1, 1) ** 2
    color = 0.3 * draws.normal(3, 1, 1) - draws.normal(1, 1, 1).abs()
    fine = random_field(draws, size, (min(size) / 6, min(size) / 2))
    log_gain = shapes(draws, size, softness) * color + 0.2 * draws.normal(1, 1, 1) * fine
    chosen = draws.uniform(1, 1, 1) < share
    return (albedo * torch.exp(log_gain * chosen)).clamp(0, 1)


def transmittance(size: tuple[int, int], alone: Tensor, share: float, draws: Draws) -> Tensor:
    """What random shapes between a light and the scene let through, (rows, 1, H, W) in [0, 1].

    share: of the views, the others get 1. alone: (rows,) bool, the light is the only one: its shadows keep some light,
    since nothing else would fill them.
    """
    softness = torch.exp(-3 + 3.5 * draws.uniform(1, 1, 1))
    least = 0.3 * draws.uniform(1, 1, 1)
    least = torch.where(alone[:, None, None, None], 0.1 + 2 * least, least)
    through = least + (1 - least) * shapes(draws, size, softness)
    return torch.where(draws.uniform(1, 1, 1) < share, through, torch.ones_like(through))
