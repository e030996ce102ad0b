"""Arguments of `python -m runtime.decompose`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.decomposer import DEFAULT_RESOLUTION, Mode
from runtime.engines import BACKENDS
from runtime.product import ShadingKind

ImageFormat = Literal["png", "png16", "exr", "npy"]


@dataclass(frozen=True)
class Settings:
    """What the user asked for, checked."""

    inputs: tuple[Path, ...]
    output: Path | None
    steps: int
    seed: int
    backend: str
    bundle: str | None
    colorspace: Literal["auto", "srgb", "linear"]
    resolution: int
    format: ImageFormat | None
    half: bool
    shading: ShadingKind
    mode: Mode
    temporal: bool
    preview: bool
    overwrite: bool
    quiet: bool
    threads: int | None


def parse(arguments: Sequence[str] | None, description: str) -> Settings:
    """Parses the command line. The description's first paragraphs stand above the options, as written.

    Wrong usage prints one line and exits with 2, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog="python -m runtime.decompose",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="image, video, or folder, which is walked; outputs of an earlier run in it are left out",
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for the outputs; subfolders of a walked folder are kept in it (default: beside each input)",
    )
    files.add_argument(
        "--format",
        choices=("png", "png16", "exr", "npy"),
        help="of image outputs (default: png for 8-bit inputs, png16 for 16-bit ones, npy for npy, exr for other float "
        "ones); png and png16 are encoded for the eye, in exr and npy albedo x shading = image; videos become mp4",
    )
    files.add_argument("--half", action="store_true", help="half floats in exr outputs (product to 1e-3 instead of 1e-5)")
    files.add_argument(
        "--colorspace",
        choices=("auto", "srgb", "linear"),
        default="auto",
        help="how to read the inputs' values (default: auto, integer files sRGB or as tagged, float files linear)",
    )
    files.add_argument(
        "--preview",
        action="store_true",
        help="also write input | albedo | shading side by side, each at most 960 pixels long",
    )
    files.add_argument("--overwrite", action="store_true", help="replace outputs that exist, instead of skipping the input")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--bundle", metavar="small|base|PATH", help="model bundle, shipped or a folder (default: the best shipped one)"
    )
    model.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the networks (default: auto)")
    model.add_argument("--steps", type=_at_least(1), default=2, metavar="N", help="Euler steps (default: 2)")
    model.add_argument("--seed", type=_at_least(0), default=0, metavar="N", help="of the start noise (default: 0)")
    model.add_argument(
        "--resolution",
        type=_at_least(32),
        default=DEFAULT_RESOLUTION,
        metavar="N",
        help=f"short side, in pixels, at which the network runs (default: {DEFAULT_RESOLUTION}); outputs always have "
        "the input's size",
    )
    model.add_argument(
        "--shading",
        choices=("rgb", "gray"),
        default="rgb",
        help="gray leaves the light's colour in the albedo (default: rgb)",
    )
    model.add_argument(
        "--mode",
        choices=("flow", "vae"),
        default="flow",
        help="vae shows what the autoencoder alone keeps: the input goes through it as if it were an albedo; with "
        "--resolution at the short side of the input, the albedo file is its very output (default: flow)",
    )
    model.add_argument(
        "--temporal",
        choices=("on", "off"),
        default="on",
        help="videos: filter exposure and albedo along the motion up to the next scene cut, so that they do not flicker; off "
        "treats every frame as a picture of its own (default: on)",
    )
    model.add_argument("--threads", type=_at_least(1), metavar="N", help="CPU threads (default: the physical cores)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    values = vars(parser.parse_args(arguments))
    if values["output"] is not None and values["output"].exists() and not values["output"].is_dir():
        parser.error(f"argument -o/--output: found a file at {values['output']}, expected a folder")
    if values["half"] and values["format"] not in (None, "exr"):
        parser.error(f"argument --half: found --format {values['format']}, expected exr")
    return Settings(**{**values, "inputs": tuple(values["inputs"]), "temporal": values["temporal"] == "on"})


def _at_least(minimum: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"found {value}, expected at least {minimum}")
        return value

    return integer
