"""Numbered files: patterns, folders that hold one sequence, frame numbers and their padding. Imports no codec library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.formats import IMAGE_SUFFIXES

_PLACE = re.compile(r"%0?\d*d|#+")
# A minus is a sign after a separator, or where the name begins; else, as in shot-0001.exr, it is the separator.
_NUMBERED = re.compile(r"(.*?)((?:(?<=[._ ])-|^-)?\d+)(\.[^.]+)")


def is_pattern(path: Path) -> bool:
    """Whether a name stands for numbered files: `shot.%04d.exr`, `shot_####.png`."""
    return _PLACE.search(path.name) is not None


def pattern_name(path: Path) -> str:
    """shot.%04d.exr -> shot; a pattern that is nothing but a number is called after its folder."""
    head = _PLACE.split(path.name)[0].rstrip("._- ")
    return head or path.resolve().parent.name


def find_pattern(pattern: Path) -> list[tuple[int, Path]]:
    """Numbers and files of a pattern, by number, negative ones included. Raises InputError where there is none."""
    parts = [re.escape(part) for part in _PLACE.split(pattern.name)]
    if len(parts) != 2:
        raise InputError(pattern, f"{len(parts) - 1} places for a number", "one, as in shot.%04d.exr or shot.####.exr")
    name = re.compile(rf"{parts[0]}(-?\d+){parts[1]}")
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


def padding(files: Sequence[tuple[int, Path]]) -> int:
    """How many digits the numbers have at least: 3 for a.008.png to a.011.png, 1 for a.8.png to a.11.png."""
    lengths = []
    for number, file in files:
        digits = [text for text in re.findall(r"\d+", file.stem) if int(text) == abs(number)]
        lengths.append(len(digits[-1]) if digits else 1)
    return min(lengths, default=1)


def frame_text(number: int, digits: int) -> str:
    """A frame number as files have it: -2 with four digits is -0002."""
    return f"{'-' if number < 0 else ''}{abs(number):0{digits}d}"


def ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers in words: 3-5, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:8]]
    return ", ".join(shown) + (f" and {len(runs) - 8} more" if len(runs) > 8 else "")
