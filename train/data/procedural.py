"""A tiny procedural source: enough to run and test training without any file, not to train a useful model.

Flat polygons of random reflectance under a tinted sun with cast shadows plus a smooth sky, and a few glossy spots.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from intrinsic_flow.train.data.shards import CodedView

_LOG_SLOPE = float(np.log1p(10.0))


def _polygon(rng: np.random.Generator, side: int) -> list[np.ndarray]:
    center, radius = rng.uniform(0, side, 2), rng.uniform(0.1, 0.5) * side
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
    points = center + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    return [points.round().astype(np.int32)]


def _smooth_field(rng: np.random.Generator, side: int) -> np.ndarray:
    coarse = rng.uniform(0.2, 1.0, (4, 4)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(0.05, 1.2)


def _encode_log(layer: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    scale = max(float(layer.max()), 1e-3) / np.expm1(_LOG_SLOPE)
    return np.round(np.log1p(layer / scale) / _LOG_SLOPE * 255).astype(np.uint8), (_LOG_SLOPE, scale)


def procedural_views(count: int, side: int = 128, seed: int = 0) -> Iterator[tuple[str, CodedView]]:
    """Yield `count` views of (side, side) pixels, each from its own seed. Same arguments, same views."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        albedo = np.full((side, side, 3), rng.uniform(0.2, 0.8, 3), np.float32)
        for _ in range(rng.integers(6, 14)):
            color = np.clip(rng.uniform(0.08, 0.85) * rng.uniform(0.7, 1.3, 3), 0.03, 0.95)
            cv2.fillPoly(albedo, _polygon(rng, side), color.tolist(), lineType=cv2.LINE_AA)
        sun = _smooth_field(rng, side)
        for _ in range(rng.integers(1, 4)):
            cv2.fillPoly(sun, _polygon(rng, side), 0.0, lineType=cv2.LINE_AA)
        sun = sun[..., None] * rng.uniform(0.8, 1.2, 3).astype(np.float32)
        sky = 0.4 * _smooth_field(rng, side)[..., None] * rng.uniform(0.7, 1.3, 3).astype(np.float32)
        gloss = np.zeros((side, side), np.float32)
        cv2.circle(gloss, rng.integers(0, side, 2).tolist(), max(1, side // 20), 1.0, -1, cv2.LINE_AA)
        residual = np.stack([np.repeat(gloss[..., None], 3, 2), np.zeros_like(albedo)])
        shading_codes, residual_codes = [_encode_log(s) for s in (sun, sky)], [_encode_log(r) for r in residual]
        total = sum(layer.mean() for layer in (sun, sky))
        yield (
            f"procedural-{seed}-{index:05d}",
            CodedView(
                albedo=np.round(np.sqrt(albedo) * 255).astype(np.uint8),
                shading=np.stack([codes for codes, _ in shading_codes]),
                residual=np.stack([codes for codes, _ in residual_codes]),
                mask=np.ones((side, side), bool),
                shading_code=np.array([constants for _, constants in shading_codes], np.float32),
                residual_code=np.array([constants for _, constants in residual_codes], np.float32),
                light_share=np.array([sun.mean() / total, sky.mean() / total], np.float32),
                meta={"kind": "procedural", "groups": ["sun", "sky"]},
            ),
        )
