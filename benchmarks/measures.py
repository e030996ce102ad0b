"""All measures of a model in one table: a bundle, or a training run as it stands.

    python -m benchmarks.measures --bundle small --eval PICTURES --shards val-00000.tar
    python -m benchmarks.measures --bundle runs/flow --eval PICTURES --shards val-00000.tar --limit 40 --json scores.json
    python -m benchmarks.measures --bundle small --eval PICTURES --shards val-00000.tar --methods flow retinex trivial

PICTURES holds folders named as the data sets: mit, shadow_moved, multi_illumination, photometric_stereo, photos, published;
what is missing is left out. docs/measures.md says what each measure is. Baselines do not change with the model and are
computed only when asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intrinsic_flow.benchmarks.quality import summarise
from intrinsic_flow.benchmarks.report import environment, write_json
from intrinsic_flow.benchmarks.scoring.datasets import MitDataset, ShardDataset, WhiteBalancedShardDataset
from intrinsic_flow.benchmarks.scoring.methods import MethodOptions, add_options
from intrinsic_flow.benchmarks.scoring.oracle import ORACLES
from intrinsic_flow.benchmarks.scoring.protocols import BENCHMARKS, Benchmark, dataset_name
from intrinsic_flow.benchmarks.scoring.protocols.measures import DenseMeasures
from intrinsic_flow.benchmarks.scoring.runner import run
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import check_writable
from intrinsic_flow.train.data.shards import ShardError


@dataclass(frozen=True)
class Measured:
    """A set that is scored. oracle: whether also with the truth in the network's place."""

    title: str
    dataset: str
    benchmark: Benchmark
    oracle: bool = False


MEASURED = (
    Measured("shards", "shards", Benchmark(ShardDataset, DenseMeasures()), oracle=True),
    Measured("shards, white-balanced", "shards", Benchmark(WhiteBalancedShardDataset, DenseMeasures())),
    Measured("mit", "mit", Benchmark(MitDataset, DenseMeasures()), oracle=True),
    *(
        Measured(name, name, BENCHMARKS[name][0])
        for name in ("shadow_moved", "multi_illumination", "photometric_stereo", "photos", "published")
    ),
)


def measure(
    options: MethodOptions, pictures: Path | None, shards: Path | None, limit: int | None, workers: int = 1
) -> dict[str, list[dict[str, Any]]]:
    """Title of a set -> its rows, one for each method and layer. limit: of views of shards; None for all."""
    results = {}
    there = {dataset_name(folder.name): folder for folder in pictures.iterdir() if folder.is_dir()} if pictures else {}
    for measured in MEASURED:
        path = shards if measured.dataset == "shards" else there.get(measured.dataset)
        if path is None:
            continue
        dataset, protocol = measured.benchmark.open(path), measured.benchmark.protocol
        names = list(dataset.names)[: limit if measured.dataset == "shards" else None]
        chosen = replace(options, dataset=measured.dataset, oracle=measured.oracle and "flow" in options.methods)
        records = [record for view in run(dataset, names, protocol, chosen, workers) for record in view.records]
        results[measured.title] = summarise(records, protocol, {"dataset": measured.title})
    return results


def tables(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: a table of the methods on every set, then one of the oracles."""
    main: list[str] = []
    oracles: list[str] = []
    for title, rows in results.items():
        scores = next(measured.benchmark.protocol for measured in MEASURED if measured.title == title).scores
        for row in rows:
            cells = " | ".join(f"{score.title} {row[score.key]:.4f}" for score in scores if score.key in row)
            line = f"| {title} | {row['layer']} | {row['method']} | {cells.replace(' | ', '; ')} | {row['n']} |"
            (oracles if row["method"] in ORACLES else main).append(line)
    head = ["| set | layer | method | scores | n |", "|---|---|---|---|---:|"]
    return "\n".join([*head, *main, *(["", *head, *oracles] if oracles else [])])


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks.measures", __doc__)
    parser.add_argument("--eval", type=Path, metavar="DIR", help="folder with the folders of pictures")
    parser.add_argument("--shards", type=Path, metavar="PATH", help="rendered views: a tar shard or a folder of them")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="only the first N rendered views")
    add_options(parser, ["flow"])
    return parser


@program("benchmarks.measures", ShardError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 scored, 1 data or model cannot be used, 2 wrong usage."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.eval is None and args.shards is None:
        parser.error("nothing to measure: --eval, --shards or both")
    check_writable(args.json)
    if args.eval is not None and not args.eval.is_dir():
        raise InputError(args.eval, "no folder", "a folder with folders of pictures")
    with MethodOptions.of(args, "").as_it_stands() as options:
        results = measure(options, args.eval, args.shards, args.limit, args.workers)
        settings = options.settings()
    if not results:
        raise InputError(args.eval, "no folder of a data set", ", ".join(measured.title for measured in MEASURED[2:]))
    print(tables(results))
    if args.json:
        rows = [row for found in results.values() for row in found]
        write_json(args.json, {"environment": environment(), "settings": settings, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
