"""One job, whichever kind it is: the model it needs, its run, and the reason why it failed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.image_job import run_image
from intrinsic_flow.cli.jobs import Job
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.errors import InputError, printable
from intrinsic_flow.output.left_over import staging_prefix


def run_job(
    job: Job, settings: Settings, model: Callable[[], Decomposer], protected: frozenset[str], progress: Progress
) -> list[Path] | None:
    """Runs a job of whichever kind; returns the files written, or None where they all exist already.

    model: gives the loaded model, called only when there is something to compute. protected: see OutputSet. Raises as
    `run_image` and `run_video` do.
    """
    if job.kind == "image":
        if settings.pipe is not None:
            raise InputError(job.title, "a picture", "a video, one layer of which -o - writes")
        return run_image(job, settings, model, protected, progress.log)
    # Here, because PyAV takes a while to load and pictures do not need it.
    from intrinsic_flow.cli.video_job import run_video

    return run_video(job, settings, model, protected, progress)


def failure_reason(job: Job, error: Exception) -> str:
    """One line that names the input and what went wrong."""
    if isinstance(error, InputError):
        text = str(error)
        return text if printable(job.title) in text else f"{job.title}: {text}"
    if isinstance(error, MemoryError):
        return f"{job.title}: too large for this machine's memory"
    # What is written lies in a hidden folder at first, which nobody has heard of.
    hidden = rf"{re.escape(os.sep + staging_prefix(job.mark))}[^{re.escape(os.sep)}]*"
    if isinstance(error, OSError) and error.strerror:
        named = os.fsdecode(error.filename or "")
        named = os.fspath(job.folder) if re.search(hidden, named) else named
        where = f" ({named})" if named not in ("", os.fspath(job.path)) else ""
        return f"{job.title}: {error.strerror}{where}"
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return f"{job.title}: {kind}{' '.join(re.sub(hidden, '', str(error)).split())}"
