"""The tables of `benchmarks.video`, for the terminal and as a Markdown report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

# Rows as JSON: text, numbers and lists of numbers, by column.
Row = Mapping[str, Any]


class Report(TypedDict):
    """What `benchmarks.video` writes as JSON. environment: as `intrinsic_flow.benchmarks.report.environment`."""

    environment: Mapping[str, object]
    rows: Sequence[Row]


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _number(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


def _shares(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


_STEADY = (
    ("clip", "clip", str),
    ("method", "method", str),
    ("deviation", "deviation", _percent),
    ("deviation_over_input", "over input", _number(2)),
    ("frame_to_frame", "frame to frame", _percent),
    ("frame_to_frame_over_input", "over input", _number(2)),
    ("steady", "steady", str),
    ("warped_error", "warped error", _percent),
)
_TRUTH = (
    ("albedo_lmse", "albedo LMSE", _number(4)),
    ("shading_lmse", "shading LMSE", _number(4)),
    ("carried_change", "error's change along motion", _percent),
    ("band_over_rest", "error behind moving things over the rest's", _number(2)),
    ("light_response", "light shown after 1 2 3 frames", _shares),
    ("drag", "dragged across cuts", _percent),
)
_CHUNK = (
    ("clip", "clip", str),
    ("chunk", "chunk from frame", str),
    ("chunk_frames", "frames", str),
    ("read_from", "read from", str),
    ("same_bytes", "the whole's bytes", lambda same: "yes" if same else "no"),
)
_SPEED = (
    ("stage", "stage", str),
    ("frames_per_second", "frames a second", _number(1)),
    ("ms_per_frame", "ms a frame", _number(1)),
    ("core_ms_per_frame", "ms of a core a frame", _number(1)),
    ("note", "", str),
)
_MEMORY = (("seconds", "clip, s", _number(0)), ("frames", "frames", str), ("peak_mib", "peak memory, MiB", _number(0)))


def table(rows: Sequence[Row]) -> str:
    """All rows as Markdown tables: steadiness, then chunks, speed and memory, as far as there are such rows."""
    steady = [row for row in rows if "method" in row]
    truth = any("albedo_lmse" in row for row in steady)
    parts = [
        _table(steady, (*_STEADY, *(_TRUTH if truth else ()))),
        _table([row for row in rows if "same_bytes" in row], _CHUNK),
        _table([row for row in rows if "stage" in row], _SPEED),
        _table([row for row in rows if "peak_mib" in row], _MEMORY),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(rows: Sequence[Row], columns: Sequence[tuple[str, str, Callable[[Any], str]]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(title for _, title, _ in columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [show(row[key]) if row.get(key) is not None else "" for key, _, show in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """The report as a page: what was measured, on what, and the tables."""
    machine, rows = report["environment"], report["rows"]
    steady = [row for row in rows if "method" in row]
    shares = {row["clip"]: f"{row['clip']}: {row['frames']} frames, {row['still_share']:.0%} still" for row in steady}
    first = rows[0]
    lines = [
        "# Video",
        "",
        f"Bundle `{first['bundle']}`, resolution {first['resolution']}, {first['steps']} steps; {machine['processor']}, "
        f"{machine['cpu_count']} CPUs, ONNX Runtime {machine['onnxruntime']}. Made by `python -m benchmarks.video`, which "
        "defines the measures in its help and in `videos/steadiness.py`.",
        "",
        *([f"Clips: {'; '.join(shares.values())}.", ""] if shares else []),
        table(rows),
        "",
    ]
    return "\n".join(lines)
