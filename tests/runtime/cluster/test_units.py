"""Planning a batch: which units there are, and where their outputs go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from intrinsic_flow.batch import main, throughput
from intrinsic_flow.cluster.manifest import Report
from intrinsic_flow.cluster.units import Unit, list_units

REPOSITORY = Path(__file__).parents[3]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def folder(tmp_path) -> Path:
    touch(*(tmp_path / "in" / name for name in ("a.png", "b/c.jpg", "b/clip.mp4", "notes.txt", ".hidden/d.png")))
    return tmp_path / "in"


def test_a_folder_gives_clips_first_and_keeps_its_subfolders(folder, tmp_path):
    listed = list_units([folder], tmp_path / "out")
    assert listed.errors == []
    assert [(Path(unit.source).name, unit.kind, unit.folder, unit.name) for unit in listed.units] == [
        ("clip.mp4", "video", str(tmp_path / "out" / "b"), "clip"),
        ("a.png", "image", str(tmp_path / "out"), "a"),
        ("c.jpg", "image", str(tmp_path / "out" / "b"), "c"),
    ]


def test_globs_match_media_below_folders_and_leave_earlier_outputs_out(folder):
    touch(folder / "a_albedo.png", folder / "a_shading.png")
    listed = list_units([Path(f"{folder}/**/*.*")], None)
    assert sorted(Path(unit.source).name for unit in listed.units) == ["a.png", "c.jpg", "clip.mp4"]
    assert [error.found for error in list_units([folder / "*.webm"], None).errors] == ["no image or video"]


def test_file_addresses_are_paths_and_relative_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    listed = list_units([f"file://{folder}/a.png", Path("b/c.jpg")], None)
    assert [unit.source for unit in listed.units] == [str(folder / "a.png"), str(folder / "b/c.jpg")]


def test_pipes_and_cameras_are_no_inputs_of_a_batch(folder):
    listed = list_units(["-", "camera:0", folder / "missing.png"], None)
    assert listed.units == [] and len(listed.errors) == 3


@pytest.mark.parametrize("output", [None, "address", "path"])
def test_addresses_are_listed_matched_and_written_to(folder, tmp_path, output):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra cluster)")
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra cluster)")
    touch(folder / "b/shot_albedo/1.png", folder / "b/shot_shading/1.png")
    place = {None: None, "address": f"local://{tmp_path}/out", "path": tmp_path / "out"}[output]
    base = {None: f"local://{folder}", "address": place, "path": str(place)}[output]
    walked = {(unit.source, unit.folder) for unit in list_units([f"local://{folder}"], place).units}
    assert walked == {
        (f"local://{folder}/a.png", base),
        (f"local://{folder}/b/c.jpg", f"{base}/b"),
        (f"local://{folder}/b/clip.mp4", f"{base}/b"),
    }
    assert {unit.name for unit in list_units([f"local://{folder}/**/c*"], place).units} == {"c", "clip"}
    missing = list_units([f"local://{folder}/none.png"], place).errors
    assert [error.found for error in missing] == ["no such file or folder"]


def test_same_names_at_addresses_and_paths_are_told_apart(folder, tmp_path):
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra cluster)")
    touch(tmp_path / "other" / "a.png")
    listed = list_units([folder / "a.png", f"local://{tmp_path}/other/a.png"], tmp_path / "out")
    assert len({unit.name for unit in listed.units}) == 2 and len(listed.notes) == 2


def test_units_survive_json_and_their_marks_differ():
    units = [Unit("/a.png", "image", "/out", "a"), Unit("/b.png", "image", "/out", "b")]
    assert [Unit.from_json(unit.to_json()) for unit in units] == units
    assert units[0].mark != units[1].mark


def test_throughput_adds_up_all_workers():
    unit = Unit("/a.png", "image", "/out", "a")
    reports = [
        Report(unit, "done", images=1, megapixels=6, worker="x:1"),
        Report(unit, "done", frames=40, megapixels=34, worker="x:2"),
    ]
    line = throughput(reports, 20.0)
    assert "0.05 images/s, 2.00 video frames/s, 2.00 megapixels/s" in line and "2 workers" in line


def test_importing_the_runtime_and_the_command_loads_no_ray():
    code = "import sys, intrinsic_flow, intrinsic_flow.batch; print({'ray', 'pyarrow', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "set()", result.stderr


def test_without_ray_one_line_names_the_extra(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(folder)]) == 2
    assert capsys.readouterr().err == 'error: ray is not installed: pip install "intrinsic-flow[cluster]"\n'


@pytest.mark.parametrize("wrong", [["-o", "-"], ["--resume"], ["--retries", "-1"], ["--layer", "shading"]])
def test_what_a_batch_cannot_do_is_wrong_usage(folder, wrong, capsys):
    with pytest.raises(SystemExit) as exit:
        main([str(folder), *wrong])
    assert exit.value.code == 2 and "expected" in capsys.readouterr().err
