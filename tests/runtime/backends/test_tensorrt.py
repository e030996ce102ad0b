"""The TensorRT backend against fakes of TensorRT and CUDA that compute with ONNX Runtime: results as the CPU engine's,
every call in an order that the real ones accept, everything freed, also after errors."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.backends import open_backend, tensorrt
from intrinsic_flow.backends.cuda_backend import MAX_PROGRAMS, CudaBackend
from intrinsic_flow.backends.cuda_memory import CudaError
from intrinsic_flow.backends.engine_file import (
    EngineSidecar,
    EngineTensor,
    ShapeRange,
    engine_folder,
    graph_precision,
    platform_name,
)
from intrinsic_flow.backends.engine_files import UnfitEnginesError
from intrinsic_flow.backends.gpu import Gpu
from intrinsic_flow.benchmarks.timing.backends import open_variant
from intrinsic_flow.benchmarks.timing.workload import Workload
from intrinsic_flow.decomposition.bundle import WEIGHTS, Bundle, graph_file
from intrinsic_flow.errors import InputError, MissingExtraError
from tests.runtime.backends.fake_cuda import FakeCuda
from tests.runtime.backends.fake_tensorrt import fake_tensorrt, write_engine
from tests.runtime.conftest import build_tiny_bundle, rewrite_manifest

COMMAND = "python -m export.build_trt --fp16"
VERSION = "10.13.0"
GRAPHS = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler", "vae_encoder")


def profiles(spec, batch=(1, 1, 4), side=(1, 2, 4), full=(1, 64, 256)):
    """Two profiles that differ in the batch alone and overlap at 2."""

    def shape(tensor, index, batches):
        sizes = {"batch": batches[index], "h": side[index], "w": side[index]}
        sizes |= {name: full[index] for name in ("low_h", "low_w", "full_h", "full_w")}
        return tensor.resolve(**sizes)

    return [
        {tensor.name: [shape(tensor, index, batches) for index in range(3)] for tensor in spec.inputs if tensor.symbols}
        for batches in ((1, 1, 2), (2, 3, batch[2]))
    ]


@pytest.fixture(scope="module")
def model_bundle(tmp_path_factory):
    """The tiny bundle with FP16 graphs and weights, as far as sidecars and specs look at them."""
    folder = build_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    for graph in GRAPHS:
        if graph != "upsampler":
            (folder / graph_file(graph, "fp16")).write_bytes((folder / graph_file(graph)).read_bytes())
    (folder / WEIGHTS).write_bytes(b"no weights")
    rewrite_manifest(folder)
    return folder


def write_engines(bundle, folder, flavor="tensorrt", graphs=GRAPHS, **changes):
    """Engines as the fakes read them, with sidecars."""
    folder.mkdir(parents=True, exist_ok=True)
    for graph in graphs:
        precision = graph_precision(graph, "fp16")
        spec = bundle.spec(graph, precision)
        data = write_engine(bundle.path(graph).read_bytes(), spec, profiles(spec))
        (folder / f"{graph}.plan").write_bytes(data)
        onnx = graph_file(graph, precision)
        static = {t.name: ShapeRange(t.shape, t.shape, t.shape) for t in spec.inputs if not t.symbols}
        ranges = [{n: ShapeRange(*shapes) for n, shapes in p.items()} | static for p in profiles(spec)]
        fields = {
            "graph": graph,
            "onnx": onnx,
            "onnx_sha256": bundle.manifest["files"][onnx]["sha256"],
            "weights_sha256": bundle.manifest["files"][WEIGHTS]["sha256"],
            "precision": precision,
            "set_precision": "fp16",
            "flavor": flavor,
            "version": VERSION,
            "compute_capabilities": (86,),
            "gpu": "Fake GPU",
            "hardware": "same",
            "version_compatible": False,
            "options": {},
            "tensors": tuple(
                EngineTensor(tensor.name, tensor.dtype, tensor in spec.inputs) for tensor in (*spec.inputs, *spec.outputs)
            ),
            "profiles": tuple(ranges),
            "plan_sha256": hashlib.sha256(data).hexdigest(),
            "plan_bytes": len(data),
            "platform": platform_name(),
        }
        sidecar = EngineSidecar(**{**fields, **changes}, path=folder / f"{graph}.plan.json")
        sidecar.path.write_text(json.dumps(sidecar.to_dict()))
    return folder


@pytest.fixture(scope="module", autouse=True)
def engines(model_bundle):
    """Engines of both libraries in the bundle's own folder."""
    bundle = Bundle.load(model_bundle)
    return {
        flavor: write_engines(bundle, engine_folder(bundle, flavor, "fp16", [86]), flavor) for flavor in ("tensorrt", "rtx")
    }


