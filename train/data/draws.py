"""Random numbers of a batch that do not depend on how many processes share it."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Draws for some rows of a batch of `count`, on the generator's device.

    Each process draws the numbers of the whole batch and keeps its own rows: cheap beside a network, and a row's numbers
    are a function of the seed and its place in the batch alone.
    """

    def __init__(self, generator: torch.Generator, count: int, rows: slice = slice(None)):
        self._generator, self._count, self._rows = generator, count, rows

    def __len__(self) -> int:
        """The number of rows that are kept."""
        return len(range(self._count)[self._rows])

    def uniform(self, *shape: int) -> Tensor:
        """(rows, *shape) float32, uniform in [0, 1)."""
        return torch.rand((self._count, *shape), device=self._generator.device, generator=self._generator)[self._rows]

    def normal(self, *shape: int) -> Tensor:
        """(rows, *shape) float32, N(0, 1)."""
        return torch.randn((self._count, *shape), device=self._generator.device, generator=self._generator)[self._rows]

    def number(self) -> float:
        """One number for the whole batch, uniform in [0, 1)."""
        return torch.rand(1, device=self._generator.device, generator=self._generator).item()


class PairedDraws(Draws):
    """Draws that are equal for two halves of the kept rows: rows k and k + len // 2 are a pair; an odd one is alone."""

    def __init__(self, draws: Draws):
        super().__init__(draws._generator, draws._count, draws._rows)

    def uniform(self, *shape: int) -> Tensor:
        return paired(super().uniform(*shape))

    def normal(self, *shape: int) -> Tensor:
        return paired(super().normal(*shape))


def paired(rows: Tensor) -> Tensor:
    """(rows, ...) with the first half of the rows in the place of the second, too."""
    half = len(rows) // 2
    return torch.cat([rows[:half], rows[:half], rows[2 * half :]])
