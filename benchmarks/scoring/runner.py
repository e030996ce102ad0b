"""Judges every view of a data set: over processes, with progress, and able to go on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2

from intrinsic_flow.benchmarks.report import Strip, strip
from intrinsic_flow.benchmarks.scoring.baselines import Method
from intrinsic_flow.benchmarks.scoring.datasets import Dataset
from intrinsic_flow.benchmarks.scoring.methods import MethodOptions
from intrinsic_flow.benchmarks.scoring.protocols import Protocol, Record
from intrinsic_flow.cli.progress import Counter
from intrinsic_flow.cli.progress import Progress as ProgressLine
from intrinsic_flow.decomposition.pipeline import in_order


@dataclass(frozen=True)
class ViewResult:
    """A judged view. records: one dict for each method and layer; empty where the view was skipped."""

    name: str
    valid_share: float
    records: list[Record]
    strip: Strip | None = None


def judge_view(
    dataset: Dataset, name: str, protocol: Protocol, methods: Mapping[str, Method], with_strip: bool = False
) -> ViewResult:
    """Run every method on one view and score the layers that it gives.

    A view that is not `usable` is skipped. Raises InputError for unreadable files, ValueError for a method whose
    layer has the wrong shape or holds non-finite values inside the mask.
    """
    sample = dataset.load(name)
    if not sample.usable:
        return ViewResult(name, sample.valid_share, [])
    sample = protocol.prepare(sample)
    if not sample.usable:
        return ViewResult(name, sample.valid_share, [])
    records, answers = protocol.judge(sample, methods)
    return ViewResult(name, sample.valid_share, records, strip(sample, answers) if with_strip and records else None)


def judge_views(
    dataset: Dataset, names: Iterable[str], protocol: Protocol, options: MethodOptions, workers: int = 1
) -> Iterator[ViewResult]:
    """Results in the order of `names`. Each process loads the methods once and reads its own pictures."""
    if workers == 1:
        methods = options.build()
        for name in names:
            yield judge_view(dataset, name, protocol, methods)
        return
    # Started afresh, not forked: ONNX Runtime's threads do not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (dataset, protocol, options))
    try:
        yield from in_order(pool, _judge_in_worker, names, 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Worker:
    """What a process judges with."""

    dataset: Dataset
    protocol: Protocol
    methods: Mapping[str, Method]


_worker: _Worker | None = None


def _start_worker(dataset: Dataset, protocol: Protocol, options: MethodOptions) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = _Worker(dataset, protocol, options.build())


def _judge_in_worker(name: str) -> ViewResult:
    assert _worker is not None, "the pool starts every process with _start_worker"
    return judge_view(_worker.dataset, name, _worker.protocol, _worker.methods)


class Progress:
    """Results on disk as they come: a JSON line a view, after a line that says what run they belong to.

    A file of another run is started anew. A last line that was cut short is dropped.
    """

    def __init__(self, path: Path, run: Mapping[str, object]) -> None:
        """run: everything that the numbers depend on, as JSON values. Raises OSError where the file cannot be written."""
        self.path = path
        self._run = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
        self.done: dict[str, ViewResult] = {}
        lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
        if lines and lines[0] == json.dumps({"run": self._run}):
            for line in lines[1:-1]:
                content = json.loads(line)
                self.done[content["name"]] = ViewResult(content["name"], content["valid_share"], content["records"])
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._file.write(json.dumps({"run": self._run}) + "\n")
        for result in self.done.values():
            self.add(result)

    def add(self, result: ViewResult) -> None:
        """Keep one result."""
        content = {"name": result.name, "valid_share": result.valid_share, "records": result.records}
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()

    def close(self, remove: bool) -> None:
        """Close the file; remove it when the report is complete."""
        self._file.close()
        if remove:
            self.path.unlink()


def run(
    dataset: Dataset,
    names: Sequence[str],
    protocol: Protocol,
    options: MethodOptions,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[ViewResult]:
    """All results in order of `names`; those that `progress` has are not judged again, new ones are added to it."""
    done = dict(progress.done) if progress else {}
    rest = [name for name in names if name not in done]
    if done:
        print(f"{len(names) - len(rest)} of {len(names)} views were scored before", file=sys.stderr)
    if rest:
        shown = ProgressLine(quiet=False)
        counter = Counter(shown, "scored", len(rest), "views")
        for result in judge_views(dataset, rest, protocol, options, workers):
            counter.advance()
            done[result.name] = result
            if progress:
                progress.add(result)
        shown.show("")
    return [done[name] for name in names]
