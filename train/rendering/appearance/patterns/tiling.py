"""How pieces cover a surface: bricks in bond, tiles, boards, herringbone, hexagons, rubble. Every layout repeats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.train.rendering.appearance import noise


@dataclass(frozen=True, eq=False)
class Tiling:
    """Which piece lies where, over one repeat of N x N pixels.

    number: (N, N) int, the piece, below count. edge: (N, N) float32, distance to the joint in repeats. along, across:
    (N, N) float32, position from the piece's corner in repeats, along its long side and across it.
    """

    number: np.ndarray
    count: int
    edge: np.ndarray
    along: np.ndarray
    across: np.ndarray

    def per_piece(self, values: np.ndarray) -> np.ndarray:
        """values (count, ...) spread over the pixels."""
        return values[self.number]


def bond(
    size: int,
    columns: int,
    rows: int,
    offsets: np.ndarray,
    bend: tuple[np.ndarray, np.ndarray] | None = None,
) -> Tiling:
    """Rows of equal pieces along x. offsets: (rows,) in pieces, how far each row is moved (0 everywhere: a grid).
    bend: (dx, dy) in repeats, how far each pixel looks aside, for edges that are not straight.
    """
    x, y = noise.grid(size)
    if bend is not None:
        x, y = x + bend[0], y + bend[1]
    v = y * rows
    row = np.floor(v).astype(int)
    u = x * columns + offsets[row % rows].astype(np.float32)
    column = np.floor(u).astype(int)
    fu, fv = u - column.astype(np.float32), v - row.astype(np.float32)
    edge = np.minimum(np.minimum(fu, 1 - fu) / columns, np.minimum(fv, 1 - fv) / rows)
    number = (row % rows) * columns + column % columns
    return Tiling(number, rows * columns, edge, fu / columns, fv / rows)


def boards(rng: np.random.Generator, size: int, rows: int, longest: float) -> Tiling:
    """Boards along x, of random lengths about `longest` repeats; joints of neighbouring rows do not meet."""
    x, y = noise.grid(size)
    v = y * rows
    row = np.minimum(v.astype(int), rows - 1)
    number = np.zeros((size, size), int)
    along = np.zeros((size, size), np.float32)
    edge = np.zeros((size, size), np.float32)
    fv = v - row.astype(np.float32)
    count = 0
    for each in range(rows):
        pieces = max(1, round(rng.uniform(0.7, 1.3) / longest))
        lengths = rng.uniform(0.6, 1.4, pieces)
        ends = np.cumsum(lengths / lengths.sum())
        band = row[:, 0] == each
        u = (x[band] + rng.random()) % 1
        piece = np.minimum(np.searchsorted(ends, u), pieces - 1)
        starts = np.concatenate([[0], ends[:-1]])
        along[band] = u - starts[piece]
        # A single board has no butt joint: it goes on in the next repeat.
        butt = np.minimum(u - starts[piece], ends[piece] - u) if pieces > 1 else 1.0
        edge[band] = np.minimum(np.minimum(fv[band], 1 - fv[band]) / rows, butt)
        number[band] = count + piece
        count += pieces
    return Tiling(number, count, edge, along, fv / rows)


def herringbone(size: int, ratio: int, repeats: int) -> Tiling:
    """Pieces of 1 : ratio at right angles; `repeats` patterns across."""
    x, y = noise.grid(size)
    units = 2 * ratio * repeats
    u, v = x * units, y * units
    i, j = u.astype(int), v.astype(int)
    phase = (i - j) % (2 * ratio)
    lies = phase < ratio
    start_i = np.where(lies, i - phase, i)
    start_j = np.where(lies, j, j - (2 * ratio - 1 - phase))
    along = np.where(lies, u - start_i, v - start_j).astype(np.float32)
    across = np.where(lies, v - start_j, u - start_i).astype(np.float32)
    edge = np.minimum(np.minimum(along, ratio - along), np.minimum(across, 1 - across)) / units
    # Numbers have gaps; that only costs unused entries of per-piece tables.
    number = ((start_j % units) * units + start_i % units) * 2 + lies
    return Tiling(number, 2 * units * units, edge, along / units, across / units)


def hexagons(size: int, columns: int) -> Tiling:
    """Regular hexagons, nearly: the rows are rounded to an even number."""
    rows = max(2, 2 * round(columns / np.sqrt(3)))
    row, column = np.divmod(np.arange(rows * columns), columns)
    number = noise.nearest(size, (column + 0.5 * (row % 2)) / columns, (row + 0.5) / rows)
    x, y = noise.grid(size)
    return Tiling(number, rows * columns, noise.border_distance(number), x, y)


def rubble(rng: np.random.Generator, size: int, columns: int, rows: int, bend: float = 0.004) -> Tiling:
    """Irregular stones, as in dry walls and crazy paving."""
    number, edge = noise.cells(rng, size, columns, rows, rng.uniform(0.6, 1.0), bend)
    x, y = noise.grid(size)
    return Tiling(number, columns * rows, edge, x, y)
