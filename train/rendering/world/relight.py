"""The same scene under other light: nothing that has a surface moves, so albedo and camera stay what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.scene import Environment, Light, RectangleLight, Scene, Sun
from intrinsic_flow.train.rendering.world.lighting import LUMINANCE, planckian, sun_kelvin, travel_direction

# Sunlight through a window is turned by at most this much from where it came, so that it still enters.
_WINDOW_TURN = 28.0
_LOWEST, _HIGHEST = 8.0, 72.0


def _luminance(radiance: np.ndarray) -> float:
    return float((radiance @ LUMINANCE).mean())


def sun_angles(sun: Sun) -> tuple[float, float]:
    """(azimuth, elevation) in degrees of where a sun stands."""
    toward = -np.asarray(sun.direction, np.float64)
    return float(np.degrees(np.arctan2(toward[1], toward[0]))), float(np.degrees(np.arcsin(toward[2].clip(-1, 1))))


def moved_sun(sun: Sun, azimuth: float, elevation: float) -> Sun:
    """The sun at another place of the sky, in the colour of its height, as strong as before on what faces it."""
    before, after = planckian(sun_kelvin(sun_angles(sun)[1])), planckian(sun_kelvin(elevation))
    return replace(sun, direction=travel_direction(azimuth, elevation), irradiance=sun.irradiance * after / before)


def _another_sun(sun: Sun, rng: np.random.Generator, through_windows: bool) -> Sun:
    azimuth, elevation = sun_angles(sun)
    if through_windows:
        azimuth += rng.uniform(-_WINDOW_TURN, _WINDOW_TURN)
        elevation = float(np.clip(elevation + rng.uniform(-_WINDOW_TURN, _WINDOW_TURN), _LOWEST, _HIGHEST))
    else:
        azimuth = rng.uniform(0, 360)
        elevation = float(np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(_LOWEST)), np.sin(np.radians(_HIGHEST))))))
    moved = moved_sun(sun, azimuth, elevation)
    return replace(moved, irradiance=moved.irradiance * np.exp(rng.normal(0, 0.4)))


def _another_environment(
    environment: Environment, rng: np.random.Generator, library: Library, outdoor: bool
) -> Environment:
    drawn = library.environment(rng, "outdoor" if outdoor else "any")
    level = _luminance(environment.radiance) / max(_luminance(drawn.radiance), 1e-9) * np.exp(rng.normal(0, 0.3))
    return replace(drawn, radiance=(drawn.radiance * level).astype(np.float32))


def _another_lamp(light: Light, rng: np.random.Generator) -> Light:
    """Other strength and warmth; one in six is off (but not dark, or its group would be lost)."""
    strength = 0.02 if rng.random() < 1 / 6 else np.exp(rng.normal(0, 0.7))
    warmth = planckian(5000 * np.exp(rng.normal(0, 0.2))) / planckian(5000)
    return replace(light, radiance=light.radiance * strength * warmth)


def relit(scene: Scene, rng: np.random.Generator, library: Library) -> Scene:
    """The scene with another sun, sky and lamps; groups, parts and materials are the same objects."""
    portals = any(isinstance(light, RectangleLight) and light.portal for light in scene.lights)
    return replace(
        scene,
        lights=[_another_lamp(light, rng) for light in scene.lights],
        sun=None if scene.sun is None else _another_sun(scene.sun, rng, portals),
        environment=None
        if scene.environment is None
        else _another_environment(scene.environment, rng, library, scene.kind == "street"),
    )
