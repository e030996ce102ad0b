"""Which inputs become jobs, and under which names their outputs go."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from intrinsic_flow.cli.jobs import list_jobs


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def names(listed) -> list[str]:
    return [job.name for job in listed.jobs]


def test_outputs_go_beside_the_input_or_to_the_output_folder(tmp_path):
    photo, clip = touch(tmp_path, "in/photo.JPG", "in/clip.mp4")
    listed = list_jobs([photo, clip], None)
    assert [(job.kind, job.folder, job.name) for job in listed.jobs] == [
        ("image", tmp_path / "in", "photo"),
        ("video", tmp_path / "in", "clip"),
    ]
    assert {job.folder for job in list_jobs([photo, clip], tmp_path / "out").jobs} == {tmp_path / "out"}


def test_a_folder_is_walked_in_order_and_its_subfolders_are_kept(tmp_path):
    touch(tmp_path, "in/b.png", "in/a.exr", "in/deep/er/c.mov", "in/notes.txt", "in/.hidden/x.png", "in/.y.png")
    listed = list_jobs([tmp_path / "in"], tmp_path / "out")
    assert [(job.name, job.folder.relative_to(tmp_path).as_posix()) for job in listed.jobs] == [
        ("a", "out"),
        ("b", "out"),
        ("c", "out/deep/er"),
    ]
    assert not listed.errors


def test_a_file_named_twice_is_taken_once(tmp_path):
    (photo,) = touch(tmp_path, "in/x.png")
    (tmp_path / "link.png").symlink_to(photo)
    assert names(list_jobs([photo, tmp_path / "in", photo, tmp_path / "link.png"], tmp_path / "out")) == ["x"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("a/x.png", "b/x.jpg"), {"x_png", "x_jpg"}),
        (("a/x.png", "b/x.png"), {"a_x", "b_x"}),
        (("a/x.png", "b/x.png", "b/x.jpg"), {"a_x_png", "b_x_png", "b_x_jpg"}),
        (("a/x.png", "b/X.PNG"), {"a_x", "b_X"}),
        (("p/a/x.png", "q/a/x.png"), {"x_1", "x_2"}),
        (("a/x.png", "b/x.jpg", "c/x_png.png"), {"a_x", "b_x", "x_png"}),
        (("a/x.png", "b/x.mp4"), {"x_png", "x_mp4"}),
        (("p/a/x.png", "q/a/x.png", "x_1.png"), {"x_1", "x_2", "x_3"}),
    ],
)
def test_inputs_of_one_stem_get_names_of_their_own_whatever_their_order(tmp_path, files, expected):
    paths = touch(tmp_path, *files)
    by_path = {}
    for order in range(4):
        shuffled = random.Random(order).sample(paths, len(paths))
        listed = list_jobs(shuffled, tmp_path / "out")
        assert set(names(listed)) == expected
        by_path.setdefault("first", {job.path: job.name for job in listed.jobs})
        assert {job.path: job.name for job in listed.jobs} == by_path["first"]
        assert listed.notes and all("named" in note for note in listed.notes)


def test_one_stem_in_several_folders_is_no_collision_beside_the_inputs(tmp_path):
    paths = touch(tmp_path, "a/x.png", "b/x.png")
    assert names(list_jobs(paths, None)) == ["x", "x"]


def test_outputs_of_an_earlier_run_in_a_folder_are_left_out(tmp_path):
    outputs = ("x_albedo.png", "x_shading.png", "x_preview.png", "y_albedo.mp4", "y_shading.mp4", "y_preview.mp4")
    touch(tmp_path, "in/x.png", "in/y.mp4", *(f"in/{name}" for name in outputs))
    listed = list_jobs([tmp_path / "in"], None)
    assert names(listed) == ["x", "y"]
    assert "left out 6 outputs" in listed.notes[0]


def test_a_lone_file_called_albedo_is_an_input(tmp_path):
    touch(tmp_path, "in/wall_albedo.png", "in/floor_albedo.png", "in/floor_shading.exr", "in/see_preview.png")
    expected = ["floor_albedo", "floor_shading", "see_preview", "wall_albedo"]
    assert names(list_jobs([tmp_path / "in"], None)) == expected


def test_an_output_named_on_the_command_line_is_an_input(tmp_path):
    first, _ = touch(tmp_path, "x_albedo.png", "x_shading.png")
    assert names(list_jobs([first], None)) == ["x_albedo"]


def test_what_is_no_input_is_named_and_the_rest_is_planned(tmp_path):
    text, photo, _ = touch(tmp_path, "notes.txt", "photo.png", "old/x_albedo.png")
    touch(tmp_path, "old/x_shading.png")
    (tmp_path / "empty").mkdir()
    listed = list_jobs([tmp_path / "none.png", text, tmp_path / "empty", tmp_path / "old", photo], None)
    assert names(listed) == ["photo"]
    messages = [str(error) for error in listed.errors]
    assert "none.png: found no such file" in messages[0]
    assert "notes.txt: found a file of type '.txt'" in messages[1] and ".png" in messages[1] and ".mp4" in messages[1]
    assert "empty: found no image or video" in messages[2]
    assert "old: found only outputs of an earlier run" in messages[3]
