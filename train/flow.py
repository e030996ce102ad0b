"""Train stage 2: conditioning encoder and velocity UNet by flow matching in the frozen VAE's latent space.

    python -m train.flow --data shards/ --vae runs/vae --perceptual-weights squeezenet.pth --time-limit 1h -o runs/flow
    python -m train.flow --config train/recipes/tiny.yaml --vae runs/tiny --steps 20 -o runs/tiny-flow

With x0 ~ N(0, I), x1 the normalised albedo latent and z_t = (1-t) x0 + t x1, the UNet learns v = x1 - x0 (Lipman et al.
2023); the decoded one-step estimate z_t + (1-t) v is compared with the albedo, by L1 and by a perceptual distance.
The run folder gets config.yaml, metrics.jsonl, losses.png, grids/ (input | albedo | truth | shading | truth) and
checkpoint.pt. Ctrl-C loses nothing since the last checkpoint: `python -m train.flow --resume runs/flow` goes on exactly.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from train.checkpoint import load_initial_weights, load_vae
from train.command import exit_with_one_line, run_stage
from train.config import ConfigError, FlowConfig
from train.data.augment import AugmentConfig, plain_batch, random_batch
from train.ema import EMA
from train.loop import TrainingLoop
from train.metrics import lmse, psnr_srgb
from train.networks.config import CONFIGS, LATENT_DOWNSCALE
from train.networks.model import SAMPLING_NOISE_SCALE, IntrinsicFlow, latent_shape
from train.networks.vae import encode_albedo
from train.run import Run
from train.session import Session, open_perceptual, open_session, optimizer_for
from train.time_sampling import sample_times

log = logging.getLogger(__name__)


@torch.no_grad()
def validate(session: Session, model: IntrinsicFlow, run: Run, step: int) -> dict[str, float]:
    """Decompose whole validation views in two steps from fixed noise.

    LMSE of albedo and of shading = image / albedo beside the trivial answers (the image as albedo, its grey as shading),
    PSNR of albedo in sRGB encoding, a grid of the first eight.
    """
    scores: dict[str, list[torch.Tensor]] = {}
    for chunk in session.validation_chunks():
        batch = plain_batch(session.validation, chunk)
        generator = torch.Generator(session.device).manual_seed(0)
        shape = latent_shape(len(chunk), *batch.image.shape[-2:])
        noise = SAMPLING_NOISE_SCALE * torch.randn(shape, device=session.device, generator=generator)
        with session.autocast():
            albedo = model(batch.image, noise).float().clamp(min=1e-3)
        shading = batch.exposed / albedo
        gray = batch.exposed.mean(1, keepdim=True).expand_as(batch.exposed)
        row = {
            "albedo_psnr_srgb": psnr_srgb(albedo, batch.albedo, batch.mask),
            "albedo_lmse": lmse(albedo, batch.albedo, batch.mask),
            "albedo_lmse_image": lmse(batch.exposed, batch.albedo, batch.mask),
            "shading_lmse": lmse(shading, batch.shading, batch.mask),
            "shading_lmse_gray_image": lmse(gray, batch.shading, batch.mask),
        }
        if not scores:
            run.grid(step, [x[:8] for x in (batch.image, albedo, batch.albedo, shading * 0.5, batch.shading * 0.5)])
        for name, values in row.items():
            scores.setdefault(name, []).append(values)
    return {name: torch.cat(values).mean().item() for name, values in scores.items()}


def train(config: FlowConfig, folder: Path, resume: bool = False, init: str | None = None) -> dict[str, float]:
    """Train, writing into `folder`; returns the last validation scores."""
    began = time.monotonic()
    network = CONFIGS[config.network]
    model = IntrinsicFlow(network)
    if init:
        model.load_state_dict(load_initial_weights(init))
    elif not resume:
        if config.vae is None:
            raise ConfigError("--vae: found none, expected the run folder of train.vae (or --init BUNDLE)")
        vae, vae_network = load_vae(config.vae)
        if vae_network != network:
            raise ConfigError(f"--vae: found a VAE of network {vae_network.name!r}, expected {network.name!r}")
        model.vae.load_state_dict(vae.state_dict())
        if not model.encoder.start_from(vae.encoder):
            log.info("network %s: the conditioning encoder starts from random weights", network.name)
    session = open_session(config)
    perceptual = open_perceptual(config, session)
    model = session.place(model)
    model.vae.eval().requires_grad_(False)
    ema = EMA(model, config.ema_decay)
    optimizer = optimizer_for(model, config, session.device)
    loop = TrainingLoop(
        "flow",
        config,
        folder,
        {"model": model, "ema": ema, "optimizer": optimizer},
        lambda run, step: validate(session, ema.model, run, step),
        resume=resume,
        device=session.device,
        began=began,
    )
    encoder = torch.compile(model.encoder) if config.compile else model.encoder
    unet = torch.compile(model.unet) if config.compile else model.unet

    for step in loop:
        generator = session.generator(step.index)
        index = session.batch_index(step.index)
        batch = random_batch(session.train, index, config.side, config.crops, AugmentConfig(), generator)
        t = sample_times(config.batch, config.t_zero, config.t_half, session.device, generator)
        t4 = t[:, None, None, None]
        with session.autocast():
            with torch.no_grad():
                x1 = model.vae.encode(batch.albedo).float()
            x0 = torch.randn(x1.shape, device=session.device, generator=generator)
            z = (1 - t4) * x0 + t4 * x1
            velocity = unet(z, t, encoder(batch.image)).float()
            coverage = F.avg_pool2d(batch.mask, LATENT_DOWNSCALE)
            weight = config.invalid_weight + (1 - config.invalid_weight) * coverage
            losses = {"velocity": ((velocity - (x1 - x0)).square() * weight).mean()}
            total = losses["velocity"]
            decoded = round(config.decoded_share * config.batch)
            if decoded:
                estimate = (z + (1 - t4) * velocity)[:decoded]
                target, mask = encode_albedo(batch.albedo[:decoded]), batch.mask[:decoded]
                prediction = model.vae.decode_encoded(estimate).float()
                losses["decoded"] = ((prediction - target).abs() * mask).mean()
                total = total + config.decoded_weight * losses["decoded"]
                if perceptual is not None:
                    seen = max(1, min(decoded, round(config.perceptual_share * config.batch)))
                    losses["perceptual"] = perceptual(prediction[:seen].clamp(0, 1), target[:seen]).mean()
                    total = total + config.perceptual_weight * losses["perceptual"]
        losses["total"] = total
        loop.update(model, optimizer, losses)
        loop.record(losses)

    return loop.finish()


def main(argv: list[str] | None = None) -> None:
    run_stage(FlowConfig, train, __doc__, argv)


if __name__ == "__main__":
    exit_with_one_line(main)
