"""Image files in and out, as float32 linear Rec.709.

PNG, JPEG, BMP, WebP, TIFF and Radiance HDR go through OpenCV, OpenEXR through its own library, `.npy` through
NumPy. Integer samples are decoded with the sRGB curve or with the matrix profile that the file embeds; float
samples are linear already.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from intrinsic_flow.atomic_file import replace_when_complete
from intrinsic_flow.color import REC709_CHROMATICITIES, is_identity, linear_to_srgb, srgb_to_linear, to_rec709_matrix
from intrinsic_flow.errors import InputError
from intrinsic_flow.icc import parse_matrix_profile, profile_name
from intrinsic_flow.image_header import describe_foreign, image_kind, read_header
from intrinsic_flow.input_file import read_start
from intrinsic_flow.native_log import captured_native_log

ColorSpace = Literal["auto", "srgb", "linear"]
BitDepth = Literal[8, 16, "half", "float"]
ImageFormat = Literal["png", "png16", "exr", "npy"]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".webp", ".tif", ".tiff", ".hdr", ".pic", ".exr", ".npy"}
)
_EXPECTED = "a PNG, JPEG, WebP, BMP, TIFF, Radiance HDR, OpenEXR or NPY image"

# Above the 102 megapixels of the largest common sensor; a decomposition holds several float copies of the
# image.
MAX_PIXELS = 1 << 27

_HALF_MAX = 65504.0


@dataclass(frozen=True)
class Image:
    """A decoded image.

    `pixels` (H, W, 3) float32 RGB, linear light, Rec.709 primaries, finite and not negative; not bounded
    above for float files. `alpha` (H, W) float32 in [0, 1], None where the file has none or is opaque
    everywhere; colours are as the file stores them (straight in PNG, WebP and TIFF, premultiplied in OpenEXR
    by convention). `bit_depth` is that of the file: 8, 16, "half" or "float". `notes` are short sentences on
    what was repaired, converted or ignored.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    bit_depth: BitDepth
    notes: tuple[str, ...]


def read_image(path: str | os.PathLike[str], colorspace: ColorSpace = "auto", *, max_pixels: int | None = None) -> Image:
    """Reads one image; the kind is told by the file's content, not by its name.

    EXIF orientation is applied. `colorspace` "auto" decodes integer samples with the embedded matrix profile,
    or sRGB without one, and takes float samples as linear (an OpenEXR file's chromaticities are converted to
    Rec.709); "srgb" and "linear" force the curve and ignore profiles. Raises `InputError` for anything that
    is not one complete image of at most `max_pixels` pixels (None: `MAX_PIXELS`); where the file's header tells its
    size, before it is decoded.
    """
    if colorspace not in ("auto", "srgb", "linear"):
        raise ValueError(f"colorspace {colorspace!r}, expected auto, srgb or linear")
    path = Path(path)
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    kind = _kind_on_disk(path)
    try:
        if kind == "exr":
            return _read_exr(path, colorspace, max_pixels)
        if kind == "npy":
            return _read_npy(path, colorspace, max_pixels)
        return _read_with_opencv(path, kind, colorspace, max_pixels)
    except OSError as error:
        raise InputError(path, error.strerror or str(error), "a readable file") from error
    except MemoryError as error:
        raise InputError(path, "more pixels than memory holds", "a smaller image") from error


