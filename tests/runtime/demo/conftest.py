"""Clips for the demo's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_clip(scene) -> Callable[[Path, int], None]:
    """Writes the scene, getting brighter, as so many frames at 10 frames a second."""

    def write(path: Path, frames: int) -> None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = scene.shape[1], scene.shape[0], "yuv420p"
            for index in range(frames):
                pixels = np.clip(scene * (0.3 + 0.005 * index) * 255, 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))

    return write
