"""Temporary files of the demo: one folder for all, in it one for each visitor, in that one for each open page.

A visitor is a browser; its pages are Gradio's sessions. A page's files, and the uploads that it used, are removed when the
page closes, the rest of a visitor's with the last page. What lies outside of the visitors' folders is for everybody. What a
demo that was killed has left goes when the next one starts.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from intrinsic_flow.output.left_over import TemporaryFolder

# The pictures of a page that changes as a control moves: the browser may still be fetching the last ones.
KEPT_VIEWS = 8


class SessionEnded(Exception):
    """The visitor has left: what is being computed is for nobody."""


@dataclass
class _Page:
    """connections: how many say that it is open, since a browser that reconnects may be faster than the end of the old."""

    visitor: str
    folder: Path
    connections: int = 0
    uploads: set[Path] = field(default_factory=set)


class Workspace:
    """Thread-safe. No name below the root can be guessed, and none tells what a file holds."""

    def __init__(self) -> None:
        self._held = TemporaryFolder("intrinsic-flow-demo-")
        self.root = self._held.path.resolve()
        self._private = self.root / "visitors"
        self._private.mkdir()
        self._visitors: dict[str, Path] = {}
        self._pages: dict[str, _Page] = {}
        self._lock = threading.Lock()

    def enter(self, visitor: str, session: str) -> bool:
        """A page opens, or connects once more. False where another visitor has it."""
        with self._lock:
            page = self._pages.get(session)
            if page is None:
                home = self._visitors.setdefault(visitor, self._private / secrets.token_urlsafe(16))
                page = self._pages[session] = _Page(visitor, home / f"session-{secrets.token_urlsafe(16)}")
                page.folder.mkdir(parents=True)
            if page.visitor != visitor:
                return False
            page.connections += 1
            return True

    def end(self, session: str | None) -> bool:
        """A connection of a page ends, with the last one the page: its files go. Whether it was the last one."""
        with self._lock:
            page = self._pages.get(session or "")
            if page is None:
                return True
            page.connections -= 1
            if page.connections > 0:
                return False
            del self._pages[session or ""]
            others = [other for other in self._pages.values() if other.visitor == page.visitor]
            shutil.rmtree(page.folder, ignore_errors=True)
            for path in page.uploads.difference(*(other.uploads for other in others)):
                path.unlink(missing_ok=True)
            if not others:
                shutil.rmtree(self._visitors.pop(page.visitor), ignore_errors=True)
        return True

    def is_open(self, session: str | None) -> bool:
        """Whether the page is open."""
        with self._lock:
            return session in self._pages

    def belongs(self, session: str, visitor: str) -> bool:
        """Whether the page is open and this visitor's."""
        with self._lock:
            page = self._pages.get(session)
            return page is not None and page.visitor == visitor

    def uploads(self, visitor: str) -> Path | None:
        """Folder of a visitor's uploads; None where no page of the visitor's is open."""
        with self._lock:
            home = self._visitors.get(visitor)
            return home / "uploads" if home is not None else None

    def readable(self, visitor: str, path: str | os.PathLike[str]) -> bool:
        """Whether it is a file of this visitor's or of everybody's. What else there is on the machine, nobody learns."""
        with self._lock:
            home = self._visitors.get(visitor)
        try:
            file = Path(path).resolve(strict=True)
            if not file.is_relative_to(self.root) or not file.is_file():
                return False
        except (OSError, ValueError, RuntimeError):
            return False
        return not file.is_relative_to(self._private) or (home is not None and file.is_relative_to(home))

    def claim(self, session: str | None, path: str | os.PathLike[str]) -> bool:
        """As `readable` for the visitor of a page, which with this uses the file: an upload goes when the page closes."""
        with self._lock:
            page = self._pages.get(session or "")
        if page is None or not self.readable(page.visitor, path):
            return False
        file = Path(path).resolve()
        with self._lock:
            if file.is_relative_to(self._visitors.get(page.visitor, self._private / "-") / "uploads"):
                page.uploads.add(file)
        return True

    def fresh(self, session: str | None, kind: str) -> Path:
        """An empty folder for a page's new result; its earlier result of that kind ("photo", "video") is removed. Raises
        SessionEnded."""
        with self._lock:
            folder = self._folder(session) / kind
            shutil.rmtree(folder, ignore_errors=True)
            result = folder / secrets.token_urlsafe(16)
            result.mkdir(parents=True)
        return result

    def view(self, session: str | None, suffix: str) -> Path:
        """A name for a page's new picture; the last few of them stay. Raises SessionEnded."""
        with self._lock:
            folder = self._folder(session) / "views"
            folder.mkdir(exist_ok=True)
            old = sorted((path.stat().st_mtime_ns, path) for path in folder.iterdir())
            for _, path in old[: max(0, len(old) - KEPT_VIEWS + 1)]:
                path.unlink(missing_ok=True)
        return folder / f"{secrets.token_urlsafe(16)}{suffix}"

    def _folder(self, session: str | None) -> Path:
        page = self._pages.get(session or "")
        if page is None:
            raise SessionEnded("The page was closed.")
        return page.folder

    def close(self) -> None:
        """Removes everything."""
        self._held.close()
