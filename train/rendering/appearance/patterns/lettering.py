"""Words that mean nothing in letters that look like any: titles, paragraphs, labels.

Drawn onto float32 canvases (H, W, 3) with row 0 at the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import cv2
import numpy as np

_SYLLABLES = (
    *(consonant + vowel for consonant in "bcdfghklmnprstvwz" for vowel in "aeiou"),
    *("al", "an", "ar", "el", "en", "er", "in", "is", "on", "or", "qua", "ul", "un"),
)
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)

_files: ContextVar[Sequence[Path]] = ContextVar("font files", default=())


@contextmanager
def fonts(files: Sequence[Path]) -> Iterator[None]:
    """Within, text is set in these TrueType fonts (none: in plotter strokes)."""
    token = _files.set(files)
    try:
        yield
    finally:
        _files.reset(token)


def word(rng: np.random.Generator) -> str:
    made = "".join(rng.choice(_SYLLABLES, int(rng.integers(2, 5))))
    case = rng.random()
    return made.upper() if case < 0.3 else made.capitalize() if case < 0.65 else made


def phrase(rng: np.random.Generator, words: int) -> str:
    return " ".join(word(rng) for _ in range(words))


def mask_of(rng: np.random.Generator, text: str, width: int, height: int) -> np.ndarray:
    """The text stretched to fill a box: (height, width) float32, 0..1."""
    if _files.get():
        return _set(rng, text, width, height)
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    thickness = int(rng.integers(1, 6))
    (wide, tall), base = cv2.getTextSize(text, font, 2.0, thickness)
    drawn: np.ndarray = np.zeros((tall + base + 12, wide + 24), np.uint8)
    cv2.putText(drawn, text, (12, tall + 6), font, 2.0, 255, thickness, cv2.LINE_AA)
    style = rng.random()
    if style < 0.2:  # fat
        drawn = cv2.dilate(drawn, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 4)))
    elif style < 0.3:  # outline
        drawn = cv2.morphologyEx(
            cv2.dilate(drawn, np.ones((3, 3), np.uint8)), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
        )
    elif style < 0.5:  # high contrast, as in book faces: uprights are thicker than bars
        drawn = cv2.dilate(drawn, np.ones((1, 5), np.uint8))
    ink = np.flatnonzero(drawn.any(axis=0))
    lines = np.flatnonzero(drawn.any(axis=1))
    if len(ink):
        drawn = drawn[lines[0] : lines[-1] + 1, ink[0] : ink[-1] + 1]
    return cv2.resize(drawn, (max(width, 1), max(height, 1)), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _set(rng: np.random.Generator, text: str, width: int, height: int) -> np.ndarray:
    """`mask_of` in one of the fonts at hand: the text keeps its proportions within a fifth, centred in the box."""
    from PIL import Image, ImageDraw, ImageFont

    files = _files.get()
    font = ImageFont.truetype(str(files[int(rng.integers(len(files)))]), 64)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (max(int(right - left), 1), max(int(bottom - top), 1)))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font)
    drawn = np.array(picture)
    wide, tall = max(width, 1), max(height, 1)
    factor = min(wide / drawn.shape[1], tall / drawn.shape[0])
    size = min(wide, round(1.2 * factor * drawn.shape[1]) or 1), min(tall, round(1.2 * factor * drawn.shape[0]) or 1)
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask: np.ndarray = np.zeros((tall, wide), np.float32)
    y, x = (tall - size[1]) // 2, (wide - size[0]) // 2
    mask[y : y + size[1], x : x + size[0]] = small
    return mask


def put(canvas: np.ndarray, mask: np.ndarray, x: int, y: int, tone: np.ndarray) -> None:
    """Lay a mask of ink with its top left corner at (x, y); what stands out is cut off."""
    height, width = canvas.shape[:2]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    if left >= right or top >= bottom:
        return
    part = mask[top - y : bottom - y, left - x : right - x, None]
    canvas[top:bottom, left:right] += (tone - canvas[top:bottom, left:right]) * part


def line(
    rng: np.random.Generator, canvas: np.ndarray, box: tuple[int, int, int, int], tone: np.ndarray, words: int
) -> None:
    """A line of words that fills the box (x, y, width, height) in pixels."""
    x, y, width, height = box
    put(canvas, mask_of(rng, phrase(rng, words), width, height), x, y, tone)


def paragraph(
    rng: np.random.Generator, canvas: np.ndarray, box: tuple[int, int, int, int], tone: np.ndarray, pitch: int
) -> None:
    """Rows of small words, `pitch` pixels from line to line, ragged on the right."""
    x, y, width, height = box
    for top in range(y, y + height - pitch, pitch):
        long = int(width * rng.uniform(0.75, 1.0)) if rng.random() < 0.85 else int(width * rng.uniform(0.2, 0.7))
        words = max(1, round(long / (pitch * 3.2)))
        put(canvas, mask_of(rng, phrase(rng, words).lower(), long, max(2, int(pitch * 0.65))), x, top, tone)
