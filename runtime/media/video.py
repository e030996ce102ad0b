"""Videos in, as float32 linear Rec.709, with exact timestamps, through PyAV (FFmpeg).

Rotation, colour matrix, range, transfer and primaries are honoured.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import (
    PRIMARIES,
    TRANSFER_DECODERS,
    YUV_WEIGHTS,
    hlg_scene_to_display,
    is_identity,
    to_rec709_matrix,
    yuv_to_rgb_matrix,
)
from intrinsic_flow.media.color_tags import png_profile
from intrinsic_flow.media.formats import VIDEO_SUFFIXES
from intrinsic_flow.media.frames import Frame, ReadOnce, VideoSource, no_frame
from intrinsic_flow.media.icc import MatrixProfile, parse_matrix_profile, profile_name
from intrinsic_flow.media.plate import Plate, Window
from intrinsic_flow.media.video_facts import Facts, chapters_of, metadata_of, static_hdr, timecode_of
from intrinsic_flow.media.video_formats import RawFormat
from intrinsic_flow.media.video_input import EXPECTED, Timeline, choose_video, open_file, open_stream, side_data

__all__ = ["VIDEO_SUFFIXES", "ColorTags", "Frame", "VideoReader", "VideoSource"]

MAX_FRAME_PIXELS = 1 << 26
# Frames a second: more are a slip of whoever stated them, unless the frames' times are so close.
_MOST_RATE = 1000
# By how many pictures decoding may run ahead of those that are shown, in MPEG-2.
_REORDERED = 3

# ITU-T H.273 code points by the names that ffprobe prints.
_MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
             10: "bt2020c", 14: "ictcp"}  # fmt: skip
_TRANSFERS = {1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100",
              10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "srgb", 14: "bt2020-10", 15: "bt2020-12",
              16: "smpte2084", 17: "smpte428", 18: "hlg"}  # fmt: skip
_PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
              10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213"}  # fmt: skip
_SWSCALE_MATRICES = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt470bg": Colorspace.ITU601,
    "smpte170m": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
}


@dataclass(frozen=True)
class ColorTags:
    """How a video's codes are to be read, in ffprobe's names; `guessed` lists the fields that the file does
    not state.
    """

    matrix: str
    range: Literal["limited", "full"]
    transfer: str
    primaries: str
    guessed: tuple[str, ...] = ()


class VideoReader(ReadOnce):
    """Iterates once over the frames of a file's first video stream; a context manager.

    `colorspace` "auto" decodes with the tagged transfer function (BT.709's where none is tagged, as the
    inverse of the camera curve), "srgb" and "linear" force one. An untagged matrix is BT.709 from 1280 pixels
    of width or above 576 lines, else BT.601. PQ and HLG become the light of their display (HLG's: 1000 cd/m2), where 1 is
    the reference white of BT.2408, 203 cd/m2.

    Raises `InputError` on opening for anything that has no decodable video, and while iterating where the
    stream breaks off: after the frames before that point were yielded.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | BinaryIO | av.container.InputContainer,
        colorspace: Literal["auto", "srgb", "linear"] = "auto",
        *,
        name: str = "-",
        raw: RawFormat | None = None,
        deinterlace: bool = False,
        plates: bool = False,
    ) -> None:
        """path: a file; or an open container, or a binary stream, called `name` in messages: Y4M, anything else that FFmpeg
        reads without seeking, or bare frames as `raw` describes them. deinterlace: interlaced frames become whole ones by
        FFmpeg's bwdif, one for one. plates: frames of other primaries than Rec.709's have these values as a `Plate` too,
        for OpenEXR outputs.
        """
        if colorspace not in ("auto", "srgb", "linear"):
            raise ValueError(f"colorspace {colorspace!r}, expected auto, srgb or linear")
        self.notes: tuple[str, ...] = ()
        self._deinterlace, self._plates = deinterlace, plates
        self._reopen = isinstance(path, (str, os.PathLike))
        self._before: dict[float, int] = {}
        if isinstance(path, (str, os.PathLike)):
            self.path = Path(path)
            self._container = open_file(self.path)
        elif isinstance(path, av.container.InputContainer):
            self.path, self._container = Path(name), path
        else:
            self.path = Path(name)
            self._container = open_stream(path, self.path, raw)
        try:
            self._start(colorspace)
        except BaseException:
            self._container.close()
            raise

    def _start(self, colorspace: str) -> None:
        self._stream, choice = choose_video(self._container, self.path)
        context = self._stream.codec_context
        if context.width * context.height > MAX_FRAME_PIXELS:
            found = f"frames of {context.width}x{context.height} pixels"
            raise InputError(self.path, found, f"at most {MAX_FRAME_PIXELS / 1e6:.0f} megapixels a frame")
        self._stream.thread_type = "AUTO"
        self._packets = 0
        self._last_packet_corrupt = False
        self._timeline = Timeline(self._container)
        self._last_damaged: deque[bool] = deque(maxlen=_REORDERED)
        self._damage = ""
        self._profile = b""
        self._decoder: Any = context
        if self._stream.metadata.get("alpha_mode", self._stream.metadata.get("ALPHA_MODE")) == "1":
            self._decoder = alpha_decoder(context)
        # bwdif counts time in half steps of the stream's.
        self._unit: Fraction = self._stream.time_base / (2 if self._deinterlace else 1)
        self._decoded = deinterlaced(self._decode(), self._stream.time_base) if self._deinterlace else self._decode()
        first: av.VideoFrame | None = next(self._decoded, None)
        if first is None:
            reason = f" ({self._damage})" if self._damage else ""
            raise InputError(self.path, f"a video of which no frame decodes{reason}", EXPECTED)
        self._first = first
        self._index = 0
        self._begin: Fraction | None = None

        format = first.format
        self._coded_size = (first.width, first.height)
        self.bit_depth: int = max(component.bits for component in format.components if not component.is_alpha)
        self.tags: ColorTags = _color_tags(first, context)
        sides = side_data(first)
        self._flip = _display_flips(sides.get("DISPLAYMATRIX", b""))
        #: Degrees by which the coded picture is turned clockwise to be seen: 0, 90, 180 or 270.
        self.rotation: int = self._flip.degrees
        swapped = self._flip.transpose
        self.width: int = first.height if swapped else first.width
        self.height: int = first.width if swapped else first.height
        self.time_base: Fraction = self._stream.time_base
        self.average_rate: Fraction | None = self._stream.average_rate or self._stream.guessed_rate
        guessed = self._stream.guessed_rate
        if self.average_rate and self.average_rate > _MOST_RATE and guessed and guessed < self.average_rate:
            # Matroska states a frame's length, which need not be that of any frame.
            self._note(f"stated rate of {float(self.average_rate):g} frames a second ignored, {float(guessed):g} taken")
            self.average_rate = guessed
        # FFV1 has it in its frames alone.
        self._grid: Fraction | None = None
        if self._stream.time_base == Fraction(1, 1000) and self.average_rate and self.average_rate.numerator <= 120_000:
            # Matroska rounds times to milliseconds; where frames lie at its exact rate, that is where they were.
            self._grid = self.average_rate
            self.time_base = Fraction(1, math.lcm(1000, self.average_rate.numerator))
        aspect = self._stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
        #: Width over height of one pixel as it is seen; 1 where the file does not tell.
        self.sample_aspect_ratio: Fraction = 1 / aspect if swapped else aspect
        self.audio_streams: int = len(self._container.streams.audio)
        self.frames: int | None = self._estimate_frames()
        timecode, note = timecode_of(self._container, self._stream, self.average_rate)
        if note:
            self._note(note)
        #: What the file says beside its pictures.
        self.facts = Facts(
            has_alpha(first),
            timecode,
            metadata_of(self._container),
            self.tags.transfer if self.tags.transfer in ("smpte2084", "hlg") and colorspace == "auto" else "",
            static_hdr(sides),
            chapters_of(self._container),
        )
        if self.facts.transfer:
            self._note(
                f"{'PQ' if self.tags.transfer == 'smpte2084' else 'HLG'} video: 203 cd/m2, the reference white, is 1"
            )
        profile = self._usable_profile() if colorspace == "auto" else None
        self._converter = _FrameConverter(self.path, first, self.tags, self.bit_depth, colorspace, profile)

        if self._flip.skewed:
            self._note("display matrix that is no quarter turn ignored")
        if "matrix" in self.tags.guessed and not format.is_rgb:
            self._note(f"untagged colour matrix, {self.tags.matrix} assumed")
        if choice:
            self._note(choice)

    def close(self) -> None:
        """Closes the file; iteration ends."""
        self._decoded.close()
        self._container.close()

    def read(self, start: float = 0, end: float | None = None, skip: int = 0) -> Generator[Frame, None, None]:
        """Frames whose pts lies from `start` to before `end`, both in seconds; `index` counts from 0 at the first of them,
        also over the first `skip`, which are not given; a negative `skip` gives frames before `start`, of negative index.
        Frames that are left out are decoded all the same, since seeking is not exact in every file, but not converted.
        """
        if self._index:
            raise RuntimeError("a VideoReader is iterated once; open the file again")
        # As typed: the float 0.2 is a hair more than the time of the frame at 1/5 s.
        since = Fraction(start).limit_denominator(1_000_000)
        until = None if end is None else Fraction(end).limit_denominator(1_000_000)
        last: Fraction | None = None
        pending: av.VideoFrame | None = self._first
        taken, before = 0, self.frames_before(start) if skip < 0 else 0
        while pending is not None:
            if (pending.width, pending.height) != self._coded_size:
                width, height = self._coded_size
                size = f"a frame of {pending.width}x{pending.height} after {self._index} of {width}x{height}"
                raise InputError(self.path, size, "one frame size")
            pts = self._time(pending, last)
            if until is not None and pts >= until:
                if not taken:
                    earlier = "the first frame" if last is None else f"a frame at {float(last):g} s and the next one"
                    raise no_frame(self.path, f"{earlier} at {float(pts):g} s", start, end, " s")
                return
            # Frames before the start are wanted as far as `skip` is negative.
            if pts >= since or self._index - before >= skip < 0:
                index = taken if pts >= since else self._index - before
                if index >= skip:
                    duration = pending.duration * self._unit if pending.duration else None
                    if duration and self._grid and abs(duration - 1 / self._grid) <= Fraction(1, 1000):
                        duration = 1 / self._grid
                    light = self._converter(pending, self._flip)
                    pixels, plate = self._converter.to_rec709(light), None
                    if self._plates and pixels is not light and not self._converter.by_profile:
                        whole = Window(0, 0, self.width, self.height)
                        plate = Plate(light, PRIMARIES[self.tags.primaries], whole, whole, False, "zip")
                    alpha = np.ascontiguousarray(self._flip(alpha_of(pending))) if self.facts.alpha else None
                    yield Frame(pixels, pts, index, duration, index, alpha, plate)
                taken += pts >= since
            self._index += 1
            last = pts
            pending = next(self._decoded, None)
        reason = self._damage or ("the file ends early" if self._ended_early(last) else "")
        if reason:
            found = f"a stream that breaks off after {self._index} frames ({reason})"
            raise InputError(self.path, found, "a complete video")
        if not taken and last is not None:
            raise no_frame(self.path, f"the last frame at {float(last):g} s", start, end, " s")

    def frames_before(self, start: float) -> int:
        """As `VideoSource.frames_before`: by decoding the file once more up to there, since times are exact in no index."""
        if start <= 0 or not self._reopen:
            return 0
        if start not in self._before:
            since = Fraction(start).limit_denominator(1_000_000)
            with VideoReader(self.path, deinterlace=self._deinterlace) as again:
                self._before[start] = sum(1 for _ in itertools.takewhile(lambda pts: pts < since, again._times()))
        return self._before[start]

    def _times(self) -> Generator[Fraction, None, None]:
        """Times of all frames; the reader gives none afterwards."""
        last: Fraction | None = None
        for frame in itertools.chain([self._first], self._decoded):
            last = self._time(frame, last)
            yield last

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """All frames up to the end or the first damage, which is left in `_damage`."""
        try:
            for packet in self._container.demux(*self._timeline.streams([self._stream], self._container)):
                self._timeline.place(packet)
                if packet.stream.index != self._stream.index:
                    continue
                if packet.size:
                    self._packets += 1
                    if self._packets == 1 and self._stream.codec_context.name in ("png", "apng"):
                        self._profile = png_profile(bytes(packet))
                    self._last_packet_corrupt = packet.is_corrupt
                for frame in self._decoder.decode(packet if packet.size else None):
                    yield self._timed(frame)
            return
        except av.error.FFmpegError as error:
            self._damage = error.strerror or "undecodable data"
        # The decoder still holds whole frames: those that it reorders.
        with suppress(av.error.FFmpegError):
            for frame in self._decoder.decode(None):
                yield self._timed(frame)

    def _timed(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Containers such as AVI have no times of presentation: those of decoding, in the order of presentation, are as
        good, and what FFmpeg takes."""
        if frame.pts is None:
            frame.pts = frame.dts
        self._last_damaged.append(frame.is_corrupt)
        if frame.interlaced_frame and not self._deinterlace:
            self._note("interlaced frames are read as they are; --deinterlace makes whole ones of them")
        return frame

    def _time(self, frame: av.VideoFrame, last: Fraction | None) -> Fraction:
        """The frame's time; where the file has none, or one that does not grow, one frame interval after the
        last.
        """
        pts = None if frame.pts is None else frame.pts * self._unit
        if pts is not None and self._grid:
            self._begin = pts if self._begin is None else self._begin
            exact = self._begin + round((pts - self._begin) * self._grid) / self._grid
            pts = exact if abs(exact - pts) <= Fraction(1, 1000) else pts
        if pts is not None and (last is None or pts > last):
            return pts
        if last is None:
            return Fraction(0)
        if pts is None and self.average_rate:
            return last + 1 / self.average_rate
        self._note("missing or repeated timestamps replaced")
        return last + self.time_base

    def _usable_profile(self) -> MatrixProfile | None:
        """The ICC profile of PNG frames; one of lookup tables, or of a curve for each channel, is left out with a note."""
        if not self._profile:
            return None
        parsed = parse_matrix_profile(self._profile)
        codes = np.linspace(0, 1, 65)
        if parsed is None or any(np.abs(curve(codes) - parsed.curves[0](codes)).max() > 1e-3 for curve in parsed.curves):
            self._note(f"colour profile '{profile_name(self._profile)}' ignored, sRGB assumed")
            return None
        if parsed.is_srgb():
            return None
        self._note(f"converted from the colour profile '{parsed.name}' to Rec.709")
        return parsed

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes += (text,)

    def _estimate_frames(self) -> int | None:
        rate = self.average_rate
        seconds = self._stated_seconds()
        if "mp4" in self._container.format.name and self._stream.frames:
            return self._stream.frames
        if seconds and rate:
            return max(round(seconds * rate), 1)
        return self._stream.frames or None

    def _stated_seconds(self) -> Fraction | None:
        """How long the container says that the video is; it says so even where the end of the file is
        missing.
        """
        if self._container.format.name == "avi" and self._stream.frames:
            return self._stream.frames * self._stream.time_base
        with suppress(KeyError, ValueError):
            hours, minutes, seconds = self._stream.metadata["DURATION"].split(":")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        if self._stream.duration:
            return self._stream.duration * self._stream.time_base
        if self._container.duration and len(self._container.streams) == 1:
            return Fraction(self._container.duration, av.time_base)
        return None

    def _ended_early(self, last: Fraction | None) -> bool:
        """Whether the file promises more than it held: FFmpeg ends a cut file like a whole one."""
        name = self._container.format.name
        if self._last_packet_corrupt:
            return True
        if name in ("mpeg", "mpegts", "mpegvideo"):
            # These promise no length; but the last picture of a cut one lacks a part.
            return any(self._last_damaged)
        if "mp4" in name:
            return self._packets < len(self._stream.index_entries)
        stated = self._stated_seconds() if name in ("avi", "matroska,webm") else None
        if stated is None or last is None or not self.average_rate:
            return False
        return last + 3 / self.average_rate + Fraction(1, 500) < stated


@dataclass(frozen=True)
class _Flips:
    """A display matrix as NumPy operations: transpose first, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False
    skewed: bool = False

    @property
    def degrees(self) -> int:
        if self.transpose:
            return 90 if self.mirror_x else 270 if self.mirror_y else 0
        return 180 if self.mirror_x and self.mirror_y else 0

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        if self.transpose:
            picture = cv2.transpose(picture)
        if self.mirror_x or self.mirror_y:
            picture = cv2.flip(picture, -1 if self.mirror_x and self.mirror_y else 1 if self.mirror_x else 0)
        return picture


def _display_flips(data: bytes) -> _Flips:
    """A display matrix (ISO/IEC 14496-12, 6.2.2): x' = a x + c y, y' = b x + d y in 16.16 fixed point."""
    if len(data) < 36:
        return _Flips()
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].astype(np.int64)
    scale = max(abs(a), abs(b), abs(c), abs(d))
    if scale and max(abs(b), abs(c)) < 0.02 * scale and min(abs(a), abs(d)) > 0:
        return _Flips(False, bool(a < 0), bool(d < 0))
    if scale and max(abs(a), abs(d)) < 0.02 * scale and min(abs(b), abs(c)) > 0:
        return _Flips(True, bool(c < 0), bool(b < 0))
    return _Flips(skewed=True)


