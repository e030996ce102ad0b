"""Finds the thresholds of colour Retinex that score best on a data set: a grid search over both.

    python -m benchmarks.tune_retinex --dataset mit --data MIT_FOLDER
    python -m benchmarks.tune_retinex --dataset shards --data DATA/train-00000.tar --every 20

Best means the lowest mean over views of (albedo LMSE + shading LMSE) / 2, the score of Grosse et al. (ICCV
2009). Also prints the leave-one-out score, where each view is judged with the thresholds that are best on the
others. The values in `intrinsic_flow.benchmarks.scoring.retinex.THRESHOLDS` come from this command.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.scoring.datasets import DENSE_DATASETS, Sample
from intrinsic_flow.benchmarks.scoring.metrics import lmse
from intrinsic_flow.benchmarks.scoring.retinex import PoissonSolver, Thresholds, color_retinex
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.train.data.shards import ShardError

CHROMATICITY = (0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6)


def score_grid(sample: Sample) -> np.ndarray:
    """(len(CHROMATICITY), len(BRIGHTNESS)) mean of albedo and shading LMSE of one sample."""
    solver = PoissonSolver(sample.mask)
    scores = np.empty((len(CHROMATICITY), len(BRIGHTNESS)))
    for row, column in np.ndindex(scores.shape):
        layers = color_retinex(sample.image, sample.mask, Thresholds(CHROMATICITY[row], BRIGHTNESS[column]), solver)
        errors = [lmse(getattr(layers, name), getattr(sample, name), sample.mask) for name in ("albedo", "shading")]
        scores[row, column] = np.mean(errors)
    return scores


def leave_one_out(scores: np.ndarray) -> float:
    """(N, rows, columns) scores of N >= 2 views -> the mean score of views at the others' best setting."""
    flat = scores.reshape(len(scores), -1)
    best = np.argmin(flat.sum(0) - flat, axis=1)
    return float(flat[np.arange(len(flat)), best].mean())


@program("benchmarks.tune_retinex", ShardError)
def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the data cannot be used, 2 wrong usage."""
    parser = command_parser("benchmarks.tune_retinex", __doc__)
    parser.add_argument("--dataset", required=True, choices=sorted(DENSE_DATASETS), help="which data set the folder holds")
    parser.add_argument("--data", required=True, type=Path, metavar="PATH", help="as in benchmarks.quality")
    parser.add_argument("--every", type=at_least(1), default=1, metavar="N", help="use every N-th view (default: 1)")
    args = parser.parse_args(arguments)
    samples = itertools.islice(DENSE_DATASETS[args.dataset](args.data), 0, None, args.every)
    scores = np.stack([score_grid(sample) for sample in samples if sample.usable])
    mean = scores.mean(0)
    print("rows: chromaticity threshold, columns: brightness threshold, cells: mean LMSE of albedo and shading")
    print(" " * 6 + "".join(f"{value:8.3f}" for value in BRIGHTNESS))
    for value, cells in zip(CHROMATICITY, mean, strict=True):
        print(f"{value:6.3f}" + "".join(f"{cell:8.4f}" for cell in cells))
    row, column = np.unravel_index(np.argmin(mean), mean.shape)
    best = f"chromaticity {CHROMATICITY[row]}, brightness {BRIGHTNESS[column]}"
    print(f"best of {len(scores)} views: {best}: {mean.min():.4f}")
    if len(scores) > 1:
        print(f"leave-one-out: {leave_one_out(scores):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
