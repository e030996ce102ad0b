"""Albedo of cloth: woven (plain, twill, checks, tartans, tweed), knitted, printed; carpets, rugs, leather."""

from __future__ import annotations

import cv2
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
    variants,
)

# Where the warp lies above the weft: one repeat of the bindings, rows are weft threads.
BINDINGS = {
    "plain": np.array([[1, 0], [0, 1]]),
    "basket": np.kron([[1, 0], [0, 1]], np.ones((2, 2), int)),
    "twill": (np.add.outer(np.arange(4), np.arange(4)) % 4 < 2).astype(int),
    "denim": (np.add.outer(np.arange(4), np.arange(4)) % 4 < 3).astype(int),
    "satin": (np.add.outer(2 * np.arange(5), np.arange(5)) % 5 < 4).astype(int),
    "zigzag": np.array([[(i + (j if j < 4 else 7 - j)) % 4 < 2 for j in range(8)] for i in range(4)]).astype(int),
}


def woven(rng: np.random.Generator) -> Patterned:
    """Threads over and under each other; their colours make plain cloth, stripes, checks, tartans or tweed."""
    threads = 4 * int(rng.integers(10, 31)) if rng.random() < 0.8 else 40 * int(rng.integers(1, 3))
    binding = BINDINGS[pick(rng, *BINDINGS, p=(4, 1, 3, 1.5, 1, 1.5))]
    threads = max(1, threads // binding.shape[1]) * binding.shape[1]
    style = pick(rng, "plain", "melange", "stripes", "check", "tartan", "two", p=(4, 2, 2, 2, 2, 2))
    warp, weft = _thread_colors(rng, threads, style)
    return _woven(rng, binding, warp, weft)


def _thread_colors(rng: np.random.Generator, threads: int, style: str) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the warp and of the weft threads, (threads, 3) each."""
    base = color(rng, "fabric")
    plain = np.broadcast_to(base, (threads, 3))
    if style == "plain":
        return plain, plain
    if style == "two":
        return plain, np.broadcast_to(color(rng, "fabric"), (threads, 3))
    if style == "melange":
        tones = np.stack([base, base, *variants(rng, base, 3, 0.4, 0.1)])
        return tones[rng.integers(0, 5, threads)], tones[rng.integers(0, 5, threads)]
    sequence = _bands(rng, threads, base, 2 if style == "check" else int(rng.integers(2, 6)))
    if style == "stripes":
        return sequence, np.broadcast_to(sequence[0] if rng.random() < 0.7 else base, (threads, 3))
    return sequence, sequence if rng.random() < 0.8 else np.roll(sequence, threads // 3, axis=0)


def _bands(rng: np.random.Generator, threads: int, base: np.ndarray, count: int) -> np.ndarray:
    """A sequence of coloured bands, mirrored as tartans are, repeated one to six times."""
    tones = np.stack([base, *(color(rng, "fabric") for _ in range(count - 1))])
    widths = rng.choice([1, 1, 2, 3, 5, 8], count)
    widths[0] = max(widths[0], 4)
    half = np.repeat(np.arange(count), widths)
    sett = np.concatenate([half, half[::-1]])
    repeats = int(rng.integers(1, 7))
    place = (np.arange(threads) * len(sett) * repeats // threads) % len(sett)
    return tones[sett[place]]


def _woven(rng: np.random.Generator, binding: np.ndarray, warp: np.ndarray, weft: np.ndarray) -> Patterned:
    """warp, weft: colours of the threads along y and along x, (threads, 3)."""
    threads = len(warp)
    warp = variants(rng, warp, threads, rng.uniform(0.01, 0.08), 0.01)
    weft = variants(rng, weft, threads, rng.uniform(0.01, 0.08), 0.01)
    x, y = noise.grid(SIZE)
    wander = 0.12 / threads
    u = (x + wander * noise.fractal(rng, SIZE, 4, 0.5)) * threads
    v = (y + wander * noise.fractal(rng, SIZE, 4, 0.5)) * threads
    i, j = np.floor(u).astype(int) % threads, np.floor(v).astype(int) % threads
    above = binding[j % binding.shape[0], i % binding.shape[1]].astype(bool)
    albedo = np.where(above[..., None], warp[i], weft[j])
    # Slubs: threads thicken and change tone along their length.
    slub_warp = noise.fractal(rng, SIZE, 6, 0.2, stretch=(0.15, 4.0))
    slub_weft = noise.fractal(rng, SIZE, 6, 0.2, stretch=(4.0, 0.15))
    albedo = albedo * np.exp(rng.uniform(0.02, 0.1) * np.where(above, slub_warp, slub_weft))[..., None]
    # Between threads one sees into the cloth, where light is lost in dye and fibre: a property of the material.
    across = np.where(above, np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5)) * 2
    albedo = albedo * (1 - rng.uniform(0.05, 0.25) * across**3)[..., None]
    albedo = drift(rng, albedo.astype(np.float32), rng.uniform(0.01, 0.07), rng.uniform(0.002, 0.015))
    if rng.random() < 0.3:
        albedo = stains(rng, albedo, rng.uniform(0.03, 0.25))
    along = np.where(above, np.abs(v % 1 - 0.5), np.abs(u % 1 - 0.5)) * 2
    height = 1 - 0.7 * across**2 - 0.5 * along**2
    return finish(grain(rng, albedo, 0.04), height)


def knitted(rng: np.random.Generator) -> Patterned:
    """Stockinette: columns of V stitches, plain, ringed or with a small figure."""
    columns = int(rng.integers(12, 34))
    rows = round(columns * rng.uniform(1.1, 1.5))
    base, other = color(rng, "fabric"), color(rng, "fabric")
    figure = np.zeros((rows, columns), bool)
    style = pick(rng, "plain", "rings", "figure", p=(3, 1.5, 1.5))
    if style == "rings":
        figure[:] = (np.arange(rows) * int(rng.integers(1, 5)) % rows < rows * rng.uniform(0.2, 0.6))[:, None]
    if style == "figure":
        cell = rng.random((rows // 4 + 1, 4)) < 0.5
        tile = np.concatenate([cell, cell[:, ::-1]], axis=1)
        tile = np.concatenate([tile, tile[::-1]], axis=0)
        figure = np.tile(tile, (3, columns // 8 + 1))[:rows, :columns]
    tones = np.where(figure[..., None], other, base)
    tones = variants(rng, tones.reshape(-1, 3), rows * columns, 0.06, 0.01).reshape(rows, columns, 3)
    x, y = noise.grid(SIZE)
    side = np.abs((x * columns) % 1 - 0.5) * 2
    v = y * rows + 0.75 * side + 0.05 * noise.fractal(rng, SIZE, 10, 0.4)
    i, j = (x * columns).astype(int) % columns, np.floor(v).astype(int) % rows
    depth = np.maximum(np.abs(v % 1 - 0.5) * 2, np.abs(side - 0.5) * 2)
    albedo = tones[j, i] * (1 - rng.uniform(0.2, 0.5) * depth**4)[..., None]
    fuzz = noise.fractal(rng, SIZE, 40, 0.1, stretch=(2, 1))
    albedo = drift(rng, albedo * np.exp(0.08 * fuzz)[..., None], 0.03, 0.008)
    return finish(grain(rng, albedo.astype(np.float32), 0.05), 1 - depth**2)


def printed(rng: np.random.Generator) -> Patterned:
    """Cloth with a printed pattern: leaves and flowers, dots, zigzags, trellis, scales."""
    albedo = pattern(rng, "fabric", "fabric")
    weave = noise.fractal(rng, SIZE, 60, 0.0)
    albedo = drift(rng, albedo * np.exp(0.05 * weave)[..., None], rng.uniform(0.02, 0.06), 0.01)
    return finish(grain(rng, albedo, 0.03), weave)


def pattern(rng: np.random.Generator, ground: str, ink: str) -> np.ndarray:
    """A repeating print in two to five colours of these palette roles, (SIZE, SIZE, 3)."""
    make = pick(rng, _flowers, _damask, _geometric, p=(2, 2, 3))
    return make(rng, color(rng, ground), [color(rng, ink) for _ in range(4)])


def _flowers(rng: np.random.Generator, ground: np.ndarray, inks: list[np.ndarray]) -> np.ndarray:
    """Scattered blossoms and leaves."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    canvas[:] = ground
    leaf = color(rng, "foliage")
    size = log_uniform(rng, 9, 42)
    for _ in range(int(0.5 * (SIZE / size) ** 2)):
        center = rng.uniform(0, SIZE, 2)
        turn, radius = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.4, 1.0)
        if rng.random() < 0.5:
            _stamp(canvas, _petals(center, radius * 0.8, turn, 1, 2.6), leaf * rng.uniform(0.7, 1.3))
            continue
        tone = inks[int(rng.integers(3))]
        count = int(rng.integers(4, 8))
        for k in range(count):
            _stamp(canvas, _petals(center, radius, turn + 2 * np.pi * k / count, 1, 1.6), tone * rng.uniform(0.85, 1.15))
        _stamp(canvas, _petals(center, radius * 0.3, turn, 0, 1.0), inks[3])
    return canvas


