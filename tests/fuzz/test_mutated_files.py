"""Damaged videos, graphs and manifests: each is read or refused in one line, quickly, in little memory, and nothing
crashes."""

from __future__ import annotations

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from intrinsic_flow.backends.engine_file import FORMAT, VERSION
from intrinsic_flow.cli.partial import PartialState, save_state
from intrinsic_flow.cluster.manifest import Report
from intrinsic_flow.cluster.units import Unit
from intrinsic_flow.decomposition.bundle import MANIFEST, MODELS, graph_file
from tests.fuzz.harness import damage, read_all

LONG_COUNT = int(os.environ.get("INTRINSIC_FLOW_MUTATIONS", "500"))
CODECS = {
    "h264.mp4": ("libx264", "yuv420p"),
    "ffv1.mkv": ("ffv1", "yuv444p10le"),
    "prores.mov": ("prores_ks", "yuv422p10le"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "mpeg2.mpg": ("mpeg2video", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
}
HASH = "0" * 64


def write_clip(path: Path, codec: str, format: str) -> None:
    rng = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, format
        for _ in range(4):
            pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def video_seeds(folder: Path) -> list[Path]:
    folder.mkdir()
    for name, (codec, format) in CODECS.items():
        write_clip(folder / name, codec, format)
    return sorted(folder.iterdir())


def manifest_seeds(folder: Path) -> list[Path]:
    folder.mkdir()
    small = MODELS / "small"
    (folder / "small.bundle.json").write_bytes((small / MANIFEST).read_bytes())
    (folder / "decoder.onnx").write_bytes((small / graph_file("decoder")).read_bytes())
    shape = {"min": [1, 12, 8, 8], "opt": [1, 12, 32, 32], "max": [1, 12, 64, 64]}
    sidecar = {
        "format": FORMAT, "version_of_format": VERSION, "graph": "decoder", "onnx": "decoder.onnx", "onnx_sha256": HASH,
        "weights_sha256": HASH, "precision": "fp16", "set_precision": "fp16", "flavor": "rtx", "version": "1.7",
        "compute_capabilities": [86, 120], "gpu": None, "hardware": "list", "version_compatible": False, "options": {},
        "tensors": [{"name": "z", "dtype": "float32", "is_input": True}], "profiles": [{"z": shape}],
        "plan_sha256": HASH, "plan_bytes": 6, "platform": "linux",
    }  # fmt: skip
    (folder / "decoder.engine.json").write_text(json.dumps(sidecar))
    save_state(folder / "clip.partial.json", PartialState(9, 8, 1.5, 3, 0.01, {"seed": 0, "input": "clip.mp4"}))
    unit = Unit("/a.png", "image", "/out", "a")
    reports = [Report(unit, "failed", reason="no"), dataclasses.replace(Report(unit, "done"), outputs=("/out/a.png",))]
    (folder / "batch.jsonl").write_text("".join(report.to_json(settings="s") + "\n" for report in reports))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("count", [10, pytest.param(LONG_COUNT // 2, marks=pytest.mark.slow)])
def test_damaged_videos_are_read_or_refused_in_one_line(tmp_path: Path, count: int) -> None:
    damage(video_seeds(tmp_path / "damaged"), count)
    read_all(tmp_path / "damaged", tmp_path / "report", timeout=300 + 20 * count)


@pytest.mark.parametrize("count", [40, pytest.param(LONG_COUNT * 3, marks=pytest.mark.slow)])
def test_damaged_manifests_are_read_or_refused_in_one_line(tmp_path: Path, count: int) -> None:
    seeds = manifest_seeds(tmp_path / "damaged")
    damage(seeds, count)
    for seed in seeds:
        if "json" in seed.name:
            for number, text in enumerate(hostile(seed.read_text())):
                stem, _, suffix = seed.name.partition(".")
                seed.with_name(f"{stem}_hostile{number}.{suffix}").write_text(text)
    read_all(tmp_path / "damaged", tmp_path / "report", timeout=300 + 20 * count)


def hostile(text: str) -> list[str]:
    """JSON that other readers stumble over: too many digits, too deep, NUL, half a character, beyond a float."""
    values = ["1" * 5000, "[" * 100_000 + "]" * 100_000, '"\\u0000"', '"\\ud800"', "1e999", "NaN", "9" * 400, "null", "{}"]
    parts = text.split(": ")
    changed = []
    for at in range(1, len(parts), max(1, len(parts) // 12)):
        for value in values:
            rest = parts[at].lstrip()
            end = min((rest.find(mark) for mark in ",}\n" if mark in rest), default=len(rest))
            changed.append(": ".join([*parts[:at], value + rest[end:], *parts[at + 1 :]]))
    return changed
