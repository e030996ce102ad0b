"""Picture files in, as float32 linear Rec.709.

OpenImageIO reads all pictures but NPY (NumPy), HEIC, AVIF and camera RAW (extras).
Integer samples are decoded with the sRGB curve or as the file says (ICC profile, cICP, gamma); float samples are linear.
Each library is imported where it is used.
"""

from __future__ import annotations

import itertools
import os
import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import to_rec709_matrix
from intrinsic_flow.media.color_tags import ColorTags, coded_color, film_color, png_chunks, png_color, radiance_header
from intrinsic_flow.media.formats import (
    EXPECTED,
    IMAGE_SUFFIXES,
    BitDepth,
    ColorSpace,
    ImageFormat,
    kind_on_disk,
)
from intrinsic_flow.media.icc import beyond_one, parse_matrix_profile, profile_name
from intrinsic_flow.media.image_writer import write_image
from intrinsic_flow.media.input_file import read_start
from intrinsic_flow.media.openimageio import FORMATS, OpenImage, check_size, damaged, open_image
from intrinsic_flow.media.plate import Window
from intrinsic_flow.media.samples import (
    Decoder,
    Image,
    alpha_plane,
    cmyk_decoder,
    float_image,
    integer_decoder,
    integer_image,
    oriented,
)

_DTYPES = {"half": np.float16, "float": np.float32, "double": np.float64, "uint": np.uint32, "int": np.int32}

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "BitDepth", "ColorSpace", "Image", "ImageFormat", "read_image", "write_image"]

# Above the 102 megapixels of the largest common sensor; a decomposition holds several float copies of the
# image.
MAX_PIXELS = 1 << 27


def read_image(
    path: str | os.PathLike[str],
    colorspace: ColorSpace = "auto",
    *,
    max_pixels: int | None = None,
    exr_layer: str | None = None,
) -> Image:
    """Reads one picture; the kind is told by the file's content, not by its name.

    The orientation that the file states is applied. `colorspace` "auto" decodes integer samples as the file says, or as
    sRGB where it says nothing, and takes float samples as linear (an OpenEXR file's chromaticities are converted to
    Rec.709); "srgb" and "linear" force the curve and ignore profiles. `exr_layer` names the layer or part of an OpenEXR
    file that is read, instead of its beauty. Raises `InputError` for anything that
    is not one complete image of at most `max_pixels` pixels (None: `MAX_PIXELS`), before it is decoded, and for a
    HEIC or camera RAW file without the library that reads it.
    """
    if colorspace not in ("auto", "srgb", "linear"):
        raise ValueError(f"colorspace {colorspace!r}, expected auto, srgb or linear")
    path = Path(path)
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    kind = kind_on_disk(path, read_start(path, EXPECTED))
    try:
        if kind == "npy":
            return _read_npy(path, colorspace, max_pixels)
        if kind == "exr":
            from intrinsic_flow.media.exr import read_exr

            return read_exr(path, colorspace, max_pixels, exr_layer)
        if kind == "heif":
            from intrinsic_flow.media.heif import read_heif

            return read_heif(path, colorspace, max_pixels)
        if kind == "avif":
            from intrinsic_flow.media.avif import read_avif

            return read_avif(path, colorspace, max_pixels)
        if kind == "raw":
            from intrinsic_flow.media.raw import read_raw

            return read_raw(path, max_pixels)
        if kind == "bmp" or (kind == "pnm" and read_start(path, EXPECTED).startswith(b"P1")):
            return _read_with_pillow(path, kind, colorspace, max_pixels)
        return _read_with_openimageio(path, kind, colorspace, max_pixels)
    except OSError as error:
        raise InputError(path, error.strerror or str(error), "a readable file") from error
    except MemoryError as error:
        raise InputError(path, "more pixels than memory holds", "a smaller image") from error


