"""Temporary files of the demo: one folder for all, in it one for each browser session, removed when the session ends."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
from pathlib import Path


class Workspace:
    """Thread-safe. The folder's name cannot be guessed, nor can those of the sessions in it."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="intrinsic-flow-demo-")).resolve()
        self._sessions: dict[str | None, Path] = {}
        self._lock = threading.Lock()

    def use_for_gradio(self) -> None:
        """Makes this the folder of Gradio's own uploads and copies, in this process."""
        os.environ["GRADIO_TEMP_DIR"] = os.fspath(self.root)

    def fresh(self, session: str | None, kind: str) -> Path:
        """An empty folder for a session's new result; its earlier result of that kind ("photo", "video") is removed."""
        with self._lock:
            folder = self._sessions.setdefault(session, self.root / f"session-{secrets.token_urlsafe(16)}") / kind
        shutil.rmtree(folder, ignore_errors=True)
        result = folder / secrets.token_hex(4)
        result.mkdir(parents=True)
        return result

    def is_open(self, session: str | None) -> bool:
        """Whether the session has files, that is, has not ended since its last `fresh`."""
        with self._lock:
            return session in self._sessions

    def end(self, session: str | None) -> None:
        """Removes a session's files. An unknown one has none."""
        with self._lock:
            folder = self._sessions.pop(session, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.root, ignore_errors=True)
