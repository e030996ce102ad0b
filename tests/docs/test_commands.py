"""The page of commands says what the commands say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "docs" / "commands.py"


def test_the_page_is_current(monkeypatch, capsys):
    """In this process, where the tests need most of the commands' modules anyway."""
    monkeypatch.setenv("COLUMNS", "")
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    monkeypatch.syspath_prepend(SCRIPT.parent)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().err
