"""`shadow_moved`: fixed scenes over which a cast shadow moves, one picture without it and others with it.

    h12_lit.jpg         the scene without the shadow
    h12_1.jpg, ...      with it
    h12_1_mask.png ...  where it lies in that picture (over 127)

A sample is a scene: its image is the one without the shadow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, read_linear, read_photo, same_size


@dataclass(frozen=True)
class CastShadows:
    """names: of a scene's pictures with a shadow, the sample's lights. shadows: (H, W) bool each, where it lies."""

    names: tuple[str, ...]
    shadows: tuple[np.ndarray, ...]

    def picture(self, shape: tuple[int, int]) -> np.ndarray:
        """Where shadows lie: the brighter, the more of the pictures."""
        share = np.stack(self.shadows).mean(0, dtype=np.float32)
        resized = cv2.resize(share, shape[::-1], interpolation=cv2.INTER_AREA)
        return np.repeat(resized[..., None], 3, axis=-1)


class ShadowMovedDataset(Dataset):
    """Scenes in alphabetical order; a picture without its scene's lit one or without a mask is left out."""

    name = "shadow_moved"
    layout = "files SCENE_lit.jpg, SCENE_1.jpg, SCENE_1_mask.png, SCENE_2.jpg, ..."
    published = "photographs of one's own: a tripod and something that throws a shadow"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no scene."""
        super().__init__(path, split)
        masks = sorted(path.glob("*_mask.png")) if path.is_dir() else []
        self._shadowed: dict[str, list[str]] = {}
        for mask in masks:
            picture = mask.stem.removesuffix("_mask")
            scene = picture.rpartition("_")[0]
            if (path / f"{scene}_lit.jpg").is_file() and (path / f"{picture}.jpg").is_file():
                self._shadowed.setdefault(scene, []).append(picture)
        self.names = sorted(self._shadowed)
        if not self.names:
            raise self.wrong_layout("no such scene in it" if path.is_dir() else "a file")

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file or pictures of different size."""
        lit_file, names = self.path / f"{name}_lit.jpg", tuple(self._shadowed[name])
        image = read_photo(lit_file)
        files = [self.path / f"{picture}.jpg" for picture in names]
        mask_files = [self.path / f"{picture}_mask.png" for picture in names]
        lights, masks = [read_photo(file) for file in files], [read_linear(file) for file in mask_files]
        for file, pixels in zip(files + mask_files, lights + masks, strict=True):
            same_size(file, pixels, lit_file, image)
        labels = CastShadows(names, tuple(mask[..., 0] > 127 / 255 for mask in masks))
        everywhere = np.ones(image.shape[:2], bool)
        return Sample(name, image, None, None, everywhere, gray_shading=False, lights=tuple(lights), labels=labels)
