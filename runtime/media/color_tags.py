"""What a picture says of its colours without an ICC profile: PNG's cICP, gAMA and cHRM, Radiance's and DPX's headers.

Specifications: PNG, third edition, section 11.3.2 (cICP before iCCP before sRGB before gAMA and cHRM); ITU-T H.273 for
cICP's code points; the Radiance file format of G. Ward; SMPTE 268M for DPX; Kodak's Cineon curve.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intrinsic_flow.media.color import (
    PRIMARIES,
    REC709_CHROMATICITIES,
    TRANSFER_DECODERS,
    bt709_to_linear,
    is_identity,
    srgb_to_linear,
    to_rec709_matrix,
)

_TRANSFERS = {1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100",
              10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "srgb", 14: "bt2020-10", 15: "bt2020-12",
              16: "smpte2084", 17: "smpte428", 18: "hlg"}  # fmt: skip
_PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
              10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213"}  # fmt: skip
# Programs that mean sRGB write its rounded exponent, 1 / 2.2, alone.
_GAMMA_OF_SRGB = (44000, 47000)


@dataclass(frozen=True)
class ColorTags:
    """`linear RGB of the chromaticities = curve(code)`, codes in [0, 1] after limited range, if so, is stretched."""

    name: str
    curve: Callable[[np.ndarray], np.ndarray]
    chromaticities: tuple[float, ...] = REC709_CHROMATICITIES
    limited: bool = False

    @property
    def matrix(self) -> np.ndarray | None:
        """(3, 3) from these primaries to Rec.709, None where they are the same."""
        matrix = to_rec709_matrix(self.chromaticities)
        return None if is_identity(matrix) else matrix

    def is_srgb(self) -> bool:
        """Whether the tags say no more than an untagged file does."""
        return self.curve is srgb_to_linear and self.matrix is None and not self.limited


def coded_color(primaries: int, transfer: int, full_range: bool) -> ColorTags | None:
    """The tags of H.273's code points (RGB, no matrix); None where they name no curve or no primaries."""
    if transfer not in _TRANSFERS or primaries not in _PRIMARIES:
        return None
    curve, gamut = _TRANSFERS[transfer], _PRIMARIES[primaries]
    return ColorTags(f"{curve}, {gamut}", TRANSFER_DECODERS[curve], PRIMARIES[gamut], not full_range)


def png_chunks(path: Path) -> dict[bytes, bytes]:
    """The file's chunks by their type, the picture's data and large ones empty; damage ends the list."""
    chunks: dict[bytes, bytes] = {}
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND" and len(chunks) < 100:
            length = int.from_bytes(head[:4], "big")
            if length <= 64 or (head[4:] == b"eXIf" and length <= 1 << 16):
                chunks[head[4:]] = file.read(length)
                file.seek(4, 1)
            else:
                chunks[head[4:]] = b""
                file.seek(length + 4, 1)
    return chunks


def png_profile(data: bytes) -> bytes:
    """The ICC profile in a PNG file, empty where it has none that can be unpacked."""
    at = data.find(b"iCCP", 8, data.find(b"IDAT"))
    if at < 0:
        return b""
    _, _, packed = data[at + 4 : at + 4 + int.from_bytes(data[at - 4 : at], "big")].partition(b"\0")
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(packed[1:], 1 << 22)
    return b""


