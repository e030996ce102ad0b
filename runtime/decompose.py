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

from intrinsic_flow.cli.arguments import Settings, parse
from intrinsic_flow.cli.jobs import Jobs, list_jobs
from intrinsic_flow.cli.progress import Counter, Progress, duration, open_standard_streams
from intrinsic_flow.cli.run import failure_reason, run_job
from intrinsic_flow.cli.unused import for_pictures_alone
from intrinsic_flow.commands import DONE, FAILED, WRONG_USAGE, program
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.output import interrupt


@program("error", code=WRONG_USAGE, interrupted="interrupted: outputs not yet complete were removed")
def main(arguments: Sequence[str] | None = None) -> int:
    open_standard_streams()
    settings = parse(arguments, __doc__)
    progress = Progress(quiet=settings.quiet)
    with ExitStack() as stack:
        bundle = Bundle.load(settings.bundle)

        @cache
        def model() -> Decomposer:
            loaded = stack.enter_context(Decomposer.open(bundle, settings))
            choice = f", chosen: {loaded.backend.choice}" if loaded.backend.choice else ""
            progress.log(f"backend: {loaded.backend.describe()}{choice}")
            return loaded

        listed = list_jobs(settings.inputs, settings.output, frames=settings.frames)
        listed.notes += for_pictures_alone(settings, [job.kind for job in listed.jobs])
        return _run(listed, settings, model, progress)


def _run(listed: Jobs, settings: Settings, model: Callable[[], Decomposer], progress: Progress) -> int:
    begun = time.monotonic()
    for note in listed.notes:
        progress.log(note)
    for error in listed.errors:
        progress.error(f"failed: {error}")
    failed, skipped = len(listed.errors), 0
    counter = Counter(progress, "all", len(listed.jobs), "inputs")
    protected = frozenset(os.path.realpath(job.path) for job in listed.jobs)
    for number, job in enumerate(listed.jobs, 1):
        started = time.monotonic()
        try:
            written = run_job(job, settings, model, protected, progress)
        except Exception as error:  # one bad input must not keep the others from being done
            interrupt.check()
            failed += 1
            progress.error(f"failed: {failure_reason(job, error)}")
            counter.advance()
            continue
        count = f"[{number}/{len(listed.jobs)}] {job.title}"
        interrupt.check()
        if written is None:
            skipped += 1
            progress.log(f"{count}: skipped, its outputs exist (--overwrite replaces them)")
        else:
            names = ", ".join(path.name for path in written)
            where = "standard output" if settings.pipe else f"{job.folder}{os.sep}: {names}"
            progress.log(f"{count} -> {where} ({time.monotonic() - started:.2f} s)")
        counter.advance()
    done = len(listed.jobs) + len(listed.errors) - failed - skipped
    progress.show("")
    progress.log(f"{done} done, {skipped} skipped, {failed} failed in {duration(time.monotonic() - begun)}")
    return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(main())
