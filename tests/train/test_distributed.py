"""Training in two gloo processes, started by torchrun, beside the same training in one."""

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


def torchrun(*arguments, processes=2) -> subprocess.Popen:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    return subprocess.Popen(
        [*launcher, *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    return errors


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
        "steps": 6,
        "learning_rate": 1e-4,
    }


def write(path: Path, config) -> Path:
    path.write_text(yaml.safe_dump(config.to_dict()))
    return path


def test_two_processes_train_the_vae_as_one_does(options, tmp_path):
    config = VaeConfig(**options, adversarial_start=0.5)
    process = torchrun("train.vae", "--config", write(tmp_path / "c.yaml", config), "-o", tmp_path / "two")
    vae.train(config, tmp_path / "one")
    finish(process)
    assert_same_losses(tmp_path / "one", tmp_path / "two", 6)
    assert {"adversarial", "discriminator", "perceptual"} <= set(losses_of(tmp_path / "two")[-1])
    one, two = (load_checkpoint(tmp_path / run, "vae") for run in ("one", "two"))
    for part in ("model", "ema"):
        for name, value in (one[part].get("model") or one[part]).items():
            other = (two[part].get("model") or two[part])[name]
            assert (value - other).abs().mean() < 1e-4, name


def test_two_processes_train_the_flow_as_one_does_and_resume(options, vae_run, tmp_path):
    config = FlowConfig(**options, vae=str(vae_run), gradient_weight=0.5, shading_gradient_weight=0.1, decoded_share=0.2)
    process = torchrun("train.flow", "--config", write(tmp_path / "c.yaml", config), "-o", tmp_path / "two")
    flow.train(config, tmp_path / "one")
    errors = finish(process)
    assert errors.count("done after 6 steps") == 1
    assert_same_losses(tmp_path / "one", tmp_path / "two", 6)
    assert {"decoded", "gradient", "shading_gradient", "perceptual"} <= set(losses_of(tmp_path / "two")[-1])

    saved = yaml.safe_load((tmp_path / "two" / "config.yaml").read_text())
    for run in ("one", "two"):
        (tmp_path / run / "config.yaml").write_text(yaml.safe_dump(saved | {"steps": 8}))
    process = torchrun("train.flow", "--resume", tmp_path / "two")
    flow.main(["--resume", str(tmp_path / "one")])
    finish(process)
    assert load_checkpoint(tmp_path / "two", "flow")["step"] == 8
    assert_same_losses(tmp_path / "one", tmp_path / "two", 8)


def test_all_processes_stop_at_the_time_limit(tiny_options, tmp_path):
    config = VaeConfig(**{**tiny_options, "log_every": 1}, time_limit="12s")
    process = torchrun("train.vae", "--config", write(tmp_path / "c.yaml", config), "-o", tmp_path / "run")
    finish(process)
    state = load_checkpoint(tmp_path / "run", "vae")
    assert state["step"] == len(losses_of(tmp_path / "run")) and state["seconds"] < 12


def ours(errors: str) -> list[str]:
    """The lines that the training itself ended with."""
    return [line for line in errors.splitlines() if line.startswith("error: ")]


def test_wrong_usage_is_told_once(tiny_options, tmp_path):
    process = torchrun("train.vae", "--data", tmp_path / "absent", "--steps", 1, "--perceptual-network", "none", "-o", "x")
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert len(ours(errors)) == 1 and "absent" in ours(errors)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


def test_a_process_that_dies_ends_the_others_with_one_line(tiny_options, tmp_path):
    """The second process is killed, as by the system where memory runs out."""
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, signal\n"
        "from intrinsic_flow.train import command, vae\n"
        "original = vae.random_batch\n"
        "def batch(*arguments):\n"
        "    if os.environ['RANK'] == '1':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return original(*arguments)\n"
        "vae.random_batch = batch\n"
        "command.exit_with_one_line(vae.main)\n"
    )
    config = write(tmp_path / "c.yaml", VaeConfig(**tiny_options, steps=4))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    result = subprocess.run(
        [*launcher, "--config", str(config), "-o", str(tmp_path / "run")],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode != 0
    assert len(ours(result.stderr)) == 1 and "--resume" in ours(result.stderr)[0]
