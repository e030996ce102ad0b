"""How well a view is rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace

# A pixel's samples fall into so many equal buckets, of which `fireflies` takes robust means.
BUCKETS = 4
# Pixels; larger pictures would take gigabytes, and their shadows' edges spread over more pixels anyway.
MOST_ENLARGED = 1024 * 1024


@dataclass(frozen=True)
class Quality:
    """size: (height, width) pixels. samples: paths a pixel of one pass. noise: passes are added until the noisiest light's
    `fireflies.relative_noise` is below it, `passes` of them at most. max_depth: vertices of a path, the camera not counted.
    enlargement: light is traced and denoised at so many times the size, with fewer paths for each of the more pixels, and
    averaged: a denoiser spreads the edges of shadows over a pixel or two, which are then fractions of a pixel. samples is a
    multiple of BUCKETS times its square.
    """

    size: tuple[int, int] = (256, 256)
    samples: int = 16
    noise: float = 0.6
    passes: int = 2
    max_depth: int = 6
    enlargement: int = 2

    def __post_init__(self) -> None:
        paths = BUCKETS * self.enlargement**2
        if self.samples < paths or self.samples % paths:
            raise ValueError(f"samples: found {self.samples}, expected a positive multiple of {paths}")

    def at(self, height: int, width: int) -> Quality:
        """The same for pictures of another size; those beyond MOST_ENLARGED are not traced at twice theirs."""
        return replace(self, size=(height, width), enlargement=2 if height * width <= MOST_ENLARGED else 1)

    @property
    def traced_size(self) -> tuple[int, int]:
        """(height, width) of the layers before they are averaged."""
        return self.size[0] * self.enlargement, self.size[1] * self.enlargement

    @property
    def traced_samples(self) -> int:
        """Paths a pixel of those layers."""
        return self.samples // self.enlargement**2
