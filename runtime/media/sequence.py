"""Numbered image files as the frames of a video, in and out; frame numbers are kept."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import IMAGE_SUFFIXES, Image, read_image, write_image
from intrinsic_flow.media.video import Frame

SequenceFormat = Literal["png", "png16", "exr"]
_PLACE = re.compile(r"%0?\d*d|#+")
_NUMBERED = re.compile(r"(.*?)(\d+)(\.[^.]+)")


def is_pattern(path: Path) -> bool:
    """Whether a name stands for numbered files: `shot.%04d.exr`, `shot_####.png`."""
    return _PLACE.search(path.name) is not None


def find_pattern(pattern: Path) -> list[tuple[int, Path]]:
    """Numbers and files of a pattern, by number. Raises InputError where there is none."""
    parts = [re.escape(part) for part in _PLACE.split(pattern.name)]
    if len(parts) != 2:
        raise InputError(pattern, f"{len(parts) - 1} places for a number", "one, as in shot.%04d.exr or shot.####.exr")
    name = re.compile(rf"{parts[0]}(\d+){parts[1]}")
    folder = pattern.parent
    matches = [(name.fullmatch(file.name), file) for file in folder.iterdir()] if folder.is_dir() else []
    found = [(int(match[1]), file) for match, file in matches if match]
    if not found:
        raise InputError(pattern, "no such file", "numbered images, as in shot.0001.exr")
    return _ordered(pattern, found)


def find_in_folder(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and files of a folder that holds one sequence. Raises InputError for none, or more than one."""
    sequences: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for file in folder.iterdir():
        match = _NUMBERED.fullmatch(file.name)
        if match and not file.name.startswith(".") and match[3].lower() in IMAGE_SUFFIXES:
            sequences.setdefault((match[1], match[3]), []).append((int(match[2]), file))
    if len(sequences) != 1:
        names = ", ".join(f"{head}#{tail}" for head, tail in sorted(sequences)[:3])
        found = f"{len(sequences)} sequences ({names})" if sequences else "no numbered image"
        raise InputError(folder, found, "a folder with the images of one sequence, or a pattern such as shot.####.exr")
    return _ordered(folder, next(iter(sequences.values())))


def _ordered(path: Path, found: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    found.sort()
    for (number, first), (other, second) in zip(found, found[1:]):
        if number == other:
            raise InputError(path, f"frame {number} twice ({first.name}, {second.name})", "one file a frame")
    return found


class SequenceReader:
    """Image files as a `VideoSource`; numbers that are missing are times at which no frame comes."""

    def __init__(
        self,
        path: Path,
        files: Sequence[tuple[int, Path]],
        colorspace: Literal["auto", "srgb", "linear"] = "auto",
        rate: Fraction = Fraction(24),
    ) -> None:
        """path: what to call the sequence. files: numbers and files, by number. Raises InputError as `read_image` does."""
        self.path = path
        self._files, self._colorspace = list(files), colorspace
        self._first: Image | None = read_image(files[0][1], colorspace)
        self.height, self.width = self._first.pixels.shape[:2]
        #: 8, or 16 for anything deeper.
        self.bit_depth = 8 if self._first.bit_depth == 8 else 16
        self.floating = self._first.bit_depth not in (8, 16)
        self.average_rate: Fraction | None = rate
        self.time_base = 1 / rate
        self.sample_aspect_ratio = Fraction(1)
        self.audio_streams = 0
        self.frames: int | None = len(files)
        self._noted: set[str] = set()
        gaps = files[-1][0] - files[0][0] + 1 - len(files)
        self.notes: tuple[str, ...] = (f"{gaps} frames of the sequence are missing",) if gaps else ()

    def __enter__(self) -> SequenceReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to do: files are opened one at a time."""

    def __iter__(self) -> Iterator[Frame]:
        return self.read()

    def _note(self, text: str, number: int) -> None:
        """Once for all frames, or a long sequence would fill the log; counts and plurals are no difference."""
        kind = re.sub(r"\d+|s\b", "", text)
        if kind not in self._noted:
            self._noted.add(kind)
            self.notes += (f"frame {number}, perhaps others: {text}",)

    def time_of(self, number: float) -> Fraction:
        """Seconds of a frame number, 0 at the first file."""
        return (max(round(number), self._files[0][0]) - self._files[0][0]) * self.time_base

    def read(self, start: float = 0, end: float | None = None, skip: int = 0) -> Generator[Frame, None, None]:
        """As `VideoSource.read`, where start and end are frame numbers, both included."""
        chosen = [(number, file) for number, file in self._files if start <= number and (end is None or number <= end)]
        first = self._files[0][0]
        for index, (number, file) in enumerate(chosen):
            if index < skip:
                continue
            image = self._first if number == first and self._first is not None else read_image(file, self._colorspace)
            self._first = None
            if image.pixels.shape[:2] != (self.height, self.width):
                size = f"{image.pixels.shape[1]}x{image.pixels.shape[0]} pixels"
                raise InputError(file, size, f"{self.width}x{self.height} as in the other frames")
            for note in (*image.notes, *(() if image.alpha is None else ("alpha left out",))):
                self._note(note, number)
            yield Frame(image.pixels, (number - first) * self.time_base, index, self.time_base, number)


class SequenceWriter:
    """Writes frames as `folder/NAME.0001.exr` and so on; each file appears only when it is complete.

    png: 8-bit, png16: 16-bit, both sRGB-encoded and clipped to [0, 1]; exr: linear, float or half.
    """

    def __init__(self, folder: Path, name: str, format: SequenceFormat, *, half: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self.format: SequenceFormat = format
        self._dtype: Literal["half", "float"] = "half" if half else "float"
        self.frames = 0

    def path(self, number: int) -> Path:
        """The file of a frame number."""
        suffix = "exr" if self.format == "exr" else "png"
        return self.folder / f"{self.name}.{number:04d}.{suffix}"

    def write(self, pixels: np.ndarray, number: int) -> None:
        """Writes one frame, (H, W, 3) float32 linear."""
        write_image(self.path(number), pixels, format=self.format, dtype=self._dtype)
        self.frames += 1
