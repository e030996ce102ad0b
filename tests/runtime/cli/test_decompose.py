"""The command `python -m runtime.decompose`: outputs, exit codes, bad inputs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import intrinsic_flow.cli.video_job
import intrinsic_flow.output.layer_files
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decompose import main
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear
from intrinsic_flow.media.images import read_image, write_image
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_writer import VideoWriter

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def photo(tmp_path, scene) -> Path:
    path = tmp_path / "photo.png"
    write_image(path, scene / scene.max())
    return path


@pytest.fixture
def decompose(tiny_bundle, tmp_path, capsys):
    """Runs the command on inputs into tmp_path/out; returns exit code and lines of its log."""

    def run(*arguments: object, output: Path | None = tmp_path / "out") -> tuple[int, list[str]]:
        places = ["-o", str(output)] if output else []
        code = main([*map(str, arguments), *places, "--bundle", str(tiny_bundle)])
        return code, capsys.readouterr().err.splitlines()

    return run


def listing(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write_clip(path: Path, frames: list[np.ndarray], rate: int = 25) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, None, width, height, frame_rate=Fraction(rate), bit_depth=8) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, Fraction(index, rate))
    return path


@pytest.fixture(scope="module")
def frames(scene) -> list[np.ndarray]:
    """Twelve frames of the scene, moving, 64 x 96."""
    display = np.clip(scene / 2.5, 0, 1)
    return [np.ascontiguousarray(display[8:72, step : step + 96]) for step in range(12)]


def test_a_photo_becomes_albedo_shading_and_sidecar_at_its_own_size(decompose, photo, tmp_path):
    code, lines = decompose(photo)
    assert code == 0
    assert listing(tmp_path / "out") == ["photo_albedo.png", "photo_shading.json", "photo_shading.png"]
    for layer in ("albedo", "shading"):
        stored = cv2.imread(str(tmp_path / f"out/photo_{layer}.png"), cv2.IMREAD_UNCHANGED)
        assert stored.shape == (90, 140, 3) and stored.dtype == np.uint8
    assert lines[-1].startswith("1 done, 0 skipped, 0 failed")


@pytest.mark.parametrize("extra", [[], ["--half"]])
@pytest.mark.parametrize("shading", ["rgb", "gray"])
def test_product_of_exr_outputs_is_the_input(decompose, tmp_path, scene, extra, shading):
    write_image(tmp_path / "render.exr", scene * 3, format="exr")
    code, _ = decompose(tmp_path / "render.exr", "--shading", shading, *extra)
    assert code == 0
    assert listing(tmp_path / "out") == ["render_albedo.exr", "render_shading.exr"]
    image = read_image(tmp_path / "render.exr").pixels
    albedo, light = (read_image(tmp_path / f"out/render_{layer}.exr") for layer in ("albedo", "shading"))
    assert albedo.bit_depth == light.bit_depth == ("half" if extra else "float")
    error = np.abs(albedo.pixels.astype(np.float64) * light.pixels - image)
    assert np.all(error <= (1e-3 if extra else 1e-5) * image)
    assert np.any(image == 0)


def test_product_of_npy_outputs_of_an_8_bit_photo_is_its_linear_light(decompose, photo, tmp_path):
    assert decompose(photo, "--format", "npy")[0] == 0
    albedo, shading = (np.load(tmp_path / f"out/photo_{layer}.npy") for layer in ("albedo", "shading"))
    image = read_image(photo).pixels
    assert albedo.dtype == shading.dtype == np.float32
    assert np.all(np.abs(albedo.astype(np.float64) * shading - image) <= 1e-5 * image)


def test_png16_outputs_decode_to_the_product_up_to_their_rounding(decompose, photo, tmp_path):
    assert decompose(photo, "--format", "png16")[0] == 0
    sidecar = json.loads((tmp_path / "out/photo_shading.json").read_text())
    codes = [cv2.imread(str(tmp_path / f"out/photo_{layer}.png"), -1)[..., ::-1] for layer in ("albedo", "shading")]
    assert all(layer.dtype == np.uint16 for layer in codes)
    albedo, shading = (srgb_to_linear(layer.astype(np.float32) / 65535) for layer in codes)
    product, image = albedo * shading * sidecar["shading_scale"], read_image(photo).pixels
    held = (codes[1] < 65535) & (image > 0.01)
    assert held.mean() > 0.5
    assert np.all(np.abs(product - image)[held] < 0.02 * image[held])
    assert 0 <= sidecar["clipped_fraction"] < 0.002


def test_the_default_format_follows_the_input(decompose, tmp_path, scene):
    write_image(tmp_path / "wide.png", scene / scene.max(), format="png16")
    write_image(tmp_path / "array.npy", scene, format="npy")
    cv2.imwrite(str(tmp_path / "deep.tiff"), (scene / scene.max())[..., ::-1].astype(np.float32))
    cv2.imwrite(str(tmp_path / "flat.tif"), np.full((40, 40, 3), 99, np.uint8))
    cv2.imwrite(str(tmp_path / "sky.hdr"), scene[..., ::-1])
    inputs = [tmp_path / name for name in ("wide.png", "array.npy", "deep.tiff", "flat.tif", "sky.hdr")]
    assert decompose(*inputs)[0] == 0
    found = listing(tmp_path / "out")
    for name in ("wide_albedo.png", "array_albedo.npy", "deep_albedo.exr", "flat_albedo.png", "sky_albedo.exr"):
        assert name in found
    assert cv2.imread(str(tmp_path / "out/wide_albedo.png"), -1).dtype == np.uint16
    assert cv2.imread(str(tmp_path / "out/flat_albedo.png"), -1).dtype == np.uint8


@pytest.mark.parametrize("option", ["--half", "--float", "--one-exr"])
def test_what_only_exr_files_can_be_makes_them_exr(decompose, photo, tmp_path, option):
    assert decompose(photo, option)[0] == 0
    layers = ["layers"] if option == "--one-exr" else ["albedo", "shading"]
    assert listing(tmp_path / "out") == [f"photo_{layer}.exr" for layer in layers]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--exr-layer", "diffuse"], "photo.png: --exr-layer is for exr inputs"),
        (["--output-colorspace", "acescg"], "photo.png: --output-colorspace is for exr and npy; png is written in sRGB"),
        (["--start", 3, "--rate", 25], "--rate and --start: for videos and sequences, of which there is none here"),
    ],
)
def test_an_option_that_does_nothing_for_a_picture_is_said(decompose, photo, options, said):
    code, lines = decompose(photo, *options)
    assert code == 0 and any(said in line for line in lines), lines


def test_a_folder_done_with_one_exr_is_skipped_when_it_is_walked_again(decompose, tmp_path, scene):
    for folder in ("in", "frames"):
        (tmp_path / folder).mkdir()
    for name in ("in/plate.exr", "in/artist_layers.exr"):
        write_image(tmp_path / name, scene, format="exr")
    for number in (1, 2):
        write_image(tmp_path / f"frames/f.{number}.exr", scene, format="exr")
    assert decompose(tmp_path / "in", "--one-exr", output=None)[0] == 0
    code, lines = decompose(tmp_path / "in", "--one-exr", output=None)
    assert (code, lines[-1].split(" in ")[0]) == (0, "0 done, 2 skipped, 0 failed")
    assert listing(tmp_path / "in") == [
        "artist_layers.exr", "artist_layers_layers.exr", "plate.exr", "plate_layers.exr"
    ]  # fmt: skip
    assert decompose(tmp_path / "frames/f.#.exr", "--one-exr", output=tmp_path / "in/done")[0] == 0
    assert decompose(tmp_path / "in", "--one-exr", output=None)[1][-1].startswith("0 done, 2 skipped, 0 failed")


def test_same_input_and_seed_give_the_same_files(decompose, photo, tmp_path):
    for folder, seed in (("one", 4), ("two", 4), ("three", 5)):
        assert decompose(photo, "--seed", seed, "--preview", output=tmp_path / folder)[0] == 0
    names = listing(tmp_path / "one")
    assert "photo_preview.png" in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one/photo_albedo.png").read_bytes() != (tmp_path / "three/photo_albedo.png").read_bytes()


def test_without_an_output_folder_outputs_lie_beside_the_input(decompose, photo, tmp_path):
    assert decompose(photo, output=None)[0] == 0
    assert {"photo_albedo.png", "photo_shading.png"} <= set(listing(tmp_path))


def test_existing_outputs_are_kept_and_nothing_is_computed(decompose, photo, tmp_path, monkeypatch):
    assert decompose(photo)[0] == 0
    (tmp_path / "out/photo_albedo.png").write_bytes(b"mine")

    def fail(*_):
        raise AssertionError("computed")

    monkeypatch.setattr(Decomposer, "decompose", fail)
    code, lines = decompose(photo)
    assert code == 0
    assert any("photo.png: skipped" in line and "--overwrite" in line for line in lines)
    assert lines[-1].startswith("0 done, 1 skipped, 0 failed")
    assert (tmp_path / "out/photo_albedo.png").read_bytes() == b"mine"


def test_overwrite_replaces_existing_outputs(decompose, photo, tmp_path):
    assert decompose(photo)[0] == 0
    good = (tmp_path / "out/photo_albedo.png").read_bytes()
    (tmp_path / "out/photo_albedo.png").write_bytes(b"old")
    assert decompose(photo, "--overwrite")[0] == 0
    assert (tmp_path / "out/photo_albedo.png").read_bytes() == good


def test_outputs_of_which_only_some_exist_are_neither_mixed_nor_overwritten(decompose, photo, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo_albedo.png").write_bytes(b"mine")
    code, lines = decompose(photo)
    assert code == 1
    assert "photo_albedo.png: found an output, but no photo_shading.png" in lines[0]
    assert listing(tmp_path / "out") == ["photo_albedo.png"]


def test_an_input_is_never_overwritten_by_an_output(decompose, photo, tmp_path):
    other = tmp_path / "photo_albedo.png"
    other.write_bytes(photo.read_bytes())
    code, lines = decompose(photo, other, "--overwrite", output=None)
    assert code == 1
    assert any("photo_albedo.png: found an input of this run" in line for line in lines)
    assert other.read_bytes() == photo.read_bytes()


def test_inputs_of_one_stem_never_overwrite_each_other(decompose, tmp_path, scene):
    for folder, value in (("a", 0.2), ("b", 0.6)):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "x.png", np.full((32, 32, 3), value, np.float32))
    code, lines = decompose(tmp_path / "a/x.png", tmp_path / "b/x.png", "--format", "npy")
    assert code == 0
    assert [name for name in listing(tmp_path / "out") if "albedo" in name] == ["a_x_albedo.npy", "b_x_albedo.npy"]
    assert sum("outputs are named" in line for line in lines) == 2


def bad_files(folder: Path) -> dict[str, str]:
    """Files that cannot be decomposed, and what the error says of each."""
    folder.mkdir()
    write_image(folder / "whole.png", np.random.default_rng(0).random((80, 80, 3), np.float32))
    whole = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    (folder / "empty.png").write_bytes(b"")
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "foreign.jpg").write_text("this is no picture\n")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "foreign.mp4").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.exr").write_bytes(b"")
    (folder / "nan.npy").write_bytes(b"\x93NUMPY broken")
    return {
        "empty.png": "empty",
        "truncated.png": "truncated",
        "foreign.jpg": "found",
        "empty.mp4": "empty",
        "foreign.mp4": "found",
        "empty.exr": "empty",
        "nan.npy": "found",
        "missing.png": "no such file",
        "notes.txt": "found",
    }


def test_each_bad_input_is_one_clear_line_and_the_others_are_done(decompose, photo, tmp_path):
    expected = bad_files(tmp_path / "bad")
    (tmp_path / "bad/notes.txt").write_text("x")
    code, lines = decompose(*(tmp_path / "bad" / name for name in expected), photo)
    assert code == 1
    failures = [line for line in lines if line.startswith("failed: ")]
    assert len(failures) == len(expected)
    for name, found in expected.items():
        (line,) = [line for line in failures if f"/{name}: " in line]
        assert found in line and "expected" in line
    assert listing(tmp_path / "out") == ["photo_albedo.png", "photo_shading.json", "photo_shading.png"]
    assert lines[-1].startswith(f"1 done, 0 skipped, {len(expected)} failed")


def test_gray_alpha_tiny_and_extremely_long_images_come_out_at_their_size(decompose, tmp_path):
    rng = np.random.default_rng(0)
    pictures = {
        "gray.png": rng.integers(0, 256, (50, 60), np.uint8),
        "alpha.png": rng.integers(0, 256, (50, 60, 4), np.uint8),
        "one.png": np.full((1, 1, 3), 77, np.uint8),
        "strip.png": rng.integers(0, 256, (2, 3000, 3), np.uint8),
        "black.png": np.zeros((40, 40, 3), np.uint8),
    }
    for name, pixels in pictures.items():
        cv2.imwrite(str(tmp_path / name), pixels)
    code, lines = decompose(*(tmp_path / name for name in pictures), "--preview")
    assert code == 0, lines
    for name, pixels in pictures.items():
        for layer in ("albedo", "shading"):
            stored = cv2.imread(str(tmp_path / "out" / name.replace(".png", f"_{layer}.png")), cv2.IMREAD_UNCHANGED)
            assert stored.shape[:2] == pixels.shape[:2]
            if name == "alpha.png":
                np.testing.assert_array_equal(stored[..., 3], pixels[..., 3])


def test_a_large_image_is_done_in_strips(decompose, tmp_path, monkeypatch):
    monkeypatch.setattr(Backend, "strip_pixels", 1 << 17)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    cv2.imwrite(str(tmp_path / "large.jpg"), pixels)
    assert decompose(tmp_path / "large.jpg", "--format", "npy")[0] == 0
    albedo, shading = (np.load(tmp_path / f"out/large_{layer}.npy") for layer in ("albedo", "shading"))
    assert albedo.shape == pixels.shape
    np.testing.assert_allclose(albedo * shading, read_image(tmp_path / "large.jpg").pixels, rtol=1e-5)


def test_colorspace_linear_takes_codes_as_light(decompose, photo, tmp_path):
    assert decompose(photo, "--format", "npy", "--colorspace", "linear")[0] == 0
    albedo, shading = (np.load(tmp_path / f"out/photo_{layer}.npy") for layer in ("albedo", "shading"))
    codes = cv2.imread(str(photo))[..., ::-1] / np.float32(255)
    np.testing.assert_allclose(albedo * shading, codes, rtol=1e-4)


def test_vae_mode_writes_what_the_autoencoder_keeps(decompose, photo, tmp_path):
    assert decompose(photo, "--mode", "vae", "--format", "npy")[0] == 0
    albedo = np.load(tmp_path / "out/photo_albedo.npy")
    assert np.ptp(albedo[4:8, 4:8], axis=(0, 1)).max() < 1e-4
    assert np.ptp(albedo[4:12, 4:12], axis=(0, 1)).max() > 1e-3


def test_preview_shows_input_albedo_and_shading_side_by_side(decompose, photo, tmp_path):
    assert decompose(photo, "--preview")[0] == 0
    preview = cv2.imread(str(tmp_path / "out/photo_preview.png"))
    layers = [photo, tmp_path / "out/photo_albedo.png", tmp_path / "out/photo_shading.png"]
    np.testing.assert_allclose(preview, np.hstack([cv2.imread(str(path)) for path in layers]), atol=1)


def test_repairs_of_a_float_file_are_told_and_negative_values_kept(decompose, tmp_path, scene):
    image = scene.copy()
    image[0, :3] = np.nan
    image[1, :2] = -1
    np.save(tmp_path / "broken.npy", image)
    code, lines = decompose(tmp_path / "broken.npy")
    assert code == 0
    assert any("broken.npy: 3 non-finite" in line for line in lines)
    albedo, shading = (np.load(tmp_path / f"out/broken_{layer}.npy") for layer in ("albedo", "shading"))
    np.testing.assert_allclose((albedo * shading)[1], image[1], rtol=1e-5)
    assert (shading > 0).all()


def test_quiet_prints_nothing_but_errors(decompose, photo, tmp_path):
    assert decompose(photo, "--quiet") == (0, [])
    code, lines = decompose(photo, tmp_path / "missing.png", "--quiet", "--overwrite")
    assert code == 1 and len(lines) == 1 and "missing.png" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "INPUT"),
        (["x.png", "--backend", "tpu"], "auto"),
        (["x.png", "--steps", "0"], "at least 1"),
        (["x.png", "--resolution", "31"], "at least 32"),
        (["x.png", "--seed", "-1"], "at least 0"),
        (["x.png", "--format", "gif"], "png16"),
        (["x.png", "--half", "--format", "png"], "expected exr"),
        (["x.png", "-o", __file__], "expected a folder"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_bundle_that_is_none_exits_with_2(photo, tmp_path, capsys):
    assert main([str(photo), "--bundle", str(tmp_path / "none")]) == 2
    assert "none: found no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()])
def test_a_failure_between_two_outputs_leaves_neither(decompose, photo, tmp_path, monkeypatch, error):
    def fail_at_shading(path, *arguments, **options):
        if "shading" in path.name:
            raise error
        write_image(path, *arguments, **options)

    monkeypatch.setattr(intrinsic_flow.output.layer_files, "write_image", fail_at_shading)
    code, lines = decompose(photo)
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert list((tmp_path / "out").iterdir()) == []
    if code == 1:
        assert "photo.png: " in lines[1]


def test_a_folder_that_cannot_be_written_to_fails_with_its_name(decompose, photo, tmp_path):
    (tmp_path / "file").write_text("")
    code, lines = decompose(photo, output=tmp_path / "file/below")
    assert code == 1 and "photo.png: " in lines[1] and "file" in lines[1]


def test_a_clip_becomes_videos_of_its_size_with_its_timestamps(decompose, tmp_path, frames):
    clip = write_clip(tmp_path / "clip.mp4", frames)
    code, lines = decompose(clip, "--preview")
    assert code == 0, lines
    expected = ["clip_albedo.mp4", "clip_preview.mp4", "clip_shading.json", "clip_shading.mp4"]
    assert listing(tmp_path / "out") == expected
    with VideoReader(clip) as reader:
        times = [frame.pts for frame in reader]
    for name, width in (("albedo", 96), ("shading", 96), ("preview", 3 * 96)):
        with VideoReader(tmp_path / f"out/clip_{name}.mp4") as reader:
            assert (reader.width, reader.height) == (width, 64)
            assert [frame.pts for frame in reader] == times


def test_the_shading_factor_is_one_for_the_whole_clip(decompose, tmp_path, frames):
    dimmed = [frame * np.float32(factor) for frame, factor in zip(frames, np.linspace(1, 0.25, 12), strict=True)]
    clip = write_clip(tmp_path / "clip.mp4", dimmed)
    assert decompose(clip, "--mode", "vae")[0] == 0
    sidecar = json.loads((tmp_path / "out/clip_shading.json").read_text())
    assert sidecar["frames"] == 12 and sidecar["shading_scale"] >= 1
    with (
        VideoReader(clip) as source,
        VideoReader(tmp_path / "out/clip_albedo.mp4") as albedos,
        VideoReader(tmp_path / "out/clip_shading.mp4") as shadings,
    ):
        for frame, albedo, shading in zip(source, albedos, shadings, strict=True):
            product = albedo.pixels * shading.pixels * sidecar["shading_scale"]
            np.testing.assert_allclose(product.mean(axis=(0, 1)), frame.pixels.mean(axis=(0, 1)), rtol=0.05)


def test_a_video_of_odd_size_keeps_its_size(decompose, tmp_path, frames):
    clip = write_clip(tmp_path / "odd.mp4", [frame[:63, :95] for frame in frames[:3]])
    assert decompose(clip)[0] == 0
    with VideoReader(tmp_path / "out/odd_albedo.mp4") as reader:
        assert (reader.width, reader.height) == (95, 63)


def test_a_video_that_breaks_off_fails_and_leaves_nothing(decompose, tmp_path, frames, photo):
    whole = write_clip(tmp_path / "whole.mkv", frames * 4).read_bytes()
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    code, lines = decompose(broken, photo)
    assert code == 1
    (failure,) = [line for line in lines if line.startswith("failed")]
    assert "broken.mkv: found" in failure and "breaks off" in failure
    assert listing(tmp_path / "out") == ["photo_albedo.png", "photo_shading.json", "photo_shading.png"]


def test_a_clip_that_cannot_be_encoded_fails_and_leaves_nothing(decompose, tmp_path, frames, monkeypatch):
    written = []

    class FullDisk(VideoWriter):
        def write(self, *arguments):
            written.append(arguments)
            if len(written) > 15:
                raise OSError(28, "No space left on device")
            super().write(*arguments)

    monkeypatch.setattr(intrinsic_flow.cli.video_job, "VideoWriter", FullDisk)
    code, lines = decompose(write_clip(tmp_path / "clip.mp4", frames))
    assert code == 1 and "clip.mp4: No space left on device" in lines[1]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory) -> Path:
    """Noise, of which the encoder writes its first bytes well before the end."""
    noise = np.random.default_rng(0).random((16, 64, 96, 3), np.float32)
    return write_clip(tmp_path_factory.mktemp("long") / "clip.mp4", [*noise] * 40)


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_video_keeps_what_was_written_under_partial_names(
    tiny_bundle, tmp_path, long_clip, number
):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "runtime.decompose", str(long_clip), "-o", str(out), "--bundle", str(tiny_bundle)]
    command += ["--backend", "cpu", "--resolution", "64"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not any(path.stat().st_size > 20_000 for path in out.rglob("*.mp4")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.kill(process.pid, number)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 130, log
    # A busy machine may have taken long enough for lines of progress before it.
    line = log.strip().splitlines()[-1]
    assert line.startswith("interrupted: ") and line.endswith("the same command with --resume goes on")
    assert listing(out) == ["clip_albedo.partial.mp4", "clip_partial.json", "clip_shading.partial.mp4"]
    counts = []
    for layer in ("albedo", "shading"):
        with VideoReader(out / f"clip_{layer}.partial.mp4") as reader:
            counts.append(len(list(reader)))
    assert counts[0] == counts[1] == json.loads((out / "clip_partial.json").read_text())["frames"] > 0


def test_help_starts_with_what_the_command_does_and_has_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "Splits photos and videos into albedo" in text.split("options:")[0]
    assert text.count("    python -m runtime.decompose ") == 3


def test_preview_of_a_dark_render_is_exposed(decompose, tmp_path, scene):
    write_image(tmp_path / "dark.exr", scene * np.float32(1e-4), format="exr")
    assert decompose(tmp_path / "dark.exr", "--preview")[0] == 0
    preview = cv2.imread(str(tmp_path / "out/dark_preview.png"))
    assert preview[:60, :100].mean() > 30
    assert linear_to_srgb(scene * 1e-4).mean() * 255 < 10
