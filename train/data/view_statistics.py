"""Numbers that tell whether views look like the world: of a view, of a picture alone, and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.media.color import luminance
from intrinsic_flow.train.data.decomposed import fill_nearest
from intrinsic_flow.train.data.shards import View

# Bands of log-luminance between Gaussians of these standard deviations (pixels) and twice as much.
TEXTURE_SCALES = (0.5, 1, 2, 4, 8)
EDGE = 0.3
ALBEDO_BINS = 100
PERCENTILES = (5, 25, 50, 75, 95)
NATURAL_ALBEDO = (0.1, 0.7)
# Added before a logarithm: what the eye and 8 bits take for black.
_FLOOR = 0.01


@dataclass(frozen=True)
class PictureStatistics:
    """Of one exposed picture in [0, 1]. clipped: share of pixels with a channel above 1 before clipping. luminance: mean.
    contrast: standard deviation of log-luminance (natural). saturation: mean of (max - min) / max. edges: share of pixels
    whose log-luminance differs from a neighbour's by EDGE or more. texture: root mean square of each band of
    TEXTURE_SCALES.
    """

    clipped: float
    luminance: float
    contrast: float
    saturation: float
    edges: float
    texture: tuple[float, ...]


@dataclass(frozen=True)
class AlbedoStatistics:
    """Over the valid pixels of one view. histogram: (ALBEDO_BINS,) counts of luminance over [0, 1]. correlation: of
    log-albedo and log-shading (luminance), NaN where one is constant. contrast: standard deviation of log-albedo over
    that of the log image; with_image: their correlation. warmth: log of the mean light's red over its blue. The others as
    in `PictureStatistics`.
    """

    histogram: np.ndarray
    valid: float
    saturation: float
    edges: float
    texture: tuple[float, ...]
    correlation: float
    contrast: float
    with_image: float
    warmth: float


def picture_statistics(image: np.ndarray) -> PictureStatistics:
    """image: (H, W, 3) float32, linear light, any exposure."""
    exposed = image * np.float32(exposure_gain(image))
    seen = np.clip(exposed, 0, 1)
    light = luminance(seen)
    log_light = np.log(light + _FLOOR)
    everywhere = np.ones(light.shape, bool)
    return PictureStatistics(
        clipped=float((exposed > 1).any(-1).mean()),
        luminance=float(light.mean()),
        contrast=float(log_light.std()),
        saturation=_saturation(seen, light > _FLOOR),
        edges=_edges(log_light, everywhere),
        texture=_texture(log_light, everywhere),
    )


def albedo_statistics(view: View) -> AlbedoStatistics | None:
    """Statistics of a view's albedo; None if no pixel is valid."""
    if not view.mask.any():
        return None
    light = luminance(view.albedo)
    known = light[view.mask]
    log_albedo = np.log(fill_nearest(light[..., None], view.mask)[..., 0] + _FLOOR)
    shading = luminance(view.total_shading)[view.mask]
    log_shading = np.log(shading + _FLOOR * max(float(shading.mean()), 1e-9))
    inside = log_albedo[view.mask]
    image = luminance(view.image)
    log_image = np.log(image * (0.3 / max(float(image.mean()), 1e-9)) + _FLOOR)[view.mask]
    color = np.maximum(view.total_shading[view.mask].mean(0), 1e-9)
    return AlbedoStatistics(
        histogram=np.histogram(np.clip(known, 0, 1), ALBEDO_BINS, (0, 1))[0],
        valid=float(view.mask.mean()),
        saturation=_saturation(view.albedo, view.mask),
        edges=_edges(log_albedo, view.mask),
        texture=_texture(log_albedo, view.mask),
        correlation=_correlation(inside, log_shading),
        contrast=float(inside.std() / max(log_image.std(), 1e-4)),
        with_image=_correlation(inside, log_image),
        warmth=float(np.log(color[0] / color[2])),
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """NaN where one of them is constant."""
    varied = min(first.std(), second.std()) > 1e-4
    return float(np.corrcoef(first, second)[0, 1]) if varied else float("nan")


def _saturation(rgb: np.ndarray, where: np.ndarray) -> float:
    if not where.any():
        return 0.0
    colors = rgb[where]
    peak = colors.max(-1)
    return float(((peak - colors.min(-1)) / np.maximum(peak, 1e-6)).mean())


def _edges(log_light: np.ndarray, where: np.ndarray) -> float:
    across = np.abs(np.diff(log_light, axis=1)) >= EDGE
    down = np.abs(np.diff(log_light, axis=0)) >= EDGE
    edge = np.zeros(log_light.shape, bool)
    edge[:, :-1] |= across
    edge[:-1] |= down
    return float(edge[where].mean())


def _texture(log_light: np.ndarray, where: np.ndarray) -> tuple[float, ...]:
    blurred = [cv2.GaussianBlur(log_light, (0, 0), sigma) for sigma in (*TEXTURE_SCALES, 2 * TEXTURE_SCALES[-1])]
    bands = (fine - coarse for fine, coarse in zip(blurred, blurred[1:]))
    return tuple(float(np.sqrt(np.square(band[where]).mean())) for band in bands)


def summary(values: Sequence[float]) -> dict[str, float] | None:
    """Median and the 5th and 95th percentile of the finite values, rounded; None without any."""
    finite = np.asarray([value for value in values if np.isfinite(value)])
    if not finite.size:
        return None
    low, middle, high = np.percentile(finite, (5, 50, 95))
    return {"p5": _short(low), "median": _short(middle), "p95": _short(high)}


def picture_summary(pictures: Sequence[PictureStatistics]) -> dict[str, object]:
    """Name of each statistic -> its `summary` over the pictures; texture by scale."""
    names = ("clipped", "luminance", "contrast", "saturation", "edges")
    result: dict[str, object] = {name: summary([getattr(picture, name) for picture in pictures]) for name in names}
    result["texture"] = _texture_summary([picture.texture for picture in pictures])
    return result


def albedo_summary(albedos: Sequence[AlbedoStatistics]) -> dict[str, object]:
    """The same for albedos. luminance: percentiles over all valid pixels; natural_share: share in NATURAL_ALBEDO."""
    names = ("valid", "saturation", "edges", "correlation", "contrast", "with_image", "warmth")
    result: dict[str, object] = {name: summary([getattr(albedo, name) for albedo in albedos]) for name in names}
    result["texture"] = _texture_summary([albedo.texture for albedo in albedos])
    histogram = np.sum([albedo.histogram for albedo in albedos], axis=0)
    edges = np.linspace(0, 1, ALBEDO_BINS + 1)
    cumulative = np.concatenate([[0.0], np.cumsum(histogram)]) / max(histogram.sum(), 1)
    result["luminance"] = {f"p{p}": _short(np.interp(p / 100, cumulative, edges)) for p in PERCENTILES}
    low, high = (np.interp(bound, edges, cumulative) for bound in NATURAL_ALBEDO)
    result["natural_share"] = _short(high - low)
    return result


def _texture_summary(textures: Sequence[tuple[float, ...]]) -> dict[str, object]:
    return {f"{scale:g}px": summary([texture[i] for texture in textures]) for i, scale in enumerate(TEXTURE_SCALES)}


def _short(value: float) -> float:
    return float(f"{value:.4g}")
