"""Scores a model bundle on pictures with ground truth, always beside the trivial answers and colour Retinex.

    python -m benchmarks.quality --dataset shards --data DATA/val-00000.tar --bundle small --report out
    python -m benchmarks.quality --dataset mit --data MIT_FOLDER --methods retinex trivial

Prints a table of si-MSE, RMSE, LMSE and SSIM for albedo and shading; `--json` and `--report` keep the
numbers, single views and a grid of pictures. The protocol (scales, windows, encoding) is in
`benchmarks.metrics` and `benchmarks.datasets` and stands in each row of the JSON.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from benchmarks.baselines import TRIVIAL, Layers, Method, as_gray
from benchmarks.datasets import DATASETS, MINIMUM_VALID_SHARE, Sample
from benchmarks.metrics import score_layer
from benchmarks.report import SCORES, environment, grid, strip, table, write_csv, write_json, write_png
from benchmarks.retinex import THRESHOLDS, color_retinex
from runtime.bundle import Bundle
from runtime.decomposer import DEFAULT_RESOLUTION, Decomposer
from runtime.errors import InputError, MissingExtraError
from train.data.shards import ShardError

GRID_ROWS = 12
METHODS = ("flow", "retinex", "trivial")
LAYERS = ("albedo", "shading")


@dataclass(frozen=True)
class MethodOptions:
    """Which methods run, and with what settings; travels to worker processes instead of loaded models."""

    dataset: str
    methods: tuple[str, ...]
    bundle: Bundle | None
    steps: int
    resolution: int
    seed: int
    threads: int | None

    def build(self) -> dict[str, Method]:
        """Name -> method, in the report's order. Raises MissingExtraError where ONNX Runtime is missing."""
        built: dict[str, Method] = {}
        if "flow" in self.methods:
            built["flow"] = _flow(self)
        if "retinex" in self.methods:
            built["retinex"] = partial(color_retinex, thresholds=THRESHOLDS[self.dataset])
        if "trivial" in self.methods:
            built |= TRIVIAL
        return built


def _flow(options: MethodOptions) -> Method:
    model = Decomposer.load(
        options.bundle,
        steps=options.steps,
        seed=options.seed,
        resolution=options.resolution,
        threads=options.threads,
    )

    def decompose(image: np.ndarray, mask: np.ndarray) -> Layers:
        result = model.decompose(image)
        return Layers(result.albedo, result.shading)

    return decompose


@dataclass(frozen=True)
class ViewResult:
    """A judged view. records: one dict for each method and layer; empty where the view was skipped."""

    name: str
    valid_share: float
    records: list[dict[str, object]]
    strip: list[tuple[str, np.ndarray]] | None


def judge_view(sample: Sample, methods: Mapping[str, Method], with_strip: bool = False) -> ViewResult:
    """Run every method on one sample and score the layers that it gives.

    A sample that is not `usable` is skipped. Raises ValueError for a method whose layer has the wrong shape
    or holds non-finite values inside the mask.
    """
    if not sample.usable:
        return ViewResult(sample.name, sample.valid_share, [], None)
    predictions = {name: _comparable(method(sample.image, sample.mask), sample) for name, method in methods.items()}
    records = []
    for name, layers in predictions.items():
        for layer in LAYERS:
            prediction = getattr(layers, layer)
            if prediction is None:
                continue
            if prediction.shape != sample.image.shape or not np.isfinite(prediction[sample.mask]).all():
                raise ValueError(f"{name}: {layer} of {sample.name} has the wrong shape or is not finite")
            scores = score_layer(prediction, getattr(sample, layer), sample.mask)
            records.append({"view": sample.name, "method": name, "layer": layer, **scores})
    return ViewResult(sample.name, sample.valid_share, records, strip(sample, predictions) if with_strip else None)


def _comparable(layers: Layers, sample: Sample) -> Layers:
    """Predictions as they are compared: shading as luminance where the truth's shading has no colour."""
    if sample.gray_shading and layers.shading is not None:
        return Layers(layers.albedo, as_gray(layers.shading))
    return layers


def judge_views(
    samples: Iterable[Sample], options: MethodOptions, shown: frozenset[int], workers: int = 1
) -> Iterator[ViewResult]:
    """Results in the samples' order; `shown` are the positions that get a strip of the grid.

    With several workers each process loads the methods once, and at most two views for each wait in memory.
    """
    numbered = ((sample, number in shown) for number, sample in enumerate(samples))
    if workers == 1:
        methods = options.build()
        for sample, with_strip in numbered:
            yield judge_view(sample, methods, with_strip)
        return
    # Started afresh, not forked: ONNX Runtime's threads do not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (options,))
    with pool:
        waiting: deque[Future[ViewResult]] = deque()
        for sample, with_strip in numbered:
            waiting.append(pool.submit(_judge_in_worker, sample, with_strip))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_worker_methods: dict[str, Method] = {}


def _start_worker(options: MethodOptions) -> None:
    cv2.setNumThreads(1)
    _worker_methods.update(options.build())


