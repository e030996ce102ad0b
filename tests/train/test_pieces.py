"""Schedules, time sampling, averaging, metrics, perceptual distance, discriminator, configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from benchmarks import metrics as reference_metrics
from train.config import (
    ConfigError,
    FlowConfig,
    VaeConfig,
    add_options,
    config_from_dict,
    read_yaml,
    resolve_config,
)
from train.discriminator import PatchDiscriminator, adaptive_weight, discriminator_loss
from train.ema import EMA
from train.loop import require_finite
from train.metrics import lmse, psnr_srgb
from train.perceptual import PerceptualDistance, PerceptualError, import_torchvision_models
from train.schedule import Progress, learning_rate_factor, parse_duration
from train.session import TrainingStopped
from train.time_sampling import sample_times

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


def test_progress_ends_with_whichever_budget_ends_first():
    assert Progress(10, None).at(5) == 0.5
    assert Progress(1000, 100, used=99, reserve=10).at(1) == 1
    assert Progress(None, 100, used=45, reserve=10).at(10**9) == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError):
        Progress(None, None)


def test_times_are_sampled_where_two_steps_evaluate():
    t = sample_times(20000, 0.4, 0.25, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert (t == 0).float().mean() == pytest.approx(0.4, abs=0.02)
    assert (t == 0.5).float().mean() == pytest.approx(0.25, abs=0.02)
    rest = t[(t != 0) & (t != 0.5)]
    assert rest.mean() == pytest.approx(0.5, abs=0.02) and rest.max() > 0.98


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


@pytest.fixture(scope="module")
def perceptual_weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(import_torchvision_models().squeezenet1_0(weights=None).state_dict(), path)
    return path


def test_perceptual_distance_is_zero_for_equal_images_and_has_a_gradient(perceptual_weights):
    distance = PerceptualDistance("squeezenet1_0", perceptual_weights)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(distance(image, image), torch.zeros(2))
    other = (image * 0.5).requires_grad_()
    value = distance(other, image)
    assert (value > 1e-3).all()
    value.sum().backward()
    assert other.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in distance.parameters())


def test_perceptual_weights_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(PerceptualError, match="no such file"):
        PerceptualDistance("squeezenet1_0", tmp_path / "absent.pth")
    wrong = tmp_path / "wrong.pth"
    torch.save({"a": torch.zeros(1)}, wrong)
    with pytest.raises(PerceptualError, match=r"wrong\.pth"):
        PerceptualDistance("squeezenet1_0", wrong)
    with pytest.raises(PerceptualError, match="squeezenet1_0"):
        PerceptualDistance("resnet9000", wrong)


def test_hinge_loss_of_the_discriminator():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0])
    assert discriminator_loss(real, fake).item() == pytest.approx(0.5 * (0.25 + 0.5))
    assert PatchDiscriminator(8)(torch.rand(1, 3, 64, 64)).shape == (1, 1, 8, 8)


def test_adaptive_weight_balances_gradients():
    weight = torch.ones(3, requires_grad=True)
    assert adaptive_weight((4 * weight).sum(), (2 * weight).sum(), weight).item() == pytest.approx(2, rel=1e-4)


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
    file.write_text(yaml.safe_dump({"batch": 3, "steps": 7, "perceptual_network": "none", "crops": [128]}))
    config = resolve_config(VaeConfig, parse(VaeConfig, "--config", str(file), "--batch", "5", "--no-bf16"))
    assert (config.batch, config.steps, config.crops, config.bf16, config.kl_weight) == (5, 7, (128,), False, 0.005)


def test_config_survives_its_file():
    config = FlowConfig(steps=3, perceptual_network="none", crops=(128, 256))
    assert config_from_dict(FlowConfig, yaml.safe_load(yaml.safe_dump(config.to_dict())), "x") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 1, "perceptual_network": "none", "colour": 1}, "colour"),
        ({"steps": 1, "perceptual_network": "none", "side": 100}, "multiple of 32"),
        ({"steps": 1, "perceptual_network": "none", "network": "huge"}, "huge"),
        ({"steps": 1}, "perceptual-weights"),
        ({"perceptual_network": "none"}, "time-limit"),
        ({"steps": "many", "perceptual_network": "none"}, "many"),
        ({"steps": 1, "perceptual_network": "none", "crops": [64]}, "crops"),
    ],
)
def test_wrong_configuration_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict(VaeConfig, values, "options")


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_valid_configurations(recipe):
    values = {"steps": 1, "perceptual_weights": "squeezenet.pth"} | read_yaml(recipe)
    for kind in (
        (FlowConfig,) if "flow" in recipe.stem else (VaeConfig,) if "vae" in recipe.stem else (VaeConfig, FlowConfig)
    ):
        assert config_from_dict(kind, values, str(recipe)).network == values["network"]


def test_there_are_recipes():
    assert len(list(RECIPES.glob("*.yaml"))) >= 3
