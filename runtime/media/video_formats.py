"""The codecs that videos can be written in, and bare frames. Loads no codec library: planning a run needs only this."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache


@dataclass(frozen=True)
class RawFormat:
    """Bare frames one after another: width, height in pixels, layout in FFmpeg's names (rgb24, rgb48le, yuv420p, ...)."""

    width: int
    height: int
    layout: str = "rgb24"
    rate: Fraction = Fraction(25)


@dataclass(frozen=True)
class VideoCodec:
    """encoders: FFmpeg's names, best first. suffix: of the files. layouts: pixel formats for 8 bits and for more; of each
    the one for even sizes, and the one for odd sizes, which 4:2:0 cannot hold. options: of the encoder; crf: whether it has
    one. tag: what MP4 should call it, where players insist. reorder: by how many frames decoding may run ahead.
    """

    name: str
    encoders: tuple[str, ...]
    suffix: str
    layouts: tuple[tuple[str, str], tuple[str, str]]
    options: tuple[tuple[str, str], ...] = ()
    crf: bool = False
    tag: str = ""
    reorder: int = 0

    def layout(self, width: int, height: int, deep: bool) -> str:
        """Pixel format for a size and depth."""
        even = width % 2 == 0 and height % 2 == 0
        return self.layouts[deep][0 if even else 1]

    @property
    def encoder(self) -> str:
        """The first encoder that this build has. Raises ValueError."""
        for name in self.encoders:
            if _has(name):
                return name
        raise ValueError(f"codec {self.name}: this build of FFmpeg has no {' or '.join(self.encoders)}")


_CHROMA_420 = (("yuv420p", "yuv444p"), ("yuv420p10le", "yuv444p10le"))
CODECS = {
    codec.name: codec
    for codec in (
        VideoCodec("h264", ("libx264",), ".mp4", _CHROMA_420, (("preset", "veryfast"),), crf=True, reorder=2),
        VideoCodec(
            "hevc",
            ("libx265",),
            ".mp4",
            _CHROMA_420,
            (("preset", "veryfast"), ("x265-params", "log-level=error")),
            crf=True,
            tag="hvc1",
            reorder=3,
        ),
        # Lossless, and no chroma is lost; every frame stands alone.
        VideoCodec("ffv1", ("ffv1",), ".mkv", (("yuv444p", "yuv444p"), ("yuv444p10le", "yuv444p10le")), (("level", "3"),)),
        # 4444: the chroma is kept, and any size can be written.
        VideoCodec(
            "prores",
            ("prores_ks", "prores"),
            ".mov",
            (("yuv444p10le", "yuv444p10le"), ("yuv444p10le", "yuv444p10le")),
            (("profile", "4"), ("vendor", "apl0")),
        ),
    )
}


@cache
def _has(encoder: str) -> bool:
    import av

    try:
        av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True
