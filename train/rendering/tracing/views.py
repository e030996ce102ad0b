"""One view: rendered until it is clean enough, denoised, judged, and turned into a training view.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from intrinsic_flow.train.data.shards import View
from intrinsic_flow.train.rendering.scene import Camera
from intrinsic_flow.train.rendering.tracing.assembly import AssembledScene
from intrinsic_flow.train.rendering.tracing.denoise import denoised_residual, denoised_shading
from intrinsic_flow.train.rendering.tracing.fireflies import relative_noise
from intrinsic_flow.train.rendering.tracing.integrator import Layers, render_layers
from intrinsic_flow.train.rendering.tracing.quality import Quality

# Ground truth where a surface that is no black one nor a metal fills (nearly) the whole pixel.
_LEAST_ALBEDO = 0.02
_LEAST_CHANNEL = 0.004
_LEAST_COVERAGE = 0.9
# Weight of a black pixel's light where pixels are averaged.
_BLACK = 1e-3
# Millimetres that light spreads within things, red, green and blue: skin, and what is between wax and marble (whose
# diffusion length is 8, 6 and 4 mm by Jensen et al. 2001, "A Practical Model for Subsurface Light Transport").
_SPREAD = {"skin": (2.4, 0.9, 0.5), "translucent": (5.0, 4.0, 3.0)}
# What cloth's fibres throw back at grazing angles, as a share of the light that falls on it.
_SHEEN = 0.12

# Logs of how much brighter than a well exposed white light may be before a sensor saturates.
_HEADROOM = (0.0, 1.1)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)

# What a view worth keeping has; light relative to the picture's 95th percentile.
_LEAST_VALID, _LEAST_VALID_ISOLATED = 0.35, 0.2
_DARK_LIGHT, _MOST_DARK = 0.02, 0.55
_BLACK_LIGHT, _MOST_BLACK = 0.004, 0.3
_LEAST_CONTRAST = 0.12
# The most that lamps are lifted beside daylight.
_MOST_LIFT = 300.0


class RejectedView(Exception):
    """A view that would teach nothing. The message is the reason: invalid, dark, black or flat."""


def _averaged(passes: list[Layers]) -> Layers:
    if len(passes) == 1:
        return passes[0]
    fields = (field.name for field in dataclasses.fields(Layers) if field.name != "surface")
    mean = {name: np.mean([getattr(layers, name) for layers in passes], axis=0) for name in fields}
    return Layers(**mean, surface=np.concatenate([layers.surface for layers in passes], axis=-1))


def render_clean_layers(
    assembled: AssembledScene, camera: Camera, quality: Quality, seed: int
) -> tuple[Layers, int, float]:
    """Layers at the traced size, samples that were spent on a pixel of the view, and the noise that is left there before
    denoising.
    """
    passes: list[Layers] = []
    while True:
        size, samples = quality.traced_size, quality.traced_samples
        passes.append(render_layers(assembled, camera, size, samples, seed * 17 + len(passes), quality.max_depth))
        layers = _averaged(passes)
        seen = layers.coverage > 0.5
        light = layers.diffuse / np.maximum(layers.albedo, _LEAST_ALBEDO)
        noise = max(relative_noise(light[:, k], seen) for k in range(light.shape[1])) / quality.enlargement
        if noise < quality.noise or len(passes) == quality.passes:
            return layers, quality.samples * len(passes), noise


def block_mean(image: np.ndarray, side: int) -> np.ndarray:
    """(side * H, side * W, ...) -> (H, W, ...): means of side x side pixels."""
    # Sums of slices take a sixth of the time of a mean over two of five axes.
    total = np.zeros_like(image[::side, ::side])
    for row in range(side):
        for column in range(side):
            total += image[row::side, column::side]
    return total / np.asarray(side * side, total.dtype)


def averaged_shading(shading: np.ndarray, albedo: np.ndarray, side: int) -> np.ndarray:
    """Shading and albedo (side * H, side * W, 3) -> the shading (H, W, 3) that makes mean albedo times it the mean light.

    Where a pixel is black all over, its plain mean.
    """
    weight = np.maximum(albedo, _BLACK)
    return block_mean(weight * shading, side) / block_mean(weight, side)


def _share_of(kind: str, layers: Layers, assembled: AssembledScene) -> np.ndarray:
    """(H, W) float32 at the traced size: share of the samples that show surfaces of this kind."""
    wanted = np.array([made_of == kind for made_of, _ in assembled.surfaces])
    if not wanted.any():
        return np.zeros(layers.coverage.shape, np.float32)
    return wanted[layers.surface].mean(-1, dtype=np.float32)


def scattered(shading: np.ndarray, skin: np.ndarray, millimetre: float, kind: str = "skin") -> np.ndarray:
    """Shading (H, W, 3) as light spreads in skin before it leaves it again: blurred within the skin (H, W share), red most.

    millimetre: in pixels. kind: skin, or translucent. The spreads are those of measured skin (Donner and Jensen 2005, d'Eon
    and Luebke 2007) as single Gaussians.
    """
    if not skin.any() or _SPREAD[kind][0] * millimetre < 0.4:
        return shading
    result = shading.copy()
    for channel, spread in enumerate(_SPREAD[kind]):
        sigma = spread * millimetre
        if sigma < 0.3:
            continue
        weight = np.maximum(cv2.GaussianBlur(skin, (0, 0), sigma), 1e-4)
        blurred = cv2.GaussianBlur(shading[..., channel] * skin, (0, 0), sigma) / weight
        result[..., channel] += skin * (blurred - shading[..., channel])
    return result


def grazing(normal: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) 1 minus the cosine between world normals (H, W, 3) and the way to the viewer; 0 where there is no normal."""
    height, width = normal.shape[:2]
    forward, right, up, reach = camera.frame((height, width))
    y, x = (np.arange(height) + 0.5 - height / 2) * reach, (np.arange(width) + 0.5 - width / 2) * reach
    away = forward + right * x[None, :, None] - up * y[:, None, None]
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    length = np.linalg.norm(normal, axis=-1)
    cosine = -(normal * away).sum(-1) / np.maximum(length, 1e-6)
    return np.where(length > 0.3, 1 - np.clip(cosine, 0, 1), 0).astype(np.float32)


