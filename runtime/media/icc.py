"""ICC profiles: those of a matrix and curves (cameras, phones, painting programs) and of one grey curve exactly, at any
depth; those of lookup tables and CMYK (scanners, printers) through LittleCMS, at 8 bits.

Specification: ICC.1:2022 (profile version 4.4), sections 7.2, 8.3, 10.6, 10.18 and 10.31.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intrinsic_flow.media.color import is_identity, srgb_to_linear, xyz_d50_to_rec709_matrix

Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MatrixProfile:
    """`linear Rec.709 = matrix @ curve(code)`: `matrix` (3, 3) float64, one curve a channel, code and result
    in [0, 1].
    """

    name: str
    matrix: np.ndarray
    curves: tuple[Curve, Curve, Curve]

    def is_srgb(self) -> bool:
        """Whether the profile is sRGB up to the rounding of its tables (many programs write their own sRGB)."""
        codes = np.linspace(0.0, 1.0, 256)
        reference = srgb_to_linear(codes)
        # Half an 8-bit step of the steepest part of the curve.
        return is_identity(self.matrix, 5e-3) and all(np.abs(c(codes) - reference).max() < 4e-3 for c in self.curves)


def profile_name(data: bytes) -> str:
    """The profile's description, or its colour space where it has none that can be read."""
    try:
        tag = _tags(data)["desc"]
        if tag[:4] == b"desc":
            length = struct.unpack(">I", tag[8:12])[0]
            name = tag[12 : 12 + length].split(b"\0")[0].decode("ascii", "replace")
        elif tag[:4] == b"mluc":
            length, offset = struct.unpack(">II", tag[20:28])
            name = tag[offset : offset + length].decode("utf-16-be", "replace")
        else:
            name = ""
    except (KeyError, struct.error):
        name = ""
    printable = "".join(c for c in name if c.isprintable()).strip()
    return printable[:80] or f"{data[16:20].decode('ascii', 'replace').strip() or 'unnamed'} profile"


def parse_matrix_profile(data: bytes) -> MatrixProfile | None:
    """The matrix profile in `data`, RGB or grey (one curve for all channels); None where it is another or damaged."""
    if len(data) < 132 or data[36:40] != b"acsp" or data[16:20] not in (b"RGB ", b"GRAY") or data[20:24] != b"XYZ ":
        return None
    try:
        tags = _tags(data)
        if data[16:20] == b"GRAY" and "A2B0" not in tags:
            gray = _curve(tags["kTRC"])
            return MatrixProfile(profile_name(data), np.eye(3), (gray, gray, gray))
        if "A2B0" in tags:
            return None
        colorants = np.stack([_xyz(tags[name]) for name in ("rXYZ", "gXYZ", "bXYZ")], axis=1)
        red, green, blue = (_curve(tags[name]) for name in ("rTRC", "gTRC", "bTRC"))
    except (KeyError, ValueError, struct.error):
        return None
    return MatrixProfile(profile_name(data), xyz_d50_to_rec709_matrix() @ colorants, (red, green, blue))


def _tags(data: bytes) -> dict[str, bytes]:
    count = struct.unpack(">I", data[128:132])[0]
    tags = {}
    for index in range(min(count, 200)):
        signature, offset, size = struct.unpack(">4sII", data[132 + 12 * index : 144 + 12 * index])
        tags[signature.decode("ascii", "replace")] = data[offset : offset + size]
    return tags


def _fixed(data: bytes, count: int) -> np.ndarray:
    return np.array(struct.unpack(f">{count}i", data[: 4 * count])) / 65536


def _xyz(tag: bytes) -> np.ndarray:
    if tag[:4] != b"XYZ ":
        raise ValueError("not an XYZ tag")
    return _fixed(tag[8:], 3)


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"curv":
        count = struct.unpack(">I", tag[8:12])[0]
        if count == 0:
            return lambda x: np.asarray(x, np.float32)
        if count == 1:
            return _parametric(0, [struct.unpack(">H", tag[12:14])[0] / 256])
        table = np.array(struct.unpack(f">{count}H", tag[12 : 12 + 2 * count])) / 65535
        positions = np.linspace(0.0, 1.0, count)
        return lambda x: np.interp(x, positions, table).astype(np.float32)
    if tag[:4] == b"para":
        kind = struct.unpack(">H", tag[8:10])[0]
        lengths = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
        if kind not in lengths:
            raise ValueError("unknown parametric curve")
        return _parametric(kind, list(_fixed(tag[12:], lengths[kind])))
    raise ValueError("unknown curve type")


def _parametric(kind: int, parameters: list[float]) -> Curve:
    """Function types 0 to 4 of section 10.18, all as `(a x + b)^g + e` from `d` on and `c x + f` below."""
    g, a, b, c, d, e, f = parameters[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind >= 1:
        a, b = parameters[1:3]
    if kind in (1, 2):
        d = -b / a if a else 0.0
    if kind == 2:
        e = f = parameters[3]
    if kind >= 3:
        c, d = parameters[3:5]
    if kind == 4:
        e, f = parameters[5:7]

    def evaluate(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        return np.where(x >= d, np.power(np.maximum(a * x + b, 0.0), g) + e, c * x + f).astype(np.float32)

    return evaluate


def beyond_one(curve: Curve) -> Curve:
    """A curve for floats: below 0 mirrored, above 1 as steep as at its end, which a table does not tell."""
    end = float(curve(np.array([1.0]))[0])
    slope = max((end - float(curve(np.array([0.99]))[0])) / 0.01, 0.0)

    def evaluate(x: np.ndarray) -> np.ndarray:
        size = np.abs(x)
        inside = curve(np.minimum(size, 1.0)) + np.float32(slope) * np.maximum(size - np.float32(1), 0)
        return np.copysign(inside, x).astype(np.float32)

    return evaluate


def table_transform(data: bytes, channels: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """LittleCMS's transform from the profile in `data` to sRGB, with the intent that the profile states.

    It takes uint8 codes (H, W, channels), 1, 3 or 4 (CMYK, 255 is full ink) channels, and returns (H, W, 3) uint8 sRGB.
    None where the profile is damaged or of another colour space.
    """
    from PIL import Image, ImageCms

    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(profile))
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None

    def apply(codes: np.ndarray) -> np.ndarray:
        height, width = codes.shape[:2]
        image = Image.frombytes(mode, (width, height), np.ascontiguousarray(codes).tobytes())
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None
        return np.asarray(converted)

    return apply
