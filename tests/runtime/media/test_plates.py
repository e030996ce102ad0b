"""OpenEXR plates: their own primaries, values, windows and header come back, and albedo x shading is the plate there."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from intrinsic_flow.decompose import main
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import to_rec709_matrix
from intrinsic_flow.media.images import read_image
from intrinsic_flow.media.plate import SPACES, chromaticities_of

PRIMARIES = {name: SPACES[name] for name in ("aces2065-1", "acescg", "p3-d65", "rec709")}


def scene() -> np.ndarray:
    """(48, 64, 3) float32: light that falls off over patches, with negative, strong and black pixels."""
    y, x = np.mgrid[0:48, 0:64].astype(np.float32)
    patches = np.random.default_rng(5).uniform(0.05, 0.9, (4, 4, 3)).astype(np.float32)
    pixels = patches[(y // 12).astype(int), (x // 16).astype(int)] * (3 / (1 + ((x - 20) ** 2 + y**2) / 900))[..., None]
    pixels[3, 5], pixels[4, 6], pixels[9, 9] = (-0.125, 0.25, 0.5), (1.5, -0.001, -0.002), 0
    pixels[20, 20] = (0, 40, 0)
    return pixels


def save(path: Path, pixels: np.ndarray, **header: object) -> Path:
    name = "RGB" if pixels.shape[2] == 3 else "RGBA"
    header = {"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(header, {name: np.ascontiguousarray(pixels)}).write(os.fspath(path))
    return path


def stored(path: Path) -> tuple[np.ndarray, dict[str, object]]:
    """Pixels and header as OpenEXR's own library reads them."""
    file = OpenEXR.File(os.fspath(path))
    channels = file.channels()
    return next(iter(channels.values())).pixels, file.header()


def decompose(tiny_bundle: Path, *arguments: object) -> int:
    return main([*map(str, arguments), "--bundle", str(tiny_bundle), "--quiet", "--backend", "cpu"])


@pytest.mark.parametrize("space", PRIMARIES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_plate_comes_back_in_its_own_primaries_and_the_product_is_the_plate(
    tmp_path: Path, tiny_bundle: Path, space: str, dtype: type
) -> None:
    plate = scene().astype(dtype)
    save(tmp_path / "p.exr", plate, chromaticities=PRIMARIES[space])
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "out") == 0
    (albedo, header), (shading, _) = (stored(tmp_path / f"out/p_{layer}.exr") for layer in ("albedo", "shading"))
    assert albedo.dtype == shading.dtype == dtype
    assert header["chromaticities"] == pytest.approx(PRIMARIES[space], abs=1e-6)
    assert header["compression"] == OpenEXR.PIZ_COMPRESSION
    product = albedo.astype(np.float64) * shading
    np.testing.assert_allclose(product, plate, rtol=1e-3 if dtype == np.float16 else 1e-5, atol=1e-7)
    assert (shading > 0).all() and albedo.max() <= 1 and np.array_equal(np.sign(albedo), np.sign(plate))


def test_the_light_is_carried_as_a_colour(tmp_path: Path, tiny_bundle: Path) -> None:
    """Shading in ACEScg, brought to Rec.709 by hand, is what the model gives for the same picture in Rec.709."""
    light = np.abs(scene()) + 0.05
    to_ap1 = np.linalg.inv(to_rec709_matrix(PRIMARIES["acescg"]))
    save(tmp_path / "a.exr", (light.astype(np.float64) @ to_ap1.T).astype(np.float32), chromaticities=PRIMARIES["acescg"])
    save(tmp_path / "r.exr", light, chromaticities=PRIMARIES["rec709"])
    assert decompose(tiny_bundle, tmp_path / "a.exr", tmp_path / "r.exr", "-o", tmp_path / "out") == 0
    carried = stored(tmp_path / "out/a_shading.exr")[0].astype(np.float64) @ to_rec709_matrix(PRIMARIES["acescg"]).T
    plain = stored(tmp_path / "out/r_shading.exr")[0]
    inside = stored(tmp_path / "out/a_albedo.exr")[0].max(axis=2) < 0.999  # where no highlight raised the shading
    inside &= stored(tmp_path / "out/r_albedo.exr")[0].max(axis=2) < 0.999
    assert inside.mean() > 0.5
    np.testing.assert_allclose(carried[inside], plain[inside], rtol=2e-3)


