"""Turn folders of images and their albedo (and perhaps their shading) into training shards.

    python -m train.prepare_pairs --images photos/ --albedo albedo/ -o shards/
    python -m train.prepare_pairs --images d/ --image-suffix _rgb --albedo d/ --albedo-suffix _albedo --linear -o shards/

Files match by their path below their folder, without suffix and extension. PNG, JPEG and other integer files are read as
sRGB, EXR, HDR and float files as linear; --linear or --srgb say it for all. Alpha below 1 means: not valid. Shading is
image / albedo where the albedo is above 0.02; everything else is stored as residual, so that the image is kept.
Views are squares, reduced in linear light to --size. Which split a pair goes to depends on its name alone.

A run that is interrupted goes on by the same command. Exit code: 0 all done, 1 some pairs failed or have no partner (each
is named, the others are done), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import FAILED, command_parser
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import IMAGE_SUFFIXES, ColorSpace, Image, read_image
from intrinsic_flow.train.data.decomposed import picture_views, require_size
from intrinsic_flow.train.data.preparation import (
    PACKS_BY_LIMIT,
    Job,
    add_options,
    finish,
    open_staging,
    resumable,
    run_jobs,
)
from intrinsic_flow.train.data.shards import View

# Objects before a black background fill little of their picture; below, training leaves a view out anyway.
MIN_VALID_SHARE = 0.05
# What `--albedo-scale peak` brings the 99th percentile of the brightest channel to.
PEAK_ALBEDO = 0.9
_NAMED = 10


@dataclass(frozen=True)
class Pair:
    """Files of one picture, and how to read them. albedo_scale: factor on the albedo, None for `peak`."""

    name: str
    image: Path
    albedo: Path
    shading: Path | None
    colorspace: ColorSpace
    albedo_scale: float | None
    size: int
    crops: int


def convert(pair: Pair) -> list[View]:
    """The views of a pair. InputError: a file cannot be read or does not fit. Rejected: it teaches nothing."""
    image = _read(pair.image, pair.colorspace)
    require_size(pair.image, image.pixels, pair.size)
    albedo = _read_like(pair.albedo, pair.colorspace, image, pair.image)
    shading = None if pair.shading is None else _read_like(pair.shading, pair.colorspace, image, pair.image)
    valid = np.ones(image.pixels.shape[:2], bool)
    for layer in (image, albedo, shading):
        if layer is not None and layer.alpha is not None:
            valid &= layer.alpha >= 0.999
    scale = pair.albedo_scale
    if scale is None:
        peak = float(np.percentile(albedo.pixels.max(-1)[valid], 99)) if valid.any() else 0.0
        scale = PEAK_ALBEDO / peak if peak > 0 else 1.0
        # The brightest percent is white, not lost.
        albedo_pixels = np.minimum(albedo.pixels * np.float32(scale), 1)
    else:
        albedo_pixels = albedo.pixels * np.float32(scale)
    return picture_views(
        image.pixels,
        albedo_pixels,
        valid,
        size=pair.size,
        crops=pair.crops,
        min_valid=MIN_VALID_SHARE,
        meta={"kind": "pair", "source": pair.name},
        shading=None if shading is None else shading.pixels,
    )


def _read(path: Path, colorspace: ColorSpace) -> Image:
    """A picture as light: what a float file has below 0 is none."""
    image = read_image(path, colorspace)
    return replace(image, pixels=np.maximum(image.pixels, 0))


def _read_like(path: Path, colorspace: ColorSpace, image: Image, image_path: Path) -> Image:
    layer = _read(path, colorspace)
    (height, width), (wanted_height, wanted_width) = layer.pixels.shape[:2], image.pixels.shape[:2]
    if (height, width) != (wanted_height, wanted_width):
        raise InputError(path, f"{width}x{height} pixels", f"{wanted_width}x{wanted_height} like {image_path}")
    return layer


def find_files(folder: Path, suffix: str) -> tuple[dict[str, Path], list[str]]:
    """Image files in a folder and below by name (path without suffix and extension), and what is wrong with others.

    A name that two files have is left out and reported. InputError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "a folder of images")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.endswith(suffix) and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            found.setdefault(name.removesuffix(suffix), []).append(path)
    if not found:
        what = f"images named *{suffix}.*" if suffix else "images"
        raise InputError(folder, "no such file" if suffix else "no image file", what)
    problems = [
        f"{folder}: found {' and '.join(path.name for path in paths)} for '{name}', expected one file"
        for name, paths in found.items()
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}, problems