@pytest.fixture(params=["early", "late"])
def gpu(request, monkeypatch):
    """A fake GPU: its CUDA, and the device that the driver reports."""
    fake = SimpleNamespace(cuda=FakeCuda(late=request.param == "late"), device=Gpu("Fake GPU", 86, (13, 0), 1 << 34))
    monkeypatch.setattr(tensorrt, "load_cudart", lambda extra: fake.cuda)
    monkeypatch.setattr(tensorrt, "_load_library", lambda flavor: fake_tensorrt(fake.cuda, rtx=flavor == "rtx"))
    monkeypatch.setattr(tensorrt, "find_gpu", lambda index: fake.device)
    return fake


@pytest.fixture
def engine(gpu, model_bundle):
    loaded = open_backend(Bundle.load(model_bundle), "tensorrt")
    yield loaded
    loaded.close()
    gc.collect()
    assert gpu.cuda.live() == []


@pytest.fixture(scope="module")
def reference(model_bundle):
    return open_backend(Bundle.load(model_bundle), "cpu")


@pytest.fixture
def still(picture):
    """(batch, seed) -> what `decompose` takes: image, noise, two steps, guide and full image, larger and brighter."""

    def make(batch=1, seed=0):
        image, noise = picture(batch, seed=seed)
        rng = np.random.default_rng(seed)
        return image, noise, 2, 1.5 * image[:, :, :50, :70], rng.random((batch, 3, 90, 140), np.float32)

    return make


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_network_agrees_with_the_cpu_engine(engine, reference, picture, steps, batch):
    image, noise = picture(batch)
    expected = reference.network(image, noise, steps)
    for _ in range(3):
        found = engine.network(image, noise, steps)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=4e-3)
    other = picture(batch, seed=9)
    np.testing.assert_allclose(engine.network(*other, steps), reference.network(*other, steps), atol=4e-3)


def test_tensorrt_for_rtx_computes_the_same(gpu, model_bundle, reference, picture):
    image, noise = picture()
    engine = open_backend(Bundle.load(model_bundle), "tensorrt-rtx", precision=None)
    np.testing.assert_allclose(engine.network(image, noise, 2), reference.network(image, noise, 2), atol=4e-3)
    assert all(program.captured for program in engine._programs.values())
    assert engine.name == "tensorrt-rtx" and "TensorRT for RTX 10.13.0, Fake GPU, fp16" in engine.describe()
    engine.close()
    assert gpu.cuda.live() == []


def test_graphs_run_one_by_one_as_on_the_cpu(engine, reference, graph_feeds):
    for graph, inputs in graph_feeds(reference).items():
        expected = reference.run(graph, inputs)
        for _ in range(2):
            found = engine.run(graph, inputs)
            assert list(found) == list(expected)
            for name, values in expected.items():
                assert found[name].dtype == np.float32
                np.testing.assert_allclose(found[name], values, atol=1e-6 if graph == "upsampler" else 4e-3)


def test_a_call_sends_one_image_replays_one_graph_and_fetches_one_albedo(engine, gpu, picture):
    image, noise = picture()
    engine.network(image, noise, 2)
    gpu.cuda.calls.clear()
    engine.network(image, noise, 2)
    calls = [name for name in gpu.cuda.calls if name in ("cudaMemcpyAsync", "cudaGraphLaunch")]
    assert calls == ["cudaMemcpyAsync", "cudaGraphLaunch", "cudaMemcpyAsync"]
    assert not {name for name in gpu.cuda.calls if "Malloc" in name or "Free" in name}


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_whole_decomposition_agrees_with_the_cpu_engine(gpu, model_bundle, reference, still, backend, batch):
    engine = open_backend(Bundle.load(model_bundle), backend)
    # The host's shading between the same engines is the closer reference: only the shading's own rounding differs.
    host = super(CudaBackend, engine)
    for seed in (0, 0, 9):
        inputs = still(batch, seed)
        found = engine.decompose(*inputs)
        assert found.shape == inputs[-1].shape and found.dtype == np.float32
        np.testing.assert_allclose(found, reference.decompose(*inputs), rtol=1e-2, atol=1e-2)
        np.testing.assert_allclose(found, host.decompose(*inputs), rtol=1e-5)
    assert all(program.captured for program in engine._programs.values())
    engine.close()
    gc.collect()
    assert gpu.cuda.live() == []


