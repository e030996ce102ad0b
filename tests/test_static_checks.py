"""The sources pass the linter, the formatter and the type checker as pyproject.toml configures them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def tool(name: str) -> str:
    """The tool of this environment, not another one on PATH."""
    found = shutil.which(name, path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip(f"{name} is not installed in this environment (the test extra brings it)")
    return found


def check(*command: str, **options: object) -> None:
    result = subprocess.run([tool(command[0]), *command[1:]], capture_output=True, text=True, timeout=600, **options)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("command", [("check", "."), ("format", "--check", ".")], ids=("check", "format"))
def test_ruff_passes(command):
    check("ruff", *command, cwd=REPOSITORY)


def test_mypy_passes(tmp_path):
    # The package as a wheel lays it out: mypy follows no __path__.
    package = tmp_path / "intrinsic_flow"
    package.mkdir()
    for source in [*(REPOSITORY / "runtime").iterdir(), *(REPOSITORY / name for name in ("train", "export", "benchmarks"))]:
        if source.suffix in (".py", ".typed", "") and source.name != "__pycache__":
            (package / source.name).symlink_to(source)
    settings = ("--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(REPOSITORY / ".mypy_cache"))
    check("mypy", *settings, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(tmp_path)})
