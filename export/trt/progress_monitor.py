"""How far a build is: TensorRT's nested phases as one fraction, and an estimate of the time that is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

MIN_FRACTION = 0.05  # below it an estimate says nothing


class PhaseTree:
    """The open phases of a build: each step of a phase is one part of it, which a nested phase divides further."""

    def __init__(self) -> None:
        self._phases: dict[str, list[Any]] = {}  # name -> parent, steps, steps done
        self._lock = threading.Lock()
        self._fraction = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins; its parent is None at the top."""
        with self._lock:
            self._phases[name] = [parent, max(steps, 1), 0]

    def step(self, name: str) -> None:
        """A step of a phase is done."""
        with self._lock:
            if name in self._phases:
                self._phases[name][2] += 1

    def finish(self, name: str) -> None:
        """A phase ends, possibly before its last step."""
        with self._lock:
            self._phases.pop(name, None)

    def fraction(self) -> float:
        """Of the whole build, in [0, 1]; never falls."""
        with self._lock:
            top = next((name for name, (parent, _, _) in self._phases.items() if parent is None), None)
            if top is not None:
                self._fraction = max(self._fraction, self._of(top))
            return self._fraction

    def _of(self, name: str) -> float:
        _, steps, done = self._phases[name]
        children = [self._of(child) for child, (parent, _, _) in self._phases.items() if parent == name]
        return min((done + max(children, default=0.0)) / steps, 1.0)


def time_left(fraction: float, elapsed: float) -> float | None:
    """Seconds that are left if the rest goes as fast; None while too little is done to tell."""
    return elapsed * (1 - fraction) / fraction if fraction >= MIN_FRACTION else None


def progress_monitor(trt: Any, report: Callable[[float, float | None], None]) -> Any:
    """A trt.IProgressMonitor that calls `report(fraction, seconds left or None)`; None where the library has none.

    An exception, like the KeyboardInterrupt of Ctrl-C, must not cross the library's C++ frames: it cancels the build and
    is kept in `error` for the caller to raise.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self._tree = PhaseTree()
            self._begun = time.monotonic()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._guarded(lambda: self._tree.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._guarded(lambda: self._step(phase_name))
            return self.error is None

        def phase_finish(self, phase_name: str) -> None:
            self._guarded(lambda: self._tree.finish(phase_name))

        def _step(self, name: str) -> None:
            self._tree.step(name)
            fraction = self._tree.fraction()
            report(fraction, time_left(fraction, time.monotonic() - self._begun))

        def _guarded(self, action: Callable[[], None]) -> None:
            try:
                action()
            except BaseException as error:
                self.error = self.error or error

    return Monitor()
