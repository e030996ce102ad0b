"""`mit`: the MIT intrinsic images (Grosse et al., ICCV 2009), 20 objects photographed with polarisers.

One folder an object with 16-bit linear PNG files: `diffuse` (the input: no specular light), `reflectance`,
`shading` (grey), `mask`, and `light01` to `light10`, each the object under one lamp (used by the constancy
protocol; any number of them may be missing). Full scale is 65025; the truth's scale is arbitrary.

Names and splits as in the published code (davidstutz/grosse2009-intrinsic-images: `intrinsic.load_object_helper`,
`comparison.SET1`, `SET2`) and in Barron & Malik (SIRFS, TPAMI 2015), whose halves the learned methods use
(tnarihira/direct-intrinsics, data/mit).
"""

from __future__ import annotations

from pathlib import Path

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, over_99th_percentile, read_linear, same_size
from intrinsic_flow.benchmarks.scoring.metrics import LMSE_WINDOW
from intrinsic_flow.errors import InputError

BARRON_TEST = frozenset(["cup2", "deer", "frog2", "paper2", "pear", "potato", "raccoon", "sun", "teabag1", "turtle"])
BARRON_TRAIN = frozenset(["apple", "box", "cup1", "dinosaur", "frog1", "panther", "paper1", "phone", "squirrel", "teabag2"])
# Left out by Grosse et al. "because they have slight problems".
GROSSE = (BARRON_TEST | BARRON_TRAIN) - frozenset(["apple", "pear", "phone", "potato"])

_SPLITS = {"all": None, "test": BARRON_TEST, "train": BARRON_TRAIN, "grosse": GROSSE}


class MitDataset(Dataset):
    """The objects in a folder, in alphabetical order.

    Splits: `all` of the folder, Barron's `test` and `train` halves, and the sixteen of `grosse`.
    """

    name = "mit"
    layout = "folders OBJECT/{diffuse,reflectance,shading,mask}.png, OBJECT/light01.png ... for constancy"
    published = "http://people.csail.mit.edu/rgrosse/intrinsic/intrinsic-data.tar.gz"
    splits = tuple(_SPLITS)
    files = ("diffuse", "reflectance", "shading", "mask")

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no object (of the split) or one lacks a file."""
        super().__init__(path, split)
        if not path.is_dir():
            raise self.wrong_layout("a file")
        folders = [folder for folder in path.iterdir() if any((folder / f"{name}.png").is_file() for name in self.files)]
        if not folders:
            raise self.wrong_layout("no such folder in it")
        wanted = _SPLITS[self.split]
        self.names = sorted(folder.name for folder in folders if wanted is None or folder.name in wanted)
        if not self.names:
            found = f"no object of the split {self.split!r} among {len(folders)}"
            raise InputError(path, found, f"{', '.join(sorted(wanted or ()))}, or another --split")
        for name in self.names:
            missing = [f"{layer}.png" for layer in self.files if not (path / name / f"{layer}.png").is_file()]
            if missing:
                raise self.wrong_layout(f"no {' and no '.join(missing)}", path / name)

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file, files of different size or ones too small for the scores."""
        folder = self.path / name
        lights = sorted(folder.glob("light[0-9][0-9].png"))
        paths = {layer: folder / f"{layer}.png" for layer in self.files} | {path.stem: path for path in lights}
        layers = {layer: read_linear(path) for layer, path in paths.items()}
        for layer, path in paths.items():
            same_size(path, layers[layer], paths["diffuse"], layers["diffuse"])
        height, width = layers["diffuse"].shape[:2]
        if min(height, width) < LMSE_WINDOW:
            raise InputError(folder, f"{width}x{height} pixels", f"pictures of at least {LMSE_WINDOW} pixels a side")
        mask = layers["mask"][..., 0] > 0.5
        return Sample(
            name=name,
            image=layers["diffuse"],
            albedo=over_99th_percentile(layers["reflectance"], mask),
            shading=over_99th_percentile(layers["shading"], mask),
            mask=mask,
            gray_shading=True,
            lights=tuple(layers[path.stem] for path in lights),
        )