def _color_tags(frame: av.VideoFrame, context: Any) -> ColorTags:
    """The frame's tags, or the container's; completed: each missing one from the others, or from the size."""
    guessed = []
    # DNxHR's frames say BT.709 whatever they are.
    first, second = (context, frame) if context.name == "dnxhd" else (frame, context)
    matrix = _MATRICES.get(int(first.colorspace)) or _MATRICES.get(int(second.colorspace))
    transfer = _TRANSFERS.get(int(first.color_trc)) or _TRANSFERS.get(int(second.color_trc))
    primaries = _PRIMARIES.get(int(first.color_primaries)) or _PRIMARIES.get(int(second.color_primaries))
    rgb = frame.format.is_rgb or frame.format.name.startswith("pal8")
    if rgb:
        matrix = "gbr"
    elif matrix is None or matrix == "gbr":
        guessed.append("matrix")
        if primaries == "bt2020":
            matrix = "bt2020nc"
        elif primaries == "bt709" or transfer == "bt709" or frame.width >= 1280 or frame.height > 576:
            matrix = "bt709"
        else:
            matrix = "smpte170m"
    if transfer is None:
        guessed.append("transfer")
        # What is coded as RGB comes from a screen or a renderer, not from a camera.
        transfer = "srgb" if rgb else "bt709"
    if primaries is None:
        guessed.append("primaries")
        primaries = "bt2020" if matrix.startswith("bt2020") else "bt709"
    stated = int(frame.color_range)
    if stated not in (int(ColorRange.MPEG), int(ColorRange.JPEG)):
        guessed.append("range")
    full = rgb or frame.format.name.startswith("yuvj") or stated == int(ColorRange.JPEG)
    return ColorTags(matrix, "full" if full else "limited", transfer, primaries, tuple(guessed))


