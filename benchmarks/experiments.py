"""Trains a list of configurations, each with one change, under one budget, and puts their scores side by side.

    python -m benchmarks.experiments --table train/recipes/experiments/flow.yaml --set data=SHARDS vae=runs/vae \\
        perceptual_weights=SQUEEZENET -o runs/experiments --shards SHARDS --mit MIT
    python -m benchmarks.experiments --table experiments.yaml -o runs/experiments --only "linear input" --limit 40

The table is a YAML file:

    stage: flow                             # or vae
    recipe: train/recipes/flow_cpu.yaml     # options of the stage's command; left out: its defaults
    options: {data: SHARDS, vae: runs/vae, time_limit: 20m}     # for every experiment
    experiments:
      - name: base
        expect: what the others are compared with
      - name: linear input
        expect: worse where it is dark
        change: {input_encoding: linear}
      - name: four steps
        of: base                            # the same run, sampled otherwise
        steps: 4

Runs lie in OUTPUT/NAME. What is there already is not trained or scored again, and a run that was cut short goes on, so
after an interruption the same command continues. OUTPUT gets experiments.md, the table that is printed, and
experiments.json. Spread: standard deviation of the albedo (linear, 0 to 1) over start noises, root mean square.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from intrinsic_flow.benchmarks.report import environment, write_json, write_text
from intrinsic_flow.benchmarks.scoring.baselines import Layers
from intrinsic_flow.benchmarks.scoring.datasets import Sample
from intrinsic_flow.benchmarks.scoring.protocols import BENCHMARKS, Protocol, Record
from intrinsic_flow.benchmarks.scoring.torch_backend import open_run
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.train import flow, vae
from intrinsic_flow.train.checkpoint import CHECKPOINT, CheckpointError
from intrinsic_flow.train.config import ConfigError, FlowConfig, TrainingConfig, VaeConfig, config_from_dict, read_yaml
from intrinsic_flow.train.data.shards import ShardError
from intrinsic_flow.train.perceptual import PerceptualError
from intrinsic_flow.train.session import TrainingStopped

# The project's own protocol of the sets that experiments are scored on.
SETS = {name: BENCHMARKS[name][0] for name in ("shards", "mit")}
PROTOCOLS: dict[str, Protocol] = {name: benchmark.protocol for name, benchmark in SETS.items()}
STAGES: dict[str, type[TrainingConfig]] = {"vae": VaeConfig, "flow": FlowConfig}
FINISHED = "finished.json"
SCORED = "scores.json"
SPREAD_VIEWS = 8
SPREAD_SEEDS = 4


@dataclass(frozen=True)
class Experiment:
    """One row. change: options that differ from the table's; of: the experiment whose run is scored, by default its own;
    steps: Euler steps when it is scored; expect: what the change should do.
    """

    name: str
    expect: str = ""
    change: Mapping[str, Any] | None = None
    of: str | None = None
    steps: int = 2

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Table:
    """A checked table file: the stage, each experiment and the configuration that it trains (None: another's run)."""

    stage: str
    rows: tuple[tuple[Experiment, TrainingConfig | None], ...]


def read_table(path: Path, overrides: Mapping[str, Any] | None = None) -> Table:
    """Read and check a table, all of it before anything is trained. overrides: options that win over the table's `options`,
    but not over an experiment's change. Raises ConfigError.
    """
    values = read_yaml(path)
    if unknown := set(values) - {"stage", "recipe", "options", "experiments"}:
        raise ConfigError(f"{path}: found {sorted(unknown)}, expected stage, recipe, options and experiments")
    stage = values.get("stage")
    if stage not in STAGES:
        raise ConfigError(f"{path}: found stage {stage!r}, expected vae or flow")
    common = (read_yaml(values["recipe"]) if values.get("recipe") else {}) | (values.get("options") or {})
    common.update(overrides or {})
    known = {field.name for field in fields(Experiment)}
    rows: list[tuple[Experiment, TrainingConfig | None]] = []
    for entry in values.get("experiments") or []:
        if not isinstance(entry, dict) or "name" not in entry or set(entry) - known:
            raise ConfigError(f"{path}: found experiment {entry!r}, expected a name and some of {', '.join(sorted(known))}")
        experiment = Experiment(**entry)
        where = f"{path}: {experiment.name}"
        if experiment.folder in {other.folder for other, _ in rows}:
            raise ConfigError(f"{where}: found its name twice, expected one folder for each experiment")
        if experiment.of is None:
            rows.append((experiment, config_from_dict(STAGES[stage], common | dict(experiment.change or {}), where)))
        elif experiment.change or experiment.of not in {other.name for other, config in rows if config}:
            raise ConfigError(f"{where}: found of {experiment.of!r}, expected one above it with its own run, and no change")
        else:
            rows.append((experiment, None))
    if not rows:
        raise ConfigError(f"{path}: found no experiments, expected a list of them")
    return Table(stage, tuple(rows))


def train_once(config: TrainingConfig, folder: Path) -> dict[str, Any]:
    """Train into `folder` unless it is done; returns {"step", "validation": last scores} or {"stopped": why}.

    Raises ConfigError for a folder that holds a run with other options.
    """
    saved = folder / "config.yaml"
    if saved.is_file():
        stored = read_yaml(saved)
        # A run states the precision that it chose.
        chosen = {"precision": stored.get("precision")} if config.precision == "auto" else {}
        if stored != config.to_dict() | chosen:
            raise ConfigError(f"{folder}: found a run with other options, expected this experiment's (or no folder)")
    if (folder / FINISHED).is_file():
        return json.loads((folder / FINISHED).read_text())
    print(f"--- {folder.name}", file=sys.stderr)
    # Graphs that the last experiment compiled are of no use to this one and count towards torch's limit.
    torch.compiler.reset()
    try:
        scores = _train(config, folder, resume=(folder / CHECKPOINT).is_file())
    except TrainingStopped as error:
        result: dict[str, Any] = {"stopped": str(error)}
    else:
        step = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["step"]
        result = {"step": step, "validation": scores}
    write_json(folder / FINISHED, result)
    return result


def _train(config: TrainingConfig, folder: Path, resume: bool) -> dict[str, float]:
    if isinstance(config, VaeConfig):
        return vae.train(config, folder, resume)
    assert isinstance(config, FlowConfig)
    return flow.train(config, folder, resume)


def score_run(run: Path, datasets: Mapping[str, list[Sample]], steps: int, device: str) -> dict[str, float]:
    """Scores of a train.flow run by the protocol of benchmarks.quality, and the spread over start noises.

    Keys: DATASET_LAYER_SCORE, like mit_albedo_lmse, and DATASET_spread. Views are decomposed as the runtime would.
    """
    scores: dict[str, float] = {}
    models = open_run(run, device, steps=steps, seeds=SPREAD_SEEDS)

    def method(image: np.ndarray, mask: np.ndarray) -> Layers:
        result = models[0].decompose(image)
        return Layers(result.albedo, result.shading)

    for name, samples in datasets.items():
        protocol = PROTOCOLS[name]
        records: list[Record] = []
        for sample in samples:
            records += protocol.judge(protocol.prepare(sample), {"flow": method})[0]
        for layer in ("albedo", "shading"):
            columns = protocol.combine([record for record in records if record["layer"] == layer])
            scores |= {f"{name}_{layer}_{key}": columns[key].value for key in ("lmse", "ssim", "rmse")}
        scores[f"{name}_spread"] = float(np.mean([spread(models, sample) for sample in samples[:SPREAD_VIEWS]]))
    return scores


def spread(models: Sequence[Decomposer], sample: Sample) -> float:
    """Standard deviation of the albedo over models that differ in their seed, root mean square over valid pixels."""
    albedos = np.stack([model.decompose(sample.image).albedo[sample.mask] for model in models])
    return float(np.sqrt(albedos.var(0).mean()))


def run_table(
    table: Table, output: Path, datasets: Mapping[str, list[Sample]], only: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Train and score, one row an experiment, in order. only: names; empty for all."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folders = {experiment.name: output / experiment.folder for experiment, _ in table.rows}
    configs = {experiment.name: config for experiment, config in table.rows if config is not None}
    scored_on = {name: [sample.name for sample in samples] for name, samples in datasets.items()}
    for experiment, _ in table.rows:
        if only and experiment.name not in only:
            continue
        run = experiment.of or experiment.name
        result = train_once(configs[run], folders[run])
        row = {"experiment": experiment.name, "change": _change(experiment), "expect": experiment.expect}
        if "stopped" in result:
            yield row | {"stopped": result["stopped"]}
            continue
        row |= {"step": result["step"], **{f"validation_{k}": v for k, v in result["validation"].items()}}
        if table.stage == "flow" and datasets:
            key = {"run": result, "steps": experiment.steps, "views": scored_on}
            file = folders[experiment.name] / SCORED
            known = json.loads(file.read_text()) if file.is_file() else {}
            if known.get("key") != key:
                known = {"key": key, "scores": score_run(folders[run], datasets, experiment.steps, device)}
                write_json(file, known)
            row |= known["scores"]
        yield row


def _change(experiment: Experiment) -> str:
    changes = [f"{name}: {value}" for name, value in (experiment.change or {}).items()]
    return ", ".join(changes + ([f"{experiment.steps} steps"] if experiment.steps != 2 else []))


COLUMNS = {
    "validation_psnr_srgb": ("VAE PSNR", ".2f"),
    "validation_albedo_psnr_srgb": ("PSNR", ".2f"),
    "validation_albedo_lmse": ("network albedo LMSE", ".4f"),
    **{
        f"{dataset}_{layer}_{score}": (f"{dataset} {layer} {score.upper()}", ".4f" if score == "lmse" else ".3f")
        for dataset in SETS
        for layer in ("albedo", "shading")
        for score in ("lmse", "ssim")
    },
    "shards_spread": ("spread", ".4f"),
    "step": ("steps", "d"),
}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table, with the columns that any of them has. PSNR is the network's alone, on validation."""
    columns = {key: column for key, column in COLUMNS.items() if any(key in row for row in rows)}
    head = ["experiment", "change", "expected", *(title for title, _ in columns.values())]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = [format(row[key], style) if key in row else "" for key, (_, style) in columns.items()]
        if "stopped" in row and cells:
            cells[0] = row["stopped"]
        lines.append("| " + " | ".join([row["experiment"], row["change"], row["expect"], *cells]) + " |")
    return "\n".join(lines)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """OPTION=VALUE, the value read as YAML. ConfigError."""
    if wrong := [setting for setting in settings if "=" not in setting]:
        raise ConfigError(f"--set: found {wrong[0]!r}, expected OPTION=VALUE")
    try:
        pairs = (setting.partition("=")[::2] for setting in settings)
        return {name.strip().replace("-", "_"): yaml.safe_load(value) for name, value in pairs}
    except yaml.YAMLError as error:
        raise ConfigError(f"--set: found {str(error).splitlines()[0]}, expected OPTION=VALUE") from None


@program(
    "benchmarks.experiments",
    ConfigError,
    PerceptualError,
    ShardError,
    CheckpointError,
    interrupted="interrupted; the same command goes on",
)
def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 data that cannot be used, 2 wrong usage, 130 interrupted."""
    parser = command_parser("benchmarks.experiments", __doc__)
    parser.add_argument("--table", type=Path, required=True, metavar="YAML", help="the list of experiments")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of runs and results")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="OPTION=VALUE", help="options of all experiments, instead of the table's"
    )
    parser.add_argument("--shards", type=Path, metavar="PATH", help="score on these validation shards (folder or .tar)")
    parser.add_argument("--mit", type=Path, metavar="DIR", help="score on these MIT objects")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="score the first N views of each set (default: all)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these experiments (default: all)")
    args = parser.parse_args(arguments)
    table = read_table(args.table, parse_settings(args.set))
    names = [experiment.name for experiment, _ in table.rows]
    if missing := set(args.only) - set(names):
        raise ConfigError(f"--only: found {sorted(missing)}, expected some of {names}")
    paths = {name: path for name, path in (("shards", args.shards), ("mit", args.mit)) if path}
    datasets = {
        name: [sample for sample in islice(SETS[name].open(path), args.limit) if sample.usable]
        for name, path in paths.items()
    }
    rows = []
    for row in run_table(table, args.output, datasets, args.only):
        rows.append(row)
        write_json(args.output / "experiments.json", {"environment": environment(), "rows": rows})
        write_text(args.output / "experiments.md", markdown(rows) + "\n")
    print(markdown(rows))
    return 0


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(main())
