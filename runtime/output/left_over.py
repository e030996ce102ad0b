"""Folders of unfinished outputs and of temporary files: whose process still runs, and which a killed one has left.

A process holds a lock on a file in its folder; the system frees it however the process ends. Where there are no such
locks (Windows, some network file systems), nothing is ever taken for left over.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# In a hidden folder all of whose outputs are complete and about to get their names.
COMPLETE = ".complete"
HELD = ".held"
_SUFFIX = ".partial"


def staging_prefix(mark: str) -> str:
    """How the hidden folder's name begins; it ends with ".partial"."""
    return f".decompose-{mark}-" if mark else ".decompose-"


def make_held(folder: Path, mark: str) -> tuple[Path, int]:
    """A new hidden folder in `folder`, and the open file whose lock says that it is in use. End it with `remove`."""
    return _make(folder, staging_prefix(mark), _SUFFIX)


class TemporaryFolder:
    """A folder of this process among the system's temporary ones. Of one that is killed it is removed by the next."""

    def __init__(self, prefix: str) -> None:
        """prefix: how the names of all folders of this kind begin, and of no other."""
        parent = Path(tempfile.gettempdir())
        for left, held in _left(parent, prefix, ""):
            remove(left, held)
        self.path, self._held = _make(parent, prefix, "")

    def close(self) -> None:
        """Removes it; a second time is allowed."""
        held, self._held = self._held, -1
        if held >= 0:
            remove(self.path, held)


def _make(folder: Path, prefix: str, suffix: str) -> tuple[Path, int]:
    while True:
        made = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=folder))
        # Before the lock is there, another process may take the folder for left over and remove it.
        with suppress(FileNotFoundError):
            held = os.open(made / HELD, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            _lock(held, wait=True)
            if (made / HELD).exists():
                return made, held
            os.close(held)


def remove(folder: Path, held: int) -> None:
    """Removes a hidden folder, its lock's file last: a process that is killed meanwhile leaves what `left_over` finds."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != HELD:
                path.unlink(missing_ok=True)
        # With anything left in it the folder keeps the file by which it is found again.
        if all(path.name == HELD for path in folder.iterdir()):
            (folder / HELD).unlink(missing_ok=True)
            folder.rmdir()
    os.close(held)


def left_over(folder: Path) -> Iterator[tuple[Path, int]]:
    """This user's hidden folders in `folder` whose process has ended, and the lock on each; end them with `remove`."""
    return _left(folder, staging_prefix(""), _SUFFIX)


def _left(folder: Path, prefix: str, suffix: str) -> Iterator[tuple[Path, int]]:
    for path in sorted(folder.glob(f"{glob.escape(prefix)}*{suffix}")):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            held = os.open(path / HELD, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            # Killed before the lock was there, or while the folder was removed; only an empty one goes.
            with suppress(OSError):
                path.rmdir()
            continue
        except (OSError, AttributeError):
            continue
        if _lock(held, wait=False):
            yield path, held
        else:
            os.close(held)


def _lock(file: int, *, wait: bool) -> bool:
    """Whether the open file is locked now; False where another process has it or where there are no locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
