"""The JSON file beside an integer shading file: the factor that its values are to be multiplied by, and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = "intrinsic-flow-shading"
VERSION = 1


def write_sidecar(
    path: Path, source: str | None, settings: Mapping[str, Any], scale: float, clipped: float, **entries: Any
) -> None:
    """Writes the sidecar.

    source: file name, None for an image that was no file. settings: `Decomposer.settings`. scale: linear shading = scale x
    decoded value. clipped: fraction of pixels with shading above `scale`, which the file holds as `scale`. entries: further
    facts. Holds no time and no absolute path, so equal runs give equal bytes.
    """
    text = {
        "format": FORMAT,
        "version": VERSION,
        "source": source,
        "shading_scale": scale,
        "clipped_fraction": clipped,
        **entries,
        **settings,
    }
    path.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