class _FrameConverter:
    """Decoded frame -> linear pixels in the video's primaries, and these -> Rec.709.

    8 bits go through swscale to RGB and a table of 256 values. More bits only have their chroma brought to
    full resolution by swscale, which is exact: its own step to 16-bit RGB is off by up to 0.8 of an 8-bit
    level in limited range.
    """

    def __init__(
        self,
        path: Path,
        frame: av.VideoFrame,
        tags: ColorTags,
        bit_depth: int,
        colorspace: str,
        profile: MatrixProfile | None = None,
    ) -> None:
        """profile: of the frames, instead of curve and primaries of the tags."""
        decode = TRANSFER_DECODERS[tags.transfer if colorspace == "auto" else colorspace]
        if profile is not None:
            decode = profile.curves[0]
        self._path = path
        self._rgb = tags.matrix == "gbr"
        self._deep = bit_depth > 8
        if not self._rgb and tags.matrix not in YUV_WEIGHTS:
            raise InputError(path, f"the colour matrix {tags.matrix}", f"one of {', '.join(YUV_WEIGHTS)}")
        top = 65535 if self._deep else 255
        self._table = decode(np.arange(top + 1, dtype=np.float64) / top).astype(np.float32)
        self._hlg = colorspace == "auto" and tags.transfer == "hlg"
        matrix = to_rec709_matrix(PRIMARIES[tags.primaries]) if profile is None else profile.matrix
        self.by_profile = profile is not None
        self._primaries = None if is_identity(matrix) else matrix.astype(np.float32)
        full = tags.range == "full"
        self._source_range = ColorRange.JPEG if full else ColorRange.MPEG
        self._source_matrix = None if self._rgb else _SWSCALE_MATRICES[tags.matrix]
        if self._deep and not self._rgb:
            # swscale shifts codes up to 16 bits, so the top code of full range is 2^16 - 2^(16 - bits).
            matrix, offset = yuv_to_rgb_matrix(YUV_WEIGHTS[tags.matrix], not full, bit_depth)
            matrix = matrix / 2.0 ** (16 - bit_depth)
            self._yuv = (np.column_stack([matrix, offset]) * top).astype(np.float32)

    def __call__(self, frame: av.VideoFrame, flips: _Flips) -> np.ndarray:
        if self._deep and not self._rgb:
            codes = self._deep_codes(frame)
        else:
            codes = frame.reformat(
                format="rgb48le" if self._deep else "rgb24",
                src_colorspace=self._source_matrix,
                src_color_range=self._source_range,
                dst_color_range=ColorRange.JPEG,
                # Full chroma interpolation breaks swscale's 16-bit RGB output (errors of 180 levels).
                interpolation=_ACCURATE if self._deep else _ACCURATE | Interpolation.FULL_CHR_H_INT,
            ).to_ndarray()
        codes = flips(codes)
        pixels = cv2.LUT(np.ascontiguousarray(codes), self._table)
        if self._hlg:
            pixels = hlg_scene_to_display(pixels)
        return pixels

    def to_rec709(self, light: np.ndarray) -> np.ndarray:
        """The same array where it has these primaries; colours outside are clipped at 0."""
        return light if self._primaries is None else np.maximum(cv2.transform(light, self._primaries), 0.0)

    def _deep_codes(self, frame: av.VideoFrame) -> np.ndarray:
        """YUV of more than 8 bits -> RGB codes (H, W, 3) uint16."""
        planar = frame.reformat(
            format="yuv444p16le",
            src_colorspace=self._source_matrix,
            dst_colorspace=self._source_matrix,
            src_color_range=self._source_range,
            dst_color_range=self._source_range,
            interpolation=_ACCURATE,
        )
        yuv = cv2.merge([_plane(planar, index) for index in range(3)])
        rgb = cv2.transform(yuv.astype(np.float32), self._yuv)
        return np.clip(np.rint(rgb, out=rgb), 0, 65535, out=rgb).astype(np.uint16)


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether a frame's format has an alpha channel; that of a palette is left to its RGB."""
    return frame.format.name != "pal8" and any(component.is_alpha for component in frame.format.components)


