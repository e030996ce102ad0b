"""Engines: graphs run by name, and failures that name their cause."""

from __future__ import annotations

import json

import numpy as np
import pytest

from intrinsic_flow.backends import BACKENDS, open_backend
from intrinsic_flow.decomposition.bundle import Bundle, describe_file
from intrinsic_flow.errors import InputError

ON_CPU = ("auto", "cpu", "openvino")


def test_each_backend_runs_a_graph_and_returns_its_outputs_by_name(tiny_bundle):
    image = np.random.default_rng(0).random((1, 3, 64, 32), np.float32)
    for backend in ON_CPU:
        engine = open_backend(Bundle.load(tiny_bundle), backend, precision="fp32")
        outputs = engine.run("encoder", {"image": image})
        assert {name: value.shape for name, value in outputs.items()} == {
            "feature_8": (1, 12, 8, 4),
            "feature_16": (1, 12, 4, 2),
            "feature_32": (1, 12, 2, 1),
        }
        means = 0.5 * image[0, 0].reshape(8, 8, 4, 8).mean(axis=(1, 3))
        quadrants = outputs["feature_8"][0].reshape(2, 2, 3, 8, 4)[:, :, 0].mean(axis=(0, 1))
        np.testing.assert_allclose(quadrants, means, rtol=1e-5)
        engine.close()


def test_an_unknown_backend_is_refused_with_the_choices(tiny_bundle):
    with pytest.raises(ValueError, match=f"backend 'tpu', expected one of {', '.join(BACKENDS)}"):
        open_backend(Bundle.load(tiny_bundle), "tpu")


def test_one_thread_and_two_give_the_same_result(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    one = open_backend(bundle, "cpu", threads=1)
    two = open_backend(bundle, "cpu", threads=2)
    np.testing.assert_allclose(
        one.run("vae_encoder", {"albedo": image})["z"], two.run("vae_encoder", {"albedo": image})["z"], rtol=1e-6
    )
    assert one.parallel() is one
    single = two.parallel()
    assert single is two.parallel() is not None and "threads 1" in single.describe()
    two.close()
    with pytest.raises(RuntimeError, match="closed"):
        single.run("vae_encoder", {"albedo": image})
    assert "threads 1" in one.describe() and "CPUExecutionProvider" in one.describe()
    with pytest.raises(ValueError, match="threads 0"):
        open_backend(bundle, "cpu", threads=0)


def replace_graph(folder, name, data):
    """Puts other bytes under a graph's name and lets the manifest agree with them."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"][name] = describe_file(folder / name)
    (folder / "bundle.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_graph_that_does_not_load_is_named(own_bundle, backend, unloadable_graph):
    replace_graph(own_bundle, "encoder.onnx", unloadable_graph)
    engine = open_backend(Bundle.load(own_bundle), backend)
    with pytest.raises(InputError, match=r"encoder\.onnx: found a graph that does not load") as caught:
        engine.run("encoder", {"image": np.zeros((1, 3, 32, 32), np.float32)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_graph_with_other_tensors_than_the_manifest_states_is_refused(own_bundle, backend):
    replace_graph(own_bundle, "encoder.onnx", (own_bundle / "decoder.onnx").read_bytes())
    engine = open_backend(Bundle.load(own_bundle), backend)
    with pytest.raises(InputError, match="found tensors z, albedo"):
        engine.run("encoder", {"image": np.zeros((1, 3, 32, 32), np.float32)})


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_closed_engine_does_not_run(tiny_bundle, backend):
    engine = open_backend(Bundle.load(tiny_bundle), backend)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.run("decoder", {"z": np.zeros((1, 12, 4, 4), np.float32)})
