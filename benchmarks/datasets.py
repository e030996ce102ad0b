"""Pictures with a known decomposition, as the quality report reads them.

`shards`: the project's rendered views (`train.data.shards`), each under its default light. Shading is RGB;
the albedo is the renderer's, in [0, 1].

`mit`: objects of the MIT intrinsic images (Grosse et al., ICCV 2009), one folder each with the 16-bit linear
PNG files `diffuse` (the input: no specular light), `reflectance`, `shading` (grey) and `mask`. The scale of
the reflectance is arbitrary. Shading predictions are compared as Rec.709 luminance, because the truth has no
colour.

Truth of arbitrary scale (every shading, MIT's reflectance) is divided by the 99th percentile of its masked
values, so that the absolute scores mean the same in each picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.metrics import LMSE_WINDOW
from runtime.errors import InputError
from runtime.images import read_image
from train.data import shards

# A view with a truth in less than this share of its pixels is skipped: its scores would say nothing.
MINIMUM_VALID_SHARE = 0.02

_SHARED_PROTOCOL = (
    "native size, linear light, masked, mean over views of a score per view; one least-squares scale per "
    "view and layer; RMSE is the root of si-MSE; LMSE window 20 stride 10, one scale per window for all "
    "channels, sum of errors / sum of squared truth; SSIM Gaussian sigma 1.5, range 1; truth shading / its "
    "99th percentile"
)


@dataclass(frozen=True)
class Sample:
    """One picture with its truth.

    image, albedo, shading: (H, W, 3) float32, linear light. mask: (H, W) bool, where the truth is valid.
    gray_shading: the truth's shading has no colour, and predictions are compared as luminance.
    """

    name: str
    image: np.ndarray
    albedo: np.ndarray
    shading: np.ndarray
    mask: np.ndarray
    gray_shading: bool

    @property
    def valid_share(self) -> float:
        """Share of the pixels that have a truth."""
        return float(self.mask.mean())

    @property
    def usable(self) -> bool:
        """Whether scores say anything: enough valid pixels, of which not 99% are black in any layer."""
        if self.valid_share < MINIMUM_VALID_SHARE:
            return False
        layers = (self.image, self.albedo, self.shading)
        return all(np.percentile(layer[self.mask].mean(-1), 99) > 0 for layer in layers)


class ShardDataset:
    """Views of one tar shard, or of every shard in a folder (only of its `val-*.tar` where there are any)."""

    name = "shards"
    protocol = _SHARED_PROTOCOL + "; truth albedo as rendered"

    def __init__(self, path: Path) -> None:
        """Raises InputError where there is no shard."""
        _must_exist(path, "a tar shard or a folder with *.tar")
        self._shards = [path] if path.is_file() else sorted(path.glob("val-*.tar")) or sorted(path.glob("*.tar"))
        if not self._shards:
            raise InputError(path, "no *.tar file", "a folder with rendered shards (val-*.tar or *.tar)")

    def __len__(self) -> int:
        """The number of views. Raises InputError for a shard without views, ShardError for a broken one."""
        counts = {shard: sum(1 for _ in shards.raw_views(shard)) for shard in self._shards}
        for shard, count in counts.items():
            if not count:
                raise InputError(shard, "no view", "a tar shard of rendered views")
        return sum(counts.values())

    def __iter__(self) -> Iterator[Sample]:
        """Raises ShardError for a broken shard."""
        for shard in self._shards:
            for key, view in shards.views(shard):
                yield _shard_sample(key, view)


def _shard_sample(key: str, view: shards.View) -> Sample:
    return Sample(
        name=key,
        image=view.image,
        albedo=view.albedo,
        shading=_normalised(view.total_shading, view.mask),
        mask=view.mask,
        gray_shading=False,
    )


class MitDataset:
    """The objects in a folder, in alphabetical order."""

    name = "mit"
    protocol = (
        _SHARED_PROTOCOL + "; truth reflectance / its 99th percentile; shading compared as Rec.709 luminance; input "
        "diffuse.png"
    )
    files = ("diffuse", "reflectance", "shading", "mask")

    def __init__(self, path: Path) -> None:
        """Raises InputError where there is no object or one lacks a file."""
        expected = "folders OBJECT/{diffuse,reflectance,shading,mask}.png"
        _must_exist(path, expected)
        if not path.is_dir():
            raise InputError(path, "a file", expected)
        self._objects = sorted(
            folder for folder in path.iterdir() if any((folder / f"{name}.png").is_file() for name in self.files)
        )
        if not self._objects:
            raise InputError(path, "no such folder in it", expected)
        for folder in self._objects:
            missing = [f"{name}.png" for name in self.files if not (folder / f"{name}.png").is_file()]
            if missing:
                raise InputError(folder, f"no {' and no '.join(missing)}", expected)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Sample]:
        """Raises InputError for an unreadable file or files of different size."""
        for folder in self._objects:
            yield _mit_sample(folder)


def _mit_sample(folder: Path) -> Sample:
    layers = {}
    for name in MitDataset.files:
        path = folder / f"{name}.png"
        layers[name] = read_image(path, colorspace="linear").pixels
        size, wanted = layers[name].shape[1::-1], layers["diffuse"].shape[1::-1]
        if size != wanted:
            raise InputError(path, f"{size[0]}x{size[1]} pixels", f"{wanted[0]}x{wanted[1]} like diffuse.png")
    if min(wanted) < LMSE_WINDOW:
        raise InputError(folder, f"{wanted[0]}x{wanted[1]} pixels", f"pictures of at least {LMSE_WINDOW} pixels a side")
    mask = layers["mask"][..., 0] > 0.5
    return Sample(
        name=folder.name,
        image=layers["diffuse"],
        albedo=_normalised(layers["reflectance"], mask),
        shading=_normalised(layers["shading"], mask),
        mask=mask,
        gray_shading=True,
    )


def _normalised(truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Truth of arbitrary scale over the 99th percentile of its masked values; unchanged if that is 0."""
    peak = np.percentile(truth[mask], 99) if mask.any() else 0.0
    return (truth / peak).astype(np.float32) if peak > 0 else truth


def _must_exist(path: Path, expected: str) -> None:
    if not path.exists():
        raise InputError(path, "nothing there", expected)


DATASETS: dict[str, type[ShardDataset | MitDataset]] = {"shards": ShardDataset, "mit": MitDataset}
