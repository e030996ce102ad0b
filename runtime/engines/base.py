"""The interface that every engine has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np


class Engine(ABC):
    """Runs the graphs of one bundle. The graphs' tensors are those of `runtime.bundle.graph_specs`.

    One instance serves one thread at a time. The same inputs give the same bytes, whatever ran before.
    """

    name: str

    @abstractmethod
    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph ("encoder", "velocity_step", ...) on named float32 inputs, returns its named float32 outputs.

        The outputs belong to the caller.
        """

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        """Encoder, `steps` Euler steps of the flow from t = 0 to 1, decoder.

        image: (B, 3, H, W) float32, linear light in [0, 1], sides multiples of 32. noise: (B, 12, H / 8, W / 8) float32.
        Returns the albedo, (B, 3, H, W) float32, linear in [0, 1]. An engine with memory of its own overrides this, so
        that features and latents stay there.
        """
        features = self.run("encoder", {"image": image})
        z, dt = noise, np.array([1 / steps], np.float32)
        for step in range(steps):
            t = np.array([step / steps], np.float32)
            z = self.run("velocity_step", {"z": z, "t": t, "dt": dt, **features})["z_next"]
        return self.run("decoder", {"z": z})["albedo"]

    @abstractmethod
    def describe(self) -> str:
        """One line for logs and reports: library, version, provider, precision, threads."""

    @abstractmethod
    def close(self) -> None:
        """Frees what the engine holds; a second call does nothing. Running it afterwards raises RuntimeError."""