def stored_facts(path: Path) -> tuple[BitDepth | None, Window | None]:
    """What `Image.bit_depth` and the data window will be, from the header alone; None where only reading tells (what is
    wrong, too)."""
    depths: dict[str, BitDepth] = {"uint8": 8, "uint16": 16, "half": "half", "float": "float", "double": "float"}
    try:
        kind = kind_on_disk(path, read_start(path, EXPECTED))
        if kind == "npy":
            return _depth_of(np.load(path, mmap_mode="r").dtype), None
        if kind not in FORMATS:
            return None, None
        with open_image(path, kind, MAX_PIXELS) as file:
            spec = file.spec
            window = Window(spec.x, spec.y, spec.width, spec.height) if kind == "exr" else None
            return depths.get(str(spec.format)), window
    except (InputError, OSError, ValueError):
        return None, None


def _depth_of(dtype: np.dtype) -> BitDepth:
    return 8 if dtype == np.uint8 else 16 if dtype == np.uint16 else "half" if dtype == np.float16 else "float"


def _read_with_openimageio(path: Path, kind: str, colorspace: ColorSpace, max_pixels: int) -> Image:
    notes: list[str] = []
    if kind == "hdr" and radiance_header(path).xyz:
        raise InputError(path, "a Radiance file of XYZ samples", "RGB samples (32-bit_rle_rgbe)")
    with open_image(path, kind, max_pixels, pnm_pfmflip=1) as file:
        _choose_picture(file, notes)
        check_size(path, file.spec.width, file.spec.height, max_pixels)
        if kind == "jpeg" and file.attribute("jpeg:ColorSpace") == "CMYK":
            return _read_cmyk_jpeg(path, colorspace, notes)
        if kind == "jpeg" and str(file.spec.format) != "uint8":
            return _read_gain_map_base(path, file, colorspace, notes)
        if kind == "psd":
            _note_cmyk_psd(path, notes)
        if kind == "tiff":
            photometric = int(file.attribute("tiff:PhotometricInterpretation", 1))
            if photometric == 5:
                return _read_cmyk_tiff(path, file, colorspace, max_pixels, notes)
            if photometric == 32803:
                from intrinsic_flow.media.raw import read_raw

                return read_raw(path, max_pixels)
            if photometric in (32844, 32845):
                return _read_logluv_tiff(path, colorspace, notes)
            if photometric not in (0, 1, 2, 3, 6):
                name = file.attribute("tiff:ColorSpace", photometric)
                raise InputError(path, f"a TIFF file of colour model {name}", "grey, RGB, palette, YCbCr or CMYK")
        return _read_picture(file, colorspace, notes)


def _choose_picture(file: OpenImage, notes: list[str]) -> None:
    """Goes past a reduced copy to the picture itself, or to an icon's largest; says that others are left out."""
    if file.kind == "ico":
        sizes, part = [(file.spec.width * file.spec.height, 0)], 1
        while file.select(part):
            sizes.append((file.spec.width * file.spec.height, -part))
            part += 1
        file.select(-max(sizes)[1])
        if len(sizes) > 1:
            notes.append(f"the largest of {len(sizes)} icons read")
    elif file.kind == "tiff":
        kinds, part = [int(file.attribute("tiff:subfiletype", 0))], 1
        while part < 1000 and file.select(part):
            kinds.append(int(file.attribute("tiff:subfiletype", 0)))
            part += 1
        full = [index for index, kind in enumerate(kinds) if not kind & 5]
        if not full:
            notes.append("only a reduced copy of the picture found and read")
            full = [0]
        file.select(full[0])
        if len(full) > 1:
            notes.append(f"first of {len(full)} pages read, the others are left out")
    elif file.kind in ("gif", "webp") and (file.attribute("oiio:Movie") or (file.kind == "gif" and file.select(1))):
        file.select(0)
        notes.append("first frame of an animation read, the others are left out")
    elif file.kind == "psd" and file.spec.nchannels == 4:
        # Photoshop stores the picture of all layers over white, others as it is; a single layer is the same in all.
        size = file.spec.width, file.spec.height
        if file.select(2) or not file.select(1) or (file.spec.width, file.spec.height, file.spec.nchannels) != (*size, 4):
            file.select(0)


