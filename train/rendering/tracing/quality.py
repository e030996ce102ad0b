"""How well a view is rendered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """size: (height, width) pixels. samples: paths a pixel of one pass, a multiple of `integrator.BUCKETS`. noise: passes
    are added until the noisiest light's `fireflies.relative_noise` is below it, `passes` of them at most. max_depth:
    vertices of a path, the camera not counted.
    """

    size: tuple[int, int] = (256, 256)
    samples: int = 16
    noise: float = 0.6
    passes: int = 2
    max_depth: int = 6
