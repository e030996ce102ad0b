"""Reads the layers of the Hypersim data set (Roberts et al., ICCV 2021): HDF5 files with one array called `dataset`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.errors import InputError, MissingExtraError

# What render_entity_id holds where there is no object.
NO_ENTITY = -1
_EXPECTED = "an HDF5 file of the Hypersim data set"


def read_layer(path: Path, channels: int | None) -> np.ndarray:
    """The array `dataset` of an HDF5 file: (H, W, channels) float32, or (H, W) int64 if channels is None.

    InputError: missing, damaged, or an array of another shape. MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "hypersim") from None
    if not path.is_file():
        raise InputError(path, "no such file", _EXPECTED)
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get("dataset"), h5py.Dataset):
                raise InputError(path, f"the entries {', '.join(file) or 'none'}", "an array 'dataset'")
            array = file["dataset"][()]
    except (OSError, RuntimeError) as error:
        raise InputError(path, f"a damaged or truncated HDF5 file ({error})", _EXPECTED) from error
    wanted = 2 if channels is None else 3
    if array.ndim != wanted or (channels is not None and array.shape[2] != channels) or array.dtype.kind not in "fiu":
        shape = "(height, width)" if channels is None else f"(height, width, {channels})"
        raise InputError(path, f"an array of shape {array.shape} and type {array.dtype}", f"numbers of shape {shape}")
    return array.astype(np.int64 if channels is None else np.float32)
