"""Random patterns over a picture: paint on surfaces, and what stands in the way of a light.

Both have the same outlines, which follow no geometry, so that an outline alone tells nothing. What tells them apart is what
does in the world: paint covers a surface, its texture and its hue; a shadow lets them through, darker, and takes the light
of one group only. Small shapes are paint: letters, specks, thin stripes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.train.data.draws import Draws

# Share of the pictures whose shapes have straight outlines: stripes, half planes, bars.
_STRAIGHT = 0.4
# The most bumps along a side, and waves across a picture, of shadows and of paint.
_COARSE, _FINE = 16, 48
# Share of painted views with a coat of paint, a fine texture, or both.
_COATED, _TEXTURED = 0.75, 0.75


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


def stripes(draws: Draws, size: tuple[int, int], finest: float) -> Tensor:
    """Waves (rows, 1, H, W) along a random direction, amplitude 1.4: half a wave across a picture (one straight edge) to
    `finest`, log-uniform.
    """
    height, width = size
    angle = math.pi * draws.uniform(1, 1, 1)
    y = torch.linspace(-0.5, 0.5, height, device=angle.device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=angle.device)
    waves = 0.5 * torch.exp(math.log(2 * finest) * draws.uniform(1, 1, 1))
    along = x * angle.cos() + y * angle.sin()
    return 1.4 * torch.sin(2 * math.pi * (waves * along + draws.uniform(1, 1, 1)))


def shapes(draws: Draws, size: tuple[int, int], softness: Tensor, finest: float) -> Tensor:
    """Random shapes (rows, 1, H, W) in [0, 1]. softness: (rows, 1, 1, 1), width of their edges in units of the field.
    finest: the most of them along a side.
    """
    round_ones = random_field(draws, size, (3, finest))
    crossed = stripes(draws, size, finest) - 3 * (draws.uniform(1, 1, 1) < 0.5)
    straight = torch.maximum(stripes(draws, size, finest), crossed)
    field = torch.where(draws.uniform(1, 1, 1) < _STRAIGHT, straight, round_ones)
    return torch.sigmoid((field - 0.7 * draws.normal(1, 1, 1)) * 4 / softness)


def paint(albedo: Tensor, share: float, draws: Draws) -> Tensor:
    """Paints shapes of another colour over what is there, a fine texture, or both, on a share of the views.

    albedo: (rows, 3, H, W) linear in [0, 1] -> the same. Paint covers: its colour has nothing to do with the surface's, and
    little of the surface's own texture shows through.
    """
    size = (albedo.shape[2], albedo.shape[3])
    softness = 0.03 + 0.5 * draws.uniform(1, 1, 1) ** 2
    light = torch.exp(-1.2 + 0.8 * draws.normal(1, 1, 1))
    color = (light * torch.exp(0.45 * draws.normal(3, 1, 1))).clamp(0.02, 0.95)
    grain = 0.15 * draws.uniform(1, 1, 1) * random_field(draws, size, (min(size) / 8, min(size) / 2))
    coat = shapes(draws, size, softness, _FINE) * (0.75 + 0.25 * draws.uniform(1, 1, 1))
    coat = coat * (draws.uniform(1, 1, 1) < _COATED)
    fine = 0.2 * draws.normal(1, 1, 1) * random_field(draws, size, (min(size) / 6, min(size) / 2))
    fine = fine * (draws.uniform(1, 1, 1) < _TEXTURED)
    painted = torch.lerp(albedo, color * torch.exp(grain), coat) * torch.exp(fine)
    return torch.where(draws.uniform(1, 1, 1) < share, painted, albedo).clamp(0, 1)


def transmittance(size: tuple[int, int], alone: Tensor, share: float, draws: Draws) -> Tensor:
    """What random shapes between a light and the scene let through, (rows, 1, H, W) in [0, 1].

    share: of the views, the others get 1. alone: (rows,) bool, the light is the only one: its shadows keep some light,
    since nothing else would fill them.
    """
    softness = torch.exp(-3.5 + 3.5 * draws.uniform(1, 1, 1))
    least = 0.3 * draws.uniform(1, 1, 1)
    least = torch.where(alone[:, None, None, None], 0.1 + 2 * least, least)
    through = least + (1 - least) * shapes(draws, size, softness, _COARSE)
    return torch.where(draws.uniform(1, 1, 1) < share, through, torch.ones_like(through))
