from __future__ import annotations

from pathlib import Path

import pytest
import torch

from intrinsic_flow.train import flow, mean
from intrinsic_flow.train.checkpoint import load_checkpoint, load_initial_weights, load_run
from intrinsic_flow.train.config import FlowConfig


@pytest.fixture
def runs(flow_run: Path, tiny_options: dict, tmp_path: Path) -> list[Path]:
    """Two runs, the second a step further than the first."""
    further = FlowConfig(**{**tiny_options, "ema_decay": 0.0}, steps=1, learning_rate=0.1)
    flow.train(further, tmp_path / "further", init=str(flow_run))
    return [flow_run, tmp_path / "further"]


def test_the_mean_lies_between_two_runs_and_is_a_run(runs: list[Path], tmp_path: Path) -> None:
    first, second = map(load_initial_weights, runs)
    name = next(name for name in first if not torch.equal(first[name], second[name]))
    assert mean.main([str(runs[1]), str(runs[0]), "--share", "0.25", "-o", str(tmp_path / "mean")]) == 0
    found = load_initial_weights(tmp_path / "mean")
    torch.testing.assert_close(found[name], 0.25 * second[name] + 0.75 * first[name])
    assert load_run(tmp_path / "mean")[1]["step"] == load_checkpoint(runs[1], "flow")["step"]


def test_a_mean_is_no_run_to_resume(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "mean"
    assert mean.main([str(runs[1]), str(runs[0]), "-o", str(folder)]) == 0
    with pytest.raises(mean.CheckpointError, match=r"mean: found a checkpoint without model, expected a run to go on with"):
        flow.main(["--resume", str(folder)])
    with pytest.raises(mean.CheckpointError, match=r"mean: found a checkpoint without model, expected a run to go on with"):
        flow.main(["--resume", str(folder), "--decay", "5", "-o", str(tmp_path / "decayed")])
    assert not (tmp_path / "decayed").exists()


def test_what_does_not_fit_is_one_line_and_nothing_is_written(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(tmp_path / "new")
    assert mean.main([str(runs[0]), "runtime/models/small", "-o", new]) == 1
    assert "expected the same network" in capsys.readouterr().err
    assert mean.main([str(tmp_path / "none"), str(runs[0]), "-o", new]) == 1
    assert "none/checkpoint.pt: found no such file" in capsys.readouterr().err
    assert not Path(new).exists()
    assert mean.main([str(runs[0]), str(runs[1]), "-o", str(tmp_path)]) == 1
    assert "expected a new folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        mean.main([str(runs[0]), str(runs[1]), "--share", "1.5", "-o", new])
