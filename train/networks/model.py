"""The whole model: VAE, conditioning encoder and velocity UNet, and the Euler sampler that joins them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intrinsic_flow.train.networks.conditioning_encoder import ConditioningEncoder
from intrinsic_flow.train.networks.config import LATENT_CHANNELS, LATENT_DOWNSCALE, NetworkConfig
from intrinsic_flow.train.networks.vae import AlbedoVAE
from intrinsic_flow.train.networks.velocity_unet import VelocityUNet

# Standard deviation of the start noise when sampling. Training draws it from N(0, I); at the full standard deviation a
# sample carries the spread of all albedos that fit the image, at less it comes close to their mean.
SAMPLING_NOISE_SCALE = 0.25


class IntrinsicFlow(nn.Module):
    """Image -> albedo by integrating `dz/dt = v(z, t, features(image))` from noise at t = 0 to a latent at t = 1."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.vae = AlbedoVAE(config)
        self.encoder = ConditioningEncoder(config)
        self.unet = VelocityUNet(config)

    def velocity_step(self, z: Tensor, t: Tensor, dt: Tensor, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """One Euler step: z + dt * v(z, t, features). z: (B, 12, h, w); t, dt: (1,) or (B,) float32."""
        return z + dt.reshape(-1, 1, 1, 1) * self.unet(z, t, features).to(z.dtype)

    def sample(self, image: Tensor, z: Tensor, steps: int = 2) -> Tensor:
        """Image (B, 3, 32h, 32w) linear in [0, 1] and start noise z (B, 12, 4h, 4w) -> final z, by `steps` Euler steps."""
        features = self.encoder(image)
        dt = torch.full((1,), 1 / steps, device=z.device)
        for step in range(steps):
            z = self.velocity_step(z, torch.full((1,), step / steps, device=z.device), dt, features)
        return z

    def forward(self, image: Tensor, z: Tensor, steps: int = 2) -> Tensor:
        """Image and start noise -> linear albedo (B, 3, 32h, 32w) in [0, 1]."""
        return self.vae.decode(self.sample(image, z, steps), image)


class ConditionedVelocity(nn.Module):
    """Encoder and UNet in one call, v(z, t, features(image)): what training compiles and spreads over processes."""

    def __init__(self, model: IntrinsicFlow):
        super().__init__()
        self.encoder, self.unet = model.encoder, model.unet

    def forward(self, image: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Image (B, 3, 32h, 32w) linear in [0, 1], z (B, 12, 4h, 4w), t (B,) float32 -> velocity, as z."""
        return self.unet(z, t, self.encoder(image))


class Decode(nn.Module):
    """The decoder in one call, for training it: z (B, 12, h, w), image (B, 3, 8h, 8w) -> square-root encoded albedo."""

    def __init__(self, vae: AlbedoVAE):
        super().__init__()
        self.vae = vae

    def forward(self, z: Tensor, image: Tensor) -> Tensor:
        return self.vae.decode_encoded(z, image)


def latent_shape(batch: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Shape of z for images of (height, width), both multiples of 32."""
    return batch, LATENT_CHANNELS, height // LATENT_DOWNSCALE, width // LATENT_DOWNSCALE
