"""Colour arithmetic: transfer functions, primaries and YUV matrices. Inside the project colour is float32 RGB
in linear light with Rec.709 primaries (white D65); everything here converts from or to that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

REC709_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)

# x and y of red, green, blue and white.
REC709_CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)

# Bradford cone responses, the adaptation of the ICC specification (ICC.1:2022, annex E).
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Rec.709 luminance of linear RGB (..., 3) -> (...), float32."""
    return np.asarray(rgb, np.float32) @ REC709_LUMINANCE


def srgb_to_linear(x: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 decoding, any shape -> float32. Negative values stay on the linear part, values above 1
    on the power.
    """
    x = np.asarray(x, np.float32)
    power = np.power((np.maximum(x, np.float32(0.04045)) + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
    return np.where(x <= np.float32(0.04045), x / np.float32(12.92), power)


def linear_to_srgb(x: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 encoding, any shape -> float32. Nothing is clipped: see `srgb_to_linear`."""
    x = np.asarray(x, np.float32)
    power = np.float32(1.055) * np.power(np.maximum(x, np.float32(0.0031308)), np.float32(1 / 2.4)) - np.float32(0.055)
    return np.where(x <= np.float32(0.0031308), x * np.float32(12.92), power)


# The constants that make both parts of the curve meet (BT.2020 states them; BT.709 rounds them to 1.099 and
# 0.018).
_BT709_ALPHA = 1.09929682680944
_BT709_BETA = 0.018053968510807


def bt709_to_linear(x: np.ndarray) -> np.ndarray:
    """Inverse of the BT.709 camera curve (also SMPTE 170M and BT.2020), any shape -> float32, scene light."""
    x = np.asarray(x, np.float64)
    power = np.power((np.maximum(x, 0.0) + (_BT709_ALPHA - 1)) / _BT709_ALPHA, 1 / 0.45)
    return np.where(x < 4.5 * _BT709_BETA, x / 4.5, power).astype(np.float32)


def linear_to_bt709(x: np.ndarray) -> np.ndarray:
    """The BT.709 camera curve, any shape -> float32. Nothing is clipped."""
    x = np.asarray(x, np.float64)
    power = _BT709_ALPHA * np.power(np.maximum(x, 0.0), 0.45) - (_BT709_ALPHA - 1)
    return np.where(x < _BT709_BETA, x * 4.5, power).astype(np.float32)


def _smpte240m_to_linear(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    power = np.power((np.maximum(x, 0.0) + 0.1115) / 1.1115, 1 / 0.45)
    return np.where(x < 4 * 0.0228, x / 4, power).astype(np.float32)


def pq_to_linear(x: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084 -> light where 1.0 is the diffuse white of BT.2408 (203 cd/m2), float32."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    v = np.power(np.clip(np.asarray(x, np.float64), 0.0, 1.0), 1 / m2)
    return (np.power(np.maximum(v - c1, 0.0) / (c2 - c3 * v), 1 / m1) * (10000 / 203)).astype(np.float32)


def hlg_to_linear(x: np.ndarray) -> np.ndarray:
    """Inverse of the BT.2100 HLG camera curve -> scene light where 1.0 is the signal 0.75 (BT.2408's white),
    float32.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    x = np.clip(np.asarray(x, np.float64), 0.0, 1.0)
    light = np.where(x <= 0.5, x * x / 3, (np.exp((x - c) / a) + b) / 12)
    white = (np.exp((0.75 - c) / a) + b) / 12
    return (light / white).astype(np.float32)


#: Peak of the display that HLG is meant for here, over BT.2408's white of 203 cd/m2, and PQ's.
HLG_PEAK, PQ_PEAK = 1000 / 203, 10000 / 203
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)


def hlg_scene_to_display(scene: np.ndarray) -> np.ndarray:
    """BT.2100's OOTF for a display of 1000 cd/m2: scene light of BT.2020 primaries as `hlg_to_linear` gives it, (..., 3),
    -> light of that display where 1.0 is 203 cd/m2, float32."""
    light = np.asarray(scene, np.float32) * np.float32(_HLG_WHITE)
    return light * np.power(light @ _BT2020_LUMINANCE, np.float32(0.2))[..., None] * np.float32(HLG_PEAK)


def hlg_display_to_scene(display: np.ndarray) -> np.ndarray:
    """Inverse of `hlg_scene_to_display`; the scene light's peak is 1 / 0.265."""
    light = np.asarray(display, np.float32) / np.float32(HLG_PEAK)
    most = np.maximum(light @ _BT2020_LUMINANCE, np.float32(1e-9))
    return light * np.power(most, np.float32(-1 / 6))[..., None] / np.float32(_HLG_WHITE)


def linear_to_pq(x: np.ndarray) -> np.ndarray:
    """Inverse of `pq_to_linear`: 1.0 is 203 cd/m2, float64, clipped to [0, 10000] cd/m2."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = np.power(np.clip(np.asarray(x, np.float64) / PQ_PEAK, 0, 1), m1)
    return np.power((c1 + c2 * y) / (1 + c3 * y), m2)


def linear_to_hlg(x: np.ndarray) -> np.ndarray:
    """Inverse of `hlg_to_linear`, the BT.2100 camera curve, float64, clipped to [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    e = np.clip(np.asarray(x, np.float64) * _HLG_WHITE, 0, 1)
    return np.where(e <= 1 / 12, np.sqrt(3 * e), a * np.log(np.maximum(12 * e - b, 1e-9)) + c)


# Scene light of the signal 0.75.
_HLG_WHITE = float((np.exp((0.75 - 0.55991073) / 0.17883277) + 0.28466892) / 12)


def _power(exponent: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.power(np.maximum(np.asarray(x, np.float64), 0.0), exponent).astype(np.float32)


def _logarithmic(decades: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.power(10.0, (np.asarray(x, np.float64) - 1) * decades).astype(np.float32)


# Decoders of the transfer characteristics of ITU-T H.273, table 3, by the names that ffprobe prints.
TRANSFER_DECODERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bt709": bt709_to_linear,
    "gamma22": _power(2.2),
    "gamma28": _power(2.8),
    "smpte170m": bt709_to_linear,
    "smpte240m": _smpte240m_to_linear,
    "linear": lambda x: np.asarray(x, np.float32),
    "log100": _logarithmic(2.0),
    "log316": _logarithmic(2.5),
    "iec61966-2-4": bt709_to_linear,
    "bt1361e": bt709_to_linear,
    "srgb": srgb_to_linear,
    "bt2020-10": bt709_to_linear,
    "bt2020-12": bt709_to_linear,
    "smpte2084": pq_to_linear,
    "smpte428": lambda x: _power(2.6)(x) * np.float32(52.37 / 48),
    "hlg": hlg_to_linear,
}

_D65 = (0.3127, 0.3290)
_ILLUMINANT_C = (0.310, 0.316)

# Chromaticities of ITU-T H.273, table 2.
PRIMARIES: dict[str, tuple[float, ...]] = {
    "bt709": REC709_CHROMATICITIES,
    "bt470m": (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_ILLUMINANT_C),
    "bt470bg": (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    "smpte170m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    "smpte240m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    "film": (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_ILLUMINANT_C),
    "bt2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    "smpte428": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    "smpte431": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    "smpte432": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    "ebu3213": (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}

# Kr and Kb of ITU-T H.273, table 4.
YUV_WEIGHTS: dict[str, tuple[float, float]] = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}


def _xy_to_xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def rgb_to_xyz_matrix(chromaticities: tuple[float, ...]) -> np.ndarray:
    """(3, 3) float64 matrix from linear RGB with these chromaticities (red, green, blue, white; x, y each) to
    CIE XYZ.

    RGB (1, 1, 1) maps to the white point with Y = 1 (SMPTE RP 177). Raises `ValueError` for chromaticities
    that span no triangle.
    """
    red, green, blue, white = np.asarray(chromaticities, np.float64).reshape(4, 2)
    primaries = np.stack([[x, y, 1 - x - y] for x, y in (red, green, blue)], axis=1)
    if not np.isfinite(primaries).all() or abs(np.linalg.det(primaries)) < 1e-6 or white[1] <= 0:
        raise ValueError("chromaticities span no triangle")
    return primaries * np.linalg.solve(primaries, _xy_to_xyz(*white))


def adaptation_matrix(source_white: np.ndarray, target_white: np.ndarray) -> np.ndarray:
    """(3, 3) float64 Bradford adaptation of XYZ colours between two whites, each (3,) XYZ."""
    scale = (_BRADFORD @ target_white) / (_BRADFORD @ source_white)
    return np.linalg.solve(_BRADFORD, scale[:, None] * _BRADFORD)


@lru_cache(maxsize=64)
def _cached_rec709_matrix(chromaticities: tuple[float, ...]) -> np.ndarray:
    adapt = adaptation_matrix(_xy_to_xyz(*chromaticities[6:]), _xy_to_xyz(*_D65))
    matrix = np.linalg.solve(rgb_to_xyz_matrix(REC709_CHROMATICITIES), adapt @ rgb_to_xyz_matrix(chromaticities))
    matrix.flags.writeable = False
    return matrix


def to_rec709_matrix(chromaticities: tuple[float, ...]) -> np.ndarray:
    """(3, 3) float64 matrix from linear RGB with these chromaticities to linear Rec.709, whites adapted
    (Bradford).

    `pixels @ matrix.T` converts. Raises `ValueError` for chromaticities that span no triangle.
    """
    return _cached_rec709_matrix(tuple(float(v) for v in chromaticities))


def xyz_d50_to_rec709_matrix() -> np.ndarray:
    """(3, 3) float64 matrix from XYZ relative to D50, the connection space of ICC profiles, to linear
    Rec.709.
    """
    d50 = np.array([0.9642, 1.0, 0.8249])
    return np.linalg.solve(rgb_to_xyz_matrix(REC709_CHROMATICITIES), adaptation_matrix(d50, _xy_to_xyz(*_D65)))


def is_identity(matrix: np.ndarray, tolerance: float = 2e-3) -> bool:
    """Whether a colour matrix changes nothing that rounded chromaticities could not."""
    return bool(np.abs(matrix - np.eye(3)).max() < tolerance)


def yuv_to_rgb_matrix(weights: tuple[float, float], limited: bool, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and offset (3,), float64: `rgb = matrix @ (y, u, v) + offset`, rgb in [0, 1], from codes
    of `bits` bits.

    ITU-T H.273, equations 38 to 49. `weights` are Kr and Kb; `limited` says that luma uses 16 to 235 (times
    2^(bits-8)).
    """
    kr, kb = weights
    kg = 1 - kr - kb
    unit = 2.0 ** (bits - 8)
    luma, chroma, black = (219 * unit, 224 * unit, 16 * unit) if limited else (2**bits - 1.0, 2**bits - 1.0, 0.0)
    matrix = np.array(
        [
            [1.0, 0.0, 2 * (1 - kr)],
            [1.0, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg],
            [1.0, 2 * (1 - kb), 0.0],
        ]
    ) / np.array([luma, chroma, chroma])
    return matrix, -matrix @ np.array([black, 128 * unit, 128 * unit])
