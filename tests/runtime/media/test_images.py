"""Image files in and out: every kind that the reader knows, and everything that it has to refuse."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from intrinsic_flow.errors import InputError
from intrinsic_flow.media import images
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear, to_rec709_matrix
from intrinsic_flow.media.images import IMAGE_SUFFIXES, read_image, write_image
from intrinsic_flow.media.native_log import captured_native_log

# 16x16 pixels of cyan 20, magenta 200, yellow 100, black 30 (of 255), in Adobe's inverted form.
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoKCgYICwwLCgwJ"
    "CgoK/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAJB//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAOBEMATQBZAEsA"
    "AD8AtYm22xYQAAAB/9k="
)
P3_D50_COLORANTS = {
    "rXYZ": (0.51512, 0.24120, -0.00105),
    "gXYZ": (0.29198, 0.69225, 0.04189),
    "bXYZ": (0.15710, 0.06657, 0.78407),
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    body = b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def matrix_profile(colorants: dict[str, tuple[float, ...]], curve: float | bytes) -> bytes:
    """A minimal ICC display profile: three colorants and one curve, a power or a finished tag."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    tags = {name: b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in colorants.items()}
    if not isinstance(curve, bytes):
        curve = b"para\0\0\0\0\0\0\0\0" + fixed(curve)
    tags |= dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)
    tags["desc"] = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"Test P3\0"
    table, data, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(data), len(tag))
        data += tag + b"\0" * (-len(tag) % 4)
    size = start + len(data)
    header = struct.pack(">I", size) + b"\0" * 8 + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 88
    return header + struct.pack(">I", len(tags)) + table + data


def exif_orientation(value: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, value, 0) + b"\0\0\0\0"


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth colourful uint8 picture (H, W, 3) in RGB order, with no symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / (width - 1), 255 * y / (height - 1), 60 + 100 * x * y / (height * width))
    return np.dstack(channels).round().astype(np.uint8)


def save(path: Path, rgb: np.ndarray, *options: int) -> Path:
    order = [2, 1, 0, 3][: rgb.shape[2]] if rgb.ndim == 3 else slice(None)
    assert cv2.imwrite(os.fspath(path), np.ascontiguousarray(rgb[..., order]), list(options))
    return path


def save_exr(path: Path, channels: dict[str, np.ndarray], **attributes: object) -> Path:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **attributes}
    OpenEXR.File(header, channels).write(os.fspath(path))
    return path


