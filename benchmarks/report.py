"""What a quality run leaves behind: JSON, a table, a CSV of single views and a grid of pictures."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.baselines import TRIVIAL, Layers
from benchmarks.datasets import Sample
from benchmarks.metrics import best_scale
from runtime.atomic_file import replace_when_complete
from runtime.color import linear_to_srgb

SCORES = ("si_mse", "rmse", "lmse", "ssim")
CELL = 192
_GAP = 4


def environment(
    packages: Sequence[str] = ("numpy", "scipy", "scikit-image", "onnxruntime"),
) -> dict[str, object]:
    """Machine and versions that the numbers were taken with."""
    return {
        "platform": platform.platform(),
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
    _write(path, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())


def write_csv(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    """Write one line for each view, method and layer; the file appears complete or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    _write(path, text.getvalue().encode())


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture; the file appears complete or not at all."""
    _, content = cv2.imencode(".png", picture[..., ::-1])
    _write(path, content.tobytes())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(path) as temporary:
        temporary.write_bytes(content)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a Markdown table, layer by layer, best LMSE first."""
    lines = ["| layer | method | si-MSE | RMSE | LMSE | SSIM | n |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in sorted(rows, key=lambda row: (row["layer"], row["lmse"])):
        scores = " | ".join(f"{row[name]:.4f}" for name in SCORES)
        lines.append(f"| {row['layer']} | {row['method']} | {scores} | {row['n']} |")
    return "\n".join(lines)


def strip(sample: Sample, predictions: Mapping[str, Layers]) -> list[tuple[str, np.ndarray]]:
    """One row of the grid: (title, cell) with cells (CELL, CELL, 3) uint8, sRGB encoded.

    Columns: input | albedo of the first method | truth | its shading | truth | albedo and shading of each
    other method. Trivial answers are not shown; each layer is under the scale that its scores use,
    black outside the mask. The input is divided by its 97th percentile inside the mask.
    """
    white = float(np.percentile(sample.image[sample.mask], 97)) or 1.0
    columns = [("input", sample.image / white)]
    shown = [(name, layers) for name, layers in predictions.items() if name not in TRIVIAL]
    truths = [("albedo truth", sample.albedo), ("shading truth", sample.shading)]
    for number, (name, layers) in enumerate(shown):
        albedo = (f"{name} albedo", _matched(layers.albedo, sample.albedo, sample.mask))
        shading = (f"{name} shading", _matched(layers.shading, sample.shading, sample.mask))
        columns += [albedo, truths[0], shading, truths[1]] if number == 0 else [albedo, shading]
    if not shown:
        columns += truths
    masked = [columns[0]] + [(title, np.where(sample.mask[..., None], layer, 0)) for title, layer in columns[1:]]
    cells = [(title, _cell(layer)) for title, layer in masked]
    _write_text(cells[0][1], sample.name, (4, CELL - 6))
    return cells


def _matched(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return prediction * best_scale(prediction, truth, mask)


def _cell(layer: np.ndarray) -> np.ndarray:
    """Linear light (H, W, 3) -> (CELL, CELL, 3) uint8 sRGB, shrunk or enlarged to fit, centred on black."""
    factor = CELL / max(layer.shape[:2])
    size = [max(1, round(side * factor)) for side in layer.shape[1::-1]]
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.clip(layer, 0, 1).astype(np.float32), size, interpolation=kind)
    cell = np.zeros((CELL, CELL, 3), np.uint8)
    top, left = (CELL - size[1]) // 2, (CELL - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = np.round(linear_to_srgb(small) * 255)
    return cell


def grid(strips: Sequence[Sequence[tuple[str, np.ndarray]]]) -> np.ndarray:
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
