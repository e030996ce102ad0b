"""Splits photos and videos into albedo (what the surface is) and shading (what the light does), so that
albedo x shading = image in linear light.

photo.jpg becomes photo_albedo.png and photo_shading.png, clip.mp4 becomes clip_albedo.mp4 and clip_shading.mp4, at the
input's resolution. Integer files are encoded for the eye: shading is divided by the factor in photo_shading.json. EXR
and NPY files hold linear values whose product is the image.

    python -m runtime.decompose photo.jpg clip.mp4 -o out --preview
    python -m runtime.decompose renders/ -o out --format exr --resolution 384 --backend cpu
    python -m runtime.decompose shot.####.exr -o out --start 1001 --end 1050

Exit code: 0 all done, 1 some inputs failed (each is named with its reason, the others are done), 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from runtime.bundle import Bundle
from runtime.cli.arguments import Settings, parse
from runtime.cli.image_job import run_image
from runtime.cli.interrupt import Interrupts, interrupts
from runtime.cli.plan import Job, Plan, make_plan
from runtime.cli.progress import Counter, Progress, duration
from runtime.decomposer import Decomposer
from runtime.errors import InputError, MissingExtraError

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    settings = parse(arguments, __doc__)
    progress = Progress(quiet=settings.quiet)
    try:
        with interrupts() as interrupted, ExitStack() as stack:
            bundle = Bundle.load(settings.bundle)

            @cache
            def model() -> Decomposer:
                loaded = stack.enter_context(_load(bundle, settings))
                choice = f", chosen: {loaded.engine.choice}" if loaded.engine.choice else ""
                progress.log(f"backend: {loaded.engine.describe()}{choice}")
                return loaded

            plan = make_plan(settings.inputs, settings.output, frames=settings.frames)
            return _run(plan, settings, model, progress, interrupted)
    except (InputError, MissingExtraError) as error:
        progress.error(f"error: {error}")
        return WRONG_USAGE
    except KeyboardInterrupt as error:
        progress.error(str(error) or "interrupted: outputs not yet complete were removed")
        return INTERRUPTED


def _load(bundle: Bundle, settings: Settings) -> Decomposer:
    return Decomposer.load(
        bundle,
        settings.backend,
        settings.steps,
        settings.seed,
        resolution=settings.resolution,
        shading=settings.shading,
        mode=settings.mode,
        threads=settings.threads,
        precision=settings.precision,
        engines=settings.engines,
        device=settings.device,
    )


def _run(
    plan: Plan, settings: Settings, model: Callable[[], Decomposer], progress: Progress, interrupted: Interrupts
) -> int:
    begun = time.monotonic()
    for note in plan.notes:
        progress.log(note)
    for error in plan.errors:
        progress.error(f"failed: {error}")
    failed, skipped = len(plan.errors), 0
    counter = Counter(progress, "all", len(plan.jobs), "inputs")
    protected = frozenset(os.path.realpath(job.path) for job in plan.jobs)
    for number, job in enumerate(plan.jobs, 1):
        started = time.monotonic()
        try:
            written = _run_job(job, settings, model, protected, progress)
        except Exception as error:  # one bad input must not keep the others from being done
            interrupted.check()
            failed += 1
            progress.error(f"failed: {_reason(job, error)}")
            counter.advance()
            continue
        count = f"[{number}/{len(plan.jobs)}] {job.path}"
        interrupted.check()
        if written is None:
            skipped += 1
            progress.log(f"{count}: skipped, its outputs exist (--overwrite replaces them)")
        else:
            names = ", ".join(path.name for path in written)
            progress.log(f"{count} -> {job.folder}{os.sep}: {names} ({time.monotonic() - started:.2f} s)")
        counter.advance()
    done = len(plan.jobs) + len(plan.errors) - failed - skipped
    progress.show("")
    progress.log(f"{done} done, {skipped} skipped, {failed} failed in {duration(time.monotonic() - begun)}")
    return FAILED if failed else DONE


def _run_job(
    job: Job, settings: Settings, model: Callable[[], Decomposer], protected: frozenset[str], progress: Progress
) -> list[Path] | None:
    if job.kind == "image":
        return run_image(job, settings, model, protected, progress.log)
    # Here, because PyAV takes a while to load and pictures do not need it.
    from runtime.cli.video_job import run_video

    return run_video(job, settings, model, protected, progress)


def _reason(job: Job, error: Exception) -> str:
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


if __name__ == "__main__":
    sys.exit(main())
