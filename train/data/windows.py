"""Sliding windows and block means by whole-array operations, and work on only those rows of a batch that need it.

On CPUs torch's pooling of a few channels computes pixel by pixel: ten times slower than sums of shifted arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor


def windows(x: Tensor, side: int, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(..., H, W) -> (..., H - side + 1, W - side + 1): `combine` (a sum, a maximum) over every window of side x side."""
    for axis in (-1, -2):
        length = x.shape[axis] - side + 1
        x = reduce(combine, (x.narrow(axis, start, length) for start in range(side)))
    return x


def block_means(codes: Tensor, side: int) -> Tensor:
    """(..., H, W) of any dtype -> (..., H / side, W / side) float32: means over blocks of side x side."""
    rows = reduce(torch.add, (codes[..., start::side, :].float() for start in range(side)))
    return reduce(torch.add, (rows[..., start::side] for start in range(side))) / side**2


def on_rows(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, amount: Tensor) -> Tensor:
    """`function(x, amount)` (B, ...) where an amount (B, 1, 1, 1) of 0 leaves a row as it is: on a CPU such rows are not
    computed. A GPU would wait for their number longer than it computes them.
    """
    if x.device.type != "cpu":
        return function(x, amount)
    rows = amount.flatten().nonzero().flatten()
    return x.index_copy(0, rows, function(x[rows], amount[rows])) if len(rows) else x