def _read_picture(file: OpenImage, colorspace: ColorSpace, notes: list[str]) -> Image:
    """The picture that `file` stands at, whatever its samples are."""
    path, spec, kind = file.path, file.spec, file.kind
    dtype = np.dtype(_DTYPES.get(str(spec.format), str(spec.format)))
    if dtype not in (np.uint8, np.uint16, np.uint32) and dtype.kind != "f":
        raise InputError(path, f"{dtype} samples", "8-, 16- or 32-bit unsigned or float samples")
    names = [name.rpartition(".")[2].lower() for name in spec.channelnames]
    alpha_at = names.index("a") if "a" in names[:8] else -1
    colors = 3 if spec.nchannels - (alpha_at >= 0) >= 3 else 1
    unstated = alpha_at < 0 and kind in ("tiff", "targa") and spec.nchannels in (2, 4)
    if unstated:
        alpha_at = spec.nchannels - 1  # which most programs show as alpha, if it is not 0 everywhere
    last = max(colors, alpha_at + 1)
    if spec.nchannels > last or 0 <= alpha_at != colors:
        notes.append(f"{spec.nchannels - colors - (alpha_at >= 0)} further channels left out")
    # Of 8 bits or less OpenImageIO inverts all channels, of more none.
    white_is_zero = kind == "tiff" and int(file.attribute("tiff:PhotometricInterpretation", 1)) == 0
    inverted = white_is_zero and dtype != np.uint8
    premultiplied = alpha_at >= 0 and (
        (kind == "tiff" and "a" in names and not file.attribute("tiff:UnassociatedAlpha"))
        or (kind == "targa" and "re-multiplied" in str(file.attribute("targa:alpha_type", "")))
    )
    profile, tags = _stated_color(file, notes)
    shape = (spec.height, spec.width)
    orientation = _orientation(file)
    wide = dtype == np.uint32
    if wide:
        dtype = np.dtype(np.uint16)
        notes.append("32-bit integers read with 16 bits")
    alpha = np.empty(shape, dtype) if alpha_at >= 0 else None

    if dtype.kind == "u":
        decode = integer_decoder(dtype, colorspace, notes, profile=profile, tags=tags, channels=colors)
        pixels = np.empty((*shape, 3), np.float32)
        top = 255 if dtype == np.uint8 else 65535
        strips = file.strips(0, last)
        if premultiplied:
            # Many writers of straight colours do not say so; those that exceed alpha cannot be premultiplied.
            strips, looked_at = itertools.tee(strips)
            premultiplied = all((part[..., :colors] <= part[..., alpha_at, None]).all() for _, part in looked_at)
        for rows, stored in strips:
            samples = (stored >> 16).astype(np.uint16) if wide else stored
            codes = top - samples[..., :colors] if inverted else samples[..., :colors]
            if alpha is not None:
                alpha[rows] = top - samples[..., alpha_at] if white_is_zero and not inverted else samples[..., alpha_at]
                codes = _divided_by_alpha(codes, alpha[rows]) if premultiplied else codes
            pixels[rows] = decode(codes)
        if premultiplied and alpha is not None and alpha.min() < top:
            notes.append("colours divided by the alpha that they were multiplied by")
        if alpha is not None:
            nothing = (unstated or kind == "targa") and not alpha.any()
            alpha = None if nothing else oriented(alpha, orientation)
        return Image(oriented(pixels, orientation), alpha_plane(alpha, top, notes), _depth_of(dtype), tuple(notes))

    stored = np.empty((*shape, colors), np.float32)
    for rows, samples in file.strips(0, last):
        with np.errstate(over="ignore"):
            stored[rows] = 1 - samples[..., :colors] if inverted else samples[..., :colors]
        if alpha is not None:
            alpha[rows] = samples[..., alpha_at]
    matrix = _float_matrix(kind, path, stored, profile, tags, colorspace, notes)
    stored = np.repeat(stored, 3, axis=2) if colors == 1 else stored
    alpha = None if alpha is None else oriented(alpha, orientation)
    return float_image(path, oriented(stored, orientation), alpha, _depth_of(dtype), colorspace, notes, matrix)