def camera_normals(normal: np.ndarray, camera: Camera) -> np.ndarray:
    """World normals (H, W, 3) of any length -> unit vectors right, up, towards the viewer; 0 where there is none."""
    forward, right, up, _ = camera.frame(normal.shape[:2])
    turned = normal @ np.stack([right, up, -forward], 1).astype(np.float32)
    return turned / np.maximum(np.linalg.norm(turned, axis=-1, keepdims=True), 1e-6)


def surface_map(
    samples: np.ndarray, side: int, surfaces: Sequence[tuple[str, int]], albedo: np.ndarray
) -> tuple[np.ndarray, list[list]]:
    """The surface that most samples of each pixel show, as indices (H, W) uint8 into a list of [material, thing, color].

    samples: (side * H, side * W, N) int, indices into `surfaces`. albedo: (H, W, 3), of which the colours are means. Where
    more than 255 are in view, the smallest count as ["other", -1, None].
    """
    height, width = samples.shape[0] // side, samples.shape[1] // side
    grouped = samples.reshape(height, side, width, side, -1).transpose(0, 2, 1, 3, 4).reshape(height * width, -1)
    grouped = np.sort(grouped, axis=1)
    # The longest run of equal numbers: the number that stands unchanged k places further on, for the largest k.
    most, best = grouped[:, 0].copy(), np.ones(len(grouped), int)
    run = np.ones(len(grouped), int)
    for k in range(1, grouped.shape[1]):
        run = np.where(grouped[:, k] == grouped[:, k - 1], run + 1, 1)
        longer = run > best
        most[longer], best[longer] = grouped[longer, k], run[longer]
    numbers, counts = np.unique(most, return_counts=True)
    numbers = numbers[np.argsort(-counts, kind="stable")]
    order = np.full(len(surfaces), min(len(numbers), 255))
    order[numbers[:255]] = np.arange(min(len(numbers), 255))
    seen = order[most]
    flat = albedo.reshape(-1, 3)
    told: list[list] = []
    for index in range(int(seen.max()) + 1):
        name, thing = surfaces[numbers[index]] if index < 255 else ("other", -1)
        mean = flat[seen == index].mean(0)
        told.append([name, thing, np.round(mean, 4).tolist() if thing >= 0 else None])
    return seen.reshape(height, width).astype(np.uint8), told


def judge(view: View, isolated: bool = False) -> None:
    """RejectedView: the picture under its default light is mostly invalid, dark, black or flat. isolated: what lies around
    the only thing is black and does not count.
    """
    light = view.image.mean(-1)
    bright = np.percentile(light, 95)
    if view.mask.mean() < (_LEAST_VALID_ISOLATED if isolated else _LEAST_VALID) or bright <= 0:
        raise RejectedView("invalid")
    if (light[view.mask if isolated else ...] < _DARK_LIGHT * bright).mean() > _MOST_DARK:
        raise RejectedView("dark")
    if (light[view.mask] < _BLACK_LIGHT * bright).mean() > _MOST_BLACK:
        raise RejectedView("black")
    if np.log(light / bright + 0.02).std() < _LEAST_CONTRAST:
        raise RejectedView("flat")


