"""Training in two gloo processes beside the same training in one; where a process ends early, started by torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from intrinsic_flow.train import flow, vae
from intrinsic_flow.train.checkpoint import load_checkpoint
from intrinsic_flow.train.config import FlowConfig, VaeConfig
from intrinsic_flow.train.perceptual import import_torchvision_models

REPOSITORY = Path(__file__).parents[2]


def torchrun(*arguments) -> subprocess.Popen:
    """Two processes of a module."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    return subprocess.Popen(
        [*launcher, *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TwoProcesses:
    """`two_processes.py`, which loads torch once for all trainings."""

    def __init__(self, process: subprocess.Popen):
        self.process = process

    def start(
        self, module: str, *arguments: object, ticks: tuple[float, float] | None = None, killed: int | None = None
    ) -> None:
        print(json.dumps([module, [*map(str, arguments)], ticks, killed]), file=self.process.stdin, flush=True)

    def end(self) -> tuple[list[int], str]:
        """Both exit statuses, and what they wrote to standard error."""
        return json.loads(self.process.stdout.readline())

    def finish(self) -> str:
        statuses, errors = self.end()
        assert statuses == [0, 0], errors
        return errors


@pytest.fixture(scope="module")
def two():
    with subprocess.Popen(
        [sys.executable, "-m", "tests.train.two_processes"],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield TwoProcesses(process)


def losses_of(run: Path) -> list[dict[str, float]]:
    """Every logged loss of every step."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timing = {"kind", "images_per_second", "progress", "learning_rate"}
    return [{k: v for k, v in row.items() if k not in timing} for row in rows if row["kind"] == "train"]


def assert_same_losses(first: Path, second: Path, steps: int):
    ours, theirs = losses_of(first), losses_of(second)
    assert len(ours) == len(theirs) == steps
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5, abs=2e-6)
    # Adam makes a full step also of a gradient that is only rounding, so the runs part slowly.
    for a, b in zip(ours, theirs):
        assert a == pytest.approx(b, rel=5e-4, abs=2e-6)


@pytest.fixture(scope="module")
def options(tiny_options, tmp_path_factory) -> dict:
    """Several buckets, batches that two processes cannot halve, and every loss."""
    weights = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.manual_seed(0)
    torch.save(import_torchvision_models().squeezenet1_0(weights=None).state_dict(), weights)
    perceptual = {"perceptual_network": "squeezenet1_0", "perceptual_weights": str(weights), "perceptual_share": 0.2}
    return {
        **tiny_options,
        **perceptual,
        "buckets": ("64", "32x64"),
        "batch": 5,
        "log_every": 1,
        "validate_every": 1000,
        "steps": 6,
        "learning_rate": 1e-4,
    }


def write(path: Path, config) -> Path:
    path.write_text(yaml.safe_dump(config.to_dict()))
    return path


def test_two_processes_train_the_vae_as_one_does(options, two, tmp_path):
    config = VaeConfig(**options, adversarial_start=0.5)
    two.start("train.vae", "--config", write(tmp_path / "c.yaml", config), "-o", tmp_path / "two")
    vae.train(config, tmp_path / "one")
    two.finish()
    assert_same_losses(tmp_path / "one", tmp_path / "two", 6)
    assert {"adversarial", "discriminator", "perceptual"} <= set(losses_of(tmp_path / "two")[-1])
    one, two = (load_checkpoint(tmp_path / run, "vae") for run in ("one", "two"))
    for part in ("model", "ema"):
        for name, value in (one[part].get("model") or one[part]).items():
            other = (two[part].get("model") or two[part])[name]
            assert (value - other).abs().mean() < 1e-4, name


def test_two_processes_train_the_flow_as_one_does_and_resume(options, vae_run, two, tmp_path):
    config = FlowConfig(**options, vae=str(vae_run), gradient_weight=0.5, shading_gradient_weight=0.1, decoded_share=0.2)
    two.start("train.flow", "--config", write(tmp_path / "c.yaml", config), "-o", tmp_path / "two")
    flow.train(config, tmp_path / "one")
    errors = two.finish()
    assert errors.count("done after 6 steps") == 1
    assert_same_losses(tmp_path / "one", tmp_path / "two", 6)
    assert {"decoded", "gradient", "shading_gradient", "perceptual"} <= set(losses_of(tmp_path / "two")[-1])

    saved = yaml.safe_load((tmp_path / "two" / "config.yaml").read_text())
    for run in ("one", "two"):
        (tmp_path / run / "config.yaml").write_text(yaml.safe_dump(saved | {"steps": 8}))
    two.start("train.flow", "--resume", tmp_path / "two")
    flow.main(["--resume", str(tmp_path / "one")])
    two.finish()
    assert load_checkpoint(tmp_path / "two", "flow")["step"] == 8
    assert_same_losses(tmp_path / "one", tmp_path / "two", 8)


def test_all_processes_stop_at_the_time_limit(tiny_options, two, tmp_path):
    """Also where the clock of one goes twice as fast."""
    config = VaeConfig(**{**tiny_options, "log_every": 1, "validate_every": 1000}, time_limit="20s")
    file = write(tmp_path / "c.yaml", config)
    two.start("train.vae", "--config", file, "-o", tmp_path / "run", ticks=(0.2, 0.4))
    two.finish()
    state = load_checkpoint(tmp_path / "run", "vae")
    assert 8 < state["step"] == len(losses_of(tmp_path / "run")) and 12 < state["seconds"] < 20


def ours(errors: str) -> list[str]:
    """The lines that the training itself ended with."""
    return [line for line in errors.splitlines() if line.startswith("error: ")]


def test_wrong_usage_is_told_once(two, tmp_path):
    two.start("train.vae", "--data", tmp_path / "absent", "--steps", 1, "--perceptual-network", "none", "-o", "x")
    statuses, errors = two.end()
    assert statuses == [2, 2]
    assert len(ours(errors)) == 1 and "absent" in ours(errors)[0]


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_ends_all_processes_with_one_line_and_the_run_goes_on(tiny_options, tmp_path, number):
    seldom = {"save_every": 10**6, "validate_every": 10**6, "log_every": 1}
    config = VaeConfig(**{**tiny_options, **seldom}, steps=100000)
    run = tmp_path / "run"
    process = torchrun("train.vae", "--config", write(tmp_path / "c.yaml", config), "-o", run)
    deadline = time.monotonic() + 60
    while not ((run / "metrics.jsonl").is_file() and losses_of(run)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not (run / "checkpoint.pt").is_file()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    (line,) = ours(errors)
    assert line.endswith(f"after step {load_checkpoint(run, 'vae')['step']}; continue with --resume")


def test_a_process_that_dies_ends_the_others_with_one_line(tiny_options, two, tmp_path):
    config = write(tmp_path / "c.yaml", VaeConfig(**tiny_options, steps=4))
    two.start("train.vae", "--config", config, "-o", tmp_path / "run", killed=1)
    (status, other), errors = two.end()
    assert status not in (0, 70) and other == -signal.SIGKILL
    assert len(ours(errors)) == 1 and "--resume" in ours(errors)[0]
