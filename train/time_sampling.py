"""Where along the path the velocity is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from intrinsic_flow.train.data.draws import Draws


def sample_times(draws: Draws, t_zero: float, t_half: float) -> Tensor:
    """(rows,) float32 times: 0 with probability t_zero, 0.5 with t_half, uniform in [0, 1) otherwise.

    Two Euler steps evaluate the velocity at t = 0 and t = 0.5 only; the rest keeps other step counts usable.
    """
    choice, uniform = draws.uniform(), draws.uniform()
    t = torch.where(choice < t_zero + t_half, torch.full_like(uniform, 0.5), uniform)
    return torch.where(choice < t_zero, torch.zeros_like(t), t)