def _petals(center: np.ndarray, radius: float, turn: float, offset: float, slim: float) -> np.ndarray:
    """An ellipse that points away from the centre: (24, 2) pixel coordinates."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    along, across = radius * (0.5 * np.cos(angle) + 0.5 * offset), radius / slim * 0.5 * np.sin(angle)
    cosine, sine = np.cos(turn), np.sin(turn)
    return center + np.stack([cosine * along - sine * across, sine * along + cosine * across], axis=-1)


def _stamp(canvas: np.ndarray, outline: np.ndarray, tone: np.ndarray) -> None:
    """A filled polygon, drawn again on the other side where it crosses the border."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    for dx in (-SIZE, 0, SIZE):
        for dy in (-SIZE, 0, SIZE):
            if high[0] + dx >= 0 and low[0] + dx < SIZE and high[1] + dy >= 0 and low[1] + dy < SIZE:
                points = np.round((outline + np.array([dx, dy])) * 16).astype(np.int32)
                cv2.fillPoly(canvas, [points], tone.tolist(), cv2.LINE_8, 4)


def _damask(rng: np.random.Generator, ground: np.ndarray, inks: list[np.ndarray]) -> np.ndarray:
    """A mirrored ornament on an offset lattice, tone in tone or in a second colour."""
    count = int(rng.choice([2, 2, 4, 4, 6]))
    x, y = noise.grid(SIZE)
    u, v = x * count, y * count
    shift = (np.floor(u) % 2) * 0.5
    field = noise.fractal(rng, SIZE, rng.uniform(2, 4), rng.uniform(1.2, 2.0))
    columns, rows = (np.ascontiguousarray(np.abs(t % 1 - 0.5) * 0.7 * SIZE, np.float32) for t in (u, v + shift))
    ornament = cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    ink = inks[0] if rng.random() < 0.5 else ground * rng.uniform(0.55, 0.9)
    mask = noise.step(ornament, 0.15, 0.1)
    line = noise.step(-np.abs(ornament + 0.25), -0.06, 0.05)
    return mix(mix(np.broadcast_to(ground, (SIZE, SIZE, 3)), ink, mask), 0.5 * (ink + ground), line).astype(np.float32)


