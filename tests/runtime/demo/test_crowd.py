"""Fifty visitors at once, each with a photo of its own: all are served, in little memory, and nothing of them stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.media.images import write_image
from tests.runtime.demo.conftest import running_demo
from tests.runtime.demo.visitor import Page, Visitor, in_parallel

pytest.importorskip("gradio", reason='needs the extra: pip install "intrinsic-flow[demo]"')

VISITORS = 50
MOST_BYTES = 2.0e9
PATIENCE = 900


def memory(process: int) -> int:
    """Bytes that a process and those it has started hold, files that they share counted once for each."""
    total, waiting = 0, [process]
    while waiting:
        number = waiting.pop()
        try:
            fields = Path(f"/proc/{number}/smaps_rollup").read_text()
            for task in Path(f"/proc/{number}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue
        total += 1024 * int(next(line.split()[1] for line in fields.splitlines() if line.startswith("Pss:")))
    return total


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc to measure memory")
def test_fifty_visitors_at_once_in_two_gigabytes(scene, tmp_path):
    """With the shipped bundle."""
    with running_demo(tmp_path) as (address, process):
        serve_all(address, process, scene, tmp_path)


def serve_all(address: str, process: int, scene: np.ndarray, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    write_image(picture, np.tile(scene / scene.max(), (12, 11, 1))[:1080, :1440])
    visitors = [Visitor(address) for _ in range(VISITORS)]
    page = Page(visitors[0].config())
    event = page.find("picture", "input")
    served, peak, ended = [], [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], memory(process))

    def visit(visitor: Visitor) -> None:
        visitor.client.timeout = PATIENCE
        visitor.open()
        [upload] = visitor.upload("photo.png", picture.read_bytes()).json()
        data = page.data(event, {"path": upload, "meta": {"_type": "gradio.FileData"}})
        deadline = time.monotonic() + PATIENCE
        # 32 may wait; the others are told so and come again.
        while (response := visitor.join(event["id"], data)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(1)
        assert response.status_code == 200, response.text
        message = visitor.result()
        assert message["success"], message
        served.append(visitor)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.monotonic()
    try:
        in_parallel([lambda visitor=visitor: visit(visitor) for visitor in visitors])
        seconds = time.monotonic() - begun
        open_files = sum(path.is_file() for path in tmp_path.rglob("visitors/**/*"))
    finally:
        ended.set()
        watcher.join()
        for visitor in visitors:
            visitor.close()
    root = next(tmp_path.glob("intrinsic-flow-demo-*")) / "visitors"
    deadline = time.monotonic() + 120
    while any(root.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.5)
    print(f"{len(served)} served in {seconds:.0f} s, {open_files} files while open, peak {peak[0] / 1e9:.2f} GB")
    assert len(served) == VISITORS and list(root.iterdir()) == []
    assert peak[0] < MOST_BYTES