def test_a_still_image_sends_its_pictures_replays_one_graph_and_fetches_one_albedo(gpu, model_bundle, scene):
    with Decomposer.load(model_bundle, "tensorrt", resolution=64) as model:
        first = model.decompose(scene)
        for decompose in (model.decompose, lambda image: next(model.stream([image], temporal=False))):
            gpu.cuda.calls.clear()
            np.testing.assert_array_equal(decompose(scene).albedo, first.albedo)
            calls = [name for name in gpu.cuda.calls if name in ("cudaMemcpyAsync", "cudaGraphLaunch")]
            # Image, guide and full image; start noise and times are there from the first call.
            assert calls == [*["cudaMemcpyAsync"] * 3, "cudaGraphLaunch", "cudaMemcpyAsync"]
            assert not {name for name in gpu.cuda.calls if "Malloc" in name or "Free" in name}
        assert len(model.backend._programs) == 1
    assert gpu.cuda.live() == []


def test_what_comes_between_decoder_and_upsampler_is_done_on_the_host(gpu, model_bundle, scene, monkeypatch):
    def refuse(*inputs):
        raise AssertionError("one call, where the albedo at low resolution was needed")

    monkeypatch.setattr(tensorrt.TensorRt, "decompose", refuse)
    for options in ({"shading": "gray"}, {"mode": "vae"}, {}):
        with (
            Decomposer.load(model_bundle, "tensorrt", resolution=64, **options) as model,
            Decomposer.load(model_bundle, "cpu", resolution=64, **options) as exact,
        ):
            for found, expected in zip(model.stream([scene]), exact.stream([scene]), strict=True):
                np.testing.assert_allclose(found.albedo, expected.albedo, atol=1e-2)
            if options:
                model.decompose(scene)
            else:
                with pytest.raises(AssertionError, match="one call"):
                    model.decompose(scene)
                monkeypatch.setattr(model.backend, "strip_pixels", 140 * 89)
                model.decompose(scene)


def test_a_full_image_outside_the_profiles_is_named_and_the_engine_goes_on(engine, still):
    *inputs, full = still()
    with pytest.raises(ValueError, match=r"upsampler.plan: found .* image 1x3x90x300, expected .* 1x3x1x1 to 2x3x256x256"):
        engine.decompose(*inputs, np.ones((1, 3, 90, 300), np.float32))
    assert engine.decompose(*inputs, full).shape == full.shape


def test_a_failure_at_any_call_of_a_decomposition_leaves_nothing_behind(gpu, model_bundle, still):
    engine = open_backend(Bundle.load(model_bundle), "tensorrt")
    gc.collect()
    idle = gpu.cuda.live()
    gpu.cuda.calls.clear()
    expected = engine.decompose(*still())
    total = len(gpu.cuda.calls)
    failures = 0
    for number in range(total):
        while engine._programs:
            engine._programs.popitem()[1].close()
        gc.collect()
        assert gpu.cuda.live() == idle, f"before call {number}"
        gpu.cuda.fail(number)
        try:
            engine.decompose(*still())
        except CudaError:
            failures += 1
        gpu.cuda.fail(10**9)
        if number % 10 == 0:
            np.testing.assert_array_equal(engine.decompose(*still()), expected)
    assert failures > 60 and len(engine._programs) <= 1
    engine.close()
    assert gpu.cuda.live() == []


def test_other_noise_is_sent_also_while_a_call_is_under_way(engine, reference, picture):
    image, noise = picture()
    first = engine._submit_network(image, noise, 2)
    second = engine._submit_network(image, 2 * noise, 2)
    third = engine._submit_network(image, noise, 2)
    for pending, values in ((third, noise), (second, 2 * noise), (first, noise)):
        np.testing.assert_allclose(pending.result()["albedo"], reference.network(image, values, 2), atol=8e-3)


