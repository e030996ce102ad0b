"""The tables and the chart of `benchmarks.latency`, for the terminal and as a Markdown report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from intrinsic_flow.backends import LIBRARIES
from intrinsic_flow.benchmarks.report import write_json, write_text
from intrinsic_flow.benchmarks.timing.candidate import Row

_TIMES = ("min_ms", "p50_ms", "p90_ms", "p99_ms")
_PARTS = ("h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms")
_TITLES = {
    "graph": "",
    "p50_ms": "p50, ms",
    "p90_ms": "p90, ms",
    "p99_ms": "p99, ms",
    "min_ms": "min, ms",
    "frames_per_second": "pictures/s",
    "gmac_per_second": "GMAC/s",
    "fraction_of_limit": "of the limit",
    "gigabytes_per_second": "GB/s",
    "cold_start_ms": "cold start, ms",
    "peak_mib": "peak memory, MiB",
    "device_mib": "GPU memory, MiB",
    "h2d_ms": "host to device, ms",
    "compute_ms": "compute, ms",
    "d2h_ms": "device to host, ms",
    "enqueue_ms": "enqueue, ms",
}
_NETWORK = (
    "backend", "precision", "variant", *_TIMES, "frames_per_second", "gmac_per_second", "fraction_of_limit",
    "cold_start_ms", "peak_mib", "device_mib", *_PARTS,
)  # fmt: skip
_LIMITS = ("graph", "precision", "min_ms", "p50_ms", "gmac_per_second", "gigabytes_per_second")


class Report(TypedDict):
    """environment: machine, versions and bundle. rows: of the backends; limits: of the machine; warnings: a line each."""

    environment: Row
    rows: list[Row]
    limits: list[Row]
    warnings: list[str]


def tables(report: Report) -> str:
    """All rows in Markdown: for each workload the networks, how many times faster than PyTorch, stages, limits."""
    rows, parts = report["rows"], list[str]()
    for workload in dict.fromkeys(_workload(row) for row in rows):
        resolution, steps, batch = workload
        mine = [row for row in rows if _workload(row) == workload]
        networks = [row for row in mine if row["graph"] == "network"]
        parts.append(f"### Batch {batch}, {resolution}x{resolution}, {steps} steps")
        parts.append(_table(networks, [key for key in _NETWORK if any(key in row for row in networks)]))
        if ratios := _ratios(networks):
            parts += ["Times faster than PyTorch, median over the rounds:", ratios]
        parts += ["Stages, p50 in ms:", _stages(mine)]
        limits = [row for row in report["limits"] if _workload(row) == workload]
        parts += ["The machine's limit, in the same rounds:", _table(limits, _LIMITS)]
    return "\n\n".join(parts)


def format_rows(report: Report) -> str:
    """The report for the terminal: the tables and the warnings."""
    warnings = "\n".join(f"warning: {line}" for line in report["warnings"])
    return tables(report) + (f"\n\n{warnings}" if warnings else "")


def write_report(stem: Path, report: Report, arguments: Sequence[str]) -> None:
    """Writes STEM.md, STEM.json and STEM.svg. arguments: those of the command, to be shown in the report."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    machine = report["environment"]
    untrained = " with random weights, on which latency does not depend," if machine["untrained"] else ""
    libraries = ", ".join(f"{name} {machine[name]}" for name in ("torch", *LIBRARIES) if name in machine)
    hardware = f"{machine['processor']}, {machine['cpu_count']} CPUs, {machine['threads']} threads"
    lines = [
        f"# Latency of `{machine['bundle']}`",
        "",
        f"Bundle `{machine['bundle']}`{untrained} on {machine.get('gpu', hardware)}; {libraries}. Made by",
        "",
        f"    python -m benchmarks.latency {' '.join(arguments)}",
        "",
        "whose help says what is measured. PyTorch runs in inference mode with as many threads; of each backend's variants "
        "the fastest is shown, and the others' times stand in the JSON.",
        "",
        *[f"- Warning: {line}" for line in report["warnings"]],
        *([""] if report["warnings"] else []),
        f"![median latency]({stem.name}.svg)",
        "",
        tables(report),
        "",
    ]
    write_json(stem.with_suffix(".json"), report)
    _write_chart(stem.with_suffix(".svg"), report)
    write_text(stem.with_suffix(".md"), "\n".join(lines))


