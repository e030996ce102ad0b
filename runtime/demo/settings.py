"""What the host of a demo allows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSettings:
    """max_megapixels: of a photo, or of a video's frame. max_seconds: of a video. queue: visitors
    that may wait at once. bundle, backend: see `Decomposer.load`."""

    bundle: str | None = None
    backend: str = "auto"
    max_megapixels: float = 24.0
    max_seconds: float = 30.0
    queue: int = 32

    @property
    def max_pixels(self) -> int:
        return round(self.max_megapixels * 1e6)
