"""Make a bank of prints and lettering that training lays over surfaces (--prints).

    python -m train.prepare_prints -o prints.npy
    python -m train.prepare_prints --assets assets/ --count 1000 -o prints.npy

Posters, covers, spines, labels, printed cloth, wallpaper and single lines of letters, drawn at random; with --assets in its
fonts/ (TrueType), and of its prints/ (pictures) square parts as well. The file is one array (N, 4, 256, 256) uint8,
square-root coded albedo and coverage; it appears only complete. Exit code: 0 done, 1 bad input, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.media.atomic_file import replace_when_complete
from intrinsic_flow.train.rendering.appearance import textures
from intrinsic_flow.train.rendering.appearance.assets import Assets
from intrinsic_flow.train.rendering.appearance.patterns import lettering
from intrinsic_flow.train.rendering.appearance.patterns.common import color, encode, pick

SIZE = 256
# Shares of lettering without a ground and of the assets' pictures (where there are any); the others are drawn.
_LETTERS, _PICTURES = 0.35, 0.2
_DRAWN = ("cover", "spine", "picture", "label", "label", "rug")


def make_print(rng: np.random.Generator, assets: Assets | None) -> np.ndarray:
    """(4, SIZE, SIZE) uint8: square-root coded albedo, and coverage, 0 to 255. Its top is the first row."""
    if rng.random() < _LETTERS:
        return _letters(rng)
    found = assets.print(rng) if assets is not None and assets.has_prints() and rng.random() < _PICTURES else None
    pixels = (found or textures.draw(rng, pick(rng, *_DRAWN))).pixels[::-1]
    side = min(pixels.shape[:2])
    top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
    square = cv2.resize(pixels[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.concatenate([square, np.full((SIZE, SIZE, 1), 255, np.uint8)], axis=2).transpose(2, 0, 1)


def _letters(rng: np.random.Generator) -> np.ndarray:
    """Lines of words in one ink, nothing between them."""
    mask: np.ndarray = np.zeros((SIZE, SIZE, 3), np.float32)
    white: np.ndarray = np.ones(3, np.float32)
    y = int(SIZE * rng.uniform(0, 0.3))
    while y < SIZE - 16:
        tall = int(np.exp(rng.uniform(np.log(14), np.log(110))))
        wide = int(SIZE * rng.uniform(0.5, 1.0))
        lettering.line(rng, mask, (int(rng.integers(SIZE - wide + 1)), y, wide, tall), white, int(rng.integers(1, 4)))
        y += int(tall * rng.uniform(1.1, 1.6))
    ink = encode(color(rng, pick(rng, "ink", "print", "paper", "plastic")))
    coverage = (mask[..., :1] * 255 + 0.5).astype(np.uint8)
    return np.concatenate([np.broadcast_to(ink, mask.shape), coverage], axis=2).transpose(2, 0, 1)


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("train.prepare_prints", __doc__)
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the bank, .npy")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="folder with fonts/ and prints/")
    parser.add_argument("--count", type=at_least(1), default=600, metavar="N", help="how many prints (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="what is drawn (default: 0)")
    parser.add_argument("--quiet", action="store_true", help="print problems only")
    return parser


@program("prepare_prints", interrupted="interrupted, no file written")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = build_parser().parse_args(argv)
    assets = None if options.assets is None else Assets.open(options.assets)
    bank: np.ndarray = np.empty((options.count, 4, SIZE, SIZE), np.uint8)
    with lettering.fonts(() if assets is None else assets.fonts):
        for number in range(options.count):
            bank[number] = make_print(np.random.default_rng([options.seed, number]), assets)
    with replace_when_complete(options.output) as partial, partial.open("wb") as stream:
        np.save(stream, bank)
    Progress(quiet=options.quiet).log(f"{options.count} prints -> {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
