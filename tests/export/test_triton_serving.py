"""The repository served: schema, backends' checks, the loop, and the example's client over HTTP and gRPC."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc", reason='tritonclient is not installed: pip install ".[serving]"')
pytest.importorskip("tritonclient.http", reason='tritonclient is not installed: pip install ".[serving]"')

from intrinsic_flow.backends import open_backend
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.export.triton_repository import Options, write_repository
from intrinsic_flow.media.images import read_image
from tests.export.fake_triton import SERVERS, FakeTriton, Refused, parse_config, type_name, warmup_inputs

REPOSITORY = Path(__file__).parents[2]
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.pbtxt"))
PHOTO = REPOSITORY / "examples" / "room.png"
PARTS = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler", "decompose")


def load_example():
    spec = importlib.util.spec_from_file_location("triton_client", REPOSITORY / "examples" / "triton_client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


triton_client = load_example()


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("small")


@pytest.fixture(scope="module")
def engine(bundle):
    engine = open_backend(bundle, "cpu")
    yield engine
    engine.close()


def serve(bundle, folder, **arguments):
    write_repository(bundle, folder, **arguments)
    return FakeTriton(folder)


@pytest.fixture(scope="module")
def merged(bundle, tmp_path_factory):
    """Two steps: the merged graph is the loop."""
    return serve(bundle, tmp_path_factory.mktemp("merged") / "out", options=Options(resolution=64))


@pytest.fixture(scope="module")
def unrolled(bundle, tmp_path_factory):
    """Three steps: the loop is the Python model."""
    return serve(bundle, tmp_path_factory.mktemp("unrolled") / "out", options=Options(steps=3, max_batch=4, resolution=64))


def pictures(batch, height=64, width=96, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((batch, 12, height // 8, width // 8), np.float32)
    return {"image": rng.random((batch, 3, height, width), np.float32), "z": noise}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_configurations_parse_with_the_servers_schema(path):
    config = parse_config(path)
    assert config.name == path.stem and config.backend in ("onnxruntime", "tensorrt", "python")
    assert all(list(tensor.dims) and type_name(tensor) in ("TYPE_FP32", "TYPE_FP16") for tensor in config.input)
    assert config.HasField("dynamic_batching") == (config.max_batch_size > 0)


def test_there_are_golden_configurations_of_every_model():
    assert len(GOLDEN) == 3 * len(PARTS)
    assert {path.stem for path in GOLDEN} == set(PARTS)


def test_every_onnx_model_runs_its_warm_up_from_its_version_folder(bundle, tmp_path):
    server = serve(bundle, tmp_path / "out", options=Options(resolution=64, max_batch=2))
    for name, config in server.configs.items():
        assert [sample.batch_size for sample in config.model_warmup] == ([1, 2] if config.max_batch_size else [1])
        for sample in config.model_warmup:
            outputs = server.infer(name, warmup_inputs(config, sample, tmp_path / "out" / name))
            assert all(np.isfinite(values).all() for values in outputs.values())


def test_results_of_every_model_are_the_runtimes(merged, engine):
    feeds = pictures(2)
    features = merged.infer("encoder", {"image": feeds["image"]})
    expected = engine.run("encoder", {"image": feeds["image"]})
    for name, values in expected.items():
        np.testing.assert_array_equal(features[name], values)
    step = {"z": feeds["z"], "t": np.array([0.5], np.float32), "dt": np.array([0.5], np.float32), **features}
    (z_next,) = merged.infer("velocity_step", step).values()
    np.testing.assert_array_equal(z_next, engine.run("velocity_step", step)["z_next"])
    decoded = {"z": z_next, "image": feeds["image"]}
    (albedo,) = merged.infer("decoder", decoded).values()
    np.testing.assert_array_equal(albedo, engine.run("decoder", decoded)["albedo"])
    (albedo,) = merged.infer("decompose", feeds).values()
    np.testing.assert_allclose(albedo, engine.network(feeds["image"], feeds["z"], 2), atol=1e-5)


def test_the_python_loop_is_the_runtimes_network(unrolled, engine):
    feeds = pictures(2)
    unrolled.calls.clear()
    (albedo,) = unrolled.infer("decompose", feeds).values()
    np.testing.assert_array_equal(albedo, engine.network(feeds["image"], feeds["z"], 3))
    assert unrolled.calls == {"decompose": 1, "encoder": 1, "velocity_step": 3, "decoder": 1}


def test_the_python_loop_joins_the_requests_of_a_batch_and_splits_the_results(unrolled):
    requests = [pictures(batch, seed=batch) for batch in (1, 2, 1)]
    alone = [unrolled.infer("decompose", request)["albedo"] for request in requests]
    unrolled.calls.clear()
    together = [result["albedo"] for result in unrolled.infer_joined("decompose", requests)]
    assert unrolled.calls["velocity_step"] == 3
    for one, other in zip(alone, together, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_error_of_a_part_is_the_loops_answer(unrolled):
    feeds = pictures(1) | {"z": np.zeros((1, 12, 4, 4), np.float32)}
    with pytest.raises(Refused, match="velocity_step: "):
        unrolled.infer("decompose", feeds)


def test_half_precision_loop_takes_and_gives_half_floats(bundle, engine, tmp_path):
    server = serve(bundle, tmp_path / "out", precision="fp16", options=Options(steps=1, resolution=64))
    feeds = pictures(1)
    with pytest.raises(Refused, match="float32"):
        server.infer("decompose", feeds)
    (albedo,) = server.infer("decompose", feeds | {"image": feeds["image"].astype(np.float16)}).values()
    assert albedo.dtype == np.float16
    np.testing.assert_allclose(albedo, engine.network(feeds["image"], feeds["z"], 1), atol=2e-2)


def test_a_batch_where_the_graph_has_none_would_not_load(bundle, tmp_path):
    repository = tmp_path / "out"
    write_repository(bundle, repository)
    path = repository / "velocity_step" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 0", "max_batch_size: 8").replace("dims: [-1, ", "dims: ["))
    with pytest.raises(Refused):
        FakeTriton(repository)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_clients_result_is_the_runtimes(merged, bundle, engine, protocol, tmp_path, capsys):
    options = ["--bundle", "small", "--resolution", "64", "--seed", "5", "--protocol", protocol, "-o", str(tmp_path)]
    merged.calls.clear()
    with SERVERS.__dict__[protocol](merged) as url:
        assert triton_client.main([str(PHOTO), "--url", url, *options]) == 0
    assert merged.calls["decompose"] == 1 and "velocity_step" not in merged.calls
    image = read_image(PHOTO).pixels
    expected = Decomposer(bundle, engine, steps=2, seed=5, resolution=64).decompose(image)
    albedo, shading = (read_image(tmp_path / f"room_{layer}.exr").pixels for layer in ("albedo", "shading"))
    np.testing.assert_allclose(albedo, expected.albedo, atol=1e-4)
    np.testing.assert_allclose(albedo * shading, image, rtol=1e-5, atol=1e-7)
    assert capsys.readouterr().out.split() == [str(tmp_path / f"room_{layer}.exr") for layer in ("albedo", "shading")]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_other_numbers_of_steps_and_half_floats_go_through_the_client(bundle, engine, protocol, tmp_path):
    server = serve(bundle, tmp_path / "out", precision="fp16", options=Options(resolution=64))
    image = read_image(PHOTO).pixels[::4, ::4]
    with SERVERS.__dict__[protocol](server) as url:
        remote = triton_client.TritonBackend(url, protocol)
        with Decomposer(bundle, remote, steps=1, resolution=64) as model:
            result = model.decompose(image)
    assert server.calls["velocity_step"] == 1 and "decompose" not in server.calls
    expected = Decomposer(bundle, engine, steps=1, resolution=64).decompose(image)
    assert np.abs(result.albedo - expected.albedo).mean() < 5e-3


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_client_sends_the_tensors_as_they_are(protocol, merged):
    with SERVERS.__dict__[protocol](merged) as url:
        engine = triton_client.TritonBackend(url, protocol)
        sent = []
        infer = engine._client.infer
        engine._client.infer = lambda model, inputs, **rest: sent.extend(inputs) or infer(model, inputs, **rest)
        feeds = pictures(2)
        z = feeds["z"]
        engine.run("decoder", {"z": z[:, :, ::2], "image": feeds["image"][:, :, ::2]})
        engine.close()
    (tensor,) = [one for one in sent if one.name() == "z"]
    assert len(sent) == 2
    assert (tensor.name(), tensor.datatype(), list(tensor.shape())) == ("z", "FP32", [2, 12, 4, 12])
    raw = tensor._get_binary_data() if protocol == "http" else tensor._get_content()
    assert bytes(raw) == z[:, :, ::2].tobytes()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_the_server_refuses_is_one_line(merged, protocol, capsys):
    with SERVERS.__dict__[protocol](merged) as url:
        engine = triton_client.TritonBackend(url, protocol)
        with pytest.raises(RuntimeError, match="batch 9, the largest is 8"):
            engine.run("decoder", {"z": np.zeros((9, 12, 4, 4), np.float32), "image": np.zeros((9, 3, 32, 32), np.float32)})
        engine.close()
    assert triton_client.main([str(PHOTO), "--url", "127.0.0.1:9", "--protocol", protocol, "--bundle", "small"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("triton_client: Triton at 127.0.0.1:9")
