"""Noise that repeats without a seam: power-law noise, cells, wrapped warping. numpy and OpenCV only.

All fields are (size, size) float32 over one repeat; coordinates (x, y) run 0..1 along columns and rows. What is drawn
only once may use them as well: a seamless field is simply a field.
"""

from __future__ import annotations

import cv2
import numpy as np


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x, y of the pixel centres, 0..1, both (size, size) float32."""
    axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return np.meshgrid(axis, axis)


def fractal(
    rng: np.random.Generator,
    size: int,
    low: float = 2.0,
    slope: float = 1.0,
    high: float | None = None,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Gaussian noise with amplitude ~ frequency ** -slope per octave above `low` cycles per repeat; mean 0, standard
    deviation 1.

    slope 0: every octave is as strong; 1: each octave has half the amplitude of the one below. Below `low` it fades out,
    above `high` it ends. stretch (x, y): features are that much longer along x and y.
    """
    # Drawn in the frequency domain: half a spectrum of a real field, no forward transform.
    half = size // 2 + 1
    spectrum = rng.standard_normal((size, 2 * half), dtype=np.float32).view(np.complex64)
    fx = np.arange(half, dtype=np.float32) * np.float32(stretch[0])
    fy = np.fft.fftfreq(size, 1 / size).astype(np.float32) * np.float32(stretch[1])
    square = fx**2 + (fy**2)[:, None]
    # In two dimensions, equal variance per octave is an amplitude of 1 / f.
    amplitude = (square + np.float32(1e-6)) ** np.float32(-0.5 * (1 + slope))
    amplitude *= 1 - np.exp(-((square / np.float32(low**2)) ** 2))
    if high is not None:
        amplitude *= np.exp(-((square / np.float32(high**2)) ** 2))
    amplitude[0, 0] = 0
    field = np.fft.irfft2(spectrum * amplitude, (size, size)).astype(np.float32)
    return field / max(float(field.std()), 1e-12)


def cells(
    rng: np.random.Generator, size: int, columns: int, rows: int, jitter: float = 1.0, bend: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi cells of a grid of columns x rows points that are moved by up to `jitter` / 2 of the spacing.

    bend: the borders wander by about this many repeats. Returns the cell's number, (size, size) int32 below
    columns * rows, and the distance to its border in repeats, (size, size) float32.
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    x = (column + 0.5 + jitter * (rng.random(row.size) - 0.5)) / columns
    y = (row + 0.5 + jitter * (rng.random(row.size) - 0.5)) / rows
    number = nearest(size, x, y)
    if bend:
        dx, dy = (bend * fractal(rng, size, 1.5 * max(columns, rows), 2.0) for _ in range(2))
        i, j = np.meshgrid(np.arange(size), np.arange(size))
        number = number[np.rint(j + dy * size).astype(int) % size, np.rint(i + dx * size).astype(int) % size]
    return number, border_distance(number)


def nearest(size: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The number of the nearest of the points (x, y), (N,) in 0..1, for each pixel: (size, size) int32, wrapped."""
    index = np.full((size, size), -1, np.int32)
    index[(y * size).astype(int) % size, (x * size).astype(int) % size] = np.arange(len(x))
    # Points of the next repeats count too, as far as the largest gap between points could reach.
    pad = min(size, int(3 * size / np.sqrt(len(x))) + 2)
    wide = np.pad(index, pad, mode="wrap")
    mask = (wide < 0).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(mask, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    numbers = np.zeros(labels.max() + 1, np.int32)
    numbers[labels[wide >= 0]] = wide[wide >= 0]
    return numbers[labels[pad:-pad, pad:-pad]]


def border_distance(number: np.ndarray) -> np.ndarray:
    """Distance in repeats to where a map of numbers changes, (size, size) float32, wrapped."""
    size = number.shape[0]
    same = (number == np.roll(number, -1, 0)) & (number == np.roll(number, -1, 1))
    pad = size // 4
    wide = np.pad(same.astype(np.uint8), pad, mode="wrap")
    return cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_5)[pad:-pad, pad:-pad] / size


def warped(field: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The field looked up at (x + dx, y + dy), wrapped; field (N, N) or (N, N, C) float32, dx and dy in repeats."""
    size = field.shape[0]
    rows, columns = np.indices((size, size), dtype=np.float32)
    return cv2.remap(field, columns + dx * size, rows + dy * size, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with a standard deviation in pixels, wrapped at the borders; (H, W) or (H, W, C) float32."""
    pad = min(int(3 * sigma) + 1, *field.shape[:2])
    wide = cv2.copyMakeBorder(field, pad, pad, pad, pad, cv2.BORDER_WRAP)
    return cv2.GaussianBlur(wide, (0, 0), sigma)[pad:-pad, pad:-pad]


def step(value: np.ndarray, edge: float, width: float) -> np.ndarray:
    """0 below edge - width / 2, 1 above edge + width / 2, linear between: an edge without stairs."""
    return np.clip((value - edge) / max(width, 1e-6) + 0.5, 0, 1)