def test_the_header_is_kept(tmp_path: Path, tiny_bundle: Path) -> None:
    kept = {
        "owner": "a studio",
        "comments": "take 3",
        "pixelAspectRatio": 2.0,
        "framesPerSecond": Fraction(24000, 1001),
        "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14),
        "studio/shot": "ab_0100",
        "exposure": 0.5,
    }
    save(tmp_path / "p.exr", scene(), **kept)
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "out") == 0
    source, header = stored(tmp_path / "p.exr")[1], stored(tmp_path / "out/p_shading.exr")[1]
    for name in kept:
        assert header[name] == source[name], name
    assert header["framesPerSecond"] == Fraction(24000, 1001)
    assert header["timeCode"].hours == 1 and header["timeCode"].frame == 4


@pytest.mark.parametrize("kind", ["overscan", "crop"])
def test_data_and_display_windows_are_kept_and_png_shows_the_display_window(
    tmp_path: Path, tiny_bundle: Path, kind: str
) -> None:
    pixels = np.abs(scene())
    x, y = (-8, -4) if kind == "overscan" else (10, 6)
    display = (0, 0, 47, 39) if kind == "overscan" else (0, 0, 99, 79)
    windows = {
        "dataWindow": (np.array([x, y], np.int32), np.array([x + 63, y + 47], np.int32)),
        "displayWindow": (np.array(display[:2], np.int32), np.array(display[2:], np.int32)),
    }
    save(tmp_path / "p.exr", pixels, **windows)
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "out") == 0
    albedo, header = stored(tmp_path / "out/p_albedo.exr")
    for name, (first, last) in windows.items():
        assert np.array_equal(header[name], (first, last))
    shading = stored(tmp_path / "out/p_shading.exr")[0]
    np.testing.assert_allclose(albedo * shading, pixels, rtol=1e-5)
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "png", "--format", "png") == 0
    shown = read_image(tmp_path / "png/p_albedo.png").pixels
    assert shown.shape == (display[3] + 1, display[2] + 1, 3)
    rows = slice(max(y, 0), min(y + 48, display[3] + 1))
    columns = slice(max(x, 0), min(x + 64, display[2] + 1))
    seen = albedo[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    assert np.abs(shown[rows, columns] - seen).max() < 0.01
    outside = np.ones(shown.shape[:2], bool)
    outside[rows, columns] = False
    assert (shown[outside] == 0).all()


@pytest.mark.parametrize("space", ["rec709", "ACEScg", "Linear P3-D65", "lin_ap0"])
def test_the_output_colour_space_can_be_chosen(tmp_path: Path, tiny_bundle: Path, space: str) -> None:
    plate = scene()
    save(tmp_path / "p.exr", plate, chromaticities=PRIMARIES["aces2065-1"])
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "out", "--output-colorspace", space) == 0
    albedo, header = stored(tmp_path / "out/p_albedo.exr")
    assert header["chromaticities"] == pytest.approx(chromaticities_of(space), abs=1e-6)
    matrix = np.linalg.inv(to_rec709_matrix(chromaticities_of(space))) @ to_rec709_matrix(PRIMARIES["aces2065-1"])
    expected = plate.astype(np.float64) @ matrix.T
    product = albedo.astype(np.float64) * stored(tmp_path / "out/p_shading.exr")[0]
    np.testing.assert_allclose(product, expected, rtol=1e-5, atol=2e-6)


def test_the_configuration_of_ocio_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["x.exr", "--output-colorspace", "sRGB - Display"])
    assert raised.value.code == 2 and "ACEScg" in capsys.readouterr().err
    (tmp_path / "config.ocio").write_text(
        "ocio_profile_version: 2\nroles: {default: show, scene_linear: show, aces_interchange: ap0}\n"
        "file_rules: [!<Rule> {name: Default, colorspace: show}]\ndisplays: {d: [!<View> {name: v, colorspace: show}]}\n"
        "colorspaces:\n  - !<ColorSpace> {name: ap0, encoding: scene-linear}\n"
        "  - !<ColorSpace> {name: show, encoding: scene-linear, to_scene_reference: "
        "!<BuiltinTransform> {style: ACEScg_to_ACES2065-1}}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("OCIO", str(tmp_path / "config.ocio"))
    assert chromaticities_of("show") == pytest.approx(PRIMARIES["acescg"], abs=1e-4)


def test_a_configuration_of_opencolorio_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "bad.ocio").write_text("no configuration")
    for name in ("bad.ocio", "none.ocio"):
        monkeypatch.setenv("OCIO", str(tmp_path / name))
        with pytest.raises(SystemExit) as caught:
            main(["x.exr", "--output-colorspace", "Linear Rec.2020"])
        assert caught.value.code == 2
        assert f"found $OCIO with {tmp_path / name} (" in capsys.readouterr().err


