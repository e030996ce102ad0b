"""Scores a model bundle on a data set by a named protocol, beside the trivial answers and colour Retinex.

    python -m benchmarks.quality --dataset shards --data DATA/val-00000.tar --bundle small --report out
    python -m benchmarks.quality --dataset mit --data MIT_FOLDER --protocol barron --split train
    python -m benchmarks.quality --dataset iiw --data iiw-dataset --methods retinex trivial --workers 2

Prints a Markdown table with means over views and 95% bootstrap intervals. `--report` keeps quality.json, report.md,
views.csv (single views) and pictures.png (best, quartiles, median and worst), and lets a run that was stopped go on.
What a protocol does stands in the table's head and in each row of the JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.backends import BACKENDS
from intrinsic_flow.benchmarks.report import (
    captioned,
    environment,
    grid,
    table,
    write_csv,
    write_json,
    write_png,
    write_text,
)
from intrinsic_flow.benchmarks.scoring.datasets import MINIMUM_VALID_SHARE, Dataset
from intrinsic_flow.benchmarks.scoring.methods import METHODS, MethodOptions, add_options
from intrinsic_flow.benchmarks.scoring.protocols import BENCHMARKS, Protocol, Record, dataset_name, protocols_of
from intrinsic_flow.benchmarks.scoring.protocols.base import LayerProtocol
from intrinsic_flow.benchmarks.scoring.runner import Progress, ViewResult, judge_view, run
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import check_writable
from intrinsic_flow.train.data.shards import ShardError

# Where in the order of views, best to worst, the shown ones lie; where two meet, the first name stands.
SHOWN = {"best": 0.0, "worst": 1.0, "median": 0.5, "first quartile": 0.25, "last quartile": 0.75}

# A set of fewer scenes says nothing about others: its scores are reported, models are not chosen by them.
ENOUGH_TO_CHOOSE = 10


def summarise(records: Sequence[Record], protocol: Protocol, common: dict[str, object]) -> list[dict[str, Any]]:
    """Records of single views -> one row for each (method, layer): scores, their intervals and the count of views."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["method"], record["layer"]), []).append(record)
    rows = []
    for (method, layer), group in groups.items():
        columns = protocol.combine(group)
        rows.append(
            {
                **common,
                "method": method,
                "layer": layer,
                "n": len(group),
                "groups": len({record["group"] for record in group}),
                **{key: column.value for key, column in columns.items()},
                "interval": {key: column.interval for key, column in columns.items() if column.interval},
            }
        )
    return rows


def shown_views(records: Sequence[Record], protocol: Protocol) -> list[tuple[str, str, float]]:
    """(caption, view, score) from best to worst: best, quartiles, median and worst of the first method.

    A view's score is the mean over its layers.
    """
    method, key = records[0]["method"], protocol.rank.record_key
    scores: dict[str, list[float]] = {}
    for record in records:
        if record["method"] == method and record.get(key) is not None:
            scores.setdefault(str(record["view"]), []).append(float(record[key]))
    means = {view: float(np.mean(values)) for view, values in scores.items()}
    order = sorted(means, key=lambda view: -means[view] if protocol.rank.better == "higher" else means[view])
    captions: dict[int, str] = {}
    for caption, share in SHOWN.items():
        captions.setdefault(round(share * (len(order) - 1)), caption)
    return [(captions[place], order[place], means[order[place]]) for place in sorted(captions) if order]


def pictures(records: Sequence[Record], dataset: Dataset, protocol: Protocol, options: MethodOptions) -> np.ndarray | None:
    """The sheet of `shown_views`, (H, W, 3) uint8; None where no view has a score of its own."""
    methods, strips = options.build(), []
    for caption, view, value in shown_views(records, protocol):
        row = judge_view(dataset, view, protocol, methods, with_strip=True).strip
        assert row is not None, "views that are shown have records"
        strips.append(captioned(row, f"{caption}: {view} {value * protocol.rank.factor:.4f}"))
    return grid(strips) if strips else None


def _parser() -> argparse.ArgumentParser:
    protocols = "; ".join(f"{name}: {', '.join(protocols_of(name))}" for name in sorted(BENCHMARKS))
    parser = command_parser("benchmarks.quality", __doc__)
    parser.add_argument(
        "--dataset",
        required=True,
        type=dataset_name,
        choices=sorted(BENCHMARKS),
        help="which data set the folder holds",
    )
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="PATH",
        help="the folder as it was downloaded and unpacked (shards: or one .tar); a wrong one is told what is expected",
    )
    parser.add_argument("--protocol", metavar="NAME", help=f"how to score (default: the set's first). {protocols}")
    parser.add_argument("--split", metavar="NAME", help="part of the set (default: the one that papers report)")
    add_options(parser, METHODS)
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="cpu",
        help="that the flow runs on (default: cpu, FP32 with the same answer on every machine)",
    )
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="beside the flow: its answers with the truth in the network's place, and by scale (scoring/oracle.py)",
    )
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="only the first N views")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write quality.json, report.md, views.csv and pictures.png into this folder; a stopped run goes on from there",
    )
    return parser