def match(layers: dict[str, dict[str, Path]]) -> tuple[list[str], list[str]]:
    """Names that every layer has, and a line for each name that one lacks. layers: {"image": {name: path}, ...}."""
    everything = sorted(set().union(*layers.values()))
    complete, problems = [], []
    for name in everything:
        missing = [layer for layer, files in layers.items() if name not in files]
        if missing:
            have = next(files[name] for files in layers.values() if name in files)
            problems.append(f"{have}: found no {' and no '.join(missing)} with that name, expected one")
        else:
            complete.append(name)
    return complete, problems


def unit_name(prefix: str, name: str) -> str:
    """A unit for a pair: readable, and different for different names."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{prefix}-{name}").strip("-")[:50].strip("-") or "pair"
    return f"{readable}-{sha256(f'{prefix}/{name}'.encode()).hexdigest()[:10]}"


def split_of(name: str, val_share: float) -> str:
    """train or val, by a hash of the name."""
    return "val" if int(sha256(name.encode()).hexdigest()[:8], 16) / 2**32 < val_share else "train"


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value}, expected at least 0 and below 1")
    return value


def _scale(text: str) -> float | None:
    if text == "peak":
        return None
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{value}, expected a number above 0, or peak")
    return value


_share.__name__, _scale.__name__ = "share", "scale"


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.prepare_pairs", __doc__)
    parser.add_argument("--images", required=True, metavar="DIR", help="what the camera sees")
    parser.add_argument("--albedo", required=True, metavar="DIR", help="its albedo")
    parser.add_argument("--shading", metavar="DIR", help="its shading at any scale (default: image / albedo)")
    for layer in ("image", "albedo", "shading"):
        parser.add_argument(f"--{layer}-suffix", default="", metavar="TEXT", help=f"end of the {layer} files' stems")
    space = parser.add_mutually_exclusive_group()
    space.add_argument("--linear", action="store_const", const="linear", dest="colorspace", help="all files are linear")
    space.add_argument("--srgb", action="store_const", const="srgb", dest="colorspace", help="all files are sRGB-encoded")
    parser.add_argument(
        "--albedo-scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="factor on the linear albedo, which should lie in [0, 1] (more is not valid), or 'peak': brings each "
        f"picture's 99th percentile to {PEAK_ALBEDO} (default: 1)",
    )
    parser.add_argument("--val-share", type=_share, default=0.05, help="share of pairs for validation (default: 0.05)")
    parser.add_argument("--name", help="names the views (default: the name of the images' folder)")
    add_options(parser)
    parser.set_defaults(colorspace="auto")
    return parser


@resumable(hint=PACKS_BY_LIMIT)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = build_parser().parse_args(argv)
    progress = Progress(quiet=options.quiet)
    asked = {"image": options.images, "albedo": options.albedo, "shading": options.shading}
    suffixes = {"image": options.image_suffix, "albedo": options.albedo_suffix, "shading": options.shading_suffix}
    layers, problems = {}, []
    for layer, folder in asked.items():
        if folder is not None:
            layers[layer], ambiguous = find_files(Path(folder), suffixes[layer])
            problems += ambiguous
    names, unmatched = match(layers)
    problems += unmatched
    for line in problems[:_NAMED]:
        progress.error(f"failed: {line}")
    if len(problems) > _NAMED:
        progress.error(f"failed: {len(problems) - _NAMED} more without a partner of their own")
    if not names:
        raise InputError(options.images, f"no image with a partner in {options.albedo}", "files with the same names")

    prefix = options.name or Path(options.images).resolve().name
    settings = {
        "folders": {layer: folder and str(Path(folder).resolve()) for layer, folder in asked.items()},
        "suffixes": suffixes,
        "colorspace": options.colorspace,
        "albedo_scale": options.albedo_scale or "peak",
        "val_share": options.val_share,
        "size": f"{options.size}x{options.size}",
        "crops": options.crops,
    }
    staging = open_staging(options.output, re.sub(r"[^A-Za-z0-9]+", "-", prefix).strip("-") or "pairs", settings)
    jobs = []
    for name in names:
        shading = layers["shading"][name] if "shading" in layers else None
        how = (options.colorspace, options.albedo_scale, options.size, options.crops)
        pair = Pair(name, layers["image"][name], layers["albedo"][name], shading, *how)
        jobs.append(Job(split_of(name, options.val_share), unit_name(prefix, name), pair, name))
    outcome = run_jobs(jobs, convert, staging, progress, workers=options.workers, limit=options.limit, unit="pairs")
    status = finish(staging, outcome, progress, "pairs")
    return FAILED if problems else status


if __name__ == "__main__":
    sys.exit(main())
