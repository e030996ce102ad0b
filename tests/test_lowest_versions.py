"""The lowest versions that pyproject.toml allows do what the newest do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
UV = shutil.which("uv")
TESTS = (
    "tests/runtime/decomposition/test_bundle.py",
    "tests/runtime/decomposition/test_decomposer.py",
    "tests/runtime/media/test_video.py",
    "tests/runtime/demo/test_access.py",
)


@pytest.mark.slow
@pytest.mark.skipif(UV is None, reason="needs uv, which can choose lowest versions: pip install uv")
def test_the_lowest_versions_pass(tmp_path):
    environment = {**os.environ, "VIRTUAL_ENV": str(tmp_path / "venv"), "PYTHONPATH": str(REPOSITORY)}

    def run(*command: object) -> None:
        done = subprocess.run(list(map(str, command)), cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]

    # A copy, because setuptools leaves a build folder and takes files of an old one into the next wheel.
    for name in ("runtime", "train", "export", "benchmarks"):
        shutil.copytree(REPOSITORY / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("reports"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(REPOSITORY / name, tmp_path / "copy")
    run(UV, "venv", tmp_path / "venv")
    wanted = (f"{tmp_path / 'copy'}[demo]", "onnx>=1.21", "pytest>=8", "OpenEXR>=3.5")
    run(UV, "pip", "install", "--resolution", "lowest-direct", *wanted)
    run(tmp_path / "venv" / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)
