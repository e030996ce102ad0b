"""Opens what a video's frames come from."""

from __future__ import annotations

import sys

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.jobs import Job
from intrinsic_flow.media.sequence import SequenceReader
from intrinsic_flow.media.sequence_names import find_in_folder, find_pattern
from intrinsic_flow.media.video import VideoReader, VideoSource


def open_source(job: Job, settings: Settings) -> VideoSource:
    """The frames of a job that is no single image. Raises InputError."""
    if job.kind == "sequence":
        files = find_in_folder(job.path) if job.path.is_dir() else find_pattern(job.path)
        overscan = not settings.codec and not settings.pipe and settings.sequence in (None, "exr")
        return SequenceReader(
            job.path, files, settings.colorspace, settings.rate, exr_layer=settings.exr_layer, overscan=overscan
        )
    whole, plates = settings.deinterlace, settings.sequence == "exr"
    if job.kind == "pipe":
        return VideoReader(
            sys.stdin.buffer, settings.colorspace, name="standard input", raw=settings.raw, deinterlace=whole
        )
    if job.kind == "live":
        from intrinsic_flow.media.live import open_live

        return open_live(job.address, settings.colorspace)
    return VideoReader(job.path, settings.colorspace, deinterlace=whole, plates=plates)
