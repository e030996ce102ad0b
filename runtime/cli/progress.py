"""Progress on a terminal's status line, or as sparse log lines where there is no terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

from intrinsic_flow.errors import printable

TERMINAL_INTERVAL = 0.1
LOG_INTERVAL = 30.0


class Progress:
    """A stream for log lines, with a status line below them where it is a terminal."""

    def __init__(self, *, quiet: bool, stream: TextIO | None = None) -> None:
        # A process may be started without stderr.
        self._stream: TextIO = stream or sys.stderr or open(os.devnull, "w")  # noqa: SIM115
        self.terminal = self._stream.isatty()
        self.quiet = quiet
        self._status = ""

    def log(self, line: str) -> None:
        """Prints a line, unless quiet."""
        if not self.quiet:
            self.error(line)

    def error(self, line: str) -> None:
        """Prints a line in any case."""
        status = self._status
        self.show("")
        print(printable(line), file=self._stream, flush=True)
        self.show(status)

    def show(self, status: str) -> None:
        """Replaces the terminal's status line; an empty one removes it."""
        if self.terminal and not self.quiet and (status or self._status):
            status = printable(status)[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + " " * len(self._status) + "\r" + status)
            self._stream.flush()
            self._status = status


def open_standard_streams() -> None:
    """Opens what of the descriptors 0 to 2 was closed, or the next file would get one of them and take what C libraries
    print."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


class Notes(Progress):
    """Keeps what would be printed in `lines`, for callers that report it elsewhere; shows no progress."""

    def __init__(self) -> None:
        super().__init__(quiet=False)
        # Else a counter would report to the lines every half minute.
        self.terminal = True
        self.lines: list[str] = []

    def error(self, line: str) -> None:
        self.lines.append(line)

    def show(self, status: str) -> None:
        pass


class Counter:
    """Counts items of one kind, showing rate and time left.

    On a terminal the status line follows along. Elsewhere a line comes every LOG_INTERVAL seconds, so that a log of
    hours stays readable.
    """

    def __init__(self, progress: Progress, label: str, total: int | None, unit: str) -> None:
        """total: number of items, None where unknown. unit: their name in the plural, e.g. "images"."""
        self._progress = progress
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._begun = self._shown = time.monotonic()

    def advance(self) -> None:
        """One more item is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._shown < (TERMINAL_INTERVAL if self._progress.terminal else LOG_INTERVAL):
            return
        self._shown = now
        line = self._line(now - self._begun)
        if self._progress.terminal:
            self._progress.show(line)
        else:
            self._progress.log(line)

    def _line(self, elapsed: float) -> str:
        rate = self._done / max(elapsed, 1e-9)
        speed = f"{rate:.1f} {self._unit}/s" if rate >= 1 else f"{1 / rate:.1f} s per {self._unit.removesuffix('s')}"
        if self._total is None or self._done > self._total:
            return f"{self._label}: {self._done} {self._unit}, {speed}, {duration(elapsed)} so far"
        left = (self._total - self._done) / rate
        return f"{self._label}: {self._done}/{self._total} {self._unit}, {speed}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as "8 s", "3 min 05 s" or "2 h 07 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
