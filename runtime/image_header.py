"""What the first bytes of an image file say before anything is decoded: its kind, its size, its colour model.

Only what the decoders do not tell: a size to refuse before memory is taken, and the fields that OpenCV keeps
to itself.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"#?RADIANCE", "hdr"),
    (b"#?RGBE", "hdr"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"\x93NUMPY", "npy"),
)
# Files that people take for images, to be named when they are refused.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF animation"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 image"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
    (b"<svg", "an SVG drawing"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
)


@dataclass(frozen=True)
class Header:
    """`width` and `height` are 0 where the header does not tell them."""

    width: int = 0
    height: int = 0
    channels: int = 0
    adobe: bool = False  # JPEG: the marker of Adobe's inverted CMYK
    straight_alpha: bool = False  # TIFF: alpha is stored and the colours are not multiplied by it
    icc_profile: bytes = b""  # TIFF only; OpenCV hands out those of PNG, JPEG and WebP


def image_kind(start: bytes) -> str | None:
    """ "png", "jpeg", "bmp", "webp", "tiff", "hdr", "exr", "npy" by the file's first 16 bytes; None for
    anything else.
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _KINDS if start.startswith(magic)), None)


def describe_foreign(start: bytes) -> str:
    """What a file that is no image seems to be, from its first bytes: for an error message."""
    if start[4:8] == b"ftyp":
        brand = start[8:12].decode("ascii", "replace")
        return {"heic": "an HEIC photo", "mif1": "an HEIC photo", "avif": "an AVIF image"}.get(brand, "an MP4 video")
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            return name
    if not start.strip(b"\0"):
        return "only zero bytes"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "plain text"
    return "data of an unknown kind"


def read_header(kind: str, data: bytes) -> Header:
    """The header of a file of this kind; an empty `Header` where it is damaged (the decoder then says so)."""
    try:
        if kind == "png":
            return Header(*struct.unpack(">II", data[16:24]))
        if kind == "bmp":
            width, height = struct.unpack("<ii", data[18:26])
            return Header(abs(width), abs(height))
        if kind == "jpeg":
            return _jpeg_header(data)
        if kind == "webp":
            return _webp_header(data)
        if kind == "tiff":
            return _tiff_header(data)
        if kind == "hdr":
            size = re.search(rb"\n[-+]([XY]) (\d+) [-+]([XY]) (\d+)\n", data[:65536])
            if size:
                first, second = int(size[2]), int(size[4])
                return Header(second, first) if size[1] == b"Y" else Header(first, second)
    except struct.error:
        pass
    return Header()


def _jpeg_header(data: bytes) -> Header:
    """ISO/IEC 10918-1, annex B: walks the marker segments up to the frame header."""
    position, adobe = 2, False
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        length = struct.unpack(">H", data[position + 2 : position + 4])[0]
        if marker == 0xEE and data[position + 4 : position + 9] == b"Adobe":
            adobe = True
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, channels = struct.unpack(">HHB", data[position + 5 : position + 10])
            return Header(width, height, channels, adobe=adobe)
        position += 2 + length
    return Header()


def _webp_header(data: bytes) -> Header:
    """RFC 9649: the first chunk is an extended header, a lossless or a lossy frame."""
    kind, bits = data[12:16], int.from_bytes(data[21:25], "little")
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[start : start + 3], "little") for start in (24, 27))
        return Header(width, height)
    if kind == b"VP8L":
        return Header(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return Header(width & 0x3FFF, height & 0x3FFF)
    return Header()


_TIFF_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4}


def _tiff_header(data: bytes) -> Header:
    """TIFF 6.0, section 2: the tags of the first directory. BigTIFF is left to the decoder."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] not in (b"*\0", b"\0*"):
        return Header()
    directory = struct.unpack(order + "I", data[4:8])[0]
    count = struct.unpack(order + "H", data[directory : directory + 2])[0]
    values: dict[int, bytes] = {}
    first: dict[int, int] = {}
    for index in range(count):
        entry = data[directory + 2 + 12 * index : directory + 14 + 12 * index]
        tag, kind, length = struct.unpack(order + "HHI", entry[:8])
        size = _TIFF_TYPE_SIZES.get(kind, 0) * length
        start = struct.unpack(order + "I", entry[8:12])[0]
        values[tag] = entry[8 : 8 + size] if size <= 4 else data[start : start + size]
        if kind in (3, 4) and length:
            code, width = ("H", 2) if kind == 3 else ("I", 4)
            first[tag] = struct.unpack(order + code, values[tag][:width])[0]
    return Header(
        width=first.get(256, 0),
        height=first.get(257, 0),
        channels=first.get(277, 1),
        straight_alpha=first.get(338) == 2,
        icc_profile=values.get(34675, b""),
    )
