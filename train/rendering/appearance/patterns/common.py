"""What the texture generators share: a texture with its own relief, mixing, grain, stains and the last clamp.

Albedos are float32 linear Rec.709, colours (3,) and images (N, N, 3); masks are (N, N) float32 in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from intrinsic_flow.train.rendering.appearance import noise, palette
from intrinsic_flow.train.rendering.scene import Texture

T = TypeVar("T")

SIZE = 320


@dataclass(frozen=True, eq=False)
class Patterned(Texture):
    """A texture that knows its own relief. height: (H, W) float16 in any unit, higher is nearer; None: flat paint."""

    height: np.ndarray | None = None


def color(rng: np.random.Generator, role: str) -> np.ndarray:
    """A colour of the palette, (3,) float32."""
    return np.array(palette.color(rng, role), np.float32)


def mix(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """first where the mask is 0, second where it is 1."""
    return first + (second - first) * mask[..., None]


def pick(rng: np.random.Generator, *choices: T, p: tuple[float, ...] | None = None) -> T:
    """One of the choices, without turning it into a numpy scalar."""
    weights = None if p is None else np.array(p) / sum(p)
    return choices[int(rng.choice(len(choices), p=weights))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def variants(rng: np.random.Generator, base: np.ndarray, count: int, light: float, hue: float) -> np.ndarray:
    """Colours scattered about a base, (count, 3): light and hue are relative standard deviations of the lightness and
    of the channels against each other.
    """
    scatter = light * rng.standard_normal((count, 1)) + hue * rng.standard_normal((count, 3))
    return (base * np.exp(scatter)).astype(np.float32)


def drift(rng: np.random.Generator, albedo: np.ndarray, light: float, hue: float, low: float = 2.5) -> np.ndarray:
    """Blotches of all sizes: lightness and hue wander by these relative amounts. Starts at `low` cycles per repeat, so
    that it reads as soiling and fading and not as a gradient of light.
    """
    size = albedo.shape[0]
    field = noise.fractal(rng, size, low, 0.7)
    shade = light * field
    # Turned and moved, the same field looks like another one and costs nothing.
    warmth = hue * np.roll(field.T, (size // 3, size // 5), axis=(0, 1))
    factors = np.stack([shade + warmth, shade, shade - 1.6 * warmth], axis=-1)
    return albedo * np.exp(np.clip(factors, -0.8, 0.8))


def grain(rng: np.random.Generator, albedo: np.ndarray, amount: float) -> np.ndarray:
    """The finest texture, pixel by pixel."""
    return albedo * np.exp(amount * rng.standard_normal((*albedo.shape[:2], 1), dtype=np.float32))


def stains(rng: np.random.Generator, albedo: np.ndarray, amount: float, tone: np.ndarray | None = None) -> np.ndarray:
    """Patches with soft and with sharp borders that pull towards a dirt colour; amount 0..1 is how much."""
    size = albedo.shape[0]
    tone = color(rng, "soil") if tone is None else tone
    field = noise.fractal(rng, size, rng.uniform(2, 5), rng.uniform(0.6, 1.1))
    mask = noise.step(field, rng.uniform(0.4, 1.2), rng.uniform(1.0, 2.5))
    # Dirt settles in the small hollows of a surface: what is one blot from afar is speckled from near.
    mask = mask * np.clip(0.75 + 0.35 * noise.fractal(rng, size, 25, 0.3), 0, 1.3)
    return mix(albedo, tone, amount * np.clip(mask, 0, 1))


def streaks(rng: np.random.Generator, albedo: np.ndarray, amount: float, tone: np.ndarray) -> np.ndarray:
    """Marks of running water along y."""
    field = noise.fractal(rng, albedo.shape[0], 3, 0.5, stretch=(1.0, rng.uniform(6, 14)))
    return mix(albedo, tone, amount * noise.step(field, 1.0, 1.5))


def scratches(rng: np.random.Generator, size: int, density: float = 0.02) -> np.ndarray:
    """A mask of fine lines that wander and break off."""
    line = np.abs(noise.fractal(rng, size, rng.uniform(2, 5), 1.0))
    gaps = noise.fractal(rng, size, 4, 0.5)
    return noise.step(-line, -density, density) * noise.step(gaps, 0.6, 0.4)


def finish(albedo: np.ndarray, height: np.ndarray | None = None, tileable: bool = True) -> Patterned:
    """Clamp, code and wrap up. height: (N, N), any unit."""
    if height is not None:
        height = (height / max(float(np.abs(height).max()), 1e-6)).astype(np.float16)
    return Patterned(encode(albedo), tileable, height=height)


def encode(albedo: np.ndarray) -> np.ndarray:
    """Linear albedo to the square-root coded uint8 of `Texture`."""
    return (np.sqrt(np.clip(albedo, *palette.ALBEDO_RANGE)) * 255 + 0.5).astype(np.uint8)