def png_color(chunks: dict[bytes, bytes]) -> ColorTags | None:
    """What cICP, or gAMA and cHRM without a better one, say; None where an ICC profile or sRGB decides."""
    if len(chunks.get(b"cICP", b"")) == 4:
        primaries, transfer, _, full = chunks[b"cICP"]
        return coded_color(primaries, transfer, bool(full))
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None
    gamma = chunks.get(b"gAMA", b"")
    exponent = int.from_bytes(gamma, "big") if len(gamma) == 4 else 0
    curve: Callable[[np.ndarray], np.ndarray] = srgb_to_linear
    name = "sRGB"
    if exponent and not _GAMMA_OF_SRGB[0] <= exponent <= _GAMMA_OF_SRGB[1]:
        power = 100000 / exponent
        name = "linear" if power == 1 else f"gamma {power:.2f}"
        curve = _power(power)
    chromaticities = REC709_CHROMATICITIES
    if len(chunks.get(b"cHRM", b"")) == 32:
        white, *rest = (tuple(v / 1e5 for v in pair) for pair in struct.iter_unpack(">II", chunks[b"cHRM"]))
        candidate = tuple(v for pair in (*rest, white) for v in pair)
        try:
            to_rec709_matrix(candidate)
            chromaticities = candidate
        except (ValueError, ZeroDivisionError):
            pass
    tags = ColorTags(f"{name} with the file's primaries" if chromaticities != REC709_CHROMATICITIES else name, curve,
                     chromaticities)  # fmt: skip
    return None if tags.is_srgb() else tags


def _power(exponent: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.power(np.maximum(np.asarray(x, np.float64), 0.0), exponent).astype(np.float32)


def cineon_to_linear(x: np.ndarray) -> np.ndarray:
    """Printing density, codes of 10 bits in [0, 1], to light where code 685 is 1 and code 95 is 0: 0.002 density a code,
    gamma 0.6 (Kodak, "Conversion of 10-bit Log Film Data")."""
    codes = np.asarray(x, np.float64) * 1023
    black = 10.0 ** ((95 - 685) * 0.002 / 0.6)
    return ((10.0 ** ((codes - 685) * 0.002 / 0.6) - black) / (1 - black)).astype(np.float32)


def film_color(kind: str, transfer: str) -> ColorTags:
    """The curve of a Cineon or DPX file. transfer: DPX's transfer characteristic in OpenImageIO's words."""
    name = "printing density" if kind == "cineon" else transfer.lower()
    if "density" in name or "log" in name:
        return ColorTags("printing density (Cineon)", cineon_to_linear)
    if "linear" in name:
        return ColorTags("linear", _power(1.0))
    if any(system in name for system in ("709", "274", "240", "601", "composite")):
        return ColorTags("BT.709", bt709_to_linear)
    return ColorTags("sRGB", srgb_to_linear)


@dataclass(frozen=True)
class RadianceHeader:
    """factor: (3,) what stored values are to be multiplied by. chromaticities: as `color.PRIMARIES`, None where the file
    has none. xyz: the samples are CIE XYZ. orientation: of the stored rows, as EXIF numbers it."""

    factor: np.ndarray
    chromaticities: tuple[float, ...] | None
    xyz: bool
    orientation: int


# Which way rows follow each other, and pixels in them.
_AXES = {"-Y+X": 1, "-Y-X": 2, "+Y-X": 3, "+Y+X": 4, "+X-Y": 5, "-X-Y": 6, "-X+Y": 7, "+X+Y": 8}


def radiance_header(path: Path) -> RadianceHeader:
    """The lines up to the first empty one; every EXPOSURE and COLORCORR was multiplied in by some program."""
    factor, chromaticities, xyz = np.ones(3), None, False
    with open(path, "rb") as file:
        head, _, rest = file.read(1 << 16).partition(b"\n\n")
        for line in head.split(b"\n"):
            name, _, text = line.decode("latin-1").partition("=")
            try:
                values = [float(word) for word in text.split()] if name in ("EXPOSURE", "COLORCORR", "PRIMARIES") else []
            except ValueError:
                continue
            if name == "FORMAT":
                xyz = "xyze" in text
            elif name == "PRIMARIES" and len(values) == 8:
                chromaticities = tuple(values)
            elif values and np.isfinite(values).all() and min(values) > 0 and len(values) in (1, 3):
                factor = factor / np.array(values)
    words = rest[:60].split(b"\n")[0].decode("latin-1").split()
    return RadianceHeader(factor, chromaticities, xyz, _AXES.get("".join(words[::2]), 1))
