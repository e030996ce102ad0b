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
    """title: for messages. encoders: FFmpeg's names, best first. suffix: of the files. layouts: pixel formats for 8 bits
    and for more; of each the one for even sizes, and the one for odd sizes, which 4:2:0 cannot hold. alpha: those for 8
    bits and more that have it. deeper: for more than 10 bits, depth, format without and with alpha. options: of the
    encoder; quick: what differs where time counts more than size. crf: whether it has one. tag: what MP4 should call it,
    where players insist. reorder: by how many frames decoding may run ahead. least: width and height that there may be.
    """

    name: str
    title: str
    encoders: tuple[str, ...]
    suffix: str
    layouts: tuple[tuple[str, str], tuple[str, str]]
    options: tuple[tuple[str, str], ...] = ()
    quick: tuple[tuple[str, str], ...] = ()
    alpha: tuple[str, str] | None = None
    alpha_options: tuple[tuple[str, str], ...] = ()
    deeper: tuple[tuple[int, str, str], ...] = ()
    crf: bool = False
    tag: str = ""
    reorder: int = 0
    least: tuple[int, int] = (1, 1)

    def layout(self, width: int, height: int, bits: int, alpha: bool = False) -> str:
        """Pixel format for a size and depth."""
        deep = bits > 8
        for depth, plain, with_alpha in self.deeper if bits > 10 else ():
            if bits <= depth:
                return with_alpha if alpha else plain
        if alpha and self.alpha:
            return self.alpha[deep]
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
_CHROMA_422 = (("yuv422p10le", "yuv422p10le"), ("yuv422p10le", "yuv422p10le"))
_CHROMA_444 = (("yuv444p10le", "yuv444p10le"), ("yuv444p10le", "yuv444p10le"))
_FAST, _QUICK = (("preset", "veryfast"),), (("preset", "ultrafast"),)
_QUIET_X265 = (*_FAST, ("x265-params", "log-level=error"))
CODECS = {
    codec.name: codec
    for codec in (
        VideoCodec("h264", "H.264", ("libx264",), ".mp4", _CHROMA_420, _FAST, _QUICK, crf=True, reorder=2),
        VideoCodec("hevc", "HEVC", ("libx265",), ".mp4", _CHROMA_420, _QUIET_X265, _QUICK, crf=True, tag="hvc1", reorder=3),
        # Lossless, and no chroma is lost; every frame stands alone.
        VideoCodec(
            "ffv1",
            "FFV1",
            ("ffv1",),
            ".mkv",
            (("yuv444p", "yuv444p"), ("yuv444p10le", "yuv444p10le")),
            (("level", "3"),),
            alpha=("yuva444p", "yuva444p10le"),
            deeper=((12, "yuv444p12le", "yuva444p16le"), (16, "yuv444p16le", "yuva444p16le")),
        ),
        # 422 HQ.
        VideoCodec("prores", "ProRes", ("prores_ks",), ".mov", _CHROMA_422, (("profile", "3"), ("vendor", "apl0"))),
        VideoCodec(
            "prores4444",
            "ProRes 4444",
            ("prores_ks",),
            ".mov",
            _CHROMA_444,
            (("profile", "4"), ("vendor", "apl0")),
            alpha=("yuva444p10le", "yuva444p10le"),
            alpha_options=(("alpha_bits", "16"),),
        ),
        # MXF numbers its frames; DNxHR is not among it, because FFmpeg's writer aborts at sizes that are not those of TV.
        VideoCodec("prores-mxf", "ProRes", ("prores_ks",), ".mxf", _CHROMA_422, (("profile", "3"), ("vendor", "apl0"))),
        # HQX, and 444: 10 bits.
        VideoCodec("dnxhr", "DNxHR", ("dnxhd",), ".mov", _CHROMA_422, (("profile", "dnxhr_hqx"),), least=(256, 120)),
        VideoCodec("dnxhr444", "DNxHR 444", ("dnxhd",), ".mov", _CHROMA_444, (("profile", "dnxhr_444"),), least=(256, 120)),
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
