"""What only trained weights can show, on the bundle that ships."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from intrinsic_flow.train.checkpoint import load_initial_weights
from intrinsic_flow.train.data.augment import plain_batch
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.store import build_views
from intrinsic_flow.train.networks.config import CONFIGS
from intrinsic_flow.train.networks.model import IntrinsicFlow

BUNDLE = Path(__file__).parents[2] / "runtime" / "models" / "small"


@pytest.fixture(scope="module")
def model() -> IntrinsicFlow:
    model = IntrinsicFlow(dataclasses.replace(CONFIGS["small"], decoder_image=True))
    model.load_state_dict(load_initial_weights(BUNDLE))
    return model.eval()


@pytest.fixture(scope="module")
def batch():
    (store,) = build_views(procedural_views(6, 128, seed=3)).stores
    return plain_batch(store, torch.arange(6))


@torch.no_grad()
def velocity_loss(model: IntrinsicFlow, batch, t: float, shift: int) -> float:
    """Velocity error with the features of the image `shift` places further on."""
    x1 = model.vae.encode(batch.albedo)
    x0 = torch.randn(x1.shape, generator=torch.Generator().manual_seed(0))
    features = tuple(feature.roll(shift, 0) for feature in model.encoder(batch.image))
    velocity = model.unet((1 - t) * x0 + t * x1, torch.tensor([t]), features)
    return (velocity - (x1 - x0)).square().mean().item()


@pytest.mark.parametrize("t", [0.0, 0.5])
def test_features_of_another_image_ruin_the_velocity(model, batch, t):
    assert velocity_loss(model, batch, t, shift=1) > 1.3 * velocity_loss(model, batch, t, shift=0)


@torch.no_grad()
def test_autoencoder_keeps_the_albedo(model, batch):
    reconstruction = model.vae.decode(model.vae.encode(batch.albedo))
    assert (reconstruction.sqrt() - batch.albedo.sqrt()).square().mean() < 10**-2.2


@torch.no_grad()
def test_trained_velocity_depends_on_time(model, batch):
    features = model.encoder(batch.image)
    z = torch.randn(model.vae.encode(batch.albedo).shape, generator=torch.Generator().manual_seed(0))
    early, late = (model.unet(z, torch.tensor([t]), features) for t in (0.0, 0.5))
    assert (early - late).abs().mean() > 0.05
