"""The discriminator's losses and its training beside a decoder, of the flow stage (`test_commands.py` has the VAE's)."""

from __future__ import annotations

import json

import pytest
import torch

from intrinsic_flow.train import flow
from intrinsic_flow.train.checkpoint import load_checkpoint
from intrinsic_flow.train.config import ConfigError, FlowConfig
from intrinsic_flow.train.discriminator import PatchDiscriminator, adaptive_weight, discriminator_loss


@pytest.fixture
def options(tiny_options) -> dict[str, object]:
    return {
        **tiny_options,
        "decoder_image": True,
        "product_weight": 1.0,
        "adversarial_weight": 0.3,
        "adversarial_start": 0.5,
        "log_every": 1,
    }


def test_hinge_loss_of_the_discriminator():
    real, fake = (torch.tensor(x).reshape(1, 1, 1, 2).expand(3, -1, -1, -1) for x in ([2.0, 0.5], [-2.0, 0.0]))
    torch.testing.assert_close(discriminator_loss(real, fake), torch.full((3,), 0.5 * (0.25 + 0.5)))
    assert PatchDiscriminator(8)(torch.rand(1, 3, 64, 64)).shape == (1, 1, 8, 8)
    assert PatchDiscriminator(8, channels=6)(torch.rand(2, 6, 32, 48)).shape == (2, 1, 4, 6)


def test_adaptive_weight_balances_gradients():
    weight = torch.ones(3, requires_grad=True)
    ratio = adaptive_weight((4 * weight).sum(), (2 * weight).sum(), weight, lambda gradient: gradient)
    assert ratio.item() == pytest.approx(2, rel=1e-4)


def test_the_flows_discriminator_learns_from_the_first_step_and_counts_from_its_start(tmp_path, options, flow_run):
    flow.train(FlowConfig(**options, steps=4), tmp_path, init=str(flow_run))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["kind"] == "train"]
    assert all(row["discriminator"] > 0 for row in rows)
    assert ["adversarial" in row for row in rows] == [False, False, True, True]
    # What a resumed run needs of it.
    checkpoint = load_checkpoint(tmp_path, "flow")
    assert checkpoint["discriminator"]["net.0.weight"].shape == (48, 6, 4, 4)
    assert checkpoint["discriminator_optimizer"]["state"][0]["step"] == 4


def test_a_discriminator_needs_a_product_to_judge(options):
    for name in ("decoder_image", "product_weight", "decoded_share"):
        with pytest.raises(ConfigError, match="--adversarial-weight: found no product"):
            FlowConfig(**{**options, name: 0}, steps=4, vae="run").check()
