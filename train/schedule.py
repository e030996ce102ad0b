"""Learning-rate schedule over training progress, which is counted in steps or in wall-clock time."""

from __future__ import annotations

import math
import re
import time

RAMP_STEPS = 50
# A schedule without an end has no share of it to warm up in.
CONSTANT_RAMP_STEPS = 200
SCHEDULES = ("cosine", "constant")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """`90s`, `9m`, `1.5h` or plain seconds -> seconds. ValueError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or float(match[1]) <= 0:
        raise ValueError(f"duration: found {text!r}, expected something like 90s, 9m or 1.5h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def learning_rate_factor(progress: float, step: int | None = None, warmup: float = 0.02, floor: float = 0.02) -> float:
    """Linear warm-up, then cosine decay to `floor`. progress in [0, 1] -> factor on the peak learning rate.

    step: steps done; the warm-up takes at least RAMP_STEPS, for where time is what counts, loading and compiling may use up
    the progress that it is given.
    """
    ramp = 1.0 if step is None else min(1.0, (step + 1) / RAMP_STEPS)
    if progress < warmup:
        return min(max(progress, 1e-3) / warmup, ramp)
    return min(floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))), ramp)


def constant_factor(step: int) -> float:
    """Factor of a constant learning rate after `step` steps: linear warm-up over CONSTANT_RAMP_STEPS, then 1."""
    return min(1.0, (step + 1) / CONSTANT_RAMP_STEPS)


def parse_decay(text: str) -> tuple[int | None, float | None]:
    """`20m` -> (None, 1200.0), `500 steps` -> (500, None). ValueError otherwise."""
    if match := re.fullmatch(r"([1-9]\d*)\s*steps", text.strip()):
        return int(match[1]), None
    try:
        return None, parse_duration(text)
    except ValueError:
        raise ValueError(f"found {text!r}, expected a time like 20m or a number like `500 steps`") from None


class Progress:
    """How far a run is: the larger of steps done and of time used, so that a schedule ends inside either budget.

    steps: steps in all, or None. time_limit: seconds in all, or None; `reserve` seconds of it are kept for what follows
    the last step. used: seconds that earlier parts of a resumed run took. Without a budget progress stays 0.
    first_step, first_second: where the part of the run begins that the budget is for.
    """

    def __init__(
        self,
        steps: int | None,
        time_limit: float | None,
        used: float = 0.0,
        reserve: float = 0.0,
        first_step: int = 0,
        first_second: float = 0.0,
    ):
        self.steps, self.time_limit, self.reserve = steps, time_limit, reserve
        self.first_step, self.first_second = first_step, first_second
        self._start = time.monotonic() - used

    def elapsed(self) -> float:
        """Seconds of this run so far, earlier parts included."""
        return time.monotonic() - self._start

    def at(self, step: int) -> float:
        """Progress in [0, 1] after `step` steps."""
        by_steps = (step - self.first_step) / self.steps if self.steps else 0.0
        by_time = 0.0
        if self.time_limit:
            by_time = (self.elapsed() - self.first_second) / max(self.time_limit - self.reserve, 1e-9)
        return min(1.0, max(by_steps, by_time))
