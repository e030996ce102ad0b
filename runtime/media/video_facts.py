"""What a video says beside its pictures: timecode, titles, alpha, HDR's static metadata."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
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

    def encoder_params(self, encoder: str) -> str:
        """The options of libx265 or libx264 that write it, empty where there is none or for another encoder."""
        names = {"libx265": ("master-display", "max-cll"), "libx264": ("mastering-display", "cll")}
        if encoder not in names:
            return ""
        (display, most_light), options = names[encoder], []
        if self.primaries and self.luminance:
            red, green, blue, white = (
                ",".join(str(round(v * 50000)) for v in self.primaries[at : at + 2]) for at in (0, 2, 4, 6)
            )
            least, most = (round(v * 10000) for v in self.luminance)
            options.append(f"{display}=G({green})B({blue})R({red})WP({white})L({most},{least})")
        if self.light:
            options.append(f"{most_light}={self.light[0]},{self.light[1]}")
        return ":".join(options)


@dataclass(frozen=True)
class Clock:
    """rate: frames a second. timecode: of a frame, as `Facts` has it; empty for none."""

    rate: Fraction | None = None
    timecode: str = ""

    def at(self, seconds: Fraction) -> Clock:
        """That of the frame so much later; without a timecode where SMPTE ST 12-1 has none for the rate."""
        if not self.rate or self.rate > 30 or not valid_timecode(self.timecode, self.rate):
            return Clock(self.rate)
        return Clock(self.rate, advance_timecode(self.timecode, round(seconds * self.rate), self.rate))


@dataclass(frozen=True)
class Chapter:
    """start, end: in seconds of the video's clock."""

    start: Fraction
    end: Fraction
    title: str


@dataclass(frozen=True)
class Facts:
    """alpha: frames have one. timecode: of the first frame, as 01:02:03:04 (; before the frames: drop frame), or empty.
    metadata: title and the like, by FFmpeg's names. transfer: "smpte2084" (PQ) or "hlg" where the video is HDR."""

    alpha: bool = False
    timecode: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    transfer: str = ""
    hdr: StaticHdr | None = None
    chapters: tuple[Chapter, ...] = ()


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


def timecode_from_bits(bits: int) -> str:
    """The text of SMPTE ST 12-1's 32 bits, as OpenEXR and DPX store them."""
    hours, minutes, seconds, frames = (
        10 * ((bits >> at + 4) & tens) + ((bits >> at) & 15) for at, tens in ((24, 3), (16, 7), (8, 7), (0, 3))
    )
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if bits & 64 else ':'}{frames:02d}"


def timecode_bits(text: str) -> int:
    """The 32 bits of a valid timecode of at most 40 frames a second."""
    match = _TIMECODE.fullmatch(text)
    assert match is not None
    bits = 0 if match[4] == ":" else 64
    for at, number in zip((24, 16, 8, 0), (int(match[n]) for n in (1, 2, 3, 5)), strict=True):
        bits |= (number // 10 << 4 | number % 10) << at
    return bits


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


def chapters_of(container: Any) -> tuple[Chapter, ...]:
    """The container's chapters that have a length."""
    found = []
    for chapter in container.chapters():
        base = chapter["time_base"]
        if base and chapter["end"] > chapter["start"]:
            title = chapter["metadata"].get("title", "")
            found.append(Chapter(chapter["start"] * base, chapter["end"] * base, title))
    return tuple(found)


def moved_chapters(chapters: Iterable[Chapter], origin: Fraction, end: Fraction | None) -> list[dict[str, Any]]:
    """What of them lies from `origin` to `end`, seconds of the source, as PyAV takes it, `origin` being 0."""
    moved: list[dict[str, Any]] = []
    for chapter in chapters:
        start, stop = max(chapter.start, origin), chapter.end if end is None else min(chapter.end, end)
        if start < stop:
            milliseconds = [round((time - origin) * 1000) for time in (start, stop)]
            moved.append({"id": len(moved) + 1, "start": milliseconds[0], "end": milliseconds[1],
                          "time_base": Fraction(1, 1000), "metadata": {"title": chapter.title}})  # fmt: skip
    return moved


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