def _stated_color(file: OpenImage, notes: list[str]) -> tuple[bytes, ColorTags | None]:
    """The ICC profile (empty where there is none) and the colours that the file states beside it."""
    block = file.attribute("ICCProfile")
    profile = b"" if block is None else np.asarray(block, np.uint8).tobytes()
    if file.kind == "png":
        chunks = png_chunks(file.path)
        if b"iCCP" in chunks and not profile:
            notes.append("damaged colour profile ignored")
        if b"acTL" in chunks:
            notes.append("first frame of an animation read, the others are left out")
        return profile, png_color(chunks)
    if file.kind == "jpegxl" and (codes := file.attribute("CICP")) is not None:
        tags = coded_color(codes[0], codes[1], bool(codes[3]))
        return (b"", tags) if tags is not None else (profile, None)
    if file.kind in ("dpx", "cineon"):
        return profile, film_color(file.kind, str(file.attribute("dpx:Transfer", "")))
    return profile, None


def _float_matrix(
    kind: str,
    path: Path,
    stored: np.ndarray,
    profile: bytes,
    tags: ColorTags | None,
    colorspace: ColorSpace,
    notes: list[str],
) -> np.ndarray | None:
    """Brings float samples to linear light in place; returns the matrix to Rec.709 where they have other primaries."""
    if colorspace != "auto":
        return None
    if kind == "hdr":
        header = radiance_header(path)
        if not (header.factor == 1).all():
            stored *= header.factor.astype(np.float32)
            notes.append("divided by the exposure that the file states")
        try:
            return None if header.chromaticities is None else to_rec709_matrix(header.chromaticities)
        except (ValueError, ZeroDivisionError):
            notes.append("unusable primaries ignored, Rec.709 assumed")
    elif tags is not None and kind != "pnm":
        stored[:] = tags.curve(stored)
        if not tags.is_srgb():
            notes.append(f"decoded as tagged: {tags.name}")
        return tags.matrix
    elif profile:
        parsed = parse_matrix_profile(profile)
        ramp = np.linspace(0, 1, 17, dtype=np.float32)
        if parsed is not None:
            if any(np.abs(curve(ramp) - ramp).max() >= 1e-3 for curve in parsed.curves):
                for channel in range(stored.shape[2]):
                    stored[..., channel] = beyond_one(parsed.curves[channel])(stored[..., channel])
            notes.append(f"converted from the colour profile '{parsed.name}' to Rec.709")
            return parsed.matrix
        notes.append(f"colour profile '{profile_name(profile)}' ignored, linear Rec.709 assumed")
    return None


def _divided_by_alpha(codes: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    top = np.iinfo(codes.dtype).max
    weight = np.maximum(alpha, 1)[..., None].astype(np.float64)
    return np.minimum(np.rint(codes * (top / weight)), top).astype(codes.dtype)


def _read_cmyk_jpeg(path: Path, colorspace: ColorSpace, notes: list[str]) -> Image:
    """OpenImageIO gives RGB without the profile, so Pillow decodes; it takes every CMYK JPEG for Adobe's inverted kind."""
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with open(path, "rb") as stream:
            image = JpegImageFile(stream)
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, "jpeg", str(error)) from error
    if "adobe" not in image.info:
        raise InputError(path, "a CMYK JPEG without Adobe's marker", "an RGB, grey or Adobe CMYK JPEG")
    decode = cmyk_decoder(colorspace, notes, image.info.get("icc_profile") or b"")
    orientation = image.getexif().get(0x0112, 1)
    return Image(oriented(decode(np.asarray(image)), orientation), None, 8, tuple(notes))


def _read_cmyk_tiff(path: Path, shown: OpenImage, colorspace: ColorSpace, max_pixels: int, notes: list[str]) -> Image:
    profile, orientation = _stated_color(shown, notes)[0], int(shown.attribute("Orientation", 1))
    with open_image(path, "tiff", max_pixels, oiio_RawColor=1) as file:
        file.select(shown.part)
        spec = file.spec
        if str(spec.format) not in ("uint8", "uint16") or spec.nchannels < 4:
            raise InputError(path, f"CMYK of {spec.nchannels} {spec.format} samples", "8- or 16-bit CMYK")
        decode: Decoder = cmyk_decoder(colorspace, notes, profile)
        pixels = np.empty((spec.height, spec.width, 3), np.float32)
        for rows, samples in file.strips(0, 4):
            pixels[rows] = decode(samples)
    if spec.nchannels > 4:
        notes.append(f"{spec.nchannels - 4} further channels left out")
    return Image(oriented(pixels, orientation), None, 8 if str(spec.format) == "uint8" else 16, tuple(notes))


