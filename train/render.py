"""Render training scenes with ground truth: albedo, and shading and residual of every light group, path traced on the CPU.

    python -m train.render -o data/renders --views 500
    python -m train.render -o data/renders --views 2000 --assets assets --workers 8 --preview data/renders.png
    python -m train.render -o data/clips --views 0 --clips 2 --frames 48 --size 384x256

Rooms, tabletops, streets, people, scanned things, walls under hard shadows and more are drawn from seeds (every sixteenth
seed is a validation scene), so the same seeds give the same views, and a stopped run goes on where it was. Shards appear
as they fill up; `python -m train.inspect_shards` reads them. Needs the extra [render] and an LLVM library of version 17 or
newer (Debian and Ubuntu: libllvm19).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

from intrinsic_flow.cli.option_types import at_least, number
from intrinsic_flow.cli.progress import Counter as ProgressCounter
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import DONE, command_parser
from intrinsic_flow.train.data.preparation import Outcome, finish, open_staging, publish, resumable
from intrinsic_flow.train.data.shard_writer import SHARD_BYTES, SPLITS, Staging
from intrinsic_flow.train.rendering.tracing.llvm import LlvmError, find_library
from intrinsic_flow.train.rendering.tracing.quality import BUCKETS, Quality
from intrinsic_flow.train.rendering.worker import ClipJob, SceneJob, start
from intrinsic_flow.train.rendering.world.generate import KINDS
from intrinsic_flow.train.rendering.world.motion import CLIP_KINDS
from intrinsic_flow.train.worker_pool import JobFailed, PoolError, WorkerPool

# A scene of 256x256 takes seconds, and minutes on a machine that many share; anything longer hangs.
_SECONDS_A_VIEW = 300
_MOST_PIXELS = 2048 * 2048
_SAMPLES_STEP = BUCKETS * Quality.enlargement**2
# So many scenes in a row do not fail by chance.
_MOST_FAILURES = 8


def _size(text: str) -> tuple[int, int]:
    """`256` or `WIDTHxHEIGHT` -> (height, width)."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a side (256) or WIDTHxHEIGHT (768x512)")
    width, height = int(parts[0]), int(parts[-1])
    if min(width, height) < 32 or width * height > _MOST_PIXELS:
        raise argparse.ArgumentTypeError(f"{text}, expected sides of at least 32 and at most {_MOST_PIXELS} pixels")
    return height, width


