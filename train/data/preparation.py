"""What the `train.prepare_*` commands share: a resumable, parallel loop from pictures to shards, and its command line."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
from collections import Counter as Tally
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import resource_tracker
from typing import Generic, TypeVar

import cv2

from intrinsic_flow.cli.progress import Counter, Progress
from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.media.atomic_file import replace_when_complete
from intrinsic_flow.output.interrupt import deferred, interrupts
from intrinsic_flow.train.data.decomposed import Rejected
from intrinsic_flow.train.data.shard_writer import SHARD_BYTES, SPLITS, Staging, encode_view
from intrinsic_flow.train.data.shards import ShardError, View

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

# Failures beyond are counted, not named: a wrong folder should not fill the screen.
_NAMED = 20


Source = TypeVar("Source")


@dataclass(frozen=True)
class Job(Generic[Source]):
    """One unit to make. split, unit: as in `Staging`. source: what its worker needs, picklable. name: for messages."""

    split: str
    unit: str
    source: Source
    name: str


@dataclass
class Outcome:
    """What a run did. rejected: units by category of the reason; failed: units that could not be read."""

    rejected: Tally[str] = field(default_factory=Tally)
    failed: int = 0


class WorkerDied(Exception):
    """A worker process was ended from outside."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every preparing command has."""
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder of the shards")
    parser.add_argument("--size", type=positive, default=256, help="side of the square views in pixels (default: 256)")
    parser.add_argument("--crops", type=positive, default=1, help="views along the long side (default: 1, the centre)")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument(
        "--limit", type=not_negative, metavar="N", help="make at most N more; 0 only packs what an interrupted run left"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def positive(text: str) -> int:
    """An integer of at least 1, for argparse."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value}, expected at least 1")
    return value


def not_negative(text: str) -> int:
    """An integer of at least 0, for argparse."""
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{value}, expected at least 0")
    return value


positive.__name__ = not_negative.__name__ = "number"


def open_staging(folder: str, name: str, settings: dict) -> Staging:
    """The output folder, for a run with these settings (what the views depend on; `size` among them).

    They are remembered under `name`, so that a resumed run cannot mix views that were made differently. InputError: the
    folder holds others, or views of another size (a training run needs one size), or cannot be used.
    """
    try:
        staging = Staging(folder)
        remembered = staging.folder / ".staging" / "settings"
        remembered.mkdir(exist_ok=True)
        for path in sorted(remembered.glob("[!.]*.json")):
            found = json.loads(path.read_text(encoding="utf-8"))
            keys = settings if path.stem == name else ("size",)
            for key in keys:
                if found.get(key) != settings[key]:
                    expected = f"{key} {settings[key]!r} as asked for: use another -o/--output, or what it was made with"
                    raise InputError(folder, f"views of '{path.stem}' with {key} {found.get(key)!r}", expected)
        with replace_when_complete(remembered / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(folder, error.strerror or str(error), "a folder to write to") from error
    return staging


def run_jobs(
    jobs: Sequence[Job[Source]],
    convert: Callable[[Source], list[View]],
    staging: Staging,
    progress: Progress,
    *,
    workers: int,
    limit: int | None,
    unit: str,
) -> Outcome:
    """Make what is not done yet and publish shards as they fill up, the last ones too.

    convert: a function at module level, source -> views. It raises Rejected (the unit is marked, and not tried again) or
    InputError (named, tried again by the next run). unit: what one is called, in the plural. KeyboardInterrupt leaves
    everything resumable. WorkerDied: memory ran out, for instance.
    """
    outcome = Outcome()
    open_jobs = [job for job in jobs if not staging.is_done(job.split, job.unit)]
    if (done := len(jobs) - len(open_jobs)) and not progress.quiet:
        progress.log(f"{done} of {len(jobs)} {unit} were done already")
    # Mixed, so that the first shards and a limited run are a sample of everything.
    open_jobs = sorted(open_jobs, key=lambda job: sha256(job.unit.encode()).digest())[:limit]
    counter = Counter(progress, "prepared", len(open_jobs), unit)
    waiting = dict.fromkeys(SPLITS, 0)
    with closing(_results(open_jobs, convert, workers)) as results:
        for job, result in results:
            if isinstance(result, InputError | OSError):
                outcome.failed += 1
                if outcome.failed <= _NAMED:
                    progress.error(f"failed: {job.name}: {result}" if isinstance(result, OSError) else f"failed: {result}")
                elif outcome.failed == _NAMED + 1:
                    progress.error("failed: more, counted at the end")
            elif isinstance(result, Rejected):
                staging.add(job.split, job.unit, [], str(result))
            else:
                staging.add(job.split, job.unit, [(f"{job.unit}_{i}", members) for i, members in enumerate(result)])
                waiting[job.split] += sum(len(content) for members in result for content in members.values())
                if waiting[job.split] > SHARD_BYTES:
                    publish(staging, job.split, final=False)
                    waiting[job.split] = 0
            counter.advance()
    progress.show("")
    for split in SPLITS:
        publish(staging, split, final=True)
        outcome.rejected.update(reason.partition(":")[0] for reason in staging.rejections(split).values())
    return outcome


def publish(staging: Staging, split: str, final: bool) -> None:
    """Pack what is staged, as `Staging.publish` does, without letting Ctrl-C cut it in two."""
    with deferred():
        staging.publish(split, final=final)


Result = list[dict[str, bytes]] | Rejected | InputError | OSError


def _convert(convert: Callable[[Source], list[View]], source: Source) -> Result:
    """In the worker: errors come back as values, so that one bad file does not end the others."""
    try:
        return [encode_view(view) for view in convert(source)]
    except (Rejected, InputError, OSError) as error:
        return error


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started in the block do not see Ctrl-C, which goes to the whole group, even while they load; here
    it waits until the block's end. On Windows, nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Once, and before: it unblocks the signal when it starts.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _results(
    jobs: Sequence[Job[Source]], convert: Callable[[Source], list[View]], workers: int
) -> Generator[tuple[Job[Source], Result], None, None]:
    """Results as they come, few of them in flight; in this process for one worker."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, _convert(convert, job.source)
        return
    # Not fork: OpenCV has threads by now.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_start_worker)
    try:
        flying: dict[Future[Result], Job[Source]] = {}
        remaining = iter(jobs)
        while True:
            while len(flying) < 2 * workers and (new := next(remaining, None)) is not None:
                with _without_interrupts():
                    flying[pool.submit(_convert, convert, new.source)] = new
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                yield flying.pop(future), future.result()
    except BrokenProcessPool:
        raise WorkerDied("found a worker process ended from outside (out of memory?), expected it to finish") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def finish(staging: Staging, outcome: Outcome, progress: Progress, unit: str, skipped: Tally[str] | None = None) -> int:
    """Say what the folder holds now; returns the exit status. skipped: units left out unread, by reason."""
    counts = staging.counts()
    for split in SPLITS:
        if (count := counts[split]).views:
            progress.log(f"{split}: {count.views} views in {count.shards} {'shard' if count.shards == 1 else 'shards'}")
    for reason, number in (outcome.rejected + (skipped or Tally())).most_common():
        progress.log(f"left out: {number} {unit} ({reason})")
    if outcome.failed:
        progress.error(f"failed: {outcome.failed} {unit}; the same command tries them again")
    if not any(count.views for count in counts.values()):
        progress.error(f"error: {staging.folder}: found no usable view, expected at least one")
        return FAILED
    return FAILED if outcome.failed else DONE


PACKS_BY_LIMIT = " (with --limit 0 it packs what there is)"


def run_command(main: Callable[[Sequence[str] | None, Progress], int], argv: Sequence[str] | None, hint: str = "") -> int:
    """Run a command: bad input becomes one line and status 2, Ctrl-C status 130 and a word on how to go on (and `hint`)."""
    progress = Progress(quiet=False)
    try:
        with interrupts():
            return main(argv, progress)
    except (InputError, ShardError, MissingExtraError) as error:
        progress.error(f"error: {error}")
        return WRONG_USAGE
    except WorkerDied as error:
        progress.error(f"error: {error}; the same command goes on from here, better with fewer --workers")
        return FAILED
    except KeyboardInterrupt:
        progress.show("")
        progress.error(f"interrupted; the same command goes on from here{hint}")
        return INTERRUPTED