def write_image(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    format: ImageFormat = "png",
    colorspace: Literal["srgb", "linear"] = "srgb",
    alpha: np.ndarray | None = None,
    dtype: Literal["half", "float"] = "float",
) -> None:
    """Writes linear pixels (H, W, 3), and alpha (H, W) where given, under `path` once the file is complete.

    "png" and "png16" clip to [0, 1], encode with the sRGB curve (or store linear codes with
    `colorspace="linear"`) and round to nearest. "exr" (ZIP, Rec.709 chromaticities in the header, `dtype`
    half or float; half clips at 65504) and "npy" (float32, (H, W, 3) or (H, W, 4)) are linear always. Raises
    `OSError` where the file cannot be written.
    """
    pixels = np.asarray(pixels, np.float32)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels of shape {pixels.shape}, expected (height, width, 3)")
    channels = pixels if alpha is None else np.dstack([pixels, np.asarray(alpha, np.float32)])
    with replace_when_complete(path) as temporary:
        if format in ("png", "png16"):
            codes = np.clip(np.nan_to_num(channels), 0.0, 1.0)
            if colorspace == "srgb":
                codes[..., :3] = linear_to_srgb(codes[..., :3])
            top, integer = (255, np.uint8) if format == "png" else (65535, np.uint16)
            samples = (codes * np.float32(top) + np.float32(0.5)).astype(integer)
            order = cv2.COLOR_RGB2BGR if alpha is None else cv2.COLOR_RGBA2BGRA
            done, data = cv2.imencode(".png", cv2.cvtColor(samples, order))
            if not done:
                raise OSError(f"{path}: OpenCV cannot encode a PNG of {samples.shape[1]}x{samples.shape[0]} pixels")
            temporary.write_bytes(data.tobytes())
        elif format == "exr":
            _write_exr(temporary, channels, dtype)
        elif format == "npy":
            with open(temporary, "wb") as file:
                np.save(file, np.ascontiguousarray(channels))
        else:
            raise ValueError(f"format {format!r}, expected png, png16, exr or npy")


def _kind_on_disk(path: Path) -> str:
    """The image's kind by its first bytes, so that a foreign file is refused before it is read whole."""
    start = read_start(path, _EXPECTED)
    kind = image_kind(start)
    if kind is None:
        raise InputError(path, describe_foreign(start), _EXPECTED)
    return kind


def _check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        megapixels = f"{width}x{height} pixels ({_megapixels(width * height)})"
        raise InputError(path, megapixels, f"at most {_megapixels(max_pixels)}")
    if width < 1 or height < 1:
        raise InputError(path, f"{width}x{height} pixels", "at least one pixel")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f} megapixels" if pixels >= 1e7 else f"{pixels / 1e6:.2g} megapixels"


_NAMES = {"png": "PNG", "jpeg": "JPEG", "bmp": "BMP", "webp": "WebP", "tiff": "TIFF", "hdr": "Radiance HDR"}


def _read_with_opencv(path: Path, kind: str, colorspace: ColorSpace, max_pixels: int) -> Image:
    data = path.read_bytes()
    header = read_header(kind, data)
    if header.width or header.height:
        _check_size(path, header.width, header.height, max_pixels)
    if kind == "jpeg" and header.channels == 4 and not header.adobe:
        # OpenCV takes every CMYK JPEG for Adobe's inverted kind and would return a negative.
        raise InputError(path, "a CMYK JPEG without Adobe's marker", "an RGB, grey or Adobe CMYK JPEG")
    with captured_native_log() as log:
        try:
            samples, kinds, blocks = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            samples, kinds, blocks = None, (), ()
    damage = next((line for line in log.lines if _is_damage(line)), None)
    if samples is None or damage:
        reason = f" ({damage.split(': ', 1)[-1]})" if damage else ""
        found = f"a damaged or truncated {_NAMES[kind]} file{reason}"
        if samples is None and kind == "tiff" and not damage:
            found = "a TIFF file that is damaged, truncated or of a kind that OpenCV does not read"
        raise InputError(path, found, "a complete image")
    if samples.ndim == 2:
        samples = samples[:, :, None]
    _check_size(path, samples.shape[1], samples.shape[0], max_pixels)
    metadata = {int(k): np.asarray(block).tobytes() for k, block in zip(kinds, blocks, strict=True)}

    notes: list[str] = []
    if kind == "jpeg" and header.channels == 4:
        notes.append("CMYK converted to RGB without its profile")
    if samples.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise InputError(path, f"{samples.dtype} samples", "8- or 16-bit unsigned or 32-bit float samples")
    samples = _bgr_to_rgb(samples)
    samples = oriented(samples, _exif_orientation(metadata.get(cv2.IMAGE_METADATA_EXIF, b"")))
    colors, alpha = samples[..., :3], samples[..., 3] if samples.shape[2] == 4 else None
    if alpha is not None and kind == "tiff" and header.straight_alpha and samples.dtype == np.uint8:
        # libtiff's RGBA interface, which OpenCV uses for 8 bits, multiplies the colours by alpha.
        weight = np.maximum(alpha, 1)[..., None].astype(np.float32)
        colors = np.minimum(np.rint(colors * (255 / weight)), 255).astype(np.uint8)
    if samples.dtype.kind == "f":
        return _float_image(path, colors, alpha, "float", colorspace, notes)
    profile = b"" if colorspace != "auto" else metadata.get(cv2.IMAGE_METADATA_ICCP, header.icc_profile)
    if header.channels == 4 and kind == "jpeg":
        profile = b""
    return integer_image(colors, alpha, colorspace, notes, profile)


