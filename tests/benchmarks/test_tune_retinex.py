from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.benchmarks import tune_retinex


def test_leave_one_out_judges_each_view_with_what_is_best_on_the_others() -> None:
    # Two settings; the others of the first view choose the second one, those of the rest the first.
    scores = np.array([[[0.0, 0.9]], [[1.0, 0.2]], [[1.0, 0.4]]])
    assert tune_retinex.leave_one_out(scores) == pytest.approx((0.9 + 1.0 + 1.0) / 3)


def test_the_best_cell_of_the_grid_is_reported(
    tmp_path: Path, make_mit: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    make_mit(tmp_path, ["a", "b"])
    assert tune_retinex.main(["--dataset", "mit", "--data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [float(cell) for line in lines[2:-2] for cell in line.split()[1:]]
    assert len(cells) == len(tune_retinex.CHROMATICITY) * len(tune_retinex.BRIGHTNESS)
    assert lines[-2].startswith("best of 2 views") and float(lines[-2].rsplit(" ", 1)[1]) == min(cells)
    assert lines[-1].startswith("leave-one-out: ")


def test_a_step_of_no_view_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tune_retinex.main(["--dataset", "mit", "--data", "none", "--every", "0"])
    assert caught.value.code == 2 and "--every: found 0, expected at least 1" in capsys.readouterr().err
