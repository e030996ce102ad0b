"""The lights of an assembled scene: which one a path asks for light, and whose group each belongs to.

Mitsuba's own choice follows the order of the scene's emitters, which differs from run to run; this one follows the order
of the scene's description, so that the same seed gives the same picture.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import drjit as dr
import mitsuba as mi
import numpy as np

T = TypeVar("T")

# Room for lights; fixed, so that the kernel does not depend on the scene.
MAX_LIGHTS = 256


def number_of(emitter: mi.Emitter) -> int:
    """The emitter's number in Dr.Jit's registry, at least 1."""
    return int(np.array(dr.reinterpret_array(mi.UInt32, mi.EmitterPtr(emitter)))[0])


class LightTable:
    """Lights by their place in the scene's description, and by their number in Dr.Jit's registry."""

    def __init__(
        self,
        emitters: Sequence[mi.Emitter],
        groups: Sequence[int],
        weights: Sequence[float],
        portals: Sequence[bool],
    ):
        """groups: index of each light's group; weights: how often a light is asked, of any sum (0: never); portals: whether
        it stands in a window and lets the sun pass. ValueError: too many lights.
        """
        numbers = np.array([number_of(emitter) for emitter in emitters])
        if numbers.max() >= MAX_LIGHTS:
            raise ValueError(f"lights: found numbers up to {numbers.max()}, expected less than {MAX_LIGHTS}")
        probability = np.asarray(weights, float) / np.sum(weights)
        last = int(np.flatnonzero(probability)[-1])
        ends = np.full(MAX_LIGHTS, 2.0)
        ends[:last] = np.cumsum(probability)[:last]

        def by_number(values: Sequence, kind: type) -> np.ndarray:
            table: np.ndarray = np.zeros(MAX_LIGHTS, kind)
            table[numbers] = values
            return table

        # Padded with the last number, though no choice falls there.
        self._numbers = mi.UInt32(np.pad(numbers, (0, MAX_LIGHTS - len(numbers)), mode="edge").astype(np.uint32))
        self._ends = mi.Float(ends.astype(np.float32))
        self._probability = mi.Float(by_number(probability, np.float32))
        self._group = mi.UInt32(by_number(groups, np.uint32))
        self._portal = mi.UInt32(by_number(portals, np.uint32))

    def choose(self, sample: mi.Float, active: mi.Bool) -> tuple[mi.EmitterPtr, mi.Float]:
        """A light drawn by weight, and the probability that it had."""
        index = dr.binary_search(0, MAX_LIGHTS - 1, lambda i: dr.gather(mi.Float, self._ends, i, active) <= sample)
        number = dr.gather(mi.UInt32, self._numbers, index, active)
        emitter = dr.reinterpret_array(mi.EmitterPtr, number)
        return emitter, dr.gather(mi.Float, self._probability, number, active)

    def _of(self, kind: type[T], table: T, emitter: mi.EmitterPtr, active: mi.Bool) -> T:
        return dr.gather(kind, table, dr.reinterpret_array(mi.UInt32, emitter) & (MAX_LIGHTS - 1), active)

    def probability(self, emitter: mi.EmitterPtr, active: mi.Bool) -> mi.Float:
        """Probability that `choose` draws this light."""
        return self._of(mi.Float, self._probability, emitter, active)

    def group(self, emitter: mi.EmitterPtr, active: mi.Bool) -> mi.UInt32:
        """Index of the light's group."""
        return self._of(mi.UInt32, self._group, emitter, active)

    def is_portal(self, emitter: mi.EmitterPtr, active: mi.Bool) -> mi.Bool:
        """Whether the light (null: no) stands in a window."""
        return self._of(mi.UInt32, self._portal, emitter, active) == 1
