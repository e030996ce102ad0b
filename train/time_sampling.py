"""Where along the path the velocity is trained."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_times(count: int, t_zero: float, t_half: float, device: torch.device, generator: torch.Generator) -> Tensor:
    """(count,) float32 times: 0 with probability t_zero, 0.5 with t_half, uniform in [0, 1] otherwise.

    Two Euler steps evaluate the velocity at t = 0 and t = 0.5 only; the rest keeps other step counts usable.
    """
    choice = torch.rand(count, device=device, generator=generator)
    uniform = torch.rand(count, device=device, generator=generator)
    t = torch.where(choice < t_zero + t_half, torch.full_like(uniform, 0.5), uniform)
    return torch.where(choice < t_zero, torch.zeros_like(t), t)