def _read_gain_map_base(path: Path, file: OpenImage, colorspace: ColorSpace, notes: list[str]) -> Image:
    """The base picture of a JPEG with a gain map (ISO 21496-1): OpenImageIO gives both applied, for a display it chose."""
    with np.errstate(all="ignore"):
        samples = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if samples is None:
        raise damaged(path, "jpeg")
    notes.append("base picture read, its gain map left out")
    profile = _stated_color(file, notes)[0]
    colors = oriented(samples[..., ::-1], int(file.attribute("Orientation", 1)))
    return integer_image(colors, None, colorspace, notes, profile)


def _read_logluv_tiff(path: Path, colorspace: ColorSpace, notes: list[str]) -> Image:
    """G. Ward's logarithmic light, which OpenCV converts to linear Rec.709."""
    with np.errstate(all="ignore"):
        samples = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.ndim != 3 or samples.shape[2] != 3 or samples.dtype != np.float32:
        raise damaged(path, "tiff")
    return float_image(path, samples[..., ::-1], None, "float", colorspace, notes)


def _read_with_pillow(path: Path, kind: str, colorspace: ColorSpace, max_pixels: int) -> Image:
    """BMP, of which OpenImageIO takes some kinds for others, and PBM in words, which may stand without spaces."""
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.PpmImagePlugin import PpmImageFile

    try:
        with open(path, "rb") as stream:
            picture = BmpImageFile(stream) if kind == "bmp" else PpmImageFile(stream)
            width, height = picture.size
            if width * height <= max_pixels:
                picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error) as error:
        raise damaged(path, kind, str(error)) from error
    check_size(path, width, height, max_pixels)
    samples = np.asarray(picture.convert({"P": "RGB", "1": "L"}.get(picture.mode, picture.mode)))
    samples = samples[..., None] if samples.ndim == 2 else samples
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    return integer_image(np.ascontiguousarray(samples[..., :3]), alpha, colorspace, [])


def _note_cmyk_psd(path: Path, notes: list[str]) -> None:
    """OpenImageIO gives a Photoshop document of CMYK as RGB and does not say so."""
    with open(path, "rb") as file:
        if int.from_bytes(file.read(26)[24:26], "big") == 4:
            notes.append("CMYK converted to RGB without a profile")


def _orientation(file: OpenImage) -> int:
    """As EXIF numbers it."""
    if file.kind == "hdr":
        return radiance_header(file.path).orientation
    stated = int(file.attribute("Orientation", 0))
    if not stated and file.kind == "png" and (exif := png_chunks(file.path).get(b"eXIf")):
        from PIL.Image import Exif

        parsed = Exif()
        with suppress(Exception):  # it is not the picture
            parsed.load(exif)
            stated = int(parsed.get(0x0112, 1))
    return stated or 1


def _read_npy(path: Path, colorspace: ColorSpace, max_pixels: int) -> Image:
    expected = "an array (height, width), or with 1, 3 or 4 channels, of uint8, uint16 or float samples"
    try:
        with np.errstate(over="ignore"):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header with Python's own parser, which fails in many ways
        if isinstance(error, (OSError, MemoryError)) and not isinstance(error, EOFError):
            raise
        raise InputError(path, "a damaged or truncated NPY file", expected) from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(path, f"an array of shape {array.shape}", expected)
    if array.dtype.kind not in "uf" or (array.dtype.kind == "u" and array.dtype.itemsize > 2):
        raise InputError(path, f"{array.dtype} samples", expected)
    check_size(path, array.shape[1], array.shape[0], max_pixels)
    samples = array[:, :, None] if array.ndim == 2 else array
    colors = samples[..., :3] if samples.shape[2] >= 3 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    if array.dtype.kind == "u":
        native = np.ascontiguousarray(colors, array.dtype.newbyteorder("="))
        return integer_image(native, alpha, colorspace, [])
    return float_image(path, colors, alpha, _depth_of(array.dtype), colorspace, [])
