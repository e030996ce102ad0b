"""One view: rendered until it is clean enough, denoised, judged, and turned into a training view.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

import dataclasses

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

# What a view worth keeping has; light relative to the picture's 95th percentile.
_LEAST_VALID, _LEAST_VALID_ISOLATED = 0.35, 0.2
_DARK_LIGHT, _MOST_DARK = 0.02, 0.55
_BLACK_LIGHT, _MOST_BLACK = 0.004, 0.3
_LEAST_CONTRAST = 0.12


class RejectedView(Exception):
    """A view that would teach nothing. The message is the reason: invalid, dark, black or flat."""


def _averaged(passes: list[Layers]) -> Layers:
    if len(passes) == 1:
        return passes[0]
    fields = (field.name for field in dataclasses.fields(Layers))
    return Layers(**{name: np.mean([getattr(layers, name) for layers in passes], axis=0) for name in fields})


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
    height, width = image.shape[0] // side, image.shape[1] // side
    return image.reshape(height, side, width, side, *image.shape[2:]).mean((1, 3))


def averaged_shading(shading: np.ndarray, albedo: np.ndarray, side: int) -> np.ndarray:
    """Shading and albedo (side * H, side * W, 3) -> the shading (H, W, 3) that makes mean albedo times it the mean light.

    Where a pixel is black all over, its plain mean.
    """
    weight = np.maximum(albedo, _BLACK)
    return block_mean(weight * shading, side) / block_mean(weight, side)


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


def render_view(
    assembled: AssembledScene, camera: Camera, quality: Quality, seed: int, gains: np.ndarray | None = None
) -> View:
    """Render, denoise and mask a view; nothing is judged. gains: (K,) factors on the light groups, all ones if None.

    The view's meta holds groups, camera, samples and noise. MissingExtraError: pyoidn is not installed.
    """
    layers, samples, noise = render_clean_layers(assembled, camera, quality, seed)
    gains = np.ones(len(assembled.groups)) if gains is None else gains
    fine, pixels = layers.albedo, quality.enlargement
    shading, residual = [], []
    for k, gain in enumerate(np.asarray(gains, np.float32)):
        light = denoised_shading(layers.diffuse[:, k], fine, layers.normal, layers.coverage)
        shading.append(gain * averaged_shading(light, fine, pixels))
        residual.append(gain * block_mean(denoised_residual(layers.residual[:, k], fine, layers.normal), pixels))
    albedo, coverage = block_mean(fine, pixels), block_mean(layers.coverage, pixels)
    mask = (albedo.max(-1) > _LEAST_ALBEDO) & (albedo.min(-1) > _LEAST_CHANNEL) & (coverage > _LEAST_COVERAGE)
    meta = {
        "groups": list(assembled.groups),
        "camera": {
            "origin": np.round(camera.origin, 4).tolist(),
            "target": np.round(camera.target, 4).tolist(),
            "fov": round(float(camera.fov), 2),
        },
        "samples": samples,
        "noise": round(noise, 4),
        "gains": np.round(np.asarray(gains, float), 5).tolist(),
    }
    return View(albedo.astype(np.float32), np.stack(shading), np.stack(residual), mask, meta)


def lamp_gains(view: View, rng: np.random.Generator) -> np.ndarray:
    """(K,) gains that make daylight and lamps both visible: lamps get a log-normal share of the daylight. Sun and sky keep
    their proportion. All ones where there is only one kind.
    """
    daylight = np.array([group in ("sun", "sky") for group in view.meta["groups"]])
    brightness = np.array([(view.albedo * shading).mean() for shading in view.shading], np.float64)
    day, lamps = brightness[daylight].sum(), brightness[~daylight].sum()
    share = float(np.exp(rng.normal(-0.3, 0.8)))
    if not (day > 0 and lamps > 0):
        return np.ones(len(daylight))
    return np.where(daylight, 1.0, share * day / lamps)


def with_gains(view: View, gains: np.ndarray) -> View:
    """The view with its light groups times `gains` (K,)."""
    factors = np.asarray(gains, np.float32)[:, None, None, None]
    meta = {**view.meta, "gains": np.round(np.asarray(view.meta["gains"]) * gains, 5).tolist()}
    return View(view.albedo, view.shading * factors, view.residual * factors, view.mask, meta)
