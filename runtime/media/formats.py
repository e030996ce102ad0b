"""Names, suffixes and first bytes of the picture formats. Imports no codec library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from intrinsic_flow.errors import InputError

ColorSpace = Literal["auto", "srgb", "linear"]
BitDepth = Literal[8, 16, "half", "float"]
ImageFormat = Literal["png", "png16", "exr", "npy"]
SequenceFormat = Literal["png", "png16", "exr"]

RAW_SUFFIXES = frozenset(
    {
        ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".rwl", ".pef",
        ".srw", ".3fr", ".fff", ".iiq", ".erf", ".kdc", ".dcr", ".mrw", ".mos", ".mef", ".x3f", ".gpr",
    }
)  # fmt: skip
IMAGE_SUFFIXES = RAW_SUFFIXES | {
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".hdr", ".rgbe", ".pic",
    ".exr", ".npy", ".gif", ".jp2", ".j2k", ".j2c", ".jpc", ".jxl", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".tga", ".sgi",
    ".rgb", ".bw", ".psd", ".dpx", ".cin", ".ico", ".heic", ".heif", ".hif", ".avif",
}  # fmt: skip
VIDEO_SUFFIXES = frozenset(
    {
        ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
        ".ogv", ".3gp", ".mxf",
    }
)  # fmt: skip
EXPECTED = "a picture (PNG, JPEG, WebP, TIFF, OpenEXR, Radiance HDR, NPY, HEIC, AVIF, camera RAW, ...)"

#: What the formats are called in messages.
TITLES = {
    "png": "PNG", "jpeg": "JPEG", "bmp": "BMP", "webp": "WebP", "tiff": "TIFF", "hdr": "Radiance HDR", "exr": "OpenEXR",
    "npy": "NPY", "gif": "GIF", "jpeg2000": "JPEG 2000", "jpegxl": "JPEG XL", "pnm": "PNM", "targa": "TGA", "sgi": "SGI",
    "psd": "Photoshop", "dpx": "DPX", "cineon": "Cineon", "ico": "icon", "heif": "HEIC", "avif": "AVIF",
    "raw": "camera RAW",
}  # fmt: skip

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"BM", "bmp"),
    (b"II*\0\x10\0\0\0CR", "raw"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"#?RADIANCE", "hdr"),
    (b"#?RGBE", "hdr"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"\x93NUMPY", "npy"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jpegxl"),
    (b"\xff\x0a", "jpegxl"),
    (b"\x01\xda", "sgi"),
    (b"8BPS\0\x01", "psd"),
    (b"SDPX", "dpx"),
    (b"XPDS", "dpx"),
    (b"\x80\x2a\x5f\xd7", "cineon"),
    (b"\xd7\x5f\x2a\x80", "cineon"),
    (b"\0\0\1\0", "ico"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\0", "raw"),
    (b"\0MRM", "raw"),
    (b"FOVb", "raw"),
)
# Files that people take for images, to be named when they are refused.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"P7\n", "a PAM picture"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"8BPS", "a large Photoshop document (PSB)"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
    (b"<svg", "an SVG drawing"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
)
# Brands of ISO 23008-12 (HEIF), annex B, and of AVIF 1.1.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})


def image_kind(start: bytes) -> str | None:
    """A key of `TITLES` by the file's first 64 bytes, None for anything else. TGA has no bytes of its own there: see
    `kind_on_disk`."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[4:8] == b"ftyp":
        return _kind_of_brands(start)
    if start[:1] == b"P" and start[1:2] in b"123456Ff" and start[2:3].isspace():
        return "pnm"
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), None)


def _kind_of_brands(start: bytes) -> str | None:
    """ISO/IEC 14496-12, section 4.3: major brand, then the compatible ones up to the box's end."""
    length = min(int.from_bytes(start[:4], "big"), len(start))
    major, brands = start[8:12], {start[8:12], *(start[at : at + 4] for at in range(16, length - 3, 4))}
    if major == b"crx ":
        return "raw"
    if major not in _HEIC_BRANDS | _AVIF_BRANDS | _HEIF_BRANDS:
        return None
    return "avif" if brands & _AVIF_BRANDS else "heif"


def describe_foreign(start: bytes) -> str:
    """What a file that is no image seems to be, from its first bytes: for an error message."""
    if start[4:8] == b"ftyp":
        return "an MP4 video"
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            return name
    if not start.strip(b"\0"):
        return "only zero bytes"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "plain text"
    return "data of an unknown kind"


def kind_on_disk(path: str | os.PathLike[str], start: bytes) -> str:
    """A key of `TITLES` by the file's first bytes, and by its suffix where these do not tell: TGA has none of its own, and
    most camera RAW has TIFF's. Raises InputError, which says what the file is instead."""
    suffix = Path(path).suffix.lower()
    kind = image_kind(start)
    if kind == "tiff" and suffix in RAW_SUFFIXES:
        return "raw"
    if kind is None and suffix == ".tga":
        return "targa"
    if kind is None:
        raise InputError(path, describe_foreign(start), EXPECTED)
    return kind
