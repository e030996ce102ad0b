"""Linear frames as the codes of a video: BT.709, or BT.2020 with PQ or HLG; 8 bits, or more without a step in 8."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from intrinsic_flow.media.color import (
    HLG_PEAK,
    PQ_PEAK,
    PRIMARIES,
    YUV_WEIGHTS,
    hlg_display_to_scene,
    linear_to_bt709,
    linear_to_hlg,
    linear_to_pq,
    to_rec709_matrix,
    yuv_to_rgb_matrix,
)

Hdr = Literal["", "pq", "hlg"]
#: The brightest light that a video holds, where 1 is the reference white.
PEAKS: dict[Hdr, float] = {"": 1.0, "pq": PQ_PEAK, "hlg": HLG_PEAK}
# H.273's code points: matrix, transfer, primaries.
_TAGS: dict[Hdr, tuple[int, int, int]] = {
    "": (int(Colorspace.ITU709), int(ColorTrc.BT709), int(ColorPrimaries.BT709)),
    "pq": (int(Colorspace.BT2020), int(ColorTrc.SMPTE2084), int(ColorPrimaries.BT2020)),
    "hlg": (int(Colorspace.BT2020), int(ColorTrc.ARIB_STD_B67), int(ColorPrimaries.BT2020)),
}

_STRIP_PIXELS = 1 << 15

# The curves as tables over a root of light: in that domain they are nowhere steep, and 2^16 entries are within 0.01 of an
# 8-bit level of the exact camera curve over the square root, and of a 10-bit one of PQ and HLG over the fourth.
_STEPS = np.arange(65536) / 65535
_CURVE = linear_to_bt709(_STEPS**2)
_CODES_8 = np.rint(_CURVE * 255).astype(np.uint8)
_CODES_16 = (_CURVE * 65535).astype(np.float32)
# And the camera curve over the log of light, from e^-_NATS, of which no 8-bit code is left, to 1.
_NATS = 8
_PER_NAT = 65535 / _NATS
_CODES_OF_LOGS = np.rint(linear_to_bt709(np.exp(np.arange(65536) / _PER_NAT - _NATS)) * 255).astype(np.uint8)
_TO_BT2020 = np.linalg.inv(to_rec709_matrix(PRIMARIES["bt2020"])).astype(np.float32)


def tag(target: Any, hdr: Hdr) -> None:
    """Says in an encoder's context or a frame how its codes are to be read."""
    target.color_range = int(ColorRange.MPEG)
    target.colorspace, target.color_trc, target.color_primaries = _TAGS[hdr]


def codes_of_logs(logs: np.ndarray, less: np.ndarray | float, codes: np.ndarray) -> None:
    """Writes to `codes`, (n, W, 3) uint8, BT.709's codes of the light exp(logs - less). logs, less: (n, 3 W) float32,
    natural logs; in one pass, several times as fast as by the light itself, and a code apart from it in .4% of a photo."""
    if isinstance(less, np.ndarray):
        weights = (logs, _PER_NAT, less, -_PER_NAT, 65535.0)
    else:
        weights = (logs, _PER_NAT, logs, 0.0, 65535.0 - less * _PER_NAT)
    steps = cv2.addWeighted(*weights, dtype=cv2.CV_16U)
    cv2.LUT(steps, _CODES_OF_LOGS, codes.reshape(steps.shape))


def coded_frame(pixels: np.ndarray, layout: str, alpha: np.ndarray | None = None, hdr: Hdr = "") -> av.VideoFrame:
    """Linear (H, W, 3), and alpha (H, W) for layouts that have it -> a frame of FFmpeg's planar YUV format `layout`,
    limited range. hdr: needs a layout of more than 8 bits. For 8 bits `pixels` may be BT.709's codes, uint8."""
    if not layout.endswith("le"):
        return _encode_8bit(pixels, layout, alpha)
    matrix = Colorspace.BT2020 if hdr else Colorspace.ITU709
    planes = _encode_deep(pixels, hdr)
    if layout.startswith(("yuv444p", "yuva444p")):
        bits = int(layout.split("444p")[1][:-2])
        shift = np.float32(2.0 ** (bits - 16))
        codes = [np.rint(plane * shift) for plane in planes]
        if layout.startswith("yuva"):
            top = np.float32(2**bits - 1)
            codes.append(np.full(pixels.shape[:2], top) if alpha is None else np.rint(np.clip(alpha, 0, 1) * top))
        frame = _planar(codes, layout, 2**bits - 1)
    else:
        frame = _planar([np.rint(plane) for plane in planes], "yuv444p16le", 65535).reformat(
            format=layout,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        )
    tag(frame, hdr)
    return frame


