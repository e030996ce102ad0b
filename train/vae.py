"""Train stage 1, the albedo VAE: squared error + perceptual + 0.005 KL + 0.1 adversarial.

    python -m train.vae --data shards/ --perceptual-weights squeezenet.safetensors --time-limit 40m -o runs/vae
    python -m train.vae --config train/recipes/tiny.yaml --steps 20 -o runs/tiny

The run folder gets config.yaml, metrics.jsonl, losses.png, grids/ (input | reconstruction | truth) and checkpoint.pt.
Ctrl-C loses nothing since the last checkpoint: `python -m train.vae --resume runs/vae` goes on exactly.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from train.checkpoint import load_initial_weights
from train.command import exit_with_one_line, run_stage
from train.config import VaeConfig
from train.data.augment import AugmentConfig, plain_batch, random_batch
from train.discriminator import PatchDiscriminator, adaptive_weight, discriminator_loss
from train.ema import EMA
from train.loop import TrainingLoop
from train.metrics import lmse, psnr_srgb
from train.networks.config import CONFIGS
from train.networks.vae import AlbedoVAE, encode_albedo
from train.run import Run
from train.session import Session, open_perceptual, open_session, optimizer_for

# The image only fills invalid pixels here: degrading it would teach the VAE nothing.
AUGMENT = AugmentConfig(degrade=0.0)


@torch.no_grad()
def validate(session: Session, vae: AlbedoVAE, run: Run, step: int) -> dict[str, float]:
    """Reconstruct whole validation views; PSNR in sRGB encoding and LMSE over valid pixels, a grid of the first eight."""
    psnr, errors = [], []
    for chunk in session.validation_chunks():
        batch = plain_batch(session.validation, chunk)
        with session.autocast():
            reconstruction = vae.decode(vae.encode(batch.albedo)).float()
        psnr.append(psnr_srgb(reconstruction, batch.albedo, batch.mask))
        errors.append(lmse(reconstruction, batch.albedo, batch.mask))
        if len(psnr) == 1:
            run.grid(step, [batch.image[:8], reconstruction[:8], batch.albedo[:8]])
    return {"psnr_srgb": torch.cat(psnr).mean().item(), "albedo_lmse": torch.cat(errors).mean().item()}


@torch.no_grad()
def measure_latent_statistics(session: Session, vae: AlbedoVAE, batches: int = 24) -> None:
    """Set the VAE's latent mean and standard deviation from augmented training batches (float32)."""
    vae.latent_mean.zero_()
    vae.latent_std.fill_(1)
    latents = []
    for index in range(batches):
        batch = random_batch(
            session.train,
            session.batch_index(index),
            session.config.side,
            session.config.crops,
            AUGMENT,
            session.generator(-1 - index),
        )
        latents.append(vae.encode(batch.albedo).float().transpose(0, 1).flatten(1))
    joined = torch.cat(latents, dim=1)
    vae.latent_mean.copy_(joined.mean(1))
    vae.latent_std.copy_(joined.std(1).clamp(min=1e-4))


def train(config: VaeConfig, folder: Path, resume: bool = False, init: str | None = None) -> dict[str, float]:
    """Train, writing into `folder`; returns the last validation scores."""
    began = time.monotonic()
    session = open_session(config)
    perceptual = open_perceptual(config, session)
    vae = AlbedoVAE(CONFIGS[config.network])
    if init:
        weights = load_initial_weights(init)
        vae.load_state_dict({k.removeprefix("vae."): v for k, v in weights.items() if k.startswith("vae.")})
        vae.latent_mean.zero_()
        vae.latent_std.fill_(1)
    vae = session.place(vae)
    discriminator = session.place(PatchDiscriminator())
    ema = EMA(vae, config.ema_decay)
    optimizer = optimizer_for(vae, config, session.device)
    discriminator_optimizer = optimizer_for(discriminator, config, session.device)
    parts = {
        "model": vae,
        "ema": ema,
        "optimizer": optimizer,
        "discriminator": discriminator,
        "discriminator_optimizer": discriminator_optimizer,
    }
    loop = TrainingLoop(
        "vae",
        config,
        folder,
        parts,
        lambda run, step: validate(session, ema.model, run, step),
        resume=resume,
        device=session.device,
        began=began,
    )
    encoder = torch.compile(vae.encoder) if config.compile else vae.encoder
    decoder = torch.compile(vae.decoder) if config.compile else vae.decoder

    for step in loop:
        generator = session.generator(step.index)
        index = session.batch_index(step.index)
        batch = random_batch(session.train, index, config.side, config.crops, AUGMENT, generator)
        target = encode_albedo(batch.albedo)
        adversarial_on = step.progress >= config.adversarial_start
        with session.autocast():
            mean, log_variance = encoder(target)
            noise = torch.randn(mean.shape, device=session.device, generator=generator)
            reconstruction = decoder(mean + torch.exp(0.5 * log_variance) * noise).float()
            mean = mean.float()
            squared = (reconstruction - target).square().sum((1, 2, 3)).mean()
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean()
            losses = {"squared": squared, "kl": kl}
            total = squared + config.kl_weight * kl
            if perceptual is not None:
                seen = max(1, round(config.perceptual_share * len(target)))
                losses["perceptual"] = perceptual(reconstruction[:seen].clamp(0, 1), target[:seen]).mean()
                total = total + config.perceptual_weight * target[0].numel() * losses["perceptual"]
            if adversarial_on:
                losses["adversarial"] = -discriminator(reconstruction).float().mean()
        if adversarial_on:
            weight = adaptive_weight(total, losses["adversarial"], vae.decoder.head.weight)
            total = total + config.adversarial_weight * weight * losses["adversarial"]
        # The sums grow with the image; per value, the clipping norm means the same at every size.
        losses["total"] = total / target[0].numel()
        loop.update(vae, optimizer, losses)
        losses["psnr_encoded"] = -10 * torch.log10(squared / target[0].numel())
        if adversarial_on:
            with session.autocast():
                losses["discriminator"] = discriminator_loss(discriminator(target), discriminator(reconstruction.detach()))
            discriminator_optimizer.zero_grad(set_to_none=True)
            losses["discriminator"].backward()
            discriminator_optimizer.step()
        loop.record(losses)

    measure_latent_statistics(session, ema.model)
    vae.latent_mean.copy_(ema.model.latent_mean)
    vae.latent_std.copy_(ema.model.latent_std)
    return loop.finish()


def main(argv: list[str] | None = None) -> None:
    run_stage(VaeConfig, train, __doc__, argv)


if __name__ == "__main__":
    exit_with_one_line(main)