def _workload(row: Row) -> tuple[object, object, object]:
    # One picture is what a whole decomposition takes, whatever the batch of the network beside it.
    return row["resolution"], row["steps"], row.get("workload_batch", row["batch"])


def _ratios(networks: Sequence[Row]) -> str:
    keys = list(dict.fromkeys(key for row in networks for key in row if key.startswith("speedup_over_")))
    faster = [row for row in networks if any(key in row for key in keys)]
    titles = {key: key.removeprefix("speedup_over_").replace("_", " ") for key in keys}
    return _table(faster, ["backend", "precision", *keys], titles) if keys else ""


def _stages(rows: Sequence[Row]) -> str:
    names = [name for name in dict.fromkeys(row["graph"] for row in rows) if name != "network"]
    lines: dict[tuple[object, object], dict[str, object]] = {}
    for row in rows:
        line = lines.setdefault((row["backend"], row["precision"]), {})
        line |= {"backend": row["backend"], "precision": row["precision"], row["graph"]: row["p50_ms"]}
    with_stages = [line for line in lines.values() if any(name in line for name in names)]
    return _table(with_stages, ["backend", "precision", *names])


def _table(rows: Sequence[Row], columns: Sequence[str], titles: Mapping[str, str] = _TITLES) -> str:
    """Markdown, padded so that it also reads well as text."""
    cells = [[titles.get(key, key) for key in columns], *([_cell(row.get(key)) for key in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    numeric = [any(isinstance(row.get(key), (int, float)) for row in rows) for key in columns]

    def line(values: Sequence[str]) -> str:
        padded = (v.rjust(w) if number else v.ljust(w) for v, w, number in zip(values, widths, numeric))
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if number else "-") for w, number in zip(widths, numeric)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _write_chart(path: Path, report: Report) -> None:
    """Median latency of the network, one panel a workload, each backend a bar with a whisker to its 90th percentile."""
    from matplotlib.figure import Figure

    networks = [row for row in report["rows"] if row["graph"] == "network"]
    workloads = list(dict.fromkeys(map(_workload, networks)))
    bars = max(sum(_workload(row) == workload for row in networks) for workload in workloads)
    figure = Figure(figsize=(7, len(workloads) * (0.8 + 0.3 * bars)), layout="constrained")
    axes = figure.subplots(len(workloads), squeeze=False)[:, 0]
    for panel, workload in zip(axes, workloads, strict=True):
        rows = [row for row in networks if _workload(row) == workload]
        names = [f"{row['backend']} {row['precision']}" for row in rows]
        colors = ["#9aa5b1" if row["backend"].startswith("torch") else "#2b6cb0" for row in rows]
        medians = [row["p50_ms"] for row in rows]
        slow = [[0.0] * len(rows), [row["p90_ms"] - row["p50_ms"] for row in rows]]
        whiskers = {"ecolor": "#333333", "capsize": 3, "elinewidth": 1}
        drawn = panel.barh(names, medians, color=colors, height=0.6, xerr=slow, error_kw=whiskers)
        panel.bar_label(drawn, [f"{median:.1f}" for median in medians], padding=5, fontsize=8)
        panel.invert_yaxis()
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
        resolution, steps, batch = workload
        panel.set_title(f"batch {batch}, {resolution}x{resolution}, {steps} steps", fontsize=9, loc="left")
    axes[-1].set_xlabel("network, ms: median, and a whisker to the 90th percentile")
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    write_text(path, content.getvalue())
