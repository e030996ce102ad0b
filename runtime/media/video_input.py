"""Opening videos: which stream is the video, its clock, and what a frame carries beside its pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.format import Flags as FormatFlags
from av.stream import Disposition

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.formats import describe_foreign, image_kind
from intrinsic_flow.media.input_file import read_start
from intrinsic_flow.media.video_formats import RawFormat

EXPECTED = "a video that FFmpeg decodes (MP4, MOV, MKV, WebM, AVI, MXF, ...)"
# What such a file lists would be opened in its place.
_PLAYLISTS = frozenset({"hls", "concat", "concatf", "dash", "imf", "applehttp", "sdp", "rtsp"})
_VIDEO_STARTS = (b"RIFF", b"\x1aE\xdf\xa3", b"\x06\x0e\x2b\x34", b"FLV\x01", b"OggS")


@cache
def _options() -> dict[str, str]:
    """Local files alone, no playlists; and no times that libavformat makes up where the container has none: it takes those
    of decoding for those of presentation."""
    formats = ",".join(sorted(av.formats_available - _PLAYLISTS))
    return {"protocol_whitelist": "file", "format_whitelist": formats, "fflags": "-genpts"}


def file_url(path: str | os.PathLike[str]) -> str:
    """A path as FFmpeg takes it for nothing else: `take:1.mp4` would be the protocol `take`."""
    return f"file:{os.fspath(path)}"


def open_file(path: Path, expected: str = EXPECTED) -> Any:
    """The file's container. Raises InputError, which says that `expected` was expected."""
    start = read_start(path, expected)
    kind = image_kind(start)
    if kind is not None:
        raise InputError(path, f"a {kind.upper()} image", expected)
    if start.startswith((b"#EXTM3U", b"ffconcat")):
        raise InputError(path, "a playlist", expected)
    try:
        return av.open(file_url(path), metadata_errors="replace", options=_options())
    except (av.error.FFmpegError, OSError) as error:
        container = start[4:8] in (b"ftyp", b"moov", b"mdat") or start.startswith(_VIDEO_STARTS)
        found = "a damaged or truncated video file" if container else describe_foreign(start)
        raise InputError(path, found, expected) from error


def open_stream(stream: BinaryIO, path: Path, raw: RawFormat | None) -> Any:
    """The container that comes through a pipe, called `path` in messages. Raises InputError."""
    try:
        if raw is None:
            return av.open(stream, metadata_errors="replace", options=_options())
        options = {"video_size": f"{raw.width}x{raw.height}", "pixel_format": raw.layout, "framerate": str(raw.rate)}
        return av.open(stream, format="rawvideo", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        expected = "Y4M or another video that FFmpeg reads without seeking" if raw is None else f"frames of {raw.layout}"
        raise InputError(
            path, f"data that cannot be read ({getattr(error, 'strerror', None) or error})", expected
        ) from error


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a picture that goes with the file: cover art, a thumbnail."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def choose_video(container: Any, path: Path) -> tuple[Any, str]:
    """The stream that FFmpeg takes for the main one, never a cover picture, and a note where there was a choice.

    Raises InputError where no video stream can be decoded."""
    videos = [stream for stream in container.streams.video if not is_cover(stream)]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
        cover = " and a cover picture" if container.streams.video else ""
        raise InputError(path, f"{', '.join(kinds) or 'no'} streams{cover}, no video", EXPECTED)
    known = [stream for stream in videos if stream.codec_context is not None]
    if not known:
        raise InputError(path, "a video in a codec that this FFmpeg cannot decode", EXPECTED)
    # A cover may also be an ordinary stream of one picture.
    moving = [stream for stream in known if stream.frames != 1] or known
    best = container.streams.best("video")
    chosen = next((stream for stream in moving if best is not None and stream.index == best.index), moving[0])
    if len(videos) == 1:
        return chosen, ""
    place = "first" if chosen is videos[0] else f"number {videos.index(chosen) + 1}"
    return chosen, f"{place} of {len(videos)} video streams read"


class Timeline:
    """Joins clocks that restart, as recordings put together out of MPEG streams have them, into one that only grows.

    As the ffmpeg program does (`ts_discontinuity_detect` in ffmpeg_demux.c): where decoding times jump by more than 10 s or
    fall back by more than 0.1 s, whatever stream shows it first, what follows is moved so that it goes on seamlessly.
    Only for containers whose clocks may do so. Every reader of one file has to show it the same packets.
    """

    _JUMP, _FALL = Fraction(10), Fraction(1, 10)

    def __init__(self, container: Any) -> None:
        self.may_restart = bool(container.format.flags & FormatFlags.ts_discont.value)
        #: How often a clock restarted so far.
        self.restarts = 0
        self._offset = Fraction(0)
        self._last: dict[int, tuple[Fraction, Fraction]] = {}
        self._newest: Fraction | None = None

    def streams(self, wanted: Iterable[Any], container: Any) -> list[Any]:
        """The streams that a reader of `wanted` has to demultiplex."""
        if not self.may_restart:
            return list(wanted)
        timed = [*container.streams.video, *container.streams.audio]
        return [stream for stream in timed if not (stream.type == "video" and is_cover(stream))]

    def place(self, packet: av.Packet) -> None:
        """Moves a packet's times onto the joined clock."""
        if not self.may_restart or packet.dts is None or packet.time_base is None:
            return
        base = packet.time_base
        time = packet.dts * base + self._offset
        last = self._last.get(packet.stream.index)
        expected = self._newest if last is None else last[1]
        if expected is not None and (
            abs(time - expected) > self._JUMP or (last is not None and time + self._FALL < last[0])
        ):
            self._offset += expected - time
            time = expected
            self.restarts += 1
        if self._offset:
            ticks = round(self._offset / base)
            packet.dts += ticks
            if packet.pts is not None:
                packet.pts += ticks
        self._last[packet.stream.index] = time, time + (packet.duration or 0) * base
        self._newest = time


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """What the frame carries, by FFmpeg's names, ICC profiles left out.

    PyAV up to 19.0 frees the frame's metadata twice where `frame.side_data` is touched and there is an ICC profile among it
    (`SideData.__init__` wraps a dictionary that the frame owns), so that a filter takes it away first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    clean = graph.add("sidedata", "mode=delete:type=ICC_PROFILE")
    source.link_to(clean)
    clean.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    # PyAV's type stubs take the container for a mapping's keys.
    sides: Any = graph.pull().side_data
    return {side.type.name: bytes(side) for side in sides}
