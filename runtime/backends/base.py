"""The interface that every backend has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np


class Backend(ABC):
    """Runs the graphs of one bundle. The graphs' tensors are those of `intrinsic_flow.decomposition.bundle.graph_specs`.

    One instance serves one thread at a time. The same inputs give the same bytes, whatever ran before.
    """

    name: str
    #: Where "auto" chose this backend: its name and why none of those before it.
    choice: str = ""
    #: Larger images go through the upsampler in strips of so many pixels.
    strip_pixels: int = 1 << 22
    #: Whether the graphs run on the processor that NumPy and OpenCV run on.
    on_cpu: bool = False

    @property
    def precision(self) -> str:
        """What the networks compute in: "fp32", "bf16" or "fp16"."""
        return "fp32"

    @abstractmethod
    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph ("encoder", "velocity_step", ...) on named float32 inputs, returns its named float32 outputs.

        feeds: may hold more than the graph takes, so that callers need not know which graphs a bundle's network has made
        richer. The outputs belong to the caller.
        """

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        """Encoder, `steps` Euler steps of the flow from t = 0 to 1, decoder.

        image: (B, 3, H, W) float32, linear light in [0, 1], sides multiples of 32. noise: (B, 12, H / 8, W / 8) float32.
        Returns the albedo, (B, 3, H, W) float32, linear in [0, 1]. A backend with memory of its own overrides this, so
        that features and latents stay there.
        """
        features = self.run("encoder", {"image": image})
        z, dt = noise, np.array([1 / steps], np.float32)
        for step in range(steps):
            t = np.array([step / steps], np.float32)
            z = self.run("velocity_step", {"z": z, "t": t, "dt": dt, **features})["z_next"]
        return self.run("decoder", {"z": z, "image": image})["albedo"]

    def decompose(
        self, image: np.ndarray, noise: np.ndarray, steps: int, guide: np.ndarray, full: np.ndarray
    ) -> np.ndarray:
        """`network`, the shading that its albedo leaves, and the upsampler, on the whole of an image.

        image, noise, steps: as for `network`. guide: (B, 3, h, w) float32, linear light times gain, unclipped; clipped and
        padded at the bottom and the right it is `image`. full: (B, 3, H, W) float32, the same at full resolution, H * W at
        most `strip_pixels` or H = 1.
        Returns the shading, (B, 3, H, W) float32, linear, positive. A backend with memory of its own may override this, so
        that nothing comes back in between.
        """
        low = self.run("low_shading", {"albedo": self.network(image, noise, steps), "guide": guide})
        feeds = {**low, "guide": guide, "image": full, "rows": np.array([0, full.shape[2]], np.float32)}
        (result,) = self.run_many("upsampler", [feeds], ("shading",))
        return result["shading"]

    def run_many(
        self, graph: str, calls: Iterable[Mapping[str, np.ndarray]], outputs: Collection[str] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Runs a graph on each of several sets of inputs, in order; a backend may draw one set ahead of the results.

        outputs: names of those wanted; a backend may leave out the others.
        """
        for feeds in calls:
            yield self.run(graph, feeds)

    def network_many(self, images: Iterable[np.ndarray], noise: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        """`network` on each of several images or batches, in order; a backend may draw one ahead of the results."""
        for image in images:
            yield self.network(image, noise, steps)

    def parallel(self) -> Backend | None:
        """A backend for the same graphs, of the same results, that several threads may run at once, each on one core; None
        where there is none. It is closed with this one."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """One line for logs and reports: library, version, provider, precision, threads."""

    @abstractmethod
    def close(self) -> None:
        """Frees what the backend holds; a second call does nothing. Running it afterwards raises RuntimeError."""
