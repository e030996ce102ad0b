"""Errors that a user of the runtime can act on, each one clear line."""

from __future__ import annotations

import os
import re

# What begins a line, and tabs, with the space around them; other control characters.
_BREAK = re.compile(r"\s*[\t-\r\x1c-\x1e\x85\u2028\u2029]\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class InputError(Exception):
    """A file that cannot be used: names the file, what was found in it and what is expected.

    `str(error)` is one line, `FILE: found X, expected Y`. The parts stay available as `path`, `found`
    and `expected`.
    """

    def __init__(self, path: str | os.PathLike[str], found: str, expected: str) -> None:
        self.path = os.fspath(path)
        self.found = _one_line(found)
        self.expected = _one_line(expected)
        super().__init__(f"{printable(self.path)}: found {self.found}, expected {self.expected}")

    def __reduce__(self) -> tuple[type[InputError], tuple[object, ...]]:
        # Exceptions are pickled by their message; a process pool needs the three arguments instead.
        return type(self), (self.path, self.found, self.expected)


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f'{package} is not installed: pip install "intrinsic-flow[{extra}]"', name=package)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)


def printable(text: str) -> str:
    """The text on one line: a file's name may hold line breaks, and codes that a terminal obeys."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", _BREAK.sub(" ", text))


def _one_line(text: str) -> str:
    return " ".join(str(text).split())
