"""What both training commands set up alike: device, data, autocast, seeded generators, and stopping."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.config import ConfigError, TrainingConfig
from train.data.procedural import procedural_views
from train.data.store import ViewStore, build_store, load_store, shard_paths
from train.perceptual import PerceptualDistance

log = logging.getLogger(__name__)


class TrainingStopped(Exception):
    """Training cannot go on (a non-finite loss). One line."""


@dataclass(frozen=True)
class Session:
    """Device and data of one run."""

    config: TrainingConfig
    device: torch.device
    train: ViewStore
    validation: ViewStore

    def autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def place(self, module: nn.Module) -> nn.Module:
        """Move to the device; channels-last on CUDA only (on CPUs its group-norm backward crashes in torch 2.13)."""
        module = module.to(self.device)
        return module.to(memory_format=torch.channels_last) if self.device.type == "cuda" else module

    def generator(self, step: int) -> torch.Generator:
        """The generator of one step: a function of seed and step, so that resuming needs no saved state."""
        return torch.Generator(self.device).manual_seed((self.config.seed * 1_000_003 + step) * 2 + 1)

    def batch_index(self, step: int) -> Tensor:
        """Indices (batch,) of one step: a fresh permutation of the views every epoch, derived from the seed."""
        count, batch = len(self.train), self.config.batch
        positions = torch.arange(step * batch, (step + 1) * batch)
        index = torch.empty(batch, dtype=torch.long)
        for epoch in torch.unique(positions // count).tolist():
            order = torch.randperm(count, generator=torch.Generator().manual_seed(self.config.seed * 7_919 + epoch))
            inside = positions // count == epoch
            index[inside] = order[positions[inside] % count]
        return index.to(self.device)

    def validation_chunks(self, size: int = 16) -> Iterator[Tensor]:
        """Indices of the validation views, in chunks."""
        return iter(torch.arange(len(self.validation), device=self.device).split(size))


def open_session(config: TrainingConfig) -> Session:
    """Choose the device, load the data onto it. ShardError or ConfigError on bad input."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device: found no usable CUDA device, expected one (or --device cpu)")
    if config.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: found {config.device!r}, expected auto, cpu or cuda")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    device = torch.device(name)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    torch.manual_seed(config.seed)
    start = time.monotonic()
    if config.data == "procedural":
        side = max(config.side, 64)
        train = build_store(procedural_views(config.limit or 64, side, seed=1))
        validation = build_store(procedural_views(min(config.validation_views, 16), side, seed=2))
    else:
        train = load_store(shard_paths(config.data, "train"), config.limit)
        validation = load_store(shard_paths(config.data, "val"), config.validation_views)
    log.info(
        "%d training and %d validation views of %dx%d in memory on %s after %.0f s",
        len(train),
        len(validation),
        *train.size,
        device,
        time.monotonic() - start,
    )
    return Session(config, device, train.to(device), validation.to(device))


def open_perceptual(config: TrainingConfig, session: Session) -> PerceptualDistance | None:
    """The perceptual network on the device, or None when it is switched off."""
    if config.perceptual_network == "none":
        return None
    return session.place(PerceptualDistance(config.perceptual_network, config.perceptual_weights))


def optimizer_for(model: nn.Module, config: TrainingConfig, device: torch.device) -> torch.optim.AdamW:
    """AdamW; biases and norm weights (one-dimensional parameters) are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=device.type == "cuda")
