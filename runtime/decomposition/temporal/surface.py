"""Does a pixel still show the surface that its flow leads back to - in other light, perhaps?

Light multiplies: where it changes, log-image changes by something smoother than the surface's own texture, and about alike
in the three channels. So fine structure (log-luminance and log-chromaticity less their local mean) stays as it was, however
much brighter or darker the place has become. Another surface brings other structure, or another colour. Chromaticity counts
more, since the edge of a shadow shows in luminance alone: a shadow that moves over a surface at rest must not take the
surface along.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from intrinsic_flow.decomposition.temporal.flow import Motion, inside, refine, warp
from intrinsic_flow.media.color import REC709_LUMINANCE

# Natural-log units. Below the first a change is noise; below the second, squared, structure is.
UNCHANGED = 0.08
STRUCTURE_NOISE = 0.04
STRUCTURE_SHARE = 0.25
# A motion has to explain the image so much better than rest does (as squares), and by more than noise would, or the pixel
# is taken to be at rest. Things that move by a third of a pixel a frame gain no more than that.
MOTION_GAIN, MOTION_NOISE = 0.9, np.float32(3.0)
REST = 0.1
COLOR_CHANGE = 0.25
# What a passing shadow may do to an even surface that has no structure to tell by; more than that is another surface.
LOCAL_LIGHT = 1.0
# What a passing shadow does from one frame to the next, while what comes out from behind something else differs by more.
LITTLE_LIGHT = 0.25
# Light that changed everywhere: most structure is still there, and half of the frame changed by more than this.
GLOBAL_CHANGE = 0.15
GLOBAL_SHARE = 0.7
_DARK = 0.02
# Edges, as squares over those of noise, and the share of them that stands still before a camera at rest: people who pass
# take up to a third of them along.
EDGE, RESTING = 60, 0.6
# Largest change of a channel that a pixel of a camera at rest shows between two frames if nothing happens there.
QUIET = 0.025
# Sides of square windows, in pixels at working resolution. Box filters, because there are a dozen of them a frame.
_FINE, _WINDOW, _SMALL = (13, 13), (9, 9), (3, 3)
# Log-RGB -> log-luminance and two log-chromaticities.
_STRUCTURE = np.stack([REC709_LUMINANCE, [1.7, -1.7, 0.0], [0.0, -1.7, 1.7]]).astype(np.float32)


@dataclass(frozen=True)
class Correspondence:
    """flow: (h, w, 2) float32, the motion with what stands still set to exactly 0, so that nothing blurs by being warped
    again and again. same: (h, w) float32 in [0, 1], how surely a pixel shows the surface that it showed before. resting:
    whether the camera is: most edges stand still. relit: whether the light of the whole frame changed."""

    flow: np.ndarray
    same: np.ndarray
    resting: bool
    relit: bool

    @cached_property
    def moving(self) -> np.ndarray:
        """(h, w) bool: where the flow is not 0."""
        return (self.flow[..., 0] != 0) | (self.flow[..., 1] != 0)

    @cached_property
    def _box(self) -> tuple[slice, slice]:
        """The smallest box around all that moves."""
        left, top, width, height = cv2.boundingRect(self.moving.astype(np.uint8))
        return slice(top, top + height), slice(left, left + width)

    def warped(self, maps: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
        """`warp` along the flow; what stands still is taken over to the bit. Not to be changed."""
        if not self.moving.any():
            return maps
        found = maps.copy()
        found[self._box] = warp(maps, self.flow, interpolation, self._box)
        return found


def match(before: np.ndarray, now: np.ndarray, motion: Motion) -> Correspondence:
    """before, now: (h, w, 3) float32 linear, under one common gain. motion: from `before` to `now`."""
    log_before, log_now = (cv2.log(np.maximum(frame, 0) + np.float32(_DARK)) for frame in (before, now))
    fine_before, fine_now = _fine(log_before), _fine(log_now)
    backward = refine(fine_before[..., 0], fine_now[..., 0], motion.backward)
    moved = _window(_squares(fine_now - warp(fine_before, backward)))
    still = _window(_squares(fine_now - fine_before))
    floor = np.float32(STRUCTURE_NOISE**2)
    at_rest = (still <= REST * floor) | (moved > np.maximum(0.5 * still, MOTION_GAIN * still - MOTION_NOISE * floor))
    energy = _window(_squares(fine_now))
    # Edges tell whether the camera moves: what is softer seems to rest in a slow pan.
    edges = energy > EDGE * floor
    resting = np.count_nonzero(at_rest & edges) >= RESTING * np.count_nonzero(edges)
    # The windows above reach beyond the outline of a thing that moves, into what rests beside it.
    quiet = resting & (cv2.blur(_largest(np.abs(log_now - log_before)), _SMALL) < QUIET)
    at_rest |= quiet
    flow = backward * (~at_rest).astype(np.float32)[..., None]

    mismatch = np.where(at_rest, still, moved)
    energy += _window(_squares(warp(fine_before, flow)))
    kept = _ramp(mismatch / (np.float32(STRUCTURE_SHARE) * energy + floor), 1.0, 2.0)
    structured = energy > 8 * floor

    change = log_now - warp(log_before, flow)
    mean, size = _mean(change), cv2.sqrt(np.maximum(_window(_mean(change * change)), 0))
    level = _window(mean)
    everywhere = _changed_everywhere(level, kept, structured)
    tint = _window(change - cv2.merge([mean] * 3))
    if everywhere:
        # The new light may have another colour: only what differs from the rest of the frame counts.
        tint -= np.median(tint.reshape(-1, 3), axis=0)
    color = _largest(np.abs(tint))

    like_light = kept * _ramp(color, COLOR_CHANGE, 2 * COLOR_CHANGE)
    if not everywhere:
        like_light *= np.where(structured, np.float32(1), _ramp(np.abs(level), LOCAL_LIGHT, 1.5 * LOCAL_LIGHT))
    else:
        # What a light that went off leaves in the dark shows nothing else there.
        darkened = at_rest & (level < -LOCAL_LIGHT)
        kept[darkened] = like_light[darkened] = 1
    unchanged = _ramp(size, UNCHANGED, 2 * UNCHANGED)
    # Flow on an even surface is noise that does not lead back to itself. At rest a little change is enough to go by.
    little = np.abs(level) < LITTLE_LIGHT
    seen = motion.visible | (at_rest & (little | ((structured | everywhere) & (kept > 0.5))))
    same = np.maximum(unchanged, like_light) * (seen & inside(flow))
    same[quiet] = 1
    return Correspondence(flow, same.astype(np.float32), bool(resting), everywhere)


def _changed_everywhere(level: np.ndarray, kept: np.ndarray, structured: np.ndarray) -> bool:
    count = int(np.count_nonzero(structured))
    if count < 0.02 * structured.size or float(np.median(np.abs(level))) < GLOBAL_CHANGE:
        return False
    return float(kept[structured].mean()) > GLOBAL_SHARE


def _mean(image: np.ndarray) -> np.ndarray:
    return cv2.transform(image, np.full((1, 3), 1 / 3, np.float32))


def _largest(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h, w); several times as fast as a reduction over so short an axis."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def _squares(maps: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h, w), the sum of the squares."""
    return cv2.transform(maps * maps, np.ones((1, 3), np.float32))


def _fine(log: np.ndarray) -> np.ndarray:
    """(h, w, 3) log-RGB -> fine structure of log-luminance and two log-chromaticities."""
    maps = cv2.transform(log, _STRUCTURE)
    return maps - cv2.blur(maps, _FINE)


def _window(values: np.ndarray) -> np.ndarray:
    """Local means. Of squares they may come out a hair below 0: OpenCV keeps running sums."""
    return cv2.blur(values, _WINDOW)


def _ramp(values: np.ndarray, full: float, none: float) -> np.ndarray:
    """1 up to `full`, 0 from `none`, linear in between."""
    return np.clip((np.float32(none) - values) / np.float32(none - full), 0, 1)
