"""PatchGAN discriminator (Isola et al. 2017) and its hinge losses, for the VAE's adversarial term."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intrinsic_flow.train.networks.blocks import group_norm


class PatchDiscriminator(nn.Module):
    """Encoded albedo (B, 3, H, W) -> one logit a patch (B, 1, H/8, W/8)."""

    def __init__(self, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for scale in (1, 2):
            layers += [
                nn.Conv2d(width * scale, width * scale * 2, 4, 2, 1),
                group_norm(width * scale * 2),
                nn.LeakyReLU(0.2),
            ]
        self.net = nn.Sequential(*layers, nn.Conv2d(width * 4, 1, 3, 1, 1))

    def forward(self, encoded: Tensor) -> Tensor:
        return self.net(encoded * 2 - 1)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator from its logits, both (B, 1, h, w) -> (B,)."""
    return 0.5 * (F.relu(1 - real.float()) + F.relu(1 + fake.float())).mean((1, 2, 3))


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor, average: Callable[[Tensor], Tensor]
) -> Tensor:
    """Ratio of the two losses' gradient norms at the decoder's last weight (Esser et al. 2021), at most 1e4.

    average: brings a gradient from this process's part of the batch to the whole batch's (`Processes.average`).
    """
    (a,) = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)
    (b,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (average(a).norm() / (average(b).norm() + 1e-6)).clamp(0, 1e4).detach()
