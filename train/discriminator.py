"""PatchGAN discriminator (Isola et al. 2017), its hinge losses and its training beside a decoder, of which it tells what is
true from what is decoded: of the VAE alone, of the flow's product beside the image it was made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intrinsic_flow.train.config import FlowConfig, VaeConfig
from intrinsic_flow.train.loop import TrainingLoop
from intrinsic_flow.train.networks.blocks import group_norm
from intrinsic_flow.train.session import Session, optimizer_for


class PatchDiscriminator(nn.Module):
    """Encoded albedo (B, 3, H, W), or it and what it is conditioned on (B, channels, H, W), in [0, 1] -> one logit a patch
    (B, 1, H/8, W/8)."""

    def __init__(self, width: int = 32, channels: int = 3):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
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


class Adversary:
    """A discriminator in training beside a decoder: `loss`, `weighted`, for the decoder's step, then `learn` for its own.

    parts: what a checkpoint holds of it.
    """

    def __init__(self, session: Session, config: VaeConfig | FlowConfig, discriminator: PatchDiscriminator) -> None:
        self.session, self.discriminator = session, session.place(discriminator)
        self._weight = config.adversarial_weight
        self.optimizer = optimizer_for(self.discriminator, config)
        self.parts = {"discriminator": self.discriminator, "discriminator_optimizer": self.optimizer}
        self._judge: nn.Module | None = None

    def loss(self, decoded: Tensor, count: int) -> Tensor:
        """This process's part of the decoder's loss, (), of rows that are decoded of the batch's first `count`."""
        # The decoder's step passes through the discriminator without gradients for its weights.
        self.discriminator.requires_grad_(False)
        with self.session.autocast():
            loss = self.session.processes.share(-self.discriminator(decoded).float().mean((1, 2, 3)), count)
        self.discriminator.requires_grad_(True)
        return loss

    def weighted(self, loss: Tensor, others: Tensor, last_layer: Tensor) -> Tensor:
        """The decoder's loss under the configuration's weight, relative to the gradient of the sum of its other losses at
        the decoder's last weight."""
        weight = adaptive_weight(others, loss, last_layer, self.session.processes.average)
        return self._weight * weight * loss

    def learn(self, true: Tensor, decoded: Tensor, count: int, loop: TrainingLoop) -> dict[str, Tensor]:
        """A step of the discriminator; returns its loss over the whole batch."""
        processes = self.session.processes
        if self._judge is None:  # after a checkpoint has been read
            self._judge = processes.wrap(self.discriminator)
        with self.session.autocast():
            real, fake = self._judge(torch.cat([true, decoded.detach()])).chunk(2)
            judged = processes.share(discriminator_loss(real, fake), count)
        self.optimizer.zero_grad(set_to_none=True)
        judged.backward()
        means = loop.mean({"discriminator": judged})
        self.optimizer.step()
        return means
