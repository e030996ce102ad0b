"""What a killed process leaves: the next run completes or removes it, and leaves alone what is in use or not ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intrinsic_flow.cli.partial import PartialState, content_hash, load_state, save_state
from intrinsic_flow.errors import InputError
from intrinsic_flow.output import output_set
from intrinsic_flow.output.left_over import COMPLETE, HELD, TemporaryFolder, left_over, make_held, remove
from intrinsic_flow.output.output_set import OutputSet

REPOSITORY = Path(__file__).parents[3]
NAMES = ["x_albedo.png", "x_shading.png"]


@pytest.fixture(autouse=True)
def look_again(monkeypatch):
    monkeypatch.setattr(output_set, "_LOOKED", set())


def outputs(folder: Path) -> OutputSet:
    return OutputSet(folder, NAMES, overwrite=False, protected=frozenset())


def abandoned(folder: Path, complete: bool) -> Path:
    """As a process leaves it that is killed after its first output got its name."""
    left = folder / ".decompose-abc.partial"
    left.mkdir()
    (left / HELD).touch()
    if complete:
        (left / COMPLETE).touch()
        (folder / NAMES[0]).write_text("done")
    (left / NAMES[1]).write_text("done")
    return left


def test_outputs_that_were_complete_get_their_names(tmp_path):
    left = abandoned(tmp_path, complete=True)
    assert outputs(tmp_path).all_exist()
    assert [(tmp_path / name).read_text() for name in NAMES] == ["done", "done"] and not left.exists()


def test_incomplete_outputs_are_removed(tmp_path):
    left = abandoned(tmp_path, complete=False)
    assert not outputs(tmp_path).all_exist()
    assert not left.exists() and not (tmp_path / NAMES[1]).exists()


def test_what_a_process_works_on_is_left_alone(tmp_path):
    with outputs(tmp_path) as working:
        for name in NAMES:
            working.path(name).write_text("being written")
        assert not outputs(tmp_path).all_exist()
        assert working.path(NAMES[0]).exists()
    assert (tmp_path / NAMES[1]).read_text() == "being written"


def test_links_and_full_folders_without_a_lock_are_left_alone(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / HELD).touch()
    (tmp_path / ".decompose-link.partial").symlink_to(elsewhere)
    full = tmp_path / ".decompose-full.partial"
    full.mkdir()
    (full / "x.png").touch()
    assert list(left_over(tmp_path)) == [] and full.exists() and (elsewhere / HELD).exists()


def test_a_folder_that_a_process_left_before_its_lock_goes(tmp_path):
    (tmp_path / ".decompose-new.partial").mkdir()
    assert not outputs(tmp_path).all_exist() and list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_removes_before_its_lock_is_made_anew(tmp_path, monkeypatch):
    usual, made = os.open, []

    def remove_it_first(path, *arguments):
        if Path(path).name == HELD and not made:
            made.append(Path(path).parent)
            assert list(left_over(tmp_path)) == [] and not made[0].exists()
        return usual(path, *arguments)

    monkeypatch.setattr(os, "open", remove_it_first)
    folder, held = make_held(tmp_path, "")
    assert folder != made[0] and folder.is_dir()
    remove(folder, held)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_free_when_its_holder_is_gone(tmp_path):
    folder, held = make_held(tmp_path, "")
    assert list(left_over(tmp_path)) == []
    os.close(held)
    ((found, held),) = left_over(tmp_path)
    assert found == folder
    remove(folder, held)


def test_a_folder_that_cannot_be_emptied_is_found_again(tmp_path, monkeypatch):
    folder, held = make_held(tmp_path, "")
    (folder / "deep").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *given, **options: None)
        remove(folder, held)
    ((found, held),) = left_over(tmp_path)
    remove(found, held)
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_of_a_killed_process_go_with_the_next_one_of_its_kind_alone(tmp_path, monkeypatch):
    code = "from intrinsic_flow.output.left_over import TemporaryFolder as T; import os, signal, sys\n"
    code += "folder = T(sys.argv[1]).path; (folder / 'photo.png').touch(); print(folder, flush=True); sys.stdin.read()"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, prefix], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for prefix in ("demo-", "demo-", "batch-")
    ]
    killed, alive, other = (Path(process.stdout.readline().strip()) for process in started)
    for process in (started[0], started[2]):
        process.kill()
        process.wait()
    (tmp_path / "demo-of-somebody").mkdir()
    (tmp_path / "demo-of-somebody/x.png").touch()
    folder = TemporaryFolder("demo-")
    assert not killed.exists() and (alive / "photo.png").exists() and (other / "photo.png").exists()
    assert (tmp_path / "demo-of-somebody/x.png").exists()
    folder.close()
    folder.close()
    assert not folder.path.exists()
    started[1].communicate("")


STATE = PartialState(9, 8, 1.5, 3, 0.01, {"seed": 0})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"keep": "x", "scale": "y"}, 'keep "x"'),
        ({"frames": 0}, "frames 0"),
        ({"keep": 10}, "keep 10"),
        ({"clipped": None}, "clipped null"),
        ({"settings": []}, r"settings \[\]"),
        ({"more": 1}, "more"),
        ({"format": "other"}, 'format "other"'),
    ],
)
def test_a_state_that_is_none_is_one_line(tmp_path, change, found):
    path = tmp_path / "x_partial.json"
    save_state(path, STATE)
    assert load_state(path, {"seed": 0}) == STATE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=f"found {found}"):
        load_state(path, {})


def test_a_state_never_goes_through_a_link(tmp_path):
    for name in (".x_partial.json.part", "x_partial.json"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("precious")
    save_state(tmp_path / "x_partial.json", STATE)
    assert (tmp_path / "victim").read_text() == "precious"


def test_another_content_of_the_same_name_and_size_is_another_input(tmp_path):
    video, pictures = tmp_path / "clip.mp4", [tmp_path / f"{number}.png" for number in range(3)]
    for path in (video, *pictures):
        path.write_bytes(b"a" * 300_000)
    before = content_hash([video]), content_hash(pictures)
    video.write_bytes(b"a" * 150_000 + b"b" + b"a" * 149_999)
    pictures[1].write_bytes(b"a" * 299_999 + b"b")
    assert before[0] != content_hash([video]) and before[1] != content_hash(pictures)


@pytest.mark.parametrize("moment", [0.3, 1.0])
def test_ctrl_c_while_the_program_starts_is_one_line(tmp_path, moment):
    # A library whose loading takes long, so that the signal comes while it loads.
    (tmp_path / "cv2.py").write_text(f"import time\nprint('loading', flush=True)\ntime.sleep({30 * moment})\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"}
    command = [sys.executable, "-m", "runtime.decompose", "x.png"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "loading\n"
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "interrupted\n")
