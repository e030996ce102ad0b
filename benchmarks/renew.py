"""Everything that is said about a model, anew: bundle, parity, scores, and the tables of README, pages and model card.

    python -m benchmarks.renew runs/small -o runtime/models/small --shards SHARDS --mit MIT
    python -m benchmarks.renew -o runtime/models/small --shards SHARDS --mit MIT    # the bundle as it is
    python -m benchmarks.renew -o runtime/models/small                              # the tables alone, from the reports

In turn: `export.build_onnx` where there is a RUN (a training run or a bundle), `export.parity`, `benchmarks.quality` for
each report of a data set that is given, and last the tables between the marks `<!-- results -->` and `<!-- /results -->`.
The first step that fails ends it. Reports lie in benchmarks/reports; a stopped `benchmarks.quality` goes on when the
command is started again.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intrinsic_flow.benchmarks import quality
from intrinsic_flow.benchmarks.report import table, write_text
from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL
from intrinsic_flow.benchmarks.scoring.protocols import protocols_of
from intrinsic_flow.commands import ROOT, command_parser, program
from intrinsic_flow.errors import InputError
from intrinsic_flow.export import build_onnx, parity
from intrinsic_flow.media.atomic_file import write_complete

REPORTS = ROOT / "benchmarks" / "reports"
WORK = "unfinished"
CARD = "MODEL_CARD.md"
_BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)

#: Report: data set and further options of benchmarks.quality.
SETS: dict[str, tuple[str, ...]] = {
    "shards-white-balanced": ("shards", "--protocol", "white-balanced"),
    "shards-native": ("shards",),
    "mit-native": ("mit",),
    "mit-native-384": ("mit", "--resolution", "384"),
    "mit-grosse": ("mit", "--protocol", "grosse"),
    "mit-barron-train": ("mit", "--protocol", "barron", "--split", "train"),
    "mit-constancy": ("mit", "--protocol", "constancy"),
}
IN_CARD = ("shards-white-balanced", "shards-native", "mit-native", "mit-native-384")


@dataclass(frozen=True)
class Line:
    """A line of the table of results. report: in SETS. cells: layer and score of each number, with its decimals.

    summary: whether it stands in the README too.
    """

    data: str
    report: str
    title: str
    cells: tuple[tuple[str, str, int], ...]
    summary: bool = True


LINES = (
    Line(
        "shards `white-balanced`, {n} views of {groups} scenes",
        "shards-white-balanced",
        "albedo LMSE",
        (("albedo", "lmse", 4),),
    ),
    Line("", "shards-white-balanced", "shading LMSE", (("shading", "lmse", 4),)),
    Line("", "shards-white-balanced", "albedo SSIM ↑", (("albedo", "ssim", 3),)),
    Line("", "shards-white-balanced", "shading SSIM ↑", (("shading", "ssim", 3),)),
    Line(
        "the same in their own warm light, `native`",
        "shards-native",
        "albedo / shading LMSE",
        (("albedo", "lmse", 4), ("shading", "lmse", 4)),
    ),
    Line("MIT `native`, {n} objects", "mit-native", "albedo LMSE", (("albedo", "lmse", 4),)),
    Line("", "mit-native", "shading LMSE", (("shading", "lmse", 4),)),
    Line("", "mit-native", "albedo / shading RMSE", (("albedo", "rmse", 4), ("shading", "rmse", 4))),
    Line(
        "the same, `--resolution 384`",
        "mit-native-384",
        "albedo / shading LMSE",
        (("albedo", "lmse", 4), ("shading", "lmse", 4)),
    ),
    Line("MIT `grosse`, {n} of the 16 objects", "mit-grosse", "both LMSE", (("both", "lmse", 4),)),
    Line(
        "MIT `barron`, training half",
        "mit-barron-train",
        "albedo LMSE / MSE / DSSIM",
        (("albedo", "lmse", 4), ("albedo", "mse", 4), ("albedo", "dssim", 3)),
        summary=False,
    ),
    Line(
        "",
        "mit-barron-train",
        "shading LMSE / MSE / DSSIM",
        (("shading", "lmse", 4), ("shading", "mse", 4), ("shading", "dssim", 3)),
        summary=False,
    ),
    Line("MIT `constancy`, {n} objects, 2 lights", "mit-constancy", "albedo change", (("albedo", "change", 4),)),
    Line("", "mit-constancy", "LMSE to the truth under one light", (("albedo", "lmse", 4),)),
)

Rows = Sequence[Mapping[str, Any]]


def results(reports: Mapping[str, Rows], name: str, *, summary: bool) -> str:
    """The table of results as Markdown, the best of each score bold. reports: rows by report. name: of the model."""
    lines = [f"| data, protocol | layer, score | `{name}` | colour Retinex | best trivial |", "|---|---|---:|---:|---:|"]
    for line in LINES:
        if summary and not line.summary:
            continue
        rows = reports[line.report]
        columns: tuple[list[str], ...] = ([], [], [])
        names: list[str] = []
        for layer, key, decimals in line.cells:
            scores = {row["method"]: row[key] for row in rows if row["layer"] == layer and row.get(key) is not None}
            order = max if key == "ssim" else min
            # A constant changes by nothing, which says nothing.
            best_trivial = order((m for m in scores if m in TRIVIAL and scores[m] > 0), key=lambda method: scores[method])
            names.append(best_trivial)
            winner = order(("flow", "retinex", best_trivial), key=lambda method: scores[method])
            for column, method in zip(columns, ("flow", "retinex", best_trivial), strict=True):
                text = _number(scores[method], decimals)
                column.append(f"**{text}**" if method == winner else text)
        cells = [" / ".join(column) for column in columns]
        if len(line.cells) == 1 and "retinex untuned" in scores:
            cells[1] += f", untuned {_number(scores['retinex untuned'], decimals)}"
        cells[2] += f" ({', '.join(dict.fromkeys(names))})"
        data = line.data.format(**rows[0])
        lines.append(f"| {data} | {line.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".removeprefix("0")


def card_tables(reports: Mapping[str, Rows]) -> str:
    """The scores of the model card as Markdown."""
    parts = []
    for report in IN_CARD:
        dataset, *options = SETS[report]
        rows = reports[report]
        protocol = protocols_of(dataset)[rows[0]["protocol"].split(":")[0]].protocol
        title = " ".join((dataset, protocol.name, *options))
        parts.append(f"`{title}`, {rows[0]['n']} views:\n\n{table(rows, protocol.scores)}")
    return "\n\n".join(parts)


def replace_block(page: Path, content: str) -> None:
    """Puts `content` between a page's marks. Raises InputError where it has none."""
    text = page.read_text(encoding="utf-8")
    if not _BLOCK.search(text):
        raise InputError(page, "no marks <!-- results --> and <!-- /results -->", "a page with them")
    write_complete(page, _BLOCK.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text))


