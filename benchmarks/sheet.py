"""Photographs beside our answers and those that other systems published, as one picture to judge by eye.

    python -m benchmarks.sheet --published DIR --photos DIR -o sheet.png
    python -m benchmarks.sheet --photos DIR --bundle small out/new -o before_and_after.png

A row a photograph: the input; albedo and shading of each bundle; the albedo of each published system. Albedo is shown as
it is, sRGB-encoded, shading under a factor that brings its 98th percentile to white. The folders are those of
`benchmarks.quality` (`--dataset published`, `photos`); what it shows belongs to its photographers: keep it to yourself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow import Decomposer
from intrinsic_flow.benchmarks.scoring.datasets.photos import PhotoDataset
from intrinsic_flow.benchmarks.scoring.datasets.published import PublishedAnswers, PublishedDataset
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.media.atomic_file import check_writable
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear
from intrinsic_flow.media.images import write_image

_CAPTION, _GAP = 22, 4


def row(pictures: Mapping[str, np.ndarray], height: int) -> np.ndarray:
    """Captioned pictures side by side. pictures: caption -> (H, W, 3) float32 linear light. Returns (height + 22, width, 3)
    uint8 sRGB.
    """
    cells = []
    for caption, picture in pictures.items():
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        shown = cv2.resize(np.clip(picture, 0, 1).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        cell = np.full((height + _CAPTION, width + _GAP, 3), 24, np.uint8)
        cell[_CAPTION:, :width] = np.round(linear_to_srgb(shown) * 255)
        cv2.putText(cell, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (225, 225, 225), 1, cv2.LINE_AA)
        cells.append(cell)
    return np.concatenate(cells, axis=1)


def sheet(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows below each other, the shorter ones filled up. (H, W, 3) uint8."""
    width = max(one.shape[1] for one in rows)
    return np.concatenate([np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=24) for one in rows])


@program("benchmarks.sheet", ValueError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line where something cannot be read."""
    parser = command_parser("benchmarks.sheet", __doc__)
    parser.add_argument("--published", type=Path, metavar="DIR", help="photographs with published answers")
    parser.add_argument("--rivals", type=Path, dest="published", help=argparse.SUPPRESS)  # as it was called
    parser.add_argument("--photos", type=Path, metavar="DIR", help="folder of photographs")
    parser.add_argument(
        "--bundle", nargs="+", default=["small"], metavar="small|PATH", help="model bundles (default: small)"
    )
    parser.add_argument(
        "--height", type=at_least(32), default=240, metavar="N", help="of a picture in pixels (default: 240)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the sheet, a PNG")
    args = parser.parse_args(arguments)
    check_writable(args.output)
    folders = ((PublishedDataset, args.published), (PhotoDataset, args.photos))
    datasets = [kind(folder) for kind, folder in folders if folder is not None]
    if not datasets:
        parser.error("--published, --photos: found neither, expected a folder of photographs")
    rows = []
    with ExitStack() as opened:
        models = {name: opened.enter_context(Decomposer.load(name, "cpu")) for name in args.bundle}
        for dataset in datasets:
            for name in dataset.names:
                sample = dataset.load(name)
                pictures = {name: sample.image}
                for bundle, model in models.items():
                    result = model.decompose(sample.image)
                    white = max(float(np.percentile(result.shading, 98)), 1e-6)
                    pictures |= {f"{bundle}: albedo": result.albedo, f"{bundle}: shading": result.shading / white}
                if isinstance(sample.labels, PublishedAnswers):
                    pictures |= sample.labels.albedos
                rows.append(row(pictures, args.height))
    write_image(args.output, srgb_to_linear(sheet(rows) / np.float32(255)), format="png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
