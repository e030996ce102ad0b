"""The methods that a quality report compares: a model bundle, colour Retinex and the trivial answers."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, Layers, Method
from intrinsic_flow.benchmarks.scoring.oracle import Oracle
from intrinsic_flow.benchmarks.scoring.retinex import THRESHOLDS, Thresholds, color_retinex
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.decomposition.bundle import MANIFEST, Bundle
from intrinsic_flow.decomposition.decomposer import DEFAULT_RESOLUTION, Decomposer
from intrinsic_flow.errors import InputError, MissingExtraError

METHODS = ("flow", "retinex", "trivial")
# Of a training run (`intrinsic_flow.train.checkpoint`, which needs torch).
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class MethodOptions:
    """Which methods run, and with what settings; travels to worker processes instead of loaded models.

    bundle: of the flow; or run: a folder of train.flow, by PyTorch on the CPU. oracle: whether the flow's answers come with
    those that are told the truth (`benchmarks/scoring/oracle.py`).
    """

    dataset: str
    methods: tuple[str, ...]
    bundle: Bundle | None
    steps: int
    resolution: int
    seed: int
    threads: int | None
    backend: str = "cpu"
    run: Path | None = None
    oracle: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace, dataset: str, **more: Any) -> Self:
        """What `add_options` has parsed. Raises InputError for a bad bundle."""
        flow, run = "flow" in args.methods, Path(args.bundle) if args.bundle else None
        if run and not (flow and (run / CHECKPOINT).is_file() and not (run / MANIFEST).is_file()):
            run = None  # a bundle's folder or name
        return cls(
            dataset=dataset,
            methods=tuple(name for name in METHODS if name in args.methods),
            bundle=Bundle.load(args.bundle) if flow and run is None else None,
            steps=args.steps,
            resolution=args.resolution,
            seed=args.seed,
            threads=None if args.workers == 1 else 1,
            run=run,
            **more,
        )

    @contextmanager
    def as_it_stands(self) -> Iterator[Self]:
        """The same with a copy of a run's checkpoint, for as long as the context: training that goes on beside it replaces
        the run's, and models are loaded more than once, for each set of pictures and in each process.
        """
        if self.run is None:
            yield self
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / self.run.resolve().name
            copy.mkdir()
            shutil.copy2(self.run / CHECKPOINT, copy)
            yield replace(self, run=copy)

    @property
    def thresholds(self) -> dict[str, Thresholds]:
        """Those of each Retinex by its name. On a set that has thresholds of its own, tuned on what they are scored on,
        "retinex untuned" runs beside it with those of our training shards; on others that is "retinex".
        """
        untuned = THRESHOLDS["shards"]
        tuned = THRESHOLDS.get(self.dataset, untuned)
        return {"retinex": tuned} if tuned == untuned else {"retinex": tuned, "retinex untuned": untuned}

    def build(self) -> dict[str, Method]:
        """Name -> method, in the report's order. Raises MissingExtraError where ONNX Runtime is missing, InputError for an
        unusable run.
        """
        built: dict[str, Method] = {}
        if "flow" in self.methods:
            model = _model(self)
            built["flow"] = partial(_decompose, model=model)
            if self.oracle:
                built["oracle"] = Oracle(model)
        if "retinex" in self.methods:
            built |= {name: partial(color_retinex, thresholds=thresholds) for name, thresholds in self.thresholds.items()}
        if "trivial" in self.methods:
            built |= TRIVIAL
        return built

    def settings(self) -> dict[str, dict[str, object]]:
        """What a row of a method's says about how it ran."""
        settings: dict[str, dict[str, object]] = {
            name: {"thresholds": vars(thresholds)} for name, thresholds in self.thresholds.items()
        }
        if self.bundle or self.run:
            made: dict[str, object] = {}
            if self.bundle:
                made = {"bundle": self.bundle.name, "source": self.bundle.manifest["source"]}
            elif self.run:
                # Its scores are those of the checkpoint that it last saved.
                made = {"bundle": self.run.name, "checkpoint": (self.run / CHECKPOINT).stat().st_mtime_ns}
            settings["flow"] = made | {"steps": self.steps, "resolution": self.resolution, "seed": self.seed}
            settings["flow"]["backend"] = self.backend
        return settings


def add_options(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """The options of whatever scores methods. methods: by default."""
    shown = "all" if list(methods) == list(METHODS) else " ".join(methods)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(methods), help=f"what to score (default: {shown})"
    )
    parser.add_argument(
        "--bundle",
        metavar="small|PATH",
        help="model bundle of the flow method, or a folder of train.flow (default: the best shipped)",
    )
    parser.add_argument("--steps", type=at_least(1), default=2, help="Euler steps of the flow (default: 2)")
    parser.add_argument(
        "--resolution",
        type=at_least(32),
        default=DEFAULT_RESOLUTION,
        help=f"working short side of the flow (default: {DEFAULT_RESOLUTION}); scores are at the protocol's size",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of the flow's start noise (default: 0)")
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes, each with its own model (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and the environment as JSON")


def _model(options: MethodOptions) -> Decomposer:
    if options.run:
        return _trained(options, options.run)
    return Decomposer.load(
        options.bundle,
        options.backend,
        steps=options.steps,
        seed=options.seed,
        resolution=options.resolution,
        threads=options.threads,
    )


def _trained(options: MethodOptions, run: Path) -> Decomposer:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None
    from intrinsic_flow.benchmarks.scoring.torch_backend import open_run
    from intrinsic_flow.train.checkpoint import CheckpointError

    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        (model,) = open_run(run, "cpu")
    except CheckpointError as error:
        raise InputError(run, str(error), "a run of train.flow") from None
    return Decomposer(model.bundle, model.backend, steps=options.steps, seed=options.seed, resolution=options.resolution)


def _decompose(image: np.ndarray, mask: np.ndarray, model: Decomposer) -> Layers:
    result = model.decompose(image)
    return Layers(result.albedo, result.shading)