def test_many_images_keep_their_order_and_results_outlive_later_calls(engine, reference, picture):
    _, noise = picture()
    images = [picture(seed=seed)[0] for seed in range(5)]
    results = list(engine.network_many(iter(images), noise, 2))
    assert len(results) == 5
    for image, result in zip(images, results):
        np.testing.assert_allclose(result, reference.network(image, noise, 2), atol=4e-3)


def test_the_next_call_is_begun_before_the_last_ones_result_is_awaited(engine, gpu, picture):
    _, noise = picture()
    images = [picture(seed=seed)[0] for seed in range(4)]
    list(engine.network_many(images, noise, 2))
    gpu.cuda.calls.clear()
    list(engine.network_many(images, noise, 2))
    calls = [name for name in gpu.cuda.calls if name in ("cudaGraphLaunch", "cudaEventSynchronize")]
    launch, wait = "cudaGraphLaunch", "cudaEventSynchronize"
    assert calls == [launch, launch, wait, launch, wait, launch, wait, wait]


def test_a_calls_parts_are_those_that_the_device_times(engine, gpu, picture):
    image, noise = picture()
    expected = engine.network(image, noise, 2)
    live = gpu.cuda.live()
    for _ in range(3):
        found = engine.phases(image, noise, 2)
        # On the fake's clock a copy takes 1 ms, and so does each of encoder, two steps and decoder.
        assert (found["h2d_ms"], found["compute_ms"], found["d2h_ms"]) == (1, 4, 1)
        assert 0 < found["enqueue_ms"] < 1000 and len(found) == 4
    assert gpu.cuda.live() == live
    under_way = engine._submit_network(image, noise, 2)
    assert engine.phases(2 * image, noise, 2)["compute_ms"] == 4
    for albedo in (under_way.result()["albedo"], engine.network(image, noise, 2)):
        np.testing.assert_array_equal(albedo, expected)


def test_the_latency_benchmark_finds_precision_and_parts(gpu, model_bundle):
    variant = open_variant(Bundle.load(model_bundle), "tensorrt", "default", Workload(1, 64, 3, 1), stages=False)
    assert variant.labels() == {"backend": "tensorrt", "precision": "fp16", "variant": "default", "device": "cuda"}
    assert variant.phases()["compute_ms"] == 5
    assert variant.answer().shape == (1, 3, 64, 64)
    variant.close()
    gc.collect()
    assert gpu.cuda.live() == []


def test_alternating_sizes_and_steps_give_what_each_gives_alone(engine, picture):
    calls = [(picture(1, 64, 96), 2), (picture(1, 96, 64), 2), (picture(3, 64, 96), 2), (picture(1, 64, 96), 3)]
    first = [engine.network(*inputs, steps) for inputs, steps in calls]
    for _ in range(2):
        for (inputs, steps), expected in zip(calls, first):
            np.testing.assert_array_equal(engine.network(*inputs, steps), expected)


def test_programs_are_bounded(engine, gpu, picture):
    for height in (32, 64, 96, 128):
        for width in (32, 64, 96, 128):
            engine.network(*picture(1, height, width), 2)
    assert len(engine._programs) == MAX_PROGRAMS
    assert len(gpu.cuda.executables) == MAX_PROGRAMS


def test_a_shape_outside_the_profiles_is_named_with_the_valid_range(engine, picture):
    image, noise = picture(1, 256, 64)
    with pytest.raises(
        ValueError, match=r"found image 1x3x256x64, expected image 1x3x32x32 to 2x3x128x128 or image 2x3"
    ) as e:
        engine.network(image, noise, 2)
    assert COMMAND in str(e.value) and "encoder.plan" in str(e.value)
    engine.network(*picture(), 2)


def test_of_two_profiles_that_fit_the_one_tuned_for_nearer_shapes_is_taken(engine):
    graph = engine._graph("decoder")
    assert [graph._profile({"z": (batch, 12, 8, 8)}) for batch in (1, 2, 3)] == [0, 1, 1]