@program("benchmarks.quality", ShardError)
def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 scored, 1 the data or the bundle cannot be used, 2 wrong usage, 130 interrupted."""
    parser = _parser()
    args = parser.parse_args(arguments)
    benchmarks = protocols_of(args.dataset)
    if args.protocol is not None and args.protocol not in benchmarks:
        parser.error(f"{args.dataset} has no protocol {args.protocol!r}, choose from {', '.join(benchmarks)}")
    benchmark = benchmarks[args.protocol or next(iter(benchmarks))]
    if args.oracle and not ("flow" in args.methods and isinstance(benchmark.protocol, LayerProtocol)):
        parser.error("--oracle needs the flow method and a protocol with dense truth")
    check_writable(args.json, args.report and args.report / "quality.json")
    try:
        dataset = benchmark.open(args.data, args.split)
        with MethodOptions.of(args, args.dataset, backend=args.backend, oracle=args.oracle).as_it_stands() as options:
            return _run(args, dataset, benchmark.protocol, options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped" + ("; the same command goes on" if args.report else "")) from None


def _run(args: argparse.Namespace, dataset: Dataset, protocol: Protocol, options: MethodOptions) -> int:
    names = list(dataset.names)[: args.limit]
    progress = None
    if args.report:
        progress = Progress(args.report / "progress.jsonl", _identity(args, dataset, protocol, options))
    complete = False
    try:
        results = run(dataset, names, protocol, options, args.workers, progress)
        _report(args, dataset, protocol, options, results)
        complete = True
    finally:
        if progress:
            progress.close(remove=complete)
    return 0


def _identity(args: argparse.Namespace, dataset: Dataset, protocol: Protocol, options: MethodOptions) -> dict[str, object]:
    """What the scores of a view depend on."""
    return {
        "data": str(args.data.resolve()),
        "protocol": f"{args.dataset} {protocol.name}: {protocol.text}",
        "split": dataset.split,
        "methods": options.methods,
        "settings": options.settings() | {"oracle": options.oracle},
        "graphs": options.bundle.manifest if options.bundle else None,
    }


def _report(
    args: argparse.Namespace,
    dataset: Dataset,
    protocol: Protocol,
    options: MethodOptions,
    results: Sequence[ViewResult],
) -> None:
    judged = [result for result in results if result.records]
    records = [record for result in judged for record in result.records]
    if not judged:
        raise InputError(args.data, "no view with valid pixels", f"views with {MINIMUM_VALID_SHARE:.0%} valid pixels")
    common = {
        "dataset": dataset.name,
        "protocol": f"{protocol.name}: {protocol.text}",
        "split": dataset.split,
        "skipped": len(results) - len(judged),
        "valid_share": float(np.mean([result.valid_share for result in judged])),
    }
    settings = options.settings()
    rows = [row | settings.get(row["method"], {}) for row in summarise(records, protocol, common)]
    if not any(score.key in row for row in rows for score in protocol.scores):
        found = f"{len(judged)} views of which no score can be computed"
        raise InputError(args.data, found, "views that together have every kind of label")
    scenes = len({record["group"] for record in records})
    head = (
        f"{dataset.name} ({dataset.split}), protocol {protocol.name}: {len(judged)} views of {scenes} "
        f"{'scene' if scenes == 1 else 'scenes'} scored, {common['valid_share']:.0%} of their pixels valid; "
        f"{common['skipped']} skipped as black, unlabelled or with under {MINIMUM_VALID_SHARE:.0%} valid pixels"
    )
    for note in protocol.notes():
        print(note, file=sys.stderr)
    description = dict(dataset.describe())
    remarks = list(dataset.remarks(description))
    if scenes < ENOUGH_TO_CHOOSE:
        remarks.append(f"fewer than {ENOUGH_TO_CHOOSE} scenes: reported, nothing is chosen by these numbers")
    lines = table(rows, protocol.scores)
    print(head, lines, *remarks, sep="\n")
    report = {"environment": environment(), "rows": rows, "data": description}
    if args.json:
        write_json(args.json, report)
    if args.report:
        write_json(args.report / "quality.json", report)
        notes = "".join(f"{note}\n\n" for note in (*protocol.notes(), *remarks))
        flow = settings.get("flow")
        if flow:
            notes += f"flow: bundle `{flow['bundle']}`, {flow['steps']} steps, working side {flow['resolution']}\n\n"
        write_text(args.report / "report.md", f"# {head}\n\n{protocol.text}\n\n{notes}{lines}\n")
        write_csv(args.report / "views.csv", records)
        sheet = pictures(records, dataset, protocol, options)
        if sheet is not None:
            write_png(args.report / "pictures.png", sheet)


if __name__ == "__main__":
    sys.exit(main())
