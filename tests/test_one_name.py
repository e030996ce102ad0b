"""The package has one name, `intrinsic_flow`, in a checkout, in a copy of it and in a wheel; no module is loaded twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intrinsic_flow.commands import COMMANDS

REPOSITORY = Path(__file__).parents[1]
# Runs a program's --help as `python -m` does, and prints the modules by the file that they were read from.
_COUNT = """
import contextlib, io, json, runpy, sys
sys.argv = ["", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    runpy.run_module(sys.stdin.read(), run_name="__main__")
files = {}
for module in list({id(module): module for module in sys.modules.values()}.values()):
    if getattr(module, "__file__", None):
        files.setdefault(module.__file__, []).append(module.__name__)
print(json.dumps(files))
"""


def modules_by_file(program: str, **options: object) -> dict[str, list[str]]:
    done = subprocess.run([sys.executable, "-c", _COUNT], input=program, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("program", ["runtime.decompose", "train.flow", "export.build_trt", "benchmarks.latency"])
def test_a_program_of_the_checkout_loads_no_module_twice(program):
    files = modules_by_file(program, cwd=REPOSITORY)
    # A virtual environment may lie in the checkout: its packages are not ours.
    inside = {Path(file): names for file, names in files.items() if Path(file).is_relative_to(REPOSITORY)}
    ours = {str(file): names for file, names in inside.items() if "site-packages" not in file.parts}
    assert str(REPOSITORY / "runtime" / "commands.py") in ours
    assert {file: names for file, names in ours.items() if len(names) > 1} == {}
    assert all(name.split(".")[0] == "intrinsic_flow" for names in ours.values() for name in names)


def test_a_copy_of_the_tree_imports_itself(tmp_path):
    for folder in ("intrinsic_flow", "runtime", "train"):
        leave_out = shutil.ignore_patterns("__pycache__", "models")
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=leave_out)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    files = modules_by_file("train.render", cwd=tmp_path, env=environment)
    named = {file for file, names in files.items() if names[0].startswith("intrinsic_flow")}
    assert len(named) > 20
    assert all(Path(file).is_relative_to(tmp_path) for file in named)


def test_every_program_is_a_subcommand_and_every_subcommand_a_program():
    programs = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for package in ("runtime", "train", "export", "benchmarks")
        for path in (REPOSITORY / package).rglob("*.py")
        if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }
    internal = {"runtime.commands", "benchmarks.timing.fresh_process"}
    assert {module for module, _ in COMMANDS.values()} == programs - internal


def test_a_subcommand_is_the_program_of_its_module(tmp_path):
    def told(*command: str) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    absent = str(tmp_path / "absent.png")
    assert told("intrinsic_flow.commands", "decompose", absent) == told("runtime.decompose", absent)
    assert told("intrinsic_flow.commands", "inspect-shards", "--help") == told("train.inspect_shards", "--help")
    code, _, error = told("intrinsic_flow.commands", "decompse")
    assert code == 2 and "'decompse'" in error and "decompose" in error
