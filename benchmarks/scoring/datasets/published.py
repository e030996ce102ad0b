"""`published`: photographs with the answers that published systems gave, as their authors display them.

    indoor/ID_input.png, indoor/ID_SYSTEM_r.png (or _R, _pred_alb; .jpg)    albedo
    outdoor/CASE_input.jpg, outdoor/CASE_SYSTEM_albedo.jpg

All are decoded as sRGB and brought to the input's size, which some miss by a pixel and one system by its squashing to
256 x 256. Frames that the authors drew outdoors (green, orange and blue lines) are masked out, for everybody. Systems keep
the names that the files give them. Shading pictures have no common encoding and are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, read_photo, resized
from intrinsic_flow.media.color import linear_to_srgb

ENDINGS = ("_r", "_R", "_pred_alb", "_albedo")
_FRAMES = np.array([[0, 255, 0], [255, 165, 0], [0, 0, 255]], np.float32) / 255
_FRAME_TOLERANCE = 0.25
_FRAME_MARGIN = 5
_THICK = 7


@dataclass(frozen=True)
class PublishedAnswers:
    """albedos: system -> (H, W, 3) float32 linear light, of arbitrary scale."""

    albedos: Mapping[str, np.ndarray]

    def picture(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Nothing: the answers are shown as those of methods."""
        return None


class PublishedDataset(Dataset):
    """Photographs in alphabetical order, those of `indoor` first."""

    name = "published"
    layout = "folders indoor and outdoor: PHOTO_input.png or .jpg, PHOTO_SYSTEM_{r,R,pred_alb,albedo}.png or .jpg"
    published = "the systems' supplementary pages"
    splits = ("all", "indoor", "outdoor")

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no photograph."""
        super().__init__(path, split)
        folders = self.splits[1:] if self.split == "all" else (self.split,)
        self._inputs = {
            f"{folder}/{file.stem.removesuffix('_input')}": file
            for folder in folders
            for file in sorted((path / folder).glob("*_input.*"))
        }
        self.names = list(self._inputs)
        if not self.names:
            raise self.wrong_layout("no such photograph in it")

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file."""
        file = self._inputs[name]
        image, photo = read_photo(file), f"{file.stem.removesuffix('_input')}_"
        size = (image.shape[1], image.shape[0])
        albedos = {
            other.stem.removeprefix(photo).removesuffix(ending): resized(read_photo(other), size)
            for other in sorted(file.parent.glob(f"{photo}*"))
            for ending in ENDINGS
            if other.stem.endswith(ending)
        }
        framed = [_frames(picture) for picture in (image, *albedos.values())] if name.startswith("outdoor") else []
        mask = ~np.any(framed, axis=0) if framed else np.ones(image.shape[:2], bool)
        return Sample(name, image, None, None, mask, gray_shading=False, labels=PublishedAnswers(albedos))


def _frames(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: drawn lines and their blur; a patch of such a colour that is no thin line is part of the picture."""
    shown = linear_to_srgb(picture)
    drawn = np.any([np.abs(shown - color).max(-1) < _FRAME_TOLERANCE for color in _FRAMES], axis=0)
    drawn = drawn.astype(np.uint8)
    patches = cv2.morphologyEx(drawn, cv2.MORPH_OPEN, np.ones((_THICK, _THICK), np.uint8))
    thick = cv2.dilate(patches, np.ones((_THICK, _THICK), np.uint8))
    lines = np.where(thick > 0, 0, drawn).astype(np.uint8)
    return cv2.dilate(lines, np.ones((_FRAME_MARGIN, _FRAME_MARGIN), np.uint8)).astype(bool)