def write_tables(bundle: Path, reports: Path = REPORTS, root: Path = ROOT) -> None:
    """Renews the tables of README, docs/results.md and the bundle's model card from the reports. Raises InputError."""
    rows = {}
    for report in SETS:
        file = reports / f"{report}.json"
        try:
            rows[report] = json.loads(file.read_text(encoding="utf-8"))["rows"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(file, f"no report ({error})", "a report of benchmarks.quality") from error
    name = rows[IN_CARD[0]][0]["bundle"]
    replace_block(root / "README.md", results(rows, name, summary=True))
    replace_block(root / "docs" / "results.md", results(rows, name, summary=False))
    replace_block(bundle / CARD, card_tables(rows))


def score(report: str, data: Path, bundle: Path, workers: int, reports: Path = REPORTS) -> int:
    """Scores one of SETS and puts its JSON and Markdown in place; returns the exit code of benchmarks.quality."""
    dataset, *options = SETS[report]
    folder = reports / WORK / report
    given = ("--dataset", dataset, "--data", str(data), "--bundle", str(bundle))
    code = quality.main([*given, *options, "--workers", str(workers), "--report", str(folder)])
    if code == 0:
        for source, suffix in (("quality.json", "json"), ("report.md", "md")):
            write_text(reports / f"{report}.{suffix}", (folder / source).read_text(encoding="utf-8"))
    return code


@program("benchmarks.renew")
def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the first step that fails, else 0."""
    parser = command_parser("benchmarks.renew", __doc__)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="run of train.flow or a bundle to build from")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle, built or as it is")
    parser.add_argument("--shards", type=Path, metavar="PATH", help="validation shards; without, their report stays")
    parser.add_argument("--mit", type=Path, metavar="PATH", help="the MIT set; without, its reports stay")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes of benchmarks.quality (default: 1)")
    options = parser.parse_args(arguments)
    return _renew(options)


def _renew(options: argparse.Namespace) -> int:
    bundle = options.output
    if options.run and (code := build_onnx.main([str(options.run), "-o", str(bundle)])):
        return code
    data = {"shards": options.shards, "mit": options.mit}
    (REPORTS / "parity").mkdir(exist_ok=True)
    check = ["--bundle", str(bundle), "--json", str(REPORTS / "parity" / f"{bundle.name}.json")]
    if (options.run or any(data.values())) and (code := parity.main(check)):
        return code
    for report, (dataset, *_) in SETS.items():
        if data[dataset] and (code := score(report, data[dataset], bundle, options.workers)):
            return code
    write_tables(bundle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
