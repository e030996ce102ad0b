"""Engines over the fakes: a folder of engines for the tiny bundle, and what opens an engine on them."""

from __future__ import annotations

import gc

import numpy as np
import onnx
import pytest

from intrinsic_flow.backends.cuda_memory import CudaError


@pytest.fixture
def picture():
    """(batch, height, width, seed) -> image (B, 3, H, W) and noise (B, 12, H / 8, W / 8), float32."""

    def make(batch=1, height=64, width=96, seed=0):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((batch, 12, height // 8, width // 8), np.float32)
        return rng.random((batch, 3, height, width), np.float32), noise

    return make


@pytest.fixture(scope="session")
def unloadable_graph() -> bytes:
    """An intact ONNX file with an operator that nothing knows."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1,))
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1,))
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "unloadable", [value], [output]), ir_version=10)
    return model.SerializeToString()


@pytest.fixture(autouse=True)
def collect_quickly() -> None:
    """`gc.collect()` looks only at what the test makes, not at all that is loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fail_in_turn():
    """(gpu, work, stride) -> numbers of the CUDA calls of `work` that failed in turn, each after that run is over.

    More than 20 of them have to reach the caller.
    """

    def each(gpu, work, stride):
        work()
        total = len(gpu.cuda.calls)
        assert total > 100
        failures = 0
        for number in range(0, total, stride):
            gpu.cuda.fail(number)
            try:
                work()
            except CudaError:
                failures += 1
            gpu.cuda.fail(10**9)
            gc.collect()
            yield number
        assert failures > 20

    return each


@pytest.fixture
def graph_feeds(picture):
    """(engine) -> inputs of each graph by name; the engine computes the features."""

    def make(engine):
        image, noise = picture()
        features = engine.run("encoder", {"image": image})
        rng = np.random.default_rng(1)
        low = {name: rng.random((1, 3, 30, 40), np.float32) for name in ("log_shading", "guide")}
        return {
            "encoder": {"image": image},
            "velocity_step": {"z": noise, "t": np.array([0.5], np.float32), "dt": np.array([0.5], np.float32), **features},
            "decoder": {"z": noise},
            "vae_encoder": {"albedo": image},
            "low_shading": {"albedo": image, "guide": 3 * image[:, :, :50, :70]},
            "upsampler": {**low, "image": rng.random((1, 3, 50, 70), np.float32), "rows": np.array([10, 80], np.float32)},
        }

    return make
