"""`hypersim`: rendered rooms with diffuse reflectance and illumination (Roberts et al., ICCV 2021).

The layout of apple/ml-hypersim: scenes `ai_VVV_NNN` with `images/scene_cam_CC_final_hdf5/frame.FFFF.KIND.hdf5`, whose
one array is called `dataset`; KIND is `color`, `diffuse_reflectance` and `diffuse_illumination` (float16, linear),
color = reflectance x illumination + residual. `scene_cam_CC_geometry_hdf5/frame.FFFF.render_entity_id.hdf5`, where it
was downloaded, says where there is a surface (not -1). The public split is `metadata_images_split_scene_v1.csv`.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import (
    Dataset,
    Sample,
    fitted,
    over_99th_percentile,
    resized,
    same_size,
)
from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.train.data.hypersim import NO_ENTITY, read_layer

KINDS = ("color", "diffuse_reflectance", "diffuse_illumination")
SPLIT_TABLE = "metadata_images_split_scene_v1.csv"
LONG_SIDE = 512
# What the renderer calls diffuse has at least this albedo; lamps, sky and mirrors are 0.
LEAST_ALBEDO = 1e-3


class HypersimDataset(Dataset):
    """Frames in order of scene, camera and number, named SCENE/CAMERA/FRAME. `all` needs no split table."""

    name = "hypersim"
    layout = (
        f"ai_VVV_NNN/images/scene_cam_CC_final_hdf5/frame.FFFF.{{{','.join(KINDS)}}}.hdf5, {SPLIT_TABLE} (for the splits)"
    )
    published = "https://github.com/apple/ml-hypersim"
    splits = ("test", "val", "train", "all")

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no frame (of the split) or one lacks a layer, MissingExtraError without h5py."""
        super().__init__(path, split)
        try:
            import h5py  # noqa: F401
        except ImportError:
            raise MissingExtraError("h5py", "benchmarks") from None
        self._frames = {
            name: file
            for file in sorted(path.glob(f"ai_*/images/scene_cam_*_final_hdf5/frame.*.{KINDS[0]}.hdf5"))
            if (name := _name(file))
        }
        if not self._frames:
            raise self.wrong_layout(f"no frame.FFFF.{KINDS[0]}.hdf5")
        if self.split != "all":
            wanted = self._of_split()
            self._frames = {name: file for name, file in self._frames.items() if name in wanted}
            if not self._frames:
                raise InputError(path, f"no frame of the split {self.split!r}", "its scenes, or --split all")
        for file in self._frames.values():
            for kind in KINDS[1:]:
                if not _sibling(file, kind).is_file():
                    raise self.wrong_layout(f"no {_sibling(file, kind).name}", file.parent)
        self.names = list(self._frames)

    def load(self, name: str) -> Sample:
        """A frame of 512 pixels. The mask is where there is a surface with finite, positive albedo and light.

        Raises InputError for an unreadable file or layers of different size.
        """
        file = self._frames[name]
        image, albedo, shading = (read_layer(_sibling(file, kind), 3) for kind in KINDS)
        for kind, layer in zip(KINDS[1:], (albedo, shading), strict=True):
            same_size(_sibling(file, kind), layer, file, image)
        valid = np.isfinite(np.concatenate([image, albedo, shading], -1)).all(-1)
        valid &= (albedo.max(-1) > LEAST_ALBEDO) & (shading.max(-1) > 0)
        entities = Path(str(file.parent).replace("_final_", "_geometry_")) / file.name.replace(KINDS[0], "render_entity_id")
        if entities.is_file():
            valid &= read_layer(entities, None) != NO_ENTITY
        size = fitted(image.shape, LONG_SIDE)
        layers = [
            resized(np.clip(np.nan_to_num(layer, nan=0, posinf=0, neginf=0), 0, None), size)
            for layer in (image, albedo, shading)
        ]
        # A pixel that mixes a surface with none has no truth.
        mask = resized(valid.astype(np.float32)[..., None].repeat(3, -1), size)[..., 0] > 0.999
        return Sample(
            name=name,
            image=layers[0],
            albedo=layers[1],
            shading=over_99th_percentile(layers[2], mask),
            mask=mask,
            gray_shading=False,
            group=name.split("/")[0],
        )

    def _of_split(self) -> set[str]:
        table = self.path / SPLIT_TABLE
        if not table.is_file():
            raise InputError(table, "nothing there", f"the split table of {self.published}, or --split all")
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        try:
            return {
                f"{row['scene_name']}/{row['camera_name']}/{int(row['frame_id']):04d}"
                for row in rows
                if row["split_partition_name"] == self.split
            }
        except (KeyError, ValueError) as error:
            columns = "scene_name, camera_name, frame_id and split_partition_name"
            raise InputError(table, f"no such table ({error})", f"columns {columns}") from None


def _name(file: Path) -> str | None:
    camera = re.fullmatch(r"scene_(cam_\d+)_final_hdf5", file.parent.name)
    frame = re.fullmatch(r"frame\.(\d+)\.color\.hdf5", file.name)
    return f"{file.parents[2].name}/{camera[1]}/{frame[1]}" if camera and frame else None


def _sibling(file: Path, kind: str) -> Path:
    return file.with_name(file.name.replace(f".{KINDS[0]}.", f".{kind}."))
