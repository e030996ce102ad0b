"""Light: colour temperatures under one white balance, windows, the sun, lamps' shares.

Radiances are relative: a sky of mean radiance 1 lights level ground with about pi. A scene's exposure is free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from intrinsic_flow.train.rendering.appearance.library import EnvironmentKind
from intrinsic_flow.train.rendering.scene import Light, LightGroup, RectangleLight, SphereLight, Sun
from intrinsic_flow.train.rendering.world.builder import SceneBuilder
from intrinsic_flow.train.rendering.world.geometry import Vector

XYZ_TO_REC709 = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])

# A window's portal stands this far outside of the wall and is this much larger than the opening, so that no line from
# the room passes beside it.
PORTAL_DISTANCE, PORTAL_MARGIN = 0.06, (0.36, 0.36)


def planckian(kelvin: float) -> np.ndarray:
    """Linear Rec.709 colour (3,) of luminance 1 of a black body, 1667 to 25000 K.

    Chromaticity by the cubic splines of Kim et al. 2002, "Design of advanced color temperature control system for HDTV
    applications", J. Korean Physical Society 41(6).
    """
    t = 1e3 / float(np.clip(kelvin, 1667, 25000))
    if kelvin < 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin < 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin < 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    rgb = np.maximum(XYZ_TO_REC709 @ np.array([x / y, 1.0, (1 - x - y) / y]), 0.02)
    return rgb / (LUMINANCE @ rgb)


@dataclass(frozen=True)
class WhiteBalance:
    """What a camera took for white: it removes `share` (0..1) of the cast of a black body of `kelvin`."""

    kelvin: float
    share: float

    @classmethod
    def draw(cls, rng: np.random.Generator, kelvin: float) -> WhiteBalance:
        """For a scene whose main light has this temperature: near it, and mostly but not quite complete."""
        return cls(float(kelvin * np.exp(rng.normal(0, 0.08))), float(rng.uniform(0.6, 1.0)))

    def color(self, kelvin: float) -> np.ndarray:
        """Colour (3,) of luminance 1 that a light of this temperature has in the picture."""
        rgb = planckian(kelvin) / planckian(self.kelvin) ** self.share
        return rgb / (LUMINANCE @ rgb)


def travel_direction(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector (3,) of light that comes from an azimuth (degrees from +x towards +y) and elevation."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return -np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])


def sun_kelvin(elevation: float) -> float:
    """Correlated colour temperature of direct sunlight by its height in degrees: 2500 K at 3, 4500 at 20, 5700 high."""
    return float(np.interp(elevation, [0, 3, 10, 20, 40, 90], [2000, 2500, 3600, 4500, 5300, 5700]))


def make_sun(b: SceneBuilder, azimuth: float, elevation: float, irradiance: float, white: WhiteBalance) -> Sun:
    """A sun of `irradiance` on what faces it, behind some haze now and then."""
    color = white.color(sun_kelvin(elevation))
    radius = 0.27 if b.chance(0.65) else b.log_uniform(0.4, 2.5)
    return Sun(travel_direction(azimuth, elevation), irradiance * color, radius)


def outdoor_light(b: SceneBuilder, sunny: float = 0.65) -> None:
    """An outdoor environment, with a sun (probability `sunny`) 0.8 to 4 times as strong as the sky on level ground."""
    b.environment = b.library.environment(b.rng, "outdoor")
    if b.chance(sunny):
        elevation = float(np.degrees(np.arcsin(b.rng.uniform(np.sin(np.radians(9)), np.sin(np.radians(68))))))
        level = np.pi * b.log_uniform(0.8, 4.0)
        irradiance = level / max(np.sin(np.radians(elevation)), 0.35)
        b.sun = make_sun(b, b.rng.uniform(0, 360), elevation, irradiance, WhiteBalance(5400, 1.0))
    balance_white(b)


def balance_white(b: SceneBuilder) -> None:
    """Take half to all of its cast off the light that falls on level ground from environment and sun together."""
    environment = b.environment
    assert environment is not None, "light outdoors comes from an environment"
    radiance = environment.radiance[: len(environment.radiance) // 2].astype(np.float64)
    zenith = (np.arange(len(radiance)) + 0.5) / len(radiance) * np.pi / 2
    weight = np.sin(zenith) * np.cos(zenith)
    light = np.pi * (radiance.mean(1) * weight[:, None]).sum(0) / weight.sum()
    if b.sun is not None:
        light = light + b.sun.irradiance * max(-b.sun.direction[2], 0.3)
    factor = (LUMINANCE @ light / light) ** b.rng.uniform(0.5, 1.0)
    factor *= (LUMINANCE @ light) / (LUMINANCE @ (light * factor))
    b.environment = replace(environment, radiance=environment.radiance * factor.astype(np.float32))
    if b.sun is not None:
        b.sun = replace(b.sun, irradiance=b.sun.irradiance * factor)


def dimmed_environment(b: SceneBuilder, kind: EnvironmentKind, level: float) -> None:
    """An environment of mean radiance `level`."""
    drawn = b.library.environment(b.rng, kind)
    b.environment = replace(drawn, radiance=(drawn.radiance * np.float32(level)))


def window_portal(
    b: SceneBuilder, frame: np.ndarray, width: float, height: float, wall: float, radiance: np.ndarray, view: np.ndarray
) -> RectangleLight:
    """The sky behind a window opening. frame: (4, 4), origin in the opening's middle on the wall's inner face, -y into the
    room; wall: its thickness; view: from `Library.window_view`.
    """
    center = (frame @ [0.0, wall + PORTAL_DISTANCE, 0.0, 1.0])[:3]
    portal = RectangleLight(
        center,
        -frame[:3, 1],
        width + PORTAL_MARGIN[0],
        height + PORTAL_MARGIN[1],
        np.asarray(radiance, float),
        "sky",
        view,
        True,
    )
    b.lights.append(portal)
    return portal


def flux(light: Light) -> float:
    """Luminance-weighted power that a light sends out."""
    luminance = float(LUMINANCE @ light.radiance)
    if isinstance(light, SphereLight):
        return luminance * 4 * np.pi**2 * light.radius**2
    return luminance * np.pi * light.width * light.height


def balance(b: SceneBuilder, groups: tuple[LightGroup, ...], power: float) -> None:
    """Scale the lights of some groups together so that they send out `power`."""
    total = sum(flux(light) for light in b.lights if light.group in groups)
    if total > 0:
        factor = power / total
        b.lights = [
            replace(light, radiance=light.radiance * factor) if light.group in groups else light for light in b.lights
        ]


def bulb(center: Vector, radius: float, power: float, color: np.ndarray, group: LightGroup = "lamps") -> SphereLight:
    """A glowing ball of a given power; color: (3,) of luminance 1."""
    return SphereLight(np.asarray(center, float), radius, color * power / (4 * np.pi**2 * radius**2), group)


def glowing_panel(
    center: Vector, normal: Vector, width: float, height: float, power: float, color: np.ndarray, group: LightGroup
) -> RectangleLight:
    """A one-sided rectangle of a given power: ceiling panels, soft boxes, screens."""
    radiance = color * power / (np.pi * width * height)
    return RectangleLight(np.asarray(center, float), np.asarray(normal, float), width, height, radiance, group)
