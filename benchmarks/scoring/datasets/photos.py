"""`photos`: any folder of photographs, without any truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, read_photo

ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"])


class PhotoDataset(Dataset):
    """The pictures of one folder in alphabetical order."""

    name = "photos"
    layout = "a folder with .png, .jpg, .tif or .webp pictures"
    published = "https://r0k.us/graphics/kodak/, for example"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no picture."""
        super().__init__(path, split)
        if not path.is_dir():
            raise self.wrong_layout("a file")
        self.names = sorted(file.name for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        if not self.names:
            raise self.wrong_layout("no picture in it")

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file."""
        image = read_photo(self.path / name)
        return Sample(name, image, None, None, np.ones(image.shape[:2], bool), gray_shading=False)
