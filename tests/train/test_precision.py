"""The choice between FP32 and bfloat16."""

from __future__ import annotations

import pytest
import torch

from intrinsic_flow.train import precision
from intrinsic_flow.train.config import ConfigError, VaeConfig, config_from_dict
from intrinsic_flow.train.networks.config import CONFIGS
from intrinsic_flow.train.session import open_session


@pytest.mark.parametrize("faster", ["fp32", "bf16"])
def test_the_faster_one_is_taken_and_logged(monkeypatch, caplog, faster):
    monkeypatch.setattr(precision, "trial", lambda network: {"fp32": 0.1, "bf16": 0.2 if faster == "fp32" else 0.05})
    with caplog.at_level("INFO"):
        assert precision.choose_precision(CONFIGS["tiny"], torch.device("cpu")) == faster
    assert f"precision {faster}: " in caplog.text and "fp32 100 ms, bf16 " in caplog.text


def test_a_trial_measures_both_and_leaves_the_random_state(monkeypatch):
    monkeypatch.setattr(precision, "_SECONDS", 0.0)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    seconds = precision.trial(CONFIGS["tiny"])
    assert seconds.keys() == {"fp32", "bf16"} and min(seconds.values()) > 0
    assert torch.equal(torch.rand(4), expected)


def test_a_session_holds_the_choice_not_auto(monkeypatch, tiny_options):
    monkeypatch.setattr("intrinsic_flow.train.session.choose_precision", lambda network, device: "bf16")
    session = open_session(VaeConfig(**{**tiny_options, "precision": "auto", "steps": 1}))
    assert session.config.precision == "bf16"
    with session.autocast():
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(("old", "new"), [(True, "bf16"), (False, "fp32")])
def test_configurations_of_older_runs_are_read(tiny_options, old, new):
    options = {key: value for key, value in tiny_options.items() if key != "precision"}
    assert config_from_dict(VaeConfig, {**options, "steps": 1, "bf16": old}, "config.yaml").precision == new


def test_another_word_is_refused(tiny_options):
    with pytest.raises(ConfigError, match="--precision: found 'fp8', expected one of auto, fp32, bf16"):
        VaeConfig(**{**tiny_options, "precision": "fp8", "steps": 1}).check()
