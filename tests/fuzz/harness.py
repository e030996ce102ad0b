"""Damaged copies of whole files, read in a process of their own: what a fuzz test is made of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.fuzz.mutations import mutated

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
# The processor's, of the slowest file; the machine may be busy.
MOST_SECONDS = 10
MOST_MEGABYTES = 1000


def damage(seeds: Iterable[Path], count: int, random: int = 24) -> None:
    """Writes `count` damaged copies beside each file: NAME_000.SUFFIXES, ..."""
    rng = np.random.default_rng(random)
    for seed in seeds:
        data = seed.read_bytes()
        stem, _, suffix = seed.name.partition(".")
        for number in range(count):
            seed.with_name(f"{stem}_{number:04d}.{suffix}").write_bytes(mutated(data, rng))


def read_all(folder: Path, report: Path, timeout: float = 300) -> Counter[str]:
    """Reads all files of a folder; asserts that each is read or refused in one line, quickly, in little memory, and that
    nothing crashes. Files without "_" in their name have to be read. Returns how many were read and refused."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "read_all.py"), str(folder), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, errors="replace")
    lines = report.read_text(encoding="utf-8").splitlines()
    assert done.returncode == 0, f"the process died of {done.returncode} at {lines[-1:]}: {done.stderr[-2000:]}"
    results = list(zip(lines[:-1:2], lines[1:-1:2]))
    assert len(results) == len(list(folder.iterdir()))
    assert [pair for pair in results if not pair[1].startswith(("read ", "refused "))] == []
    assert [pair for pair in results if "_" not in pair[0] and not pair[1].startswith("read ")] == []
    seconds, peak = max(float(result.split()[1]) for _, result in results), int(lines[-1].split()[1])
    assert seconds < MOST_SECONDS and peak < MOST_MEGABYTES, f"{seconds} s and {peak} MB"
    assert done.stderr == ""
    counts = Counter(result.split()[0] for _, result in results)
    print(f"{len(results)} files, {dict(counts)}, slowest {seconds:.2f} s, peak {peak} MB")
    return counts