def test_both_layers_go_into_one_file_by_option(tmp_path: Path, tiny_bundle: Path) -> None:
    plate = np.dstack([scene(), np.full((48, 64), 0.25, np.float32)])
    save(tmp_path / "p.exr", plate)
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "out", "--one-exr") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["p_layers.exr"]
    channels = OpenEXR.File(str(tmp_path / "out/p_layers.exr"), separate_channels=True).channels()
    assert sorted(channels) == sorted(["A", *(f"{layer}.{c}" for layer in ("albedo", "shading") for c in "RGB")])
    for number, name in enumerate("RGB"):
        product = channels[f"albedo.{name}"].pixels.astype(np.float64) * channels[f"shading.{name}"].pixels
        np.testing.assert_allclose(product, plate[..., number], rtol=1e-5, atol=1e-7)
    assert (channels["A"].pixels == 0.25).all()


def layered(path: Path) -> Path:
    """Layers in which the alphabet puts others first; each of one value."""
    values = {"AO": 1, "albedo": 2, "Combined": 3, "diffuse": 4}
    channels = {f"ViewLayer.{name}.{c}": np.full((4, 6), v, np.float32) for name, v in values.items() for c in "RGB"}
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels).write(str(path))
    return path


def test_the_beauty_is_read_and_another_layer_by_its_name(tmp_path: Path) -> None:
    path = layered(tmp_path / "p.exr")
    image = read_image(path)
    assert (image.pixels == 3).all() and any(note.startswith("layer ViewLayer.Combined read") for note in image.notes)
    for name in ("ViewLayer.diffuse", "diffuse", "DIFFUSE"):
        assert (read_image(path, exr_layer=name).pixels == 4).all()
    with pytest.raises(InputError, match=r"found the layers ViewLayer\.Combined, .*, expected a layer depth"):
        read_image(path, exr_layer="depth")


@pytest.mark.parametrize("names", [("AO", "beauty"), ("albedo", "rgba"), ("normal", "C"), ("a_light", "main")])
def test_the_beauty_is_found_among_parts(tmp_path: Path, names: tuple[str, str]) -> None:
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    parts = [
        OpenEXR.Part({**header, "name": name}, {"RGB": np.full((4, 6, 3), value, np.float32)})
        for value, name in enumerate(names)
    ]
    OpenEXR.File(parts).write(str(tmp_path / "p.exr"))
    assert (read_image(tmp_path / "p.exr").pixels == 1).all()
    assert (read_image(tmp_path / "p.exr", exr_layer=names[0]).pixels == 0).all()


def test_a_sequence_of_plates_keeps_each_frames_window_and_alpha(tmp_path: Path, tiny_bundle: Path) -> None:
    (tmp_path / "s").mkdir()
    display = (np.array([0, 0], np.int32), np.array([63, 47], np.int32))
    plates = {}
    for number, (x, y, width, height) in {-1: (0, 0, 40, 30), 0: (-4, 2, 50, 46), 1: (8, 8, 56, 40)}.items():
        plate = np.dstack([scene()[:height, :width], np.full((height, width), 0.5, np.float32)]).astype(np.float16)
        data = (np.array([x, y], np.int32), np.array([x + width - 1, y + height - 1], np.int32))
        name = f"{'-' if number < 0 else ''}{abs(number):04d}"
        save(
            tmp_path / f"s/p.{name}.exr", plate, dataWindow=data, displayWindow=display, chromaticities=PRIMARIES["acescg"]
        )
        plates[name] = (plate, data)
    assert decompose(tiny_bundle, tmp_path / "s" / "p.####.exr", "-o", tmp_path / "out") == 0
    for name, (plate, data) in plates.items():
        albedo, header = stored(tmp_path / f"out/p_albedo/p_albedo.{name}.exr")
        shading = stored(tmp_path / f"out/p_shading/p_shading.{name}.exr")[0]
        assert albedo.dtype == np.float16 and np.array_equal(header["dataWindow"], data)
        product = albedo[..., :3].astype(np.float64) * shading[..., :3]
        np.testing.assert_allclose(product, plate[..., :3], rtol=1e-3, atol=1e-6)
        assert (albedo[..., 3] == 0.5).all()


def test_python_saves_as_the_command_does(tmp_path: Path, tiny_bundle: Path) -> None:
    plate = scene().astype(np.float16)
    save(tmp_path / "p.exr", plate, chromaticities=PRIMARIES["acescg"])
    with Decomposer.load(tiny_bundle, "cpu") as model:
        model.decompose(tmp_path / "p.exr").save(tmp_path / "python")
        model.decompose(tmp_path / "p.exr").save(tmp_path / "one", one_file=True, half=False, colorspace="rec709")
    assert decompose(tiny_bundle, tmp_path / "p.exr", "-o", tmp_path / "command") == 0
    for layer in ("albedo", "shading"):
        first, second = (tmp_path / folder / f"p_{layer}.exr" for folder in ("python", "command"))
        assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["p_layers.exr"]