def _geometric(rng: np.random.Generator, ground: np.ndarray, inks: list[np.ndarray]) -> np.ndarray:
    x, y = noise.grid(SIZE)
    count = 2 * int(rng.integers(2, 11))
    u, v = x * count, y * count
    kind = pick(rng, "dots", "zigzag", "trellis", "scales", "triangles", "stripes")
    sharp = 1.5 * count / SIZE
    a, b = inks[0], inks[1]
    mask, second = np.zeros_like(x), np.zeros_like(x)
    if kind == "dots":
        distance = np.minimum(np.hypot(u % 1 - 0.5, v % 1 - 0.5), np.hypot((u + 0.5) % 1 - 0.5, (v + 0.5) % 1 - 0.5))
        radius = rng.uniform(0.1, 0.3)
        mask, second = noise.step(-distance, -radius, sharp), noise.step(-distance, -0.5 * radius, sharp)
    elif kind == "zigzag":
        wave = (v + rng.uniform(0.3, 1.0) * np.abs(u % 1 - 0.5)) % 1
        mask = noise.step(-np.abs(wave - 0.5), -rng.uniform(0.1, 0.25), sharp)
    elif kind == "trellis":
        near = np.minimum(np.abs((u + v) % 1 - 0.5), np.abs((u - v) % 1 - 0.5))
        mask = noise.step(-near, -rng.uniform(0.03, 0.15), sharp)
        second = noise.step(-np.hypot((u + 0.5) % 1 - 0.5, v % 1 - 0.5), -0.12, sharp)
    elif kind == "scales":
        distance = np.hypot((u + 0.5 * (np.floor(v) % 2)) % 1 - 0.5, v % 1)
        rings = int(rng.integers(2, 5))
        mask = noise.step(np.cos(2 * np.pi * rings * distance), 0.0, 0.5)
    elif kind == "triangles":
        number = np.floor(u).astype(int) * 2 + ((u % 1) + (v % 1) > 1) + 97 * np.floor(v).astype(int)
        chosen = rng.integers(0, 3, number.max() + 1)[number]
        mask, second = (chosen == 1).astype(np.float32), (chosen == 2).astype(np.float32)
    else:
        edges = np.sort(rng.random(6))
        band = np.searchsorted(edges, (v / 2) % 1)
        mask, second = (band % 2).astype(np.float32), (band == 3).astype(np.float32)
    return mix(mix(np.broadcast_to(ground, (SIZE, SIZE, 3)), a, mask), b, second).astype(np.float32)


