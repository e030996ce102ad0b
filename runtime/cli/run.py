"""One job, whichever kind it is: the model it needs, its run, and the reason why it failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.image_job import run_image
from intrinsic_flow.cli.jobs import Job
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.errors import InputError


def run_job(
    job: Job, settings: Settings, model: Callable[[], Decomposer], protected: frozenset[str], progress: Progress
) -> list[Path] | None:
    """Runs a job of whichever kind; returns the files written, or None where they all exist already.

    model: gives the loaded model, called only when there is something to compute. protected: see OutputSet. Raises as
    `run_image` and `run_video` do.
    """
    if job.kind == "image":
        return run_image(job, settings, model, protected, progress.log)
    # Here, because PyAV takes a while to load and pictures do not need it.
    from intrinsic_flow.cli.video_job import run_video

    return run_video(job, settings, model, protected, progress)


def failure_reason(job: Job, error: Exception) -> str:
    """One line that names the input and what went wrong."""
    if isinstance(error, InputError):
        text = str(error)
        return text if os.fspath(job.path) in text else f"{job.path}: {text}"
    if isinstance(error, MemoryError):
        return f"{job.path}: too large for this machine's memory"
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename and error.filename != os.fspath(job.path) else ""
        return f"{job.path}: {error.strerror}{where}"
    return f"{job.path}: {type(error).__name__}: {' '.join(str(error).split())}"