_size.__name__ = "size"


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("train.render", __doc__)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder of the shards")
    parser.add_argument("--views", type=at_least(0), default=500, help="views that the folder shall hold (default: 500)")
    parser.add_argument("--views-per-scene", type=at_least(1), default=3, help="views of one scene at most (default: 3)")
    parser.add_argument("--relights", type=at_least(0), default=0, help="render each view again under so many other lights")
    parser.add_argument("--clips", type=at_least(0), default=0, help="clips that the folder shall hold (default: 0)")
    parser.add_argument(
        "--clip-kinds", nargs="+", choices=CLIP_KINDS, default=[], help="only clips of these kinds (default: all, in turn)"
    )
    parser.add_argument("--frames", type=at_least(1), default=48, help="frames of a clip (default: 48)")
    parser.add_argument("--fps", type=float, default=24.0, help="frames per second that a clip stands for (default: 24)")
    parser.add_argument("--size", type=_size, default=(256, 256), help="side, or WIDTHxHEIGHT, in pixels (default: 256)")
    parser.add_argument(
        "--large-share",
        type=number(0, 1),
        default=0.0,
        metavar="SHARE",
        help="share of the scenes at twice the size, with hard shadows and fine print (default: 0)",
    )
    parser.add_argument(
        "--samples",
        type=at_least(1),
        default=Quality.samples,
        help=f"paths a pixel and pass, a multiple of {_SAMPLES_STEP} (default: %(default)s)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=Quality.noise,
        help="a second pass is added above this noise (default: %(default)s)",
    )
    parser.add_argument(
        "--assets",
        type=Path,
        metavar="DIR",
        help="folder to draw from too (docs/scenes.md: hdri/, textures/, people/, ...)",
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=list(KINDS), default=[], help="only these kinds of scenes (default: all)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="first scene seed (default: 0)")
    parser.add_argument("--workers", type=at_least(1), default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--preview", type=Path, metavar="FILE.png", help="draw a contact sheet of the folder at the end")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _scene_jobs(staging: Staging, arguments: argparse.Namespace, made: Counter[str]) -> Iterator[SceneJob]:
    """Seeds that are not done, until there are views enough."""
    seed = arguments.seed
    while made["views"] < arguments.views:
        kinds = tuple(arguments.kinds)
        job = SceneJob(seed, arguments.views_per_scene, arguments.relights, kinds, arguments.large_share)
        if not staging.is_done(job.split, job.unit):
            yield job
        seed += 1


def _clip_jobs(staging: Staging, arguments: argparse.Namespace, made: Counter[str]) -> Iterator[ClipJob]:
    """Clips of all kinds in turn, until there are enough."""
    seed = arguments.seed
    while made["clips"] < arguments.clips:
        kinds = arguments.clip_kinds or CLIP_KINDS
        job = ClipJob(seed, kinds[seed % len(kinds)], arguments.frames, arguments.fps, tuple(arguments.kinds))
        if not staging.is_done(job.split, job.unit):
            yield job
        seed += 1


def _render(staging: Staging, arguments: argparse.Namespace, progress: Progress) -> Counter[str]:
    """Render until the folder holds what was asked for; returns what was left out, by reason."""
    quality = Quality(samples=arguments.samples, noise=arguments.noise).at(*arguments.size)
    counts = staging.counts()
    made = Counter(views=counts["train"].views + counts["val"].views, clips=counts["clip"].units)
    if made["views"] or made["clips"]:
        progress.log(f"{staging.folder}: holds {made['views']} views and {made['clips']} clips already")
    left_out: Counter[str] = Counter()
    left = max(0, arguments.views - made["views"]) + arguments.frames * max(0, arguments.clips - made["clips"])
    counter = ProgressCounter(progress, "rendered", left, "views")
    longest = max(arguments.frames if arguments.clips else 0, arguments.views_per_scene * (1 + arguments.relights))
    pixels = arguments.size[0] * arguments.size[1] * (4 if arguments.large_share else 1)
    timeout = _SECONDS_A_VIEW * longest * max(1.0, pixels / 65536)
    waiting = failures = 0
    begun, fresh = time.monotonic(), 0
    start_arguments = (arguments.assets, quality, 0)
    jobs: Iterator[SceneJob | ClipJob] = chain(_clip_jobs(staging, arguments, made), _scene_jobs(staging, arguments, made))
    with (
        WorkerPool(start, start_arguments, arguments.workers, timeout) as pool,
        closing(pool.run(jobs)) as results,
    ):
        for job, result in results:
            if isinstance(result, JobFailed):
                progress.error(f"failed: scene {job.seed}: {result.reason}; left out")
                staging.add(job.split, job.unit, [], f"failed: {result.reason}")
                left_out["failed scene"] += 1
                failures += 1
                if failures == _MOST_FAILURES:
                    raise PoolError(f"found {failures} failed scenes in a row, expected most to render")
                continue
            failures = 0
            reasons = ", ".join(f"{count} {reason}" for reason, count in result.rejected.items())
            staging.add(job.split, job.unit, result.views, reasons or "gave no view")
            left_out.update(result.rejected)
            if isinstance(job, SceneJob):
                made["views"] += len(result.views)
            else:
                made["clips"] += bool(result.views)
            fresh += len(result.views)
            for _ in result.views:
                counter.advance()
            waiting += sum(len(content) for _, members in result.views for content in members.values())
            if waiting > SHARD_BYTES:
                for split in SPLITS:
                    publish(staging, split, final=False)
                waiting = 0
    progress.show("")
    minutes = (time.monotonic() - begun) / 60
    if fresh:
        workers = f"{arguments.workers} process{'es' if arguments.workers > 1 else ''}"
        progress.log(f"rendered {fresh} views in {minutes:.1f} min with {workers}: {fresh / minutes:.0f} a minute")
    return left_out


@resumable(LlvmError)
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 nothing could be rendered, 2 wrong usage or no renderer, 130 interrupted."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    progress = Progress(quiet=arguments.quiet)
    if arguments.samples % _SAMPLES_STEP:
        parser.error(f"argument --samples: found {arguments.samples}, expected a multiple of {_SAMPLES_STEP}")
    find_library()
    height, width = arguments.size
    settings = {
        "size": f"{width}x{height}",
        "views_per_scene": arguments.views_per_scene,
        "relights": arguments.relights,
        "samples": arguments.samples,
        "noise": arguments.noise,
        "assets": arguments.assets is not None,
        **({"large_share": arguments.large_share} if arguments.large_share else {}),
        **({"kinds": sorted(arguments.kinds)} if arguments.kinds else {}),
    }
    staging = open_staging(arguments.output, "render", settings)
    try:
        left_out = _render(staging, arguments, progress)
    finally:
        # What is done is worth a shard, also after Ctrl-C.
        for split in SPLITS:
            publish(staging, split, final=True)
    status = finish(staging, Outcome(rejected=left_out), progress, "views")
    if arguments.preview and status == DONE:
        from intrinsic_flow.train.data.contact_sheet import write_sheet

        write_sheet(staging.folder, arguments.preview)
        progress.log(f"contact sheet: {arguments.preview}")
    return status


if __name__ == "__main__":
    sys.exit(main())
