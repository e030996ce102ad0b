"""Priors of surface colours by role, as linear Rec.709 albedo.

Each role is a mixture of boxes in OKLCH (Ottosson 2020), where lightness cubed is luminance for greys: measured
surfaces are mostly dull, between 0.1 and 0.7 in luminance; strong colours sit on small and made things.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.train.rendering.scene import Color

ALBEDO_RANGE = (0.02, 0.85)  # soot and fresh snow bound what opaque surfaces reflect


@dataclass(frozen=True)
class Range:
    """Colours of one kind. weight: how often. lightness, chroma, hue (degrees): OKLCH intervals; chroma leans to the
    low end.
    """

    weight: float
    lightness: tuple[float, float]
    chroma: tuple[float, float]
    hue: tuple[float, float]


ANY_HUE = (0.0, 360.0)

PRIORS: dict[str, tuple[Range, ...]] = {
    # Rooms are mostly off-white; a real colour is one in three.
    "wall": (
        Range(3.5, (0.86, 0.945), (0.0, 0.018), (60, 110)),
        Range(2, (0.80, 0.92), (0.015, 0.045), (50, 105)),
        Range(1, (0.76, 0.9), (0.01, 0.04), (140, 270)),
        Range(2.6, (0.45, 0.82), (0.03, 0.1), ANY_HUE),
        Range(0.4, (0.35, 0.65), (0.0, 0.02), ANY_HUE),
    ),
    "ceiling": (Range(5, (0.88, 0.945), (0.0, 0.012), (60, 120)), Range(1, (0.78, 0.9), (0.0, 0.03), (50, 110))),
    "fabric": (
        Range(3, (0.35, 0.85), (0.0, 0.025), (40, 300)),
        Range(2.5, (0.45, 0.85), (0.02, 0.06), (50, 100)),
        Range(1.5, (0.28, 0.5), (0.02, 0.08), (220, 290)),
        Range(2, (0.32, 0.7), (0.03, 0.12), ANY_HUE),
        Range(0.7, (0.38, 0.62), (0.12, 0.2), (0, 60)),
        Range(0.4, (0.4, 0.75), (0.1, 0.2), ANY_HUE),
    ),
    "wood": (
        Range(3, (0.55, 0.78), (0.05, 0.095), (58, 80)),
        Range(3, (0.42, 0.6), (0.045, 0.09), (48, 70)),
        Range(1.5, (0.3, 0.42), (0.02, 0.06), (40, 65)),
        Range(0.8, (0.5, 0.68), (0.005, 0.03), (60, 100)),
        Range(0.5, (0.78, 0.88), (0.02, 0.05), (70, 95)),
        Range(0.5, (0.38, 0.5), (0.07, 0.11), (35, 48)),
    ),
    "painted_wood": (
        Range(4, (0.84, 0.94), (0.0, 0.02), (60, 110)),
        Range(2, (0.35, 0.8), (0.0, 0.04), ANY_HUE),
        Range(2, (0.38, 0.75), (0.03, 0.1), ANY_HUE),
    ),
    "stone": (
        Range(3, (0.45, 0.78), (0.0, 0.02), (50, 110)),
        Range(2, (0.5, 0.8), (0.015, 0.055), (55, 95)),
        Range(1, (0.33, 0.5), (0.0, 0.02), (200, 290)),
        Range(0.6, (0.4, 0.6), (0.02, 0.06), (20, 60)),
    ),
    "marble": (
        Range(3, (0.82, 0.93), (0.0, 0.015), (60, 120)),
        Range(1.5, (0.68, 0.85), (0.02, 0.05), (55, 90)),
        Range(1, (0.3, 0.42), (0.0, 0.03), ANY_HUE),
        Range(0.6, (0.4, 0.6), (0.02, 0.07), (130, 170)),
        Range(0.4, (0.4, 0.55), (0.05, 0.09), (20, 45)),
    ),
    "concrete": (Range(1, (0.52, 0.8), (0.0, 0.018), (60, 110)),),
    "asphalt": (Range(3, (0.33, 0.5), (0.0, 0.012), (60, 280)), Range(1, (0.5, 0.66), (0.0, 0.015), (60, 110))),
    "brick": (
        Range(5, (0.38, 0.58), (0.05, 0.11), (32, 55)),
        Range(2, (0.52, 0.74), (0.03, 0.075), (58, 85)),
        Range(1, (0.32, 0.45), (0.015, 0.04), (20, 60)),
        Range(1, (0.6, 0.85), (0.0, 0.02), (50, 110)),
    ),
    "mortar": (Range(3, (0.55, 0.8), (0.005, 0.025), (60, 95)), Range(1, (0.3, 0.5), (0.0, 0.015), (60, 95))),
    "roof": (
        Range(3, (0.4, 0.58), (0.06, 0.11), (32, 52)),
        Range(2, (0.32, 0.48), (0.0, 0.02), (200, 290)),
        Range(1, (0.36, 0.52), (0.015, 0.05), (40, 75)),
    ),
    "soil": (
        Range(3, (0.32, 0.52), (0.02, 0.055), (55, 80)),
        Range(1, (0.5, 0.68), (0.03, 0.07), (65, 88)),
        Range(0.5, (0.4, 0.52), (0.06, 0.1), (40, 58)),
    ),
    "sand": (Range(1, (0.6, 0.82), (0.025, 0.07), (65, 92)),),
    "foliage": (
        Range(5, (0.35, 0.58), (0.06, 0.125), (118, 140)),
        Range(1.5, (0.5, 0.66), (0.08, 0.14), (108, 122)),
        Range(0.4, (0.42, 0.58), (0.03, 0.06), (130, 150)),
        Range(0.7, (0.45, 0.68), (0.08, 0.15), (45, 95)),
    ),
    "straw": (Range(1, (0.55, 0.76), (0.04, 0.085), (80, 102)),),
    "bark": (Range(4, (0.33, 0.55), (0.015, 0.045), (50, 85)), Range(1, (0.55, 0.8), (0.005, 0.03), (70, 120))),
    "ceramic": (
        Range(4, (0.82, 0.945), (0.0, 0.02), (60, 260)),
        Range(1.5, (0.6, 0.85), (0.02, 0.06), (50, 110)),
        Range(2, (0.35, 0.7), (0.03, 0.12), ANY_HUE),
        Range(0.7, (0.42, 0.6), (0.07, 0.12), (38, 58)),
        Range(0.5, (0.28, 0.4), (0.0, 0.02), ANY_HUE),
    ),
    "glaze": (
        Range(2, (0.32, 0.5), (0.08, 0.17), (250, 275)),
        Range(1, (0.3, 0.5), (0.03, 0.08), (30, 80)),
        Range(1, (0.4, 0.65), (0.06, 0.13), ANY_HUE),
        Range(0.5, (0.28, 0.35), (0.0, 0.01), ANY_HUE),
    ),
    "plastic": (
        Range(3, (0.35, 0.93), (0.0, 0.015), ANY_HUE),
        Range(1, (0.29, 0.36), (0.0, 0.01), ANY_HUE),
        Range(2, (0.4, 0.8), (0.06, 0.16), ANY_HUE),
        Range(1.5, (0.45, 0.72), (0.14, 0.23), ANY_HUE),
    ),
    "book": (
        Range(2, (0.3, 0.5), (0.02, 0.09), ANY_HUE),
        Range(2, (0.75, 0.93), (0.0, 0.04), (40, 110)),
        Range(1.5, (0.38, 0.55), (0.08, 0.17), (10, 50)),
        Range(1.5, (0.35, 0.55), (0.06, 0.14), (230, 280)),
        Range(2, (0.4, 0.8), (0.05, 0.17), ANY_HUE),
        Range(1, (0.28, 0.4), (0.0, 0.01), ANY_HUE),
    ),
    # Wax, soap, alabaster, jade, milk glass: what light shines through cannot be white.
    "translucent": (
        Range(2, (0.74, 0.88), (0.0, 0.03), (60, 110)),
        Range(1.5, (0.6, 0.8), (0.04, 0.11), (55, 100)),
        Range(1, (0.5, 0.75), (0.05, 0.12), (140, 170)),
        Range(1, (0.55, 0.82), (0.03, 0.13), ANY_HUE),
    ),
    "paper": (Range(3, (0.86, 0.945), (0.0, 0.015), (70, 110)), Range(1, (0.78, 0.9), (0.02, 0.05), (75, 100))),
    "ink": (Range(3, (0.27, 0.36), (0.0, 0.02), ANY_HUE), Range(1, (0.35, 0.6), (0.05, 0.2), ANY_HUE)),
    "cardboard": (Range(1, (0.58, 0.72), (0.05, 0.08), (65, 80)),),
    "leather": (
        Range(3, (0.33, 0.55), (0.03, 0.08), (40, 68)),
        Range(1, (0.28, 0.36), (0.0, 0.015), ANY_HUE),
        Range(0.7, (0.65, 0.85), (0.01, 0.04), (60, 95)),
        Range(0.5, (0.35, 0.5), (0.05, 0.11), ANY_HUE),
    ),
    # Reflectance at normal incidence, for bare metals: steel, aluminium, brass and gold, copper, iron.
    "metal": (
        Range(4, (0.78, 0.93), (0.0, 0.012), (60, 270)),
        Range(1.5, (0.8, 0.9), (0.06, 0.11), (80, 95)),
        Range(0.8, (0.72, 0.85), (0.06, 0.1), (42, 60)),
        Range(1, (0.55, 0.72), (0.0, 0.02), (50, 270)),
    ),
    "rust": (Range(1, (0.34, 0.5), (0.06, 0.11), (38, 58)),),
    "print": (
        Range(2, (0.3, 0.9), (0.0, 0.03), ANY_HUE),
        Range(3, (0.4, 0.85), (0.04, 0.14), ANY_HUE),
        Range(1.5, (0.45, 0.8), (0.12, 0.22), ANY_HUE),
    ),
    "any": (
        Range(3, (0.4, 0.85), (0.0, 0.03), ANY_HUE),
        Range(3, (0.35, 0.85), (0.02, 0.09), (40, 100)),
        Range(2, (0.35, 0.8), (0.03, 0.15), ANY_HUE),
        Range(0.6, (0.4, 0.75), (0.12, 0.24), ANY_HUE),
    ),
}


def color(rng: np.random.Generator, role: str = "any") -> Color:
    """A linear albedo for one of PRIORS, each channel within ALBEDO_RANGE."""
    ranges = PRIORS[role]
    weights = np.array([each.weight for each in ranges])
    chosen = ranges[int(rng.choice(len(ranges), p=weights / weights.sum()))]
    lightness = rng.uniform(*chosen.lightness)
    low, high = chosen.chroma
    chroma = low + (high - low) * rng.beta(1.2, 1.8)
    return oklch(lightness, chroma, rng.uniform(*chosen.hue))


def oklch(lightness: float, chroma: float, hue: float) -> Color:
    """OKLCH (hue in degrees) to linear Rec.709; the chroma is lowered until every channel lies in ALBEDO_RANGE."""
    for shrink in (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.0):
        a, b = shrink * chroma * np.cos(np.radians(hue)), shrink * chroma * np.sin(np.radians(hue))
        lms = (
            np.array(
                [
                    lightness + 0.3963377774 * a + 0.2158037573 * b,
                    lightness - 0.1055613458 * a - 0.0638541728 * b,
                    lightness - 0.0894841775 * a - 1.2914855480 * b,
                ]
            )
            ** 3
        )
        rgb = OKLAB_LMS_TO_RGB @ lms
        if rgb.min() >= ALBEDO_RANGE[0] and rgb.max() <= ALBEDO_RANGE[1]:
            break
    red, green, blue = np.clip(rgb, *ALBEDO_RANGE)
    return float(red), float(green), float(blue)


OKLAB_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
