"""`shards`: the project's rendered views (`intrinsic_flow.train.data.shards`), each under its default light.

Shading is RGB; the albedo is the renderer's, in [0, 1]. Up to three views share a scene (its `seed`).
"""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, over_99th_percentile
from intrinsic_flow.benchmarks.scoring.metrics.materials import Materials
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import luminance
from intrinsic_flow.train.data.shards import ShardError, View, decode_members

_Place = tuple[str, int, int]  # extension, offset and size of a member in its tar file


class ShardDataset(Dataset):
    """Views of one tar shard, or of every shard in a folder (only of its `val-*.tar` where there are any)."""

    name = "shards"
    layout = "a tar shard of rendered views, or a folder with them (val-*.tar or *.tar)"
    published = "train/data/shards.py: the project's own format"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no shard or one holds no view, ShardError for a broken one."""
        super().__init__(path, split)
        shards = [path] if path.is_file() else sorted(path.glob("val-*.tar")) or sorted(path.glob("*.tar"))
        if not shards:
            raise self.wrong_layout("no *.tar file")
        self._places: dict[str, tuple[Path, list[_Place]]] = {}
        for shard in shards:
            views = _index(shard)
            if not views:
                raise InputError(shard, "no view", "a tar shard of rendered views")
            for key, places in views.items():
                self._places[key if key not in self._places else f"{shard.stem}/{key}"] = (shard, places)
        self.names = list(self._places)

    def load(self, name: str) -> Sample:
        """Raises ShardError for a broken view."""
        shard, places = self._places[name]
        members = {}
        with shard.open("rb") as file:
            for extension, offset, size in places:
                file.seek(offset)
                members[extension] = file.read(size)
        try:
            view = decode_members(members).decode()
        except (KeyError, ValueError) as error:
            raise ShardError(f"{shard}: view {name}: found {error}, expected the members of a view") from None
        return Sample(
            name=name,
            image=view.image,
            albedo=view.albedo,
            shading=over_99th_percentile(view.total_shading, view.mask),
            mask=view.mask,
            gray_shading=False,
            group=str(view.meta.get("seed", name)),
            labels=_materials(view),
        )


def _materials(view: View) -> Materials | None:
    """What each pixel shows, where the view stores it."""
    surface = getattr(view, "surface", None)
    if surface is None:
        return None
    materials = [material for material, *_ in view.meta["surfaces"]]
    names = tuple(sorted(set(materials)))
    return Materials(names, np.array([names.index(material) for material in materials])[surface])


class WhiteBalancedShardDataset(ShardDataset):
    """The same views, their default light pulled to neutral as a camera's white balance would."""

    def load(self, name: str) -> Sample:
        """Image and shading by channel over the colour of the mean shading of valid pixels, whose luminance stays."""
        sample = super().load(name)
        _, shading = sample.dense()
        light = shading[sample.mask].mean(0, dtype=np.float64) if sample.mask.any() else np.ones(3)
        if light.min() <= 0:
            return sample
        gains = (luminance(light) / light).astype(np.float32)
        balanced = over_99th_percentile(shading * gains, sample.mask)
        return replace(sample, image=sample.image * gains, shading=balanced)


def _index(shard: Path) -> dict[str, list[_Place]]:
    """Where each view's members lie, so that any view is read without the ones before it."""
    views: dict[str, list[_Place]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for entry in tar:
                if entry.isfile():
                    key, _, extension = Path(entry.name).name.partition(".")
                    views.setdefault(key, []).append((extension, entry.offset_data, entry.size))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ShardError(f"{shard}: found a broken archive ({error}), expected a tar shard") from None
    return views
