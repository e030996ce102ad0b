"""What the `train.prepare_*` commands share: a resumable, parallel loop from pictures to shards, and its command line."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter as Tally
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, TypeVar

import cv2

from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.cli.progress import Counter, Progress
from intrinsic_flow.commands import DONE, FAILED, WRONG_USAGE, Arguments, program
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import write_complete
from intrinsic_flow.output.interrupt import deferred
from intrinsic_flow.train.data.decomposed import Rejected
from intrinsic_flow.train.data.shard_writer import SHARD_BYTES, SPLITS, Staging, encode_view
from intrinsic_flow.train.data.shards import ShardError, View
from intrinsic_flow.train.worker_pool import JobFailed, PoolError, WorkerPool

# Failures beyond are counted, not named: a wrong folder should not fill the screen.
_NAMED = 20
# Seconds that a unit may take, and units after which a process is replaced.
_TIMEOUT = 600.0
_LIFETIME = 5000


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


PACKS_BY_LIMIT = " (with --limit 0 it packs what there is)"


def resumable(*errors: type[Exception], hint: str = "") -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """`program` for commands that fill shards: bad input is exit code 2, Ctrl-C leaves what the same command goes on from.

    hint: what else can be done with it.
    """
    said = f"interrupted; the same command goes on from here{hint}"
    return program("error", ShardError, PoolError, *errors, code=WRONG_USAGE, interrupted=said)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every preparing command has."""
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder of the shards")
    parser.add_argument("--size", type=at_least(1), default=256, help="side of the square views in pixels (default: 256)")
    parser.add_argument("--crops", type=at_least(1), default=1, help="views along the long side (default: 1, the centre)")
    parser.add_argument("--workers", type=at_least(1), default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument(
        "--limit", type=at_least(0), metavar="N", help="make at most N more; 0 only packs what an interrupted run left"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def open_staging(folder: str, name: str, settings: dict) -> Staging:
    """The output folder, for a run with these settings (what the views depend on; `size` among them).

    They are remembered under `name`, so that a resumed run cannot mix views that were made differently. InputError: the
    folder holds others, or views of another size, or cannot be used.
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
        write_complete(remembered / f"{name}.json", json.dumps(settings, indent=2, sort_keys=True) + "\n")
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
    InputError (named, tried again by the next run, as is what ends or stalls its worker). unit: what one is called, in the
    plural. KeyboardInterrupt leaves everything resumable.
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
            if isinstance(result, InputError | OSError | JobFailed):
                outcome.failed += 1
                if outcome.failed <= _NAMED:
                    progress.error(
                        f"failed: {result}" if isinstance(result, InputError) else f"failed: {job.name}: {result}"
                    )
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


def _converter(convert: Callable[[Source], list[View]]) -> Callable[[Job[Source]], Result]:
    """In a worker: a job's result. Errors come back as values, so that one bad file does not end the others."""
    cv2.setNumThreads(1)

    def result(job: Job[Source]) -> Result:
        try:
            return [encode_view(view) for view in convert(job.source)]
        except (Rejected, InputError, OSError) as error:
            return error

    return result


def _results(
    jobs: Sequence[Job[Source]], convert: Callable[[Source], list[View]], workers: int
) -> Generator[tuple[Job[Source], Result | JobFailed], None, None]:
    """Results as they come; in this process for one worker."""
    if workers == 1 or len(jobs) < 2:
        threads = cv2.getNumThreads()
        result = _converter(convert)
        cv2.setNumThreads(threads)
        yield from ((job, result(job)) for job in jobs)
        return
    with WorkerPool(_converter, (convert,), min(workers, len(jobs)), _TIMEOUT, lifetime=_LIFETIME) as pool:
        yield from pool.run(jobs)


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
