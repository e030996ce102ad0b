"""Networks with random weights: what latency needs before there is a trained model, since it does not depend on weights."""

from __future__ import annotations

import torch

from intrinsic_flow.train.networks.blocks import ResBlock, SelfAttention
from intrinsic_flow.train.networks.config import named_network
from intrinsic_flow.train.networks.model import IntrinsicFlow

SEED = 0
# Of a residual branch's last convolution: deep sums stay near the range of a trained network.
BRANCH_GAIN = 0.3


def untrained_model(name: str, seed: int = SEED) -> IntrinsicFlow:
    """A network by name or YAML file with seeded random weights, none of them zero: every layer shows in the output.

    Training starts residual branches and heads at zero, which would hide what they compute from any comparison.
    Raises ValueError for an unknown name.
    """
    config = named_network(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = IntrinsicFlow(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=parameter[0].numel() ** -0.5)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
            for module in model.modules():
                if isinstance(module, ResBlock):
                    module.conv2.weight.mul_(BRANCH_GAIN)
                elif isinstance(module, SelfAttention):
                    module.out.weight.mul_(BRANCH_GAIN)
            for head in (model.vae.decoder.head, model.unet.head[-1], model.vae.encoder.head[-1]):
                head.get_parameter("weight").mul_(BRANCH_GAIN)
            # At 0 and 1 graph optimisers would remove the affine at the VAE's edges.
            model.vae.latent_mean.normal_(std=0.3)
            model.vae.latent_std.uniform_(0.5, 2.0)
    return model.eval().requires_grad_(False)


def source(name: str, seed: int = SEED) -> dict[str, object]:
    """The manifest's `source` of such a bundle."""
    return {"untrained": True, "network": name, "seed": seed, "note": "random weights, for measurements of latency only"}
