"""Procedural environment maps: clear and cloudy skies over a horizon, overcast, sunsets, studios, rooms.

Radiance is (H, 2H, 3) float32, linear RGB, latitude-longitude with the zenith in row 0; `normalise` sets its scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from intrinsic_flow.train.rendering.appearance import noise, palette
from intrinsic_flow.train.rendering.appearance.patterns.common import log_uniform, pick
from intrinsic_flow.train.rendering.scene import Environment

Kind = Literal["outdoor", "indoor"]

HEIGHT = 256
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
BRIGHTEST = 6000.0  # of a normalised map: a sun of one pixel would only make fireflies


def draw(rng: np.random.Generator, kind: Kind) -> Environment:
    """A normalised map. Outdoor ones hold the glow around the sun but not its disc."""
    directions = _directions(HEIGHT)
    if kind == "outdoor":
        radiance, name = _outdoor(rng)(directions), "procedural outdoor"
    else:
        make = pick(rng, _studio, _room, p=(1, 1.3))
        radiance, name = make(rng)(directions), "procedural indoor"
    return Environment(normalise(radiance), name=name)


def window_view(rng: np.random.Generator) -> np.ndarray:
    """An outdoor view of 75 degrees about the horizon: (192, 256, 3) float32 with mean 1, row 0 at the top."""
    azimuth = np.radians(np.linspace(-37, 37, 256)) + rng.uniform(0, 2 * np.pi)
    elevation = np.radians(np.linspace(34, -22, 192))
    view = _outdoor(rng)(_sphere(azimuth[None], elevation[:, None]))
    return _view(view)


def window_crop(rng: np.random.Generator, radiance: np.ndarray) -> np.ndarray:
    """The same cut out of an environment map (H, 2H, 3): (H', W', 3) float32 with mean 1."""
    height, width = radiance.shape[:2]
    top = int(height * rng.uniform(0.3, 0.34))
    turned = np.roll(radiance, int(rng.integers(width)), axis=1)
    return _view(turned[top : top + int(0.31 * height), : int(0.2 * width)])


def normalise(radiance: np.ndarray) -> np.ndarray:
    """Scale to a robust mean luminance of 1: the mean over the sphere with the brightest 2 % of the map cut off, so that
    a sun or a lamp does not set the exposure of everything else. Negative and non-finite values become 0.
    """
    clean = np.nan_to_num(np.maximum(radiance, 0), nan=0.0, posinf=BRIGHTEST).astype(np.float32)
    luminance = clean @ LUMINANCE
    weight = np.broadcast_to(solid_angle(len(clean)), luminance.shape)
    mean = np.average(np.minimum(luminance, np.percentile(luminance, 98)), weights=weight)
    return np.minimum(clean / max(float(mean), 1e-9), BRIGHTEST)


def solid_angle(height: int) -> np.ndarray:
    """Weight of each row of a latitude-longitude map, (height, 1)."""
    return np.sin((np.arange(height) + 0.5) / height * np.pi)[:, None].astype(np.float32)


def _view(view: np.ndarray) -> np.ndarray:
    # A sun seen through the glass would be a lamp in the window: 5 times the median is a bright cloud.
    view = np.minimum(view, 5 * float(np.median(view)) + 1e-6)
    return (view / view.mean()).astype(np.float32)


def _directions(height: int) -> np.ndarray:
    """Unit vectors of the pixel centres, (height, 2 * height, 3), z up."""
    azimuth = ((np.arange(2 * height) + 0.5) / (2 * height) * 2 - 1) * np.pi
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    return _sphere(azimuth[None], elevation[:, None])


def _sphere(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    flat = np.cos(elevation)
    parts = np.broadcast_arrays(flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) * np.ones_like(azimuth))
    return np.stack(parts, axis=-1).astype(np.float32)


def _color(rng: np.random.Generator, role: str) -> np.ndarray:
    return np.array(palette.color(rng, role), np.float32)


# ---------------------------------------------------------------- outdoors

Field = Callable[[np.ndarray], np.ndarray]  # directions (..., 3) -> radiance (..., 3)


def _outdoor(rng: np.random.Generator) -> Field:
    """A sky of some weather above ground with hills, trees or houses along the horizon."""
    weather = pick(rng, "clear", "broken", "overcast", "sunset", p=(3, 4, 2, 1.5))
    sun = np.radians(rng.uniform(2, 9) if weather == "sunset" else rng.uniform(15, 75))
    turbidity = rng.uniform(2.0, 6.0) if weather != "sunset" else rng.uniform(3, 8)
    toward_sun = _sphere(np.array(rng.uniform(-np.pi, np.pi)), np.array(sun))
    least, most = {"clear": (0, 0.15), "broken": (0.25, 0.7), "overcast": (1, 1), "sunset": (0.1, 0.6)}[weather]
    clouds = _clouds(rng, rng.uniform(least, most), toward_sun, weather)
    land = _land(rng)

    def radiance(directions: np.ndarray) -> np.ndarray:
        up = np.maximum(directions[..., 2], 0.01)
        sky = _preetham(up, np.clip(directions @ toward_sun, -1, 1), np.pi / 2 - sun, turbidity)
        if weather == "sunset":
            low = np.exp(-up * 6)[..., None] * (0.35 + 0.65 * np.maximum(directions @ toward_sun, 0))[..., None] ** 2
            sky = sky * (1 - 0.6 * low) + low * float(np.median(sky)) * np.array([4.0, 1.7, 0.7], np.float32)
        sky = clouds(directions, sky)
        light = sky.reshape(-1, 3).mean(axis=0) * 1.1
        return land(directions, sky, light)

    return radiance


_ZENITH_X = np.array(
    [[0.00166, -0.00375, 0.00209, 0], [-0.02903, 0.06377, -0.03202, 0.00394], [0.11693, -0.21196, 0.06052, 0.25886]]
)
_ZENITH_Y = np.array(
    [[0.00275, -0.0061, 0.00317, 0], [-0.04214, 0.0897, -0.04153, 0.00516], [0.15346, -0.26756, 0.0667, 0.26688]]
)


def _preetham(up: np.ndarray, toward: np.ndarray, sun_zenith: float, turbidity: float) -> np.ndarray:
    """Clear sky of Preetham, Shirley and Smits (1999), linear Rec.709. up: cosine of the zenith angle; toward: cosine of
    the angle to the sun.
    """
    t, s = turbidity, sun_zenith
    angle = np.arccos(toward)
    perez = {
        "Y": (0.1787 * t - 1.463, -0.3554 * t + 0.4275, -0.0227 * t + 5.3251, 0.1206 * t - 2.5771, -0.067 * t + 0.3703),
        "x": (-0.0193 * t - 0.2592, -0.0665 * t + 0.0008, -0.0004 * t + 0.2125, -0.0641 * t - 0.8989, -0.0033 * t + 0.0452),
        "y": (-0.0167 * t - 0.2608, -0.095 * t + 0.0092, -0.0079 * t + 0.2102, -0.0441 * t - 1.6537, -0.0109 * t + 0.0529),
    }
    chi = (4 / 9 - t / 120) * (np.pi - 2 * s)
    powers = np.array([s**3, s**2, s, 1.0])
    turbidities = np.array([t * t, t, 1])
    zenith = {
        "Y": max((4.0453 * t - 4.971) * np.tan(chi) - 0.2155 * t + 2.4192, 0.2),
        "x": turbidities @ _ZENITH_X @ powers,
        "y": turbidities @ _ZENITH_Y @ powers,
    }

    def value(key: str) -> np.ndarray:
        a, b, c, d, e = perez[key]
        here = (1 + a * np.exp(b / up)) * (1 + c * np.exp(d * angle) + e * toward**2)
        above = (1 + a * np.exp(b)) * (1 + c * np.exp(d * s) + e * np.cos(s) ** 2)
        return zenith[key] * here / above

    luminance, x, y = value("Y"), value("x"), np.maximum(value("y"), 0.05)
    xyz = np.stack([x / y, np.ones_like(x), (1 - x - y) / y], axis=-1) * luminance[..., None]
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.204, 1.057]])
    return np.maximum(xyz @ to_rgb.T, 0.02).astype(np.float32)


def _clouds(
    rng: np.random.Generator, cover: float, toward_sun: np.ndarray, weather: str
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A cloud deck on a plane above: broken cumulus or closed stratus."""
    field = noise.fractal(rng, 512, rng.uniform(2, 5), rng.uniform(0.5, 0.8))
    thick = noise.fractal(rng, 512, 3, 0.8)
    level = float(np.quantile(field, 1 - np.clip(cover, 0.01, 0.99)))
    scale, soft = log_uniform(rng, 0.06, 0.25), rng.uniform(0.3, 1.2)
    warm = np.array([1.3, 0.85, 0.6], np.float32) if weather == "sunset" else np.array([1.0, 0.99, 0.97], np.float32)
    grey = rng.uniform(0.35, 0.7)
    offset = rng.random(2)

    def over(directions: np.ndarray, sky: np.ndarray) -> np.ndarray:
        up = np.maximum(directions[..., 2], 0) + 0.08
        u, v = (directions[..., k] / up * scale + offset[k] for k in (0, 1))
        rows, columns = (v * 512).astype(int) % 512, (u * 512).astype(int) % 512
        density = noise.step(field[rows, columns], level, soft)
        bulk = np.clip(0.5 + 0.3 * thick[rows, columns], 0, 1)
        toward = np.maximum(directions @ toward_sun, 0)
        base = float(np.median(sky @ LUMINANCE))
        if weather == "overcast":  # CIE overcast sky: the zenith is three times as bright as the horizon
            lit = (1 + 2 * np.maximum(directions[..., 2], 0)) / 1.5 * (1 - 0.5 * grey * bulk) * (1 + 0.6 * toward**4)
        else:
            lit = 2.2 * (1 - grey * bulk) * (1 + 1.5 * toward**6)
        tone = base * lit[..., None] * warm
        # Near the horizon clouds merge into haze.
        alpha = density * np.clip(directions[..., 2] * 7, 0, 1) ** 0.5 if weather != "overcast" else np.ones_like(up)
        return sky + (tone - sky) * alpha[..., None]

    return over


