"""`iiw`: intrinsic images in the wild (Bell et al., SIGGRAPH 2014), photos with people's comparisons of points.

`iiw-dataset/data` of the release: `ID.png` (sRGB) and `ID.json`, whose `intrinsic_points` have `id`, `x`, `y` in [0, 1)
and `opaque`, and whose `intrinsic_comparisons` have `point1`, `point2`, `darker` ("1", "2", "E" or null) and
`darker_score`, the weight (may be null). The test split is every fifth photo by number, from the first (Narihira et al.,
CVPR 2015), which is what learned methods report.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, read_photo
from intrinsic_flow.benchmarks.scoring.metrics.whdr import Judgements
from intrinsic_flow.errors import InputError

_DARKER = {"1": 1, "2": 2, "E": 0}


class IiwDataset(Dataset):
    """Photos in order of their numbers."""

    name = "iiw"
    layout = "ID.png and ID.json in it, in data/ or in iiw-dataset/data/, ID a number"
    published = "http://opensurfaces.cs.cornell.edu/publications/intrinsic/ (iiw-dataset-release-0.zip)"
    splits = ("test", "all")

    def __init__(self, path: Path, split: str | None = None) -> None:
        """path: the release's folder or its data folder. Raises InputError where there is no photo with judgements."""
        super().__init__(path, split)
        places = (path, path / "data", path / "iiw-dataset" / "data")
        folder = next((place for place in places if place.is_dir() and any(_numbered(place))), None)
        if folder is None:
            raise self.wrong_layout("no ID.json")
        self._folder = folder
        numbers = sorted((path.stem for path in _numbered(self._folder)), key=int)
        self.names = numbers[::5] if self.split == "test" else numbers
        missing = [name for name in self.names if not (self._folder / f"{name}.png").is_file()]
        if missing:
            raise self.wrong_layout(f"no {missing[0]}.png and {len(missing) - 1} more", self._folder)

    def load(self, name: str) -> Sample:
        """A photo without a usable comparison has an empty mask. Raises InputError for an unreadable file."""
        image = read_photo(self._folder / f"{name}.png")
        judgements = read_judgements(self._folder / f"{name}.json")
        mask = np.full(image.shape[:2], len(judgements.weight) > 0)
        return Sample(name, image, None, None, mask, gray_shading=False, labels=judgements)


def read_judgements(path: Path) -> Judgements:
    """The comparisons between opaque points that have an answer and a positive weight. Raises InputError."""
    try:
        content = json.loads(path.read_bytes())
        points = {point["id"]: point for point in content["intrinsic_points"]}
        rows = []
        for comparison in content["intrinsic_comparisons"]:
            weight, pair = comparison["darker_score"], (points[comparison["point1"]], points[comparison["point2"]])
            if comparison["darker"] in _DARKER and weight and weight > 0 and pair[0]["opaque"] and pair[1]["opaque"]:
                place = [float(point[axis]) for point in pair for axis in "xy"]
                rows.append([*place, _DARKER[comparison["darker"]], float(weight)])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"no judgements ({type(error).__name__}: {error})", IiwDataset.expected()) from None
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Judgements(table[:, :2], table[:, 2:4], table[:, 4].astype(np.int8), table[:, 5])


def _numbered(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.json") if path.stem.isdigit()]
