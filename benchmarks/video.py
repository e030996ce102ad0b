"""Steadiness, response to light and speed of a model bundle on videos, beside the input's own flicker.

    python -m benchmarks.video clip.mp4 other.mp4 --seconds 10 --report out
    python -m benchmarks.video --clip SHARDS/clip-00000.tar --report out
    python -m benchmarks.video clip.mp4 --speed --memory --json video.json

Five rows for each clip: `temporal` (what the runtime does), `preview speed` (as --preview-speed runs it, at 192 pixels at
most), `fixed noise` and `fresh noise` (every frame alone, from the same start noise or from another in each), and
`input`, the image itself: the floor that camera and codec leave. Measures are defined in `videos/steadiness.py`;
deviation is taken in windows of five seconds on still pixels, those where the input deviates by less than 1.2%. `steady`
is an albedo that deviates there by at most 1.3 times the input (or .3%) and changes from frame to frame by at most 1.5
times (or .15%); a clip with fewer than 5% still pixels gets no such verdict.
Rendered clips (--clip) have ground truth: LMSE of both layers, the change of the albedo's error along the motion, the
error behind moving things (where another thing was seen within 8 frames) over the rest's, the share of a true change of
light that the shading shows after one, two and three frames, and what is dragged across a cut. --chunk says whether a chunk
is the same bytes as in the whole shot. --speed times decoding, inference and encoding each alone and the pipeline of all;
--memory compares the peak of a clip of 30 s with one of 120 s.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.backends import BACKENDS
from intrinsic_flow.benchmarks.report import environment, write_json
from intrinsic_flow.benchmarks.scoring.metrics.layers import lmse
from intrinsic_flow.benchmarks.videos.clips import Clip, read_clips
from intrinsic_flow.benchmarks.videos.report import Report, markdown, table
from intrinsic_flow.benchmarks.videos.steadiness import (
    BEHIND_FRAMES,
    DEVIATION_LIMIT,
    LEAST_STILL,
    STEP_LIMIT,
    WINDOW_SECONDS,
    Lit,
    Window,
    albedo_error,
    behind,
    carried_change,
    light_response,
    objects,
    root_mean_square,
    warped_error,
)
from intrinsic_flow.cli.arguments import PREVIEW_EVERY, PREVIEW_RESOLUTION
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import DEFAULT_RESOLUTION, Context, Decomposer, Decomposition
from intrinsic_flow.decomposition.temporal.filter import LOOK_BACK, TemporalFilter
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import check_writable
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.train.data.shards import ShardError

PREVIEW = "preview speed"
METHODS = ("temporal", PREVIEW, "fixed noise", "fresh noise")
INPUT = "input"
RESPONSE_FRAMES = 3
LEAST_ALBEDO = 0.02
#: Fewer pixels behind moving things in a whole clip say nothing.
LEAST_BAND = 200

Method = Callable[[np.ndarray], Decomposition]


def build_methods(
    bundle: Bundle, *, resolution: int, steps: int, seed: int, threads: int | None, backend: str = "cpu"
) -> dict[str, Method]:
    """Name -> a function from the frames of one clip, in order, (H, W, 3) float32 linear, to their decompositions."""
    model = Decomposer.load(bundle, backend, steps=steps, seed=seed, resolution=resolution, threads=threads)
    seeds = itertools.count(seed)

    def fresh(frame: np.ndarray) -> Decomposition:
        once = Decomposer(bundle, model.backend, steps=steps, seed=next(seeds), resolution=resolution)
        return once.decompose(frame)

    quick = Decomposer(bundle, model.backend, model.options, resolution=min(resolution, PREVIEW_RESOLUTION))
    preview = _stepwise(quick, PREVIEW_EVERY)
    return {"temporal": _stepwise(model), PREVIEW: preview, "fixed noise": model.decompose, "fresh noise": fresh}


def _stepwise(model: Decomposer, every: int = 1) -> Method:
    waiting: deque[np.ndarray] = deque()

    def frames() -> Iterator[np.ndarray]:
        while True:
            yield waiting.popleft()

    results = model.stream(frames(), every=every)

    def step(frame: np.ndarray) -> Decomposition:
        waiting.append(frame)
        return next(results)

    return step


class _Measures:
    """Of one method on one clip; those of windows are weighted by how many still pixels they were taken over."""

    def __init__(self) -> None:
        self.window = Window()
        self.previous: tuple[np.ndarray, np.ndarray] | None = None
        self._still: dict[str, list[tuple[float, int]]] = {"deviation": [], "frame_to_frame": []}
        self._means: dict[str, list[float]] = {}
        self.response: list[list[float]] = []
        self.band: list[tuple[float, int, float, int]] = []

    def add(self, image: np.ndarray, layer: np.ndarray) -> None:
        """Takes the next frame and its layer."""
        self.window.add(layer)
        if self.previous is not None:
            self.mean("warped_error", warped_error([self.previous[0], image], [self.previous[1], layer]))
        self.previous = image, layer

    def close(self, pixels: np.ndarray) -> None:
        """Ends the window. pixels: (H, W) bool, the still ones."""
        for name, values in (("deviation", self.window.deviation()), ("frame_to_frame", self.window.frame_to_frame())):
            if pixels.any():
                self._still[name].append((root_mean_square(values, pixels), int(pixels.sum())))

    def mean(self, name: str, value: float) -> None:
        """Adds a value to a column that is a mean over frames."""
        if np.isfinite(value):
            self._means.setdefault(name, []).append(value)

    def row(self) -> dict[str, object]:
        scores: dict[str, object] = {}
        for name, values in self._still.items():
            if values:
                total = sum(weight for _, weight in values)
                scores[name] = float(np.sqrt(sum(value**2 * weight for value, weight in values) / total))
        scores |= {name: float(np.mean(values)) for name, values in self._means.items()}
        shown = [float(np.mean(values)) for values in zip(*self.response) if np.isfinite(values).all()]
        if shown:
            scores["light_response"] = shown
        if self.band:
            inside, count, outside, rest = np.sum(self.band, axis=0)
            if count >= LEAST_BAND and outside:
                scores["band_error"] = float(inside / count)
                scores["band_over_rest"] = float((inside / count) / (outside / rest))
        return scores


def judge_video(path: Path, methods: dict[str, Method], *, start: float, seconds: float) -> list[dict[str, object]]:
    """Rows of a video file, from `start` for `seconds`, in windows of WINDOW_SECONDS. Raises InputError."""
    with VideoReader(path) as reader:
        rate = float(reader.average_rate or 25)
        skipped = round(start * rate)
        frames = (frame.pixels for frame in itertools.islice(reader, skipped, skipped + round(seconds * rate)))
        return _judge(path.stem, frames, max(2, round(WINDOW_SECONDS * rate)), methods)


def _judge(name: str, frames: Iterator[np.ndarray], length: int, methods: dict[str, Method]) -> list[dict[str, object]]:
    measures, windows = {method: _Measures() for method in (*methods, INPUT)}, _Windows(length)
    count = 0
    for count, image in enumerate(frames, 1):
        for method, run in methods.items():
            measures[method].add(image, run(image).albedo)
        measures[INPUT].add(image, image)
        windows.after_frame(measures)
        if count % length == 0:
            print(f"{name}: {count} frames", file=sys.stderr, flush=True)
    windows.close(measures)
    if not windows.shares:
        raise InputError(name, f"{count} frames", "a clip of at least two")
    return _rows(name, count, windows, measures)


class _Windows:
    """Windows of at most so many frames, the same for all methods. A rest of less than half a window is left out where
    there was a whole one."""

    def __init__(self, length: int) -> None:
        self._length = length
        self.shares: list[float] = []

    def after_frame(self, measures: dict[str, _Measures]) -> None:
        """Closes the window that the frame fills."""
        if measures[INPUT].window.frames == self._length:
            self.close(measures)

    def close(self, measures: dict[str, _Measures]) -> None:
        """Closes the window here: the clip ends, or something happens that a window must not hold."""
        frames = measures[INPUT].window.frames
        if frames > 1 and (not self.shares or 2 * frames >= self._length):
            pixels = measures[INPUT].window.still()
            self.shares.append(float(pixels.mean()))
            for measured in measures.values():
                measured.close(pixels)
        for measured in measures.values():
            measured.window = Window()


def judge_clip(clip: Clip, methods: dict[str, Method]) -> list[dict[str, object]]:
    """Rows of a rendered clip."""
    measures = {method: _Measures() for method in (*methods, INPUT)}
    windows = _Windows(max(2, round(WINDOW_SECONDS * clip.fps)))
    last: dict[str, Lit] = {}
    errors: dict[str, np.ndarray] = {}
    #: The frame before a switched light, and the number of the first frame after it.
    switched: tuple[int, dict[str, Lit]] | None = None
    seen: deque[np.ndarray] = deque(maxlen=BEHIND_FRAMES + 1)
    for number, view in enumerate(clip):
        image = view.image
        results = {method: run(image) for method, run in methods.items()}
        # A window that holds a cut or a switched light would measure these.
        if number in clip.cuts or number in clip.switches:
            windows.close(measures)
        if number in clip.cuts:
            seen.clear()
            errors.clear()
            for measured in measures.values():
                measured.previous = None
        measures[INPUT].add(image, image)
        things = objects(view)
        if things is not None:
            seen.append(things)
        band = behind(seen) & view.mask if seen else np.zeros(view.mask.shape, bool)
        lit: dict[str, Lit] = {}
        for method, result in results.items():
            measured = measures[method]
            measured.add(image, result.albedo)
            # Of light that no matt surface throws back, a highlight for instance, the product leaves none out.
            light = image / np.maximum(view.albedo, LEAST_ALBEDO)
            lit[method] = Lit(image, result.shading, light, view.mask)
            measured.mean("albedo_lmse", lmse(result.albedo, view.albedo, view.mask))
            measured.mean("shading_lmse", lmse(result.shading, view.total_shading, view.mask))
            error = albedo_error(result.albedo, view.albedo, view.mask)
            if method in errors:
                pair = [last[method].image, image], [errors[method], error], [last[method].mask, view.mask]
                measured.mean("carried_change", carried_change(*pair))
            size, rest = np.abs(error).mean(axis=2), view.mask & ~band
            measured.band.append((float(size[band].sum()), int(band.sum()), float(size[rest].sum()), int(rest.sum())))
            errors[method] = error
        windows.after_frame(measures)
        if number in clip.cuts and number and "fixed noise" in results:
            alone = np.log(results["fixed noise"].albedo)
            for method, result in results.items():
                measures[method].mean("drag", float(np.abs(np.log(result.albedo) - alone)[view.mask].mean()))
        if number in clip.switches:
            switched = number, last
            for method in results:
                measures[method].response.append([])
        elif number in clip.cuts | clip.light_changes or (switched and number - switched[0] == RESPONSE_FRAMES):
            switched = None
        if switched:
            for method, frame in lit.items():
                measures[method].response[-1].append(light_response(switched[1][method], frame))
        last = lit
    windows.close(measures)
    return _rows(clip.name, len(clip.frames), windows, measures)


def _rows(name: str, frames: int, windows: _Windows, measures: dict[str, _Measures]) -> list[dict[str, object]]:
    """One for each method; with how its deviation compares with the input's where enough of the clip is still."""
    share = float(np.mean(windows.shares)) if windows.shares else 0.0
    rows: list[dict[str, Any]] = [
        {"clip": name, "frames": frames, "still_share": share, "method": method, **measured.row()}
        for method, measured in measures.items()
    ]
    (base,) = [row for row in rows if row["method"] == INPUT]
    if share < LEAST_STILL or "deviation" not in base:
        return rows
    for row in rows:
        steady = True
        for column, (factor, least) in (("deviation", DEVIATION_LIMIT), ("frame_to_frame", STEP_LIMIT)):
            if base[column]:
                row[f"{column}_over_input"] = row[column] / base[column]
            steady &= row[column] <= max(factor * base[column], least)
        row["steady"] = "yes" if steady else "no"
    return rows


