"""Processes that are killed, disks that fill up, folders that vanish: what is there is complete, and the same command ends
the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.runtime.conftest import build_tiny_bundle

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return build_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def trials(kind: str, count: int, bundle: Path, folder: Path) -> list[dict]:
    command = [sys.executable, str(HERE / "trials.py"), kind, str(count), str(bundle), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120 + 120 * count)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    print(kind, len(results), "trials, exit codes", dict(Counter(result["code"] for result in results)))
    return results


@pytest.mark.parametrize(
    ("kind", "count"),
    [("step", 6), *(pytest.param(*case, marks=pytest.mark.slow) for case in (("step", 60), ("kill", 60)))],
)
def test_after_a_kill_the_same_command_ends_the_work(kind, count, bundle, tmp_path):
    results = trials(kind, count, bundle, tmp_path)
    assert [result for result in results if result["wrong at once"]] == []
    assert [result for result in results if result["again"] != 0 or result["different"]] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disk", "vanish"])
def test_a_full_disk_and_a_folder_that_vanishes_are_one_line(kind, bundle, tmp_path):
    results = trials(kind, 20, bundle, tmp_path)
    assert [result for result in results if result["traceback"] or result["code"] not in (0, 1)] == []
    assert [result for result in results if result["wrong at once"]] == []
    assert [result for result in results if result["again"] != 0 or result["different"]] == []
