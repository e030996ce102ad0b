"""The README names commands and options that exist, and pictures that ship."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"-m ((?:runtime|train|export|benchmarks)\.[\w.]+)", README)))


@cache
def help_of(module: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_has_help_with_two_examples(module):
    assert help_of(module).count(f"python -m {module}") >= 2


def test_every_command_line_uses_options_that_exist():
    lines = re.findall(r"^\S*python -m (\S+)(.*)$", README, re.MULTILINE)
    lines = [(module, rest) for module, rest in lines if module in COMMANDS]
    assert len(lines) >= 8
    for module, rest in lines:
        for option in re.findall(r"(?<!\S)(--?[a-z][\w-]*)", rest.split("#")[0]):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_of(module)), f"{module} {option}"


def test_every_option_of_the_table_exists():
    table = README.split("## Use")[1].split("## ")[0]
    options = set(re.findall(r"(?<![\w-])--[a-z]+", table))
    assert len(options) >= 12
    for option in options:
        assert option in help_of("runtime.decompose")


def test_files_that_the_readme_shows_are_there():
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README) + re.findall(
        r"(examples/\w+\.png|train/recipes/\w+\.yaml)", README
    )
    assert len(shown) >= 4
    for path in shown:
        assert (REPOSITORY / path).is_file(), path
