"""The state of one stream: exposure and albedo, filtered causally over a bounded look-back."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from intrinsic_flow.decomposition.exposure import GainFilter
from intrinsic_flow.decomposition.temporal.cuts import Thumbnail, is_cut
from intrinsic_flow.decomposition.temporal.flow import FlowEstimator
from intrinsic_flow.decomposition.temporal.surface import Correspondence, match
from intrinsic_flow.decomposition.temporal.track import AlbedoTrack
from intrinsic_flow.media.color import luminance

BLOCK = 192
# A light that is switched must reach the network's exposure at once: overexposed, it would take the light for albedo.
GAIN_FRAMES, GAIN_RESET_STOPS = 16, 0.4
#: A frame's result depends on this many frames before it and on no others.
LOOK_BACK = 3 * BLOCK - 1 + GAIN_FRAMES - 1
#: Where more of a frame than this was not seen before, or its light changed, the network is asked whatever `every` says.
NEWS = 0.05
_LEAST_LOG = 1e-3
_DARK = 0.02
_WINDOW = (3, 3)


class TemporalFilter:
    """For every frame in turn: `expose`, then run the network on the exposed frame, then `steady`, then `settle`. Where the
    network is to be left out (`infer` is false), `carried` stands for `steady`.

    The albedo stays with its surfaces; whatever else changes in the image is light and shows in the shading at once, since
    the shading is the image divided by the albedo. At a scene cut everything starts anew.

    A filter that remembers for ever could not be resumed in the middle of a clip. So a memory begins at every multiple of
    BLOCK frames and serves for two blocks: it fades in during the first and out during the second, in which the next one
    fades in. A run that begins at `resume_from(frame)` gives, from `frame` on, the same bytes as one from the start.
    """

    def __init__(self, first_frame: int = 0, every: int = 1) -> None:
        """first_frame: number of the first frame that will come; one of `resume_from` where it should not matter. every:
        the network runs on every so manieth frame, and where something new appears or all light changes. Raises
        ValueError for less than 1."""
        if every < 1:
            raise ValueError(f"every {every}, expected at least 1")
        self._frame, self._every = first_frame - 1, every
        self._older = self._newer = AlbedoTrack(opening=True)
        self._gains = GainFilter(GAIN_FRAMES, GAIN_RESET_STOPS)
        self._flow = FlowEstimator()
        self._low: np.ndarray | None = None
        self._light: np.ndarray | None = None
        self._own_gain = 1.0
        self._thumbnail: Thumbnail | None = None
        self._seen: Correspondence | None = None
        #: Whether the frame that `expose` took last begins a shot; the first one does.
        self.cut = True
        #: Whether the network is to run on it.
        self.infer = True
        # That frame and the one before it in one common exposure.
        self._pair: tuple[np.ndarray, np.ndarray] | None = None

    @staticmethod
    def resume_from(frame: int) -> int:
        """The frame at which a new filter has to begin so that it agrees with an old one from `frame` on."""
        # One block for the albedo under which the products came about that the older memory of `frame` holds.
        return max(0, (frame // BLOCK - 2) * BLOCK - (GAIN_FRAMES - 1))

    def expose(self, low: np.ndarray, own_gain: float) -> float:
        """Takes the next frame at working resolution, (h, w, 3) float32 linear, and the gain that it would have alone.

        Returns the gain to use.
        """
        self._frame += 1
        if self._frame % BLOCK == 0:
            self._older, self._newer = self._newer, AlbedoTrack()
        thumbnail = Thumbnail.of(_exposed(low, own_gain))
        last, last_thumbnail = self._low, self._thumbnail
        if last is None or last_thumbnail is None or last.shape != low.shape or is_cut(last_thumbnail, thumbnail):
            self.cut, self._seen = True, None
            self._older = self._newer = AlbedoTrack(opening=True)
            self._gains = GainFilter(GAIN_FRAMES, GAIN_RESET_STOPS)
        else:
            self.cut = False
            # One gain for both, halfway, so that a change of exposure or light is seen as what it is.
            common = math.sqrt(own_gain * self._own_gain)
            motion = self._flow(_exposed(last, self._own_gain), _exposed(low, own_gain))
            self._pair = _exposed(last, common), _exposed(low, common)
            self._seen = match(*self._pair, motion)
        # At the beginning of a memory always: what it begins with may not depend on the memory before it.
        due = self._frame % BLOCK % self._every == 0
        self.infer = due or self._seen is None or self._seen.relit or float(self._seen.same.mean()) < 1 - NEWS
        self._low, self._own_gain, self._thumbnail = low, own_gain, thumbnail
        return self._gains.update(own_gain)

    def steady(self, albedo: np.ndarray) -> np.ndarray:
        """The network's albedo of the frame, (h, w, 3) float32 in [0, 1] -> the albedo to use, positive."""
        if self._low is None:
            raise RuntimeError("a frame is exposed before its albedo is steadied")
        albedo = np.maximum(albedo, np.float32(_LEAST_LOG))
        own = cv2.log(albedo)
        exposed = _exposed(self._low, self._own_gain)
        light = cv2.log(cv2.blur(np.maximum(luminance(exposed), 0), _WINDOW) + np.float32(_DARK))
        # Relative to the light of all frames, not to the frame's own.
        light -= np.float32(math.log(self._own_gain))
        # As a factor, so that an albedo that agrees with what is remembered stays as it is to the bit.
        return albedo * cv2.exp(self._remembered(lambda memory: memory.update(own, light, self._seen)) - own)

    def carried(self) -> np.ndarray:
        """The albedo of a frame without the network's, (h, w, 3) float32, positive: what is remembered, carried along."""
        if self._seen is None or self._pair is None:
            raise RuntimeError("nothing is carried into the first frame of a shot")
        seen = self._seen
        before, now = (cv2.log(np.maximum(frame, 0) + np.float32(_DARK)) for frame in self._pair)
        least = np.float32(math.log(_LEAST_LOG))
        return cv2.exp(np.clip(self._remembered(lambda memory: memory.carry(before, now, seen)), least, 0))

    def settle(self, albedo: np.ndarray) -> np.ndarray:
        """After `steady`: the albedo that image and shading give at working resolution, (h, w, 3) float32, positive ->
        factors for it, (h, w, 3). Shading is fitted in windows, through which what moves reaches into what rests."""
        own = cv2.log(np.clip(albedo, np.float32(_LEAST_LOG), 1))
        return cv2.exp(self._remembered(lambda memory: memory.update_product(own, self._seen)) - own)

    def _remembered(self, update: Callable[[AlbedoTrack], np.ndarray]) -> np.ndarray:
        """What both memories say after an update; the weight of the newer one grows to 1 in the last frame of a block."""
        newer = update(self._newer)
        if self._older is self._newer:
            return newer
        older = update(self._older)
        return older + np.float32((self._frame % BLOCK + 1) / BLOCK) * (newer - older)


def _exposed(low: np.ndarray, gain: float) -> np.ndarray:
    # A float image may come close to the largest float32.
    return np.minimum(low, np.float32(np.finfo(np.float32).max / max(2 * gain, 2.0))) * np.float32(gain)
