"""Albedo of bark and leaves."""

from __future__ import annotations

import numpy as np

from intrinsic_flow.train.rendering.appearance import noise
from intrinsic_flow.train.rendering.appearance.patterns.common import (
    SIZE,
    Patterned,
    color,
    drift,
    finish,
    grain,
    log_uniform,
    mix,
    pick,
    stains,
)


def bark(rng: np.random.Generator) -> Patterned:
    """Furrowed, plated or smooth bark, along y; lichen and moss."""
    base = color(rng, "bark")
    kind = pick(rng, "furrowed", "plates", "smooth", p=(3, 2, 1.5))
    if kind == "furrowed":
        ridges = np.abs(noise.fractal(rng, SIZE, rng.uniform(5, 12), 0.9, stretch=(1.0, rng.uniform(3, 6))))
        relief = np.minimum(ridges, 1.2)
    elif kind == "plates":
        columns = int(rng.integers(5, 14))
        _, edge = noise.cells(rng, SIZE, columns, max(2, round(columns * rng.uniform(0.3, 0.6))), 1.0, 0.012)
        relief = 1.2 * np.minimum(edge * columns * 6, 1) ** 0.5
    else:
        bands = noise.fractal(rng, SIZE, 5, 0.6, stretch=(rng.uniform(3, 8), 1.0))
        relief = 1.0 - 0.7 * noise.step(bands, 1.4, 0.4)  # the dashes of birch and cherry
    fine = noise.fractal(rng, SIZE, 15, 0.4, stretch=(1.0, 3.0))
    tone = np.clip(relief / 1.2 + 0.08 * fine, 0, 1.2)
    albedo = mix(np.broadcast_to(base * rng.uniform(0.35, 0.6), (SIZE, SIZE, 3)), base * 1.2, tone)
    albedo = drift(rng, albedo * np.exp(0.1 * fine)[..., None], rng.uniform(0.05, 0.15), 0.03)
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, rng.uniform(0.2, 0.6), color(rng, pick(rng, "foliage", "straw", "concrete")))
    return finish(grain(rng, albedo, 0.08), relief + 0.15 * fine)


def leaf(rng: np.random.Generator) -> Patterned:
    """Leaf tissue with a net of veins: fits blades of any shape that are cut from it."""
    base = color(rng, "foliage")
    count = int(rng.integers(8, 20))
    _, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.05 / count)
    _, fine = noise.cells(rng, SIZE, count * 3, count * 3, 1.0)
    vein = np.exp(-((edge * count * 10) ** 2)) + 0.4 * np.exp(-((fine * count * 20) ** 2))
    lighter = base * np.array([1.7, 1.5, 1.4], np.float32) + 0.01
    albedo = mix(np.broadcast_to(base, (SIZE, SIZE, 3)), lighter, rng.uniform(0.3, 0.9) * np.minimum(vein, 1))
    albedo = drift(rng, albedo, rng.uniform(0.08, 0.22), rng.uniform(0.01, 0.04))
    if rng.random() < 0.5:  # yellowing and brown spots
        sick = noise.step(noise.fractal(rng, SIZE, log_uniform(rng, 2, 8), 0.8), rng.uniform(0.8, 2.0), 1.6)
        albedo = mix(albedo, color(rng, "straw"), rng.uniform(0.2, 0.7) * sick)
        spots = noise.step(noise.fractal(rng, SIZE, 12, 0.4), rng.uniform(2.0, 3.2), 0.2)
        albedo = mix(albedo, color(rng, "bark") * 0.7, 0.8 * spots)
    return finish(grain(rng, albedo, 0.04), -vein)
