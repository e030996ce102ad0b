"""`saw`: shading annotations in the wild (Kovacs et al., CVPR 2017).

The parts of the release that the score needs, as its `download_saw.sh` lays them out (kovibalu/saw_release):
photos of up to 512 pixels, one label a pixel (0 normal or depth boundary, 1 shadow boundary, 2 smooth, 100 none) and
the photos of each split. `SawShadingDataset` is something else: precomputed shading pictures, with which a
published README prints an MSE "on SAW".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, read_linear, read_photo, same_size
from intrinsic_flow.benchmarks.scoring.metrics.shading_gradient import ShadingLabels
from intrinsic_flow.errors import InputError

LABELS = "saw_data-filter_size_0-ignore_border_0.05-normal_gradmag_thres_1.5-depth_gradmag_thres_2.0"


class SawDataset(Dataset):
    """The labelled photos of one split; photos without any label are skipped when they are loaded."""

    name = "saw"
    layout = f"saw_images_512/ID.png, saw_pixel_labels/{LABELS}/ID.npy, saw_splits/{{train,val,test}}_ids.npy"
    published = "https://github.com/kovibalu/saw_release (download_saw.sh)"
    splits = ("test", "val", "train")

    def __init__(self, path: Path, split: str | None = None) -> None:
        """path: the folder `saw`. Raises InputError where a part of the layout or a photo of the split is missing."""
        super().__init__(path, split)
        labels = path / "saw_pixel_labels"
        self._labels = labels / LABELS if (labels / LABELS).is_dir() else labels
        self._images = path / "saw_images_512"
        ids = path / "saw_splits" / f"{self.split}_ids.npy"
        for part, there in ((self._images, self._images.is_dir()), (labels, labels.is_dir()), (ids, ids.is_file())):
            if not there:
                raise self.wrong_layout(f"no {part.relative_to(path)}")
        self.names = [str(name) for name in _array(ids).ravel()]
        missing = [name for name in self.names if not (self._images / f"{name}.png").is_file()]
        if missing or not self.names:
            found = f"no {missing[0]}.png and {len(missing) - 1} more" if missing else f"no photo in {ids.name}"
            raise self.wrong_layout(found, self._images)

    def load(self, name: str) -> Sample:
        """A photo without labels has an empty mask. Raises InputError for missing or unreadable labels or other sizes."""
        path, labels = self._images / f"{name}.png", self._labels / f"{name}.npy"
        image, classes = read_photo(path), _array(labels)
        if classes.ndim != 2:
            raise InputError(labels, f"an array of shape {classes.shape}", "one label a pixel (height, width)")
        same_size(labels, classes, path, image)
        mask = np.full(classes.shape, bool((classes <= 2).any()))
        return Sample(name, image, None, None, mask, gray_shading=True, labels=ShadingLabels(classes))


class SawShadingDataset(Dataset):
    """Photos with a shading that another method had made: no ground truth, whatever the set is called."""

    name = "saw"
    layout = "ID/ID_reconstructed_ldr.png, ID/ID_albedo.png, ID/ID_shading.png"
    published = "nowhere; made by https://github.com/mithleshsingla/image_to_albedo_shading (eval/eval_saw.py reads it)"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where no folder holds the three files."""
        super().__init__(path, split)
        self.names = (
            sorted(
                folder.name for folder in path.iterdir() if folder.is_dir() and all(p.is_file() for p in _triplet(folder))
            )
            if path.is_dir()
            else []
        )
        if not self.names:
            raise self.wrong_layout("no such folder in it")

    def load(self, name: str) -> Sample:
        """Values are taken as stored, as the script does. Raises InputError for unreadable files or other sizes."""
        paths = _triplet(self.path / name)
        image, albedo, shading = (read_linear(path) for path in paths)
        for path, layer in zip(paths[1:], (albedo, shading), strict=True):
            same_size(path, layer, paths[0], image)
        return Sample(name, image, albedo, shading, np.ones(image.shape[:2], bool), gray_shading=True)


def _triplet(folder: Path) -> list[Path]:
    return [folder / f"{folder.name}_{kind}.png" for kind in ("reconstructed_ldr", "albedo", "shading")]


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(path, f"an unreadable array ({error})", "a NumPy file without objects") from None
