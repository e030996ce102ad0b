"""One video of the demo: checked against the limits, then run as `python -m runtime.decompose --preview` runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.jobs import Job
from intrinsic_flow.cli.progress import Notes
from intrinsic_flow.cli.video_job import run_video
from intrinsic_flow.demo.decoding import VideoReaderApart, add_sound_apart
from intrinsic_flow.demo.photo import Options
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.frames import VideoSource

# A container's word on length and rate is not exact.
LENGTH_TOLERANCE = 1.02
# More frames a second than this are no claim to more frames.
MAX_RATE = Fraction(120)


@dataclass(frozen=True)
class Clip:
    """A decomposed video. files: by "albedo", "shading", "preview" (input | albedo | shading) and "sidecar". size: (H, W).
    seconds: from the first frame read to the last one written, waiting for others included."""

    files: dict[str, Path]
    size: tuple[int, int]
    frames: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class VideoLimits:
    """pixels: of a frame. seconds: of the video."""

    pixels: int
    seconds: float


def decompose_clip(
    path: Path,
    options: Options,
    worker: Worker,
    folder: Path,
    limits: VideoLimits,
    *,
    temporal: bool = True,
    on_frame: Callable[[int, int], None] | None = None,
    reader: Callable[..., VideoSource] = VideoReaderApart,
) -> Clip:
    """Decomposes a video into `folder`. on_frame: gets the number of frames done and their expected total; what it raises
    ends the run, and no file is left. Raises InputError, OSError, MemoryError."""
    with closing(reader(path, options.colorspace, max_pixels=limits.pixels)) as source:
        size, expected, most = _check(path, source, limits)
        done = 0

        def count(frames: int) -> None:
            nonlocal done
            done = frames
            if frames > most:
                raise InputError(path, f"more than {most} frames", f"at most {limits.seconds:g} seconds of video")
            if on_frame is not None:
                on_frame(frames, max(expected, frames))

        settings = Settings(
            inputs=(path,), output=folder, steps=options.steps, seed=options.seed, bundle=None,
            colorspace=options.colorspace, resolution=worker.resolution, format=None, half=False, shading=options.shading,
            mode=options.mode, temporal=temporal, preview=True, overwrite=True, quiet=True,
        )  # fmt: skip
        model = worker.model(count, **options.for_model())
        log = Notes()
        begun = time.perf_counter()
        job = Job(path, "video", folder, path.stem[:60] or "video")
        written = run_video(job, settings, lambda: model, frozenset(), log, source)
        seconds = time.perf_counter() - begun
        sound = isinstance(source, VideoReaderApart) and source.sound
    assert written is not None, "with overwrite, a job is never skipped"
    names = ("albedo", "shading", "preview", "sidecar")
    files = dict(zip(names, written, strict=True))
    notes = tuple(line.removeprefix(f"{path}: ") for line in log.lines)
    if sound:
        try:
            notes += add_sound_apart(path, [files[name] for name in ("albedo", "shading", "preview")])
        except InputError as error:
            notes += (f"sound is left out: {error.found}",)
    return Clip(files, size, done, seconds, notes)


def _check(path: Path, source: VideoSource, limits: VideoLimits) -> tuple[tuple[int, int], int, int]:
    """(height, width), the number of frames that the file states, and the largest number that it may hold."""
    height, width = source.height, source.width
    if height * width > limits.pixels:
        found = f"frames of {width}x{height} pixels ({height * width / 1e6:.1f} megapixels)"
        raise InputError(path, found, f"at most {limits.pixels / 1e6:g} megapixels a frame")
    rate = min(source.average_rate or Fraction(25), MAX_RATE)
    expected = source.frames or 0
    seconds = expected / rate
    if seconds > limits.seconds * LENGTH_TOLERANCE:
        raise InputError(path, f"a video of {float(seconds):.1f} seconds", f"at most {limits.seconds:g} seconds")
    return (height, width), expected, max(1, int(limits.seconds * LENGTH_TOLERANCE * float(rate)) + 1)
