"""The first look at an input file, whatever it should be."""

from __future__ import annotations

from pathlib import Path

from intrinsic_flow.errors import InputError

START_BYTES = 64


def read_start(path: Path, expected: str) -> bytes:
    """The file's first bytes, at least one and at most START_BYTES.

    Raises InputError, which says that `expected` was expected, for a missing, empty or unreadable file and for a folder or
    anything else that is no regular file.
    """
    if not path.exists():
        raise InputError(path, "no such file", expected)
    if path.is_dir():
        raise InputError(path, "a folder", expected)
    if not path.is_file():
        raise InputError(path, "no regular file", expected)
    try:
        with open(path, "rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        raise InputError(path, error.strerror or str(error), "a readable file") from error
    if not start:
        raise InputError(path, "an empty file", expected)
    return start