def with_aspect(frame: av.VideoFrame, aspect: Fraction) -> av.VideoFrame:
    """The frame with this pixel aspect ratio, which PyAV lets only a filter set."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    ratio = graph.add("setsar", f"{aspect.numerator}/{aspect.denominator}")
    source.link_to(ratio)
    ratio.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    changed = graph.pull()
    assert isinstance(changed, av.VideoFrame)
    return changed


def _encode_8bit(pixels: np.ndarray, layout: str, alpha: np.ndarray | None) -> av.VideoFrame:
    codes = pixels if pixels.dtype == np.uint8 else _encoded(pixels, _CODES_8)
    frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(
        format=layout,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_color_trc=ColorTrc.BT709,
        dst_color_primaries=ColorPrimaries.BT709,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
    )
    if layout.startswith("yuva"):
        plane = frame.planes[3]
        padded = np.full((plane.height, plane.line_size), 255, np.uint8)
        if alpha is not None:
            padded[:, : plane.width] = np.rint(np.clip(alpha, 0, 1) * 255)
        plane.update(memoryview(padded))  # type: ignore[arg-type]  # the stubs know no buffers but bytes
    return frame


def _encoded(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Linear RGB -> the table's codes, same shape; below 0 and NaN count as 0, above 1 as 1."""
    codes = np.empty(pixels.shape, table.dtype)
    # In strips that stay in the processor's cache; as one channel, because OpenCV applies a lone scalar to the first only.
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        strip = np.ascontiguousarray(pixels[top : top + rows], np.float32)
        root = cv2.sqrt(strip.reshape(len(strip), -1))
        np.minimum(root, np.float32(1), out=root)
        # OpenCV rounds in the same pass, and its conversion takes NaN, the root of what is below 0 too, to 0.
        steps = cv2.multiply(root, 65535.0, dtype=cv2.CV_16U)  # type: ignore[call-overload]  # the stubs know no scalars
        cv2.LUT(steps, table, codes[top : top + rows].reshape(steps.shape))
    return codes


def _encode_deep(pixels: np.ndarray, hdr: Hdr) -> list[np.ndarray]:
    """Linear RGB -> Y, Cb, Cr (H, W) float32 each, codes of 16 bits, limited range. Computed here: swscale's way from
    16-bit RGB is off by 3 levels of 10 bits."""
    if hdr:
        light = cv2.transform(np.nan_to_num(np.asarray(pixels, np.float32), posinf=PEAKS[hdr]), _TO_BT2020)
        light = np.clip(light, 0, np.float32(PEAKS[hdr]))
        if hdr == "hlg":
            light = hlg_display_to_scene(light)
        most = np.float32(PEAKS["pq"] if hdr == "pq" else 3.7743)
        # The fourth root: one here, one of the table's look-up.
        encoded = _encoded(np.sqrt(light / most), _hdr_codes(hdr, float(most)))
    else:
        encoded = _encoded(pixels, _CODES_16)
    to_rgb, _ = yuv_to_rgb_matrix(YUV_WEIGHTS["bt2020nc" if hdr else "bt709"], True, 16)
    black = np.array([16.0, 128.0, 128.0]) * 256
    matrix = np.column_stack([np.linalg.inv(to_rgb) / 65535, black]).astype(np.float32)
    return list(cv2.split(cv2.transform(encoded, matrix)))


@cache
def _hdr_codes(hdr: Hdr, most: float) -> np.ndarray:
    """(65536,) float32 codes of 16 bits over the fourth root of light / most."""
    curve = linear_to_pq if hdr == "pq" else linear_to_hlg
    return (curve(_STEPS**4 * most) * 65535).astype(np.float32)


def _planar(codes: list[np.ndarray], layout: str, top: int) -> av.VideoFrame:
    """Rounded float planes (H, W) as a frame of 16-bit words."""
    height, width = codes[0].shape
    frame = av.VideoFrame(width, height, layout)
    for plane, values in zip(frame.planes, codes, strict=True):
        padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        padded[:, :width] = np.clip(values, 0, top).astype(np.uint16)
        plane.update(memoryview(padded))  # type: ignore[arg-type]  # the stubs know no buffers but bytes
    return frame
