"""Clips and a running server for the demo's tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from intrinsic_flow.demo.workspace import Workspace

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def write_clip(scene) -> Callable[[Path, int], None]:
    """Writes the scene, getting brighter, as so many frames at 10 frames a second."""

    def write(path: Path, frames: int) -> None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = scene.shape[1], scene.shape[0], "yuv420p"
            for index in range(frames):
                pixels = np.clip(scene * (0.3 + 0.005 * index) * 255, 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))

    return write


@contextmanager
def running_demo(temporary: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Address and process id of a demo, as its command starts it. Its files lie in `temporary`, and none when it has
    ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "runtime.app", "--port", str(port), "--max-megapixels", "4", "--max-seconds", "3"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        first = process.stdout.readline()
        assert f":{port}" in first, first + process.stdout.read()
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGINT)
        log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "Traceback" not in log, log
    assert list(temporary.glob("intrinsic-flow-demo-*")) == []


@pytest.fixture(scope="module")
def server(tiny_bundle, tmp_path_factory):
    """Address and temporary folder of a running demo."""
    temporary = tmp_path_factory.mktemp("demo")
    with running_demo(temporary, "--bundle", str(tiny_bundle)) as (address, _):
        yield address, temporary


@pytest.fixture
def workspace():
    workspace = Workspace()
    yield workspace
    workspace.close()
    assert not workspace.root.exists()
