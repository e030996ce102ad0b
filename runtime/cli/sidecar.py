"""The JSON file beside an integer shading file: the factor that its values are to be multiplied by, and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.decomposer import Decomposer

FORMAT = "intrinsic-flow-shading"
VERSION = 1


def write_sidecar(path: Path, source: Path, model: Decomposer, scale: float, clipped: float, **entries: Any) -> None:
    """Writes the sidecar.

    scale: linear shading = scale x decoded value. clipped: fraction of pixels with shading above `scale`, which the
    file holds as `scale`. entries: further facts. Holds no time and no absolute path, so equal runs give equal bytes.
    """
    text = {
        "format": FORMAT,
        "version": VERSION,
        "source": source.name,
        "shading_scale": scale,
        "clipped_fraction": clipped,
        **entries,
        "bundle": model.bundle.name,
        "engine": model.engine.describe(),
        "mode": model.mode,
        "shading": model.shading,
        "steps": model.steps,
        "seed": model.seed,
        "resolution": model.resolution,
    }
    path.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
