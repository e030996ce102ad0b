"""What every backend of `benchmarks.latency` computes: one workload, the same inputs for all, the same names of stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from intrinsic_flow.decomposition.bundle import LATENT_CHANNELS, LATENT_DOWNSCALE

STAGES = ("encoder", "velocity_step", "decoder")
Call = Callable[[], object]


@dataclass(frozen=True)
class Workload:
    """batch pictures of resolution x resolution in `steps` Euler steps. threads: CPU threads of each library."""

    batch: int
    resolution: int
    steps: int
    threads: int

    @property
    def image(self) -> np.ndarray:
        """(batch, 3, resolution, resolution) float32 in [0, 1], the same at every call."""
        shape = (self.batch, 3, self.resolution, self.resolution)
        return np.random.default_rng(0).random(shape, dtype=np.float32)

    @property
    def noise(self) -> np.ndarray:
        """(batch, 12, resolution / 8, resolution / 8) float32, standard normal, the same at every call."""
        side = self.resolution // LATENT_DOWNSCALE
        shape = (self.batch, LATENT_CHANNELS, side, side)
        return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)

    def labels(self) -> dict[str, object]:
        return {"batch": self.batch, "resolution": self.resolution, "steps": self.steps, "threads": self.threads}


@dataclass
class Variant:
    """One way in which a backend can compute a workload, open and ready.

    device: "cpu" or "cuda". calls: "network" (host arrays in, host array out) and, where it has them, the stages. answer:
    the network's albedo as a float32 array. phases: where there is a device, one call's parts in ms, "h2d_ms",
    "compute_ms", "d2h_ms" and "enqueue_ms". closers: what to call when it is done.
    """

    backend: str
    precision: str
    name: str
    device: str
    calls: dict[str, Call]
    answer: Callable[[], np.ndarray]
    phases: Callable[[], Mapping[str, float]] | None = None
    closers: list[Call] = field(default_factory=list)

    def labels(self) -> dict[str, object]:
        return {"backend": self.backend, "precision": self.precision, "variant": self.name, "device": self.device}

    def close(self) -> None:
        self.calls.clear()
        while self.closers:
            self.closers.pop()()