def carpet(rng: np.random.Generator) -> Patterned:
    """Loops or cut pile of one or several yarns."""
    count = int(rng.integers(50, 110))
    number, _ = noise.cells(rng, SIZE, count, count, rng.uniform(0.5, 1.0))
    base = color(rng, "fabric")
    tones = base[None]
    if rng.random() < 0.4:
        tones = np.stack([base, base, base + rng.uniform(0.2, 0.7) * (color(rng, "fabric") - base)])
    colors = variants(rng, tones[rng.integers(0, len(tones), count * count)], count * count, rng.uniform(0.08, 0.25), 0.02)
    albedo = drift(rng, colors[number], rng.uniform(0.04, 0.12), 0.01)
    if rng.random() < 0.4:
        albedo = stains(rng, albedo, rng.uniform(0.05, 0.35))
    return finish(grain(rng, albedo, 0.08), noise.fractal(rng, SIZE, count / 2, 0.0, high=count))


def leather(rng: np.random.Generator) -> Patterned:
    """Tanned hide: pebbled cells, creases, rubbed patches."""
    count = int(rng.integers(30, 80))
    _, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.1 / count)
    base = color(rng, "leather")
    crease = np.abs(noise.fractal(rng, SIZE, 3, 0.8))
    groove = np.maximum(1 - edge * count * 5, 0)
    albedo = mix(np.broadcast_to(base, (SIZE, SIZE, 3)), base * 0.75, 0.5 * groove)
    albedo = mix(albedo, base * 0.6, 0.5 * noise.step(-crease, -0.05, 0.1))
    rubbed = noise.step(noise.fractal(rng, SIZE, 2, 0.8), rng.uniform(0.5, 2), 1.0)
    albedo = mix(albedo, base * 1.5 + 0.02, rng.uniform(0, 0.5) * rubbed)
    albedo = drift(rng, albedo, rng.uniform(0.03, 0.12), 0.02)
    return finish(grain(rng, albedo, 0.03), np.minimum(edge * count * 4, 1) + 0.5 * np.minimum(crease * 5, 1))


# ---------------------------------------------------------------- rugs: drawn once


def rug(rng: np.random.Generator) -> Patterned:
    make = pick(rng, _oriental, _modern, p=(3, 2))
    albedo = make(rng)
    knots = int(rng.integers(90, 160))
    x, y = noise.grid(SIZE)
    # Knots have one colour each: the drawing is sampled on their grid.
    i = np.minimum(((np.floor(x * knots) + 0.5) / knots * SIZE).astype(int), SIZE - 1)
    j = np.minimum(((np.floor(y * knots) + 0.5) / knots * SIZE).astype(int), SIZE - 1)
    if rng.random() < 0.7:
        albedo = albedo[j, i]
    yarn = variants(rng, np.ones(3, np.float32), knots * knots, 0.08, 0.015)
    albedo = albedo * yarn[(np.floor(y * knots) * knots + np.floor(x * knots)).astype(int)]
    # Abrash: yarn batches of slightly different dye, in bands across the rug.
    albedo = albedo * np.exp(0.06 * noise.fractal(rng, SIZE, 2, 0.7, stretch=(30, 1)))[..., None]
    albedo = drift(rng, albedo, rng.uniform(0.02, 0.08), 0.01)
    if rng.random() < 0.5:
        worn = noise.step(noise.fractal(rng, SIZE, 2, 0.8), 0.6, 1.5)
        albedo = mix(albedo, color(rng, "straw"), rng.uniform(0.1, 0.4) * worn)
    return finish(grain(rng, albedo, 0.05), noise.fractal(rng, SIZE, 50, 0.0), tileable=False)


