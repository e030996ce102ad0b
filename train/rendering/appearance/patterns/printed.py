"""Albedo of printed and painted things: books, pictures, labels, wallpaper, paper, decorated ceramics.

What is drawn once fills uv (0, 0)..(1, 1) with its top at v = 1. Canvases have row 0 at the top; `_once` turns them over.
"""

from __future__ import annotations

import cv2
import numpy as np

from intrinsic_flow.train.rendering.appearance import noise
from intrinsic_flow.train.rendering.appearance.patterns import lettering
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
    scratches,
    stains,
    variants,
)
from intrinsic_flow.train.rendering.appearance.patterns.textile import pattern


def _blank(tone: np.ndarray, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = tone
    return canvas


def _once(rng: np.random.Generator, canvas: np.ndarray, wear: float, height: np.ndarray | None = None) -> Patterned:
    """Age a finished drawing and wrap it up. wear: 0 (new) to 1."""
    canvas = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    canvas = drift(rng, canvas, 0.015 + 0.05 * wear, 0.004 + 0.012 * wear)
    if rng.random() < wear:
        canvas = mix(canvas, color(rng, "paper"), rng.uniform(0.1, 0.6) * wear * scratches(rng, SIZE))
    if rng.random() < wear:
        canvas = stains(rng, canvas, 0.3 * wear, color(rng, "straw"))
    if rng.random() < 0.5 * wear:  # rubbed corners and edges
        x, y = noise.grid(SIZE)
        inset = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
        rubbed = noise.step(0.02 * noise.fractal(rng, SIZE, 6, 0.6) - inset, -0.01, 0.015)
        canvas = mix(canvas, color(rng, "paper") * 0.8, 0.7 * rubbed)
    if rng.random() < 0.2:  # bleached by the sun
        grey = canvas.mean(axis=-1, keepdims=True)
        canvas = 0.85 * (canvas + rng.uniform(0.2, 0.6) * (grey - canvas)) + 0.08
    canvas = grain(rng, canvas, 0.015)
    return finish(np.ascontiguousarray(canvas[::-1]), height, tileable=False)


def _contrast(rng: np.random.Generator, role: str, ground: np.ndarray) -> np.ndarray:
    """A colour of the role that can be read on the ground."""
    tone = color(rng, role)
    for _ in range(4):
        if abs(np.log(tone.mean() / ground.mean())) > 0.8:
            break
        tone = color(rng, role)
    return tone


# ---------------------------------------------------------------- books


def book(rng: np.random.Generator) -> Patterned:
    return pick(rng, spine, cover, p=(1.5, 1))(rng)


def spine(rng: np.random.Generator) -> Patterned:
    """A spine about six times as high as wide, stretched to a square: bands, a title along it, a publisher's mark."""
    width, height = 72, 420
    ground = color(rng, "book")
    canvas = _blank(ground, height, width)
    ink = _contrast(rng, pick(rng, "paper", "ink", "book"), ground)
    second = color(rng, "book")
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            top = int(rng.uniform(0, 0.9) * height)
            canvas[top : top + int(height * log_uniform(rng, 0.008, 0.3))] = second
    if rng.random() < 0.4:  # raised bands of a bound book
        for at in np.linspace(0.08, 0.92, int(rng.integers(4, 7))):
            top = int(at * height)
            canvas[top : top + 3] = ink * 0.9
            canvas[top + 7 : top + 8] = ink * 0.9
    if rng.random() < 0.25:
        label = int(rng.uniform(0.12, 0.3) * height)
        canvas[label : label + int(0.25 * height), 6:-6] = color(rng, "book")
    length = int(height * rng.uniform(0.35, 0.62))
    thick = int(width * rng.uniform(0.3, 0.75))
    title = lettering.mask_of(rng, lettering.phrase(rng, int(rng.integers(1, 4))), length, thick)
    title = np.rot90(title, 3 if rng.random() < 0.7 else 1)
    lettering.put(canvas, title, (width - thick) // 2, int(height * rng.uniform(0.1, 0.2)), ink)
    if rng.random() < 0.8:
        author = lettering.mask_of(rng, lettering.word(rng), int(height * rng.uniform(0.1, 0.18)), int(thick * 0.5))
        lettering.put(canvas, np.rot90(author, 3), width // 2 - thick // 4, int(height * 0.76), ink)
    if rng.random() < 0.6:
        cv2.circle(
            canvas,
            (width // 2, int(height * 0.96)),
            int(rng.integers(5, 10)),
            ink.tolist(),
            -1 if rng.random() < 0.5 else 2,
        )
    return _once(rng, canvas, rng.uniform(0.1, 0.9), noise.fractal(rng, SIZE, 50, 0.1))


def cover(rng: np.random.Generator) -> Patterned:
    """A front cover, 3 : 2, stretched to a square: a picture or a print, a title, an author."""
    width, height = 300, 420
    ground = color(rng, "book")
    canvas = _blank(ground, height, width)
    kind = pick(rng, "plain", "picture", "pattern", "blocks", p=(2, 3, 1, 2))
    if kind == "picture":
        art = cv2.resize(_artwork(rng), (width, height))
        top = int(height * pick(rng, 0, 0.2, 0.35))
        canvas[top:] = cv2.resize(art, (width, height - top))
    elif kind == "pattern":
        canvas[:] = cv2.resize(pattern(rng, "book", "book"), (width, height))
    elif kind == "blocks":
        _blocks(rng, canvas)
    top = int(height * rng.uniform(0.06, 0.6))
    behind = canvas[top : top + 80].mean(axis=(0, 1))
    if kind in ("picture", "pattern") and rng.random() < 0.5:
        behind = color(rng, "book")
        canvas[top - 12 : top + 120, 20:-20] = behind
    ink = _contrast(rng, pick(rng, "paper", "ink"), behind)
    for _ in range(int(rng.integers(1, 4))):
        tall = int(rng.integers(18, 52))
        wide = int(width * rng.uniform(0.4, 0.85))
        left = (width - wide) // 2 if rng.random() < 0.7 else 24
        lettering.line(rng, canvas, (left, top, wide, tall), ink, int(rng.integers(1, 4)))
        top += int(tall * 1.3)
    low = canvas[-50:].mean(axis=(0, 1))
    lettering.line(rng, canvas, (70, height - 40, 160, 16), _contrast(rng, pick(rng, "paper", "ink"), low), 2)
    return _once(rng, canvas, rng.uniform(0.1, 0.9), noise.fractal(rng, SIZE, 50, 0.1))


# ---------------------------------------------------------------- pictures


def picture(rng: np.random.Generator) -> Patterned:
    """What hangs framed on a wall, sometimes with a mount of white card."""
    canvas = poster_canvas(rng) if rng.random() < 0.25 else _artwork(rng)
    if rng.random() < 0.35:
        mount = int(SIZE * rng.uniform(0.06, 0.2))
        inner = cv2.resize(canvas, (SIZE - 2 * mount, SIZE - 2 * mount), interpolation=cv2.INTER_AREA)
        canvas = _blank(color(rng, "paper"))
        canvas[mount : SIZE - mount, mount : SIZE - mount] = inner
    return _once(rng, canvas, rng.uniform(0, 0.5), noise.fractal(rng, SIZE, 30, 0.2))


def _artwork(rng: np.random.Generator) -> np.ndarray:
    make = pick(rng, _landscape, _abstract, _strokes, _botanical, _still_life, _photograph, p=(3, 2, 2, 1.5, 1.5, 2))
    return make(rng)


def _landscape(rng: np.random.Generator) -> np.ndarray:
    """Sky, ridges behind each other in aerial perspective, a lake or fields in front."""
    _, y = noise.grid(SIZE)
    high, low = color(rng, "paper") * np.array([0.5, 0.7, 1.0]), color(rng, "wall")
    if rng.random() < 0.4:
        high, low = color(rng, "print"), color(rng, "straw") * 1.6
    canvas = mix(_blank(high), low, np.clip(y * 2, 0, 1))
    clouds = noise.step(noise.fractal(rng, SIZE, 2, 0.8, stretch=(2.5, 1)), 0.6, 1.2) * np.clip(1.2 - 2 * y, 0, 1)
    canvas = mix(canvas, color(rng, "paper"), 0.8 * clouds)
    ground = color(rng, pick(rng, "foliage", "soil", "straw", "stone"))
    haze = canvas[SIZE // 2].mean(axis=0)
    count = int(rng.integers(2, 6))
    for k in range(count):
        profile = noise.fractal(rng, SIZE, 1.5 + k, rng.uniform(0.7, 1.3))[0]
        edge = 0.35 + 0.45 * (k + rng.uniform(-0.2, 0.2)) / count + 0.07 * profile
        tone = ground + (haze - ground) * (1 - (k + 1) / count) ** 1.3
        land = _blank(tone) * np.exp(0.25 * noise.fractal(rng, SIZE, 5, 0.5, stretch=(3, 1)))[..., None]
        canvas = mix(canvas, land, noise.step(y - edge[None], 0, 2 / SIZE))
    if rng.random() < 0.35:  # a lake mirrors what stands above its shore
        shore = int(SIZE * rng.uniform(0.6, 0.8))
        depth = SIZE - shore
        ripple = canvas[shore - depth : shore][::-1] * np.array([0.7, 0.8, 0.85])
        waves = noise.fractal(rng, SIZE, 8, 0.4, stretch=(12, 1))[:depth]
        canvas[shore:] = ripple * np.exp(0.1 * waves)[..., None]
    return _painterly(rng, canvas.astype(np.float32))


def _painterly(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Brush marks: the drawing looked up beside where it is."""
    amount = rng.uniform(0, 0.008)
    dx, dy = (amount * noise.fractal(rng, SIZE, 12, 0.4) for _ in range(2))
    return noise.warped(canvas, dx.astype(np.float32), dy.astype(np.float32))


def _abstract(rng: np.random.Generator) -> np.ndarray:
    """Colour fields, circles, lines."""
    tones = [color(rng, pick(rng, "print", "paper", "any")) for _ in range(6)]
    canvas = _blank(tones[0])
    if rng.random() < 0.5:
        _blocks(rng, canvas)
    for _ in range(int(rng.integers(2, 10))):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        center = tuple(int(v) for v in rng.integers(0, SIZE, 2))
        size = int(log_uniform(rng, 10, 130))
        shape = rng.random()
        if shape < 0.4:
            cv2.circle(mask, center, size, 255, -1 if rng.random() < 0.7 else int(rng.integers(2, 14)), cv2.LINE_AA)
        elif shape < 0.7:
            corners = np.array(center) + rng.uniform(-size, size, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(mask, [cv2.convexHull(corners.astype(np.int32))], 255, cv2.LINE_AA)
        else:
            end = tuple(int(v) for v in rng.integers(0, SIZE, 2))
            cv2.line(mask, center, end, 255, int(rng.integers(1, 16)), cv2.LINE_AA)
        canvas = mix(canvas, tones[int(rng.integers(6))], mask.astype(np.float32) / 255)
    return _painterly(rng, canvas)


def _blocks(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Rectangles that divide and divide again, as in De Stijl; the canvas is changed in place."""
    height, width = canvas.shape[:2]
    boxes = [(0, 0, width, height)]
    for _ in range(int(rng.integers(2, 7))):
        x, y, w, h = boxes.pop(int(rng.integers(len(boxes))))
        cut = rng.uniform(0.25, 0.75)
        if w > h:
            boxes += [(x, y, int(w * cut), h), (x + int(w * cut), y, w - int(w * cut), h)]
        else:
            boxes += [(x, y, w, int(h * cut)), (x, y + int(h * cut), w, h - int(h * cut))]
    for x, y, w, h in boxes:
        canvas[y : y + h, x : x + w] = color(rng, pick(rng, "print", "paper", "book"))


def _strokes(rng: np.random.Generator) -> np.ndarray:
    """Gestural painting: long curved strokes with the streaks of a brush."""
    canvas = _blank(color(rng, pick(rng, "paper", "print")))
    tones = np.stack([color(rng, "print") for _ in range(4)])
    for _ in range(int(rng.integers(5, 22))):
        t = np.linspace(0, 1, 40)[:, None]
        p = rng.uniform(-0.1, 1.1, (4, 2)) * SIZE
        curve = (1 - t) ** 3 * p[0] + 3 * t * (1 - t) ** 2 * p[1] + 3 * t**2 * (1 - t) * p[2] + t**3 * p[3]
        bristles = int(rng.integers(4, 18))
        spread, tone = rng.uniform(1.5, 4), tones[int(rng.integers(4))]
        across = np.roll(np.gradient(curve, axis=0), 1, axis=1) * (-1, 1)
        across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        shades = variants(rng, tone, bristles, 0.12, 0.03)
        for k in range(bristles):
            points = curve + across * (k - bristles / 2) * spread
            cv2.polylines(canvas, [points.astype(np.int32)], False, shades[k].tolist(), int(spread) + 1)
    return canvas


def _botanical(rng: np.random.Generator) -> np.ndarray:
    """A plant on paper, as in an old plate."""
    canvas = drift(rng, _blank(color(rng, "paper")), 0.04, 0.02)
    tone = color(rng, "foliage")
    stems = int(rng.integers(1, 4))
    for _ in range(stems):
        x, lean = SIZE * rng.uniform(0.35, 0.65), rng.uniform(-0.3, 0.3)
        count = int(rng.integers(5, 14))
        for k in range(count):
            at = k / count
            point = np.array([x + lean * at**2 * SIZE, SIZE * (0.92 - 0.75 * at)])
            size = SIZE * rng.uniform(0.08, 0.2) * (1.1 - at)
            for side in (-1, 1):
                turn = np.degrees(side * rng.uniform(0.5, 1.1)) - 90
                center = point + 0.5 * size * np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
                axes = (int(size / 2), max(2, int(size * rng.uniform(0.12, 0.25))))
                shade = tone * rng.uniform(0.6, 1.4)
                cv2.ellipse(canvas, tuple(int(v) for v in center), axes, turn, 0, 360, shade.tolist(), -1)
            cv2.circle(canvas, tuple(int(v) for v in point), 2, (tone * 0.5).tolist(), -1)
        if rng.random() < 0.6:
            head = tuple(int(v) for v in point)
            cv2.circle(canvas, head, int(rng.integers(8, 30)), color(rng, "print").tolist(), -1)
            cv2.circle(canvas, head, int(rng.integers(3, 8)), color(rng, "straw").tolist(), -1)
    lettering.line(rng, canvas, (SIZE // 3, int(SIZE * 0.95), SIZE // 3, 9), color(rng, "ink"), 2)
    return canvas


def _still_life(rng: np.random.Generator) -> np.ndarray:
    """Bottles, bowls and fruit in flat paint."""
    canvas = _blank(color(rng, "any"))
    table = int(SIZE * rng.uniform(0.5, 0.75))
    canvas[table:] = color(rng, pick(rng, "wood", "fabric", "print"))
    for _ in range(int(rng.integers(3, 8))):
        x, wide = int(rng.uniform(0.1, 0.9) * SIZE), int(SIZE * rng.uniform(0.05, 0.14))
        foot = int(table + rng.uniform(0.02, 0.18) * SIZE)
        tone = color(rng, pick(rng, "ceramic", "print", "foliage"))
        if rng.random() < 0.4:
            cv2.circle(canvas, (x, foot - wide), wide, tone.tolist(), -1)
            continue
        profile = wide * np.clip(1 + 0.4 * np.cumsum(rng.normal(0, 0.5, 8)), 0.3, 1.4)
        heights = foot - np.linspace(0, SIZE * rng.uniform(0.15, 0.5), 8)
        outline = np.concatenate([np.stack([x + profile, heights], 1), np.stack([x - profile, heights], 1)[::-1]])
        cv2.fillPoly(canvas, [outline.astype(np.int32)], tone.tolist())
    return _painterly(rng, canvas)


def _photograph(rng: np.random.Generator) -> np.ndarray:
    """A blurred view in a photograph's tones, black and white or coloured."""
    base = _landscape(rng) if rng.random() < 0.5 else _still_life(rng)
    base = cv2.GaussianBlur(base, (0, 0), rng.uniform(1.0, 4.0))
    base = base * np.exp(0.25 * noise.fractal(rng, SIZE, 1.5, 0.9))[..., None]
    if rng.random() < 0.5:
        grey = base.mean(axis=-1, keepdims=True)
        base = grey * np.array([1.05, 1.0, rng.uniform(0.75, 1.0)], np.float32)
    return base.astype(np.float32)


def poster_canvas(rng: np.random.Generator) -> np.ndarray:
    """Headlines, paragraphs, blocks of colour, (SIZE, SIZE, 3)."""
    ground = color(rng, pick(rng, "paper", "print", "book", p=(2, 1, 1)))
    canvas = _blank(ground)
    if rng.random() < 0.6:
        art = _artwork(rng)
        top, tall = int(SIZE * rng.uniform(0, 0.5)), int(SIZE * rng.uniform(0.3, 0.5))
        left = int(SIZE * rng.uniform(0, 0.15))
        part = canvas[top : top + tall, left : SIZE - left]
        part[:] = cv2.resize(art, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_AREA)
    y = int(SIZE * rng.uniform(0.03, 0.5))
    while y < SIZE - 20:
        tall = int(log_uniform(rng, 10, 60))
        ink = _contrast(rng, pick(rng, "ink", "paper", "print"), canvas[y : y + tall].mean(axis=(0, 1)))
        if tall > 16:
            lettering.line(rng, canvas, (16, y, int(SIZE * rng.uniform(0.5, 0.92)), tall), ink, int(rng.integers(1, 4)))
        else:
            tall = int(SIZE * rng.uniform(0.1, 0.25))
            lettering.paragraph(rng, canvas, (16, y, SIZE - 32, tall), ink, int(rng.integers(7, 12)))
        y += int(tall * rng.uniform(1.2, 1.8))
    return canvas


# ---------------------------------------------------------------- labels and packaging


def label(rng: np.random.Generator) -> Patterned:
    """The face of a box, bottle or tin: brand, picture, small print, bar code; or bare cardboard."""
    if rng.random() < 0.12:
        return _once(rng, _cardboard(rng), rng.uniform(0.3, 1.0), noise.fractal(rng, SIZE, 6, 0.4))
    ground = color(rng, pick(rng, "print", "paper", "plastic", "cardboard", p=(3, 2, 2, 0.7)))
    canvas = _blank(ground)
    if rng.random() < 0.5:
        top = int(SIZE * rng.uniform(0.0, 0.7))
        canvas[top : top + int(SIZE * rng.uniform(0.1, 0.45))] = color(rng, "print")
    if rng.random() < 0.25:
        canvas = pattern(rng, "print", "print")
    if rng.random() < 0.5:
        center = (SIZE // 2, int(SIZE * rng.uniform(0.4, 0.7)))
        axes = (int(SIZE * rng.uniform(0.15, 0.45)), int(SIZE * rng.uniform(0.12, 0.3)))
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cv2.ellipse(mask, center, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        inside = _artwork(rng) if rng.random() < 0.5 else color(rng, "print")
        canvas = mix(canvas, inside, mask.astype(np.float32) / 255)
    y = int(SIZE * rng.uniform(0.05, 0.3))
    ink = _contrast(rng, pick(rng, "paper", "ink", "print"), canvas[y : y + 60].mean(axis=(0, 1)))
    tall, wide = int(SIZE * rng.uniform(0.12, 0.3)), int(SIZE * rng.uniform(0.5, 0.9))
    lettering.line(rng, canvas, ((SIZE - wide) // 2, y, wide, tall), ink, int(rng.integers(1, 3)))
    second = (int(SIZE * 0.2), y + int(tall * 1.3), int(SIZE * 0.6), int(tall * 0.4))
    lettering.line(rng, canvas, second, ink, int(rng.integers(1, 4)))
    low = int(SIZE * rng.uniform(0.75, 0.85))
    ink = _contrast(rng, "ink", canvas[low:].mean(axis=(0, 1)))
    lettering.paragraph(rng, canvas, (20, low, int(SIZE * 0.6), SIZE - low - 8), ink, int(rng.integers(6, 10)))
    if rng.random() < 0.5:
        _bar_code(rng, canvas, int(SIZE * 0.72), low)
    return _once(rng, canvas, rng.uniform(0, 0.6))


def _bar_code(rng: np.random.Generator, canvas: np.ndarray, x: int, y: int) -> None:
    tall, wide = min(44, SIZE - y - 4), 70
    canvas[y : y + tall, x : x + wide] = 0.8
    dark = np.repeat(rng.random(wide // 2 - 4) < 0.5, 2)
    canvas[y + 4 : y + tall - 6, x + 4 : x + 4 + len(dark)][:, dark] = 0.03


def _cardboard(rng: np.random.Generator) -> np.ndarray:
    """A shipping box: fluting, a strip of tape, a printed mark."""
    base = color(rng, "cardboard")
    canvas = drift(rng, _blank(base), 0.04, 0.01)
    _, y = noise.grid(SIZE)
    fibres = noise.fractal(rng, SIZE, 20, 0.3, stretch=(3, 1))
    canvas = canvas * np.exp(0.03 * np.sin(2 * np.pi * y * int(rng.integers(40, 90))) + 0.04 * fibres)[..., None]
    if rng.random() < 0.6:
        top, tall = int(SIZE * rng.uniform(0.3, 0.6)), int(SIZE * rng.uniform(0.1, 0.18))
        canvas[top : top + tall] = mix(
            canvas[top : top + tall], color(rng, pick(rng, "cardboard", "straw")), np.array([[0.6]], np.float32)
        )
    if rng.random() < 0.7:
        ink = color(rng, "ink")
        where = (int(SIZE * rng.uniform(0.05, 0.4)), int(SIZE * rng.uniform(0.05, 0.8)))
        lettering.line(rng, canvas, (*where, int(SIZE * rng.uniform(0.3, 0.55)), int(rng.integers(18, 60))), ink, 2)
    return canvas


def cardboard(rng: np.random.Generator) -> Patterned:
    """Bare corrugated or grey board, scuffed."""
    base = color(rng, "cardboard")
    _, y = noise.grid(SIZE)
    fibres = noise.fractal(rng, SIZE, 20, 0.3, stretch=(3, 1))
    fluting = np.sin(2 * np.pi * y * int(rng.integers(20, 70)))
    albedo = drift(rng, _blank(base), rng.uniform(0.03, 0.08), 0.01) * np.exp(0.02 * fluting + 0.05 * fibres)[..., None]
    albedo = mix(albedo, base * 1.3, rng.uniform(0.1, 0.5) * scratches(rng, SIZE))
    if rng.random() < 0.5:
        albedo = stains(rng, albedo, rng.uniform(0.1, 0.4), base * 0.5)
    return finish(grain(rng, albedo, 0.03), 0.3 * fluting + 0.2 * fibres)


def paper(rng: np.random.Generator) -> Patterned:
    """Paper without a picture: blank, ruled, squared or set in columns; yellowed."""
    tone = color(rng, "paper")
    albedo = _blank(tone)
    kind = pick(rng, "blank", "ruled", "squared", "text", p=(2, 1, 1, 2))
    ink = color(rng, "ink")
    if kind in ("ruled", "squared"):
        count = int(rng.integers(12, 40))
        x, y = noise.grid(SIZE)
        lines = np.abs((y * count) % 1 - 0.5)
        if kind == "squared":
            lines = np.minimum(lines, np.abs((x * count) % 1 - 0.5))
        albedo = mix(albedo, ink, 0.4 * noise.step(-lines, -0.02, 2 * count / SIZE))
    elif kind == "text":
        columns, pitch = int(rng.integers(1, 4)), int(rng.integers(6, 12))
        wide = SIZE // columns
        for column in range(columns):
            lettering.paragraph(rng, albedo, (column * wide + 8, 8, wide - 16, SIZE - 16), ink, pitch)
    fibres = noise.fractal(rng, SIZE, 30, 0.2)
    albedo = drift(rng, albedo, rng.uniform(0.005, 0.03), rng.uniform(0.002, 0.012))
    if rng.random() < 0.4:
        albedo = stains(rng, albedo, rng.uniform(0.05, 0.3), color(rng, "straw"))
    return finish(grain(rng, albedo, 0.01), fibres)


# ---------------------------------------------------------------- wallpaper, ceramics


def wallpaper(rng: np.random.Generator) -> Patterned:
    """A print in quiet colours, tone in tone more often than not."""
    drawn = pattern(rng, "wall", pick(rng, "wall", "fabric", "print", p=(3, 1, 0.5)))
    ground = np.median(drawn.reshape(-1, 3), axis=0)
    albedo = ground + (drawn - ground) * log_uniform(rng, 0.15, 1.0)
    albedo = drift(rng, albedo.astype(np.float32), rng.uniform(0.01, 0.04), 0.006)
    if rng.random() < 0.3:
        albedo = stains(rng, albedo, rng.uniform(0.03, 0.2), color(rng, "straw"))
    light = albedo.mean(axis=-1)
    return finish(grain(rng, albedo, 0.015), light / light.mean() + 0.05 * noise.fractal(rng, SIZE, 40, 0.2))


def ceramic(rng: np.random.Generator) -> Patterned:
    """Glaze: plain, speckled, dipped in bands, crackled or with a painted border. Seamless, so it fits turned things."""
    base = color(rng, "ceramic")
    albedo = _blank(base)
    _, y = noise.grid(SIZE)
    kind = pick(rng, "plain", "speckled", "bands", "crackle", "painted", "reactive", p=(2, 2, 2, 0.7, 2, 1.5))
    glaze = color(rng, "glaze")
    if kind == "speckled":
        field = noise.fractal(rng, SIZE, rng.uniform(20, 50), 0.1, high=120)
        albedo = mix(albedo, color(rng, "bark"), 0.8 * noise.step(field, rng.uniform(2.0, 3.0), 0.5))
    elif kind == "bands":
        wobble = 0.006 * noise.fractal(rng, SIZE, 3, 1.0)
        edges = np.sort(rng.random(2 * int(rng.integers(1, 4))))
        inside = np.searchsorted(edges, y + wobble) % 2
        albedo = mix(albedo, glaze, inside.astype(np.float32) * rng.uniform(0.7, 1.0))
    elif kind == "crackle":
        count = int(rng.integers(6, 16))
        _, edge = noise.cells(rng, SIZE, count, count, 1.0, 0.004)
        albedo = mix(albedo, base * 0.4, 0.6 * (1 - noise.step(edge, 0.001, 0.004)))
    elif kind == "painted":
        drawn = pattern(rng, "ceramic", "glaze")
        shown = (np.abs(y - 0.5) < rng.uniform(0.1, 0.5)).astype(np.float32)
        albedo = mix(albedo, drawn, shown)
    elif kind == "reactive":
        field = noise.fractal(rng, SIZE, 2, 0.8, stretch=(1, 2))
        albedo = mix(albedo, glaze, noise.step(field, rng.uniform(-0.5, 0.8), rng.uniform(0.3, 2)))
        albedo = mix(albedo, color(rng, "bark"), 0.6 * noise.step(noise.fractal(rng, SIZE, 12, 0.2), 1.8, 0.6))
    return finish(grain(rng, drift(rng, albedo, rng.uniform(0.01, 0.05), 0.01), 0.01))
