"""Videos out: linear frames as one file, with exact timestamps, colour tags and the source's audio."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.codec.context import Flags

from intrinsic_flow.media.atomic_file import temporary_name
from intrinsic_flow.media.audio_copy import AudioCopy
from intrinsic_flow.media.video_encoding import Hdr, coded_frame, tag, with_aspect
from intrinsic_flow.media.video_facts import Facts, advance_timecode, moved_chapters, valid_timecode
from intrinsic_flow.media.video_formats import CODECS, VideoCodec
from intrinsic_flow.media.video_input import file_url

if TYPE_CHECKING:
    from intrinsic_flow.media.frames import VideoSource

#: The encoder starts anew after so many frames, so that a run that goes on there writes what an uninterrupted one does.
#: H.264's key frames lie about as far apart in any case.
CHUNK_FRAMES = 256


class VideoWriter:
    """Writes linear frames as one video under `path`, which appears when `close` has completed it.

    `source` gives timestamps' time base, frame rate, bit depth, pixel aspect ratio and audio (passed through,
    not encoded again); without one, `frame_rate` is needed. Frames are clipped to [0, 1], encoded with the
    BT.709 camera curve and tagged BT.709, limited range. Even sizes are stored as yuv420p in H.264 and HEVC, odd ones,
    which 4:2:0 cannot hold, as yuv444p; sources of more than 8 bits in 10 bits. MP4 and MOV keep every timestamp;
    Matroska rounds to milliseconds. As a context manager it completes the file, or removes it where the block
    raises.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        source: VideoSource | None,
        width: int,
        height: int,
        *,
        frame_rate: Fraction | None = None,
        bit_depth: int | None = None,
        codec: str = "h264",
        crf: float = 16,
        audio: bool = True,
        origin: Fraction = Fraction(0),
        end: Fraction | None = None,
        resume: tuple[Path, int] | None = None,
        alpha: bool | None = None,
        hdr: Hdr = "",
        sound: Path | None = None,
        quick: bool = False,
    ) -> None:
        """codec: one of `intrinsic_flow.media.video_formats.CODECS`; crf: quality where the codec has one, lower is better.

        origin: time in the source, in seconds, that becomes the file's 0; audio before it is left out. end: time in the
        source at which the file ends, None for the source's own end; for chapters.
        resume: a file of an interrupted run of this writer, and how many of its frames to take over from it, a multiple of
        CHUNK_FRAMES. alpha: frames have it, by default where those of the source do; `alpha` then says whether the codec
        does too. hdr: BT.2020 with PQ or HLG, where 1 is 203 cd/m2, instead of BT.709. sound: a file whose audio goes in,
        instead of the source's. quick: a larger file in less time. Raises OSError where FFmpeg cannot write such a file,
        ValueError for an unknown codec.
        """
        if source is None and frame_rate is None:
            raise ValueError("without a source, frame_rate is needed")
        if codec not in CODECS:
            raise ValueError(f"codec {codec!r}, expected one of {', '.join(CODECS)}")
        self.path = Path(path)
        self.width, self.height = width, height
        self.notes: tuple[str, ...] = ()
        self._rate = frame_rate or (source.average_rate if source else None) or Fraction(25)
        self._time_base = source.time_base if source and frame_rate is None else _fine_time_base(self._rate)
        self._codec, self._crf, self._source, self._origin = CODECS[codec], crf, source, origin
        self._quick = quick
        bits = bit_depth or (source.bit_depth if source else 8)
        facts = Facts() if source is None else source.facts
        #: Whether frames are written with their alpha.
        self.alpha = bool((facts.alpha if alpha is None else alpha) and self._codec.alpha)
        self._hdr: Hdr = hdr
        self._static = facts.hdr.encoder_params(self._codec.encoder) if hdr and facts.hdr else ""
        self._end = end
        self._layout = self._codec.layout(width, height, max(bits, 10) if hdr else bits, self.alpha)
        self._aspect = Fraction(1) if source is None else source.sample_aspect_ratio
        self._encoder_name = self._codec.encoder
        self._encoder: Any = None
        #: Frames in the file so far.
        self.frames = 0
        self._last_tick: int | None = None
        # Presentation times of frames whose packets have no decoding time yet.
        self._ticks: deque[int] = deque()
        self._temporary = temporary_name(self.path)
        self._container: Any = None
        self._audio: AudioCopy | None = None
        self._open = True
        self._sound = sound or (source.path if source is not None and source.audio_streams else None)
        with_audio = audio and self._sound is not None
        try:
            try:
                self._start(with_audio)
            except av.error.FFmpegError:
                if not with_audio:
                    raise
                self._discard()
                self._start(False)
                self.notes = ("audio left out: it cannot be passed through",)
            if self._aspect != 1 and self.path.suffix.lower() == ".mkv":
                self.notes += (f"pixel aspect ratio {self._aspect} is in the frames alone: Matroska is not given one here",)
            if hdr and facts.hdr and not self._static:
                self.notes += ("HDR's static metadata left out: only --codec hevc and h264 take it",)
            if resume is not None:
                self._take_over(*resume)
        except av.error.FFmpegError as error:
            self.abort()
            size = f"{width}x{height} pixels at {float(self._rate):g} frames a second"
            (least, lowest), why = self._codec.least, error.strerror
            if width < least or height < lowest:
                why = f"it has at least {least}x{lowest} pixels"
            reason = f"no {self._codec.title} video of {size} can be written here ({why})"
            raise OSError(f"{self.path}: {reason}") from error
        except BaseException:
            self.abort()
            raise

    def _start(self, audio: bool) -> None:
        """Opens the temporary file and writes its header, so that what cannot be written fails at once."""
        # The index goes to the front, so that a browser can start to play at once.
        options = {"movflags": "+faststart"} if self.path.suffix.lower() in (".mp4", ".mov", ".m4v") else {}
        self._container = av.open(file_url(self._temporary), "w", options=options)
        self._stream = self._container.add_stream(self._encoder_name, rate=self._rate, options=self._options())
        # Where the container has its headers in one place, the stream's context knows; the chunks' encoders have to agree.
        self._flags = self._stream.codec_context.flags | int(Flags.frame_duration)
        self._set_up(self._stream.codec_context)
        if self._codec.tag and self.path.suffix.lower() in (".mp4", ".mov", ".m4v"):
            self._stream.codec_context.codec_tag = self._codec.tag
        self._stream.time_base = self._time_base
        if self._source is not None:
            self._describe(self._source.facts)
        if audio and self._sound is not None:
            self._audio = AudioCopy(self._sound, self._container, self._origin)
            self.notes = self._audio.notes
        self._container.start_encoding()

    def _options(self) -> dict[str, str]:
        return _options(self._codec, self._crf, self.alpha, self._static, self._quick)

    def _describe(self, facts: Facts) -> None:
        """Title and the like, and the timecode of the first frame."""
        self._container.metadata.update(facts.metadata)
        chapters = moved_chapters(facts.chapters, self._origin, self._end)
        if chapters and self.path.suffix.lower() != ".mxf":
            self._container.set_chapters(chapters)
        if facts.timecode and valid_timecode(facts.timecode, self._rate):
            text = advance_timecode(facts.timecode, round(self._origin * self._rate), self._rate)
            place = self._container if self.path.suffix.lower() == ".mkv" else self._stream
            place.metadata["timecode"] = text

    def _set_up(self, context: Any) -> None:
        context.width, context.height = self.width, self.height
        context.pix_fmt = self._layout
        context.framerate, context.time_base = self._rate, self._time_base
        tag(context, self._hdr)
        if self._source is not None:
            context.sample_aspect_ratio = self._source.sample_aspect_ratio
        # Without frame_duration the encoder drops durations, and with them how long the last picture is seen (MP4
        # has no place for it where that picture is not the last one coded).
        context.flags = self._flags

    def _take_over(self, path: Path, frames: int) -> None:
        """Copies the first frames of an earlier file: chunks are closed, so they are its first packets."""
        times: list[int] = []
        with av.open(file_url(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                if self.frames == frames:
                    break
                if packet.size:
                    copy = av.Packet(_start_codes(bytes(packet)) if self._codec.crf else bytes(packet))
                    if packet.pts is None or packet.dts is None:
                        raise OSError(f"{path}: found a frame without a time, expected a file of an interrupted run")
                    unit = packet.time_base / self._time_base
                    pts, duration = round(packet.pts * unit), round((packet.duration or 0) * unit)
                    copy.pts, copy.dts, copy.duration = pts, round(packet.dts * unit), duration
                    copy.time_base, copy.is_keyframe = self._time_base, packet.is_keyframe
                    self._last_tick = pts if self._last_tick is None else max(pts, self._last_tick)
                    self._mux_one(copy)
                    times.append(pts)
                    self.frames += 1
                    if self._audio:
                        self._audio.copy_until(self._last_tick * self._time_base)
        self._ticks.extend(sorted(times)[max(0, frames - self._codec.reorder) :])
        if self.frames < frames:
            raise OSError(f"{path}: found {self.frames} frames of an interrupted run, expected {frames}")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def takes_codes(self) -> bool:
        """Whether `write` takes BT.709's codes too, (height, width, 3) uint8."""
        return not self._layout.endswith("le")

    def write(
        self, pixels: np.ndarray, pts: Fraction, duration: Fraction | None = None, alpha: np.ndarray | None = None
    ) -> None:
        """Adds a frame (height, width, 3) of linear Rec.709, and its alpha (height, width) where this writes one, at `pts`
        seconds of the source; times have to grow."""
        if pixels.shape != (self.height, self.width, 3):
            raise ValueError(f"frame of shape {pixels.shape}, expected {(self.height, self.width, 3)}")
        if self._encoder is None or self.frames % CHUNK_FRAMES == 0:
            self._next_encoder()
        seconds = pts - self._origin
        frame = coded_frame(pixels, self._layout, alpha, self._hdr)
        if self._aspect != 1 and self.path.suffix.lower() == ".mkv":
            frame = with_aspect(frame, self._aspect)
        tick = round(seconds / self._time_base)
        if self._last_tick is not None:
            tick = max(tick, self._last_tick + 1)
        if not self.frames:
            # Decoding runs ahead of presentation by as many frames as the codec reorders.
            step = max(1, round(1 / (self._rate * self._time_base)))
            self._ticks.extend(tick - step * ahead for ahead in range(self._codec.reorder, 0, -1))
        if self.path.suffix.lower() == ".mxf" and self._last_tick is not None:
            frames = (tick - self._last_tick) * self._time_base * self._rate
            lost = "MXF numbers its frames: times of a changing rate are lost"
            if abs(frames - 1) > Fraction(1, 10) and lost not in self.notes:
                self.notes += (lost,)
        self._last_tick = tick
        self._ticks.append(tick)
        frame.pts, frame.time_base = tick, self._time_base
        if duration:
            frame.duration = round(duration / self._time_base)
        self._mux(self._encoder.encode(frame))
        self.frames += 1
        if self._audio:
            self._audio.copy_until(seconds)

    def _next_encoder(self) -> None:
        if self._encoder is not None:
            self._mux(self._encoder.encode(None))
        self._encoder = av.CodecContext.create(self._encoder_name, "w")
        self._encoder.options = self._options()
        self._set_up(self._encoder)

    def close(self) -> None:
        """Completes the file and moves it to its final name. Without a frame there is no file: raises
        `ValueError`.
        """
        if not self._open:
            return
        if not self.frames:
            self.abort()
            raise ValueError(f"{self.path}: no frame was written")
        try:
            if self._encoder is not None:
                self._mux(self._encoder.encode(None))
            if self._audio and self._last_tick is not None:
                last = self._last_tick * self._time_base
                self._audio.copy_until(None if self._whole else last)
                self._audio.close()
            self._container.close()
            os.replace(self._temporary, self.path)
        except BaseException:
            self.abort()
            raise
        self._open = False

    #: Whether the video runs to the source's end, and audio with it.
    _whole = True

    def stop_audio_here(self) -> None:
        """Leaves out the audio after the last frame: the video ends before its source does."""
        self._whole = False

    def abort(self) -> None:
        """Removes what was written; nothing appears under the final name."""
        if not self._open:
            return
        self._open = False
        self._discard()

    def _discard(self) -> None:
        if self._audio:
            self._audio.close()
            self._audio = None
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()
        with suppress(OSError):
            self._temporary.unlink()

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            # Its own, because an encoder that starts anew may begin its decoding times before the last one's end.
            packet.dts = self._ticks.popleft()
            self._mux_one(packet)

    def _mux_one(self, packet: av.Packet) -> None:
        packet.stream = self._stream
        self._container.mux(packet)


def _options(codec: VideoCodec, crf: float, alpha: bool, static: str, quick: bool) -> dict[str, str]:
    """static: x265's or x264's options for HDR's static metadata."""
    options = {
        **dict(codec.options),
        **(dict(codec.alpha_options) if alpha else {}),
        **(dict(codec.quick) if quick else {}),
    }
    if codec.crf:
        options["crf"] = f"{crf:g}"
    if static and codec.name == "hevc":
        options["x265-params"] = f"{options['x265-params']}:hdr10=1:repeat-headers=1:{static}"
    elif static:
        options["x264-params"] = static
    return options


def _start_codes(packet: bytes) -> bytes:
    """H.264 and HEVC from MP4, units after their length in four bytes -> as encoders give it, units after start codes."""
    units, place = [], 0
    while place < len(packet):
        size = int.from_bytes(packet[place : place + 4], "big")
        units.append(packet[place + 4 : place + 4 + size])
        place += 4 + size
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def _fine_time_base(rate: Fraction) -> Fraction:
    """A time base that holds the frame times of a constant rate exactly and has room for others."""
    scale = max(1, -(-10000 // rate.numerator))
    return Fraction(1, rate.numerator * scale)
