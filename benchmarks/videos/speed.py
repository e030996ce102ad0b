"""Speed and memory of video: each stage alone, the pipeline of all, and how memory grows with a clip's length."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.cli.arguments import parse
from intrinsic_flow.cli.jobs import make_plan
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.cli.video_job import run_video
from intrinsic_flow.commands import ROOT
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer, Decomposition
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.video import Frame, VideoReader, VideoWriter

FRAMES = 60
MEMORY_SIZE, MEMORY_RATE, MEMORY_SECONDS = (320, 180), 25, (30, 120)


def stages(
    path: Path,
    bundle: Bundle,
    *,
    resolution: int,
    steps: int,
    seed: int,
    threads: int | None,
    backend: str = "cpu",
    rounds: int = 3,
) -> list[dict[str, object]]:
    """Rows of decoding, inference and encoding (both layers) alone and of the pipeline, over FRAMES frames.

    Each is the median of `rounds`, in turn, so that other work on the machine disturbs all alike. The pipeline's note says
    how much longer it takes than its slowest stage, and than all stages would one after the other.
    """
    with Decomposer.load(bundle, backend, steps=steps, seed=seed, resolution=resolution, threads=threads) as model:
        frames = _frames(path, FRAMES)
        results = [(frame, result) for frame, result in zip(frames, model.stream(f.pixels for f in frames))]
        end = float(frames[-1].pts) + 1e-4
        with tempfile.TemporaryDirectory() as folder:
            calls: dict[str, Callable[[], object]] = {
                "decode": lambda: _frames(path, FRAMES),
                "inference": lambda: _drain(model.stream(frame.pixels for frame in frames)),
                "inference, temporal off": lambda: _drain(model.stream((f.pixels for f in frames), temporal=False)),
                "encode both layers": lambda: _encode(path, results, Path(folder)),
                "pipeline": lambda: _pipeline(path, model, Path(folder), end),
            }
            taken: dict[str, list[float]] = {stage: [] for stage in calls}
            for _ in range(rounds):
                for stage, call in calls.items():
                    begun = time.perf_counter()
                    call()
                    taken[stage].append(time.perf_counter() - begun)
    seconds = {stage: float(np.median(times)) for stage, times in taken.items()}
    alone = {stage: seconds[stage] for stage in ("decode", "inference", "encode both layers")}
    slowest = max(alone, key=alone.__getitem__)
    note = (
        f"{seconds['pipeline'] / alone[slowest] - 1:+.0%} on {slowest} alone, "
        f"{seconds['pipeline'] / sum(alone.values()) - 1:+.0%} on all in turn"
    )
    return [
        {
            "clip": path.stem,
            "stage": stage,
            "frames": len(frames),
            "frames_per_second": len(frames) / total,
            "ms_per_frame": 1e3 * total / len(frames),
            **({"note": note} if stage == "pipeline" else {}),
        }
        for stage, total in seconds.items()
    ]


def _frames(path: Path, count: int) -> list[Frame]:
    with VideoReader(path) as reader:
        frames = list(itertools.islice(reader, count))
    if not frames:
        raise InputError(path, "no frame", "a video")
    return frames


def _drain(results: Iterator[Decomposition]) -> None:
    for _ in results:
        pass


def _encode(path: Path, results: Sequence[tuple[Frame, Decomposition]], folder: Path) -> None:
    with VideoReader(path) as source:
        size = (source.width, source.height)
        with (
            VideoWriter(folder / "albedo.mp4", source, *size) as albedo,
            VideoWriter(folder / "shading.mp4", source, *size) as shading,
        ):
            for frame, result in results:
                albedo.write(result.albedo, frame.pts, frame.duration)
                shading.write(result.shading / np.float32(2), frame.pts, frame.duration)


def _pipeline(path: Path, model: Decomposer, folder: Path, end: float) -> None:
    settings = parse([str(path), "-o", str(folder / "out"), "--overwrite", "--quiet", "--end", f"{end:.6f}"], "")
    (job,) = make_plan(settings.inputs, settings.output).jobs
    run_video(job, settings, lambda: model, frozenset(), Progress(quiet=True))


def memory(bundle: Bundle, backend: str = "cpu") -> list[dict[str, object]]:
    """Rows with the peak resident memory of the command on clips of MEMORY_SECONDS, made here: a drifting texture.

    The network runs at its smallest size, since how memory grows with the clip's length is what is asked.
    """
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in MEMORY_SECONDS:
            path = Path(folder) / f"clip{seconds}.mp4"
            frames = texture_clip(path, MEMORY_SIZE, seconds * MEMORY_RATE)
            arguments = [str(path), "-o", str(Path(folder) / "out"), "--quiet", "--resolution", "32", "--backend", backend]
            peak = _peak_memory([*arguments, "--bundle", str(bundle.folder.resolve())])
            rows.append({"seconds": seconds, "frames": frames, "peak_mib": peak / 2**20})
    return rows


def texture_clip(path: Path, size: tuple[int, int], count: int) -> int:
    """Writes a clip of a drifting texture: size (width, height), `count` frames at MEMORY_RATE. Returns `count`."""
    width, height = size
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.uniform(0, 1, (height, 2 * width, 3)).astype(np.float32), (0, 0), 3)
    with VideoWriter(path, None, width, height, frame_rate=Fraction(MEMORY_RATE), bit_depth=8) as writer:
        for index in range(count):
            shift = index % width
            writer.write(np.ascontiguousarray(wide[:, shift : shift + width]), Fraction(index, MEMORY_RATE))
    return count


def _peak_memory(arguments: Sequence[str]) -> int:
    """Peak resident bytes of the command `runtime.decompose` on its own. Raises RuntimeError where it fails.

    The process itself looks, since the peak that a parent is told includes the parent's own memory at the fork.
    """
    done = subprocess.run([sys.executable, "-c", _WATCHED, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"runtime.decompose failed: {done.stderr.strip()}")
    return int(done.stdout) * 1024


_WATCHED = """
import re, sys
from pathlib import Path
from intrinsic_flow.decompose import main
code = main(sys.argv[1:])
status = Path("/proc/self/status")
if status.exists():
    peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak)
sys.exit(code)
"""
