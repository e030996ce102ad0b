"""The two training commands on the built-in procedural source."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from intrinsic_flow.train import command, flow, loop, schedule, stopping, vae
from intrinsic_flow.train.checkpoint import CheckpointError, load_checkpoint, load_run
from intrinsic_flow.train.config import FlowConfig, VaeConfig, config_from_dict, read_yaml
from intrinsic_flow.train.data.procedural import procedural_views
from tests.train.two_processes import Clock

RECIPES = Path(__file__).parents[2] / "train" / "recipes"


def interrupt():
    raise KeyboardInterrupt


def stop_after(module, monkeypatch, step, stop=interrupt):
    """Call `stop` when the command wants the batch after `step`, as Ctrl-C would."""
    original = module.random_batch

    def interrupted(*args, calls=[0]):  # noqa: B006
        calls[0] += 1
        if calls[0] == step + 1:
            stop()
        return original(*args)

    monkeypatch.setattr(module, "random_batch", interrupted)


def assert_same_state(first, second):
    a, b = (
        torch.load(first / "checkpoint.pt", weights_only=True),
        torch.load(second / "checkpoint.pt", weights_only=True),
    )
    assert a["step"] == b["step"]
    for part in ("model", "ema", "optimizer"):
        torch.testing.assert_close(a[part], b[part], rtol=0, atol=0)


def test_run_folder_is_complete(flow_run, vae_run):
    for run in (vae_run, flow_run):
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert {row["kind"] for row in rows} == {"train", "validation"}
        assert rows[-1]["step"] == 8
        assert cv2.imread(str(run / "losses.png")) is not None
        assert yaml.safe_load((run / "config.yaml").read_text())["network"] == "tiny"
    assert cv2.imread(str(vae_run / "grids" / "0000008.png")).shape == (4 * 64, 3 * 64, 3)
    assert cv2.imread(str(flow_run / "grids" / "0000008.png")).shape == (4 * 64, 5 * 64, 3)


def test_training_lowers_the_loss(tmp_path, tiny_options):
    options = {**tiny_options, "log_every": 10, "validate_every": 60, "save_every": 60}
    vae.train(VaeConfig(**options, steps=60, learning_rate=2e-3, adversarial_start=1), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    squared = [row["squared"] for row in rows if row["kind"] == "train"]
    assert squared[-1] < 0.6 * squared[0]


def test_adversarial_term_begins_at_its_step(vae_run):
    rows = [json.loads(line) for line in (vae_run / "metrics.jsonl").read_text().splitlines()]
    assert ["adversarial" in row for row in rows if row["kind"] == "train"] == [False, False, True, True]


def test_interrupted_vae_run_resumes_exactly(vae_run, tmp_path, monkeypatch, tiny_options):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(vae, patch, 5)
        vae.train(VaeConfig(**tiny_options, steps=8, adversarial_start=0.5), tmp_path)
    assert load_checkpoint(tmp_path, "vae")["step"] == 3
    vae.main(["--resume", str(tmp_path)])
    assert_same_state(vae_run, tmp_path)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_saves_it(vae_run, tmp_path, monkeypatch, tiny_options, handled_signals, number):
    with monkeypatch.context() as patch, pytest.raises(stopping.Stopped) as stopped:
        stop_after(vae, patch, 4, lambda: signal.raise_signal(number))
        vae.train(VaeConfig(**{**tiny_options, "save_every": 1000}, steps=8, adversarial_start=0.5), tmp_path)
    assert (stopped.value.number, stopped.value.step) == (number, 5)
    assert load_checkpoint(tmp_path, "vae")["step"] == 5
    vae.main(["--resume", str(tmp_path)])
    assert_same_state(vae_run, tmp_path)


def test_a_second_signal_ends_at_once_and_leaves_the_checkpoint(tmp_path, monkeypatch, tiny_options, handled_signals):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(stopping.Stopped) as stopped:
        stop_after(vae, patch, 5, twice)
        vae.train(VaeConfig(**{**tiny_options, "save_every": 3}, steps=8), tmp_path)
    assert stopped.value.step is None and "resume" not in str(stopped.value)
    assert load_checkpoint(tmp_path, "vae")["step"] == 3


def test_interrupted_flow_run_resumes_exactly(flow_run, vae_run, tmp_path, monkeypatch, tiny_options):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(flow, patch, 7)
        flow.train(FlowConfig(**tiny_options, steps=8, vae=str(vae_run)), tmp_path)
    flow.main(["--resume", str(tmp_path)])
    assert_same_state(flow_run, tmp_path)


def test_a_decay_ends_a_run_with_a_constant_rate_beside_it_and_resumes_exactly(
    vae_run, tmp_path, monkeypatch, tiny_options
):
    run, whole, parted = (tmp_path / name for name in ("run", "whole", "parted"))
    options = {**tiny_options, "log_every": 1, "schedule": "constant", "learning_rate": 0.2}
    flow.train(FlowConfig(**options, steps=4, vae=str(vae_run)), run)
    before = (run / "checkpoint.pt").read_bytes()
    flow.main(["--resume", str(run), "--decay", "6 steps", "-o", str(whole)])
    rates = [json.loads(line).get("learning_rate") for line in (whole / "metrics.jsonl").read_text().splitlines()]
    # A two-hundredth more of .2 a step in the warm-up: the fourth step's .004 goes down to a sixth of it.
    expected = [0.004 * left / 6 for left in (6, 5, 4, 3, 2, 1)]
    assert [rate for rate in rates if rate is not None] == pytest.approx(expected, abs=1e-6)
    assert load_checkpoint(whole, "flow")["step"] == 10
    assert (run / "checkpoint.pt").read_bytes() == before and "decay: null" in (run / "config.yaml").read_text()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(flow, patch, 4)
        flow.main(["--resume", str(run), "--decay", "6 steps", "-o", str(parted)])
    assert load_checkpoint(parted, "flow")["step"] < 10
    flow.main(["--resume", str(parted)])
    assert_same_state(whole, parted)


def test_a_decay_starts_from_initial_weights_too(flow_run, tmp_path, tiny_options):
    flow.train(FlowConfig(**tiny_options, decay="3 steps"), tmp_path, init=str(flow_run))
    assert load_checkpoint(tmp_path, "flow")["step"] == 3


def test_vae_stays_frozen_in_the_second_stage(vae_run, flow_run):
    first = load_checkpoint(vae_run, "vae")["ema"]["model"]
    model, info = load_run(flow_run)
    torch.testing.assert_close(model.vae.state_dict(), first, rtol=0, atol=0)
    assert info["step"] == 8
    assert info["training"]["vae"] == vae_run.name
    assert str(vae_run.parent) not in json.dumps(info)


def test_latents_are_normalised_over_the_training_set(vae_run):
    state = load_checkpoint(vae_run, "vae")["ema"]["model"]
    assert (state["latent_std"] != 1).all() and (state["latent_mean"] != 0).all()


def test_init_starts_from_the_weights_of_a_bundle(flow_run, tmp_path, tiny_options):
    model, _ = load_run(flow_run)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, bundle / "model.safetensors")
    flow.train(FlowConfig(**tiny_options, steps=1, learning_rate=0.0), tmp_path / "run", init=str(bundle))
    continued, _ = load_run(tmp_path / "run")
    for name, value in continued.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name].half().float(), rtol=0, atol=0)


def test_init_starts_from_another_run(flow_run, tmp_path, tiny_options):
    flow.train(FlowConfig(**tiny_options, steps=1, learning_rate=0.0), tmp_path / "run", init=str(flow_run))
    first, second = load_run(flow_run)[0].state_dict(), load_run(tmp_path / "run")[0].state_dict()
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_init_from_something_else_is_named(tmp_path, tiny_options):
    with pytest.raises(CheckpointError, match=r"absent.*model bundle"):
        flow.train(FlowConfig(**tiny_options, steps=1), tmp_path / "run", init=str(tmp_path / "absent"))


def test_time_limit_holds_schedule_and_saving(tmp_path, tiny_options, monkeypatch):
    clock, validate = Clock(0.2), vae.validate

    def slow_validation(*arguments):
        clock.seconds += 1.5
        return validate(*arguments)

    for module in (vae, loop, schedule):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(vae, "validate", slow_validation)
    vae.train(VaeConfig(**tiny_options, time_limit="40s"), tmp_path)
    assert 30 < clock.seconds < 40
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    train_rows = [row for row in rows if row["kind"] == "train"]
    assert train_rows[-1]["learning_rate"] < 0.1 * max(row["learning_rate"] for row in train_rows)
    assert load_checkpoint(tmp_path, "vae")["step"] >= train_rows[-1]["step"] > 8


def test_shards_train_too(shard_folder, tmp_path, tiny_options):
    options = {**tiny_options, "data": str(shard_folder), "precision": "bf16"}
    scores = vae.train(VaeConfig(**options, steps=2), tmp_path)
    assert 0 < scores["psnr_srgb"] < 60


@pytest.mark.parametrize(
    "switches",
    [
        {"prediction": "regression", "input_encoding": "linear", "light_recombination": False},
        {"prediction": "velocity", "residual_light": False, "decoded_share": 0.0},
        {"gradient_weight": 1.0, "shading_weight": 0.1, "shading_gradient_weight": 0.1, "precision": "bf16"},
    ],
)
def test_each_switch_trains_and_is_kept_in_the_run(vae_run, tmp_path, tiny_options, switches):
    scores = flow.train(FlowConfig(**{**tiny_options, **switches}, steps=2, vae=str(vae_run)), tmp_path)
    assert 0 < scores["albedo_lmse"] < 10
    model, info = load_run(tmp_path)
    for name, value in switches.items():
        assert info["training"][name] == value
    assert model.config.prediction == switches.get("prediction", "end")
    assert model.config.input_encoding == switches.get("input_encoding", "sqrt")


def test_a_regression_is_trained_without_noise(vae_run, tmp_path, tiny_options):
    """Its velocity loss is the error of the one-step answer: lower after training on few views."""
    rare = {"log_every": 10, "validate_every": 40, "save_every": 40}
    options = {**tiny_options, **rare, "prediction": "regression", "learning_rate": 3e-3, "limit": 2}
    flow.train(FlowConfig(**options, steps=40, vae=str(vae_run)), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    velocity = [row["velocity"] for row in rows if row["kind"] == "train"]
    assert velocity[-1] < 0.9 * velocity[0]


def test_the_seed_decides_the_weights_that_a_run_starts_from(vae_run, tmp_path, tiny_options):
    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3)  # what ran before must not matter
        options = {**tiny_options, "seed": seed, "learning_rate": 0.0}
        flow.train(FlowConfig(**options, steps=1, vae=str(vae_run)), tmp_path / name)
        states.append(load_run(tmp_path / name)[0].unet.stem.weight)
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_views_of_several_sizes_train_in_several_buckets(shard_folder, tmp_path, tiny_options, encode_view, write_tar):
    shutil.copytree(shard_folder, tmp_path / "data")
    wide = [(key, encode_view(view)) for key, view in procedural_views(3, 96, 8)]
    write_tar(tmp_path / "data" / "train-00001.tar", wide)
    write_tar(tmp_path / "data" / "val-00001.tar", [(key, encode_view(view)) for key, view in procedural_views(1, 80, 9)])
    options = {**tiny_options, "data": str(tmp_path / "data"), "buckets": ("64", "96x32", "32"), "zooms": (1.0, 1.5)}
    scores = vae.train(VaeConfig(**options, steps=6), tmp_path / "run")
    assert 0 < scores["psnr_srgb"] < 60


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_trains(recipe, vae_run, tmp_path):
    """With its own losses, sizes and switches, but tiny networks and data."""
    small = {"data": "procedural", "network": "tiny", "batch": 1, "limit": 1, "validation_views": 1, "steps": 1}
    small |= {"perceptual_network": "none", "compile": False, "device": "cpu"}
    kind, stage = (FlowConfig, flow) if recipe.stem.startswith("flow") else (VaeConfig, vae)
    # The ImageNet network's weights come from a package that is no requirement.
    values = read_yaml(recipe) | small | ({"vae": str(vae_run), "pretrained_encoder": "none"} if stage is flow else {})
    scores = stage.train(config_from_dict(kind, values, str(recipe)), tmp_path)
    assert all(math.isfinite(value) for value in scores.values())


def test_compiled_networks_train_alike(tmp_path, tiny_options, monkeypatch):
    """Through torch's own stand-in for its compiler, which traces the graphs and their gradients but builds no code."""
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **options: original(module, backend="aot_eager", **options))
    options = {**tiny_options, "buckets": ("64", "32x64"), "log_every": 1}
    rows = []
    for compiled in (False, True):
        config = VaeConfig(**options, steps=4, adversarial_start=0.5, compile=compiled)
        vae.train(config, tmp_path / str(compiled))
        lines = (tmp_path / str(compiled) / "metrics.jsonl").read_text().splitlines()
        rows.append([json.loads(line)["total"] for line in lines if '"train"' in line])
    assert rows[1] == pytest.approx(rows[0], rel=1e-3)


