"""Writes docs/commands.md, what every command says of itself.

python docs/commands.py
python docs/commands.py --check     # exit code 1 where the page is out of date
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from pathlib import Path

import generated

from intrinsic_flow.commands import run_as

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "commands.md"
PACKAGES = ("runtime", "train", "export", "benchmarks")
# What another command starts.
INTERNAL = ("benchmarks.timing.fresh_process", "runtime.commands")
WIDTH = 100
_INTRODUCTION = """# Commands

What `--help` says, collected by `python docs/commands.py`; the other pages show them at work. Those of `runtime`
need no PyTorch.
"""
# Python 3.12 and older repeat the value: -o DIR, --output DIR.
_REPEATED = re.compile(r"(?m)^(  -\w) (\S+), (--[\w-]+ \2)(?=\s|$)")


def commands() -> list[str]:
    """Modules that run as programs."""
    found = []
    for package in PACKAGES:
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            module = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
            if '\nif __name__ == "__main__":' in file.read_text(encoding="utf-8") and module not in INTERNAL:
                found.append(module)
    return found


def help_of(module: str) -> str:
    """Its --help, the same under every version of Python and in every terminal. Raises RuntimeError if it has none."""
    main = importlib.import_module(run_as(module)).main
    written = io.StringIO()
    sys.argv = [module, "--help"]
    try:
        with contextlib.redirect_stdout(written):
            main()
    except SystemExit as ended:
        if not ended.code:
            return _REPEATED.sub(r"\1, \3", written.getvalue()).rstrip()
    raise RuntimeError(f"{module} --help: found no exit code 0")


def page() -> str:
    """The page's text."""
    os.environ.update(COLUMNS=str(WIDTH), NO_COLOR="1")
    names = commands()
    texts = [help_of(name) for name in names]
    contents = "\n".join(f"- [`{name}`](#{name.replace('.', '')})" for name in names)
    sections = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in zip(names, texts, strict=True)]
    return "\n".join([_INTRODUCTION, contents, "", *sections])


if __name__ == "__main__":
    sys.exit(generated.run("docs/commands.py", __doc__, PAGE, page))