def test_decomposer_gives_the_cpus_layers_whole_and_in_strips(gpu, model_bundle, scene, monkeypatch):
    with Decomposer.load(model_bundle, "cpu") as model:
        expected = model.decompose(scene)
    monkeypatch.setattr(tensorrt.TensorRt, "strip_pixels", 140 * 20)
    for resolution_backend in ("tensorrt", "tensorrt-rtx"):
        with (
            Decomposer.load(model_bundle, resolution_backend, resolution=64) as model,
            Decomposer.load(model_bundle, "cpu", resolution=64) as exact,
        ):
            found, expected = model.decompose(scene), exact.decompose(scene)
            again = model.decompose(scene)
        np.testing.assert_allclose(found.albedo, expected.albedo, atol=1e-2)
        np.testing.assert_allclose(found.albedo * found.shading, scene, rtol=1e-5)
        np.testing.assert_array_equal(again.albedo, found.albedo)
    assert gpu.cuda.live() == []


def test_the_chosen_device_is_used_whatever_other_code_selects(gpu, model_bundle, picture):
    engine = open_backend(Bundle.load(model_bundle), "tensorrt", device=1)
    gpu.cuda.current = 0
    engine.network(*picture(), 2)
    assert {block.device for block in gpu.cuda.blocks.values()} == {1}
    gpu.cuda.current = 0
    engine.close()
    assert gpu.cuda.live() == []


def test_without_a_gpu_no_tensorrt_object_is_made(gpu, model_bundle):
    gpu.cuda.devices = 0
    with pytest.raises(CudaError, match="cudaErrorInsufficientDriver"):
        open_backend(Bundle.load(model_bundle), "tensorrt")
    gpu.device = None
    with pytest.raises(CudaError, match="no GPU for TensorRT: "):
        open_backend(Bundle.load(model_bundle), "tensorrt")
    gpu.device = Gpu("Fake GPU", 86, (13, 0), 1 << 34)
    gpu.cuda.devices = 1
    with pytest.raises(CudaError, match="device 3, expected one of the 1"):
        open_backend(Bundle.load(model_bundle), "tensorrt", device=3)


def test_a_failure_of_any_cuda_call_leaves_nothing_behind(gpu, model_bundle, picture, fail_in_turn):
    def work():
        engine = open_backend(Bundle.load(model_bundle), "tensorrt")
        try:
            list(engine.network_many([picture()[0]] * 3, picture()[1], 2))
            engine.phases(*picture(), 2)
        finally:
            engine.close()

    for number in fail_in_turn(gpu, work, 3):
        assert gpu.cuda.live() == [], f"call {number}"


def test_an_engine_goes_on_after_a_run_that_failed(engine, gpu, reference, picture):
    image, noise = picture()
    expected = reference.network(image, noise, 2)
    for number in range(60):
        gpu.cuda.fail(number)
        try:
            engine.network(image, noise, 2)
        except CudaError:
            gpu.cuda.fail(10**9)
            np.testing.assert_allclose(engine.network(image, noise, 2), expected, atol=4e-3)
        engine._programs.popitem()[1].close()


def test_a_launch_that_tensorrt_refuses_raises_with_its_reason(engine, gpu, picture, monkeypatch):
    image, noise = picture()
    engine.network(image, noise, 2)
    monkeypatch.setattr(tensorrt._Context, "capturable", lambda self, stream: False)
    engine.network(image[:, :, :32], noise[:, :, :4], 2)
    program = next(reversed(engine._programs.values()))
    assert not program.captured
    program._slots[0].inputs["image"] = SimpleNamespace(pointer=3)
    with pytest.raises(RuntimeError, match=r"set_tensor_address of image failed \(address 3 of image\)"):
        program._enqueue(program._slots[0].inputs, program._slots[0].outputs, engine._streams.compute)


def test_engines_that_do_not_fit_are_named_with_what_is_needed_and_the_command(gpu, model_bundle, tmp_path):
    bundle = Bundle.load(model_bundle)

    def refusal(error=UnfitEnginesError, **changes):
        folder = write_engines(bundle, tmp_path / "engines", **changes)
        with pytest.raises(error) as caught:
            open_backend(bundle, "tensorrt", engines=folder)
        assert COMMAND in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "built for compute capability 120, expected compute capability 86" in refusal(compute_capabilities=(120,))
    assert "built with TensorRT 10.12.0, expected an engine for 10.13.0" in refusal(version="10.12.0")
    assert "an engine of TensorRT for RTX, expected one of TensorRT" in refusal(flavor="rtx")
    assert "built from another model.safetensors" in refusal(weights_sha256="0" * 64)
    assert "engines in fp32 and fp16" not in refusal(onnx_sha256="1" * 64)
    assert gpu.cuda.calls == []


