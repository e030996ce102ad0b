"""Numbered image files as the frames of a video, in and out; frame numbers are kept."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.exr import stated_clock
from intrinsic_flow.media.formats import SequenceFormat
from intrinsic_flow.media.frames import Frame, ReadOnce, no_frame
from intrinsic_flow.media.images import Image, read_image, stored_facts, write_image
from intrinsic_flow.media.sequence_names import frame_text, padding, ranges
from intrinsic_flow.media.video_facts import Clock, Facts, valid_timecode


class SequenceReader(ReadOnce):
    """Image files as a `VideoSource`; numbers that are missing are times at which no frame comes."""

    def __init__(
        self,
        path: Path,
        files: Sequence[tuple[int, Path]],
        colorspace: Literal["auto", "srgb", "linear"] = "auto",
        rate: Fraction | None = None,
        *,
        exr_layer: str | None = None,
        overscan: bool = False,
    ) -> None:
        """path: what to call the sequence. files: numbers and files, by number. rate: frames a second, by default what the
        first file says (OpenEXR's framesPerSecond), else 24. exr_layer: see `read_image`. overscan: OpenEXR frames are as
        large as all their data windows together, instead of the display window. Raises InputError as `read_image` does."""
        self.path = path
        self._files, self._colorspace, self._layer = list(files), colorspace, exr_layer
        first = read_image(files[0][1], colorspace, exr_layer=exr_layer)
        facts = [stored_facts(file) for _, file in files[1:]]
        self._window = None if first.plate is None else first.plate.shown
        if first.plate is not None and overscan:
            self._window = first.plate.data
            for _, window in facts:
                self._window = self._window if window is None else self._window.union(window)
        self._first: Image | None = first
        self.height, self.width = self._placed(first, first.pixels).shape[:2]
        self._size = _size(first)
        depths = {first.bit_depth} | {depth for depth, _ in facts if depth is not None}
        #: 8, or 16 for anything deeper in any frame.
        self.bit_depth = 8 if depths == {8} else 16
        self.floating = not depths <= {8, 16}
        #: Digits of the frame numbers.
        self.padding = padding(files)
        clock = stated_clock(files[0][1])
        rate = rate or clock.rate or Fraction(24)
        self.average_rate: Fraction | None = rate
        self.time_base = 1 / rate
        self.sample_aspect_ratio = Fraction(1)
        self.audio_streams = 0
        self.facts = Facts(first.alpha is not None, clock.timecode if valid_timecode(clock.timecode, rate) else "")
        self.frames: int | None = len(files)
        self._noted: set[str] = set()
        self.notes: tuple[str, ...] = ()
        if len(depths) > 1:
            words = " and ".join(sorted({f"{depth} bits" if depth in (8, 16) else f"{depth} samples" for depth in depths}))
            self.notes += (f"frames of {words} in one sequence",)
        numbers = [number for number, _ in files]
        missing = [n for before, after in zip(numbers, numbers[1:]) for n in range(before + 1, min(after, before + 10**6))]
        if missing:
            self.notes += (f"{len(missing)} frames of the sequence are missing: {ranges(missing)}",)

    @property
    def files(self) -> list[Path]:
        """The images, by number."""
        return [file for _, file in self._files]

    def close(self) -> None:
        """Nothing to do: files are opened one at a time."""

    def _note(self, text: str, number: int) -> None:
        """Once for all frames, or a long sequence would fill the log; counts and plurals are no difference."""
        kind = re.sub(r"\d+|s\b", "", text)
        if kind not in self._noted:
            self._noted.add(kind)
            self.notes += (f"frame {number}, perhaps others: {text}",)

    def _placed(self, image: Image, plane: np.ndarray) -> np.ndarray:
        """A plane of the picture in the window that all frames share."""
        return plane if image.plate is None or self._window is None else image.plate.cut(plane, self._window)

    def time_of(self, number: float | None) -> Fraction:
        """Seconds of a frame number, 0 at the first file, which None stands for."""
        first = self._files[0][0]
        return (max(first if number is None else round(number), first) - first) * self.time_base

    def frames_before(self, start: float) -> int:
        """As `VideoSource.frames_before`; start is a frame number."""
        return sum(number < start for number, _ in self._files)

    def read(self, start: float = -math.inf, end: float | None = None, skip: int = 0) -> Generator[Frame, None, None]:
        """As `VideoSource.read`, where start and end are frame numbers, both included; by default all.
        Raises InputError where no frame lies between them."""
        before = self.frames_before(start)
        first = self._files[0][0]
        chosen = [(number, file) for number, file in self._files if start <= number and (end is None or number <= end)]
        if not chosen:
            raise no_frame(self.path, f"frames {ranges([number for number, _ in self._files])}", start, end)
        if skip < 0:
            chosen = self._files[max(before + skip, 0) : before] + chosen
        for index, (number, file) in enumerate(chosen, -min(-min(skip, 0), before)):
            if index < skip:
                continue
            image = self._first if number == first and self._first is not None else None
            self._first = None
            if image is None:
                image = read_image(file, self._colorspace, exr_layer=self._layer)
            pixels = self._placed(image, image.pixels)
            size, expected = _size(image), self._size
            if size == expected and pixels.shape[:2] != (self.height, self.width):
                expected = self.width, self.height
            if size != expected:
                raise InputError(file, "{}x{} pixels".format(*size), "{}x{} as in the other frames".format(*expected))
            for note in image.notes:
                self._note(note, number)
            pts = (number - first) * self.time_base
            alpha = None if image.alpha is None else self._placed(image, image.alpha)
            yield Frame(pixels, pts, index, self.time_base, number, alpha, image.plate, self._window)


def _size(image: Image) -> tuple[int, int]:
    """Width and height as they are seen, whatever part of it the file stores."""
    height, width = image.pixels.shape[:2]
    return (width, height) if image.plate is None else (image.plate.display.width, image.plate.display.height)


class SequenceWriter:
    """Writes frames as `folder/NAME.0001.exr` and so on; each file appears only when it is complete.

    png: 8-bit, png16: 16-bit, both sRGB-encoded and clipped to [0, 1]; exr: linear, as `FloatLayers` holds them.
    """

    def __init__(
        self, folder: Path, name: str, format: SequenceFormat, *, digits: int = 4, clock: Clock | None = None
    ) -> None:
        """digits: that frame numbers have at least. clock: rate, and timecode at time 0, for OpenEXR's header."""
        folder.mkdir(parents=True, exist_ok=True)
        self._digits, self.clock = digits, clock or Clock()
        self.folder, self.name = folder, name
        self.format: SequenceFormat = format
        self.frames = 0

    def path(self, number: int) -> Path:
        """The file of a frame number."""
        suffix = "exr" if self.format == "exr" else "png"
        return self.folder / f"{self.name}.{frame_text(number, self._digits)}.{suffix}"

    def write(self, pixels: np.ndarray, number: int, alpha: np.ndarray | None = None) -> None:
        """Writes one frame, (H, W, 3) float32 linear Rec.709, and its alpha (H, W), as PNG."""
        write_image(self.path(number), pixels, format=self.format, alpha=alpha)
        self.frames += 1
