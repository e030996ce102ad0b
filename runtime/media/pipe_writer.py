"""Frames to a pipe, for another program: Y4M, or bare RGB."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO, Literal

import numpy as np

from intrinsic_flow.media.color import linear_to_bt709

PipeFormat = Literal["y4m", "rgb24", "rgb48le"]


class PipeWriter:
    """Writes linear frames to an open binary stream, which stays open.

    y4m: 8-bit YUV 4:4:4, BT.709 matrix, limited range; rgb24 and rgb48le: interleaved full-range RGB, nothing else. All are
    encoded with the BT.709 camera curve and clipped to [0, 1].
    """

    def __init__(self, stream: BinaryIO, width: int, height: int, rate: Fraction, format: PipeFormat = "y4m") -> None:
        self._stream, self.format = stream, format
        self.width, self.height, self.frames = width, height, 0
        if format == "y4m":
            header = f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C444 XCOLORRANGE=LIMITED\n"
            stream.write(header.encode())

    def write(self, pixels: np.ndarray) -> None:
        """Writes one frame, (height, width, 3) float32 linear. Raises BrokenPipeError where nobody reads any more."""
        if self.format == "y4m":
            from intrinsic_flow.media.video_encoding import coded_frame

            frame = coded_frame(pixels, "yuv444p")
            self._stream.write(b"FRAME\n")
            self._stream.write(frame.to_ndarray().tobytes())
        else:
            top, kind = (255, "u1") if self.format == "rgb24" else (65535, "<u2")
            encoded = linear_to_bt709(np.clip(np.nan_to_num(pixels, nan=0.0), 0, 1))
            self._stream.write(np.rint(encoded * top).astype(kind).tobytes())
        self.frames += 1

    def close(self) -> None:
        """Flushes; the stream belongs to the caller."""
        self._stream.flush()