def test_missing_damaged_and_foreign_engines_are_named(gpu, model_bundle, tmp_path):
    bundle = Bundle.load(model_bundle)
    folder = write_engines(bundle, tmp_path / "engines")
    data = (folder / "decoder.plan").read_bytes()
    (folder / "decoder.plan").write_bytes(b"x" * len(data))
    with pytest.raises(InputError, match=r"decoder\.plan: found an engine that does not load \(magic tag does not match\)"):
        open_backend(bundle, "tensorrt", engines=folder)
    other = (folder / "vae_encoder.plan").read_bytes()
    (folder / "decoder.plan").write_bytes(other)
    sidecar = json.loads((folder / "decoder.plan.json").read_text())
    (folder / "decoder.plan.json").write_text(json.dumps({**sidecar, "plan_bytes": len(other)}))
    with pytest.raises(
        InputError, match=r"found tensors albedo float16, z float32, expected those of the bundle's decoder"
    ):
        open_backend(bundle, "tensorrt", engines=folder)
    (folder / "decoder.plan.json").unlink()
    with pytest.raises(InputError, match=r"no engine of decoder, expected one of each \(python -m export.build_trt"):
        open_backend(bundle, "tensorrt", engines=folder)
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="no engine of encoder, velocity_step, decoder, low_shading, upsampler"):
        open_backend(bundle, "tensorrt", engines=folder)
    gc.collect()
    assert gpu.cuda.live() == []


def test_the_bundles_own_engines_are_found_by_library_and_gpu(gpu, own_bundle, model_bundle):
    with pytest.raises(InputError, match=r"engines: found no engines of TensorRT, expected engines \(python -m export"):
        open_backend(Bundle.load(own_bundle), "tensorrt")
    gpu.device = Gpu("Other GPU", 90, (13, 0), 1 << 34)
    with pytest.raises(UnfitEnginesError, match="expected compute capability 90"):
        open_backend(Bundle.load(model_bundle), "tensorrt")
    gpu.device = Gpu("Fake GPU", 86, (13, 0), 1 << 34)
    with pytest.raises(InputError, match="found engines in fp16, expected engines in fp32"):
        open_backend(Bundle.load(model_bundle), "tensorrt", precision="fp32")


def test_vae_mode_without_its_engine_names_the_command(gpu, model_bundle, tmp_path, picture):
    bundle = Bundle.load(model_bundle)
    engine = open_backend(bundle, "tensorrt", engines=write_engines(bundle, tmp_path, graphs=GRAPHS[:-1]))
    with pytest.raises(InputError, match="no engine of vae_encoder"):
        engine.run("vae_encoder", {"albedo": picture()[0]})
    engine.close()


def test_a_closed_engine_and_its_pending_results_raise(engine, picture):
    image, noise = picture()
    pending = engine._submit_network(image, noise, 2)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        pending.result()
    with pytest.raises(RuntimeError, match="closed"):
        engine.network(image, noise, 2)


def test_a_missing_library_names_the_extra(monkeypatch, model_bundle):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(tensorrt.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[rtx\]"):
        open_backend(Bundle.load(model_bundle), "tensorrt-rtx")


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_on_a_gpu_fp16_engines_keep_60_decibels_of_the_cpu(backend, picture):
    bundle = Bundle.load()
    try:
        engine = open_backend(bundle, backend)
    except (MissingExtraError, CudaError, InputError) as error:
        pytest.skip(str(error))
    exact = open_backend(bundle, "cpu")
    for steps in (1, 2, 3):
        for size in ((256, 256), (256, 384)):
            image, noise = picture(1, *size)
            found = [engine.network(image, noise, steps) for _ in range(3)]
            error = np.mean((found[0].astype(np.float64) - exact.network(image, noise, steps)) ** 2)
            assert -10 * np.log10(error) >= 60
            assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    image, noise = picture(1, 256, 384)
    still = image, noise, 2, 1.5 * image[:, :, :250, :380], np.random.default_rng(0).random((1, 3, 500, 760), np.float32)
    found = [engine.decompose(*still) for _ in range(3)]
    np.testing.assert_allclose(found[0], super(tensorrt.TensorRt, engine).decompose(*still), atol=1e-4)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    engine.close()
