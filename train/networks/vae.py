"""Albedo VAE: (3, H, W) albedo <-> (12, H/8, W/8) normalised latent.

Outside, albedo is linear in [0, 1]; inside, the networks see its square root ("encoded"), which spends the error where
the eye sees it and is close to the sRGB curve. The latent is normalised by per-channel statistics of the posterior mean,
an explicit affine at both edges; folding it into a zero-padded convolution would be wrong at the borders.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intrinsic_flow.train.networks.blocks import Downsample, ResBlock, Upsample, group_norm, zero_init
from intrinsic_flow.train.networks.config import LATENT_CHANNELS, NetworkConfig


def encode_albedo(albedo: Tensor) -> Tensor:
    """Linear albedo -> square-root encoded, both in [0, 1]."""
    return albedo.clamp(0, 1).sqrt()


class VaeEncoder(nn.Module):
    """Encoded albedo (B, 3, H, W) -> mean and log-variance of the posterior, each (B, 12, H/8, W/8), not normalised."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        (wide, deep), (wide_depth, deep_depth) = config.vae_encoder_widths, config.vae_encoder_depths
        self.stem = nn.Conv2d(48, wide, 3, padding=1)
        self.stage4 = nn.Sequential(*[ResBlock(wide) for _ in range(wide_depth)])
        self.down = Downsample(wide, deep)
        self.stage8 = nn.Sequential(*[ResBlock(deep) for _ in range(deep_depth)])
        self.head = nn.Sequential(group_norm(deep), nn.SiLU(), nn.Conv2d(deep, 2 * LATENT_CHANNELS, 3, padding=1))

    def forward(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        h = self.stage4(self.stem(F.pixel_unshuffle(encoded * 2 - 1, 4)))
        mean, log_variance = self.head(self.stage8(self.down(h))).chunk(2, dim=1)
        return mean, log_variance.float().clamp(-20, 10)


class ImageJoin(nn.Module):
    """Features (B, C, h, w) and an image (B, 3, fold * h, fold * w) -> features; starts as the identity."""

    def __init__(self, channels: int, fold: int):
        super().__init__()
        self.fold = fold
        self.stem = nn.Conv2d(3 * fold**2, channels, 3 if fold == 2 else 1, padding=int(fold == 2))
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        self.out = zero_init(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, h: Tensor, image: Tensor) -> Tensor:
        seen = self.stem(F.pixel_unshuffle(image, self.fold))
        return h + self.out(F.silu(self.mix(F.silu(torch.cat([h, seen], dim=1)))))


class Decoder(nn.Module):
    """Latent (B, 12, H/8, W/8), not normalised -> encoded albedo (B, 3, H, W), not clamped.

    With `decoder_image` it also sees the image (B, 3, H, W), square-root encoded in [-1, 1], joined at 1/8, 1/4 and 1/2;
    without one these joins are left out.

    Nothing is computed at full resolution: the last convolution at 1/2 resolution writes 2x2 pixels at once (pixel
    shuffle, Shi et al. 2016), and there is no norm at 1/2 resolution, where it is pure bandwidth.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        w2, w4, w8 = config.decoder_widths
        d2, d4, d8 = config.decoder_depths
        self.stem = nn.Conv2d(LATENT_CHANNELS, w8, 3, padding=1)
        self.stage8 = nn.Sequential(*[ResBlock(w8) for _ in range(d8)])
        self.up4 = Upsample(w8, w4)
        self.stage4 = nn.Sequential(*[ResBlock(w4) for _ in range(d4)])
        self.up2 = Upsample(w4, w2)
        self.stage2 = nn.Sequential(*[ResBlock(w2, norm=False) for _ in range(d2)])
        self.head = nn.Conv2d(w2, 12, 3, padding=1)
        if config.decoder_image:
            self.joins = nn.ModuleList([ImageJoin(w, fold) for w, fold in zip((w8, w4, w2), (8, 4, 2))])
            self.edges = ResBlock(w2, norm=False)
        self.sees_image = config.decoder_image

    def forward(self, latent: Tensor, image: Tensor | None = None) -> Tensor:
        h = self.stem(latent)
        if image is None or not self.sees_image:
            h = self.up4(self.stage8(h))
            h = self.stage2(self.up2(self.stage4(h)))
        else:
            h = self.up4(self.stage8(self.joins[0](h, image)))
            h = self.up2(self.stage4(self.joins[1](h, image)))
            h = self.edges(self.stage2(self.joins[2](h, image)))
        return F.pixel_shuffle(self.head(F.silu(h)), 2) * 0.5 + 0.5


class AlbedoVAE(nn.Module):
    """Both halves of the autoencoder and the latent statistics (Kingma & Welling 2014; Rombach et al. 2022)."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.encoder = VaeEncoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("latent_mean", torch.zeros(LATENT_CHANNELS))
        self.register_buffer("latent_std", torch.ones(LATENT_CHANNELS))

    def normalise(self, latent: Tensor) -> Tensor:
        """Posterior latent (B, 12, h, w) -> z with zero mean and unit variance a channel over the training set."""
        return (latent - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def denormalise(self, z: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return z * self.latent_std[:, None, None] + self.latent_mean[:, None, None]

    def forward(self, encoded: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What training sees: encoded albedo (B, 3, H, W) and standard normal noise (B, 12, H/8, W/8) -> reconstruction of
        a sample of the posterior, its mean and its log-variance. Nothing here is normalised.
        """
        mean, log_variance = self.encoder(encoded)
        return self.decoder(mean + torch.exp(0.5 * log_variance) * noise), mean, log_variance

    def encode(self, albedo: Tensor) -> Tensor:
        """Linear albedo (B, 3, H, W) in [0, 1] -> normalised posterior mean z (B, 12, H/8, W/8)."""
        return self.normalise(self.encoder(encode_albedo(albedo))[0])

    def decode_encoded(self, z: Tensor, image: Tensor | None = None) -> Tensor:
        """Normalised z -> square-root encoded albedo, not clamped (what losses compare). image: as for `decode`."""
        return self.decoder(self.denormalise(z), None if image is None else encode_albedo(image) * 2 - 1)

    def decode(self, z: Tensor, image: Tensor | None = None) -> Tensor:
        """Normalised z (B, 12, h, w) -> linear albedo (B, 3, 8h, 8w) in [0, 1].

        image: (B, 3, 8h, 8w) linear in [0, 1], for a decoder that sees it; others take no notice of it.
        """
        return self.decode_encoded(z, image).clamp(0, 1).square()
