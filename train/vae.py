"""Train stage 1, the albedo VAE: squared error + perceptual + 0.005 KL + 0.1 adversarial.

    python -m train.vae --data shards/ --perceptual-weights squeezenet.safetensors --time-limit 40m -o runs/vae
    python -m train.vae --config train/recipes/tiny.yaml --steps 20 -o runs/tiny
    torchrun --nproc-per-node 8 -m train.vae --config train/recipes/vae_gpu.yaml --data shards/ ... -o runs/vae

The run folder gets config.yaml, metrics.jsonl, losses.png, grids/ (input | reconstruction | truth) and checkpoint.pt.
Ctrl-C and SIGTERM save the step under way: `python -m train.vae --resume runs/vae` goes on exactly.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from intrinsic_flow.train.checkpoint import load_initial_weights
from intrinsic_flow.train.command import exit_with_one_line, run_stage
from intrinsic_flow.train.config import VaeConfig
from intrinsic_flow.train.data.augment import AugmentConfig, plain_batch, random_batch
from intrinsic_flow.train.discriminator import Adversary, PatchDiscriminator
from intrinsic_flow.train.ema import EMA
from intrinsic_flow.train.loop import TrainingLoop
from intrinsic_flow.train.metrics import lmse, psnr_srgb
from intrinsic_flow.train.networks.config import LATENT_CHANNELS, LATENT_DOWNSCALE
from intrinsic_flow.train.networks.vae import AlbedoVAE, encode_albedo
from intrinsic_flow.train.run import Run
from intrinsic_flow.train.session import Session, open_perceptual, open_session, optimizer_for

# The image only fills invalid pixels here: degrading it would teach the VAE nothing.
AUGMENT = AugmentConfig(degrade=0.0)


@torch.no_grad()
def validate(session: Session, vae: AlbedoVAE, run: Run, step: int) -> dict[str, float]:
    """Reconstruct whole validation views; PSNR in sRGB encoding and LMSE over valid pixels, a grid of the first eight."""
    psnr, errors = [], []
    for store, chunk in session.validation_chunks():
        batch = plain_batch(store, chunk)
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
        plan = session.plan(index, whole=True)
        batch = random_batch(session.train, plan.index, plan.size, session.config.zooms, AUGMENT, plan.draws)
        latents.append(vae.encode(batch.albedo).float().transpose(0, 1).flatten(1))
    joined = torch.cat(latents, dim=1)
    vae.latent_mean.copy_(joined.mean(1))
    vae.latent_std.copy_(joined.std(1).clamp(min=1e-4))


def train(config: VaeConfig, folder: Path, resume: bool = False, init: str | None = None) -> dict[str, float]:
    """Train, writing into `folder`; returns the last validation scores."""
    began = time.monotonic()
    perceptual = open_perceptual(config)
    session = open_session(config)
    processes = session.processes
    perceptual = perceptual and session.place(perceptual)
    torch.manual_seed(config.seed)
    vae = AlbedoVAE(config.network_config())
    if init:
        weights = load_initial_weights(init)
        vae.load_state_dict({k.removeprefix("vae."): v for k, v in weights.items() if k.startswith("vae.")})
        vae.latent_mean.zero_()
        vae.latent_std.fill_(1)
    vae = session.place(vae)
    ema = EMA(vae, config.ema_decay)
    optimizer = optimizer_for(vae, config)
    adversary = Adversary(session, config, PatchDiscriminator())
    parts = {"model": vae, "ema": ema, "optimizer": optimizer, **adversary.parts}
    loop = TrainingLoop(
        "vae",
        session,
        folder,
        parts,
        lambda run, step: validate(session, ema.model, run, step),
        resume=resume,
        began=began,
    )
    autoencoder = processes.wrap(session.prepare(vae))

    for step in loop:
        plan = session.plan(step.index)
        batch = random_batch(session.train, plan.index, plan.size, config.zooms, AUGMENT, plan.draws)
        target = encode_albedo(batch.albedo)
        values, count = target[0].numel(), plan.bucket.batch
        noise = plan.draws.normal(LATENT_CHANNELS, *(side // LATENT_DOWNSCALE for side in plan.size))
        adversarial_on = step.progress >= config.adversarial_start
        with session.autocast():
            reconstruction, mean, log_variance = autoencoder(target, noise)
            reconstruction, mean = reconstruction.float(), mean.float()
            squared = (reconstruction - target).square().sum((1, 2, 3))
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3))
            losses = {"squared": processes.share(squared, count), "kl": processes.share(kl, count)}
            total = losses["squared"] + config.kl_weight * losses["kl"]
            if perceptual is not None:
                seen = max(1, round(config.perceptual_share * count))
                mine = processes.leading(seen)
                distance = perceptual(reconstruction[:mine].clamp(0, 1), target[:mine])
                losses["perceptual"] = processes.share(distance, seen)
                total = total + config.perceptual_weight * values * losses["perceptual"]
            if adversarial_on:
                losses["adversarial"] = adversary.loss(reconstruction, count)
        if adversarial_on:
            total = total + adversary.weighted(losses["adversarial"], total, vae.decoder.head.weight)
        # The sums grow with the image; per value, the clipping norm means the same at every size.
        losses["total"] = total / values
        means = loop.update(vae, optimizer, losses)
        means["psnr_encoded"] = -10 * torch.log10(means["squared"] / values)
        if adversarial_on:
            means |= adversary.learn(target, reconstruction, count, loop)
        loop.record(means, count)

    measure_latent_statistics(session, ema.model)
    vae.latent_mean.copy_(ema.model.latent_mean)
    vae.latent_std.copy_(ema.model.latent_std)
    return loop.finish()


def main(argv: list[str] | None = None) -> None:
    run_stage("train.vae", VaeConfig, train, __doc__, argv)


if __name__ == "__main__":
    exit_with_one_line(main)
