"""Working resolutions and upsamplers on pictures with ground truth at their full size.

    python -m benchmarks.resolution --dataset shards --data val-1024-00000.tar --report out
    python -m benchmarks.resolution --dataset mit --data MIT_FOLDER --resolutions 256 384

Every working resolution with the bundle's guided upsampler and with bilinear interpolation of the same log-shading. LMSE
has windows of 1/13 of the short side (20 pixels at 256), so that pictures of any size compare. `edge error` is the root
mean square of the log-shading's error within two pixels of the true shading's strong edges, after the best scale there:
what a blurred shadow costs. `ms` is a whole decomposition.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.backends import open_backend
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.benchmarks.report import Strip, environment, grid, strip, write_json, write_png
from intrinsic_flow.benchmarks.scoring.baselines import Layers
from intrinsic_flow.benchmarks.scoring.datasets import DENSE_DATASETS, Sample
from intrinsic_flow.benchmarks.scoring.metrics.layers import lmse, ssim
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import check_writable
from intrinsic_flow.train.data.shards import ShardError

RESOLUTIONS = (256, 384, 512)
UPSAMPLERS = ("guided", "bilinear")
GRID_ROWS = 6
EDGE_STEP = 0.35
_LEAST = 1e-4


class BilinearBackend(Backend):
    """A backend whose upsampler interpolates log-shading linearly instead of fitting it to the image."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.name = backend, backend.name

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph != "upsampler":
            return self._backend.run(graph, feeds)
        log_shading, image, (first, rows) = feeds["log_shading"][0], feeds["image"], feeds["rows"]
        width, top, count = image.shape[3], int(first), image.shape[2]
        whole = cv2.resize(log_shading.transpose(1, 2, 0), (width, int(rows)), interpolation=cv2.INTER_LINEAR)
        return {"shading": np.exp(whole[top : top + count]).transpose(2, 0, 1)[None]}

    def describe(self) -> str:
        return self._backend.describe()

    def close(self) -> None:
        self._backend.close()


