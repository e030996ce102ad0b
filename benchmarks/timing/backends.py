"""The runtime's backends as candidates of `benchmarks.latency`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np

from intrinsic_flow.backends import open_backend
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.backends.cuda_backend import CudaBackend
from intrinsic_flow.backends.onnxruntime_cuda import OnnxRuntimeCuda
from intrinsic_flow.benchmarks.timing.workload import Call, Variant, Workload
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer

MEASURED = ("cpu", "openvino", "cuda", "tensorrt", "tensorrt-rtx")
NO_CUDA_GRAPHS, CHANNELS_LAST = "without CUDA graphs", "channels last"
ON_CPU = ("cpu", "openvino")


def names(backend: str) -> list[str]:
    """Variants of a backend: its precisions. "default" is what the runtime itself would take."""
    return {"openvino": ["default", "fp32"], "cuda": ["default", NO_CUDA_GRAPHS, CHANNELS_LAST]}.get(backend, ["default"])


def open_variant(bundle: Bundle, backend: str, name: str, workload: Workload, *, stages: bool = True) -> Variant:
    """Opens a backend. stages: with the parts of the network and the whole decomposition as calls of their own.

    Raises what `open_backend` raises, among it MissingExtraError.
    """
    precision: Literal["fp32"] | None = "fp32" if name == "fp32" else None
    opened: Backend
    if name in (NO_CUDA_GRAPHS, CHANNELS_LAST):
        opened = OnnxRuntimeCuda(bundle, cuda_graphs=name != NO_CUDA_GRAPHS, channels_last=name == CHANNELS_LAST)
    else:
        opened = open_backend(bundle, backend, threads=workload.threads, precision=precision)
    image, noise, steps = workload.image, workload.noise, workload.steps
    network = partial(opened.network, image, noise, steps)
    return Variant(
        backend,
        opened.precision,
        name,
        "cpu" if backend in ON_CPU else "cuda",
        {"network": network, **(_parts(bundle, opened, workload) if stages else {})},
        network,
        partial(opened.phases, image, noise, steps) if isinstance(opened, CudaBackend) else None,
        [opened.close],
    )


def _parts(bundle: Bundle, opened: Backend, workload: Workload) -> dict[str, Call]:
    image, noise = workload.image, workload.noise
    decomposer = Decomposer(bundle, opened, steps=workload.steps, resolution=workload.resolution)
    features = opened.run("encoder", {"image": image})
    step = {"z": noise, "t": np.zeros(1, np.float32), "dt": np.full(1, 1 / workload.steps, np.float32), **features}
    return {
        "encoder": partial(opened.run, "encoder", {"image": image}),
        "velocity_step": partial(opened.run, "velocity_step", step),
        "decoder": partial(opened.run, "decoder", {"z": noise, "image": image}),
        "decompose": partial(decomposer.decompose, picture(workload.resolution)),
    }


def picture(side: int) -> np.ndarray:
    """(side, side, 3) float32 linear: smooth, with highlights above 1, so that nothing is trivially constant."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return np.stack([(0.2 + x * y) * (1.5 + np.sin(9 * x + phase)) for phase in (0, 1, 2)], axis=-1).astype(np.float32)
