"""Numbered files: which belong together, their numbers and padding, and what a run makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.cli.jobs import list_jobs
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import write_image
from intrinsic_flow.media.sequence import SequenceReader, SequenceWriter
from intrinsic_flow.media.sequence_names import find_in_folder, find_pattern, frame_text, padding, ranges


def make(folder: Path, names: list[str], format: str = "png") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        write_image(folder / name, np.full((4, 6, 3), 0.5, np.float32), format=format)
    return folder


def test_negative_frames_belong_to_the_sequence(tmp_path: Path) -> None:
    names = [f"shot.{frame_text(number, 4)}.exr" for number in range(-2, 3)]
    assert names == ["shot.-0002.exr", "shot.-0001.exr", "shot.0000.exr", "shot.0001.exr", "shot.0002.exr"]
    make(tmp_path / "s", names, "exr")
    for found in (find_pattern(tmp_path / "s" / "shot.####.exr"), find_in_folder(tmp_path / "s")):
        assert [number for number, _ in found] == [-2, -1, 0, 1, 2]
        reader = SequenceReader(tmp_path / "s", found)
        assert [frame.number for frame in reader.read()] == [-2, -1, 0, 1, 2]
        assert [frame.number for frame in reader.read(-1, 1)] == [-1, 0, 1]
        assert reader.notes == ()


def test_a_minus_between_name_and_number_is_no_sign(tmp_path: Path) -> None:
    make(tmp_path / "s", ["shot-0001.png", "shot-0002.png"])
    assert [number for number, _ in find_in_folder(tmp_path / "s")] == [1, 2]


@pytest.mark.parametrize(
    "numbers,digits", [(("008", "009", "010"), 3), (("8", "9", "10"), 1), (("0998", "1000"), 4), (("-0001", "0001"), 4)]
)
def test_padding_is_that_of_the_files(tmp_path: Path, numbers: tuple[str, ...], digits: int) -> None:
    files = find_in_folder(make(tmp_path / "s", [f"a.{number}.png" for number in numbers]))
    assert padding(files) == digits
    writer = SequenceWriter(tmp_path / "out", "a", "png", digits=padding(files))
    assert [writer.path(number).name for number, _ in files] == [f"a.{number}.png" for number in numbers]


def test_a_range_without_a_frame_is_one_line(tmp_path: Path) -> None:
    found = find_in_folder(make(tmp_path / "s", ["a.0001.png", "a.0002.png", "a.0005.png"]))
    reader = SequenceReader(tmp_path / "s", found)
    assert reader.notes == ("2 frames of the sequence are missing: 3 to 4",)
    for start, end in ((100, None), (3, 4), (-9, 0)):
        with pytest.raises(InputError, match="found frames 1 to 2, 5, expected a frame from"):
            list(reader.read(start, end))


def test_gaps_are_named() -> None:
    assert ranges([3, 4, 7]) == "3 to 4, 7"
    assert ranges(list(range(0, 100, 2))).endswith("and 42 more")


def test_a_sequence_is_as_deep_as_its_deepest_frame(tmp_path: Path) -> None:
    make(tmp_path / "s", ["a.1.png", "a.2.png"])
    make(tmp_path / "s", ["a.3.png"], "png16")
    reader = SequenceReader(tmp_path / "s", find_in_folder(tmp_path / "s"))
    assert (reader.bit_depth, reader.floating) == (16, False)
    assert reader.notes == ("frames of 16 bits and 8 bits in one sequence",)


def test_linked_folders_are_walked_once_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path / "real", ["a.png"])
    top = make(tmp_path / "top", [])
    (top / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (top / "up").symlink_to(top, target_is_directory=True)
    listed = list_jobs([top], tmp_path / "out")
    assert [job.path for job in listed.jobs] == [top / "linked" / "a.png"] and not listed.errors
    assert listed.jobs[0].folder == tmp_path / "out" / "linked"
