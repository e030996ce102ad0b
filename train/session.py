"""What both training commands set up alike: device, processes, data, autocast, the seeded order of steps, and stopping."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import torch
import torch._functorch.config
from torch import Tensor, nn

from intrinsic_flow.train.config import ConfigError, TrainingConfig
from intrinsic_flow.train.data.buckets import Bucket
from intrinsic_flow.train.data.cache import mapped_views
from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.data.mixture import Source, assign, parse_sources
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shards import ShardError
from intrinsic_flow.train.data.store import Views, ViewStore, build_views, load_views, shard_paths
from intrinsic_flow.train.distributed import Processes, join_processes
from intrinsic_flow.train.perceptual import open_distance
from intrinsic_flow.train.precision import choose_precision

log = logging.getLogger(__name__)
ModuleT = TypeVar("ModuleT", bound=nn.Module)


class TrainingStopped(Exception):
    """Training cannot go on (a non-finite loss). One line."""


@dataclass(frozen=True)
class StepPlan:
    """What one step trains on. bucket: its size and its number of images; index: (rows,) numbers of this process's views;
    draws: its rows of the step's random numbers.
    """

    bucket: Bucket
    index: Tensor
    draws: Draws

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.bucket.height, self.bucket.width


@dataclass(frozen=True)
class Session:
    """Device, processes and data of one run. fitting: for each bucket, the numbers of the views that it may use. sources:
    for each folder with a weight of its own, in the order of the views, how many views it has, and the weight.
    """

    config: TrainingConfig
    device: torch.device
    processes: Processes
    train: Views
    validation: Views
    buckets: tuple[Bucket, ...]
    fitting: tuple[Tensor, ...]
    sources: tuple[tuple[int, float], ...]

    def autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def place(self, module: ModuleT) -> ModuleT:
        """Move to the device, channels-last: convolutions then convert no layouts, on GPUs and on CPUs."""
        for part in module.modules():
            if isinstance(part, nn.GroupNorm):
                part.register_forward_pre_hook(_with_gradient)
        # A documented overload that torch's stub lacks.
        return module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @overload
    def prepare(self, function: nn.Module) -> nn.Module: ...

    @overload
    def prepare(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]: ...

    def prepare(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`compile` a module or one of its methods (if configured), a graph for each bucket's shape, for training steps."""
        return torch.compile(function, dynamic=False) if self.config.compile else function

    def plan(self, step: int, whole: bool = False) -> StepPlan:
        """What `step` trains on, a function of seed and step alone: resuming needs no saved state, and any number of
        processes sees the same batch. whole: all rows, not only this process's.

        The buckets come in random order, each once in as many steps as there are buckets. Each goes through its own views
        in a fresh permutation every epoch.
        """
        seed, count = self.config.seed, len(self.buckets)
        turn, place = divmod(step, count)
        number = int(_permutation(count, seed * 104_729 + turn)[place])
        bucket, fitting = self.buckets[number], self.fitting[number]
        positions = torch.arange(turn * bucket.batch, (turn + 1) * bucket.batch)
        parts = [(views, weight) for views, weight in self._parts(fitting) if len(views)]
        chosen, places = torch.zeros_like(positions), positions
        if len(parts) > 1:
            chosen, places = assign(positions, [weight for _, weight in parts], seed * count + number)
        index = torch.empty(bucket.batch, dtype=torch.long)
        for part, (views, _) in enumerate(parts):
            epochs = places // len(views)
            for epoch in torch.unique(epochs[chosen == part]).tolist():
                order = _permutation(len(views), ((seed * 7_919 + epoch) * count + number) * len(parts) + part)
                inside = (chosen == part) & (epochs == epoch)
                index[inside] = views[order[places[inside] % len(views)]]
        rows = slice(None) if whole else self.processes.rows(bucket.batch)
        generator = torch.Generator(self.device).manual_seed((seed * 1_000_003 + step) * 2 + 1)
        return StepPlan(bucket, index[rows], Draws(generator, bucket.batch, rows))

    def _parts(self, fitting: Tensor) -> Iterator[tuple[Tensor, float]]:
        """The numbers of views in `fitting` that each source has, and its weight."""
        first = 0
        for count, weight in self.sources:
            yield fitting[(fitting >= first) & (fitting < first + count)], weight
            first += count

    def validation_chunks(self, pixels: int = 16 * 256 * 256) -> Iterator[tuple[ViewStore, Tensor]]:
        """The validation views in chunks of about `pixels`: (store, indices into it)."""
        for store in self.validation.stores:
            yield from (
                (store, chunk)
                for chunk in torch.arange(len(store), device=self.device).split(max(1, pixels // math.prod(store.size)))
            )


def _with_gradient(norm: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """On CPUs torch 2.13 ends in a segmentation fault where a channels-last group norm has trained weights and an input
    that needs no gradient, as behind frozen layers: let it have one.
    """
    (x,) = inputs
    frozen = torch.is_grad_enabled() and not x.requires_grad and x.device.type == "cpu"
    return (x.detach().requires_grad_(),) if frozen else inputs


def _permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def open_session(config: TrainingConfig) -> Session:
    """Choose the device, join the other processes, load the data. ShardError or ConfigError on bad input."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device: found no usable CUDA device, expected one (or --device cpu)")
    if config.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: found {config.device!r}, expected auto, cpu or cuda")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    processes = join_processes(name)
    device = processes.device
    buckets = config.bucket_list()
    smallest = min(buckets, key=lambda bucket: bucket.batch)
    if smallest.batch < processes.world:
        raise ConfigError(f"--batch: found bucket {smallest}, expected an image for each of {processes.world} processes")
    if config.compile:
        # The default would leave the ninth shape of a network uncompiled; training has up to two for each bucket.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 2 * len(buckets))
        # The adversarial term's weight takes gradients through the decoder twice before the backward pass.
        torch._functorch.config.donated_buffer = False
    start = time.monotonic()
    sources, parts = parse_sources(config.data), None
    if config.data == ("procedural",):
        side = max(64, *(max(bucket.height, bucket.width) for bucket in buckets))
        train = build_views(procedural_views(config.limit or 64, side, seed=1))
        validation = build_views(procedural_views(min(config.validation_views, 16), side, seed=2))
    else:
        found = [_load(config, [source], "train", config.limit) for source in sources]
        train = Views(tuple(store for views in found for store in views.stores))
        if sources[0].weight is not None:
            parts = tuple((len(views), source.weight or 1.0) for views, source in zip(found, sources))
        validation = _load(config, sources, "val", config.validation_views)
    if config.precision == "auto":
        chosen = choose_precision(config.network_config(), device) if processes.main else "fp32"
        precision = "bf16" if processes.agree(float(chosen == "bf16")) else "fp32"
        config = dataclasses.replace(config, precision=precision)
    fitting = tuple(train.fitting(bucket.height, bucket.width, config.max_enlargement) for bucket in buckets)
    if processes.main:
        for name, views in (("training", train), ("validation", validation)):
            sizes = ", ".join(f"{count} of {width}x{height}" for (height, width), count in views.sizes.items())
            log.info("%s views: %s", name, sizes)
        log.info("%s on %s after %.0f s", "mapped" if config.cache else "in memory", device, time.monotonic() - start)
    for bucket, numbers in zip(buckets, fitting):
        if not len(numbers):
            sizes = ", ".join(f"{width}x{height}" for height, width in train.sizes)
            raise ConfigError(
                f"--buckets: found views of {sizes}, expected some for {bucket.width}x{bucket.height} pixels "
                f"(enlarged at most {config.max_enlargement:g} times, --max-enlargement)"
            )
        if processes.main:
            log.info("bucket %s: %d views", bucket, len(numbers))
    return Session(
        config, device, processes, train.to(device), validation.to(device), buckets, fitting, parts or ((len(train), 1.0),)
    )


def _load(config: TrainingConfig, sources: Sequence[Source], split: str, limit: int | None) -> Views:
    """The views of a split, at most `limit` of them; several sources give about as many each."""
    paths = []
    for source in sources:
        try:
            paths.append(shard_paths(source.folder, split))
        except ShardError:
            # One folder of several may have no views to validate on.
            if len(sources) == 1:
                raise
    if not paths:
        raise ShardError(f"{', '.join(source.folder for source in sources)}: found no {split}-*.tar, expected some")
    share = limit if limit is None else math.ceil(limit / len(paths))
    read = [mapped_views(some, config.cache, share) if config.cache else load_views(some, share) for some in paths]
    return Views(tuple(store for views in read for store in views.stores))


def open_perceptual(config: TrainingConfig) -> nn.Module | None:
    """The perceptual distance, or None when it is switched off. PerceptualError for one that cannot be had."""
    if config.perceptual_network == "none":
        return None
    return open_distance(config.perceptual_network, config.perceptual_weights, config.perceptual_layers)


def optimizer_for(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW; biases and norm weights (one-dimensional parameters) are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
