"""`multi_illumination`: rooms photographed under two flashes (Murmann et al., ICCV 2019: the kind), ROOM_lightA and B."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, read_photo, same_size


class MultiIlluminationDataset(Dataset):
    """Rooms in alphabetical order; the image is that under light A."""

    name = "multi_illumination"
    layout = "files ROOM_lightA.jpg, ROOM_lightB.jpg"
    published = "https://projects.csail.mit.edu/illumination/: two of a room's directions"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no room or one lacks its second light."""
        super().__init__(path, split)
        first = sorted(path.glob("*_lightA.jpg")) if path.is_dir() else []
        self.names = [file.stem.removesuffix("_lightA") for file in first]
        if not self.names:
            raise self.wrong_layout("no such room in it" if path.is_dir() else "a file")
        for name in self.names:
            if not (path / f"{name}_lightB.jpg").is_file():
                raise self.wrong_layout(f"no {name}_lightB.jpg")

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file or pictures of different size."""
        files = [self.path / f"{name}_light{letter}.jpg" for letter in "AB"]
        first, second = (read_photo(file) for file in files)
        same_size(files[1], second, files[0], first)
        everywhere = np.ones(first.shape[:2], bool)
        return Sample(name, first, None, None, everywhere, gray_shading=False, lights=(first, second))
