"""`photometric_stereo`: objects under known directional lights, with the albedo that photometric stereo measured.

cat/light00.png ...            8-bit linear
cat/mask.png                   the object (over 127)
cat/ps_albedo_linear16.png     16-bit linear, of arbitrary scale
"""

from __future__ import annotations

from pathlib import Path

from intrinsic_flow.benchmarks.scoring.datasets.base import Dataset, Sample, over_99th_percentile, read_linear, same_size

ALBEDO = "ps_albedo_linear16.png"


class PhotometricStereoDataset(Dataset):
    """Objects in alphabetical order; the image is that under the first light."""

    name = "photometric_stereo"
    layout = f"folders OBJECT/{{light00,light01,...}}.png, OBJECT/mask.png, OBJECT/{ALBEDO}"
    published = "computer vision courses of the University of Washington, the lights"

    def __init__(self, path: Path, split: str | None = None) -> None:
        """Raises InputError where there is no object or one lacks a file."""
        super().__init__(path, split)
        self.names = sorted(file.parent.name for file in path.glob(f"*/{ALBEDO}")) if path.is_dir() else []
        if not self.names:
            raise self.wrong_layout("no such folder in it" if path.is_dir() else "a file")
        for name in self.names:
            folder = path / name
            if not (folder / "mask.png").is_file() or len(list(folder.glob("light[0-9][0-9].png"))) < 2:
                raise self.wrong_layout("no mask.png, or fewer than two lights", folder)

    def load(self, name: str) -> Sample:
        """Raises InputError for an unreadable file or pictures of different size."""
        folder = self.path / name
        files = sorted(folder.glob("light[0-9][0-9].png"))
        lights = [read_linear(file) for file in files]
        others = [folder / "mask.png", folder / ALBEDO]
        mask, albedo = (read_linear(file) for file in others)
        for file, pixels in zip([*files, *others], [*lights, mask, albedo], strict=True):
            same_size(file, pixels, files[0], lights[0])
        valid = mask[..., 0] > 127 / 255
        albedo = over_99th_percentile(albedo, valid)
        return Sample(name, lights[0], albedo, None, valid, gray_shading=False, lights=tuple(lights))
