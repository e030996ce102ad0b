"""What a run may meet around it: no folder for temporary files, closed streams, a full disk, names in other encodings."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import read_image, write_image

REPOSITORY = Path(__file__).parents[3]
PIXELS = np.random.default_rng(1).random((40, 60, 3), np.float32)


def run(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(os.fsdecode, map(str, arguments))]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace", **options)


@pytest.mark.parametrize("format", ["png", "png16", "exr", "npy"])
def test_no_folder_for_temporary_files_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    path = tmp_path / f"a.{format.removesuffix('16')}"
    write_image(path, PIXELS, format=format)
    assert read_image(path).pixels.shape == PIXELS.shape


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
@pytest.mark.parametrize("format", ["png", "png16", "exr", "npy"])
def test_names_that_are_no_utf_8_are_read_and_written(tmp_path: Path, format: str) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/lat\xe9"))
    folder.mkdir()
    path = folder / os.fsdecode(b"caf\xe9." + format.removesuffix("16").encode())
    write_image(path, PIXELS, format=format)
    assert np.abs(read_image(path).pixels - PIXELS).max() < 0.01
    (folder / os.fsdecode(b"d\xe9fect.png")).write_bytes(b"\x89PNG\r\n\x1a\nxx")
    with pytest.raises(InputError):
        read_image(folder / os.fsdecode(b"d\xe9fect.png"))


WRITE = """
import resource, sys
import numpy as np
from intrinsic_flow.media.images import write_image
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
pixels = np.random.default_rng(0).random((200, 300, 3), np.float32)
try:
    write_image(sys.argv[1], pixels, format=sys.argv[2])
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the limit that stands for a full disk is POSIX")
@pytest.mark.parametrize("format", ["png", "png16", "exr", "npy"])
def test_a_full_disk_is_said_in_the_systems_words(tmp_path: Path, format: str) -> None:
    done = run(WRITE, tmp_path / "a.out", format)
    assert (done.returncode, done.stdout.strip()) == (0, os.strerror(27)), done.stderr
    assert list(tmp_path.iterdir()) == []


MAIN = "import sys; from intrinsic_flow.decompose import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are POSIX")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(tmp_path: Path, tiny_bundle: Path, closed: str) -> None:
    write_image(tmp_path / "a.png", PIXELS)
    command = f'"{sys.executable}" -c "{MAIN}" "{tmp_path}/a.png" -o "{tmp_path}/out" --bundle "{tiny_bundle}" {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=REPOSITORY)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_albedo.png", "a_shading.json", "a_shading.png",
    ]  # fmt: skip
    assert read_image(tmp_path / "out" / "a_albedo.png").pixels.shape == PIXELS.shape


@pytest.mark.skipif(sys.platform == "win32", reason="names hold no control characters there")
def test_each_message_is_one_line_whatever_a_file_is_called(tmp_path: Path, tiny_bundle: Path) -> None:
    write_image(tmp_path / "a\nb\x1b[2J.png", PIXELS)
    (tmp_path / "c\n  d.png").write_bytes(b"no picture")
    done = run(MAIN, tmp_path, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and "\x1b" not in done.stderr
    assert sum(line.startswith(f"[1/2] {tmp_path}/a b\\x1b[2J.png -> ") for line in lines) == 1
    assert sum(line.startswith(f"failed: {tmp_path}/c d.png: found plain text") for line in lines) == 1
    assert (tmp_path / "out/a\nb\x1b[2J_albedo.png").is_file()
