"""The runtime's backends as candidates of `benchmarks.latency`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np

from intrinsic_flow.backends import open_engine
from intrinsic_flow.backends.base import Engine
from intrinsic_flow.backends.cuda_backend import CudaEngine
from intrinsic_flow.backends.onnxruntime_cuda import OnnxRuntimeCuda
from intrinsic_flow.benchmarks.timing.workload import Call, Variant, Workload
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer

# The command's names say the library; the runtime's are shorter.
ENGINES = {
    "onnxruntime-cpu": "cpu",
    "openvino": "openvino",
    "onnxruntime-cuda": "cuda",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt-rtx",
}
NO_CUDA_GRAPHS, CHANNELS_LAST = "without CUDA graphs", "channels last"
ON_CPU = ("onnxruntime-cpu", "openvino")


def names(backend: str) -> list[str]:
    """Variants of an engine: its precisions. "default" is what the runtime itself would take."""
    return {"openvino": ["default", "fp32"], "onnxruntime-cuda": ["default", NO_CUDA_GRAPHS, CHANNELS_LAST]}.get(
        backend, ["default"]
    )


def open_variant(bundle: Bundle, backend: str, name: str, workload: Workload, *, stages: bool = True) -> Variant:
    """Opens an engine. stages: with the parts of the network and the whole decomposition as calls of their own.

    Raises what `open_engine` raises, among it MissingExtraError.
    """
    precision: Literal["fp32"] | None = "fp32" if name == "fp32" else None
    engine: Engine
    if name in (NO_CUDA_GRAPHS, CHANNELS_LAST):
        engine = OnnxRuntimeCuda(bundle, cuda_graphs=name != NO_CUDA_GRAPHS, channels_last=name == CHANNELS_LAST)
    else:
        engine = open_engine(bundle, ENGINES[backend], threads=workload.threads, precision=precision)
    image, noise, steps = workload.image, workload.noise, workload.steps
    network = partial(engine.network, image, noise, steps)
    return Variant(
        backend,
        engine.precision,
        name,
        "cpu" if backend in ON_CPU else "cuda",
        {"network": network, **(_parts(bundle, engine, workload) if stages else {})},
        network,
        partial(engine.phases, image, noise, steps) if isinstance(engine, CudaEngine) else None,
        [engine.close],
    )


def _parts(bundle: Bundle, engine: Engine, workload: Workload) -> dict[str, Call]:
    image, noise = workload.image, workload.noise
    decomposer = Decomposer(bundle, engine, steps=workload.steps, resolution=workload.resolution)
    features = engine.run("encoder", {"image": image})
    step = {"z": noise, "t": np.zeros(1, np.float32), "dt": np.full(1, 1 / workload.steps, np.float32), **features}
    return {
        "encoder": partial(engine.run, "encoder", {"image": image}),
        "velocity_step": partial(engine.run, "velocity_step", step),
        "decoder": partial(engine.run, "decoder", {"z": noise, "image": image}),
        "decompose": partial(decomposer.decompose, picture(workload.resolution)),
    }


def picture(side: int) -> np.ndarray:
    """(side, side, 3) float32 linear: smooth, with highlights above 1, so that nothing is trivially constant."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return np.stack([(0.2 + x * y) * (1.5 + np.sin(9 * x + phase)) for phase in (0, 1, 2)], axis=-1).astype(np.float32)
