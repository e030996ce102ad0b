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


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("ruff", "check", "."), id="ruff check"),
        pytest.param(("ruff", "format", "--check", "."), id="ruff format"),
        pytest.param(("mypy",), id="mypy"),
    ],
)
def test_the_sources_pass(command):
    result = subprocess.run([tool(command[0]), *command[1:]], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
