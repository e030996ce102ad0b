"""Ctrl-C and SIGTERM during training: the step under way ends and is saved, then the command does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_requested: int | None = None
_waiting = False


class Stopped(BaseException):
    """A signal asked the command to end. number: which; step: the step that was saved last because of it, if any."""

    def __init__(self, number: int, step: int | None = None):
        super().__init__(number, step)
        self.number, self.step = number, step

    def __str__(self) -> str:
        name = "interrupted" if self.number == signal.SIGINT else "stopped by SIGTERM"
        return name if self.step is None else f"{name} after step {self.step}; continue with --resume"


def handle_signals() -> None:
    """From now on a signal raises Stopped, or waits for the end of a `patient` block."""
    global _requested, _waiting
    _requested, _waiting = None, False
    for number in _SIGNALS:
        signal.signal(number, _note)


def requested() -> int | None:
    """The signal that waits, if one does."""
    return _requested


def stop(step: int | None = None) -> NoReturn:
    """Raises Stopped for the signal that this process or another one got. From now on signals are ignored: torchrun passes
    on a Ctrl-C that the terminal has sent to this process already, and that must not cut the clean end short.
    """
    number = _requested or signal.SIGTERM
    for again in _SIGNALS:
        signal.signal(again, signal.SIG_IGN)
    raise Stopped(number, step)


@contextmanager
def patient() -> Iterator[None]:
    """In this block the first signal only shows in `requested`; the second raises Stopped. The end of it forgets them."""
    global _requested, _waiting
    _waiting = True
    try:
        yield
    finally:
        _requested, _waiting = None, False


def _note(number: int, frame: FrameType | None) -> None:
    global _requested
    first, _requested = _requested is None, _requested or number
    if first and _waiting:
        return
    # In several processes the second may be the first one, passed on by torchrun.
    if not first and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return
    stop()