def _is_damage(line: str) -> bool:
    """Whether a codec's line says that pixels are wrong; "extraneous bytes" and profile warnings do not."""
    if line.startswith("Corrupt JPEG data"):
        return "extraneous bytes" not in line and "ICC" not in line
    return line.startswith(("libpng error", "Premature end of JPEG", "Inconsistent progression"))


def _bgr_to_rgb(samples: np.ndarray) -> np.ndarray:
    """(H, W, 1, 3 or 4) BGR(A) -> (H, W, 3 or 4) RGB(A), contiguous."""
    channels = samples.shape[2]
    if channels in (1, 2):
        gray = samples[..., :1].repeat(3, axis=2)
        return gray if channels == 1 else np.concatenate([gray, samples[..., 1:]], axis=2)
    return np.ascontiguousarray(samples[..., [2, 1, 0, 3][:channels]])


def _exif_orientation(exif: bytes) -> int:
    """Tag 0x0112 of an EXIF block (a TIFF structure, CIPA DC-008); 1 where there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    directory = int.from_bytes(exif[4:8], order)
    for index in range(int.from_bytes(exif[directory : directory + 2], order)):
        entry = exif[directory + 2 + 12 * index : directory + 14 + 12 * index]
        if len(entry) < 12:
            break
        if int.from_bytes(entry[:2], order) == 0x0112:
            return int.from_bytes(entry[8:10], order)
    return 1


def oriented(samples: np.ndarray, orientation: int) -> np.ndarray:
    """The image as EXIF orientation 1 to 8 says that it is seen; unknown values change nothing."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)


def integer_image(
    colors: np.ndarray, alpha: np.ndarray | None, colorspace: ColorSpace, notes: list[str], profile: bytes = b""
) -> Image:
    """8- or 16-bit RGB codes -> `Image`: every code is decoded once, into a table."""
    top = 255 if colors.dtype == np.uint8 else 65535
    codes = np.arange(top + 1, dtype=np.float32) / np.float32(top)
    parsed = parse_matrix_profile(profile) if profile else None
    if profile and parsed is None:
        notes.append(f"colour profile '{profile_name(profile)}' ignored, sRGB assumed")
    if parsed is None or parsed.is_srgb():
        pixels = _look_up(codes if colorspace == "linear" else srgb_to_linear(codes), colors)
    else:
        tables = [curve(codes) for curve in parsed.curves]
        pixels = np.dstack([_look_up(table, colors[..., i]) for i, table in enumerate(tables)])
        pixels = np.maximum(cv2.transform(pixels, parsed.matrix.astype(np.float32)), 0.0)
        notes.append(f"converted from the colour profile '{parsed.name}' to Rec.709")
    return Image(pixels, _alpha(alpha, top, notes), 8 if top == 255 else 16, tuple(notes))


