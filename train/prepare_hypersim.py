"""Turn the Hypersim data set (Roberts et al., ICCV 2021) into training shards.

    python -m train.prepare_hypersim --data hypersim/ -o shards/hypersim
    python -m train.prepare_hypersim --data hypersim/ --split-csv metadata_images_split_scene_v1.csv --limit 500 -o trial/

--data is the folder with the unpacked scenes, `ai_VVV_NNN/images/...`. Of each frame, the files color and
diffuse_reflectance of `scene_cam_XX_final_hdf5` and render_entity_id of `scene_cam_XX_geometry_hdf5` are read. The split is
the official one: metadata_images_split_scene_v1.csv, from the folder evermotion_dataset/analysis of the repository
apple/ml-hypersim, looked for in --data. It also names the frames that are left out; train, val and test become shards.

Shading is color / diffuse_reflectance, RGB. Pixels without an object, non-finite ones and reflectance below 0.02 or above 1
are not valid. Needs the extra: pip install "intrinsic-flow[hypersim]". Hypersim's licence is CC BY-SA 3.0.

A run that is interrupted goes on by the same command. Exit code: 0 all done, 1 some frames failed (each is named, the
others are done), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import command_parser
from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.train.data.decomposed import picture_views, require_size
from intrinsic_flow.train.data.hypersim import NO_ENTITY, read_layer
from intrinsic_flow.train.data.preparation import (
    PACKS_BY_LIMIT,
    Job,
    add_options,
    finish,
    open_staging,
    resumable,
    run_jobs,
)
from intrinsic_flow.train.data.shard_writer import SPLITS
from intrinsic_flow.train.data.shards import View

SPLIT_CSV = "metadata_images_split_scene_v1.csv"
COLUMNS = (
    "scene_name",
    "camera_name",
    "frame_id",
    "included_in_public_release",
    "exclude_reason",
    "split_partition_name",
)

# Frames with less look out of a window, into a mirror or at a lamp: hardly any ground truth.
MIN_VALID_SHARE = 0.5

_FRAME = re.compile(r"frame\.(\d+)\.color\.hdf5")
_CAMERA = re.compile(r"scene_(cam_\d+)_final_hdf5")


@dataclass(frozen=True)
class Frame:
    """One frame of a camera, and how to read it. data: the folder of all scenes."""

    data: Path
    scene: str
    camera: str
    number: int
    size: int
    crops: int

    @property
    def unit(self) -> str:
        """The frame's unit in the shards."""
        return f"{self.scene}_{self.camera}_{self.number:04d}"

    def file(self, render_pass: str, layer: str) -> Path:
        """Path of a layer. render_pass: final or geometry."""
        folder = self.data / self.scene / "images" / f"scene_{self.camera}_{render_pass}_hdf5"
        return folder / f"frame.{self.number:04d}.{layer}.hdf5"


def convert(frame: Frame) -> list[View]:
    """The views of a frame. InputError: a file cannot be read or does not fit. Rejected: it teaches nothing."""
    color_path = frame.file("final", "color")
    color = read_layer(color_path, 3)
    require_size(color_path, color, frame.size)
    reflectance = read_layer(frame.file("final", "diffuse_reflectance"), 3)
    entity = read_layer(frame.file("geometry", "render_entity_id"), None)
    for path, layer in (("diffuse_reflectance", reflectance), ("render_entity_id", entity)):
        if layer.shape[:2] != color.shape[:2]:
            found, wanted = (f"{shape[1]}x{shape[0]}" for shape in (layer.shape, color.shape))
            raise InputError(color_path, f"{wanted} pixels", f"{found} as in {path} of the same frame")
    return picture_views(
        color,
        reflectance,
        entity != NO_ENTITY,
        size=frame.size,
        crops=frame.crops,
        min_valid=MIN_VALID_SHARE,
        meta={"kind": "hypersim", "scene": frame.scene, "source": frame.unit},
    )


def read_split(path: Path) -> dict[tuple[str, str, int], tuple[str | None, str]]:
    """The official split: (scene, camera, frame) -> (split, or None for an excluded frame; the reason).

    InputError: no such file, or not the columns of it.
    """
    if not path.is_file():
        where = f"{SPLIT_CSV} from evermotion_dataset/analysis of github.com/apple/ml-hypersim (see --split-csv)"
        raise InputError(path, "no such file", where)
    result: dict[tuple[str, str, int], tuple[str | None, str]] = {}
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise InputError(path, f"no column {', '.join(missing)}", f"the columns {', '.join(COLUMNS)}")
        for row in rows:
            try:
                key = (row["scene_name"], row["camera_name"], int(row["frame_id"]))
            except (TypeError, ValueError):
                raise InputError(path, f"frame_id {row['frame_id']!r} in line {rows.line_num}", "a number") from None
            split = row["split_partition_name"]
            if row["included_in_public_release"] == "True" and split in SPLITS:
                result[key] = (split, "")
            else:
                result[key] = (None, (row["exclude_reason"] or "not in the public release").lower())
    return result


def find_frames(data: Path, size: int, crops: int) -> list[Frame]:
    """Every frame that has a color file, by scene, camera and number. InputError: no such folder, or none in it."""
    expected = "a folder of unpacked Hypersim scenes (ai_VVV_NNN/images/scene_cam_XX_final_hdf5/frame.IIII.color.hdf5)"
    if not data.is_dir():
        raise InputError(data, "no such folder", expected)
    frames = []
    for path in sorted(data.glob("ai_*/images/scene_cam_*_final_hdf5/frame.*.color.hdf5")):
        number, camera = _FRAME.fullmatch(path.name), _CAMERA.fullmatch(path.parent.name)
        if number and camera:
            frames.append(Frame(data, path.parents[2].name, camera[1], int(number[1]), size, crops))
    if not frames:
        raise InputError(data, "no such file", expected)
    return frames


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.prepare_hypersim", __doc__)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the unpacked scenes ai_VVV_NNN")
    parser.add_argument("--split-csv", metavar="FILE", help=f"the official split (default: DIR/{SPLIT_CSV})")
    add_options(parser)
    return parser


@resumable(hint=PACKS_BY_LIMIT)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = build_parser().parse_args(argv)
    progress = Progress(quiet=options.quiet)
    if importlib.util.find_spec("h5py") is None:
        raise MissingExtraError("h5py", "hypersim")
    data = Path(options.data)
    frames = find_frames(data, options.size, options.crops)
    split_of = read_split(Path(options.split_csv) if options.split_csv else data / SPLIT_CSV)
    jobs: list[Job[Frame]] = []
    skipped: Counter[str] = Counter()
    for frame in frames:
        split, reason = split_of.get((frame.scene, frame.camera, frame.number), (None, "not in the split file"))
        if split is None:
            skipped[reason] += 1
        else:
            jobs.append(Job(split, frame.unit, frame, frame.unit))
    staging = open_staging(options.output, "hypersim", {"size": f"{options.size}x{options.size}", "crops": options.crops})
    outcome = run_jobs(jobs, convert, staging, progress, workers=options.workers, limit=options.limit, unit="frames")
    return finish(staging, outcome, progress, "frames", skipped)


if __name__ == "__main__":
    sys.exit(main())
