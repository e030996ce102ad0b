"""The wheel holds what the sources hold, and works where nothing else is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
#: Folder of the checkout, and its place in the wheel.
PACKAGES = {
    "runtime": "intrinsic_flow",
    "train": "intrinsic_flow/train",
    "export": "intrinsic_flow/export",
    "benchmarks": "intrinsic_flow/benchmarks",
}
#: Results of the benchmarks, for readers of the repository.
LEFT_OUT = ("benchmarks/reports/",)


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    # Without the sources on its path, a process finds only what is installed.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600, env=environment, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def sources() -> list[str]:
    """Files of the checkout, without ignored ones."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("no git checkout, which tells sources from other files")
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=REPOSITORY).stdout.split("\0")
    return [name for name in listed if name and (REPOSITORY / name).is_file()]


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    """Built from a copy, because setuptools leaves a build folder and takes files of an old one into the next wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in sources:
        if name.startswith((*(f"{package}/" for package in PACKAGES), "pyproject.toml", "README.md", "LICENSE")):
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / "copy" / name)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "out", folder / "copy")
    (built,) = (folder / "out").glob("intrinsic_flow-*.whl")
    return built


def test_wheel_holds_every_file_of_the_packages_and_no_other(wheel, sources):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        PACKAGES[name.split("/")[0]] + name[name.index("/") :]
        for name in sources
        if name.split("/")[0] in PACKAGES and not name.startswith(LEFT_OUT)
    }
    assert "intrinsic_flow/models/small/model.safetensors" in expected
    assert held == expected


def test_metadata_states_the_licence_and_no_address(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Name"] == "intrinsic-flow"
    assert not any(key in metadata for key in ("Home-page", "Project-URL", "Author-email"))


@pytest.mark.slow
def test_wheel_installs_into_an_empty_environment_and_decomposes(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "-q", f"{wheel}[cpu]", cwd=tmp_path)
    command = python.with_name("intrinsic-flow")
    assert "intrinsic-flow decompose" in (help := run(command, "decompose", "--help", cwd=tmp_path).stdout)
    assert "python -m" not in help
    assert run(python, "-m", "intrinsic_flow.decompose", "--help", cwd=tmp_path).stdout == help
    picture = shutil.copy2(REPOSITORY / "examples" / "room.png", tmp_path)
    run(command, "decompose", picture, "-o", tmp_path / "out", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "room_albedo.png",
        "room_shading.png",
        "room_shading.json",
    }
    # None of what training and export need came along.
    listed = run(python, "-m", "pip", "list", "--format=freeze").stdout
    assert not any(line.startswith(("torch=", "onnx=", "gradio=", "ray=")) for line in listed.splitlines())
