"""The contribution guide names files, names and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_paths_exist():
    paths = [path for path in re.findall(r"`([\w./]+/[\w./]*)`", GUIDE) if "NAME" not in path]
    assert len(paths) >= 15
    for path in paths:
        assert (REPOSITORY / path).exists(), path


def test_names_stand_where_the_guide_says():
    for name, file in re.findall(r"`(\w+)`(?:,)? (?:in|of|\()\s*`(\w[\w./]+\.py)`", GUIDE):
        found = [path for path in REPOSITORY.rglob(file) if ".venv" not in path.as_posix()]
        assert found and any(re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")) for path in found), (name, file)


def test_commands_exist():
    commands = re.findall(r"python -m ((?:runtime|train|export|benchmarks)\.[\w.]+)", GUIDE)
    assert len(commands) >= 3
    for command in commands:
        assert (REPOSITORY / (command.replace(".", "/") + ".py")).is_file(), command
