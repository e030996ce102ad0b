"""The command of a script that writes a page or a figure of this folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

# Scripts describe the tree that they lie in, not another one that is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def run(script: str, description: str | None, file: Path, content: Callable[[], str]) -> int:
    """Writes `content()` into a file, or with --check compares it with what is there; returns the exit code.

    script: how the command is called, for the message. Line breaks do not count in the comparison: argparse breaks long
    lines of usage in other places from version to version.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the file is out of date")
    options = parser.parse_args()
    text = content()
    if not options.check:
        file.write_text(text, encoding="utf-8")
        return 0
    if not file.is_file() or file.read_text(encoding="utf-8").split() != text.split():
        print(f"{file}: found a file that is out of date, expected what python {script} writes", file=sys.stderr)
        return 1
    return 0
