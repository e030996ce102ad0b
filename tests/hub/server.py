"""A stand-in of the Hugging Face Hub's file API over plain folders, as strict as the hub: https://huggingface.co/docs/hub/api

Files up to 100 kB are git's own, ETag their blob's SHA-1; larger ones are LFS files, whose HEAD and GET redirect to another
address, with X-Linked-Etag, the SHA-256, and X-Linked-Size. What it does not know is 404 with the hub's X-Error-Code.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LARGEST_IN_GIT = 100_000


class Hub(ThreadingHTTPServer):
    """repositories: {"owner/name": {commit: folder}}; names: {"owner/name": {branch or tag: commit}}."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, Path]] = {}
        self.names: dict[str, dict[str, str]] = {}
        #: (method, path) of every request, in order.
        self.requests: list[tuple[str, str]] = []
        self.down = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def storage(self) -> str:
        """Where large files lie: another host, as the hub's."""
        return f"http://localhost:{self.server_address[1]}"

    def commit(self, repository: str, folder: Path, *names: str) -> str:
        """Makes a folder's present files a commit, to which `names` lead from now on."""
        digest = hashlib.sha1()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
        commit = digest.hexdigest()
        self.repositories.setdefault(repository, {})[commit] = folder
        self.names.setdefault(repository, {}).update(dict.fromkeys(names, commit))
        return commit

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error of the server."""


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            hub.shutdown()


def _lfs(path: Path) -> bool:
    return path.stat().st_size > LARGEST_IN_GIT


def _object_id(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest() if _lfs(path) else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _serve(self) -> None:
        self.server.requests.append((self.command, self.path))
        if self.server.down:
            self.close_connection = True
            self.connection.close()
            return
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and parts[4:5] == ["tree"]:
            if parse_qs(url.query).get("recursive") != ["true"]:
                return self._answer(400, b"only whole trees are served here")
            return self._tree("/".join(parts[2:4]), "/".join(parts[5:]))
        if parts[0] == "cdn":
            commit, file = parts[3], "/".join(parts[4:])
            return self._content(self.server.repositories["/".join(parts[1:3])][commit] / file, {})
        if parts[2:3] == ["resolve"]:
            return self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._answer(404, b"Not Found")

    def _commit(self, repository: str, revision: str) -> str | None:
        """The commit; None where the answer was that there is none."""
        commits = self.server.repositories.get(repository)
        if commits is None:  # to those without rights a repository looks as if it were not there
            self._answer(401, b"Invalid username or password.", {"X-Error-Code": "RepoNotFound"})
            return None
        commit = self.server.names[repository].get(revision, revision)
        if commit not in commits:
            self._answer(404, b"Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit

    def _tree(self, repository: str, revision: str) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        folder, entries = self.server.repositories[repository][commit], []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = {"type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
            oid = _object_id(path)
            pointer = {"lfs": {"oid": oid, "size": entry["size"], "pointerSize": 133}} if _lfs(path) else {}
            entries.append({**entry, "oid": oid[:40], **pointer})
        self._answer(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repository: str, revision: str, file: str) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        headers = {"X-Repo-Commit": commit}
        path = self.server.repositories[repository][commit] / file
        if not path.is_file():
            return self._answer(404, b"Entry not found", {**headers, "X-Error-Code": "EntryNotFound"})
        etag = f'"{_object_id(path)}"'
        if _lfs(path):
            linked = {"X-Linked-Etag": etag, "X-Linked-Size": str(path.stat().st_size)}
            place = f"{self.server.storage}/cdn/{repository}/{commit}/{file}"
            return self._answer(302, b"", {**headers, **linked, "Location": place})
        self._content(path, {**headers, "ETag": etag})

    def _content(self, path: Path, headers: dict[str, str]) -> None:
        data = path.read_bytes()
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            begin, _, end = wanted[6:].partition("-")
            part = data[int(begin) : int(end) + 1 if end else None]
            spread = {"Content-Range": f"bytes {begin}-{int(begin) + len(part) - 1}/{len(data)}"}
            return self._answer(206, part, {**headers, **spread})
        self._answer(200, data, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
