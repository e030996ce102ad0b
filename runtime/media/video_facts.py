"""What a video says beside its pictures: timecode, titles, alpha, HDR's static metadata."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")
# What belongs to a container as it was written, not to what it holds.
_OF_CONTAINER = re.compile(
    r"(major_brand|minor_version|compatible_brands|encoder|timecode|duration|uid|generation_uid|.*_umid|product_.*|"
    r"company_name|toolkit_version|application_platform|modification_date|operational_pattern_ul|.*_uid)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class StaticHdr:
    """HDR10's static metadata. primaries: x, y of red, green, blue and white; luminance: least and most of the mastering
    display, cd/m2 (SMPTE ST 2086); light: MaxCLL and MaxFALL, cd/m2 (CTA-861.3). None: not stated."""

    primaries: tuple[Fraction, ...] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    light: tuple[int, int] | None = None

    def x265_params(self) -> str:
        """The options of x265 that write it, empty where there is none."""
        options = []
        if self.primaries and self.luminance:
            red, green, blue, white = (
                ",".join(str(round(v * 50000)) for v in self.primaries[at : at + 2]) for at in (0, 2, 4, 6)
            )
            least, most = (round(v * 10000) for v in self.luminance)
            options.append(f"master-display=G({green})B({blue})R({red})WP({white})L({most},{least})")
        if self.light:
            options.append(f"max-cll={self.light[0]},{self.light[1]}")
        return ":".join(options)


@dataclass(frozen=True)
class Facts:
    """alpha: frames have one. timecode: of the first frame, as 01:02:03:04 (; before the frames: drop frame), or empty.
    metadata: title and the like, by FFmpeg's names. transfer: "smpte2084" (PQ) or "hlg" where the video is HDR."""

    alpha: bool = False
    timecode: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    transfer: str = ""
    hdr: StaticHdr | None = None


def valid_timecode(text: str, rate: Fraction | None) -> bool:
    """Whether it is a time of day whose frame number exists at this rate (SMPTE ST 12-1)."""
    match = _TIMECODE.fullmatch(text)
    if not match or not rate:
        return False
    hours, minutes, seconds, frames = (int(match[n]) for n in (1, 2, 3, 5))
    dropped = match[4] != ":" and seconds == 0 and minutes % 10 and frames < round(rate) // 15
    return hours < 24 and minutes < 60 and seconds < 60 and frames < round(rate) and not dropped


def advance_timecode(text: str, frames: int, rate: Fraction) -> str:
    """A valid timecode, so many frames later; drop-frame counting leaves out 2 (at 60: 4) numbers a minute, not each
    tenth."""
    match = _TIMECODE.fullmatch(text)
    assert match is not None
    second = round(rate)
    hours, minutes, seconds, number = (int(match[n]) for n in (1, 2, 3, 5))
    total_minutes = 60 * hours + minutes
    drop = second // 15 if match[4] != ":" else 0
    count = (60 * total_minutes + seconds) * second + number - drop * (total_minutes - total_minutes // 10) + frames
    minute, ten = 60 * second - drop, 600 * second - 9 * drop
    count %= 144 * ten
    if drop:
        tens, rest = divmod(count, ten)
        count += drop * 9 * tens + (drop * ((rest - drop) // minute) if rest >= drop else 0)
    seconds, number = divmod(count, second)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{match[4]}{number:02d}"


def timecode_of(container: Any, stream: Any, rate: Fraction | None) -> tuple[str, str]:
    """The timecode (MOV and MP4 have it at the stream, MXF at the container, Matroska as TIMECODE) and a note where it is
    none."""
    places = (stream.metadata, container.metadata, *(other.metadata for other in container.streams))
    text = next((tags[name] for tags in places for name in ("timecode", "TIMECODE") if tags.get(name)), "")
    if not text or valid_timecode(text, rate):
        return text, ""
    return "", f"timecode {text[:20]!r} left out: there is none such"


def metadata_of(container: Any) -> dict[str, str]:
    """Title, author and the like."""
    return {name: text for name, text in container.metadata.items() if not _OF_CONTAINER.fullmatch(name)}


def static_hdr(sides: Mapping[str, bytes]) -> StaticHdr | None:
    """From a frame's side data: AVMasteringDisplayMetadata and AVContentLightMetadata of libavutil."""
    primaries = luminance = light = None
    data = sides.get("MASTERING_DISPLAY_METADATA", b"")
    if len(data) >= 88:
        numbers = struct.unpack_from("22i", data)
        values = [Fraction(a, b or 1) for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
        if numbers[20]:
            primaries = tuple(values[:8])
        if numbers[21]:
            luminance = values[8], values[9]
    data = sides.get("CONTENT_LIGHT_LEVEL", b"")
    if len(data) >= 8:
        most, average = struct.unpack_from("2I", data)
        light = (most, average)
    return StaticHdr(primaries, luminance, light) if primaries or luminance or light else None
