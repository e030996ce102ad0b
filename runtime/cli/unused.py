"""Options that have no effect on an input, which are said: who gave one would look for it in the outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Literal

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.media.formats import ImageFormat
from intrinsic_flow.media.plate import INPUT
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.output.layer_files import LEVELS

_OF_VIDEOS = ("codec", "crf", "sequence", "rate", "audio", "hdr", "deinterlace", "start", "end")
_OF_EXR = ("half", "float", "one_exr")


def for_pictures_alone(settings: Settings, kinds: Collection[str]) -> list[str]:
    """A note on options of videos in a run whose inputs, of these kinds, are pictures alone."""
    given = _given(settings, _OF_VIDEOS)
    if not given or set(kinds) != {"image"}:
        return []
    frames = "--frames makes one sequence of a folder, shot.####.exr of its images"
    return [f"{' and '.join(given)}: for videos and sequences, of which there is none here; {frames}"]


def for_picture(settings: Settings, format: ImageFormat, *, is_exr: bool) -> list[str]:
    """Notes on what does nothing for a picture that is written as `format`."""
    notes = []
    if settings.output_colorspace != INPUT and format in LEVELS:
        notes.append(f"--output-colorspace is for exr and npy; {format} is written in sRGB")
    if settings.exr_layer is not None and not is_exr:
        notes.append("--exr-layer is for exr inputs")
    return notes


def for_video(
    settings: Settings, kind: str, store: Literal["video", "png", "png16", "exr"], *, is_exr: bool = False
) -> list[str]:
    """Notes on what does nothing for a video or sequence of `kind`. store: as what its layers are stored. is_exr: whether
    its frames are OpenEXR files."""
    video = store == "video" and settings.pipe is None
    stored = store if store != "video" else "a video" if video else "what -o - writes"
    colours = "BT.709, or BT.2020 with --hdr" if video else "BT.709" if store == "video" else "sRGB"
    checks = (
        (_OF_EXR, store == "exr", f"for exr, not for {stored}; --sequence exr writes it"),
        (("output_colorspace",), store == "exr", f"for exr; {stored} is in {colours}"),
        (("format",), kind != "sequence" or settings.format != "npy", f"npy is for pictures; this is written as {store}"),
        (("hdr",), video, f"for videos; {'exr holds the light itself' if store == 'exr' else f'{stored} is SDR'}"),
        (("audio",), video, f"for videos; {stored} holds no sound"),
        (("crf",), video and CODECS[settings.codec or "h264"].crf, "for h264 and hevc"),
        (("rate",), kind == "sequence", "for sequences; a video has its own"),
        (("deinterlace",), kind in ("video", "pipe"), "for videos"),
        (("exr_layer",), is_exr, "for exr inputs"),
    )
    return [
        f"{' and '.join(given)}: {why}" for names, used, why in checks if not used and (given := _given(settings, names))
    ]


def _given(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those of the options that are not at their default."""
    defaults = {field.name: field.default for field in fields(Settings)} | {"format": None, "half": False}
    return [f"--{name.replace('_', '-')}" for name in names if getattr(settings, name) != defaults[name]]
