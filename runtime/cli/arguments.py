"""Arguments of `python -m runtime.decompose`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from intrinsic_flow.backends import BACKENDS
from intrinsic_flow.cli.option_types import at_least, number
from intrinsic_flow.commands import call, command_parser
from intrinsic_flow.decomposition.options import DEFAULT_RESOLUTION, ModelOptions
from intrinsic_flow.media.formats import ColorSpace, ImageFormat, SequenceFormat
from intrinsic_flow.media.plate import INPUT, SPACES, chromaticities_of
from intrinsic_flow.media.video_formats import CODECS, RawFormat
from intrinsic_flow.output.float_layers import FloatOutput

PIPE = "-"
#: What --preview-speed takes for --every and --resolution.
PREVIEW_EVERY, PREVIEW_RESOLUTION = 8, 192
# As people write rates that are n * 1000 / 1001.
_NTSC = {
    text: Fraction(rate * 1000, 1001)
    for rate in (24, 30, 48, 60, 120)
    for text in (f"{rate * 1000 / 1001:.2f}", f"{rate * 1000 / 1001:.3f}")
}
_RAW = re.compile(r"(\d+)x(\d+)(?::(\w+))?(?:@([\d./]+))?")


@dataclass(frozen=True, kw_only=True)
class Settings(ModelOptions):
    """What the user asked for, checked: how the model is run, and the rest."""

    inputs: tuple[Path | str, ...]
    output: Path | None
    bundle: str | None
    colorspace: ColorSpace
    format: ImageFormat | None
    half: bool
    temporal: bool
    preview: bool
    overwrite: bool
    quiet: bool
    engines: Path | None = None
    codec: str | None = None
    crf: float = 16.0
    sequence: SequenceFormat | None = None
    frames: bool = False
    rate: Fraction | None = None
    start: float | None = None
    end: float | None = None
    resume: bool = False
    every: int = 1
    preview_speed: bool = False
    hdr: Literal["", "pq", "hlg"] = ""
    deinterlace: bool = False
    audio: Path | None = None
    raw: RawFormat | None = None
    pipe: Literal["y4m", "rgb24", "rgb48le"] | None = None
    layer: Literal["albedo", "shading", "preview"] = "albedo"
    float: bool = False
    output_colorspace: str = INPUT
    exr_layer: str | None = None
    one_exr: bool = False

    def float_output(self) -> FloatOutput:
        """How float files hold the layers."""
        return FloatOutput(True if self.half else False if self.float else None, self.output_colorspace)


def parse(arguments: Sequence[str] | None, description: str) -> Settings:
    """Parses the command line. The description's first paragraphs stand above the options, as written.

    Wrong usage prints one line and exits with 2, as argparse does.
    """
    parser = build_parser("runtime.decompose", description)
    return check_settings(parser, vars(parser.parse_args(arguments)))


def build_parser(command: str, description: str, folder: Callable[[str], Path | str] = Path) -> argparse.ArgumentParser:
    """The options of `Settings`. command: its module, to which other commands add options of their own. folder:
    what the text of -o becomes."""
    parser = command_parser(command, description)
    parser.add_argument(
        "inputs",
        nargs="+",
        type=_input,
        metavar="INPUT",
        help="image, video, or folder, which is walked (outputs of an earlier run in it are left out); numbered images as "
        "shot.%%04d.exr or shot.####.exr; - for video on standard input; camera:0 or rtsp://... for a camera",
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "-o",
        "--output",
        type=folder,
        metavar="DIR",
        help="folder for the outputs; subfolders of a walked folder are kept in it (default: beside each input); - writes "
        "one layer of a video to standard output",
    )
    files.add_argument(
        "--format",
        choices=get_args(ImageFormat),
        help="of image and sequence outputs (default: png for 8-bit inputs, png16 for 16-bit ones, npy for npy, exr for "
        "other float ones and with --half, --float or --one-exr); png and png16 are encoded for the eye, in exr and npy "
        "albedo x shading = image; for videos see --codec and --sequence",
    )
    depth = files.add_mutually_exclusive_group()
    depth.add_argument("--half", action="store_true", help="half floats in exr outputs (product to 1e-3 instead of 1e-5)")
    depth.add_argument("--float", action="store_true", help="floats in exr outputs also of half-float exr inputs")
    files.add_argument(
        "--output-colorspace",
        default=INPUT,
        metavar="NAME",
        help=f"primaries of exr and npy outputs: input (default: of an exr input, else Rec.709), {', '.join(SPACES)}, "
        "or a linear space of OpenColorIO's configuration ($OCIO is honoured)",
    )
    files.add_argument("--one-exr", action="store_true", help="both layers in one exr file, as albedo.R ... shading.B")
    files.add_argument("--exr-layer", metavar="NAME", help="layer or part of an exr input to read (default: its beauty)")
    files.add_argument(
        "--colorspace",
        choices=get_args(ColorSpace),
        default="auto",
        help="how to read the inputs' values (default: auto, integer files sRGB or as tagged, float files linear)",
    )
    files.add_argument(
        "--preview",
        action="store_true",
        help="also write input | albedo | shading side by side, each at most 960 pixels long",
    )
    files.add_argument("--overwrite", action="store_true", help="replace outputs that exist, instead of skipping the input")
    video = parser.add_argument_group("videos and image sequences")
    video.add_argument(
        "--codec",
        choices=tuple(CODECS),
        help="of video outputs (default: h264): "
        + ", ".join(f"{codec.name} in {codec.suffix[1:]}" for codec in CODECS.values()),
    )
    video.add_argument(
        "--crf",
        type=number(0, 51),
        default=16.0,
        metavar="N",
        help=f"quality of {' and '.join(name for name in CODECS if CODECS[name].crf)}, lower is better (default: 16)",
    )
    video.add_argument(
        "--sequence",
        choices=get_args(SequenceFormat),
        help="write numbered images in folders instead of videos (default for sequences, in a format that holds theirs)",
    )
    video.add_argument("--frames", action="store_true", help="the images of a folder are the frames of one sequence")
    video.add_argument(
        "--rate",
        type=_rate,
        metavar="N",
        help="frames a second of a sequence, as 25, 23.976 or 30000/1001 (default: what its EXR files state, else 24)",
    )
    video.add_argument("--audio", type=Path, metavar="FILE", help="sound of the videos that are written")
    video.add_argument(
        "--hdr",
        choices=("pq", "hlg"),
        default="",
        help="write BT.2020 with this curve, 1 as 203 cd/m2 (default: SDR)",
    )
    video.add_argument("--deinterlace", action="store_true", help="make whole frames of interlaced ones (bwdif)")
    video.add_argument("--start", type=number(), metavar="T", help="second, or frame number, to begin at")
    video.add_argument("--end", type=number(), metavar="T", help="second to end before, or number of the last frame")
    video.add_argument(
        "--resume", action="store_true", help="go on with videos that were interrupted, from their *.partial.* files"
    )
    video.add_argument(
        "--raw",
        type=_raw,
        metavar="WxH[:LAYOUT][@RATE]",
        help="what - holds where it is no Y4M, as 640x360:rgb24@25",
    )
    video.add_argument("--pipe", choices=("y4m", "rgb24", "rgb48le"), help="what -o - writes (default: y4m)")
    video.add_argument(
        "--layer", choices=("albedo", "shading", "preview"), default="albedo", help="that -o - writes (default: albedo)"
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--bundle",
        metavar="BUNDLE",
        help="model bundle: small, a folder or hf:owner/name@revision (default: the best shipped one)",
    )
    model.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="what runs the networks: ONNX Runtime or OpenVINO on the CPU, ONNX Runtime or TensorRT on an NVIDIA GPU "
        "(default: auto, the fastest that is there; which one and why is printed)",
    )
    model.add_argument(
        "--precision",
        choices=("fp32", "reduced"),
        help="reduced is the backend's faster arithmetic: FP16 on GPUs, BF16 in openvino (default: reduced where there is "
        "such)",
    )
    model.add_argument(
        "--engines",
        type=Path,
        metavar="DIR",
        help=f"TensorRT engines of {call('export.build_trt')} (default: those in the bundle's folder)",
    )
    model.add_argument("--device", type=at_least(0), default=0, metavar="N", help="number of the GPU (default: 0)")
    model.add_argument("--steps", type=at_least(1), default=2, metavar="N", help="Euler steps (default: 2)")
    model.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="where in its tile the start noise begins (default: 0)"
    )
    model.add_argument(
        "--resolution",
        type=at_least(32),
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
        help="videos: filter exposure and albedo along the motion up to the next scene cut, against flicker; off treats "
        "every frame as a picture of its own (default: on)",
    )
    model.add_argument(
        "--every",
        type=at_least(1),
        metavar="N",
        help="videos: run the network on every Nth frame, of a moving camera twice as often, and where something new "
        "appears; in between its albedo is carried along the motion (default: 1)",
    )
    model.add_argument(
        "--preview-speed",
        action="store_true",
        help=f"videos: in a third of the time, files twice as large: --every {PREVIEW_EVERY}, --resolution "
        f"{PREVIEW_RESOLUTION} and the quickest preset of h264 and hevc",
    )
    model.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: the physical cores)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def check_settings(parser: argparse.ArgumentParser, values: dict[str, Any]) -> Settings:
    """Settings of parsed values, which have to suit each other; exits with 2 where they do not."""
    piped = values["output"] is not None and str(values["output"]) == PIPE
    if piped and len(values["inputs"]) > 1:
        parser.error(f"argument -o/--output: found {len(values['inputs'])} inputs for standard output, expected one")
    if piped and (values["codec"] or values["sequence"] or values["preview"] or values["resume"]):
        parser.error("argument -o/--output: standard output takes no --codec, --sequence, --preview or --resume")
    if not piped and (values["pipe"] or values["layer"] != "albedo"):
        parser.error("arguments --pipe and --layer: expected -o -")
    if values["codec"] and values["sequence"]:
        parser.error("argument --sequence: found --codec too, expected one of them")
    if values["resolution"] is None:
        values["resolution"] = PREVIEW_RESOLUTION if values["preview_speed"] else DEFAULT_RESOLUTION
    if values["every"] is None:
        values["every"] = PREVIEW_EVERY if values["preview_speed"] and values["temporal"] == "on" else 1
    if values["every"] != 1 and values["temporal"] == "off":
        parser.error("argument --every: found --temporal off too, in which every frame stands alone")
    if None not in (values["start"], values["end"]) and values["end"] < values["start"]:
        parser.error(f"argument --end: found {values['end']:g} before --start {values['start']:g}")
    if piped:
        values["pipe"], values["output"] = values["pipe"] or "y4m", None
    if isinstance(values["output"], Path) and values["output"].exists() and not values["output"].is_dir():
        parser.error(f"argument -o/--output: found a file at {values['output']}, expected a folder")
    if values["output_colorspace"] != INPUT:
        try:
            chromaticities_of(values["output_colorspace"])
        except ValueError as error:
            parser.error(f"argument --output-colorspace: {error}")
    for option in ("one_exr", "float"):
        if values[option] and "exr" not in (values["format"] or "exr", values["sequence"] or "exr"):
            parser.error(f"argument --{option.replace('_', '-')}: expected outputs in exr")
    if values["half"] and values["format"] not in (None, "exr"):
        parser.error(f"argument --half: found --format {values['format']}, expected exr")
    if values["half"] and values["sequence"] not in (None, "exr"):
        parser.error(f"argument --half: found --sequence {values['sequence']}, expected exr")
    if values["format"] is None and (values["half"] or values["float"] or values["one_exr"]):
        values["format"] = "exr"
    if values["raw"] and PIPE not in values["inputs"]:
        parser.error("argument --raw: expected - among the inputs")
    return Settings(**{**values, "inputs": tuple(values["inputs"]), "temporal": values["temporal"] == "on"})


def _input(text: str) -> Path | str:
    """Standard input and cameras stay text: a path would turn rtsp:// into rtsp:/."""
    return text if text == PIPE or "://" in text or re.fullmatch(r"camera:\d+", text) else Path(text)


def _rate(text: str) -> Fraction:
    try:
        rate = _NTSC.get(text) or Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"found {text}, expected frames a second, as 25 or 30000/1001")
    return rate


def _raw(text: str) -> RawFormat:
    match = _RAW.fullmatch(text)
    if not match or not int(match[1]) or not int(match[2]):
        raise argparse.ArgumentTypeError(f"found {text}, expected WIDTHxHEIGHT[:LAYOUT][@RATE], as 640x360:rgb24@25")
    return RawFormat(int(match[1]), int(match[2]), match[3] or "rgb24", _rate(match[4] or "25"))