def _judge_in_worker(sample: Sample, with_strip: bool) -> ViewResult:
    return judge_view(sample, _worker_methods, with_strip)


def summarise(records: Iterable[Mapping[str, object]], common: Mapping[str, object]) -> list[dict[str, object]]:
    """Records of single views -> one row for each (method, layer) with the mean scores and the count."""
    groups: dict[tuple[object, object], list[Mapping[str, object]]] = {}
    for record in records:
        groups.setdefault((record["method"], record["layer"]), []).append(record)
    return [
        {
            **common,
            "method": method,
            "layer": layer,
            "n": len(group),
            **{name: float(np.mean([record[name] for record in group])) for name in SCORES},
        }
        for (method, layer), group in groups.items()
    ]


def _spread(count: int, wanted: int) -> frozenset[int]:
    """`wanted` positions (all of them if there are fewer), evenly spread over range(count)."""
    return frozenset(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist())


def _with_progress(results: Iterable[ViewResult], total: int) -> Iterator[ViewResult]:
    """Pass results on, with rate and time left on stderr every few seconds (in place on a terminal)."""
    start, terminal = time.monotonic(), sys.stderr.isatty()
    printed = start
    for number, result in enumerate(results, 1):
        now = time.monotonic()
        if now - printed >= (0.5 if terminal else 15) or (terminal and number == total):
            rate = number / (now - start)
            line = f"{number}/{total} views, {rate:.1f} a second, {(total - number) / rate:.0f} s left"
            end = "\n" if not terminal or number == total else ""
            print(f"\r\033[K{line}" if terminal else line, end=end, file=sys.stderr, flush=True)
            printed = now
        yield result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, choices=sorted(DATASETS), help="kind of pictures with ground truth")
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="PATH",
        help="mit: the folder of objects; shards: a .tar, or a folder (its val-*.tar, or else every *.tar)",
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="what to score (default: all)")
    parser.add_argument(
        "--bundle",
        metavar="small|base|PATH",
        help="model bundle of the flow method (default: the best shipped)",
    )
    parser.add_argument("--steps", type=partial(_at_least, 1), default=2, help="Euler steps of the flow (default: 2)")
    parser.add_argument(
        "--resolution",
        type=partial(_at_least, 32),
        default=DEFAULT_RESOLUTION,
        help=f"working short side of the flow (default: {DEFAULT_RESOLUTION}); scores are at native size",
    )
    parser.add_argument("--seed", type=partial(_at_least, 0), default=0, help="seed of the flow's start noise (default: 0)")
    parser.add_argument("--limit", type=partial(_at_least, 1), metavar="N", help="only the first N views")
    parser.add_argument(
        "--workers",
        type=partial(_at_least, 1),
        default=1,
        help="processes, each with its own model (default: 1)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and the environment as JSON")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write quality.json, views.csv and grid.png into this folder",
    )
    return parser


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 scored, 1 the data or the bundle cannot be used, 2 wrong usage."""
    args = _parser().parse_args(arguments)
    try:
        return _run(args)
    except (InputError, ShardError, MissingExtraError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    dataset = DATASETS[args.dataset](args.data)
    options = MethodOptions(
        dataset=args.dataset,
        methods=tuple(name for name in METHODS if name in args.methods),
        bundle=Bundle.load(args.bundle) if "flow" in args.methods else None,
        steps=args.steps,
        resolution=args.resolution,
        seed=args.seed,
        threads=None if args.workers == 1 else 1,
    )
    total = min(len(dataset), args.limit or len(dataset))
    samples = itertools.islice(dataset, total)
    shown = _spread(total, GRID_ROWS) if args.report else frozenset()
    results = list(_with_progress(judge_views(samples, options, shown, args.workers), total))

    judged = [result for result in results if result.records]
    records = [record for result in judged for record in result.records]
    if not judged:
        raise InputError(args.data, "no view with valid pixels", f"views with {MINIMUM_VALID_SHARE:.0%} valid pixels")
    common = {
        "dataset": dataset.name,
        "protocol": dataset.protocol,
        "skipped": len(results) - len(judged),
        "valid_share": float(np.mean([result.valid_share for result in judged])),
    }
    settings = {"retinex": {"thresholds": vars(THRESHOLDS[args.dataset])}}
    if options.bundle:
        made = {"bundle": options.bundle.name, "source": options.bundle.manifest["source"]}
        settings["flow"] = made | {"steps": args.steps, "resolution": args.resolution, "seed": args.seed}
    rows = [row | settings.get(row["method"], {}) for row in summarise(records, common)]

    print(
        f"{dataset.name}: {len(judged)} views scored, {common['valid_share']:.0%} of their pixels valid; "
        f"{common['skipped']} skipped as black or with under {MINIMUM_VALID_SHARE:.0%} valid pixels"
    )
    print(table(rows))
    report = {"environment": environment(), "rows": rows}
    if args.json:
        write_json(args.json, report)
    if args.report:
        write_json(args.report / "quality.json", report)
        write_csv(args.report / "views.csv", records)
        write_png(args.report / "grid.png", grid([result.strip for result in judged if result.strip]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
