"""Log-albedo carried along motion, and how much each pixel's estimate rests on."""

from __future__ import annotations

import math

import cv2
import numpy as np

from intrinsic_flow.decomposition.temporal.surface import Correspondence

#: Frames in which a surface that has just come into view is learned; at rest it is held from then on.
LEARN = 12.0
#: Most frames that the mean of a surface in motion holds.
MOST_FRAMES = 48
# Change of local light in natural-log units: up to the first it teaches nothing about a surface at rest, from the second on
# as much as a new frame.
SAME_LIGHT, OTHER_LIGHT = 0.04, 0.1
#: Frames that a surface counts as at most while nothing changes: one look is one look, but what has stood for long is not
#: given up for the first frame in another light.
LONG = 12.0
# Noise is about the same in any light, so the log of an albedo is as exact as there is light, and what was seen in more
# light counts more: by its square, as inverse variances weigh, but by no more than this.
_MOST_PRECISE = math.log(4.0)
# Where mean and frame of a moving surface disagree more than flicker does, the mean was mistaken and counts as a short one.
_DOUBT, _MISTAKE, _SHORT = 0.35, 0.7, 6.0
# Detail of a moving surface finer than this many pixels (standard deviation) is the frame's own: what motion carries is a
# little out of place, and an albedo whose edges miss those of the image would leave them in the shading.
_DETAIL = 2.0
# Side of the windows in which light is smooth, and the log of the darkest albedo: for surfaces that nobody was asked about.
_LIGHT, _DARKEST = (21, 21), -6.9


class AlbedoTrack:
    """Of each surface point the mean of what the network said of it in different frames.

    Frames differ where things or the camera move. Where nothing does, more frames say nothing new: what the network changes
    its mind about there are things elsewhere. So a point at rest is held once it is learned, until its light changes,
    which is news again: the mean is then one over the lights in which the point was seen. Where a point is seen for the
    first time, or shows another surface, the mean starts anew.
    """

    def __init__(self, *, opening: bool = False) -> None:
        """opening: begins with the first frame of a shot, of which nothing else was shown before. A surface that appears
        later, from behind another one, is learned."""
        self._to_learn = 0.0 if opening else LEARN
        self._mean: np.ndarray | None = None
        self._product: np.ndarray | None = None
        # How much of the frame's own fine detail went into the mean: of what moves all.
        self._weights: np.ndarray | None = None
        # Of each pixel: frames in the mean, frames still to be learned from, and log of the light: of the last frame that
        # taught something, and on average over the mean.
        self._state: np.ndarray | None = None

    def update(self, log_albedo: np.ndarray, light: np.ndarray, seen: Correspondence | None) -> np.ndarray:
        """Takes a frame's own estimate (h, w, 3) float32; returns the one to use, not to be changed.

        light: (h, w) float32, log of the image's local luminance, in any scale. seen: how the frame continues the last one;
        None where it does not.
        """
        if seen is None or self._mean is None or self._state is None:
            self._mean, self._product, self._weights = log_albedo, None, None
            self._state = cv2.merge([np.full_like(light, 1.0), np.full_like(light, self._to_learn), light, light])
            return self._mean
        # Cubic, because linear interpolation again and again would blur the albedo's edges into the shading.
        mean, state = seen.warped(self._mean, cv2.INTER_CUBIC), seen.warped(self._state)
        count, to_learn, before, mean_light = cv2.split(state)
        change = light - before
        difference = log_albedo - mean
        doubt = cv2.blur(np.abs(_channel_mean(difference)), (7, 7))
        # At rest is what stands before a camera that stands: on an even wall the flow of a moving one is 0 too.
        moving = seen.moving.astype(np.float32) if seen.resting else np.ones_like(light)
        mistaken = moving * _ramp(doubt, _DOUBT, _MISTAKE)
        other = _ramp(1 - seen.same, 0.25, 0.75)
        kept = np.where(moving > 0, seen.same, 1 - other)
        held = np.minimum(kept * np.minimum(count, np.float32(MOST_FRAMES - 1)), _SHORT + (1 - mistaken) * MOST_FRAMES)
        learning = np.clip(to_learn, 0, 1)
        news = np.maximum.reduce([_ramp(np.abs(change), SAME_LIGHT, OTHER_LIGHT), learning, other, moving])
        precise = np.exp(np.clip(2 * (light - mean_light), -_MOST_PRECISE, _MOST_PRECISE))
        weight = news * precise / (1 + news * (precise - 1) + held)
        self._weights = cv2.merge([np.maximum(weight, moving)] * 3)
        coarse = cv2.GaussianBlur(difference, (0, 0), _DETAIL)
        self._mean = mean + cv2.merge([weight] * 3) * coarse + self._weights * (difference - coarse)
        to_learn = np.maximum(np.maximum(to_learn, np.float32(LEARN) * other) - 1, 0)
        count = held + np.where(held < LONG, np.float32(1), news)
        mean_light = mean_light + weight * (light - mean_light)
        self._state = cv2.merge([count, to_learn, before + news * change, mean_light])
        return self._mean

    def carry(self, before: np.ndarray, now: np.ndarray, seen: Correspondence) -> np.ndarray:
        """As `update`, for a frame without an estimate of its own. before, now: (h, w, 3) float32, the last frame and this
        one, natural log of linear light under one exposure. A surface that was not seen before is taken to be in the light
        that the last frame had in that place, until it is learned."""
        if self._mean is None or self._state is None:
            raise RuntimeError("an albedo is known before it is carried")
        light = cv2.blur(before - self._mean, _LIGHT)
        mean, state = seen.warped(self._mean, cv2.INTER_CUBIC), seen.warped(self._state)
        moving = seen.moving.astype(np.float32)
        if seen.moving.any():
            # Edges stay where the image has them.
            change = now - seen.warped(before, cv2.INTER_CUBIC)
            mean = mean + cv2.merge([moving * seen.same] * 3) * (change - cv2.GaussianBlur(change, (0, 0), _DETAIL))
        other = _ramp(1 - seen.same, 0.25, 0.75)
        guess = np.clip(now - light, _DARKEST, 0)
        self._mean = mean + cv2.merge([other] * 3) * (guess - mean)
        self._weights = cv2.merge([np.maximum(other, moving)] * 3)
        count, to_learn, *lights = cv2.split(state)
        self._state = cv2.merge([count * (1 - other), np.maximum(to_learn, np.float32(LEARN) * other), *lights])
        return self._mean

    def update_product(self, log_albedo: np.ndarray, seen: Correspondence | None) -> np.ndarray:
        """After `update`: what rests is held in the albedo (h, w, 3) that the frame's image and shading gave, too."""
        if seen is None or self._product is None or self._weights is None:
            self._product = log_albedo
            return self._product
        product = seen.warped(self._product, cv2.INTER_CUBIC)
        self._product = product + self._weights * (log_albedo - product)
        return self._product


def _channel_mean(maps: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h, w)."""
    return cv2.transform(maps, np.full((1, 3), 1 / 3, np.float32))


def _ramp(values: np.ndarray, none: float, full: float) -> np.ndarray:
    """0 up to `none`, 1 from `full`, linear in between."""
    return np.clip((values - np.float32(none)) / np.float32(full - none), 0, 1)
