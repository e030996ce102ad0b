"""One loaded model for many users: every job gets its own options, the backend takes one frame at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Context, Decomposer, Decomposition
from intrinsic_flow.decomposition.inputs import ImageInput
from intrinsic_flow.decomposition.pending import PendingLayers


class Worker:
    """Holds the backend. `model` may be called, and its results used, by several threads at once."""

    def __init__(self, bundle: str | None = None, backend: str = "auto", threads: int | None = None) -> None:
        """Raises as `Decomposer.load` does."""
        self._base = Decomposer.load(Bundle.load(bundle), backend, threads=threads)
        self._turn = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        return self._base.bundle

    @property
    def resolution(self) -> int:
        """Short side at which the network runs."""
        return self._base.options.resolution

    def describe(self) -> str:
        """One line on the backend: library, version, provider, precision."""
        return self._base.backend.describe()

    def model(self, on_frame: Callable[[int], None] | None = None, **options: Any) -> SharedDecomposer:
        """A decomposer with state of its own. on_frame: called after every frame of a stream with the number done; what it
        raises ends the stream. options: those of `Decomposer`. Raises ValueError."""
        return SharedDecomposer(self._base, self._turn, on_frame, options)

    def close(self) -> None:
        """Frees the backend, once the frame in work is done."""
        with self._turn:
            self._base.close()


class SharedDecomposer(Decomposer):
    """Shares a backend: waits for its turn at every frame, so that a long video holds nobody up."""

    def __init__(
        self, base: Decomposer, turn: threading.Lock, on_frame: Callable[[int], None] | None, options: dict[str, Any]
    ) -> None:
        super().__init__(base.bundle, base.backend, **options)
        self._turn, self._on_frame = turn, on_frame

    def decompose(self, image: ImageInput) -> Decomposition:
        return self.timed(image)[0]

    def timed(self, image: ImageInput) -> tuple[Decomposition, float]:
        """As `decompose`, and the seconds that it took once it was this one's turn."""
        with self._turn:
            begun = time.perf_counter()
            result = super().decompose(image)
            return result, time.perf_counter() - begun

    def stream_pending(
        self, frames: Iterable[ImageInput | Context], **options: Any
    ) -> Generator[PendingLayers, None, None]:
        """workers: 0, whatever is asked for: several frames at a time would take several turns at once."""
        results = super().stream_pending(frames, **{**options, "workers": 0})
        done = 0
        while True:
            with self._turn:
                result = next(results, None)
            if result is None:
                return
            done += 1
            if self._on_frame is not None:
                self._on_frame(done)
            yield result

    def close(self) -> None:
        """Nothing: the backend belongs to the worker."""
