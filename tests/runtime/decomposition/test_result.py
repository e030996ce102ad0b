"""Images in as arrays, paths and PIL images; results out as files and as a notebook's picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.decompose import main
from intrinsic_flow.decomposition.inputs import read_input
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import srgb_to_linear
from intrinsic_flow.media.images import read_image, write_image

PIL = pytest.importorskip("PIL.Image")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model(tiny_bundle):
    with Decomposer.load(tiny_bundle, backend="cpu") as loaded:
        yield loaded


@pytest.fixture
def photo(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (40, 56, 4), np.uint8)
    path = tmp_path / "photo.png"
    PIL.fromarray(codes).save(path)
    return path


def test_a_path_an_image_and_an_array_give_the_same(model, photo):
    with PIL.open(photo) as image:
        from_image = model.decompose(image)
    from_path = model.decompose(photo)
    codes = cv2.cvtColor(cv2.imread(str(photo), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGB)
    for other in (from_image, model.decompose(str(photo)), model.decompose(codes)):
        np.testing.assert_allclose(other.albedo, from_path.albedo, rtol=1e-6)
    np.testing.assert_array_equal(from_image.source.alpha, from_path.source.alpha)
    assert from_image.source.name == from_path.source.name == "photo.png"
    assert from_image.source.bit_depth == from_path.source.bit_depth == 8


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_pil_modes_are_what_pillow_shows(mode):
    codes = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    image = PIL.fromarray(codes) if mode == "RGBA" else PIL.fromarray(codes).convert("RGB").convert(mode)
    shown = np.asarray(image.convert("RGBA"))
    pixels, source = read_input(image)
    np.testing.assert_allclose(pixels, srgb_to_linear(shown[..., :3] / np.float32(255)), atol=1e-6)
    if mode == "RGBA":
        np.testing.assert_allclose(source.alpha, codes[..., 3] / 255, atol=1e-6)
    else:
        assert source.alpha is None


def test_a_transparent_palette_keeps_its_alpha():
    image = PIL.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.info["transparency"] = 1
    pixels, source = read_input(image)
    np.testing.assert_array_equal(pixels[0, 0], [1, 0, 0])
    np.testing.assert_array_equal(source.alpha, [[1, 0], [1, 1]])


def test_deep_and_float_images_keep_their_depth():
    codes = np.random.default_rng(1).integers(0, 65536, (20, 30), np.uint16)
    pixels, source = read_input(PIL.fromarray(codes))
    assert source.bit_depth == 16
    np.testing.assert_allclose(pixels[..., 1], srgb_to_linear(codes / np.float32(65535)), atol=1e-6)
    light = np.full((4, 5), 3.5, np.float32)
    pixels, source = read_input(PIL.fromarray(light))
    assert source.bit_depth == "float" and pixels.shape == (4, 5, 3) and np.all(pixels == 3.5)
    with pytest.raises(ValueError, match="mode HSV"):
        read_input(PIL.new("HSV", (4, 4)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_both(tmp_path, orientation):
    exif = PIL.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    PIL.fromarray(np.random.default_rng(2).integers(0, 256, (6, 9, 3), np.uint8)).save(path, exif=exif)
    with PIL.open(path) as image:
        np.testing.assert_array_equal(read_input(image)[0], read_image(path).pixels)
        assert read_input(image)[0].shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))


def test_a_bad_file_is_named(model, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.png: found no such file"):
        model.decompose(tmp_path / "nothing.png")


def test_pillow_is_imported_for_nobody_else(tiny_bundle, tmp_path):
    code = (
        "import sys, numpy as np; from intrinsic_flow import Decomposer\n"
        "with Decomposer.load(sys.argv[1], backend='cpu') as model:\n"
        "    result = model.decompose(np.full((40, 40, 3), 9, np.uint8))\n"
        "result.save(sys.argv[2]); result._repr_png_(); print([n for n in ('PIL', 'IPython', 'torch') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code, tiny_bundle, tmp_path]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("format", [None, "png", "png16", "exr", "npy"])
def test_save_writes_the_bytes_of_the_command_line(tiny_bundle, model, photo, tmp_path, format):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    options = [] if format is None else ["--format", format]
    where = ["--bundle", str(tiny_bundle), "--backend", "cpu", "-o", str(theirs), "--quiet"]
    assert main([str(photo), *where, *options]) == 0
    paths = model.decompose(photo).save(ours, format=format)
    assert sorted(path.name for path in paths.values()) == sorted(path.name for path in theirs.iterdir())
    for path in paths.values():
        if path.suffix == ".exr":
            np.testing.assert_array_equal(read_image(path).pixels, read_image(theirs / path.name).pixels)
        elif path.suffix == ".json":
            mine, other = (json.loads(file.read_text()) for file in (path, theirs / path.name))
            assert mine.pop("engine") and other.pop("engine")
            assert mine == other
        else:
            assert path.read_bytes() == (theirs / path.name).read_bytes()


@pytest.mark.parametrize("shading", ["rgb", "gray"])
def test_half_layers_multiply_to_the_image(tiny_bundle, scene, tmp_path, shading):
    with Decomposer.load(tiny_bundle, shading=shading) as model:
        paths = model.decompose(scene).save(tmp_path, "scene", half=True)
    assert [path.name for path in paths.values()] == ["scene_albedo.exr", "scene_shading.exr"]
    layers = [read_image(path) for path in paths.values()]
    assert all(layer.bit_depth == "half" for layer in layers)
    np.testing.assert_allclose(layers[0].pixels * layers[1].pixels, scene, rtol=1.2e-3, atol=1e-6)
    if shading == "gray":
        np.testing.assert_array_equal(layers[1].pixels[..., 0], layers[1].pixels[..., 2])


def test_what_only_exr_files_can_be_makes_them_exr_and_no_other_format(model, tmp_path):
    result = model.decompose(np.zeros((40, 50, 3), np.uint8))
    assert [path.name for path in result.save(tmp_path, one_file=True).values()] == ["image_layers.exr"]
    assert {path.suffix for path in result.save(tmp_path, "half", half=True).values()} == {".exr"}
    for wanted in ({"one_file": True}, {"half": True}):
        with pytest.raises(ValueError, match="in png16, expected format exr"):
            result.save(tmp_path, "no", format="png16", **wanted)


def test_the_sidecars_factor_restores_the_shading(model, tmp_path):
    result = model.decompose(np.random.default_rng(0).integers(0, 65536, (40, 50, 3), np.uint16))
    paths = result.save(tmp_path, preview=True)
    assert set(paths) == {"albedo", "shading", "sidecar", "preview"} and paths["albedo"].name == "image_albedo.png"
    facts = json.loads(paths["sidecar"].read_text())
    assert facts["source"] is None and facts["bundle"] == "tiny" and facts["steps"] == 2
    restored = read_image(paths["shading"]).pixels * facts["shading_scale"]
    clipped = np.minimum(result.shading, facts["shading_scale"])
    np.testing.assert_allclose(restored, clipped, atol=1e-4 * facts["shading_scale"])


def test_files_that_are_there_stay_unless_told_otherwise(model, scene, tmp_path):
    result = model.decompose(scene)
    albedo = result.save(tmp_path, "a", format="npy")["albedo"]
    albedo.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"a_albedo\.npy"):
        result.save(tmp_path, "a", format="npy")
    assert albedo.read_bytes() == b"mine"
    result.save(tmp_path, "a", format="npy", overwrite=True)
    np.testing.assert_array_equal(np.load(albedo), result.albedo)


def test_the_source_is_never_replaced(model, scene, tmp_path):
    path = tmp_path / "x_albedo.exr"
    write_image(path, scene, format="exr")
    before = path.read_bytes()
    with pytest.raises(InputError, match="an input"):
        model.decompose(path).save(tmp_path, "x", overwrite=True)
    assert path.read_bytes() == before


def test_a_failure_leaves_no_file(model, scene, tmp_path, monkeypatch):
    import intrinsic_flow.output.float_layers

    def fail_at_shading(path, *arguments, **options):
        if "shading" in path.name:
            raise OSError(28, "No space left on device")
        write_image(path, *arguments, **options)

    monkeypatch.setattr(intrinsic_flow.output.float_layers, "write_image", fail_at_shading)
    with pytest.raises(OSError, match="No space"):
        model.decompose(scene).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"format": "jpg"}, "format"),
        ({"format": "png", "half": True}, "half"),
    ],
)
def test_a_bad_option_of_save_is_refused(model, scene, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        model.decompose(scene).save(tmp_path, **options)


def test_a_notebook_shows_image_albedo_and_shading(model, photo):
    result = model.decompose(photo)
    shown = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert shown.shape == (40, 3 * 56, 3)
    codes = cv2.imread(str(photo))[..., ::-1]
    assert np.abs(shown[:, :56].astype(int) - codes).max() <= 1
    albedo = srgb_to_linear(shown[:, 56:112] / np.float32(255))
    np.testing.assert_allclose(albedo, result.albedo, atol=6e-3)
    wide = model.decompose(np.ones((300, 900, 3), np.float32))
    assert cv2.imdecode(np.frombuffer(wide._repr_png_(), np.uint8), -1).shape[1] == 3 * 320


def test_frames_of_a_stream_can_be_saved(model, photo, tmp_path):
    for number, result in enumerate(model.stream([photo, photo])):
        paths = result.save(tmp_path / "frames", f"frame{number}")
        assert all(path.is_file() for path in paths.values())
    assert len(list((tmp_path / "frames").iterdir())) == 6