def refusal(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that reading `path` fails with; the codecs have to be silent."""
    with pytest.raises(InputError) as raised:
        read_image(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: found ") and ", expected " in line and "\n" not in line
    assert capfd.readouterr() == ("", "")
    return line


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_8_bit_files_decode_with_the_srgb_curve(tmp_path: Path, suffix: str) -> None:
    options = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
    image = read_image(save(tmp_path / f"a{suffix}", gradient(), *options))
    assert image.pixels.dtype == np.float32 and image.pixels.flags.c_contiguous
    assert np.array_equal(image.pixels, srgb_to_linear(gradient() / np.float32(255)))
    assert (image.bit_depth, image.alpha, image.notes) == (8, None, ())


def test_jpeg_is_read_as_rgb(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.jpg", gradient(), cv2.IMWRITE_JPEG_QUALITY, 100))
    assert np.abs(linear_to_srgb(image.pixels) * 255 - gradient()).mean() < 1.5


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_files_keep_their_precision(tmp_path: Path, suffix: str) -> None:
    codes = gradient().astype(np.uint16) * 256 + 77
    image = read_image(save(tmp_path / f"a{suffix}", codes))
    assert image.bit_depth == 16
    assert np.array_equal(image.pixels, srgb_to_linear(codes / np.float32(65535)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".bmp"])
def test_the_smallest_pictures_are_read(tmp_path: Path, suffix: str, shape: tuple[int, int]) -> None:
    image = read_image(save(tmp_path / f"a{suffix}", np.full((*shape, 3), 128, np.uint8)))
    assert image.pixels.shape == (*shape, 3)
    assert image.pixels == pytest.approx(0.2159, abs=5e-3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".bmp"])
def test_gray_files_have_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    image = read_image(save(tmp_path / f"a{suffix}", gradient()[..., 0], cv2.IMWRITE_JPEG_QUALITY, 100))
    assert image.pixels.shape == (40, 60, 3)
    assert np.array_equal(image.pixels[..., 0], image.pixels[..., 2])
    assert image.alpha is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_kept_apart_and_colors_under_it_are_untouched(tmp_path: Path, dtype: type) -> None:
    top = np.iinfo(dtype).max
    rgba = np.dstack([gradient(), gradient()[..., 0]]).astype(dtype) * (top // 255)
    for suffix in (".png", ".tiff") if dtype == np.uint16 else (".png",):
        image = read_image(save(tmp_path / f"a{suffix}", rgba))
        assert np.array_equal(image.pixels, srgb_to_linear(gradient() / np.float32(255)))
        assert image.alpha == pytest.approx(gradient()[..., 0] / 255, abs=1e-6)
        assert any("alpha" in note for note in image.notes)


def test_straight_alpha_of_an_8_bit_tiff_does_not_darken_the_colors(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), (200, 100, 50, 128), np.uint8)
    entries = [
        (256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 4, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 208),
        (277, 3, 1, 4), (278, 3, 1, 4), (279, 4, 1, 64), (338, 3, 1, 2),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + b"\0" * 4
    data = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + struct.pack("<4H", 8, 8, 8, 8)
    (tmp_path / "a.tif").write_bytes(data + rgba.tobytes())
    image = read_image(tmp_path / "a.tif")
    assert image.alpha == pytest.approx(128 / 255, abs=1e-6)
    assert np.abs(linear_to_srgb(image.pixels) * 255 - rgba[..., :3]).max() <= 1.01


def test_opaque_alpha_is_no_alpha(tmp_path: Path) -> None:
    rgba = np.dstack([gradient(), np.full((40, 60), 255, np.uint8)])
    image = read_image(save(tmp_path / "a.png", rgba))
    assert (image.alpha, image.notes) == (None, ())


def test_gray_with_alpha_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 4, b"\0" + bytes([100, 255, 200, 51])))
    image = read_image(tmp_path / "a.png")
    assert linear_to_srgb(image.pixels[0, :, 0]) * 255 == pytest.approx([100, 200], abs=1e-3)
    assert image.alpha == pytest.approx(np.array([[1.0, 0.2]]))


@pytest.mark.parametrize(
    "bits,row,expected", [(1, b"\xa0", [255, 0, 255]), (2, b"\x1b", [0, 85, 170]), (4, b"\x0f\x30", [0, 255, 51])]
)
def test_gray_of_1_2_and_4_bits_uses_the_full_range(tmp_path: Path, bits: int, row: bytes, expected: list[int]) -> None:
    (tmp_path / "a.png").write_bytes(png(3, 1, bits, 0, b"\0" + row))
    pixels = read_image(tmp_path / "a.png").pixels
    assert linear_to_srgb(pixels[0, :, 1]) * 255 == pytest.approx(expected, abs=1e-3)


def test_palettes_are_resolved_with_their_transparency(tmp_path: Path) -> None:
    palette = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 3, b"\0\0\1", palette, chunk(b"tRNS", b"\x33")))
    image = read_image(tmp_path / "a.png")
    assert image.pixels == pytest.approx(np.array([[[1, 0, 0], [0, 0, 1]]], np.float32))
    assert image.alpha == pytest.approx(np.array([[0.2, 1.0]]))


def test_cmyk_jpeg_is_no_negative(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(CMYK_JPEG)
    image = read_image(tmp_path / "a.jpg")
    assert linear_to_srgb(image.pixels[3, 3]) * 255 == pytest.approx([207, 49, 137], abs=2)
    assert any("CMYK" in note for note in image.notes)


def test_cmyk_jpeg_without_adobes_marker_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(CMYK_JPEG[:2] + CMYK_JPEG[18:])
    assert "CMYK JPEG without Adobe" in refusal(tmp_path / "a.jpg", capfd)


# Where the top left, top right and bottom left pixels of the stored picture are seen, by EXIF's definition.
@pytest.mark.parametrize(
    "orientation,corners",
    [
        (1, ((0, 0), (0, -1), (-1, 0))), (2, ((0, -1), (0, 0), (-1, -1))), (3, ((-1, -1), (-1, 0), (0, -1))),
        (4, ((-1, 0), (-1, -1), (0, 0))), (5, ((0, 0), (-1, 0), (0, -1))), (6, ((0, -1), (-1, -1), (0, 0))),
        (7, ((-1, -1), (0, -1), (-1, 0))), (8, ((-1, 0), (0, 0), (-1, -1))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int, corners: tuple) -> None:
    stored = np.zeros((24, 40, 3), np.uint8)
    stored[:8, :8, 0] = stored[:8, -8:, 1] = stored[-8:, :8, 2] = 255
    data = cv2.imencode(suffix, stored[..., ::-1])[1].tobytes()
    exif = exif_orientation(orientation)
    if suffix == ".jpg":
        segment = b"Exif\0\0" + exif
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    else:
        data = data[:33] + chunk(b"eXIf", exif) + data[33:]
    (tmp_path / f"a{suffix}").write_bytes(data)
    pixels = read_image(tmp_path / f"a{suffix}").pixels
    assert pixels.shape == ((40, 24, 3) if orientation > 4 else (24, 40, 3))
    for channel, (row, column) in enumerate(corners):
        assert pixels[row, column].argmax() == channel
        assert pixels[row, column, channel] > 0.5


def test_a_wide_gamut_profile_is_converted_to_rec709(tmp_path: Path) -> None:
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(matrix_profile(P3_D50_COLORANTS, 2.2)))
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 2, b"\0" + bytes([200, 150, 100, 128, 128, 128]), profile))
    image = read_image(tmp_path / "a.png")
    p3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
    expected = to_rec709_matrix(p3) @ (np.array([200, 150, 100]) / 255) ** 2.2
    assert image.pixels[0, 0] == pytest.approx(expected, abs=1e-3)
    assert image.pixels[0, 1] == pytest.approx(np.full(3, (128 / 255) ** 2.2), abs=1e-3)
    assert image.notes == ("converted from the colour profile 'Test P3' to Rec.709",)
    assert read_image(tmp_path / "a.png", "srgb").notes == ()


def test_an_srgb_profile_is_read_as_plain_srgb(tmp_path: Path) -> None:
    colorants = {
        "rXYZ": (0.43607, 0.22249, 0.01392),
        "gXYZ": (0.38515, 0.71687, 0.09708),
        "bXYZ": (0.14307, 0.06061, 0.7141),
    }
    curve = b"para\0\0\0\0\0\3\0\0" + b"".join(
        struct.pack(">i", round(v * 65536)) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    )
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(matrix_profile(colorants, curve)))
    (tmp_path / "a.png").write_bytes(png(1, 1, 8, 2, b"\0" + bytes([200, 5, 100]), profile))
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.pixels[0, 0], srgb_to_linear(np.array([200, 5, 100]) / np.float32(255)))
    assert image.notes == ()


def test_an_unusable_profile_is_named_and_ignored(tmp_path: Path) -> None:
    broken = (
        b"\0\0\0\x90" + matrix_profile(P3_D50_COLORANTS, 2.2)[4:16] + b"Lab " + matrix_profile(P3_D50_COLORANTS, 2.2)[20:]
    )
    data = cv2.imencode(".jpg", gradient())[1].tobytes()
    segment = b"ICC_PROFILE\0\x01\x01" + broken
    data = data[:2] + b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_image(tmp_path / "a.jpg").notes == ("colour profile 'Test P3' ignored, sRGB assumed",)


def test_colorspace_overrides_the_curve(tmp_path: Path) -> None:
    save(tmp_path / "a.png", gradient())
    assert np.array_equal(read_image(tmp_path / "a.png", "linear").pixels, gradient() / np.float32(255))
    np.save(tmp_path / "a.npy", gradient() / np.float32(255))
    assert np.array_equal(read_image(tmp_path / "a.npy", "srgb").pixels, read_image(tmp_path / "a.png").pixels)
    with pytest.raises(ValueError, match="colorspace"):
        read_image(tmp_path / "a.png", "gamma")  # type: ignore[arg-type]


def test_the_content_tells_the_kind_of_file_not_the_name(tmp_path: Path) -> None:
    save(tmp_path / "a.png", gradient())
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(tmp_path / "a.jpg").pixels, srgb_to_linear(gradient() / np.float32(255)))


def test_names_beyond_ascii_are_read_and_written(tmp_path: Path) -> None:
    for kind in ("png", "exr", "npy"):
        path = tmp_path / f"Größe 図 {kind}.{kind}"
        write_image(path, srgb_to_linear(gradient() / 255), format=kind)
        assert read_image(path).pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", [".tiff", ".hdr", ".npy"])
def test_float_files_are_linear_and_unbounded(tmp_path: Path, suffix: str) -> None:
    pixels = gradient().astype(np.float32) / 16
    path = tmp_path / f"a{suffix}"
    np.save(path, pixels) if suffix == ".npy" else save(path, pixels)
    image = read_image(path)
    assert image.bit_depth == "float"
    assert image.pixels == pytest.approx(pixels, abs=0.07 if suffix == ".hdr" else 0)


@pytest.mark.parametrize("kind", ["npy", "exr", "tiff"])
def test_non_finite_pixels_are_repaired_and_counted_and_negative_ones_kept(tmp_path: Path, kind: str) -> None:
    pixels = np.full((4, 5, 3), 0.5, np.float32)
    pixels[0, 0] = (-1, -2, 0.25)
    pixels[1, 1, 0] = np.nan
    pixels[2, 2, 1] = np.inf
    pixels[3, 3] = -np.inf
    pixels[3, 4, 2] = 7
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, pixels)
    elif kind == "exr":
        save_exr(path, {"RGB": pixels})
    else:
        save(path, pixels)
    image = read_image(path)
    assert image.notes == ("3 non-finite pixels repaired",)
    assert np.isfinite(image.pixels).all()
    assert image.pixels[0, 0] == pytest.approx([-1, -2, 0.25])
    assert image.pixels[2, 2, 1] == 7
    assert image.pixels[0, 1:] == pytest.approx(0.5)


def test_a_file_without_one_finite_pixel_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 4, 3), np.nan))
    assert "no finite pixel" in refusal(tmp_path / "a.npy", capfd)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_exr_keeps_half_and_float_samples_exactly(tmp_path: Path, dtype: type) -> None:
    pixels = (gradient() / 10).astype(dtype)
    image = read_image(save_exr(tmp_path / "a.exr", {"RGB": pixels}))
    assert np.array_equal(image.pixels, pixels.astype(np.float32))
    assert image.bit_depth == ("half" if dtype == np.float16 else "float")
    assert (image.alpha, image.notes) == (None, ())


def test_exr_of_luminance_alone_is_gray(tmp_path: Path) -> None:
    plane = np.linspace(0, 3, 35, dtype=np.float32).reshape(5, 7)
    pixels = read_image(save_exr(tmp_path / "a.exr", {"Y": plane})).pixels
    assert np.array_equal(pixels, np.dstack([plane] * 3))


def test_exr_alpha_is_kept_apart(tmp_path: Path) -> None:
    rgba = np.dstack([gradient() / 255, np.full((40, 60), 0.25)]).astype(np.float32)
    image = read_image(save_exr(tmp_path / "a.exr", {"RGBA": rgba}))
    assert np.array_equal(image.pixels, rgba[..., :3])
    assert image.alpha == pytest.approx(0.25)


def test_exr_plain_colors_come_before_layers(tmp_path: Path) -> None:
    plane = np.ones((4, 6), np.float32)
    layers = {f"a.{c}": plane * 9 for c in "RGB"} | {"R": plane, "G": plane * 2, "B": plane * 3, "Z": plane * 4}
    image = read_image(save_exr(tmp_path / "a.exr", layers))
    assert image.pixels[0, 0] == pytest.approx([1, 2, 3])


def test_exr_layers_are_read_where_there_are_no_plain_colors(tmp_path: Path) -> None:
    plane = np.ones((4, 6), np.float32)
    channels = {
        "depth.Z": plane,
        "beauty.R": plane,
        "beauty.G": plane * 2,
        "beauty.B": plane * 3,
        "beauty.A": plane / 2,
    }
    image = read_image(save_exr(tmp_path / "a.exr", channels))
    assert image.pixels[0, 0] == pytest.approx([1, 2, 3])
    assert image.alpha == pytest.approx(0.5)
    assert "layer beauty read" in image.notes


def test_exr_parts_are_searched_for_colors(tmp_path: Path) -> None:
    plane = np.ones((4, 6), np.float32)
    parts = [
        OpenEXR.Part({"name": "depth", "type": OpenEXR.scanlineimage}, {"Z": plane}),
        OpenEXR.Part({"name": "beauty", "type": OpenEXR.scanlineimage}, {"RGB": np.dstack([plane, plane * 2, plane * 3])}),
    ]
    OpenEXR.File(parts).write(os.fspath(tmp_path / "a.exr"))
    assert read_image(tmp_path / "a.exr").pixels[0, 0] == pytest.approx([1, 2, 3])


def test_exr_without_colors_names_its_channels(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plane = np.ones((4, 6), np.float32)
    save_exr(tmp_path / "a.exr", {"Z": plane, "id": plane.astype(np.uint32)})
    assert "channels Z, id" in refusal(tmp_path / "a.exr", capfd)


def test_exr_chromaticities_are_converted_to_rec709(tmp_path: Path) -> None:
    bt2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
    pixels = np.full((3, 3, 3), (0.4, 0.3, 0.2), np.float32)
    pixels[0, 0] = (0.0, 1.0, 0.0)
    image = read_image(save_exr(tmp_path / "a.exr", {"RGB": pixels}, chromaticities=bt2020))
    assert image.pixels[1, 1] == pytest.approx(to_rec709_matrix(bt2020) @ pixels[1, 1], rel=1e-5)
    assert image.pixels[0, 0] == pytest.approx(to_rec709_matrix(bt2020) @ [0, 1, 0], rel=1e-5)
    assert image.pixels.min() < 0 and np.array_equal(image.plate.pixels, pixels)
    assert np.array_equal(read_image(tmp_path / "a.exr", "linear").pixels, pixels)


def test_missing_empty_and_foreign_files_get_one_clear_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in refusal(tmp_path / "missing.png", capfd)
    assert "a folder" in refusal(tmp_path, capfd)
    cases = {"": "empty", "hello, this is a text file": "plain text", "%PDF-1.7 ....................": "PDF"}
    for name in ("a.png", "a.jpg", "a.exr", "a.npy", "a.tif", "a.hdr"):
        for content, found in cases.items():
            (tmp_path / name).write_text(content)
            assert found in refusal(tmp_path / name, capfd)


def test_truncated_files_of_every_kind_are_refused_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (50, 70, 3)).astype(np.uint8)
    whole = []
    for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp"):
        whole.append(save(tmp_path / f"whole{suffix}", noise))
    whole.append(save(tmp_path / "progressive.jpg", noise, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    whole.append(save(tmp_path / "whole.hdr", noise.astype(np.float32)))
    whole.append(save(tmp_path / "float.tiff", noise.astype(np.float32)))
    whole.append(save_exr(tmp_path / "whole.exr", {"RGB": noise.astype(np.float32)}))
    np.save(tmp_path / "whole.npy", noise)
    whole.append(tmp_path / "whole.npy")
    for path in whole:
        data = path.read_bytes()
        read_image(path)
        for kept in (17, len(data) // 10, len(data) // 2, len(data) * 9 // 10, len(data) - 13, len(data) - 1):
            cut = tmp_path / f"cut{path.suffix}"
            if kept == len(data) - 1 and path.suffix in (".jpg", ".png", ".tiff", ".bmp"):
                continue  # complete pixels: half an end marker or a missing pad byte is no damage
            cut.write_bytes(data[:kept])
            refusal(cut, capfd)


def test_damage_inside_a_jpeg_or_png_is_refused_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8), (0, 0), 3)
    for suffix in (".jpg", ".png"):
        data = bytearray(save(tmp_path / f"a{suffix}", picture).read_bytes())
        data[len(data) // 2 : len(data) // 2 + 300] = b"\0" * 300
        (tmp_path / f"a{suffix}").write_bytes(data)
        assert "damaged" in refusal(tmp_path / f"a{suffix}", capfd)


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(png(200_000, 200_000, 8, 2, b"\0" * 100))
    (tmp_path / "a.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 20000 +X 20000\n" + b"\2\2\0\0" * 9)
    jpeg = bytearray(cv2.imencode(".jpg", gradient())[1].tobytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 60000, 60000)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (20_000, 20_000))
    (tmp_path / "a.tif").write_bytes(
        b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + struct.pack("<HHIIHHII", 256, 4, 1, 30000, 257, 4, 1, 30000) + b"\0" * 4
    )
    for path in tmp_path.iterdir():
        line = refusal(path, capfd)
        assert any(text in line for text in ("at most 134 megapixels", "image from a 89 byte file", '"StripOffsets" field'))


def test_the_size_limit_is_the_documented_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", gradient())
    save_exr(tmp_path / "a.exr", {"RGB": np.zeros((40, 60, 3), np.float32)})
    for name in ("a.png", "a.exr"):
        monkeypatch.setattr(images, "MAX_PIXELS", 2400)
        assert read_image(tmp_path / name).pixels.shape == (40, 60, 3)
        monkeypatch.setattr(images, "MAX_PIXELS", 2399)
        with pytest.raises(InputError, match="60x40 pixels"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    "array,found",
    [
        (np.zeros((4, 4, 2)), "shape"), (np.zeros(4), "shape"), (np.zeros((2, 4, 4, 3)), "shape"),
        (np.zeros((4, 4, 3), np.int32), "int32"), (np.zeros((4, 4, 3), complex), "complex"),
        (np.zeros((0, 4, 3)), "4x0"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_image_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], array: np.ndarray, found: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    assert found in refusal(tmp_path / "a.npy", capfd)


def test_pickled_arrays_are_never_loaded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    refusal(tmp_path / "a.npy", capfd)


@pytest.mark.parametrize("kind,top", [("png", 255), ("png16", 65535)])
def test_written_png_codes_are_the_rounded_srgb_values(tmp_path: Path, kind: str, top: int) -> None:
    values = np.linspace(-0.2, 1.2, 3 * 5000, dtype=np.float32).reshape(100, 50, 3)
    write_image(tmp_path / "a.png", values, format=kind)
    stored = cv2.imread(os.fspath(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    exact = linear_to_srgb(values.clip(0, 1)).astype(np.float64) * top
    assert np.abs(stored - exact).max() < 0.51
    write_image(tmp_path / "b.png", values, format=kind, colorspace="linear")
    stored = cv2.imread(os.fspath(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.abs(stored - values.clip(0, 1).astype(np.float64) * top).max() < 0.51


@pytest.mark.parametrize("kind", ["png", "png16", "exr", "npy"])
def test_what_is_written_is_read_back_with_its_alpha(tmp_path: Path, kind: str) -> None:
    pixels = srgb_to_linear(gradient() / np.float32(255))
    alpha = np.linspace(0, 1, 40 * 60, dtype=np.float32).reshape(40, 60)
    path = tmp_path / f"a.{kind.removesuffix('16')}"
    for given in (None, alpha):
        write_image(path, pixels, format=kind, alpha=given)
        image = read_image(path)
        assert image.pixels == pytest.approx(pixels, abs=0 if kind in ("exr", "npy") else 1e-6)
        assert image.alpha is None if given is None else image.alpha == pytest.approx(alpha, abs=0.5001 / 255)


def test_half_exr_is_rounded_once_and_stays_finite(tmp_path: Path) -> None:
    pixels = np.array([[[1e6, 0.1, 3e-5]]], np.float32)
    write_image(tmp_path / "a.exr", pixels, format="exr", dtype="half")
    image = read_image(tmp_path / "a.exr")
    assert image.bit_depth == "half"
    assert image.pixels[0, 0].tolist() == [65504.0, float(np.float16(0.1)), float(np.float16(3e-5))]


def test_a_failed_write_leaves_the_old_file_and_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(ValueError, match="format"):
        write_image(path, np.zeros((2, 2, 3)), format="gif")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        write_image(path, np.zeros((2, 2)))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError):
        write_image(tmp_path / "missing" / "a.exr", np.zeros((2, 2, 3)), format="exr")


def test_without_a_format_the_name_says_it(tmp_path):
    pixels = np.full((4, 5, 3), 2.5, np.float32)
    write_image(tmp_path / "a.EXR", pixels)
    write_image(tmp_path / "a.npy", pixels)
    assert read_image(tmp_path / "a.EXR").pixels.max() == np.load(tmp_path / "a.npy").max() == 2.5
    with pytest.raises(ValueError, match="format 'jpg', expected png, png16, exr or npy"):
        write_image(tmp_path / "a.jpg", pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.EXR", "a.npy"]


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for kind in ("png", "exr", "npy"):
        write_image(tmp_path / f"a.{kind}", np.zeros((2, 2, 3)), format=kind)
        assert (tmp_path / f"a.{kind}").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_suffixes_are_lower_case_with_their_dot() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".hdr", ".npy", ".webp", ".bmp"} <= IMAGE_SUFFIXES


def test_lines_of_others_survive_while_a_codec_is_silenced(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_native_log():
        os.write(2, b"libpng error: bad\nprogress 50%\n")
        print("a result")
    assert capfd.readouterr() == ("a result\n", "progress 50%\n")
