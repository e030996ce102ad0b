"""Losses on the albedo as an image, before and after the guided filter, and the training of a decoder alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intrinsic_flow.train import flow
from intrinsic_flow.train.checkpoint import load_initial_weights
from intrinsic_flow.train.config import ConfigError, FlowConfig
from intrinsic_flow.train.image_losses import ImageLosses, Product

WEIGHTS = {"decoded_weight": 2.0, "gradient_weight": 0.5, "shading_weight": 0.2, "shading_gradient_weight": 0.1}


@pytest.fixture
def stripes() -> torch.Tensor:
    """Albedo of vertical stripes, (1, 3, 64, 64) linear: .2 and .6 grey by turns, 8 pixels each."""
    row = torch.where(torch.arange(64) // 8 % 2 == 0, 0.2, 0.6)
    return row.expand(1, 3, 64, 64).contiguous()


def test_equal_albedos_cost_nothing_and_a_factor_costs_its_logarithm():
    losses = ImageLosses(FlowConfig(**WEIGHTS, vae="run", perceptual_network="none"))
    assert losses.weights == {"decoded": 2.0, "gradient": 0.5, "shading": 0.2, "shading_gradient": 0.1}
    truth, mask = torch.full((2, 3, 16, 16), 0.8), torch.ones(2, 1, 16, 16)
    assert all(term.eq(0).all() and term.shape == (2,) for term in losses(truth, truth, mask).values())
    off = losses(truth / 2, truth, mask)
    torch.testing.assert_close(off["decoded"], torch.full((2,), 0.4))
    torch.testing.assert_close(off["shading"], torch.full((2,), 2 * np.log(0.85 / 0.45), dtype=torch.float32))
    assert off["gradient"].abs().max() < 1e-6 and off["shading_gradient"].abs().max() < 1e-6  # no edge differs
    mask[1] = 0
    assert all(term[1] == 0 for term in losses(truth / 2, truth, mask).values())


def test_losses_without_a_weight_are_not_computed():
    losses = ImageLosses(FlowConfig(decoded_weight=1.0, vae="run", perceptual_network="none"))
    assert set(losses(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8))) == {"decoded"}


def test_under_even_light_the_product_of_the_true_albedo_is_the_true_albedo(stripes):
    product = Product()(stripes.sqrt(), 0.7 * stripes)
    assert (product.square() / stripes - 1).abs().max() < 0.02
    # Edges that the decoder blurs are as sharp again as they are in the image.
    blurred = torch.nn.functional.avg_pool2d(stripes, (1, 5), 1, (0, 2), count_include_pad=False)
    sharper = Product()(blurred.sqrt(), 0.7 * stripes).square()
    assert blurred.diff(dim=3).abs().max() < 0.1 < 0.3 < sharper.diff(dim=3).abs().max()


def test_the_products_gradient_reaches_the_decoder(stripes):
    prediction = stripes.sqrt().add(0.05).requires_grad_()
    losses = ImageLosses(FlowConfig(**WEIGHTS, vae="run", perceptual_network="none"))
    terms = losses(Product()(prediction, 0.7 * stripes), stripes.sqrt(), torch.ones(1, 1, 64, 64))
    sum(terms.values()).sum().backward()
    assert prediction.grad.isfinite().all() and prediction.grad.abs().max() > 0


def test_training_a_decoder_alone_leaves_the_network_as_it_is(tmp_path, tiny_options, flow_run):
    options = {**tiny_options, **WEIGHTS, "decoder_image": True, "decoder_only": True, "product_weight": 1.0}
    scores = flow.train(FlowConfig(**options, steps=3, ema_decay=0.5), tmp_path / "run", init=str(flow_run))
    assert all(np.isfinite(list(scores.values())))
    before, after = load_initial_weights(str(flow_run)), load_initial_weights(str(tmp_path / "run"))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith("vae.decoder.") for name in changed)
    assert any(
        name.startswith("vae.decoder.joins") and after[name].abs().max() > 0 for name in after.keys() - before.keys()
    )


def test_a_decoder_alone_is_one_that_sees_the_image(tiny_options):
    with pytest.raises(ConfigError, match="--decoder-only: found --no-decoder-image, expected --decoder-image"):
        FlowConfig(**tiny_options, steps=3, vae="run", decoder_only=True).check()
