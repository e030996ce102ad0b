"""Buckets: the sizes that training batches have. A step takes one of them, so every compiled network has few shapes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from intrinsic_flow.train.networks.config import SIDE_MULTIPLE


@dataclass(frozen=True)
class Bucket:
    """height, width: of the images in pixels, multiples of 32. batch: images a step, over all processes."""

    height: int
    width: int
    batch: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} ({self.batch} images)"


def parse_size(text: str) -> tuple[int, int]:
    """A side (`256`) or WIDTHxHEIGHT (`320x192`) -> (height, width). ValueError unless both are multiples of 32."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    size = (int(match[2] or match[1]), int(match[1])) if match else (0, 0)
    if min(size) < SIDE_MULTIPLE or any(side % SIDE_MULTIPLE for side in size):
        raise ValueError(f"found {text!r}, expected a side or WIDTHxHEIGHT in multiples of {SIDE_MULTIPLE}, like 320x192")
    return size


def make_buckets(sizes: Sequence[str], batch: int) -> tuple[Bucket, ...]:
    """Buckets of the sizes: the first holds `batch` images, the others as many as keep the pixels a step about constant.

    Raises ValueError for a size that is none.
    """
    parsed = [parse_size(size) for size in sizes]
    pixels = batch * parsed[0][0] * parsed[0][1]
    return tuple(Bucket(h, w, max(1, round(pixels / (h * w)))) for h, w in parsed)