def _oriental(rng: np.random.Generator) -> np.ndarray:
    """Borders in bands, a field with an ornament, a medallion; symmetric in both directions."""
    x, y = noise.grid(SIZE)
    u, v = np.abs(2 * x - 1), np.abs(2 * y - 1)
    aspect = rng.uniform(0.6, 1.0)
    inset = np.minimum(1 - v, (1 - u) * aspect)
    field, dark = color(rng, "fabric"), color(rng, "fabric") * 0.6
    tones = np.stack([field, dark, *(color(rng, "fabric") for _ in range(3)), color(rng, "paper") * 0.8])
    folded = noise.fractal(rng, SIZE, rng.uniform(3, 6), 1.3)
    columns, rows = (np.ascontiguousarray(t * 0.5 * SIZE, np.float32) for t in (u, v))
    ornament = cv2.remap(folded, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    albedo = tones[np.select([ornament > 1.0, ornament > 0.55, ornament < -1.1], [2, 1, 5], 0)]
    medallion = np.hypot(u / rng.uniform(0.4, 0.7), v / rng.uniform(0.4, 0.7))
    medallion = medallion * (1 + rng.uniform(0, 0.2) * np.cos(np.arctan2(v, u + 1e-6) * 4 * rng.integers(1, 4)))
    for level, tone in ((0.9, 1), (0.84, 3), (0.5, 4), (0.2, 2)):
        inside = (medallion < level) & (ornament * (level < 0.85) < 0.9)
        albedo = np.where(inside[..., None], tones[tone], albedo)
    start = 0.0
    for width in (rng.uniform(0.02, 0.04), rng.uniform(0.03, 0.06), rng.uniform(0.1, 0.2), rng.uniform(0.02, 0.05)):
        inside = (inset >= start) & (inset < start + width)
        tone, figure = rng.permutation(6)[:2]
        position = np.where(inset == 1 - v, u, v)
        period = max(2, round(1 / max(width, 0.04)))
        shape = np.abs((position * period) % 1 - 0.5) + np.abs((inset - start) / width - 0.5)
        band = np.where((shape < rng.uniform(0.25, 0.5))[..., None], tones[figure], tones[tone])
        albedo = np.where(inside[..., None], band, albedo)
        start += width
    return albedo.astype(np.float32)


def _modern(rng: np.random.Generator) -> np.ndarray:
    """Flat-woven stripes, large geometry, abstract blots or a plain field with a border."""
    x, y = noise.grid(SIZE)
    tones = np.stack([color(rng, "fabric") for _ in range(5)])
    kind = pick(rng, "stripes", "print", "abstract", "border")
    if kind == "print":
        return pattern(rng, "fabric", "fabric")
    if kind == "stripes":
        edges = np.sort(rng.random(int(rng.integers(3, 16))))
        band = np.searchsorted(edges, y)
        return tones[rng.integers(0, 5, len(edges) + 1)[band]].astype(np.float32)
    if kind == "border":
        inset = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
        edges = np.sort(rng.uniform(0.02, 0.25, int(rng.integers(1, 4))))
        return tones[np.searchsorted(edges, inset)].astype(np.float32)
    albedo = np.broadcast_to(tones[0], (SIZE, SIZE, 3))
    for tone in tones[1:]:
        albedo = mix(albedo, tone, noise.step(noise.fractal(rng, SIZE, 1.5, 1.4), rng.uniform(0, 1), 0.05))
    return albedo.astype(np.float32)
