"""The mean of a training run's weights and another's, as a run that exports and scores like any other.

    python -m train.mean runs/adversarial runtime/models/small -o runs/half
    python -m train.mean runs/adversarial runtime/models/small --share 0.7 -o runs/most
    python -m benchmarks.measures --bundle runs/half --eval PICTURES --shards val-00000.tar

Where one run started from the other, what lies between their weights is a model too, often a better one than either
(Wortsman et al. 2022, "Model soups"). RUN is a folder of train.flow; OTHER one too, or a model bundle. The mean is of the
averaged weights; what the optimizer knew is left behind: the run is to export, to score or to --init from, not to --resume.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from intrinsic_flow.cli.option_types import number
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.errors import InputError
from intrinsic_flow.train.checkpoint import CheckpointError, load_checkpoint, load_initial_weights, write_run


def mean_weights(run: Path, other: Path, share: float) -> dict:
    """The state of `run` whose averaged weights are share x its own + (1 - share) x those of `other`.

    Raises CheckpointError if one cannot be read or they are of different networks.
    """
    state, others = load_checkpoint(run, "flow"), load_initial_weights(other)
    weights = state["ema"]["model"]
    unfit = [name for name in weights if name not in others or others[name].shape != weights[name].shape]
    unfit += [name for name in others if name not in weights]
    if unfit:
        raise CheckpointError(f"{other}: found {len(unfit)} weights that {run} has not alike, expected the same network")
    mean = {name: share * value + (1 - share) * others[name] for name, value in weights.items()}
    kept = {name: state[name] for name in ("stage", "network", "training", "step", "seconds")}
    return kept | {"ema": state["ema"] | {"model": mean}}


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("train.mean", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder of train.flow")
    parser.add_argument("other", type=Path, metavar="OTHER", help="another run, or a model bundle")
    parser.add_argument("--share", type=number(0, 1), default=0.5, help="of RUN in the mean, 0 to 1 (default: 0.5)")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER", help="the new run folder")
    return parser


@program("train.mean", CheckpointError)
def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 written, 1 a run or bundle cannot be used, 2 wrong usage."""
    args = build_parser().parse_args(argv)
    if args.output.exists():
        raise InputError(args.output, "something that is there", "a new folder")
    write_run(args.output, mean_weights(args.run, args.other, args.share))
    return 0


if __name__ == "__main__":
    sys.exit(main())
