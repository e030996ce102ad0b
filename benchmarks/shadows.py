"""How much of a hard shadow stays in the albedo: pairs of patches of one surface, one in the light and one in the shade.

    python -m benchmarks.shadows
    python -m benchmarks.shadows --bundle small out/retrained --resolution 384
    python -m benchmarks.shadows --pairs photos/shadows.json --json shadows.json

Photographs have no ground truth, but a wall is a wall on both sides of a shadow's edge. The score of a pair is
log(albedo lit / albedo shaded) / log(image lit / image shaded), of the patches' median luminance: 0 where the shadow is
all shading, 1 where it is all albedo, below 0 where the albedo is brighter in the shade. Without --pairs: four shadows
in the project's examples. A file of pairs is a JSON list of

    {"picture": "wall.jpg", "name": "fence", "lit": [left, top, right, bottom], "shade": [left, top, right, bottom]}

with pictures relative to the file and corners in pixels; the two patches have to show the same material.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intrinsic_flow import Decomposer
from intrinsic_flow.benchmarks.report import environment, write_json
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import check_writable
from intrinsic_flow.media.color import luminance
from intrinsic_flow.media.images import read_image

_EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# The shade has to be darker by this factor, or there is no shadow to speak of.
LEAST_RATIO = 1.2
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pair:
    """Two patches of one surface. lit, shade: left, top, right, bottom in pixels."""

    picture: Path
    name: str
    lit: Box
    shade: Box


EXAMPLES = (
    Pair(_EXAMPLES / "objects.png", "window bar", (570, 150, 610, 185), (628, 150, 658, 185)),
    Pair(_EXAMPLES / "objects.png", "beside the window", (470, 110, 530, 145), (30, 100, 90, 160)),
    Pair(_EXAMPLES / "outdoor.png", "tree on the roof", (300, 80, 400, 110), (150, 130, 250, 150)),
    Pair(_EXAMPLES / "outdoor.png", "chimney on the roof", (430, 72, 490, 92), (560, 66, 588, 78)),
)


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a JSON file. InputError names what is wrong with it."""
    expected = 'a JSON list of {"picture", "name", "lit", "shade"}, patches as [left, top, right, bottom]'
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        pairs = [
            Pair(file.parent / entry["picture"], str(entry["name"]), _box(entry["lit"]), _box(entry["shade"]))
            for entry in entries
        ]
    except FileNotFoundError:
        raise InputError(file, "no such file", expected) from None
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(file, f"no pairs ({type(error).__name__}: {error})", expected) from None
    if not pairs:
        raise InputError(file, "an empty list", expected)
    return pairs


def _box(values: Sequence[int]) -> Box:
    left, top, right, bottom = (int(value) for value in values)
    if not (0 <= left < right and 0 <= top < bottom):
        raise ValueError(f"the patch {list(values)}")
    return left, top, right, bottom


def kept(image: np.ndarray, albedo: np.ndarray, pair: Pair) -> tuple[float, float]:
    """(share of the shadow that the albedo keeps, how many times darker the shade is in the image).

    image, albedo: (H, W, 3) float32 linear. InputError: a patch outside of the picture, or no shadow.
    """
    levels = [_level(layer, box, pair) for layer in (image, albedo) for box in (pair.lit, pair.shade)]
    ratio = levels[0] / levels[1]
    if ratio < LEAST_RATIO:
        found = f"pair {pair.name!r} with a shade {ratio:.2f} times as dark as the light"
        raise InputError(pair.picture, found, f"at least {LEAST_RATIO} times")
    return float(np.log(levels[2] / levels[3]) / np.log(ratio)), float(ratio)


def _level(layer: np.ndarray, box: Box, pair: Pair) -> float:
    left, top, right, bottom = box
    height, width = layer.shape[:2]
    if right > width or bottom > height:
        raise InputError(
            pair.picture, f"pair {pair.name!r} with a patch up to {right}, {bottom}", f"{width}x{height} pixels"
        )
    return max(float(np.median(luminance(layer[top:bottom, left:right]))), 1e-6)


def measure(pairs: Sequence[Pair], bundle: str | None, resolution: int) -> list[dict[str, object]]:
    """A row for each pair: picture, name, ratio in the image, kept."""
    rows: list[dict[str, object]] = []
    with Decomposer.load(bundle, resolution=resolution) as model:
        for picture in dict.fromkeys(pair.picture for pair in pairs):
            image = read_image(picture).pixels
            albedo = model.decompose(image).albedo
            for pair in pairs:
                if pair.picture == picture:
                    share, ratio = kept(image, albedo, pair)
                    rows.append({"picture": picture.name, "name": pair.name, "ratio": ratio, "kept": share})
    return rows


def table(results: dict[str, list[dict[str, object]]]) -> str:
    """Pairs by bundles as a Markdown table, the mean last."""
    lines = ["| shadow | darker by | " + " | ".join(results) + " |", "|---|---:|" + "---:|" * len(results)]
    for rows in zip(*results.values()):
        first = rows[0]
        shares = " | ".join(f"{row['kept']:.2f}" for row in rows)
        lines.append(f"| {first['picture']}: {first['name']} | {first['ratio']:.1f} | {shares} |")
    means = [np.mean([row["kept"] for row in rows]) for rows in results.values()]
    return "\n".join([*lines, "| mean | | " + " | ".join(f"{mean:.2f}" for mean in means) + " |"])


@program("benchmarks.shadows", ValueError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line where something cannot be read."""
    parser = command_parser("benchmarks.shadows", __doc__)
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="JSON file of pairs (default: the project's examples)")
    parser.add_argument("--bundle", nargs="+", metavar="small|PATH", help="model bundles (default: the best shipped)")
    parser.add_argument(
        "--resolution", type=at_least(32), default=256, help="short side of the network (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and environment")
    args = parser.parse_args(arguments)
    check_writable(args.json)
    pairs = read_pairs(args.pairs) if args.pairs else list(EXAMPLES)
    bundles: list[str | None] = args.bundle or [None]
    results = {bundle or "shipped": measure(pairs, bundle, args.resolution) for bundle in bundles}
    print(table(results))
    if args.json:
        rows = [{"bundle": bundle, **row} for bundle, found in results.items() for row in found]
        write_json(args.json, {"environment": environment(), "resolution": args.resolution, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
