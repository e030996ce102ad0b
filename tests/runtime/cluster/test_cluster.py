"""Batches on a local cluster of two workers, one of which is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.media.images import write_image
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_writer import VideoWriter

pytest.importorskip("ray.data", reason="ray is not installed (extra cluster)")
REPOSITORY = Path(__file__).parents[3]
# Seconds, of a loaded machine.
PATIENCE = 300


def write_clip(path: Path, scene: np.ndarray, count: int) -> None:
    display = np.clip(scene / 2.5, 0, 1)
    with VideoWriter(path, None, 96, 64, frame_rate=Fraction(25), bit_depth=8) as writer:
        for index in range(count):
            step = index % 40
            writer.write(np.ascontiguousarray(display[8:72, step : step + 96]), Fraction(index, 25))


def frame_count(path: Path) -> int:
    reader = VideoReader(path)
    try:
        return sum(1 for _ in reader.read())
    finally:
        reader.close()


@pytest.fixture
def inputs(tmp_path, scene) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        write_image(folder / f"photo{index}.png", scene / scene.max() * (1 - index / 4))
    return folder


@pytest.fixture
def start(tiny_bundle, tmp_path):
    """Starts the command with two workers of one core; its log goes to tmp_path/log."""
    processes = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        options = ["--workers", "2", "--cores-per-worker", "1", "--bundle", tiny_bundle, "--backend", "cpu"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "runtime.batch", *map(str, (*arguments, *options, "--resolution", "64"))],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stderr=log,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def clip_worker(out: Path, process: subprocess.Popen[bytes], other_than: int = 0) -> int:
    """Process that works on the clip, once it has written something of it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for staged in out.glob(".decompose-*.partial/*clip_albedo*"):
            begun = out / f"{staged.parent.name.rpartition('-')[0]}.begun"
            if begun.exists() and begun.read_text().strip():
                worker = int(begun.read_text().rpartition(":")[2])
                if worker != other_than:
                    return worker
        time.sleep(0.02)
    raise AssertionError("the clip was never begun")


def manifest(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "intrinsic-flow-batch.jsonl").read_text().splitlines()]


def assert_complete(out: Path, frames: int, log: str) -> None:
    expected = {f"photo{index}_{end}" for index in range(3) for end in ("albedo.png", "shading.png", "shading.json")}
    expected |= {"clip_albedo.mp4", "clip_shading.mp4", "clip_shading.json", "intrinsic-flow-batch.jsonl"}
    assert {path.name for path in out.iterdir()} == expected, log
    assert frame_count(out / "clip_albedo.mp4") == frame_count(out / "clip_shading.mp4") == frames


def test_interrupted_robbed_of_a_worker_and_with_a_bad_file_a_batch_is_complete(inputs, scene, tmp_path, start):
    """Everything on one batch: to start a cluster takes longer than its work."""
    write_clip(inputs / "clip.mp4", scene, 300)
    out = tmp_path / "out"
    process = start(inputs, "-o", out)
    interrupted = clip_worker(out, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    log = (tmp_path / "log").read_text()
    assert "the same command goes on" in log and "2 workers, each with 1 core" in log
    assert not (out / "clip_albedo.mp4").exists()

    before = manifest(out) if (out / "intrinsic-flow-batch.jsonl").exists() else []
    done = sum(line["state"] == "done" for line in before)
    (inputs / "bad.png").write_text("no picture")
    process = start(inputs, "-o", out, "--retries", "1")
    victim = clip_worker(out, process, other_than=interrupted)
    os.kill(victim, signal.SIGKILL)
    assert process.wait(PATIENCE) == 1, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert_complete(out, 300, log)
    if done:
        assert f"{done} of 5 units are done" in log
    clip = next(line for line in manifest(out) if line["unit"]["name"] == "clip")
    assert clip["frames"] == 300 and not clip["worker"].endswith(f":{victim}")
    states = [(line["unit"]["name"], line["state"], line["attempt"]) for line in manifest(out)]
    # What a worker's death interrupts is gone on with; it is no failed attempt.
    assert [state for state in states if state[1] == "failed"] == [("bad", "failed", 1), ("bad", "failed", 2)]
    assert [state for state in states if state[0] == "clip"] == [("clip", "done", 1)]
    lines = log.splitlines()
    assert lines[-4] == "1 failed after 2 attempts:" and lines[-3].startswith(f"  {inputs}/bad.png: found")
    # What the interruption kept from the manifest is skipped, its outputs exist.
    now, skipped = map(int, re.match(r"(\d+) done, (\d+) skipped, 1 failed in ", lines[-2]).groups())
    assert now + skipped == 4 and skipped >= done
    assert f"({now - 1} images, 300 frames, " in lines[-1] and "video frames/s" in lines[-1]
