"""The state of one stream: exposure and albedo, filtered causally over a bounded look-back."""

from __future__ import annotations

import math

import cv2
import numpy as np

from intrinsic_flow.decomposition.exposure import GainFilter
from intrinsic_flow.decomposition.temporal.cuts import Thumbnail, is_cut
from intrinsic_flow.decomposition.temporal.flow import FlowEstimator
from intrinsic_flow.decomposition.temporal.surface import Correspondence, match
from intrinsic_flow.decomposition.temporal.track import AlbedoTrack

BLOCK = 64
#: A frame's result depends on this many frames before it and on no others.
LOOK_BACK = 3 * BLOCK - 1
# A light that is switched must reach the network's exposure at once: overexposed, it would take the light for albedo.
GAIN_WEIGHT, GAIN_RESET_STOPS = 0.2, 0.4
# Detail finer than this many pixels (standard deviation) is the frame's own: flicker is coarse, while what motion carries
# is a little out of place, and an albedo whose edges miss those of the image would leave them in the shading.
DETAIL = 2.0
_LEAST_LOG = 1e-3


class _Memory:
    """What is remembered since some frame: the exposure and the albedo."""

    def __init__(self) -> None:
        self.gains = GainFilter(GAIN_WEIGHT, GAIN_RESET_STOPS)
        self.track = AlbedoTrack()


class TemporalFilter:
    """For every frame in turn: `expose`, then run the network on the exposed frame, then `steady`.

    The albedo follows its surfaces and changes slowly; whatever else changes in the image is light and shows in the shading
    at once, since the shading is the image divided by the albedo. At a scene cut everything starts anew.

    A filter that remembers for ever could not be resumed in the middle of a clip. So a memory begins at every multiple of
    BLOCK frames and serves for two blocks: it fades in during the first and out during the second, in which the next one
    fades in. A run that begins at `resume_from(frame)` gives, from `frame` on, the same bytes as one from the start.
    """

    def __init__(self, first_frame: int = 0) -> None:
        """first_frame: number of the first frame that will come; a multiple of BLOCK where it should not matter."""
        self._frame = first_frame - 1
        self._older, self._newer = _Memory(), _Memory()
        self._flow = FlowEstimator()
        self._low: np.ndarray | None = None
        self._own_gain = 1.0
        self._thumbnail: Thumbnail | None = None
        self._seen: Correspondence | None = None
        #: Whether the frame that `expose` took last begins a shot; the first one does.
        self.cut = True

    @staticmethod
    def resume_from(frame: int) -> int:
        """The frame at which a new filter has to begin so that it agrees with an old one from `frame` on."""
        # One block for the exposure, under which the network saw the frames of the next one, which hold the albedo.
        return max(0, (frame // BLOCK - 2) * BLOCK)

    def expose(self, low: np.ndarray, own_gain: float) -> float:
        """Takes the next frame at working resolution, (h, w, 3) float32 linear, and the gain that it would have alone.

        Returns the gain to use.
        """
        self._frame += 1
        if self._frame % BLOCK == 0:
            self._older, self._newer = self._newer, _Memory()
        thumbnail = Thumbnail.of(_exposed(low, own_gain))
        last, last_thumbnail = self._low, self._thumbnail
        if last is None or last_thumbnail is None or last.shape != low.shape or is_cut(last_thumbnail, thumbnail):
            self.cut, self._seen = True, None
            self._older, self._newer = _Memory(), _Memory()
        else:
            self.cut = False
            # One gain for both, halfway, so that a change of exposure or light is seen as what it is.
            common = math.sqrt(own_gain * self._own_gain)
            motion = self._flow(_exposed(last, self._own_gain), _exposed(low, own_gain))
            self._seen = match(_exposed(last, common), _exposed(low, common), motion)
        self._low, self._own_gain, self._thumbnail = low, own_gain, thumbnail
        older, newer = (math.log(memory.gains.update(own_gain)) for memory in (self._older, self._newer))
        return math.exp(older + self._fade() * (newer - older))

    def steady(self, albedo: np.ndarray) -> np.ndarray:
        """The network's albedo of the frame, (h, w, 3) float32 in [0, 1] -> the albedo to use, positive."""
        albedo = np.maximum(albedo, np.float32(_LEAST_LOG))
        own = cv2.log(albedo)
        older, newer = (memory.track.update(own, self._seen) for memory in (self._older, self._newer))
        correction = older + np.float32(self._fade()) * (newer - older) - own
        return albedo * cv2.exp(cv2.GaussianBlur(correction, (0, 0), DETAIL))

    def _fade(self) -> float:
        """Weight of the newer memory, from 1 / BLOCK in its first frame to 1 in its last."""
        return (self._frame % BLOCK + 1) / BLOCK


def _exposed(low: np.ndarray, gain: float) -> np.ndarray:
    # A float image may come close to the largest float32.
    return np.minimum(low, np.float32(np.finfo(np.float32).max / max(2 * gain, 2.0))) * np.float32(gain)
