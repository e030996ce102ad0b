"""Damaged pictures of every format: each is read or refused in one line, quickly, in little memory, and nothing crashes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
# Of each format; the whole takes some 20 seconds.
COUNT = int(os.environ.get("INTRINSIC_FLOW_MUTATIONS", "16"))


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of whole files and their damaged copies."""
    folder = tmp_path_factory.mktemp("damaged")
    rng = np.random.default_rng(24)
    for seed in load("seeds").make_seeds(folder):
        data = seed.read_bytes()
        for number in range(COUNT):
            (folder / f"{seed.stem}_{number:03d}{seed.suffix}").write_bytes(load("mutations").mutated(data, rng))
    return folder


def test_damaged_pictures_are_read_or_refused_in_one_line(damaged: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "read_all.py"), str(damaged), str(tmp_path / "report")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, errors="replace")
    lines = (tmp_path / "report").read_text(encoding="utf-8").splitlines()
    assert done.returncode == 0, f"the process died of {done.returncode} at {lines[-1:]}"
    results = list(zip(lines[:-1:2], lines[1:-1:2]))
    assert len(results) == len(list(damaged.iterdir()))
    assert [pair for pair in results if not pair[1].startswith(("read ", "refused "))] == []
    seeds = [result for name, result in results if "_" not in name]
    assert all(result.startswith("read ") for result in seeds) and len(seeds) == 25
    assert max(float(result.split()[1]) for _, result in results) < 10
    assert int(lines[-1].split()[1]) < 1000, "MB at the peak"
    assert done.stderr == ""
