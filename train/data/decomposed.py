"""From an image that came with its albedo (and perhaps its shading) to a view of the shard format.

One light group. Shading is what the image leaves when it is divided by the albedo; what a pixel has no albedo for is
residual, so that `image = albedo * shading + residual` holds everywhere.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import luminance
from intrinsic_flow.train.data.shard_writer import log_code
from intrinsic_flow.train.data.shards import View

GROUP = "image"

# A pixel whose largest channel is below has no usable albedo: dividing by it gives noise.
MIN_ALBEDO = 0.02
# A pixel of the reduced picture is valid where that share of its area was: rounding, not tolerance.
_COVERED = 0.999

# Views that teach nothing. Black: Hypersim's own tone map gives up below this 90th percentile of brightness. Lit: as in
# `dull_reason` of `train/data/store.py`. Constant: standard deviation of the natural log of luminance (+ 0.01, exposed).
MIN_BRIGHTNESS = 1e-4
MIN_LIT_SHARE = 0.1
MIN_CONTRAST = 0.05


class Rejected(Exception):
    """A picture is readable and teaches nothing. The message is the reason, `CATEGORY` or `CATEGORY: detail`."""


def valid_pixels(image: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    """(H, W) bool: finite in both, and albedo in [MIN_ALBEDO, 1] (largest channel; no channel negative)."""
    finite = np.isfinite(image).all(-1) & np.isfinite(albedo).all(-1)
    with np.errstate(invalid="ignore"):
        peak = albedo.max(-1)
        return finite & (peak >= MIN_ALBEDO) & (peak <= 1) & (albedo.min(-1) >= 0)


def reduce(layer: np.ndarray, valid: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) linear -> its short side is `size`: the mean over each pixel's valid area, 0 where there is none."""
    height, width = valid.shape
    target = (size, round(height * size / width)) if width <= height else (round(width * size / height), size)
    weight = cv2.resize(valid.astype(np.float32), target, interpolation=cv2.INTER_AREA)[..., None]
    known = np.where(valid[..., None], layer, 0).astype(np.float32)
    return cv2.resize(known, target, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)


