"""Answers that are told the truth, so that each part of the error can be seen alone.

    true albedo             the network finds the true albedo; everything after it as shipped: the floor of what comes after
    VAE of the true albedo  it finds the latent of the true albedo: the floor of decoder and what comes after
    undivided               the network's decoded albedo, before the upsampler
    ours over the truth     our layers above 16 pixels of 256, the true ones below: what the coarse part costs
    the truth over ours     the reverse: what the detail costs

Where a view has no truth, the network's own answer stays in its place, at the truth's scale.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import numpy as np

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.benchmarks.scoring.baselines import Layers
from intrinsic_flow.benchmarks.scoring.datasets.base import Sample
from intrinsic_flow.benchmarks.scoring.metrics.layers import best_scale
from intrinsic_flow.benchmarks.scoring.metrics.scales import cell_of, coarse_and_detail
from intrinsic_flow.decomposition import working_size
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.decomposition.upsampling import from_nchw, to_nchw

# Of a pixel at the network's size: that much truth stands for all of it.
LEAST_KNOWN = 0.02
ORACLES = ("true albedo", "VAE of the true albedo", "undivided", "ours over the truth", "the truth over ours")


class StandInBackend(Backend):
    """A backend whose network answers something else; everything else is the model's own.

    found: what the network found last, (1, 3, H, W) float32. stand_in: the network's image -> what is answered instead,
    both of that shape; None for what the network finds.
    """

    name = "oracle"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.strip_pixels = backend.strip_pixels
        self.found: np.ndarray | None = None
        self.stand_in: Callable[[np.ndarray], np.ndarray] | None = None

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.backend.run(graph, feeds)

    def run_many(
        self, graph: str, calls: Iterable[Mapping[str, np.ndarray]], outputs: Collection[str] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        return self.backend.run_many(graph, calls, outputs)

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        if self.stand_in is not None:
            return self.stand_in(image)
        self.found = self.backend.network(image, noise, steps)
        return self.found

    def describe(self) -> str:
        return self.backend.describe()

    def close(self) -> None:
        self.backend.close()


class Oracle:
    """The answers of `ORACLES` for a model."""

    def __init__(self, model: Decomposer) -> None:
        self._backend = StandInBackend(model.backend)
        self._model = Decomposer(model.bundle, self._backend, model.options)

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> Layers:
        """An oracle is no method: TypeError."""
        raise TypeError("an oracle answers samples with a truth")

    def answers(self, sample: Sample) -> dict[str, Layers]:
        """Name -> layers (H, W, 3), for a sample with dense truth."""
        albedo, shading = sample.dense()
        height, width = sample.mask.shape
        ours = self._decompose(sample, None)
        assert self._backend.found is not None, "the network has just run"
        size = working_size.working_size(height, width, self._model.options.resolution)
        found = from_nchw(self._backend.found)[: size.height, : size.width]
        valid = sample.mask[..., None].astype(np.float32).repeat(3, -1)
        share = working_size.resize(valid, size.height, size.width)
        mean = working_size.resize(np.clip(albedo, 0, 1) * valid, size.height, size.width) / np.maximum(share, 1e-6)
        known = share > LEAST_KNOWN
        scale = best_scale(found, mean, known[..., 0])
        truth = to_nchw(working_size.pad(np.where(known, mean, np.clip(scale * found, 0, 1))))

        def through_vae(image: np.ndarray) -> np.ndarray:
            z = self._backend.run("vae_encoder", {"albedo": truth})["z"]
            return self._backend.run("decoder", {"z": z, "image": image})["albedo"]

        answers = {
            "true albedo": self._decompose(sample, lambda image: truth),
            "VAE of the true albedo": self._decompose(sample, through_vae),
            "undivided": Layers(working_size.resize(found, height, width)),
        }
        assert ours.albedo is not None and ours.shading is not None, "a decomposition has both"
        pairs = ((ours.albedo, albedo), (ours.shading, shading))
        cell = cell_of(sample.mask.shape)
        answers["ours over the truth"] = Layers(*(coarse_and_detail(a, b, sample.mask, cell) for a, b in pairs))
        answers["the truth over ours"] = Layers(*(coarse_and_detail(b, a, sample.mask, cell) for a, b in pairs))
        return answers

    def _decompose(self, sample: Sample, stand_in: Callable[[np.ndarray], np.ndarray] | None) -> Layers:
        self._backend.stand_in = stand_in
        result = self._model.decompose(sample.image)
        return Layers(result.albedo, result.shading)