def _look_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Codes (H, W) or (H, W, 3), uint8 or uint16 -> float32 of the same shape."""
    return cv2.LUT(np.ascontiguousarray(codes), np.ascontiguousarray(table, np.float32))


def _alpha(alpha: np.ndarray | None, top: float, notes: list[str]) -> np.ndarray | None:
    if alpha is None:
        return None
    values = np.clip(np.nan_to_num(alpha.astype(np.float32) / np.float32(top)), 0.0, 1.0)
    if (values == 1.0).all():
        return None
    notes.append("alpha kept apart, colours used as stored")
    return values


def _float_image(
    path: Path,
    colors: np.ndarray,
    alpha: np.ndarray | None,
    bit_depth: BitDepth,
    colorspace: ColorSpace,
    notes: list[str],
    matrix: np.ndarray | None = None,
) -> Image:
    """Float RGB -> `Image`: repaired, decoded, converted by `matrix` (3, 3) to Rec.709."""
    with np.errstate(over="ignore"):
        pixels: np.ndarray = np.array(colors, np.float32, order="C")
    pixels = _repaired(path, pixels, notes)
    if colorspace == "srgb":
        pixels = srgb_to_linear(pixels)
    if matrix is not None:
        pixels = cv2.transform(pixels, matrix.astype(np.float32))
        outside = int((pixels.min(axis=2) < 0).sum())
        if outside:
            notes.append(f"{outside} {_plural(outside, 'pixel')} outside Rec.709 clipped at 0")
            np.maximum(pixels, 0.0, out=pixels)
    return Image(pixels, _alpha(alpha, 1.0, notes), bit_depth, tuple(notes))


def _repaired(path: Path, pixels: np.ndarray, notes: list[str]) -> np.ndarray:
    """Negative values become 0, NaN 0, infinity the largest finite value; both kinds are counted by pixel."""
    finite = np.isfinite(pixels)
    if not finite.all():
        broken = int((~finite).any(axis=2).sum())
        if not finite.any():
            raise InputError(path, "no finite pixel", "at least one finite pixel")
        top = max(float(pixels[finite].max()), 0.0)
        pixels = np.nan_to_num(pixels, copy=False, nan=0.0, posinf=top, neginf=0.0)
        notes.append(f"{broken} non-finite {_plural(broken, 'pixel')} repaired")
    negative = int((pixels < 0).any(axis=2).sum())
    if negative:
        np.maximum(pixels, 0.0, out=pixels)
        notes.append(f"{negative} negative {_plural(negative, 'pixel')} set to 0")
    return pixels


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else noun + "s"


def _read_npy(path: Path, colorspace: ColorSpace, max_pixels: int) -> Image:
    expected = "an array (height, width), or with 1, 3 or 4 channels, of uint8, uint16 or float samples"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(path, "a damaged or truncated NPY file", expected) from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(path, f"an array of shape {array.shape}", expected)
    if array.dtype.kind not in "uf" or (array.dtype.kind == "u" and array.dtype.itemsize > 2):
        raise InputError(path, f"{array.dtype} samples", expected)
    _check_size(path, array.shape[1], array.shape[0], max_pixels)
    samples = array[:, :, None] if array.ndim == 2 else array
    colors = samples[..., :3] if samples.shape[2] >= 3 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    if array.dtype.kind == "u":
        native = np.ascontiguousarray(colors, array.dtype.newbyteorder("="))
        return integer_image(native, alpha, colorspace, [])
    bit_depth: BitDepth = "half" if array.dtype.itemsize == 2 else "float"
    return _float_image(path, colors, alpha, bit_depth, colorspace, [])


def _read_exr(path: Path, colorspace: ColorSpace, max_pixels: int) -> Image:
    import OpenEXR

    damaged = "a damaged or truncated OpenEXR file"
    with captured_native_log():
        try:
            headers = OpenEXR.File(os.fspath(path), header_only=True)
            for part in headers.parts:
                (left, top), (right, bottom) = part.header["dataWindow"]
                _check_size(path, int(right) - int(left) + 1, int(bottom) - int(top) + 1, max_pixels)
            file = OpenEXR.File(os.fspath(path), separate_channels=True)
            parts = [(part.header, dict(part.channels)) for part in file.parts]
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(path, damaged, "a complete image") from error
    if not parts:
        # The library returns no part, and no error, where pixel data are missing.
        raise InputError(path, damaged, "a complete image")

    notes: list[str] = []
    header, names = _choose_exr_channels(path, parts)
    channels = next(channels for candidate, channels in parts if candidate is header)
    planes = [_exr_plane(path, name, channels[name].pixels) for name in names]
    if len(parts) > 1 or "." in names[0]:
        notes.append(f"read channels {', '.join(names)} of {sum(len(c) for _, c in parts)}")
    colors = np.dstack(planes if len(planes) == 3 else planes * 3)
    prefix = names[0].rpartition(".")[0]
    alpha_name = next((name for name in channels if name in (f"{prefix}.A".lstrip("."), f"{prefix}.a".lstrip("."))), None)
    alpha = channels[alpha_name].pixels.astype(np.float32) if alpha_name and alpha_name not in names else None
    bit_depth: BitDepth = "half" if all(channels[name].pixels.dtype == np.float16 for name in names) else "float"
    colors, alpha = _to_display_window(path, header, colors, alpha, notes, max_pixels)

    matrix = None
    if colorspace == "auto" and len(planes) == 3 and "chromaticities" in header:
        try:
            matrix = to_rec709_matrix(tuple(header["chromaticities"]))
        except (ValueError, TypeError):
            notes.append("unusable chromaticities ignored, Rec.709 assumed")
        if matrix is not None and is_identity(matrix):
            matrix = None
        if matrix is not None:
            notes.append("converted from the file's chromaticities to Rec.709")
    return _float_image(path, colors, alpha, bit_depth, colorspace, notes, matrix)


_RGB_NAMES = (("R", "G", "B"), ("r", "g", "b"), ("red", "green", "blue"))


def _choose_exr_channels(
    path: Path, parts: list[tuple[dict[str, Any], dict[str, Any]]]
) -> tuple[dict[str, Any], list[str]]:
    """The header of the part to read and its channel names: three colours or one.

    Colours outside a layer come first, then luminance outside a layer, then the first layer that has either,
    then a file's only channel.
    """
    for layered in (False, True):
        for wanted in (*_RGB_NAMES, ("Y",), ("y",)):
            for header, channels in parts:
                prefixes = dict.fromkeys(name.rpartition(".")[0] for name in channels)
                for prefix in prefixes:
                    names = [f"{prefix}.{name}" if prefix else name for name in wanted]
                    if bool(prefix) == layered and all(name in channels for name in names):
                        # Luminance with chroma channels is a colour image in YC form, at half resolution.
                        if len(names) == 1 and any(f"{prefix}.{c}".lstrip(".") in channels for c in ("RY", "BY")):
                            raise InputError(path, "luminance and chroma channels (Y, RY, BY)", "R, G and B, or Y alone")
                        return header, names
    if sum(len(channels) for _, channels in parts) == 1:
        return parts[0][0], list(parts[0][1])
    listed = ", ".join(name for _, channels in parts for name in channels)
    raise InputError(path, f"the channels {listed[:200]}", "channels R, G and B, or Y")


def _exr_plane(path: Path, name: str, plane: np.ndarray) -> np.ndarray:
    if plane.ndim != 2 or plane.dtype not in (np.float16, np.float32):
        kind = "deep" if plane.ndim != 2 or plane.dtype == object else str(plane.dtype)
        raise InputError(path, f"{kind} samples in channel {name}", "flat half or float samples")
    return plane


def _to_display_window(
    path: Path, header: dict[str, Any], colors: np.ndarray, alpha: np.ndarray | None, notes: list[str], max_pixels: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels of the display window, which is what the image shows; the data window may be a crop or an
    overscan.

    Where both do not meet, the data window is kept.
    """
    (data_left, data_top), (data_right, data_bottom) = np.asarray(header["dataWindow"], np.int64)
    (left, top), (right, bottom) = np.asarray(header.get("displayWindow", header["dataWindow"]), np.int64)
    if (data_left, data_top, data_right, data_bottom) == (left, top, right, bottom):
        return colors, alpha
    height, width = int(bottom - top + 1), int(right - left + 1)
    x0, x1 = max(left, data_left), min(right, data_right) + 1
    y0, y1 = max(top, data_top), min(bottom, data_bottom) + 1
    if x0 >= x1 or y0 >= y1:
        notes.append("data window outside the display window: data window read")
        return colors, alpha
    _check_size(path, width, height, max_pixels)

    def placed(plane: np.ndarray) -> np.ndarray:
        frame = np.zeros((height, width, *plane.shape[2:]), plane.dtype)
        frame[y0 - top : y1 - top, x0 - left : x1 - left] = plane[
            y0 - data_top : y1 - data_top, x0 - data_left : x1 - data_left
        ]
        return frame

    notes.append("data window differs from the display window: display window read")
    return placed(colors), None if alpha is None else placed(alpha)


def _write_exr(path: Path, channels: np.ndarray, dtype: str) -> None:
    import OpenEXR

    if dtype not in ("half", "float"):
        raise ValueError(f"dtype {dtype!r}, expected half or float")
    samples = np.minimum(channels, _HALF_MAX).astype(np.float16) if dtype == "half" else channels
    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": REC709_CHROMATICITIES,
    }
    name = "RGB" if samples.shape[2] == 3 else "RGBA"
    with captured_native_log() as log:
        try:
            OpenEXR.File(header, {name: np.ascontiguousarray(samples)}).write(os.fspath(path))
        except RuntimeError as error:
            raise OSError(f"{path}: OpenEXR cannot write the file: {log.lines or error}") from error
