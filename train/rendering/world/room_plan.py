"""The plan of a room under construction: its walls, what hangs on them, and what stands on its floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intrinsic_flow.train.rendering.world import clutter
from intrinsic_flow.train.rendering.world.builder import Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.fittings import Opening
from intrinsic_flow.train.rendering.world.geometry import rotation, translation
from intrinsic_flow.train.rendering.world.layout import Footprint, Layout


class Wall:
    """One wall of a room. frame: see `fittings`. face: what hangs on it or stands before it, blocks in (x, z)."""

    def __init__(self, frame: np.ndarray, length: float, height: float) -> None:
        self.frame, self.length, self.height = frame, length, height
        self.openings: list[Opening] = []
        self.doors: list[tuple[float, float]] = []
        self.face = Layout((np.array([-length / 2, 0.0]), np.array([length / 2, height])))

    def claim(self, x: float, z: float, width: float, height: float, margin: float = 0.0) -> bool:
        """Take a rectangle (its middle along the wall, its lower edge) if it is free."""
        return self.face.claim(_rectangle(x, z, width, height, margin))


def _rectangle(x: float, z: float, width: float, height: float, margin: float = 0.0) -> Footprint:
    half = np.array([width / 2 + margin, height / 2 + margin])
    return Footprint(np.array([x, z + height / 2]), half, 0.0, 0.0, 1.0)


class Room:
    """A room under construction: x and y centred, the floor at z = 0."""

    def __init__(self, b: SceneBuilder, width: float, depth: float, height: float) -> None:
        self.b, self.width, self.depth, self.height = b, width, depth, height
        half = np.array([width, depth]) / 2
        self.floor = Layout((-half, half))
        self.walls = []
        for k in range(4):
            distance, length = (half[1], width) if k % 2 == 0 else (half[0], depth)
            self.walls.append(Wall(rotation("z", -90 * k) @ translation(0, distance), length, height))

    def stand(self, prop: Prop, frame: np.ndarray, margin: float = 0.01) -> bool:
        """Put a prop on the floor if its place is free."""
        if self.b.full or not self.floor.claim(Footprint.of(*prop.bounds(), frame, margin)):
            return False
        self.b.place(prop, frame)
        return True

    def against_wall(
        self, prop: Prop, walls: Sequence[Wall] | None = None, tries: int = 14, gap: float = 0.02
    ) -> np.ndarray | None:
        """Put a prop with its back to a wall where it hides no window or door; its frame, None: there was no place."""
        low, high = prop.bounds()
        for _ in range(tries):
            wall = self.b.choice(self.walls if walls is None else walls)
            slack = (wall.length - (high[0] - low[0])) / 2 - 0.03
            if slack < 0:
                continue
            x = slack * (self.b.rng.uniform(-1, 1) if self.b.chance(0.7) else self.b.choice([-1, 1]))
            shadow = _rectangle(x + (low[0] + high[0]) / 2, 0.0, high[0] - low[0], high[2])
            if not wall.face.fits(shadow):
                continue
            frame = wall.frame @ translation(x, -high[1] - gap)
            if self.stand(prop, frame):
                wall.face.taken.append(shadow)
                return frame
        return None

    def anywhere(self, prop: Prop, spread: float = 0.5, yaw: float | None = None, tries: int = 14) -> np.ndarray | None:
        """Put a prop on free floor; spread: 0 in the middle, 0.5 everywhere. Its frame, None: there was no place."""
        rng = self.b.rng
        for _ in range(tries):
            turn = rng.uniform(0, 360) if yaw is None else yaw + rng.normal(0, 5)
            x, y = rng.uniform(-spread, spread, 2) * (self.width, self.depth)
            frame = translation(x, y) @ rotation("z", turn)
            if self.stand(prop, frame):
                return frame
        return None

    def fill(self, prop: Prop, frame: np.ndarray | None, kinds: Sequence, most: int) -> None:
        """Clutter on all supports of a prop that was placed."""
        if frame is None:
            return
        for support in prop.supports:
            count = int(self.b.rng.integers(most // 3, most + 1))
            clutter.scatter(self.b, support, frame, kinds, count)
