"""The page of commands says what the commands say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "docs" / "commands.py"
PAGE = REPOSITORY / "docs" / "commands.md"


def test_the_page_is_current():
    result = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_every_command_of_the_readme_is_on_the_page():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"-m ((?:runtime|train|export|benchmarks)\.[\w.]+)", readme))
    on_page = set(re.findall(r"(?m)^## (\S+)$", PAGE.read_text(encoding="utf-8")))
    assert named and named <= on_page
