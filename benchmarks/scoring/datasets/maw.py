"""`maw`: measured albedo in the wild (Wu et al., ICCP 2023), photos of rooms with measured albedo on marked surfaces.

The release's `labels.zip` and `images_png.zip` (MeasuredAlbedo/code: `utils.PathFinder`): `labels/meta.csv` has no
header and, separated by tabs, the columns colours (.npy with N linear Adobe RGB triples), mask (a picture with 0 for
nothing and N other values, in the order of the colours), category, picture, a preview and WHDR judgements; the
photo is CATEGORY/PICTURE.png.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, fitted, read_photo, resized
from intrinsic_flow.benchmarks.scoring.metrics.measured_albedo import MeasuredRegions, adobe_to_rec709
from intrinsic_flow.errors import InputError

# Scores are taken at 320x240; the photos have 24 megapixels.
LONG_SIDE = 640


class MawDataset(Dataset):
    """Photos in the order of `labels/meta.csv`, named CATEGORY/PICTURE; rows of one photo keep their own names."""

    name = "maw"
    layout = "labels/meta.csv, labels/... (masks and colours it names), images_png/CATEGORY/PICTURE.png"
    published = "https://github.com/MeasuredAlbedo/code (labels.zip, images_png.zip)"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where the table, a file that it names or a photo is missing."""
        super().__init__(path, split)
        table, self._images = path / "labels" / "meta.csv", path / "images_png"
        for part, found in ((table, table.is_file()), (self._images, self._images.is_dir())):
            if not found:
                raise self.wrong_layout(f"no {part.relative_to(path)}")
        with table.open(newline="", encoding="utf-8") as text:
            rows = [row for row in csv.reader(text, delimiter="\t") if row]
        if not rows or any(len(row) < 4 for row in rows):
            raise self.wrong_layout("no table with at least 4 columns, separated by tabs", table)
        self._rows: dict[str, tuple[Path, Path, Path]] = {}
        for colors, mask, category, picture, *_ in rows:
            name = f"{category}/{picture}"
            files = (self._images / category / f"{picture}.png", path / "labels" / mask, path / "labels" / colors)
            for file in files:
                if not file.is_file():
                    raise self.wrong_layout("nothing there", file)
            self._rows[name if name not in self._rows else f"{name} ({Path(mask).stem})"] = files
        self.names = list(self._rows)

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file or colours without regions."""
        photo, mask_path, colors = self._rows[name]
        image = read_photo(photo)
        regions = cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)
        if regions is None or regions.ndim not in (2, 3):
            raise InputError(mask_path, "no picture", "a mask with one value a region")
        regions = regions if regions.ndim == 2 else regions[..., 0]
        try:
            measured = np.asarray(np.load(colors), np.float64).reshape(-1, 3)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(colors, f"no colours ({error})", "a NumPy file (N, 3)") from None
        indices = [int(index) for index in np.unique(regions) if index]
        if not indices or len(indices) > len(measured):
            raise InputError(mask_path, f"{len(indices)} regions", f"1 to {len(measured)}, the colours in {colors.name}")
        labels = MeasuredRegions(regions, dict(zip(indices, adobe_to_rec709(measured), strict=False)))
        size = fitted(image.shape, min(LONG_SIDE, max(image.shape[:2])))
        small = resized(image, size)
        mask = np.ones(small.shape[:2], bool)
        return Sample(name, small, None, None, mask, gray_shading=False, group=name.split("/")[0], labels=labels)
