"""Damaged pictures of every format: each is read or refused in one line, quickly, in little memory, and nothing crashes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.harness import damage, read_all
from tests.fuzz.seeds import make_seeds

# Of each format; the whole takes some 20 seconds.
COUNT = 16
LONG_COUNT = int(os.environ.get("INTRINSIC_FLOW_MUTATIONS", "500"))


@pytest.mark.parametrize("count", [COUNT, pytest.param(LONG_COUNT, marks=pytest.mark.slow)])
def test_damaged_pictures_are_read_or_refused_in_one_line(tmp_path: Path, count: int) -> None:
    seeds = make_seeds(tmp_path / "damaged")
    assert len(seeds) == 25
    damage(seeds, count)
    read_all(tmp_path / "damaged", tmp_path / "report", timeout=300 + 20 * count)
