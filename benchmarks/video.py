"""Steadiness, response to light and speed of a model bundle on videos, beside the input's own flicker.

    python -m benchmarks.video clip.mp4 other.mp4 --seconds 10 --report out
    python -m benchmarks.video --clip SHARDS/clip-00000.tar --report out
    python -m benchmarks.video clip.mp4 --speed --memory --json video.json

Four rows for each clip: `temporal` (what the runtime does), `fixed noise` and `fresh noise` (every frame alone, from the
same start noise or from another in each), and `input`, the image itself: the floor that camera and codec leave. Measures
are defined in `videos/steadiness.py`; deviation is taken on static pixels in windows of one second. Rendered clips
(--clip) have ground truth: LMSE of both layers, the share of a true change of light that the shading shows after one, two
and three frames, and what is dragged across a cut. --speed times decoding, inference and encoding each alone and the
pipeline of all; --memory compares the peak of a clip of 30 s with one of 120 s.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.backends import BACKENDS
from intrinsic_flow.benchmarks.report import environment, write_json
from intrinsic_flow.benchmarks.scoring.metrics.layers import lmse
from intrinsic_flow.benchmarks.videos.clips import Clip, read_clips
from intrinsic_flow.benchmarks.videos.report import Report, markdown, table
from intrinsic_flow.benchmarks.videos.steadiness import (
    Lit,
    deviation,
    frame_to_frame,
    light_response,
    static_pixels,
    warped_error,
)
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import DEFAULT_RESOLUTION, Decomposer, Decomposition
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.train.data.shards import ShardError

METHODS = ("temporal", "fixed noise", "fresh noise")
INPUT = "input"
RESPONSE_FRAMES = 3

Method = Callable[[np.ndarray], Decomposition]


def build_methods(
    bundle: Bundle, *, resolution: int, steps: int, seed: int, threads: int | None, backend: str = "cpu"
) -> dict[str, Method]:
    """Name -> a function from the frames of one clip, in order, (H, W, 3) float32 linear, to their decompositions."""
    model = Decomposer.load(bundle, backend, steps=steps, seed=seed, resolution=resolution, threads=threads)
    seeds = itertools.count(seed)

    def fresh(frame: np.ndarray) -> Decomposition:
        once = Decomposer(bundle, model.engine, steps=steps, seed=next(seeds), resolution=resolution)
        return once.decompose(frame)

    return {"temporal": _stepwise(model), "fixed noise": model.decompose, "fresh noise": fresh}


def _stepwise(model: Decomposer) -> Method:
    waiting: deque[np.ndarray] = deque()

    def frames() -> Iterator[np.ndarray]:
        while True:
            yield waiting.popleft()

    results = model.stream(frames())

    def step(frame: np.ndarray) -> Decomposition:
        waiting.append(frame)
        return next(results)

    return step


@dataclass
class _Sums:
    """Of one method on one clip: squared measures by window, weighted by how many pixels they were taken over."""

    deviation: list[tuple[float, int]] = field(default_factory=list)
    frame_to_frame: list[tuple[float, int]] = field(default_factory=list)
    warped: list[float] = field(default_factory=list)
    albedo_lmse: list[float] = field(default_factory=list)
    shading_lmse: list[float] = field(default_factory=list)
    response: list[list[float]] = field(default_factory=list)
    drag: list[float] = field(default_factory=list)

    def add_window(self, images: np.ndarray, layers: np.ndarray, pixels: np.ndarray) -> None:
        weight = int(pixels.sum())
        if weight:
            self.deviation.append((deviation(layers, pixels), weight))
            self.frame_to_frame.append((frame_to_frame(layers, pixels), weight))
        if len(images) > 1:
            self.warped.append(warped_error(images, layers))

    def row(self) -> dict[str, object]:
        scores = {
            "deviation": _root_mean_square(self.deviation),
            "frame_to_frame": _root_mean_square(self.frame_to_frame),
            "warped_error": _root_mean_square([(value, 1) for value in self.warped if np.isfinite(value)]),
            "albedo_lmse": _mean(self.albedo_lmse),
            "shading_lmse": _mean(self.shading_lmse),
            "light_response": [_mean(values) for values in zip(*self.response) if np.isfinite(values).all()] or None,
            "drag": _mean(self.drag),
        }
        return {name: value for name, value in scores.items() if value is not None}


def _root_mean_square(values: Sequence[tuple[float, int]]) -> float | None:
    total = sum(weight for _, weight in values)
    return float(np.sqrt(sum(value**2 * weight for value, weight in values) / total)) if total else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def judge_video(path: Path, methods: dict[str, Method], *, start: float, seconds: float) -> list[dict[str, object]]:
    """Rows of a video file, from `start` for `seconds`, in windows of one second. Raises InputError."""
    with VideoReader(path) as reader:
        window = max(2, round(float(reader.average_rate or 25)))
        skipped = round(start * window)
        frames = (frame.pixels for frame in itertools.islice(reader, skipped, skipped + round(seconds * window)))
        return _judge(path.stem, frames, window, methods)


def _judge(name: str, frames: Iterator[np.ndarray], window: int, methods: dict[str, Method]) -> list[dict[str, object]]:
    sums, count = {method: _Sums() for method in (*methods, INPUT)}, 0
    share: list[float] = []
    while images := list(itertools.islice(frames, window)):
        albedos = {method: np.stack([run(image).albedo for image in images]) for method, run in methods.items()}
        stacked = np.stack(images)
        count += len(images)
        if len(images) < window and share:
            break  # a rest too short to compare
        pixels = static_pixels(stacked)
        share.append(float(pixels.mean()))
        for method, layers in {**albedos, INPUT: stacked}.items():
            sums[method].add_window(stacked, layers, pixels)
        print(f"{name}: {count} frames", file=sys.stderr, flush=True)
    if not share:
        raise InputError(name, "no frame", "a clip of at least one second")
    common = {"clip": name, "frames": count, "static_share": float(np.mean(share))}
    return _with_ratios([{**common, "method": method, **total.row()} for method, total in sums.items()])


def judge_clip(clip: Clip, methods: dict[str, Method]) -> list[dict[str, object]]:
    """Rows of a rendered clip."""
    sums = {method: _Sums() for method in (*methods, INPUT)}
    window = max(2, round(clip.fps))
    images: list[np.ndarray] = []
    layers: dict[str, list[np.ndarray]] = {method: [] for method in sums}
    last: dict[str, Lit] = {}
    #: The frame before a switched light, and the number of the first frame after it.
    switched: tuple[int, dict[str, Lit]] | None = None
    share: list[float] = []

    def close_window() -> None:
        if len(images) > 1:
            stacked = np.stack(images)
            pixels = static_pixels(stacked)
            share.append(float(pixels.mean()))
            for method, values in layers.items():
                sums[method].add_window(stacked, np.stack(values), pixels)
        images.clear()
        for values in layers.values():
            values.clear()

    for number, view in enumerate(clip):
        image = view.image
        results = {method: run(image) for method, run in methods.items()}
        # A window that holds a cut or a switched light would measure these.
        if number in clip.cuts or number in clip.switches or len(images) == window:
            close_window()
        images.append(image)
        layers[INPUT].append(image)
        lit: dict[str, Lit] = {}
        for method, result in results.items():
            layers[method].append(result.albedo)
            lit[method] = Lit(image, result.shading, view.total_shading, view.mask)
            sums[method].albedo_lmse.append(lmse(result.albedo, view.albedo, view.mask))
            sums[method].shading_lmse.append(lmse(result.shading, view.total_shading, view.mask))
        if number in clip.cuts and number:
            alone = np.log(results["fixed noise"].albedo)
            for method, result in results.items():
                sums[method].drag.append(float(np.abs(np.log(result.albedo) - alone)[view.mask].mean()))
        if number in clip.switches:
            switched = number, last
            for method in results:
                sums[method].response.append([])
        elif number in clip.cuts | clip.light_changes or (switched and number - switched[0] == RESPONSE_FRAMES):
            switched = None
        if switched:
            for method, frame in lit.items():
                sums[method].response[-1].append(light_response(switched[1][method], frame))
        last = lit
    close_window()
    common = {"clip": clip.name, "frames": len(clip.frames), "static_share": _mean(share) or 0.0}
    return _with_ratios([{**common, "method": method, **total.row()} for method, total in sums.items()])


def _with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds how each deviation compares with the input's and with the one from fixed noise."""
    by_method = {row["method"]: row for row in rows}
    for row in rows:
        for name, reference in (("over_input", INPUT), ("over_fixed", "fixed noise")):
            base = by_method.get(reference, {}).get("deviation")
            if base and row.get("deviation") is not None:
                row[name] = row["deviation"] / base
    return rows


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected WIDTHxHEIGHT of at least 16 pixels each")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks.video", __doc__)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO", help="video files without ground truth")
    parser.add_argument(
        "--clip", nargs="+", type=Path, default=[], metavar="TAR", help="shards of rendered clips, or folders"
    )
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="S", help="second of each video to begin at (default: 0)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each video (default: 10)")
    parser.add_argument("--bundle", metavar="small|base|PATH", help="model bundle (default: the best shipped)")
    parser.add_argument("--steps", type=int, default=2, help="Euler steps (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the start noise (default: 0)")
    parser.add_argument(
        "--resolution", type=int, default=DEFAULT_RESOLUTION, help="working short side (default: %(default)s)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="cpu", help="engine (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the physical cores)")
    parser.add_argument("--speed", action="store_true", help="time each stage alone and the pipeline, on the first VIDEO")
    parser.add_argument(
        "--made",
        nargs="+",
        type=_size,
        default=[],
        metavar="WIDTHxHEIGHT",
        help="--speed on clips of these sizes made for it",
    )
    parser.add_argument("--memory", action="store_true", help="peak memory of a 30 s and a 120 s clip made for it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and environment as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write video.json and video.md into this folder")
    return parser


@program("benchmarks.video", ShardError, ValueError, RuntimeError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured, 1 the data or the bundle cannot be used, 2 wrong usage."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.videos and not args.clip and not args.memory and not args.made:
        parser.error("found no input, expected a VIDEO, --clip, --made or --memory")
    if args.speed and not args.videos and not args.made:
        parser.error("argument --speed: expected a VIDEO or --made")
    rows = _measure(args)
    print(table(rows))
    report: Report = {"environment": environment(("numpy", "onnxruntime", "av")), "rows": rows}
    if args.json:
        write_json(args.json, report)
    if args.report:
        write_json(args.report / "video.json", report)
        (args.report / "video.md").write_text(markdown(report), encoding="utf-8")
    return 0


def _measure(args: argparse.Namespace) -> list[dict[str, object]]:
    bundle = Bundle.load(args.bundle)
    options = {"resolution": args.resolution, "steps": args.steps, "seed": args.seed, "threads": args.threads}
    options["backend"] = args.backend
    common = {"bundle": bundle.name, **{name: options[name] for name in ("resolution", "steps", "seed", "backend")}}
    rows: list[dict[str, object]] = []
    for path in args.videos:
        methods = build_methods(bundle, **options)
        rows += judge_video(path, methods, start=args.start, seconds=args.seconds)
    for clip in read_clips(args.clip) if args.clip else ():
        rows += judge_clip(clip, build_methods(bundle, **options))
    if args.speed or args.made or args.memory:
        from intrinsic_flow.benchmarks.videos import speed as video_speed

        if args.speed and args.videos:
            rows += video_speed.stages(args.videos[0], bundle, **options)
        for size in args.made:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"made-{size[0]}x{size[1]}.mp4"
                video_speed.texture_clip(path, size, video_speed.FRAMES)
                rows += video_speed.stages(path, bundle, **options)
        if args.memory:
            rows += video_speed.memory(bundle, args.backend)
    return [{**row, **common} for row in rows]


if __name__ == "__main__":
    sys.exit(main())
