"""Who stands where: footprints on a floor or a table that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Footprint:
    """An upright block. center: (2,); half: (2,) half sizes along its own axes; yaw: degrees; low, high: its z range."""

    center: np.ndarray
    half: np.ndarray
    yaw: float
    low: float
    high: float

    @classmethod
    def of(cls, low: np.ndarray, high: np.ndarray, frame: np.ndarray, margin: float = 0.0) -> Footprint:
        """Of local bounds (3,), (3,) in a (4, 4) frame that is turned about z only."""
        middle = frame[:3, :3] @ ((low + high) / 2) + frame[:3, 3]
        yaw = float(np.degrees(np.arctan2(frame[1, 0], frame[0, 0])))
        half = (high - low)[:2] / 2 + margin
        return cls(middle[:2], half, yaw, float(frame[2, 3] + low[2]), float(frame[2, 3] + high[2]))

    def axes(self) -> np.ndarray:
        """(2, 2): rows are the block's own x and y."""
        cosine, sine = np.cos(np.radians(self.yaw)), np.sin(np.radians(self.yaw))
        return np.array([[cosine, sine], [-sine, cosine]])

    def corners(self) -> np.ndarray:
        """(4, 2)"""
        return self.center + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * self.half) @ self.axes()


def overlap(a: Footprint, b: Footprint) -> bool:
    """Whether two blocks share volume (separating axes)."""
    if a.low >= b.high - 1e-6 or b.low >= a.high - 1e-6:
        return False
    between = b.center - a.center
    for axis in (*a.axes(), *b.axes()):
        reach = np.abs(a.axes() @ axis) @ a.half + np.abs(b.axes() @ axis) @ b.half
        if abs(between @ axis) >= reach - 1e-6:
            return False
    return True


@dataclass(eq=False)
class Layout:
    """The blocks placed so far. bounds: (low (2,), high (2,)) that corners have to stay in, None: no bounds."""

    bounds: tuple[np.ndarray, np.ndarray] | None = None
    taken: list[Footprint] = field(default_factory=list)

    def fits(self, footprint: Footprint) -> bool:
        """Whether the block lies within the bounds and off all others."""
        if self.bounds is not None:
            corners = footprint.corners()
            if (corners < self.bounds[0] - 1e-6).any() or (corners > self.bounds[1] + 1e-6).any():
                return False
        return not any(overlap(footprint, other) for other in self.taken)

    def claim(self, footprint: Footprint) -> bool:
        """Take the place if it is free; says whether it was."""
        if not self.fits(footprint):
            return False
        self.taken.append(footprint)
        return True
