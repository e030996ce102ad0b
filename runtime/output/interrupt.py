"""Ctrl-C, SIGTERM and SIGHUP as KeyboardInterrupt, remembered in case a library swallows the exception."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

_active: list[Interrupts] = []
_early: list[Interrupts] = []


def _signals() -> list[int]:
    """Those that end a program: SIGHUP comes when its terminal is closed, unless nohup ignores it."""
    closed = getattr(signal, "SIGHUP", None)
    ends: list[int] = [signal.SIGINT, signal.SIGTERM]
    return ends if closed is None or signal.getsignal(closed) == signal.SIG_IGN else [*ends, closed]


def check() -> None:
    """Raises KeyboardInterrupt if a signal came within the innermost `interrupts` block; without one does nothing."""
    if _active:
        _active[-1].check()


def quiet_start() -> None:
    """For programs: from now on Ctrl-C before `interrupts` ends with a line and exit code 130, without a traceback.

    Loading the libraries takes seconds. One of C code reports an ImportError when it is interrupted while it loads.
    """
    if threading.current_thread() is not threading.main_thread() or _early:
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    state, usual = Interrupts(), sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not (state.requested or issubclass(kind, KeyboardInterrupt)):
            usual(kind, error, trace)
            return
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)

    _early.append(state)
    signal.signal(signal.SIGINT, state.note)
    sys.excepthook = end


class Interrupts:
    """What `interrupts` yields."""

    def __init__(self) -> None:
        self._requested = False

    def note(self, number: int, frame: object) -> None:
        """Signal handler."""
        self._requested = True
        raise KeyboardInterrupt

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self._requested

    def acknowledge(self) -> None:
        """Forgets the signal that came."""
        self._requested = False

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal came. Native code turns the exception into another one or drops it: a
        module of C code that is interrupted while it loads reports an ImportError."""
        if self._requested:
            raise KeyboardInterrupt


def acknowledge() -> None:
    """Takes note of a signal as what it was meant for: `check` no longer raises because of it."""
    if _active:
        _active[-1].acknowledge()


@contextmanager
def deferred() -> Iterator[None]:
    """Lets the block finish when a signal comes in it; the signal takes effect at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in _signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handles SIGINT, SIGTERM and SIGHUP in the block; off the main thread, where Python has no handlers, does nothing."""
    state = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = {number: signal.signal(number, state.note) for number in _signals()}
    _active.append(state)
    try:
        yield state
    finally:
        _active.pop()
        for number, handler in before.items():
            signal.signal(number, handler)
