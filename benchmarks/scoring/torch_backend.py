"""A training run behind the runtime's interface: its networks in PyTorch, without exporting them first. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition.bundle import LATENT_CHANNELS, Bundle, graph_specs
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.decomposition.exposure import ToneMap
from intrinsic_flow.decomposition.noise import make_tile
from intrinsic_flow.export.graphs.modules import graph_modules
from intrinsic_flow.train.checkpoint import load_run
from intrinsic_flow.train.networks.model import SAMPLING_NOISE_SCALE, IntrinsicFlow


class TorchBackend(Backend):
    """Computes a bundle's graphs in FP32 by the modules they are traced from."""

    name = "torch"

    def __init__(self, model: IntrinsicFlow, device: str):
        self._modules = graph_modules(model.to(device))
        self._specs = graph_specs(model.config.interface)
        self._device = torch.device(device)

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs = [torch.from_numpy(feeds[name]).to(self._device) for name in self._specs[graph].input_names]
        # Low shading and upsampler build indices and matrices from shapes alone: on the default device.
        with torch.inference_mode(), self._device:
            outputs = self._modules[graph](*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return {name: x.cpu().numpy() for name, x in zip(self._specs[graph].output_names, outputs, strict=True)}

    def describe(self) -> str:
        return f"PyTorch {torch.__version__}, {self._device}, fp32"

    def close(self) -> None:
        self._modules = {}


class _RunBundle(Bundle):
    @cached_property
    def noise(self) -> np.ndarray:
        """The tile that export.build_onnx would store."""
        return make_tile(LATENT_CHANNELS, SAMPLING_NOISE_SCALE).astype(np.float32)


def open_run(run: Path, device: str, *, steps: int = 2, seeds: int = 1) -> list[Decomposer]:
    """Decomposers over the averaged model of a train.flow run, for the seeds 0 .. seeds - 1. Raises CheckpointError."""
    model, _ = load_run(run)
    backend = TorchBackend(model, device)
    # The part of a manifest that the decomposer reads, as export.build_onnx would write it.
    bundle = _RunBundle(run, {"name": run.name, "tone_map": ToneMap().to_dict()})
    return [Decomposer(bundle, backend, steps=steps, seed=seed) for seed in range(seeds)]