def reduce_mask(valid: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool -> of the size that `reduce` gives: pixels whose whole area is valid."""
    share = reduce(np.repeat(valid[..., None].astype(np.float32), 3, 2), np.ones_like(valid), size)
    return share[..., 0] > _COVERED


def require_size(path: str | Path, layer: np.ndarray, size: int) -> None:
    """InputError for a layer (H, W, ...) that would have to be enlarged."""
    height, width = layer.shape[:2]
    if min(height, width) < size:
        raise InputError(path, f"{width}x{height} pixels", f"a short side of at least {size} (see --size)")


def windows(height: int, width: int, count: int) -> list[tuple[slice, slice]]:
    """At most `count` square windows of the short side, spread evenly along the long one; one is the centre."""
    side, long = min(height, width), max(height, width)
    starts = [(long - side) // 2] if count == 1 else np.linspace(0, long - side, count).round().astype(int).tolist()
    spans = [slice(start, start + side) for start in dict.fromkeys(starts)]
    whole = slice(0, side)
    return [(span, whole) if height >= width else (whole, span) for span in spans]


def fill_nearest(layer: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W, 3) with each unknown pixel replaced by the nearest known one; zeros if none is known."""
    if not known.any():
        return np.zeros_like(layer)
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros((labels.max() + 1, layer.shape[2]), layer.dtype)
    values[labels[known]] = layer[known]
    return values[labels]


def decompose(
    image: np.ndarray, albedo: np.ndarray, mask: np.ndarray, meta: dict, shading: np.ndarray | None = None
) -> View:
    """A view with one light group from linear layers of one size.

    image: (H, W, 3) float32, finite, non-negative, any exposure. albedo: (H, W, 3) in [0, 1] where mask (H, W) is true.
    shading: (H, W, 3), any scale; without it, it is image / albedo. The image is exposed as the network sees it (gain of
    `intrinsic_flow.decomposition.exposure`, not clipped; recorded as `exposure_gain`).

    Where mask is false, albedo is 0, the residual is the image and the shading continues the nearest valid one, which
    codes well and means nothing. A channel darker than MIN_ALBEDO takes no more than the pixel's mean shading. With a
    given shading, the residual is what the image has beyond albedo * shading, and the view's image is larger than the
    given one where that product is.
    """
    gain = exposure_gain(image)
    image = image * np.float32(gain)
    albedo = np.where(mask[..., None], albedo, 0).astype(np.float32)
    if shading is None:
        bright = albedo >= MIN_ALBEDO
        ratio = image / np.maximum(albedo, 1e-6)
        mean = (ratio * bright).sum(-1, keepdims=True) / np.maximum(bright.sum(-1, keepdims=True), 1)
        light = np.where(bright, ratio, np.minimum(ratio, mean))
    else:
        product = albedo * shading
        light = shading * np.float32((image * product).sum() / max(float(np.square(product).sum()), 1e-30))
    light = fill_nearest(light.astype(np.float32), mask)
    # What the code would clip (a glint on something dark) stays in the image as residual.
    light = np.minimum(light, np.float32(log_code(light)["xmax"]))
    residual = image - albedo * light
    # Rounding is no light: coded at its own scale it would cost more bytes than the picture.
    residual = np.where(residual > 1e-5 * image, residual, 0)
    meta = {"groups": [GROUP], **meta, "exposure_gain": round(gain, 6), "valid": round(float(mask.mean()), 4)}
    return View(albedo, light[None], residual[None].astype(np.float32), mask, meta)


def check_view(image: np.ndarray, mask: np.ndarray, min_valid: float) -> None:
    """Raises Rejected for a picture that teaches nothing.

    image: (H, W, 3) linear before exposure. mask: (H, W) bool. min_valid: least share of valid pixels.
    """
    if (valid := float(mask.mean())) < min_valid:
        raise Rejected(f"too few valid pixels: {100 * valid:.0f}%")
    light = luminance(image)
    lit = float((light > 0.02 * np.percentile(light, 99.5)).mean())
    if np.percentile(light, 90) < MIN_BRIGHTNESS or lit < MIN_LIT_SHARE:
        raise Rejected(f"nearly black: {100 * lit:.0f}% lit")
    exposed = np.clip(light * exposure_gain(image), 0, 1)
    if (contrast := float(np.log(exposed + 0.01).std())) < MIN_CONTRAST:
        raise Rejected(f"nearly constant: contrast {contrast:.3f}")


def picture_views(
    image: np.ndarray,
    albedo: np.ndarray,
    valid: np.ndarray,
    *,
    size: int,
    crops: int,
    min_valid: float,
    meta: dict,
    shading: np.ndarray | None = None,
) -> list[View]:
    """Square views of (size, size) from one picture, reduced in linear light; `crops` of them along the long side.

    image, albedo, shading: (H, W, 3) float32, linear; sides of at least `size`. They may hold anything where `valid` (H, W)
    is false, and the image is seen wherever it is finite. min_valid: least share of valid pixels of a view. Rejected: no
    window is usable (the reason is the first window's).
    """
    finite = np.isfinite(image).all(-1)
    valid = valid & valid_pixels(image, albedo)
    if shading is not None:
        valid &= np.isfinite(shading).all(-1) & (shading >= 0).all(-1)
        shading = reduce(shading, valid, size)
    mask = reduce_mask(valid, size)
    image = np.maximum(reduce(image, finite, size), 0)
    albedo = reduce(albedo, valid, size)
    mask &= albedo.max(-1) >= MIN_ALBEDO
    found, reasons = [], []
    height, width = mask.shape
    for rows, columns in windows(height, width, crops):
        try:
            check_view(image[rows, columns], mask[rows, columns], min_valid)
        except Rejected as reason:
            reasons.append(reason)
            continue
        light = None if shading is None else shading[rows, columns]
        found.append(decompose(image[rows, columns], albedo[rows, columns], mask[rows, columns], meta, light))
    if not found:
        raise reasons[0]
    return found
