"""Damage as files meet it: cut short, bytes changed, blocks moved, lengths and sizes that lie."""

from __future__ import annotations

import numpy as np

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three pieces of damage, most of them near the start, where headers are."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if len(out) < 8:
            break
        span = len(out) if rng.random() < 0.4 else min(len(out), 256)
        at = int(rng.integers(0, span))
        kind = rng.integers(0, 6)
        if kind == 0:
            out[at] = int(rng.integers(0, 256))
        elif kind == 1:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            width = int(rng.choice([1, 2, 4]))
            value = int(rng.choice(_EDGES)) & (256**width - 1)
            out[at : at + width] = value.to_bytes(width, "big" if rng.random() < 0.5 else "little")
        elif kind == 3:
            del out[max(8, int(rng.integers(0, len(out)))) :]
        elif kind == 4:
            length = int(rng.integers(1, 40))
            out[at:at] = out[at : at + length]
        else:
            del out[at : at + int(rng.integers(1, 20))]
    return bytes(out)
