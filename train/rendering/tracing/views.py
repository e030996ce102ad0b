"""One view: rendered until it is clean enough, denoised, judged, and turned into a training view.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from train.data.shards import View
from train.rendering.scene import Camera
from train.rendering.tracing.assembly import AssembledScene
from train.rendering.tracing.denoise import denoised_residual, denoised_shading
from train.rendering.tracing.fireflies import relative_noise
from train.rendering.tracing.integrator import Layers, render_layers
from train.rendering.tracing.quality import Quality

# Ground truth where a surface that is no black one nor a metal fills (nearly) the whole pixel.
_LEAST_ALBEDO = 0.02
_LEAST_CHANNEL = 0.004
_LEAST_COVERAGE = 0.9

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
    """Layers, samples a pixel that were spent, and the noise that is left (before denoising)."""
    passes: list[Layers] = []
    while True:
        size, samples = quality.size, quality.samples
        passes.append(render_layers(assembled, camera, size, samples, seed * 17 + len(passes), quality.max_depth))
        layers = _averaged(passes)
        seen = layers.coverage > 0.5
        light = layers.diffuse / np.maximum(layers.albedo, _LEAST_ALBEDO)
        noise = max(relative_noise(light[:, k], seen) for k in range(light.shape[1]))
        if noise < quality.noise or len(passes) == quality.passes:
            return layers, samples * len(passes), noise


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
    shading, residual = [], []
    for k, gain in enumerate(np.asarray(gains, np.float32)):
        shading.append(gain * denoised_shading(layers.diffuse[:, k], layers.albedo, layers.normal, layers.coverage))
        residual.append(gain * denoised_residual(layers.residual[:, k], layers.albedo, layers.normal))
    albedo = layers.albedo
    mask = (albedo.max(-1) > _LEAST_ALBEDO) & (albedo.min(-1) > _LEAST_CHANNEL) & (layers.coverage > _LEAST_COVERAGE)
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
