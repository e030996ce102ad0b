"""Splits many photos and videos into albedo and shading on all GPUs or cores of a machine, or of a Ray cluster.

Inputs are files, folders, globs and addresses of object stores; a picture or a whole clip is one worker's unit. What is
done stands in a manifest: the same command goes on where it was stopped. A unit whose worker dies is run again.

    python -m runtime.batch photos/ clips/*.mp4 -o out
    python -m runtime.batch s3://bucket/raw -o s3://bucket/layers --address 10.0.0.1:6379 --retries 2

Exit code: 0 all done, 1 some inputs failed (each is named with its reason, the others are done), 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from intrinsic_flow.cli.arguments import Settings, build_parser, check_settings
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.cli.progress import Counter, Progress, duration
from intrinsic_flow.cli.unused import for_pictures_alone
from intrinsic_flow.cluster.manifest import Manifest, Report, fingerprint
from intrinsic_flow.cluster.pool import Pool, cluster, import_ray, run_units, size_pool
from intrinsic_flow.cluster.storage import is_address, place
from intrinsic_flow.cluster.units import Unit, list_units
from intrinsic_flow.commands import DONE, FAILED, WRONG_USAGE, call, program
from intrinsic_flow.decomposition.bundle import SHIPPED, Bundle
from intrinsic_flow.output import interrupt

MANIFEST = "intrinsic-flow-batch.jsonl"


@dataclass(frozen=True)
class Options:
    """What this command has beside the settings of runtime.decompose."""

    address: str | None
    cores: int | None
    workers: int | None
    retries: int
    manifest: Path


@program("error", code=WRONG_USAGE)
def main(arguments: Sequence[str] | None = None) -> int:
    settings, options = _parse(arguments)
    import_ray()
    Bundle.load(settings.bundle)
    try:
        return _run(settings, options, Progress(quiet=settings.quiet))
    except KeyboardInterrupt:
        said = f"interrupted: what is done stands in {options.manifest}; the same command goes on"
        raise KeyboardInterrupt(said) from None


def _run(settings: Settings, options: Options, progress: Progress) -> int:
    begun = time.monotonic()
    listed = list_units(settings.inputs, settings.output, frames=settings.frames)
    for note in (*listed.notes, *for_pictures_alone(settings, [unit.kind for unit in listed.units])):
        progress.log(note)
    for error in listed.errors:
        progress.error(f"failed: {error}")
    manifest = Manifest.open(options.manifest, fingerprint(settings))
    finished = set() if settings.overwrite else manifest.finished(listed.units)
    if finished:
        progress.log(f"{len(finished)} of {len(listed.units)} units are done as {options.manifest} says")
    units = [unit for unit in listed.units if unit not in finished]
    protected = frozenset(
        unit.source if is_address(unit.source) else os.path.realpath(unit.source) for unit in listed.units
    )
    reports: dict[Unit, Report] = {}
    if units:
        with cluster(options.address, options.cores, options.workers):
            pool = size_pool(settings, options.cores, options.workers)
            progress.log(_describe(pool))
            batch = _Batch(settings, options, pool, protected, manifest, progress)
            reports = batch.run(units)
    failed = [report for report in reports.values() if report.state == "failed"]
    progress.show("")
    if failed:
        progress.error(f"{len(failed)} failed after {options.retries + 1} attempts:")
    for report in failed:
        progress.error(f"  {report.reason}")
    states = Tally(report.state for report in reports.values())
    skipped = states["skipped"] + len(finished)
    seconds = time.monotonic() - begun
    progress.log(
        f"{states['done']} done, {skipped} skipped, {len(failed) + len(listed.errors)} failed in {duration(seconds)}"
    )
    if states["done"]:
        progress.log(throughput(list(reports.values()), seconds))
    return FAILED if failed or listed.errors else DONE


def throughput(reports: Sequence[Report], seconds: float) -> str:
    """What all workers together got done a second, start of the cluster and of the models included."""
    images, frames = sum(report.images for report in reports), sum(report.frames for report in reports)
    megapixels, workers = (
        sum(report.megapixels for report in reports),
        {report.worker for report in reports if report.worker},
    )
    return (
        f"throughput: {images / seconds:.2f} images/s, {frames / seconds:.2f} video frames/s, "
        f"{megapixels / seconds:.2f} megapixels/s ({images} images, {frames} frames, {megapixels:.1f} megapixels, "
        f"{len(workers)} workers, start included)"
    )


class _Batch:
    """Units through the pool, in rounds: what failed in one is run again in the next."""

    def __init__(
        self,
        settings: Settings,
        options: Options,
        pool: Pool,
        protected: frozenset[str],
        manifest: Manifest,
        progress: Progress,
    ) -> None:
        self._settings, self._options, self._pool, self._protected = settings, options, pool, protected
        self._manifest, self._progress = manifest, progress
        self._backends: set[str] = set()

    def run(self, units: Sequence[Unit]) -> dict[Unit, Report]:
        """The last report of every unit."""
        reports: dict[Unit, Report] = {}
        counter = Counter(self._progress, "all", len(units), "units")
        waiting = list(units)
        for attempt in range(1, self._options.retries + 2):
            if attempt > 1:
                self._progress.log(f"attempt {attempt} at {len(waiting)} units that failed")
            received: set[Unit] = set()
            for report in run_units(waiting, self._settings, self._pool, self._protected):
                interrupt.check()
                received.add(report.unit)
                reports[report.unit] = self._take(replace(report, attempt=attempt), len(units), counter.advance)
            interrupt.check()
            for unit in (unit for unit in waiting if unit not in received):
                lost = Report(unit, "failed", reason=f"{unit.source}: its worker died again and again", attempt=attempt)
                reports[unit] = self._take(lost, len(units), counter.advance)
            waiting = [unit for unit in waiting if reports[unit].state == "failed"]
            if not waiting:
                break
        return reports

    def _take(self, report: Report, total: int, advance: Callable[[], None]) -> Report:
        self._manifest.add(report)
        if report.backend and report.backend not in self._backends:
            self._backends.add(report.backend)
            self._progress.log(f"backend: {report.backend}")
        for note in report.notes:
            self._progress.log(note)
        if report.state == "failed":
            last = report.attempt > self._options.retries
            self._progress.error(f"failed: {report.reason}" + ("" if last else " (to be tried again)"))
            if not last:
                return report
        elif report.state == "skipped":
            self._progress.log(f"{report.unit.source}: skipped, its outputs exist (--overwrite replaces them)")
        else:
            self._progress.log(f"{report.unit.source} -> {report.unit.folder} ({report.seconds:.2f} s, {report.worker})")
        advance()
        return report


def _describe(pool: Pool) -> str:
    share = f"{pool.cores} core{'s' if pool.cores > 1 else ''}" + (" and a GPU" if pool.gpus else "")
    return f"{pool.workers} worker{'s' if pool.workers > 1 else ''}, each with {share}"


def _parse(arguments: Sequence[str] | None) -> tuple[Settings, Options]:
    parser = build_parser("runtime.batch", __doc__, folder=place)
    group = parser.add_argument_group("cluster")
    group.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster, or auto (default: one on this machine)")
    group.add_argument(
        "--cores-per-worker",
        type=at_least(1),
        metavar="N",
        help="CPU cores, and threads, of each worker (default: 4, or what there is)",
    )
    group.add_argument(
        "--workers", type=at_least(1), metavar="N", help="processes (default: one per GPU, else per group of cores)"
    )
    group.add_argument(
        "--retries", type=at_least(0), default=1, metavar="N", help="further attempts at an input that failed (default: 1)"
    )
    group.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help=f"JSON lines: what is done, and is skipped when its outputs exist (default: {MANIFEST} in the output folder, "
        "or in the current one if that is an address or none)",
    )
    values = vars(parser.parse_args(arguments))
    for name, wanted in (("raw", None), ("pipe", None), ("layer", "albedo"), ("resume", False)):
        if values[name] != wanted:
            parser.error(f"argument --{name}: found in a batch, expected it with {call('runtime.decompose')}")
    if str(values["output"]) == "-":
        parser.error("argument -o/--output: found standard output, expected a folder or an address")
    names = ("address", "cores_per_worker", "workers", "retries", "manifest")
    address, cores, workers, retries, manifest = (values.pop(name) for name in names)
    settings = _absolute(check_settings(parser, values))
    here = settings.output if isinstance(settings.output, Path) else Path()
    return settings, Options(address, cores, workers, retries, manifest or here / MANIFEST)


def _absolute(settings: Settings) -> Settings:
    """Paths as a worker can use them, which has another working folder."""
    bundle, engines, output = settings.bundle, settings.engines, settings.output
    return replace(
        settings,
        bundle=os.path.abspath(bundle) if bundle and bundle not in SHIPPED else bundle,
        engines=engines.absolute() if engines else None,
        audio=settings.audio.absolute() if settings.audio else None,
        output=output.absolute() if isinstance(output, Path) else output,
    )


if __name__ == "__main__":
    sys.exit(main())
