"""The training loop that both stages share: schedule, metrics, validation, checkpoints, resuming."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import TrainingConfig
from train.ema import EMA
from train.networks.config import CONFIGS
from train.run import Run
from train.schedule import Progress, learning_rate_factor, parse_duration
from train.session import TrainingStopped

log = logging.getLogger(__name__)
Validate = Callable[[Run, int], dict[str, float]]


@dataclass(frozen=True)
class Step:
    """index: steps done before this one. progress: of the whole run, in [0, 1)."""

    index: int
    progress: float


class TrainingLoop:
    """Iterate over it for the steps; call `record` once in each, and `finish` after the last.

    parts: everything with a state that resuming needs, by name; `model` and `ema` among them. Optimisers among the parts
    get the schedule's learning rate. Between steps the loop logs, validates and saves at the configured intervals.
    """

    def __init__(
        self,
        stage: str,
        config: TrainingConfig,
        folder: Path,
        parts: dict[str, Any],
        validate: Validate,
        *,
        resume: bool,
        device: torch.device,
        began: float,
    ):
        """began: `time.monotonic()` when the command started; loading counts towards the time limit."""
        self.stage, self.config, self.folder, self.parts = stage, config, folder, parts
        self.step, used = 0, 0.0
        if resume:
            state = load_checkpoint(folder, stage, device)
            for name, part in parts.items():
                part.load_state_dict(state[name])
            self.step, used = state["step"], state["seconds"]
        self._optimizers = [part for part in parts.values() if isinstance(part, torch.optim.Optimizer)]
        self._run = Run(folder, config.to_dict(), self.step if resume else None)
        self._validate_function = validate
        validation_began = time.monotonic()
        validate(self._run, self.step)
        reserve = 3 * (time.monotonic() - validation_began) + 5
        limit = parse_duration(config.time_limit) if config.time_limit else None
        self.progress = Progress(config.steps, limit, used + time.monotonic() - began, reserve)
        self._window: list[dict[str, Tensor]] = []
        self._window_began = time.monotonic()
        self._rate = 0.0

    def __iter__(self) -> Iterator[Step]:
        while (now := self.progress.at(self.step)) < 1:
            self._rate = self.config.learning_rate * learning_rate_factor(now)
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self._rate
            yield Step(self.step, now)
            self.step += 1
            if self.step % self.config.log_every == 0:
                self._log_window(now)
            if self.step % self.config.validate_every == 0:
                self._validate()
            if self.step % self.config.save_every == 0:
                self.save()

    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> None:
        """Back-propagate `losses["total"]` into `model`, clip, step and average. TrainingStopped on a non-finite loss."""
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        trained = [p for p in model.parameters() if p.requires_grad]
        losses["gradient_norm"] = nn.utils.clip_grad_norm_(trained, self.config.clip_norm)
        require_finite(losses, self.step)
        optimizer.step()
        ema: EMA = self.parts["ema"]
        ema.update(model)

    def record(self, values: dict[str, Tensor]) -> None:
        """Keep a step's scalars; their means are logged."""
        self._window.append({name: value.detach() for name, value in values.items()})

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "stage": self.stage,
            "network": CONFIGS[self.config.network].to_dict(),
            "training": self.config.to_dict(),
            "step": self.step,
            "seconds": self.progress.elapsed(),
        }
        save_checkpoint(self.folder, state | {name: part.state_dict() for name, part in self.parts.items()})

    def finish(self) -> dict[str, float]:
        """Save, validate and plot; returns the scores."""
        self.save()
        scores = self._validate()
        log.info("done after %d steps, %.0f s", self.step, self.progress.elapsed())
        return scores

    def _validate(self) -> dict[str, float]:
        scores = self._validate_function(self._run, self.step)
        self._run.log(self.step, "validation", scores)
        self._run.plot()
        log.info("validation at step %d: %s", self.step, "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        self._window_began = time.monotonic()
        return scores

    def _log_window(self, now: float) -> None:
        # A loss that is switched on within the window is averaged over the steps that had it.
        means = {
            name: torch.stack([row[name] for row in self._window if name in row]).mean().item() for name in self._window[-1]
        }
        speed = len(self._window) * self.config.batch / (time.monotonic() - self._window_began)
        extra = {"learning_rate": self._rate, "images_per_second": speed, "progress": now}
        self._run.log(self.step, "train", means | extra)
        losses = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        log.info("step %d  %3.0f%%  %s  %.0f images/s", self.step, 100 * now, losses, speed)
        self._window, self._window_began = [], time.monotonic()


def require_finite(losses: dict[str, Tensor], step: int) -> None:
    """TrainingStopped that names the first non-finite loss."""
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise TrainingStopped(
                f"step {step}: found {name} = {value.item()}, expected a finite loss; nothing of this step is kept"
            )
