"""Files and folders that appear under their final name only when they are complete."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intrinsic_flow.errors import InputError


def temporary_name(path: str | os.PathLike[str]) -> Path:
    """A free name in the folder of `path`, with its suffix, so that `os.replace` onto `path` is atomic.

    No file is created (`tempfile` would create one that only its owner can read).
    """
    final = Path(path)
    return final.with_name(f".{final.stem[:64]}.{os.getpid()}-{secrets.token_hex(8)}.part{final.suffix}")


@contextmanager
def replace_when_complete(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary name to write to; it becomes `path` if the block succeeds and is removed if not."""
    temporary = temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def check_writable(*paths: Path | None) -> None:
    """Before a long run: that each of these files can be written (None: no file); makes their folders. Raises
    InputError."""
    for path in paths:
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise InputError(path, "a folder", "a file to write, or none")
            probe = temporary_name(path)
            probe.touch()
            probe.unlink()
        except OSError as error:
            there = next((folder for folder in path.parents if folder.exists()), path.parent)
            found = "a file" if there.is_file() else error.strerror or str(error)
            raise InputError(there, found, "a folder that can be written to") from error


def write_complete(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes bytes, or text as UTF-8."""
    with replace_when_complete(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replace_folder_when_complete(target: Path) -> Iterator[Path]:
    """Yields a new folder, which takes the place of `target` if the block succeeds; if not, that stays as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        folder, old = Path(temporary) / target.name, Path(temporary) / "old"
        folder.mkdir()
        yield folder
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(folder, target)
        except BaseException:
            if old.exists():
                os.rename(old, target)
            raise
