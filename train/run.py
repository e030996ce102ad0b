"""Run folder: resolved configuration, JSONL metrics, loss plot and validation grids."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import torch
import yaml
from torch import Tensor

from intrinsic_flow.media.atomic_file import replace_when_complete
from intrinsic_flow.train.data.degrade import linear_to_srgb


class Run:
    """A folder with config.yaml, metrics.jsonl, losses.png, grids/ and checkpoint.pt."""

    def __init__(self, folder: str | Path, config: dict, resumed_step: int | None = None):
        self.folder = Path(folder)
        (self.folder / "grids").mkdir(parents=True, exist_ok=True)
        self.metrics = self.folder / "metrics.jsonl"
        if resumed_step is None:
            (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
            self.metrics.write_text("")
        elif self.metrics.exists():
            kept = [line for line in self.metrics.read_text().splitlines() if json.loads(line)["step"] <= resumed_step]
            self.metrics.write_text("".join(line + "\n" for line in kept))

    def log(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Append one row. kind: `train` or `validation`."""
        with self.metrics.open("a") as file:
            file.write(
                json.dumps({"step": step, "kind": kind, **{k: round(float(v), 6) for k, v in values.items()}}) + "\n"
            )

    def rows(self) -> list[dict]:
        """All rows so far."""
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def plot(self) -> None:
        """Draw every metric over steps into losses.png."""
        # Without pyplot and its layout engine, which lay the figure out by drawing it twice more.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        rows = self.rows()
        names = sorted({(row["kind"], name) for row in rows for name in row if name not in ("step", "kind")}, reverse=True)
        if not names:
            return
        columns, lines = 4, -(-len(names) // 4)
        figure = Figure(figsize=(16, 3 * lines), dpi=80)
        figure.subplots_adjust(0.05, 0.35 / 3 / lines, 0.99, 1 - 0.25 / 3 / lines, wspace=0.25, hspace=0.3)
        for place, (kind, name) in enumerate(names, 1):
            axis = figure.add_subplot(lines, columns, place)
            points = [(row["step"], row[name]) for row in rows if row["kind"] == kind and name in row]
            axis.plot(*zip(*points), linewidth=1)
            axis.set_title(f"{kind} {name}", fontsize=9)
        with replace_when_complete(self.folder / "losses.png") as temporary:
            FigureCanvasAgg(figure).print_png(temporary)

    def grid(self, step: int, columns: list[Tensor]) -> None:
        """Write grids/STEP.png: one row an image, one column each tensor (B, 3, H, W), linear, shown as sRGB."""
        strip = torch.cat([linear_to_srgb(c.detach().float().cpu().clamp(0, 1)) for c in columns], dim=3)
        sheet = torch.cat(list(strip), dim=1).permute(1, 2, 0).mul(255).round().byte().numpy()
        cv2.imwrite(str(self.folder / "grids" / f"{step:07d}.png"), sheet[..., ::-1])