def judge_chunk(path: Path, model: Decomposer) -> dict[str, object]:
    """Row that says whether a chunk is the same bytes as those frames of the whole shot: the run that begins where a
    chunk has to, `LOOK_BACK` frames before it, against the run from the first frame. Raises InputError for a short clip."""
    chunk, size = LOOK_BACK + 1, 8
    begin = TemporalFilter.resume_from(chunk)
    with VideoReader(path) as reader:
        frames = [frame.pixels for frame in itertools.islice(reader, chunk + size)]
    if len(frames) < chunk + 1:
        raise InputError(path, f"{len(frames)} frames", f"at least {chunk + 1} for --chunk")
    whole, alone = (_last(model, frames, first, chunk) for first in (0, begin))
    return {"clip": path.stem, "chunk": chunk, "read_from": begin, "chunk_frames": size, "same_bytes": whole == alone}


def _last(model: Decomposer, frames: list[np.ndarray], first: int, chunk: int) -> list[bytes]:
    """Both layers of the frames from `chunk` on, in a run that begins at frame `first`."""
    given = (Context(frame) if number < chunk else frame for number, frame in enumerate(frames[first:], first))
    return [result.albedo.tobytes() + result.shading.tobytes() for result in model.stream(given, first_frame=first)]


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
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="rows beside the input's (default: all)"
    )
    parser.add_argument("--bundle", metavar="small|PATH", help="model bundle (default: the best shipped)")
    parser.add_argument("--steps", type=int, default=2, help="Euler steps (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the start noise (default: 0)")
    parser.add_argument(
        "--resolution", type=int, default=DEFAULT_RESOLUTION, help="working short side (default: %(default)s)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="cpu", help="what runs the networks (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the physical cores)")
    parser.add_argument("--chunk", action="store_true", help="compare a chunk of the first VIDEO with the whole, in bytes")
    parser.add_argument("--speed", action="store_true", help="time each stage alone and the pipeline, on the first VIDEO")
    parser.add_argument(
        "--made",
        nargs="+",
        type=_size,
        default=[],
        metavar="WIDTHxHEIGHT",
        help="--speed on clips of these sizes made for it",
    )
    parser.add_argument("--frames", type=int, metavar="N", help="of --speed (default: 60)")
    parser.add_argument(
        "--hardware-codecs",
        action="store_true",
        help="--speed also by NVDEC and NVENC, and on the GPU without codecs and copies; or why not",
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
    if args.frames is not None and args.frames < 1:
        parser.error(f"argument --frames: found {args.frames}, expected at least 1")
    if args.chunk and not args.videos:
        parser.error("argument --chunk: expected a VIDEO")
    if args.speed and not args.videos and not args.made:
        parser.error("argument --speed: expected a VIDEO or --made")
    check_writable(args.json, args.report and args.report / "video.json")
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

    def methods() -> dict[str, Method]:
        return {name: run for name, run in build_methods(bundle, **options).items() if name in args.methods}

    for path in args.videos:
        rows += judge_video(path, methods(), start=args.start, seconds=args.seconds)
    for clip in read_clips(args.clip) if args.clip else ():
        rows += judge_clip(clip, methods())
    if args.chunk:
        load = {name: options[name] for name in ("steps", "seed", "resolution", "threads")}
        with Decomposer.load(bundle, args.backend, **load) as model:
            rows.append(judge_chunk(args.videos[0], model))
    if args.speed or args.made or args.memory:
        from intrinsic_flow.benchmarks.videos import speed as video_speed

        measured = {"count": args.frames, "hardware": args.hardware_codecs}
        if args.speed and args.videos:
            rows += video_speed.stages(args.videos[0], bundle, **options, **measured)
        for size in args.made:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"made-{size[0]}x{size[1]}.mp4"
                video_speed.texture_clip(path, size, args.frames or video_speed.FRAMES)
                rows += video_speed.stages(path, bundle, **options, **measured)
        if args.memory:
            rows += video_speed.memory(bundle, args.backend)
    smaller = {"resolution": min(args.resolution, PREVIEW_RESOLUTION)}
    return [{**row, **common, **(smaller if row.get("method") == PREVIEW else {})} for row in rows]


if __name__ == "__main__":
    sys.exit(main())
