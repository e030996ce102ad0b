"""The state of one stream: exposure and albedo, filtered causally over a bounded look-back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from intrinsic_flow.decomposition.exposure import GainFilter
from intrinsic_flow.decomposition.temporal.cuts import Thumbnail, is_cut
from intrinsic_flow.decomposition.temporal.flow import FlowEstimator
from intrinsic_flow.decomposition.temporal.surface import Correspondence, match
from intrinsic_flow.decomposition.temporal.track import OTHER_LIGHT, AlbedoTrack
from intrinsic_flow.media.color import luminance

BLOCK = 192
# A light that is switched must reach the network's exposure at once: overexposed, it would take the light for albedo.
GAIN_FRAMES, GAIN_RESET_STOPS = 16, 0.4
#: A frame's result depends on this many frames before it and on no others.
LOOK_BACK = 3 * BLOCK - 1 + GAIN_FRAMES - 1
#: Where more of a frame than this was not seen before, or its light changed, the network is asked whatever `every` says.
NEWS = 0.05
#: So is it where a camera at rest shows more of the frame than this in more light than the network saw last.
BRIGHTER = 0.2
_LEAST_LOG = 1e-3
_DARK = 0.02
_WINDOW = (3, 3)


@dataclass(frozen=True, eq=False)
class ExposedFrame:
    """What `TemporalFilter.expose` says of a frame.

    number: in the video. gain: to use for it. infer: whether the network is to run on it. light: (h, w) float32, log of its
    local luminance in the image's own scale. seen: how it continues the frame before it, None at a cut. pair: that frame
    and this one under one common gain, (h, w, 3) float32 linear.
    """

    number: int
    gain: float
    infer: bool
    light: np.ndarray
    seen: Correspondence | None
    pair: tuple[np.ndarray, np.ndarray] | None

    @property
    def cut(self) -> bool:
        """Whether it begins a shot; the first one does."""
        return self.seen is None


class TemporalFilter:
    """For every frame in turn: `expose`, then run the network on the exposed frame, then `steady`, then `settle`. Where the
    network is to be left out (`infer` is false), `carried` stands for `steady`.

    `expose` shares nothing with the others, so that a thread of its own may run it on later frames meanwhile.

    The albedo stays with its surfaces; whatever else changes in the image is light and shows in the shading at once, since
    the shading is the image divided by the albedo. At a scene cut everything starts anew.

    A filter that remembers for ever could not be resumed in the middle of a clip. So a memory begins at every multiple of
    BLOCK frames and serves for two blocks: it fades in during the first and out during the second, in which the next one
    fades in. A run that begins at `resume_from(frame)` gives, from `frame` on, the same bytes as one from the start.
    """

    def __init__(self, first_frame: int = 0, every: int = 1) -> None:
        """first_frame: number of the first frame that will come; one of `resume_from` where it should not matter. every:
        the network runs on every so manieth frame, of a camera that moves twice as often, and where something new appears,
        all light changes or much of it becomes brighter. Raises ValueError for less than 1."""
        if every < 1:
            raise ValueError(f"every {every}, expected at least 1")
        self._next, self._every = first_frame, every
        self._gains = GainFilter(GAIN_FRAMES, GAIN_RESET_STOPS)
        self._flow = FlowEstimator()
        # Of the frame that `expose` took last.
        self._low: np.ndarray | None = None
        self._own_gain = 1.0
        # The light of the last frame on which the network was to run.
        self._looked: np.ndarray | None = None
        self._thumbnail: Thumbnail | None = None
        # Of the frame that `steady` or `carried` took last.
        self._older = self._newer = AlbedoTrack(opening=True)

    @staticmethod
    def resume_from(frame: int) -> int:
        """The frame at which a new filter has to begin so that it agrees with an old one from `frame` on."""
        # One block for the albedo under which the products came about that the older memory of `frame` holds.
        return max(0, (frame // BLOCK - 2) * BLOCK - (GAIN_FRAMES - 1))

    def expose(self, low: np.ndarray, own_gain: float) -> ExposedFrame:
        """Takes the next frame at working resolution, (h, w, 3) float32 linear, and the gain that it would have alone."""
        number, self._next = self._next, self._next + 1
        exposed = _exposed(low, own_gain)
        thumbnail = Thumbnail.of(exposed)
        last, last_thumbnail = self._low, self._thumbnail
        seen = pair = None
        if last is None or last_thumbnail is None or last.shape != low.shape or is_cut(last_thumbnail, thumbnail):
            self._gains = GainFilter(GAIN_FRAMES, GAIN_RESET_STOPS)
        else:
            # One gain for both, halfway, so that a change of exposure or light is seen as what it is.
            common = math.sqrt(own_gain * self._own_gain)
            pair = _exposed(last, common), _exposed(low, common)
            seen = match(*pair, self._flow(_exposed(last, self._own_gain), exposed))
        # At the beginning of a memory always: what it begins with may not depend on the memory before it.
        every = self._every if seen is None or seen.resting else max(1, self._every // 2)
        due = number % BLOCK % every == 0
        light = cv2.log(cv2.blur(np.maximum(luminance(exposed), 0), _WINDOW) + np.float32(_DARK))
        # Relative to the light of all frames, not to the frame's own.
        light -= np.float32(math.log(own_gain))
        infer = due or seen is None or seen.relit or float(seen.same.mean()) < 1 - NEWS or self._brighter(light, seen)
        if infer:
            self._looked = light
        self._low, self._own_gain, self._thumbnail = low, own_gain, thumbnail
        return ExposedFrame(number, self._gains.update(own_gain), infer, light, seen, pair)

    def steady(self, frame: ExposedFrame, albedo: np.ndarray) -> np.ndarray:
        """The network's albedo of the frame, (h, w, 3) float32 in [0, 1] -> the albedo to use, positive."""
        albedo = np.maximum(albedo, np.float32(_LEAST_LOG))
        own = cv2.log(albedo)
        self._begin(frame)
        remembered = self._remembered(frame, lambda memory: memory.update(own, frame.light, frame.seen))
        # As a factor, so that an albedo that agrees with what is remembered stays as it is to the bit.
        return albedo * cv2.exp(remembered - own)

    def carried(self, frame: ExposedFrame) -> np.ndarray:
        """The albedo of a frame without the network's, (h, w, 3) float32, positive: what is remembered, carried along."""
        seen, pair = frame.seen, frame.pair
        if seen is None or pair is None:
            raise RuntimeError("nothing is carried into the first frame of a shot")
        self._begin(frame)
        before, now = (cv2.log(np.maximum(picture, 0) + np.float32(_DARK)) for picture in pair)
        least = np.float32(math.log(_LEAST_LOG))
        remembered = self._remembered(frame, lambda memory: memory.carry(before, now, seen))
        return cv2.exp(np.clip(remembered, least, 0))

    def settle(self, frame: ExposedFrame, albedo: np.ndarray) -> np.ndarray:
        """After `steady`: the albedo that image and shading give at working resolution, (h, w, 3) float32, positive ->
        factors for it, (h, w, 3). Shading is fitted in windows, through which what moves reaches into what rests."""
        own = cv2.log(np.clip(albedo, np.float32(_LEAST_LOG), 1))
        return cv2.exp(self._remembered(frame, lambda memory: memory.update_product(own, frame.seen)) - own)

    def _brighter(self, light: np.ndarray, seen: Correspondence) -> bool:
        """Whether a camera at rest sees much of its surfaces in more light than the network did last."""
        if not seen.resting or self._looked is None:
            return False
        return float((light - self._looked > OTHER_LIGHT).mean()) > BRIGHTER

    def _begin(self, frame: ExposedFrame) -> None:
        """Brings the memories to a frame that neither has taken yet."""
        if frame.number % BLOCK == 0:
            self._older, self._newer = self._newer, AlbedoTrack()
        if frame.cut:
            self._older = self._newer = AlbedoTrack(opening=True)

    def _remembered(self, frame: ExposedFrame, update: Callable[[AlbedoTrack], np.ndarray]) -> np.ndarray:
        """What both memories say after an update; the weight of the newer one grows to 1 in the last frame of a block."""
        newer = update(self._newer)
        if self._older is self._newer:
            return newer
        older = update(self._older)
        return older + np.float32((frame.number % BLOCK + 1) / BLOCK) * (newer - older)


def _exposed(low: np.ndarray, gain: float) -> np.ndarray:
    # A float image may come close to the largest float32.
    return np.minimum(low, np.float32(np.finfo(np.float32).max / max(2 * gain, 2.0))) * np.float32(gain)
