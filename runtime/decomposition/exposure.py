"""Exposure: the gain that brings an image of any scale to the range the network was trained on.

The rule is the Hypersim tone map (Roberts et al. 2021) without its gamma, made robust: the percentile is taken over the
pixels that are not a dark surround, so a product photo on black is exposed for the product.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from intrinsic_flow.media.color import luminance


@dataclass(frozen=True)
class ToneMap:
    """Constants of `exposure_gain`; stored in a bundle's manifest under "tone_map".

    percentile:            of the luminance that `target` refers to, in percent.
    target:                linear value that this percentile is brought to.
    dark_fraction:         pixels at or below this fraction of the reference are left out.
    reference_percentile:  percentile of all finite pixels' luminance that serves as reference, in percent.
    min_gain, max_gain:    bounds of the gain.
    """

    percentile: float = 90.0
    target: float = 0.8
    dark_fraction: float = 0.02
    reference_percentile: float = 99.5
    min_gain: float = 1e-3
    max_gain: float = 1e4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name} {value!r}, expected a finite number")
        for name in ("percentile", "reference_percentile"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} {getattr(self, name)!r}, expected 0 to 100")
        if self.target <= 0 or self.dark_fraction < 0 or not 0 < self.min_gain <= self.max_gain:
            raise ValueError("tone map with a target, fraction or gain bound out of range")

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> ToneMap:
        """Builds the constants from a manifest's entry. Raises ValueError on a missing, unknown or bad value."""
        expected = set(cls.__dataclass_fields__)
        if set(values) != expected:
            raise ValueError(f"keys {sorted(values)}, expected {sorted(expected)}")
        return cls(**values)

    def to_dict(self) -> dict[str, float]:
        """The manifest's entry."""
        return asdict(self)


def exposure_gain(image: np.ndarray, tone_map: ToneMap = ToneMap()) -> float:
    """Gain for an image at working resolution.

    image: (H, W, 3) float, linear light, Rec.709 primaries, any scale.
    Returns target / (percentile of the luminance over finite pixels above dark_fraction times the reference
    percentile), within the bounds; 1.0 for a frame without any light. Percentiles interpolate linearly.
    """
    light = luminance(np.asarray(image, dtype=np.float32)).ravel()
    light = light[np.isfinite(light)]
    if light.size == 0:
        return 1.0
    reference = max(float(np.percentile(light, tone_map.reference_percentile)), 0.0)
    lit = light[light > tone_map.dark_fraction * reference]
    if lit.size == 0:
        return 1.0
    level = float(np.percentile(lit, tone_map.percentile))
    return min(max(tone_map.target / level, tone_map.min_gain), tone_map.max_gain)


class GainFilter:
    """Causal mean of a stream's log-gain over its last frames.

    Auto-exposure and people walking by move the percentile from frame to frame; without a filter the network's input
    breathes with it. A jump of more than `reset_stops` is another shot or a light switched on: the filter starts anew.
    """

    def __init__(self, frames: int = 16, reset_stops: float = 1.0) -> None:
        """frames: of the mean, the newest one included. reset_stops: jump that resets, in stops (factors of two)."""
        self._reset = reset_stops * math.log(2.0)
        self._log_gains: deque[float] = deque(maxlen=frames)

    def update(self, gain: float) -> float:
        """Takes a frame's own gain (positive), returns the gain to use for it."""
        log_gain = math.log(gain)
        if self._log_gains and abs(log_gain - self._log_gains[-1]) > self._reset:
            self._log_gains.clear()
        self._log_gains.append(log_gain)
        return math.exp(math.fsum(self._log_gains) / len(self._log_gains))
