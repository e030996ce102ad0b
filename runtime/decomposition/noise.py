"""Start noise: one stored tile, from which every size and seed is cut, alike in every backend and language.

A generator's numbers differ between libraries, and a graph in one file cannot draw them; a tile is the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.errors import InputError

TILE_SIDE = 64
_BLOCK = 32


def make_tile(channels: int, scale: float) -> np.ndarray:
    """(channels, 64, 64) float16, normal with standard deviation `scale`: what `export.build_onnx` stores.

    Of four blocks, each drawn by NumPy's PCG64 from its number. The first is what bundles of format 1 drew for a square
    image at 256 pixels and seed 0, so that their results stay what they were.
    """
    shape = (channels, _BLOCK, _BLOCK)
    blocks = [np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, np.float32) for seed in range(4)]
    return (np.block([blocks[:2], blocks[2:]]) * np.float32(scale)).astype(np.float16)


def cut(tile: np.ndarray, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Start noise of a latent (1, C, height, width) from a tile (C, S, S): rows and columns from an offset on, wrapped.

    The offset is seed % S columns and seed // S rows, so S * S seeds differ.
    """
    side = tile.shape[1]
    rows, columns = ((np.arange(count) + offset) % side for count, offset in ((height, seed // side), (width, seed)))
    return np.ascontiguousarray(tile[None, :, rows[:, None], columns], dtype=np.float32)


def read_tile(path: Path, channels: int) -> np.ndarray:
    """(channels, 64, 64) float32 from a bundle's file. Raises InputError."""
    try:
        tile = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(path, f"no NPY file ({' '.join(str(error).split())})", "the bundle's start noise") from error
    shape = (channels, TILE_SIDE, TILE_SIDE)
    if not isinstance(tile, np.ndarray) or tile.shape != shape or tile.dtype != np.float16:
        raise InputError(path, f"{getattr(tile, 'dtype', 'no array')} {getattr(tile, 'shape', '')}", f"float16 {shape}")
    if not np.isfinite(tile).all():
        raise InputError(path, "values that are not finite", "finite start noise")
    return tile.astype(np.float32)
