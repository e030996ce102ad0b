"""Train stage 2: conditioning encoder and velocity UNet by flow matching in the frozen VAE's latent space.

    python -m train.flow --data shards/ --vae runs/vae --perceptual-weights squeezenet.pth --time-limit 1h -o runs/flow
    python -m train.flow --config train/recipes/tiny.yaml --vae runs/tiny --steps 20 -o runs/tiny-flow

With x0 ~ N(0, I), x1 the normalised albedo latent and z_t = (1-t) x0 + t x1, the UNet learns v = x1 - x0 (Lipman et al.
2023); the decoded one-step estimate z_t + (1-t) v is compared with the albedo, by L1 and by a perceptual distance.
The run folder gets config.yaml, metrics.jsonl, losses.png, grids/ (input | albedo | truth | shading | truth) and
checkpoint.pt. Ctrl-C loses nothing since the last checkpoint: `python -m train.flow --resume runs/flow` goes on exactly.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from train.checkpoint import load_checkpoint, load_initial_weights, load_vae, save_checkpoint
from train.config import ConfigError, FlowConfig, add_options, config_from_dict, read_yaml, resolve_config
from train.data.augment import AugmentConfig, plain_batch, random_batch
from train.ema import EMA
from train.metrics import lmse, psnr_srgb
from train.networks.config import CONFIGS, LATENT_DOWNSCALE
from train.networks.model import IntrinsicFlow, latent_shape
from train.networks.vae import encode_albedo
from train.run import Run
from train.schedule import Progress, learning_rate_factor, parse_duration
from train.session import (
    Session,
    open_perceptual,
    open_session,
    optimizer_for,
    require_finite,
    run_command,
)
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
        noise = torch.randn(latent_shape(len(chunk), *batch.image.shape[-2:]), device=session.device, generator=generator)
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
    session = open_session(config)
    perceptual = open_perceptual(config, session)
    model = session.place(model)
    model.vae.eval().requires_grad_(False)
    ema = EMA(model, config.ema_decay)
    optimizer = optimizer_for(model, config, session.device)
    parts = {"model": model, "ema": ema, "optimizer": optimizer}
    step, used = 0, time.monotonic() - began
    if resume:
        state = load_checkpoint(folder, "flow", session.device)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step, used = state["step"], state["seconds"]
    run = Run(folder, config.to_dict(), step if resume else None)
    encoder = torch.compile(model.encoder) if config.compile else model.encoder
    unet = torch.compile(model.unet) if config.compile else model.unet
    trained = [p for p in model.parameters() if p.requires_grad]

    validation_began = time.monotonic()
    scores = validate(session, ema.model, run, step)
    reserve = 3 * (time.monotonic() - validation_began) + 5
    limit = parse_duration(config.time_limit) if config.time_limit else None
    progress = Progress(config.steps, limit, used + time.monotonic() - validation_began, reserve)

    def save() -> None:
        save_checkpoint(
            folder,
            {
                "stage": "flow",
                "network": network.to_dict(),
                "training": config.to_dict(),
                "step": step,
                "seconds": progress.elapsed(),
                **{name: part.state_dict() for name, part in parts.items()},
            },
        )

    window: list[dict[str, torch.Tensor]] = []
    window_began = time.monotonic()
    while (now := progress.at(step)) < 1:
        rate = config.learning_rate * learning_rate_factor(now)
        for group in optimizer.param_groups:
            group["lr"] = rate
        generator = session.generator(step)
        batch = random_batch(
            session.train, session.batch_index(step), config.side, config.crops, AugmentConfig(), generator
        )
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
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        losses["gradient_norm"] = torch.nn.utils.clip_grad_norm_(trained, config.clip_norm)
        require_finite(losses, step)
        optimizer.step()
        ema.update(model)
        step += 1
        window.append({name: value.detach() for name, value in losses.items()})
        if step % config.log_every == 0:
            means = {name: torch.stack([row[name] for row in window]).mean() for name in window[-1]}
            speed = len(window) * config.batch / (time.monotonic() - window_began)
            run.log(step, "train", {**means, "learning_rate": rate, "images_per_second": speed, "progress": now})
            log.info(
                "step %d  %3.0f%%  %s  %.0f images/s",
                step,
                100 * now,
                "  ".join(f"{name} {value:.4f}" for name, value in means.items()),
                speed,
            )
            window, window_began = [], time.monotonic()
        if step % config.validate_every == 0:
            scores = validate(session, ema.model, run, step)
            run.log(step, "validation", scores)
            run.plot()
            log.info("validation at step %d: %s", step, scores)
            window_began = time.monotonic()
        if step % config.save_every == 0:
            save()
    save()
    scores = validate(session, ema.model, run, step)
    run.log(step, "validation", scores)
    run.plot()
    log.info("done after %d steps, %.0f s: %s", step, progress.elapsed(), scores)
    return scores


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Flags of this command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", help="run folder (required unless --resume)")
    parser.add_argument("--resume", metavar="RUN", help="go on exactly where a run stopped, with its own configuration")
    parser.add_argument(
        "--init",
        metavar="BUNDLE|RUN",
        help="start from the weights of a model bundle or of a train.flow run, its VAE included",
    )
    add_options(parser, FlowConfig)
    arguments = parser.parse_args(argv)
    if not (arguments.output or arguments.resume):
        parser.error("found neither -o/--output nor --resume, expected one of them")
    return arguments


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.resume:
        path = Path(arguments.resume) / "config.yaml"
        train(config_from_dict(FlowConfig, read_yaml(path), str(path)), Path(arguments.resume), resume=True)
    else:
        train(resolve_config(FlowConfig, arguments), Path(arguments.output), init=arguments.init)


if __name__ == "__main__":
    run_command(main)