def shading_edges(shading: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) true shading -> (H, W) bool, pixels within two of a step of more than EDGE_STEP in log-luminance."""
    log = np.log(np.maximum(cv2.cvtColor(shading.astype(np.float32), cv2.COLOR_RGB2GRAY), _LEAST))
    steps = cv2.dilate(log, np.ones((3, 3))) - cv2.erode(log, np.ones((3, 3)))
    inside = cv2.erode(mask.astype(np.uint8), np.ones((7, 7))).astype(bool)
    return cv2.dilate((steps > EDGE_STEP).astype(np.uint8), np.ones((5, 5))).astype(bool) & inside


def edge_error(prediction: np.ndarray, truth: np.ndarray, edges: np.ndarray) -> float | None:
    """See the module; None where a picture has hardly any edge."""
    if edges.sum() < 50:
        return None
    error = np.log(np.maximum(prediction[edges], _LEAST)) - np.log(np.maximum(truth[edges], _LEAST))
    return float(np.sqrt(((error - np.median(error)) ** 2).mean()))


def judge(sample: Sample, model: Decomposer) -> tuple[dict[str, float | None], Layers]:
    """Scores of one picture, and the layers."""
    begun = time.perf_counter()
    result = model.decompose(sample.image)
    seconds = time.perf_counter() - begun
    window = max(8, round(min(sample.mask.shape) * 20 / 256))
    options = {"window": window, "stride": max(1, window // 2)}
    albedo, shading = sample.dense()
    scores = {
        "albedo_lmse": lmse(result.albedo, albedo, sample.mask, **options),
        "shading_lmse": lmse(result.shading, shading, sample.mask, **options),
        "albedo_ssim": ssim(result.albedo, albedo, sample.mask),
        "shading_ssim": ssim(result.shading, shading, sample.mask),
        "edge_error": edge_error(result.shading, shading, shading_edges(shading, sample.mask)),
        "ms": 1e3 * seconds,
    }
    return scores, Layers(result.albedo, result.shading)


def measure(
    samples: Sequence[Sample], bundle: Bundle, resolutions: Sequence[int], *, threads: int | None = None
) -> tuple[list[dict[str, object]], list[Strip]]:
    """Rows for every upsampler and resolution, and rows of the picture grid for the first GRID_ROWS samples."""
    backend = open_backend(bundle, "cpu", threads=threads)
    backends = {"guided": backend, "bilinear": BilinearBackend(backend)}
    shown: list[dict[str, Layers]] = [{} for _ in samples[:GRID_ROWS]]
    rows: list[dict[str, object]] = []
    for resolution, upsampler in itertools.product(resolutions, UPSAMPLERS):
        model = Decomposer(bundle, backends[upsampler], resolution=resolution)
        scores = []
        for number, sample in enumerate(samples):
            values, layers = judge(sample, model)
            scores.append(values)
            if number < GRID_ROWS:
                shown[number][f"{upsampler} {resolution}"] = layers
        means = {name: _mean([values[name] for values in scores]) for name in scores[0]}
        rows.append({"upsampler": upsampler, "resolution": resolution, "n": len(samples), **means})
        print(f"{upsampler} at {resolution}: done", file=sys.stderr, flush=True)
    backend.close()
    return rows, [strip(sample, layers) for sample, layers in zip(samples, shown)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a Markdown table."""
    scores = ("albedo_lmse", "shading_lmse", "albedo_ssim", "shading_ssim", "edge_error")
    titles = [
        "working resolution",
        "upsampler",
        *(name.replace("_", " ").replace("lmse", "LMSE") for name in scores),
        "ms",
        "n",
    ]
    lines = ["| " + " | ".join(titles).replace("ssim", "SSIM") + " |", "|---|---|" + "---:|" * (len(scores) + 2)]
    for row in rows:
        numbers = ["" if row[name] is None else f"{row[name]:.4f}" for name in scores]
        lines.append(f"| {row['resolution']} | {row['upsampler']} | {' | '.join(numbers)} | {row['ms']:.0f} | {row['n']} |")
    return "\n".join(lines)


@program("benchmarks.resolution", ShardError, ValueError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured, 1 the data or the bundle cannot be used, 2 wrong usage."""
    parser = command_parser("benchmarks.resolution", __doc__)
    parser.add_argument(
        "--dataset", required=True, choices=sorted(DENSE_DATASETS), help="kind of pictures with ground truth"
    )
    parser.add_argument("--data", required=True, type=Path, metavar="PATH", help="as in benchmarks.quality")
    parser.add_argument(
        "--resolutions", nargs="+", type=at_least(32), default=list(RESOLUTIONS), help="working short sides"
    )
    parser.add_argument("--bundle", metavar="small|PATH", help="model bundle (default: the best shipped)")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="only the first N pictures")
    parser.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: the physical cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and environment")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write resolution.json and grid.png into this folder")
    args = parser.parse_args(arguments)
    check_writable(args.json, args.report and args.report / "resolution.json")
    dataset = DENSE_DATASETS[args.dataset](args.data)
    samples = [sample for sample in itertools.islice(dataset, args.limit) if sample.usable]
    if not samples:
        raise InputError(args.data, "no usable picture", "pictures with ground truth")
    bundle = Bundle.load(args.bundle)
    rows, strips = measure(samples, bundle, args.resolutions, threads=args.threads)
    print(table(rows))
    common = {
        "dataset": dataset.name,
        "bundle": bundle.name,
        "picture": f"{samples[0].mask.shape[1]}x{samples[0].mask.shape[0]}",
    }
    report = {"environment": environment(), "rows": [{**common, **row} for row in rows]}
    if args.json:
        write_json(args.json, report)
    if args.report:
        write_json(args.report / "resolution.json", report)
        write_png(args.report / "grid.png", grid(strips))
    return 0


if __name__ == "__main__":
    sys.exit(main())
