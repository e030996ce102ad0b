from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.train.data.prints import load_prints
from intrinsic_flow.train.prepare_prints import SIZE, main


def test_a_bank_has_prints_that_cover_and_letters_that_leave_gaps(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "prints.npy"
    assert main(["-o", str(output), "--count", "12", "--seed", "3"]) == 0
    bank = load_prints(output)
    assert bank.shape == (12, 4, SIZE, SIZE) and "12 prints" in capsys.readouterr().err
    coverage = bank[:, 3].float().mean((1, 2)) / 255
    letters = coverage < 1
    assert 0 < letters.sum() < 12
    # Lines of words: some ink, mostly gaps, in one colour; what has a ground is a picture of many.
    assert ((coverage[letters] > 0.02) & (coverage[letters] < 0.6)).all()
    assert (bank[letters][:, :3].float().std((2, 3)) == 0).all() and (bank[~letters][:, :3].float().std((2, 3)) > 2).all()


def test_the_same_seed_makes_the_same_bank(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["-o", str(tmp_path / f"{name}.npy"), "--count", "3", "--quiet"]) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_assets_that_are_missing_are_one_line_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["-o", str(tmp_path / "prints.npy"), "--assets", str(tmp_path / "none"), "--count", "2"]) == 1
    assert "none: found no such folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
