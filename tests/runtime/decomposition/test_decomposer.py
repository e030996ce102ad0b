"""The decomposer's promises: exact product, any size and scale, same bytes for the same seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.decomposition.decomposer import Context
from intrinsic_flow.decomposition.upsampling import to_nchw, upsample_shading
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear

REPOSITORY = Path(__file__).parents[3]


def relative_error(result, image):
    return np.max(np.abs(result.albedo.astype(np.float64) * result.shading - image) / np.maximum(image, 1e-30))


@pytest.fixture(scope="module")
def model(tiny_bundle):
    with Decomposer.load(tiny_bundle) as loaded:
        yield loaded


def test_import_runtime_is_light():
    code = (
        "import sys, intrinsic_flow, intrinsic_flow.backends, intrinsic_flow.decomposition.bundle; "
        "intrinsic_flow.Decomposer;"
        "import intrinsic_flow.decompose;"
        "bad = {'torch', 'onnx', 'tensorrt', 'gradio', 'ray', 'av', 'OpenImageIO', 'PIL', 'onnxruntime'};"
        "bad |= {f'intrinsic_flow.{name}' for name in ('train', 'export', 'benchmarks')};"
        "loaded = {name.partition('.')[0] for name in sys.modules} | set(sys.modules);"
        "print(sorted(bad & loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_runtime_alone_imports_nothing_else_of_the_project():
    code = "import sys, runtime; print(sorted(n for n in sys.modules if n.startswith('runtime') or n in ('numpy', 'cv2')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['runtime']"


@pytest.mark.parametrize("shape", [(90, 140), (300, 513), (1, 1), (2, 700), (700, 3), (31, 33)])
@pytest.mark.parametrize("shading", ["rgb", "gray"])
def test_product_of_outputs_is_the_input_at_its_own_size(tiny_bundle, shape, shading):
    image = np.random.default_rng(0).uniform(0, 4, (*shape, 3)).astype(np.float32)
    image[0, 0] = 0
    with Decomposer.load(tiny_bundle, shading=shading) as model:
        result = model.decompose(image)
    assert result.albedo.shape == result.shading.shape == image.shape
    assert result.albedo.dtype == result.shading.dtype == np.float32
    assert relative_error(result, image) < 1e-5
    assert np.all(result.shading > 0) and np.all((result.albedo >= 0) & (result.albedo <= 1))


def test_same_seed_gives_same_bytes_and_another_seed_another_result(tiny_bundle, scene):
    def bytes_of(seed):
        with Decomposer.load(tiny_bundle, seed=seed) as model:
            result = model.decompose(scene)
        return result.albedo.tobytes() + result.shading.tobytes()

    assert bytes_of(5) == bytes_of(5)
    assert bytes_of(5) != bytes_of(6)


def test_result_does_not_depend_on_images_decomposed_before(model, scene):
    first = model.decompose(scene)
    model.decompose(np.random.default_rng(0).random((50, 60, 3), np.float32))
    np.testing.assert_array_equal(model.decompose(scene).albedo, first.albedo)


def test_albedo_does_not_depend_on_the_scale_of_the_light(model, scene):
    reference = model.decompose(scene)
    for factor in (2.0**-6, 2.0**10):
        scaled = model.decompose(scene * np.float32(factor))
        lit = scene.min(axis=2) > 1e-3
        np.testing.assert_allclose(scaled.albedo[lit], reference.albedo[lit], rtol=1e-4)
        np.testing.assert_allclose(scaled.shading[lit], reference.shading[lit] * factor, rtol=1e-4)


def test_light_above_the_networks_range_stays_in_the_shading(model, scene):
    result = model.decompose(scene)
    assert scene[21, 61, 0] * result.exposure_gain > 1
    assert np.all(result.shading[21, 61] >= scene[21, 61])


def test_integer_images_are_taken_for_srgb(model):
    codes = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    from_codes = model.decompose(codes)
    from_light = model.decompose(srgb_to_linear(codes.astype(np.float32) / 255))
    np.testing.assert_allclose(from_codes.albedo, from_light.albedo, rtol=1e-6)
    wide = np.round(linear_to_srgb(srgb_to_linear(codes / np.float32(255))) * 65535).astype(np.uint16)
    np.testing.assert_allclose(model.decompose(wide).albedo, from_light.albedo, atol=1e-3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), "shape"),
        (np.zeros((4, 4, 4)), "shape"),
        (np.zeros((0, 4, 3)), "shape"),
        (np.zeros((4, 4, 3), np.int32), "type int32"),
    ],
)
def test_an_array_that_is_no_image_is_refused(model, image, message):
    with pytest.raises(ValueError, match=message):
        model.decompose(image)


def test_bad_values_of_a_float_image_count_as_black_or_as_the_largest_value(model, scene):
    image = scene.copy()
    image[0, :4] = [np.nan, 0, -np.inf]
    image[1, 0] = np.inf
    before = image.copy()
    result = model.decompose(image)
    np.testing.assert_array_equal(image, before)
    assert np.all(np.isfinite(result.albedo)) and np.all(np.isfinite(result.shading))
    assert np.all(result.albedo[0, :4] == 0) and np.all(result.shading[0, :4] > 0)
    assert result.source.notes == ("5 non-finite pixels repaired",)


def test_an_array_and_the_file_that_holds_it_give_the_same(model, scene, tmp_path):
    image = scene.copy()
    image[0, :4], image[1, 0] = np.nan, np.inf
    np.save(tmp_path / "a.npy", image)
    array, file = model.decompose(image), model.decompose(tmp_path / "a.npy")
    np.testing.assert_array_equal(array.shading, file.shading)
    np.testing.assert_array_equal(array.albedo, file.albedo)
    assert array.source.notes == file.source.notes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_array_without_a_finite_pixel_is_refused_as_such_a_file_is(model, scene, value):
    line = "^image: found no finite pixel, expected at least one finite pixel$"
    with pytest.raises(InputError, match=line):
        model.decompose(np.full((40, 40, 3), value, np.float32))
    with pytest.raises(InputError, match=line):
        list(model.stream([scene, np.full_like(scene, value)]))


@pytest.mark.parametrize("shading", ["rgb", "gray"])
def test_negative_values_are_the_albedos_and_black_for_the_light(tiny_bundle, scene, shading):
    image, black = scene.copy(), scene.copy()
    image[3:9, 4:30, 1], black[3:9, 4:30, 1] = -0.02, 0
    with Decomposer.load(tiny_bundle, shading=shading) as model:
        result, expected = model.decompose(image), model.decompose(black)
    np.testing.assert_array_equal(result.shading, expected.shading)
    assert np.all(result.albedo[3:9, 4:30, 1] < 0)
    np.testing.assert_allclose(result.albedo * result.shading, image, rtol=1e-5)


def test_values_close_to_the_largest_float_give_finite_layers(model):
    image = np.full((40, 40, 3), 1e-3, np.float32)
    image[3, 3] = np.finfo(np.float32).max
    result = model.decompose(image)
    assert np.all(np.isfinite(result.albedo)) and np.all(np.isfinite(result.shading))


def test_a_black_image_is_black_in_the_albedo(model):
    result = model.decompose(np.zeros((40, 40, 3), np.float32))
    assert np.all(result.albedo == 0) and np.all(result.shading > 0) and result.exposure_gain == 1.0


def test_gray_shading_has_no_colour(tiny_bundle, scene):
    with Decomposer.load(tiny_bundle, shading="gray") as model:
        result = model.decompose(scene)
    np.testing.assert_array_equal(result.shading, result.shading[..., :1].repeat(3, axis=2))


def test_vae_mode_returns_what_the_autoencoder_makes_of_the_image(tiny_bundle):
    image = np.random.default_rng(0).uniform(0.2, 1, (64, 96, 3)).astype(np.float32)
    with Decomposer.load(tiny_bundle, mode="vae", precision="fp32") as model:
        result = model.decompose(image)
    exposed = np.clip(image * result.exposure_gain, 0, 1)
    blocks = exposed.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3), keepdims=True)
    expected = np.broadcast_to(blocks, (16, 4, 24, 4, 3)).reshape(image.shape)
    np.testing.assert_allclose(result.albedo, expected, atol=1e-5)
    assert relative_error(result, image) < 1e-5


def test_number_of_steps_reaches_the_step_graph(tiny_bundle, scene):
    times = []
    with Decomposer.load(tiny_bundle, steps=4) as model:
        run = model.backend.run

        def spy(graph, feeds):
            if graph == "velocity_step":
                times.append((float(feeds["t"][0]), float(feeds["dt"][0])))
            return run(graph, feeds)

        model.backend.run = spy
        model.decompose(scene)
    assert times == [(0.0, 0.25), (0.25, 0.25), (0.5, 0.25), (0.75, 0.25)]


def test_every_frame_of_a_stream_is_decomposed_as_it_comes(model, scene):
    drawn = []

    def frames():
        for number in range(3):
            drawn.append(number)
            yield scene

    results = model.stream(frames())
    first = next(results)
    assert drawn == [0]
    np.testing.assert_array_equal(first.albedo, model.decompose(scene).albedo)
    for result in results:
        np.testing.assert_allclose(result.albedo, first.albedo, rtol=2e-6)  # held over time, up to rounding
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize("every", [1, 3])
def test_a_stream_of_several_workers_gives_the_same_bytes(tiny_bundle, scene, every):
    frames = [np.roll(scene, shift, axis=1) for shift in range(0, 24, 2)]
    given = [Context(frames[0]), *frames]
    with Decomposer.load(tiny_bundle, "cpu", threads=1) as model:
        alone = list(model.stream(given, every=every))
        threaded = [layers.finish() for layers in model.stream_pending(given, every=every, workers=2)]
    assert len(alone) == len(threaded) == len(frames)
    for one, other in zip(alone, threaded):
        assert one.exposure_gain == other.exposure_gain
        np.testing.assert_array_equal(other.albedo, one.albedo)
        np.testing.assert_array_equal(other.shading, one.shading)


def test_exposure_of_a_stream_follows_slowly_and_jumps_at_a_cut(model, scene):
    frames = [scene, scene * 1.3, scene * 0.01]
    own = [model.decompose(frame).exposure_gain for frame in frames]
    streamed = [result.exposure_gain for result in model.stream(frames)]
    assert streamed[0] == pytest.approx(own[0])
    assert own[1] < streamed[1] < streamed[0]
    assert streamed[2] == pytest.approx(own[2])


def test_strips_of_a_large_image_join_without_seams(model):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 2, (203, 97, 3)).astype(np.float32)
    low = {"log_shading": to_nchw(rng.normal(0, 1, (41, 33, 3))), "guide": to_nchw(rng.uniform(0, 2, (41, 33, 3)))}
    whole = upsample_shading(model.backend, image, low, 1.7)
    for rows in (1, 7, 64, 202):
        strips = upsample_shading(model.backend, image, low, 1.7, strip_pixels=97 * rows)
        np.testing.assert_allclose(strips, whole, rtol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"seed": -1},
        {"resolution": 31},
        {"shading": "blue"},
        {"mode": "gan"},
        {"backend": "tpu"},
        {"threads": 0},
    ],
)
def test_a_bad_option_is_refused_by_name(tiny_bundle, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Decomposer.load(tiny_bundle, **options)


def test_start_noise_is_the_bundles_tile_and_the_seed_an_offset_into_it(own_bundle, scene):
    def albedo(seed):
        with Decomposer.load(own_bundle, "cpu", seed=seed) as model:
            return model.decompose(scene).albedo

    def store(tile):
        np.save(own_bundle / "noise.npy", tile)

    tile = np.load(own_bundle / "noise.npy")
    expected = albedo(64 * 3 + 5)
    store(np.roll(tile, (-3, -5), axis=(1, 2)))
    np.testing.assert_array_equal(albedo(0), expected)
    np.testing.assert_array_equal(albedo(64 * 64), expected)
    assert np.abs(albedo(1) - expected).max() > 1e-3
    store(np.zeros_like(tile))
    np.testing.assert_array_equal(albedo(0), albedo(7))
