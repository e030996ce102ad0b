"""Prints and lettering as coats on surfaces, in perspective: they teach that letters are paint without a render.

A bank of them is made by `train.prepare_prints`: (N, 4, S, S) uint8, square-root coded albedo and coverage.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.errors import InputError
from intrinsic_flow.train.data.draws import Draws

# Width of a print, as a share of the picture's.
_SMALLEST, _LARGEST = 0.25, 1.4
_LEAST_OPACITY = 0.8


def load_prints(path: str | Path) -> Tensor:
    """The bank, (N, 4, S, S) uint8. InputError: it is none."""
    expected = "prints of train.prepare_prints, (N, 4, S, S) uint8"
    try:
        bank = np.load(path, mmap_mode="r")
    except OSError as error:
        raise InputError(path, error.strerror or "no array", expected) from None
    except ValueError:
        raise InputError(path, "no array", expected) from None
    if bank.dtype != np.uint8 or bank.ndim != 4 or bank.shape[1] != 4 or bank.shape[2] != bank.shape[3] or not len(bank):
        raise InputError(path, f"an array {bank.shape} of {bank.dtype}", expected)
    return torch.from_numpy(np.array(bank))


def printed(albedo: Tensor, bank: Tensor, share: float, draws: Draws) -> Tensor:
    """Lays a print of the bank over a share of the views.

    albedo: (rows, 3, H, W) linear in [0, 1] -> the same; bank: (N, 4, S, S) uint8. Where a print lies it covers nearly all,
    and is as bright as paint may be.
    """
    uniform, normal = draws.uniform, draws.normal
    rows = (uniform() < share).nonzero().flatten()
    which = (uniform() * len(bank)).long()
    width = _SMALLEST * torch.exp(math.log(_LARGEST / _SMALLEST) * uniform())
    height = width * torch.exp(0.3 * normal())
    angle, tilt, center = 0.4 * normal(), (0.3 * normal(2)).clamp(-0.6, 0.6), 1.6 * uniform(2) - 0.8
    opacity, gain = _LEAST_OPACITY + (1 - _LEAST_OPACITY) * uniform(1, 1, 1), torch.exp(0.25 * normal(1, 1, 1))
    if not len(rows):
        return albedo
    pictures = bank[which[rows].to(bank.device)].to(albedo.device).float() / 255
    smaller = albedo.shape[-1] * width[rows] / pictures.shape[-1]
    for _ in range(2):
        # Reduced below half of its size, a print is averaged first: points of it would be noise.
        halved = F.interpolate(F.avg_pool2d(pictures, 2), pictures.shape[-2:], mode="bilinear")
        pictures = torch.where((smaller < 0.6)[:, None, None, None], halved, pictures)
        smaller = 2 * smaller
    size = albedo.shape[2], albedo.shape[3]
    places = _positions(size, width[rows], height[rows], angle[rows], tilt[rows], center[rows])
    coat = F.grid_sample(pictures, places, padding_mode="border", align_corners=False)
    inside = (places.abs().amax(-1) <= 1)[:, None].float()
    color = (coat[:, :3].square() * gain[rows]).clamp(0.004, 0.95)
    return albedo.index_copy(0, rows, torch.lerp(albedo[rows], color, inside * coat[:, 3:] * opacity[rows]))


def _positions(size: tuple[int, int], width: Tensor, height: Tensor, angle: Tensor, tilt: Tensor, center: Tensor) -> Tensor:
    """(rows, H, W, 2): where each pixel of the picture lies on its print, in [-1, 1] from border to border.

    tilt: (rows, 2), how fast the distance grows across the picture; center: (rows, 2) in the picture's [-1, 1].
    """
    rows, columns = (torch.linspace(1 / n - 1, 1 - 1 / n, n, device=width.device) for n in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    place = torch.stack([x, y], dim=-1)[None] - center[:, None, None]
    turn = torch.stack([angle.cos() / width, angle.sin() / width, -angle.sin() / height, angle.cos() / height], dim=-1)
    flat = torch.einsum("bij,bhwj->bhwi", turn.reshape(-1, 2, 2), place)
    depth = 1 + (place * tilt[:, None, None]).sum(-1, keepdim=True)
    return torch.where(depth > 0.2, flat / depth.clamp(min=0.2), torch.full_like(flat, 2.0))