def _land(rng: np.random.Generator) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Ground below the horizon and silhouettes above it, lit by the mean of the sky."""
    ground = _color(rng, pick(rng, "foliage", "soil", "asphalt", "sand", "concrete"))
    patches = noise.fractal(rng, 512, 4, 0.6)
    kinds = ("hill", pick(rng, "tree", "house", "hill"), pick(rng, "tree", "house", "none"))
    layers = [_skyline(rng, kind) for kind in kinds]

    def under(directions: np.ndarray, sky: np.ndarray, light: np.ndarray) -> np.ndarray:
        z = directions[..., 2]
        u = ((np.arctan2(directions[..., 1], directions[..., 0]) / (2 * np.pi)) % 1).astype(np.float32)
        elevation = np.arcsin(np.clip(z, -1, 1))
        out = sky
        horizon = sky[np.abs(z) < 0.06].mean(axis=0) if np.any(np.abs(z) < 0.06) else light
        for depth, (height, tone, facade) in enumerate(layers):
            haze = (0.6, 0.3, 0.1)[depth]
            shade = facade(u, elevation)[..., None] * tone * light
            shade = shade + haze * (horizon - shade)
            column = np.minimum((u * len(height)).astype(int), len(height) - 1)
            out = np.where((elevation < height[column])[..., None], shade, out)
        down = np.minimum(z, -0.02)
        columns, rows = ((directions[..., k] / -down * 0.04 * 512).astype(int) % 512 for k in (0, 1))
        near = ground * light * np.exp(0.3 * patches[rows, columns])[..., None]
        far = np.exp(z * 8)[..., None]
        return np.where((z < 0)[..., None], near + 0.35 * far * (horizon - near), out).astype(np.float32)

    return under


Pattern = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (turns about z, elevation) -> factor on the colour

BEARINGS = 2048


def _skyline(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray, Pattern]:
    """Heights in radians at BEARINGS around the horizon, a colour, and the pattern on it."""
    mottle = noise.fractal(rng, 512, 12, 0.4)

    def mottled(turn: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        return np.exp(0.35 * mottle[(elevation * 1500).astype(int) % 512, (turn * 4096).astype(int) % 512])

    if kind == "none":
        return np.full(BEARINGS, -1.0), np.zeros(3, np.float32), mottled
    if kind == "hill":
        return 0.05 + 0.03 * _ridge(rng, 1.6), _color(rng, pick(rng, "foliage", "stone")), mottled
    if kind == "tree":
        return _crowns(rng), _color(rng, "foliage") * 0.7, mottled
    return _houses(rng)


def _ridge(rng: np.random.Generator, slope: float) -> np.ndarray:
    """A line around the horizon of unit standard deviation; slope 0 is jagged, 2 is smooth."""
    spectrum = np.zeros(BEARINGS // 2 + 1, complex)
    frequency = np.arange(1, 400)
    spectrum[1:400] = (rng.standard_normal(399) + 1j * rng.standard_normal(399)) / (frequency**slope + 3)
    profile = np.fft.irfft(spectrum, BEARINGS)
    return profile / profile.std()


def _crowns(rng: np.random.Generator) -> np.ndarray:
    """The outline of a row of trees: firs or round crowns of all sizes, ragged by leaves, with gaps."""
    bearing = np.arange(BEARINGS) / BEARINGS
    heights = np.full(BEARINGS, -1.0)
    tall, pointed = np.radians(rng.uniform(3, 14)), rng.random() < 0.35
    for _ in range(int(rng.integers(20, 140))):
        height = tall * rng.uniform(0.3, 1.2)
        reach = height / (2 * np.pi) * (rng.uniform(0.2, 0.35) if pointed else rng.uniform(0.4, 0.8))
        distance = np.abs((bearing - rng.random() + 0.5) % 1 - 0.5) / reach
        outline = 1 - distance if pointed else 0.4 + 0.6 * np.sqrt(np.maximum(1 - distance**2, 0))
        heights = np.maximum(heights, np.where(distance < 1, height * outline, -1.0))
    return heights + 0.06 * tall * _ridge(rng, 0.3)


def _houses(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Pattern]:
    """Blocks of different heights and colours with rows of windows, and gaps between them."""
    count = 60
    edges = np.cumsum(rng.uniform(0.2, 1.0, count))
    number = np.searchsorted(edges / edges[-1], (np.arange(BEARINGS) + 0.5) / BEARINGS)
    heights = np.radians(rng.uniform(2, 18)) * rng.uniform(0.2, 1.3, count)
    heights[rng.random(count) < 0.3] = -1.0
    tones = np.array([_color(rng, pick(rng, "wall", "brick", "concrete")).mean() for _ in range(count)])
    rows, columns = rng.uniform(60, 120), rng.uniform(100, 220)

    def facade(turn: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        glass = ((turn * columns) % 1 > 0.55) & ((elevation * rows) % 1 > 0.5)
        house = number[np.minimum((turn * BEARINGS).astype(int), BEARINGS - 1)]
        return np.where(glass, 0.3, 1.0) * tones[house]

    return heights[number], np.array([1.03, 1.0, 0.95], np.float32), facade


# ---------------------------------------------------------------- indoors


def _studio(rng: np.random.Generator) -> Field:
    """Softboxes and strips in a dark or grey hall."""
    back = _color(rng, "concrete") * log_uniform(rng, 0.05, 0.8)
    boxes = []
    for _ in range(int(rng.integers(2, 6))):
        azimuth, elevation = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(-5, 75))
        size = np.tan(np.radians(rng.uniform(4, 28, 2)))
        tint = 1 + rng.uniform(0, 0.25) * rng.uniform(-1, 1) * np.array([1, 0.1, -1], np.float32)
        boxes.append((_sphere(np.array(azimuth), np.array(elevation)), size, log_uniform(rng, 8, 80) * tint))
    room = noise.fractal(rng, 512, 3, 1.0)

    def radiance(directions: np.ndarray) -> np.ndarray:
        u = (np.arctan2(directions[..., 1], directions[..., 0]) / (2 * np.pi)) % 1
        rows = ((directions[..., 2] * 0.25 + 0.5) * 512).astype(int) % 512
        shade = np.exp(0.5 * room[rows, (u * 512).astype(int) % 512]) * (1 + 0.6 * directions[..., 2])
        out = back * shade[..., None]
        for center, size, power in boxes:
            right = np.cross(center, [0, 0, 1.0])
            right = right / max(np.linalg.norm(right), 1e-6)
            above = np.cross(right, center)
            ahead = directions @ center
            a, b = (directions @ axis / np.maximum(ahead, 1e-3) for axis in (right, above))
            inside = noise.step(size[0] - np.abs(a), 0, 0.06) * noise.step(size[1] - np.abs(b), 0, 0.06) * (ahead > 0.05)
            falloff = 0.6 + 0.4 * np.exp(-((a / size[0]) ** 2) - (b / size[1]) ** 2)
            out = out + (inside * falloff)[..., None] * power
        return out.astype(np.float32)

    return radiance


def _room(rng: np.random.Generator) -> Field:
    """A box seen from within: walls, floor, ceiling; windows and lamps shine."""
    half = np.array([rng.uniform(2, 6), rng.uniform(2, 6), 1.3])
    eye = np.array([*(rng.uniform(-0.4, 0.4, 2) * half[:2]), rng.uniform(-0.3, 0.3)])
    wall, floor, ceiling = _color(rng, "wall"), _color(rng, pick(rng, "wood", "stone", "fabric")), _color(rng, "ceiling")
    accent = _color(rng, "wall")
    ambient = np.array([1, 1, 1], np.float32) + rng.uniform(-0.15, 0.15) * np.array([1, 0.1, -1], np.float32)
    texture = noise.fractal(rng, 512, 4, 0.8)
    lights = []
    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.6:  # a window in a wall
            axis, side = int(rng.integers(2)), float(rng.choice([-1, 1]))
            center, size = (
                (rng.uniform(-0.6, 0.6) * half[1 - axis], rng.uniform(-0.1, 0.5)),
                rng.uniform([0.4, 0.4], [1.6, 0.8]),
            )
            lights.append((axis, side, center, size, log_uniform(rng, 6, 30) * np.array([0.92, 1.0, 1.12], np.float32)))
        else:  # a lamp in the ceiling
            center, size = rng.uniform(-0.7, 0.7, 2) * half[:2], rng.uniform(0.08, 0.5, 2)
            lights.append((2, 1.0, tuple(center), size, log_uniform(rng, 20, 120) * np.array([1.15, 1.0, 0.8], np.float32)))

    def radiance(directions: np.ndarray) -> np.ndarray:
        distance = (np.where(directions >= 0, half, -half) - eye) / np.where(np.abs(directions) < 1e-6, 1e-6, directions)
        axis = distance.argmin(axis=-1)
        reach = distance.min(axis=-1)[..., None]
        point = eye + reach * directions
        positive = np.take_along_axis(directions, axis[..., None], axis=-1)[..., 0] > 0
        surface = np.where((axis == 0)[..., None], accent, wall)
        surface = np.where((axis == 2)[..., None], np.where(positive[..., None], ceiling, floor), surface)
        corner = np.sort((half - np.abs(point)) / half, axis=-1)[..., 1]  # distance to the nearest edge of the box
        sideways, up = point[..., 0] + point[..., 1], point[..., 2] + 0.7 * point[..., 0]
        grime = texture[(up * 90).astype(int) % 512, (sideways * 60).astype(int) % 512]
        out = surface * ambient * (0.55 + 0.45 * np.minimum(corner * 3, 1) + 0.08 * grime)[..., None]
        for on, side, center, size, power in lights:
            across = [k for k in range(3) if k != on]
            a, b = (np.abs(point[..., k] - c) - s for k, c, s in zip(across, center, size))
            inside = (axis == on) & (positive == (side > 0)) & (a < 0) & (b < 0)
            bars = (np.abs(a + size[0] / 2) < 0.03) if on < 2 else False
            out = np.where((inside & ~np.asarray(bars))[..., None], power, out)
            # Light spreads from the lamp over the surfaces around it.
            place = np.zeros(3)
            place[on], place[across[0]], place[across[1]] = side * half[on], *center
            spread = np.prod(size) * 4 / (0.6 + ((point - place) ** 2).sum(axis=-1))
            out = np.where(inside[..., None], out, out + 0.1 * spread[..., None] * surface * power)
        return out.astype(np.float32)

    return radiance
