"""Speed and memory of video: each stage alone, the pipeline of all, and how memory grows with a clip's length."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.hwaccel import HWAccel

from intrinsic_flow.backends.cuda_backend import CudaBackend
from intrinsic_flow.cli.arguments import parse
from intrinsic_flow.cli.jobs import list_jobs
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.cli.video_job import run_video
from intrinsic_flow.commands import ROOT
from intrinsic_flow.decomposition.bundle import LATENT_CHANNELS, LATENT_DOWNSCALE, Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer, Decomposition
from intrinsic_flow.decomposition.upsampling import expose
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.video import Frame, VideoReader
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.media.video_writer import VideoWriter

FRAMES = 60
ON_GPU = "on the GPU alone"
PHASE_CALLS = 10
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
    count: int | None = None,
    hardware: bool = False,
) -> list[dict[str, object]]:
    """Rows of decoding, inference and encoding (both layers) alone and of the pipeline, over `count` frames (FRAMES).

    Each is the median of `rounds`, in turn, so that other work on the machine disturbs all alike, processor time least. The
    pipeline's note says how much longer it takes than its slowest stage, and than all
    stages would one after the other. hardware: also with
    NVIDIA's decoder and encoder and, on a CUDA backend, ON_GPU: the network, the shading and the upsampler without codecs
    and copies; a stage that cannot run here says why in its note.
    """
    count = FRAMES if count is None else count
    with Decomposer.load(bundle, backend, steps=steps, seed=seed, resolution=resolution, threads=threads) as model:
        frames = _frames(path, count)
        results = [(frame, result) for frame, result in zip(frames, model.stream(f.pixels for f in frames))]
        end = float(frames[-1].pts) + 1e-4
        with tempfile.TemporaryDirectory() as folder, _with_nvenc():
            calls: dict[str, Callable[[], object]] = {
                "decode": lambda: _frames(path, count),
                "inference": lambda: _drain(model.stream(frame.pixels for frame in frames)),
                "inference, temporal off": lambda: _drain(model.stream((f.pixels for f in frames), temporal=False)),
                "encode both layers": lambda: _encode(path, results, Path(folder)),
                "pipeline": lambda: _pipeline(path, model, Path(folder), end),
                "pipeline, --preview-speed": lambda: _pipeline(path, model, Path(folder), end, "--preview-speed"),
            }
            absent: list[dict[str, object]] = []
            if hardware:
                extra: dict[str, Callable[[], object]] = {
                    "decode by NVDEC": lambda: _frames(_nvdec(path), count),
                    "encode both layers by NVENC": lambda: _encode(path, results, Path(folder), NVENC.name),
                    "pipeline with NVENC": lambda: _pipeline(path, model, Path(folder), end, codec=NVENC.name),
                }
                for stage, call in extra.items():
                    why = _first_failure(call)
                    if why is None:
                        calls[stage] = call
                    else:
                        absent.append({"clip": path.stem, "stage": stage, "frames": len(frames), "note": why})
                absent.append(_on_gpu(path, model, frames[0].pixels))
            taken: dict[str, list[tuple[float, float]]] = {stage: [] for stage in calls}
            for _ in range(rounds):
                for stage, call in calls.items():
                    begun, worked = time.perf_counter(), time.process_time()
                    call()
                    taken[stage].append((time.perf_counter() - begun, time.process_time() - worked))
    seconds = {stage: float(np.median([wall for wall, _ in times])) for stage, times in taken.items()}
    of_cores = {stage: float(np.median([cores for _, cores in times])) for stage, times in taken.items()}
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
            "core_ms_per_frame": 1e3 * of_cores[stage] / len(frames),
            **({"note": note} if stage == "pipeline" else {}),
        }
        for stage, total in seconds.items()
    ] + absent


def _on_gpu(path: Path, model: Decomposer, image: np.ndarray) -> dict[str, object]:
    """The row ON_GPU: one whole decomposition of a frame of this size as the GPU times it."""
    row: dict[str, object] = {"clip": path.stem, "stage": ON_GPU, "frames": 1}
    if not isinstance(model.backend, CudaBackend):
        return {**row, "note": f"{model.backend.name} is no CUDA backend"}
    guide, padded, gain = model.exposed(image)
    noise = np.zeros((1, LATENT_CHANNELS, *(side // LATENT_DOWNSCALE for side in padded.shape[2:])), np.float32)
    calls = [
        model.backend.decomposition_phases(padded, noise, model.options.steps, guide, expose(image, gain))
        for _ in range(PHASE_CALLS)
    ]
    parts = {name: float(np.median([call[name] for call in calls])) for name in calls[0]}
    note = f"up {parts['h2d_ms']:.2f} ms, down {parts['d2h_ms']:.2f} ms"
    ms = parts["compute_ms"]
    return {**row, "frames_per_second": 1e3 / ms, "ms_per_frame": ms, "note": note}


def _first_failure(call: Callable[[], object]) -> str | None:
    """Why a call fails, in a line; None where it does not. Warms up what it calls."""
    try:
        call()
    except Exception as error:  # FFmpeg's, and ours around them
        return " ".join(str(error).rpartition(": ")[2].split()) or type(error).__name__
    return None


def _frames(path: Path | av.container.InputContainer, count: int) -> list[Frame]:
    with VideoReader(path, name="clip") as reader:
        frames = list(itertools.islice(reader, count))
    if not frames:
        raise InputError("clip" if isinstance(path, av.container.InputContainer) else path, "no frame", "a video")
    return frames


def _drain(results: Iterator[Decomposition]) -> None:
    for _ in results:
        pass


def _encode(path: Path, results: Sequence[tuple[Frame, Decomposition]], folder: Path, codec: str = "h264") -> None:
    with VideoReader(path) as source:
        size = (source.width, source.height)
        with (
            VideoWriter(folder / "albedo.mp4", source, *size, codec=codec) as albedo,
            VideoWriter(folder / "shading.mp4", source, *size, codec=codec) as shading,
        ):
            for frame, result in results:
                albedo.write(result.albedo, frame.pts, frame.duration)
                shading.write(result.shading / np.float32(2), frame.pts, frame.duration)


def _pipeline(path: Path, model: Decomposer, folder: Path, end: float, *more: str, codec: str = "h264") -> None:
    settings = parse([str(path), "-o", str(folder / "out"), "--overwrite", "--quiet", "--end", f"{end:.6f}", *more], "")
    settings = replace(settings, codec=codec)
    if settings.preview_speed:
        model = Decomposer(model.bundle, model.backend, model.options, resolution=settings.resolution)
    (job,) = list_jobs(settings.inputs, settings.output).jobs
    run_video(job, settings, lambda: model, frozenset(), Progress(quiet=True))


#: H.264 by NVIDIA's encoder, at a constant quantiser near the CPU encoder's quality. Of this benchmark alone.
NVENC = replace(
    CODECS["h264"], name="h264-nvenc", title="H.264 by NVENC", encoders=("h264_nvenc",), crf=False, reorder=0,
    options=(("preset", "p1"), ("rc", "constqp"), ("qp", "18"), ("bf", "0")),
)  # fmt: skip


@contextmanager
def _with_nvenc() -> Iterator[None]:
    CODECS[NVENC.name] = NVENC
    try:
        yield
    finally:
        del CODECS[NVENC.name]


def _nvdec(path: Path) -> av.container.InputContainer:
    """A video that NVIDIA's decoder decodes; frames come to host memory."""
    return av.open(str(path), hwaccel=HWAccel("cuda", allow_software_fallback=False))


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
    return int(done.stdout)


_WATCHED = """
import sys
from intrinsic_flow.benchmarks.timing.fresh_process import peak_bytes
from intrinsic_flow.decompose import main
code = main(sys.argv[1:])
print(peak_bytes())
sys.exit(code)
"""