def alpha_of(frame: av.VideoFrame) -> np.ndarray:
    """Alpha of a frame that has one, (H, W) float32 in [0, 1]."""
    bits = max(component.bits for component in frame.format.components if component.is_alpha)
    if bits == 8 and frame.format.name.startswith("yuva"):
        plane = frame.planes[3]
        stored = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        return stored[:, : plane.width] / np.float32(255)
    if bits == 8:
        return frame.reformat(format="rgba").to_ndarray()[..., 3] / np.float32(255)
    if frame.format.name.startswith("yuva"):
        return _plane(frame, 3) / np.float32(2**bits - 1)
    return frame.reformat(format="rgba64le").to_ndarray()[..., 3] / np.float32(65535)


def alpha_decoder(context: Any) -> Any:
    """libvpx's decoder for VP8 and VP9, which FFmpeg's own ones read without their alpha; the given one where this build
    has none."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(context.name)
    try:
        return context if name is None else av.CodecContext.create(name, "r")
    except av.codec.codec.UnknownCodecError:
        return context


def deinterlaced(frames: Generator[av.VideoFrame, None, None], unit: Fraction) -> Generator[av.VideoFrame, None, None]:
    """One whole frame for each interlaced one (bwdif), progressive ones as they are; times in half of `unit`."""
    graph: Any = None

    def ready() -> Iterator[av.VideoFrame]:
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                yield graph.pull()

    for frame in frames:
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit)
            filter = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
            source.link_to(filter)
            filter.link_to(graph.add("buffersink"))
            graph.configure()
        graph.push(frame)
        yield from ready()
    if graph is not None:
        graph.push(None)
        yield from ready()


_ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND


def _plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    """A 16-bit plane of a frame as (H, W) uint16, without a copy."""
    plane = frame.planes[index]
    return np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, plane.line_size // 2)[:, : plane.width]