@pytest.mark.parametrize(
    ("stage", "arguments", "found"),
    [
        (vae, ["--steps", "1"], "--perceptual-weights"),
        (flow, ["--steps", "1", "--perceptual-network", "none"], "--vae"),
        (flow, ["--steps", "1", "--perceptual-network", "none", "--vae", "no/such/run"], "no/such/run"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(tmp_path, capsys, handled_signals, stage, arguments, found):
    with pytest.raises(SystemExit) as ended:
        command.exit_with_one_line(lambda: stage.main([*arguments, "-o", str(tmp_path / "run")]))
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.count("\n") == 1 and found in error
    assert not (tmp_path / "run").exists()


def test_a_missing_bank_of_prints_is_one_line_and_status_2(tmp_path, capsys, handled_signals, flow_run):
    arguments = ["--data", "procedural", "--network", "tiny", "--perceptual-network", "none", "--steps", "1"]
    arguments += ["--init", str(flow_run), "--prints", str(tmp_path / "none.npy"), "-o", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        command.exit_with_one_line(lambda: flow.main(arguments))
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.count("\n") == 1 and "none.npy: found No such file or directory" in error
    assert not (tmp_path / "run").exists()


def test_wrong_usage_ends_the_process_so_too(tmp_path):
    arguments = ["--data", "no/such/folder", "--steps", "1", "--perceptual-network", "none", "-o", str(tmp_path / "run")]
    result = subprocess.run([sys.executable, "-m", "train.vae", *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "no/such/folder" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_of_the_other_stage_is_refused(vae_run):
    with pytest.raises(CheckpointError, match=r"train\.vae"):
        load_checkpoint(vae_run, "flow")


def test_a_decoder_that_sees_the_image_is_trained_and_the_latent_space_stays(tmp_path, tiny_options, flow_run):
    options = {**tiny_options, "steps": 3, "decoder_image": True, "gradient_weight": 0.5, "white_balanced": True}
    prints = tmp_path / "bank" / "prints.npy"
    prints.parent.mkdir()
    np.save(prints, np.full((2, 4, 16, 16), 200, np.uint8))
    options |= {"agreement_weight": 0.5, "soft_light": 0.5, "prints": str(prints), "print_share": 1.0, "log_every": 1}
    flow.train(FlowConfig(**options), tmp_path, init=str(flow_run))
    before, after = load_run(flow_run)[0].state_dict(), load_run(tmp_path)[0].state_dict()
    changed = {name for name, value in after.items() if name not in before or not torch.equal(value, before[name])}
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all("agreement" in row for row in logged if "velocity" in row)
    assert load_run(tmp_path)[1]["training"]["prints"] == "prints.npy"
    assert any(name.startswith("vae.decoder.joins.") for name in changed)
    assert any(name.startswith("vae.decoder.stage2.") for name in changed)
    assert not any(name.startswith(("vae.encoder.", "vae.latent_")) for name in changed)


def test_disagreement_is_that_of_the_pairs_alone():
    estimate = torch.stack([torch.full((12, 2, 2), value) for value in (1.0, 2.0, 1.0, 5.0, 9.0)])
    assert flow.disagreement(estimate, torch.ones(5, 1, 2, 2)).item() == pytest.approx(9 / 2)
    assert flow.disagreement(estimate[:1], torch.ones(1, 1, 2, 2)).item() == 0
