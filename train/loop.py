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

from intrinsic_flow.train.checkpoint import load_checkpoint, require_parts, save_checkpoint
from intrinsic_flow.train.ema import EMA
from intrinsic_flow.train.run import Run
from intrinsic_flow.train.schedule import (
    Progress,
    constant_factor,
    learning_rate_factor,
    parse_decay,
    parse_duration,
)
from intrinsic_flow.train.session import Session, TrainingStopped
from intrinsic_flow.train.stopping import patient, requested, stop

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
    get the schedule's learning rate. Between steps the loop logs, validates and saves at the configured intervals; of
    several processes only the main one does, and all go on for the same number of steps. A signal to any of them lets the
    step end, saves and raises Stopped.
    """

    def __init__(
        self,
        stage: str,
        session: Session,
        folder: Path,
        parts: dict[str, Any],
        validate: Validate,
        *,
        resume: bool,
        began: float,
    ):
        """began: `time.monotonic()` when the command started; loading counts towards the time limit."""
        self.stage, self.folder, self.parts = stage, folder, parts
        self.config, self.processes = session.config, session.processes
        self.step, used = 0, 0.0
        state: dict[str, Any] = {}
        if resume:
            state = load_checkpoint(folder, stage, session.device)
            require_parts(state, parts, folder)
            for name, part in parts.items():
                part.load_state_dict(state[name])
            self.step, used = state["step"], state["seconds"]
        self._decay = self._begun_decay(state, used) if self.config.decay else None
        self._optimizers = [part for part in parts.values() if isinstance(part, torch.optim.Optimizer)]
        self._validate_function = validate
        if self.processes.main:
            self._run = Run(folder, self.config.to_dict(), self.step if resume else None)
            if session.device.type == "cuda":
                # The first use of a GPU loads its libraries: no measure of what later validations take.
                validate(self._run, self.step)
        validation_began = time.monotonic()
        if self.processes.main:
            validate(self._run, self.step)
        reserve = 3 * (time.monotonic() - validation_began) + 5
        used_now = used + time.monotonic() - began
        if self.config.decay and self._decay:
            steps, limit = parse_decay(self.config.decay)
            self.progress = Progress(steps, limit, used_now, reserve, self._decay["step"], self._decay["seconds"])
        else:
            limit = parse_duration(self.config.time_limit) if self.config.time_limit else None
            self.progress = Progress(self.config.steps, limit, used_now, reserve)
        self._window: list[dict[str, Tensor]] = []
        self._images = 0
        self._window_began = time.monotonic()
        self._rate = 0.0

    def __iter__(self) -> Iterator[Step]:
        with patient():
            while (now := self._progress()) < 1:
                self._rate = self._learning_rate(now)
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
                if self.processes.any(requested() is not None):
                    self.save()
                    stop(self.step)

    def _begun_decay(self, state: dict[str, Any], used: float) -> dict[str, Any]:
        """Where the decay began: step, seconds and learning rate; as the checkpoint says, or here."""
        optimizer = state.get("optimizer")
        rate = optimizer["param_groups"][0]["lr"] if optimizer else self.config.learning_rate
        return state.get("decay") or {"step": self.step, "seconds": used, "rate": rate}

    def _learning_rate(self, now: float) -> float:
        if self._decay:
            # Fresh weights have no moments yet: their rate warms up as ever.
            ramp = constant_factor(self.step) if self._decay["step"] == 0 else 1.0
            return self._decay["rate"] * min(ramp, 1 - now)
        if self.config.schedule == "constant":
            return self.config.learning_rate * constant_factor(self.step)
        return self.config.learning_rate * learning_rate_factor(now, self.step)

    def _progress(self) -> float:
        """Progress before the next step, the same in every process: their clocks differ."""
        now = self.progress.at(self.step)
        return self.processes.agree(now) if self.progress.time_limit else now

    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Back-propagate `losses["total"]` into `model`, clip, step and average. TrainingStopped on a non-finite loss.

        losses: this process's parts (`Processes.share`). Returns the losses of the whole batch and the gradient's norm.
        """
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        trained = [p for p in model.parameters() if p.requires_grad]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip_norm)
        means = self.mean(losses | {"gradient_norm": norm})
        optimizer.step()
        ema: EMA[nn.Module] = self.parts["ema"]
        ema.update(model)
        return means

    def mean(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of the whole batch from those of each process, on the CPU (one wait for the device, not one a loss).

        All processes see the same, so a non-finite one raises TrainingStopped in all of them.
        """
        stacked = torch.stack([value.float() for value in losses.values()])
        means = dict(zip(losses, self.processes.average(stacked).cpu().unbind()))
        require_finite(means, self.step)
        return means

    def record(self, values: dict[str, Tensor], images: int) -> None:
        """Keep a step's scalars, of so many images; their means are logged."""
        self._window.append(values)
        self._images += images

    def save(self) -> None:
        """Write the checkpoint."""
        if not self.processes.main:
            return
        state = {
            "stage": self.stage,
            "network": self.config.network_config().to_dict(),
            "training": self.config.to_dict(),
            "step": self.step,
            "seconds": self.progress.elapsed(),
        }
        if self._decay:
            state["decay"] = self._decay
        save_checkpoint(self.folder, state | {name: part.state_dict() for name, part in self.parts.items()})

    def finish(self) -> dict[str, float]:
        """Save, validate and plot; returns the scores (in processes other than the main one, none)."""
        self.save()
        scores = self._validate()
        if self.processes.main:
            log.info("done after %d steps, %.0f s", self.step, self.progress.elapsed())
        return scores

    def _validate(self) -> dict[str, float]:
        if not self.processes.main:
            return {}
        scores = self._validate_function(self._run, self.step)
        self._run.log(self.step, "validation", scores)
        self._run.plot()
        log.info("validation at step %d: %s", self.step, "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        self._window_began = time.monotonic()
        return scores

    def _log_window(self, now: float) -> None:
        window, images, seconds = self._window, self._images, time.monotonic() - self._window_began
        self._window, self._images, self._window_began = [], 0, time.monotonic()
        if not self.processes.main:
            return
        # A loss that is switched on within the window is averaged over the steps that had it.
        means = {name: torch.stack([row[name] for row in window if name in row]).mean().item() for name in window[-1]}
        speed = images / seconds
        extra = {"learning_rate": self._rate, "images_per_second": speed, "progress": now}
        self._run.log(self.step, "train", means | extra)
        losses = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        log.info("step %d  %3.0f%%  %s  %.0f images/s", self.step, 100 * now, losses, speed)


def require_finite(losses: dict[str, Tensor], step: int) -> None:
    """TrainingStopped that names the first non-finite loss."""
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise TrainingStopped(
                f"step {step}: found {name} = {value.item()}, expected a finite loss; nothing of this step is kept"
            )
