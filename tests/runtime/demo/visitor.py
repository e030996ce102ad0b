"""A visitor of a running demo without a browser: plain HTTP, as somebody with bad intentions would use it."""

from __future__ import annotations

import json
import secrets
import threading
from pathlib import Path
from typing import Any

import httpx

API = "/gradio_api"


class Visitor:
    """A browser with one open page. `leave` closes the page."""

    def __init__(self, address: str, *, cookie: bool = True) -> None:
        self.client = httpx.Client(base_url=address, timeout=300)
        if cookie:
            self.client.get("/")
        self.session = secrets.token_hex(6)
        self._heartbeat: httpx.Response | None = None
        self._stream: Any = None

    def open(self) -> Visitor:
        self._stream = self.client.stream("GET", f"{API}/heartbeat/{self.session}")
        self._heartbeat = self._stream.__enter__()
        assert self._heartbeat.status_code == 200
        # Kept: httpx closes the connection with the iterator.
        self._beats = self._heartbeat.iter_lines()
        next(self._beats)
        return self

    def leave(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.close()
            self._heartbeat = None

    def close(self) -> None:
        self.leave()
        self.client.close()

    def config(self) -> dict[str, Any]:
        return self.client.get("/config").json()

    def upload(self, name: str, data: bytes) -> httpx.Response:
        return self.client.post(f"{API}/upload", files={"files": (name, data)})

    def fetch(self, path: str | Path) -> httpx.Response:
        return self.client.get(f"{API}/file={path}")

    def join(self, index: Any, data: Any, **more: Any) -> httpx.Response:
        body = {"fn_index": index, "data": data, "session_hash": self.session, **more}
        return self.client.post(f"{API}/queue/join", json=body)

    def result(self) -> dict[str, Any]:
        """The message that the event of `join` completed."""
        with self.client.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line[6:])
                    if message["msg"] == "process_completed":
                        return message
        raise AssertionError("the event did not complete")

    def event(self, index: int, data: list[Any], **more: Any) -> dict[str, Any]:
        """Joins the queue and waits for the answer."""
        response = self.join(index, data, **more)
        assert response.status_code == 200, response.text
        return self.result()


class Page:
    """What the page says about itself: its events and what each takes."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.components = {component["id"]: component for component in config["components"]}
        self.events = config["dependencies"]

    def data(self, event: dict[str, Any], file: Any = None) -> list[Any]:
        """A valid request for an event: every control as it stands, `file` where it takes one."""
        values = []
        for number in event["inputs"]:
            component = self.components[number]
            if component["type"] in ("image", "video", "uploadbutton"):
                values.append(file)
            else:
                values.append(component["props"].get("value"))
        return values

    def find(self, element: str, trigger: str) -> dict[str, Any]:
        """The event of the element with that id."""
        number = next(i for i, c in self.components.items() if c["props"].get("elem_id") == element)
        return next(e for e in self.events if [number, trigger] in [list(t) for t in e["targets"]] and e["backend_fn"])


def in_parallel(actions: list[Any]) -> None:
    """Runs all at once; raises what one of them raised."""
    failed: list[BaseException] = []

    def run(action: Any) -> None:
        try:
            action()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
