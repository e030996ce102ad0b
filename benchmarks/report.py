"""What a quality run leaves behind: JSON, a table, a CSV of single views and a sheet of pictures."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, Layers
from intrinsic_flow.benchmarks.scoring.datasets import Sample
from intrinsic_flow.benchmarks.scoring.metrics import best_scale
from intrinsic_flow.benchmarks.scoring.protocols import Score
from intrinsic_flow.media.atomic_file import write_complete
from intrinsic_flow.train.data.contact_sheet import cell_of, write_picture

CELL = 192
_GAP = 4
_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}

Strip = list[tuple[str, np.ndarray]]


def environment(packages: Sequence[str] = ("numpy", "scipy", "scikit-image", "onnxruntime")) -> dict[str, object]:
    """Machine and versions that the numbers were taken with."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write_json(path: Path, report: Mapping[str, object]) -> None:
    """Write `{"environment": ..., "rows": [...]}`; the file appears complete or not at all."""
    write_text(path, json.dumps(report, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    """Write one line for each view, method and layer, of the values that are single; complete or not at all."""
    rows = [{key: value for key, value in record.items() if not isinstance(value, list)} for record in records]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, content: str | bytes) -> None:
    """Write UTF-8 text, or bytes, and the folder for it; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_complete(path, content)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, picture)


def table(rows: Sequence[Mapping[str, Any]], scores: Sequence[Score]) -> str:
    """The rows as a Markdown table, layer by layer, best first by the first score, those without it last.

    The first score stands with its 95% interval.
    """
    scores = [score for score in scores if any(score.key in row for row in rows)]
    first = scores[0]
    titles = [f"{score.title}{_ARROWS[score.better]}" for score in scores]
    titles.insert(1, "95% interval")
    lines = [f"| layer | method | {' | '.join(titles)} | n |", f"|---|---|{'---:|' * len(titles)}---:|"]
    sign = {"higher": -1, "lower": 1, "neither": 0}[first.better]
    for row in sorted(rows, key=lambda row: (row["layer"], first.key not in row, sign * row.get(first.key, 0))):
        cells = [_number(row.get(score.key), score) for score in scores]
        bounds = row.get("interval", {}).get(first.key)
        cells.insert(1, " to ".join(_number(bound, first) for bound in bounds) if bounds else "")
        lines.append(f"| {row['layer']} | {row['method']} | {' | '.join(cells)} | {row['n']} |")
    return "\n".join(lines)


def _number(value: float | None, score: Score) -> str:
    if value is None:
        return ""
    scaled = value * score.factor
    return f"{scaled:.4f}" if abs(scaled) < 1.5 else f"{scaled:.2f}"


def strip(sample: Sample, predictions: Mapping[str, Layers]) -> Strip:
    """One row of the sheet: (title, cell) with cells (CELL, CELL, 3) uint8, sRGB encoded.

    Columns: input | labels or true layers | albedo and shading of each method. Trivial answers are not shown. A layer
    with a truth is under the scale that its scores use and black outside the mask; one without is divided by its 97th
    percentile, as the input is.
    """
    columns = [("input", _exposed(sample.image, sample.mask))]
    drawn = sample.labels.picture(sample.mask.shape) if sample.labels else None
    if drawn is not None:
        columns.append(("labels", drawn))
    for layer in ("albedo", "shading"):
        if getattr(sample, layer) is not None:
            columns.append((f"{layer} truth", _masked(getattr(sample, layer), sample)))
    for name, layers in predictions.items():
        for layer in ("albedo", "shading"):
            prediction, truth = getattr(layers, layer), getattr(sample, layer)
            if name in TRIVIAL or prediction is None:
                continue
            if truth is None:
                columns.append((f"{name} {layer}", _exposed(prediction, np.ones(sample.mask.shape, bool))))
            else:
                columns.append(
                    (f"{name} {layer}", _masked(prediction * best_scale(prediction, truth, sample.mask), sample))
                )
    return [(title, cell_of(layer, CELL, 0, cv2.INTER_LINEAR)) for title, layer in columns]


def captioned(row: Strip, caption: str) -> Strip:
    """The row with a caption over its first cell."""
    first = row[0][1].copy()
    _write_text(first, caption, (4, CELL - 6))
    return [(row[0][0], first), *row[1:]]


def _masked(layer: np.ndarray, sample: Sample) -> np.ndarray:
    return np.where(sample.mask[..., None], layer, 0)


def _exposed(layer: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return layer / (float(np.percentile(layer[mask], 97)) or 1.0)


def grid(strips: Sequence[Strip]) -> np.ndarray:
    """Rows of `strip`, all with the same columns -> (H, W, 3) uint8 with the titles on top."""
    step, head = CELL + _GAP, 24
    picture = np.full((head + step * len(strips), step * len(strips[0]) - _GAP, 3), 40, np.uint8)
    for column, (title, _) in enumerate(strips[0]):
        _write_text(picture, title, (column * step + 4, 16))
    for row, cells in enumerate(strips):
        for column, (_, cell) in enumerate(cells):
            top, left = head + row * step, column * step
            picture[top : top + CELL, left : left + CELL] = cell
    return picture


def _write_text(picture: np.ndarray, text: str, origin: tuple[int, int]) -> None:
    rim = [(x, y, 0) for x in (-1, 0, 1) for y in (-1, 0, 1)]  # keeps it legible on any picture
    for x, y, color in [*rim, (0, 0, 255)]:
        place = (origin[0] + x, origin[1] + y)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (color,) * 3, 1, cv2.LINE_AA)
