"""Folders of training data with weights: `--data A:1 B:3` takes three quarters of all images from B, whatever their sizes.

Which folder a row of a batch comes from is a function of the seed and the row's position in the whole run, as everything
in the order of steps is: cycles of SLOTS positions, in which each folder has its share of places in random order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

# Weights are rounded to this share of a cycle; a folder has one place at the least.
SLOTS = 240


@dataclass(frozen=True)
class Source:
    """A folder of shards, and its weight; None where no weights are given: a view is then as likely as any other."""

    folder: str
    weight: float | None


def parse_sources(texts: Sequence[str]) -> tuple[Source, ...]:
    """`FOLDER` or `FOLDER:WEIGHT`, each. Without a weight beside others with one: 1. ValueError otherwise."""
    sources = [_parse(text) for text in texts]
    if not sources:
        raise ValueError("found none, expected at least one folder")
    if len({source.folder for source in sources}) < len(sources):
        raise ValueError(f"found {', '.join(source.folder for source in sources)}, expected each folder once")
    if "procedural" in (source.folder for source in sources) and len(sources) > 1:
        raise ValueError("found `procedural` beside folders, expected it alone")
    if all(source.weight is None for source in sources):
        return tuple(sources)
    return tuple(Source(source.folder, 1.0 if source.weight is None else source.weight) for source in sources)


def _parse(text: str) -> Source:
    match = re.fullmatch(r"(.+):(\d+(?:\.\d+)?)", text)
    # A folder's own name may end like a weight.
    if not match or Path(text).exists():
        return Source(text, None)
    if float(match[2]) <= 0:
        raise ValueError(f"found {text!r}, expected a weight above 0")
    return Source(match[1], float(match[2]))


def places(weights: Sequence[float]) -> list[int]:
    """How many of SLOTS places each weight gets, by largest remainders, at least one."""
    exact = [SLOTS * weight / sum(weights) for weight in weights]
    counts = [max(1, int(value)) for value in exact]
    while sum(counts) != SLOTS:
        change = 1 if sum(counts) < SLOTS else -1
        able = [k for k, count in enumerate(counts) if count + change >= 1]
        counts[max(able, key=lambda k: change * (exact[k] - counts[k]))] += change
    return counts


def assign(positions: Tensor, weights: Sequence[float], seed: int) -> tuple[Tensor, Tensor]:
    """Positions in a run (n,) -> for each, which weight it goes to and how many went there before, both (n,)."""
    counts = places(weights)
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    chosen, earlier = torch.empty_like(positions), torch.empty_like(positions)
    for cycle in torch.unique(positions // SLOTS).tolist():
        generator = torch.Generator().manual_seed((seed * 15_485_863 + cycle) * 2)
        order = owner[torch.randperm(SLOTS, generator=generator)]
        inside = positions // SLOTS == cycle
        slots = positions[inside] % SLOTS
        taken = torch.nn.functional.one_hot(order, len(counts)).cumsum(0)
        chosen[inside] = order[slots]
        earlier[inside] = cycle * torch.tensor(counts)[order[slots]] + taken[slots, order[slots]] - 1
    return chosen, earlier
