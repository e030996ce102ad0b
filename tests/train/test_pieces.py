"""Schedules, time sampling, averaging, metrics, configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from intrinsic_flow.benchmarks.scoring import metrics as reference_metrics
from intrinsic_flow.train.config import (
    ConfigError,
    FlowConfig,
    VaeConfig,
    add_options,
    config_from_dict,
    read_yaml,
    resolve_config,
)
from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.ema import EMA
from intrinsic_flow.train.loop import require_finite
from intrinsic_flow.train.metrics import lmse, psnr_srgb
from intrinsic_flow.train.networks.config import CONFIGS
from intrinsic_flow.train.schedule import (
    RAMP_STEPS,
    Progress,
    constant_factor,
    learning_rate_factor,
    parse_decay,
    parse_duration,
)
from intrinsic_flow.train.session import TrainingStopped
from intrinsic_flow.train.time_sampling import sample_times

RECIPES = Path(__file__).parents[2] / "train" / "recipes"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("9m", 540), ("1.5h", 5400), ("42", 42)])
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-3m", "0s", "3 days"])
def test_wrong_durations_are_refused(text):
    with pytest.raises(ValueError, match="expected something like"):
        parse_duration(text)


def test_learning_rate_warms_up_and_decays():
    factors = [learning_rate_factor(p) for p in np.linspace(0, 1, 101)]
    assert factors[0] < 0.1
    assert max(factors) == pytest.approx(1)
    assert all(a >= b for a, b in zip(factors[2:], factors[3:]))
    assert factors[-1] == pytest.approx(0.02)


def test_learning_rate_warms_up_over_steps_where_time_has_passed():
    factors = [learning_rate_factor(0.3, step) for step in range(RAMP_STEPS + 5)]
    assert factors[0] == pytest.approx(1 / RAMP_STEPS)
    assert all(a < b for a, b in zip(factors, factors[1:40]))
    assert factors[-1] == pytest.approx(learning_rate_factor(0.3))
    assert learning_rate_factor(0.001, 10_000) == pytest.approx(0.05)


def test_progress_ends_with_whichever_budget_ends_first():
    assert Progress(10, None).at(5) == 0.5
    assert Progress(1000, 100, used=99, reserve=10).at(1) == 1
    assert Progress(None, 100, used=45, reserve=10).at(10**9) == pytest.approx(0.5, abs=0.01)
    assert Progress(None, None).at(10**9) == 0


def test_the_progress_of_a_part_begins_with_it():
    assert Progress(10, None, first_step=100).at(105) == 0.5
    assert Progress(None, 100, used=1050, first_second=1000).at(0) == pytest.approx(0.5, abs=0.01)


def test_a_constant_rate_warms_up_and_stays():
    assert constant_factor(0) == pytest.approx(1 / 200)
    assert constant_factor(99) == pytest.approx(0.5)
    assert constant_factor(199) == constant_factor(10**9) == 1


def test_lengths_of_a_decay_are_read():
    assert parse_decay("20m") == (None, 1200.0)
    assert parse_decay("500 steps") == (500, None)
    with pytest.raises(ValueError, match="found 'soon', expected a time like 20m or a number like `500 steps`"):
        parse_decay("soon")


def test_times_are_sampled_where_two_steps_evaluate():
    t = sample_times(Draws(torch.Generator().manual_seed(0), 20000), 0.4, 0.25)
    assert t.min() >= 0 and t.max() < 1
    assert (t == 0).float().mean() == pytest.approx(0.4, abs=0.02)
    assert (t == 0.5).float().mean() == pytest.approx(0.25, abs=0.02)
    rest = t[(t != 0) & (t != 0.5)]
    counts = torch.histc(rest, 10, 0, 1) / len(rest)
    torch.testing.assert_close(counts, torch.full((10,), 0.1), atol=0.02, rtol=0)


def test_all_times_can_be_where_one_step_evaluates():
    assert not sample_times(Draws(torch.Generator().manual_seed(0), 1000), 1.0, 0.0).any()


def test_average_follows_the_model_and_its_buffers():
    model = nn.BatchNorm1d(2)
    ema = EMA(model, 0.9)
    nn.init.constant_(model.weight, 3.0)
    model.running_mean.fill_(5)
    for _ in range(200):
        ema.update(model)
    torch.testing.assert_close(ema.model.weight, torch.full((2,), 3.0))
    torch.testing.assert_close(ema.model.running_mean, torch.full((2,), 5.0))


def test_validation_lmse_is_the_benchmarks_lmse():
    rng = np.random.default_rng(0)
    prediction, target = (rng.uniform(0, 1, (45, 62, 3)).astype(np.float32) for _ in range(2))
    mask = rng.uniform(size=(45, 62)) > 0.3
    to_torch = lambda x: torch.from_numpy(x).permute(2, 0, 1)[None]  # noqa: E731
    ours = lmse(to_torch(prediction), to_torch(target), torch.from_numpy(mask).float()[None, None]).item()
    assert ours == pytest.approx(reference_metrics.lmse(prediction, target, mask), rel=1e-4)


def test_psnr_of_a_known_error():
    target = torch.full((1, 3, 4, 4), 1.0)
    prediction = torch.full((1, 3, 4, 4), 0.0)
    mask = torch.ones(1, 1, 4, 4)
    assert psnr_srgb(prediction, target, mask).item() == pytest.approx(0, abs=1e-5)
    mask[..., :2] = 0
    prediction[..., 2:] = 1
    assert psnr_srgb(prediction, target, mask).item() > 90


def test_a_loss_that_is_not_finite_stops_and_is_named():
    require_finite({"velocity": torch.tensor(1.0)}, 3)
    with pytest.raises(TrainingStopped, match=r"step 3.*perceptual"):
        require_finite({"velocity": torch.tensor(1.0), "perceptual": torch.tensor(float("nan"))}, 3)


def parse(kind, *argv):
    parser = argparse.ArgumentParser()
    add_options(parser, kind)
    return parser.parse_args(argv)


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"batch": 3, "steps": 7, "perceptual_network": "none", "zooms": [1, 2]}))
    config = resolve_config(VaeConfig, parse(VaeConfig, "--config", str(file), "--batch", "5", "--precision", "fp32"))
    found = (config.batch, config.steps, config.zooms, config.precision, config.kl_weight)
    assert found == (5, 7, (1.0, 2.0), "fp32", 0.005)


def test_config_survives_its_file():
    config = FlowConfig(steps=3, perceptual_network="none", buckets=("128", "192x256"))
    assert config_from_dict(FlowConfig, yaml.safe_load(yaml.safe_dump(config.to_dict())), "x") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 1, "perceptual_network": "none", "colour": 1}, "colour"),
        ({"steps": 1, "perceptual_network": "none", "buckets": [100]}, "multiples of 32"),
        ({"steps": 1, "perceptual_network": "none", "buckets": ["128 by 64"]}, "128 by 64"),
        ({"steps": 1, "perceptual_network": "none", "buckets": []}, "buckets"),
        ({"steps": 1, "perceptual_network": "none", "max_enlargement": 0.5}, "max-enlargement"),
        ({"steps": 1, "perceptual_network": "none", "network": "huge"}, "huge"),
        ({"steps": 1}, "perceptual-weights"),
        ({"perceptual_network": "none"}, "time-limit"),
        ({"steps": "many", "perceptual_network": "none"}, "many"),
        ({"steps": 1, "perceptual_network": "none", "zooms": [0.5]}, "zooms"),
    ],
)
def test_wrong_configuration_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict(VaeConfig, values, "options")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prediction": "noise"}, "--prediction.*noise"),
        ({"input_encoding": "gamma"}, "--input-encoding.*gamma"),
        ({"t_zero": 0.8, "t_half": 0.3}, "--t-zero"),
    ],
)
def test_wrong_switches_of_the_flow_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict(FlowConfig, {"steps": 1, "perceptual_network": "none", **values}, "options")


def test_a_network_can_be_a_file_that_says_what_differs(tmp_path):
    file = tmp_path / "deep.yaml"
    file.write_text("like: tiny\nunet_depths: [2, 1, 1]\n")
    config = FlowConfig(network=str(file), input_encoding="linear", steps=1, perceptual_network="none")
    config.check()
    network = config.network_config()
    assert (network.name, network.unet_depths, network.input_encoding) == ("deep", (2, 1, 1), "linear")
    assert network.unet_widths == CONFIGS["tiny"].unet_widths
    for text in ("like: tiny\nwidth: 3", "unet_depths: [1, 1, 1]", "[1, 2]", "like: {", "like: tiny\nprediction: end"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"deep\.yaml"):
            config.check()


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_valid_configurations(recipe):
    values = {"steps": 1, "perceptual_weights": "squeezenet.pth"} | read_yaml(recipe)
    for kind in (
        (FlowConfig,) if "flow" in recipe.stem else (VaeConfig,) if "vae" in recipe.stem else (VaeConfig, FlowConfig)
    ):
        assert config_from_dict(kind, values, str(recipe)).network == values["network"]


def test_there_are_recipes():
    assert len(list(RECIPES.glob("*.yaml"))) >= 3