def render_view(assembled: AssembledScene, camera: Camera, quality: Quality, seed: int) -> View:
    """Render, denoise and mask a view, its light groups with gains of 1 (`with_gains`); nothing is judged.

    The view's meta holds groups, camera, samples and noise. MissingExtraError: pyoidn is not installed.
    """
    layers, samples, noise = render_clean_layers(assembled, camera, quality, seed)
    fine, pixels = layers.albedo, quality.enlargement
    bodies = {kind: _share_of(kind, layers, assembled) for kind in _SPREAD}
    cloth = _SHEEN * _share_of("cloth", layers, assembled) * grazing(layers.normal, camera) ** 4
    albedo, coverage = block_mean(fine, pixels), block_mean(layers.coverage, pixels)
    mean_normal = block_mean(layers.normal, pixels)
    shading, residual = [], []
    for k in range(len(assembled.groups)):
        light = denoised_shading(layers.diffuse[:, k], fine, layers.normal, layers.coverage)
        for kind, share in bodies.items():
            near = float(np.median(layers.distance[share > 0.5])) if (share > 0.5).any() else 1.0
            light = scattered(light, share, 1e-3 / (near * camera.frame(quality.traced_size)[3]), kind)
        sheen = cloth[..., None] * light
        shading.append(averaged_shading(light, fine, pixels))
        # The residual, which has no sharp shadows to keep, is denoised at the view's size, in a quarter of the time.
        coats = np.stack([block_mean(bucket, pixels) for bucket in layers.residual[:, k]])
        residual.append(denoised_residual(coats, albedo, mean_normal) + block_mean(sheen, pixels))
    mask = (albedo.max(-1) > _LEAST_ALBEDO) & (albedo.min(-1) > _LEAST_CHANNEL) & (coverage > _LEAST_COVERAGE)
    whole = np.stack(shading), np.stack(residual)
    normal = camera_normals(mean_normal, camera)
    seen, surfaces = surface_map(layers.surface, pixels, assembled.surfaces, albedo)
    meta = {
        "groups": list(assembled.groups),
        "camera": {
            "origin": np.round(camera.origin, 4).tolist(),
            "target": np.round(camera.target, 4).tolist(),
            "fov": round(float(camera.fov), 2),
            "aperture": round(float(camera.aperture), 5),
            "focus": round(float(camera.focus), 3),
        },
        "samples": samples,
        "noise": round(noise, 4),
        "gains": [1.0] * len(assembled.groups),
        "surfaces": surfaces,
    }
    return View(albedo.astype(np.float32), *whole, mask, meta, seen, normal)


def lamp_gains(view: View, rng: np.random.Generator) -> np.ndarray:
    """(K,) gains that make daylight and lamps both visible: lamps get a log-normal share of the daylight. Sun and sky keep
    their proportion. All ones where there is only one kind. Lamps that hardly light what is seen stay weak: lifted further,
    they would show the noise of a few paths that found them.
    """
    daylight = np.array([group in ("sun", "sky") for group in view.meta["groups"]])
    brightness = np.array([(view.albedo * shading).mean() for shading in view.shading], np.float64)
    day, lamps = brightness[daylight].sum(), brightness[~daylight].sum()
    share = float(np.exp(rng.normal(-0.3, 0.8)))
    if not (day > 0 and lamps > 0):
        return np.ones(len(daylight))
    return np.where(daylight, 1.0, min(share * day / lamps, _MOST_LIFT))


def vignetted(view: View, strength: float) -> View:
    """The view through a lens that darkens towards the corners, where it leaves 1 - strength of the light."""
    height, width = view.mask.shape
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width])[:, None, None] * 2 - 1
    # A lens's cos^4 fall-off, scaled to the strength wanted.
    corner = np.sqrt(np.maximum((1 - strength) ** -0.5 - 1, 0) / 2)
    factor = (1 / (1 + corner**2 * (x**2 + y**2)) ** 2).astype(np.float32)[..., None]
    meta = {**view.meta, "vignette": round(strength, 3)}
    return dataclasses.replace(view, shading=view.shading * factor, residual=view.residual * factor, meta=meta)


def white_level(view: View, rng: np.random.Generator) -> float:
    """Light at which the sensor saturates of a camera that is exposed for the surfaces, not for lamps, windows and sky."""
    seen = view.image[view.mask] @ _LUMINANCE if view.mask.any() else view.image.reshape(-1, 3) @ _LUMINANCE
    return float(np.percentile(seen, 90)) / 0.8 * float(np.exp(rng.uniform(*_HEADROOM)))


def clipped(view: View, white: float) -> View:
    """The view with no more light than `white` in any channel of pixels that show no albedo, all groups cut in proportion:
    a window is white in a photograph of a room, and no hundred times as bright. Light on surfaces is left as it is.
    """
    most = np.where(view.mask[..., None], 1.0, np.minimum(white / np.maximum(view.image, 1e-9), 1.0)).astype(np.float32)
    return dataclasses.replace(view, shading=view.shading * most, residual=view.residual * most)


def with_gains(view: View, gains: np.ndarray) -> View:
    """The view with its light groups times `gains` (K,)."""
    factors = np.asarray(gains, np.float32)[:, None, None, None]
    meta = {**view.meta, "gains": np.round(np.asarray(view.meta["gains"]) * gains, 5).tolist()}
    return dataclasses.replace(view, shading=view.shading * factors, residual=view.residual * factors, meta=meta)
