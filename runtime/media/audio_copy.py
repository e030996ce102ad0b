"""A video's sound, passed through into another file without being encoded again."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.video_input import Timeline, file_url, open_file

EXPECTED = "a file with sound that FFmpeg decodes (WAV, MKA, MP4, ...)"


class AudioCopy:
    """Copies the packets of a file's audio streams into another container, in step with the video."""

    def __init__(self, path: Path, output: Any, origin: Fraction = Fraction(0)) -> None:
        """origin: time of the source, in seconds, that becomes 0; what lies before it is left out. Raises InputError where
        the file has no sound."""
        self._output, self._origin = output, origin
        self._input = open_file(path, EXPECTED)
        if not self._input.streams.audio:
            self._input.close()
            raise InputError(path, "no sound", EXPECTED)
        self._outputs: dict[int, Any] = {}
        self._last: dict[int, tuple[int, int]] = {}
        self.notes: tuple[str, ...] = ()
        for stream in self._input.streams.audio:
            context = stream.codec_context
            if context is None:
                self.notes += ("audio in an unknown codec left out",)
            elif context.codec.canonical_name not in output.supported_codecs:
                self.notes += (f"{context.name} audio left out: {output.format.name} cannot hold it",)
            else:
                self._outputs[stream.index] = output.add_stream_from_template(stream)
        kept = [stream for stream in self._input.streams.audio if stream.index in self._outputs]
        self._timeline = Timeline(self._input)
        wanted = self._timeline.streams(kept, self._input) if kept else []
        self._packets = self._input.demux(*wanted) if wanted else iter(())
        self._next: av.Packet | None = self._advance()

    def _advance(self) -> av.Packet | None:
        # A cut file's audio ends where the file does; its video decides whether that is an error.
        with suppress(av.error.FFmpegError):
            for packet in self._packets:
                self._timeline.place(packet)
                if packet.dts is None or packet.stream.index not in self._outputs:
                    continue
                if self._origin:
                    shift = round(self._origin / packet.time_base)
                    if packet.dts < shift:
                        continue
                    packet.dts -= shift
                    packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                if self._in_order(packet):
                    return packet
        return None

    def _in_order(self, packet: av.Packet) -> bool:
        """Whether a packet is to be copied: where clocks were joined, two sounds may overlap, of which the first one stays.
        Times that do not grow, which no container takes, grow by a tick."""
        index, length = packet.stream.index, packet.duration or 0
        assert packet.dts is not None
        if index in self._last:
            last, end = self._last[index]
            if self._timeline.restarts and packet.dts + length // 2 < end:
                return False
            packet.dts = max(packet.dts, last + 1)
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._last[index] = packet.dts, packet.dts + length
        return True

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copies the packets up to this time; None: all that are left."""
        while (packet := self._next) is not None:
            if seconds is not None and packet.dts is not None and packet.dts * packet.time_base > seconds:
                return
            packet.stream = self._outputs[packet.stream.index]
            self._output.mux(packet)
            self._next = self._advance()

    def close(self) -> None:
        """Closes the source."""
        self._next = None
        self._input.close()


def add_sound(video: Path, sound: Path, target: Path) -> tuple[str, ...]:
    """Writes a finished video anew as `target`, nothing of it encoded again, with all of another file's audio; notes.
    Raises av.error.FFmpegError."""
    options = {"movflags": "+faststart"} if target.suffix.lower() in (".mp4", ".mov") else {}
    with av.open(file_url(video)) as finished, av.open(file_url(target), "w", options=options) as output:
        copied = output.add_stream_from_template(finished.streams.video[0])
        audio = AudioCopy(sound, output)
        try:
            for packet in finished.demux(finished.streams.video[0]):
                if packet.dts is not None:
                    audio.copy_until(packet.dts * packet.time_base)
                    packet.stream = copied
                    output.mux(packet)
            audio.copy_until(None)
        finally:
            audio.close()
        return audio.notes


def write_audio(source: Path, target: Path, origin: Fraction, end: Fraction | None) -> tuple[str, ...]:
    """Copies a file's audio, from `origin` to `end` seconds, into one of its own (Matroska holds every codec), which
    does not appear where there is no sound; notes."""
    with av.open(file_url(target), "w", format="matroska") as output:
        audio = AudioCopy(source, output, origin)
        try:
            audio.copy_until(None if end is None else end - origin)
        finally:
            audio.close()
        return audio.notes
