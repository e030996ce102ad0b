"""Answers that are told the truth, layers of two scales, materials, and the table of everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.benchmarks import measures, quality
from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, Layers
from intrinsic_flow.benchmarks.scoring.datasets import ShardDataset
from intrinsic_flow.benchmarks.scoring.metrics import lmse
from intrinsic_flow.benchmarks.scoring.metrics.materials import Materials
from intrinsic_flow.benchmarks.scoring.metrics.scales import cell_of, coarse_and_detail
from intrinsic_flow.benchmarks.scoring.oracle import ORACLES, Oracle
from intrinsic_flow.benchmarks.scoring.protocols.measures import DenseMeasures, MaterialProtocol


def gray(values: list[list[float]]) -> np.ndarray:
    return np.repeat(np.array(values, np.float32)[..., None], 3, axis=-1)


def test_the_coarse_part_of_one_layer_meets_the_detail_of_another() -> None:
    # Two cells of four pixels. Geometric means of `coarse`: 2 and 32; of `detail`: 1 and 1. Between the cells' centres the
    # logarithm of their ratio goes from that of 2 to that of 32, sixteen times as much, in steps of a quarter.
    mask = np.ones((4, 8), bool)
    coarse = gray([[1, 4, 2, 2, 32, 32, 16, 64]] * 4)
    detail = gray([[3, 1 / 3, 1, 1, 1, 1, 5, 1 / 5]] * 4)
    low = 2 * 16 ** np.array([0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1])
    answer = coarse_and_detail(coarse, detail, mask, 4)
    np.testing.assert_allclose(answer[..., 0], np.tile(low * detail[0, :, 0], (4, 1)), rtol=1e-5)
    np.testing.assert_allclose(coarse_and_detail(detail * 7, detail, mask, 4), detail * 7, rtol=1e-5)


def test_pixels_outside_the_mask_have_no_part_in_a_cell() -> None:
    mask = np.ones((4, 4), bool)
    mask[0, 1] = False
    coarse = gray([[2, 99, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]])
    answer = coarse_and_detail(coarse, np.ones((4, 4, 3), np.float32), mask, 4)
    np.testing.assert_allclose(answer[mask], 2, rtol=1e-5)


def test_a_cell_has_sixteen_pixels_of_256_on_the_short_side() -> None:
    assert cell_of((256, 400, 3)) == 16 and cell_of((1024, 512)) == 32 and cell_of((10, 10)) == 1


def test_what_the_network_finds_is_replaced_and_what_comes_after_it_is_not(
    tmp_path: Path, make: SimpleNamespace, bundle: Path
) -> None:
    sample = ShardDataset(make.shard(tmp_path / "val-00000.tar", 1, valid=1.0)).load("v0")
    assert sample.albedo is not None
    with Decomposer.load(bundle, "cpu") as model:
        ours = model.decompose(sample.image)
        answers = Oracle(model).answers(sample)
        assert set(answers) == set(ORACLES)
        again = model.decompose(sample.image)
    np.testing.assert_array_equal(again.albedo, ours.albedo)
    # A network that finds the truth, on 64 pixels a side, is as good as its guided filter; the tiny one finds nothing.
    error = {name: lmse(layers.albedo, sample.albedo, sample.mask) for name, layers in answers.items()}
    assert error["true albedo"] < 0.5 * lmse(ours.albedo, sample.albedo, sample.mask)
    product = answers["true albedo"].albedo * answers["true albedo"].shading
    np.testing.assert_allclose(product, sample.image, rtol=1e-4, atol=1e-6)
    assert answers["undivided"].shading is None
    swapped = coarse_and_detail(ours.albedo, sample.albedo, sample.mask, cell_of(sample.mask.shape))
    np.testing.assert_allclose(answers["ours over the truth"].albedo, swapped, rtol=1e-5)


def test_the_oracle_is_an_option_of_protocols_with_a_dense_truth(
    tmp_path: Path, make: SimpleNamespace, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make.shard(tmp_path / "val-00000.tar", 1)
    command = ["--dataset", "shards", "--data", str(tmp_path), "--bundle", str(bundle), "--methods", "flow", "--oracle"]
    assert quality.main(command) == 0
    out = capsys.readouterr().out
    assert all(f"| albedo | {name} |" in out for name in ORACLES)
    with pytest.raises(SystemExit):
        quality.main([*command, "--protocol", "contrast"])


def test_each_material_is_scored_by_its_own_pixels(tmp_path: Path, make: SimpleNamespace) -> None:
    plain = ShardDataset(make.shard(tmp_path / "val-00000.tar", 1, valid=1.0)).load("v0")
    index = np.ones(plain.mask.shape, int)
    index[:20], index[0, :30] = 0, 2  # the third has less than 1% of the pixels
    sample = replace(plain, labels=Materials(("cloth", "wood", "skin"), index))
    assert plain.albedo is not None
    half = plain.albedo.copy()
    half[20:] = 0
    records, _ = MaterialProtocol().judge(sample, {"half": lambda image, mask: Layers(half)})
    assert {record["layer"]: record["lmse"] for record in records} == pytest.approx({"cloth": 0, "wood": 1})
    assert MaterialProtocol().judge(plain, TRIVIAL)[0] == []
    layers = {record["layer"] for record in DenseMeasures().judge(sample, TRIVIAL)[0]}
    assert layers == {"albedo", "shading", "cloth", "wood"}


def test_one_command_gives_every_set_that_is_there(
    tmp_path: Path, make: SimpleNamespace, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = make.shard(tmp_path / "val-00000.tar", 2)
    (tmp_path / "eval" / "mit").mkdir(parents=True)
    make.mit(tmp_path / "eval" / "mit", ["a"])
    make.picture(tmp_path / "eval" / "photos" / "b.png", np.random.default_rng(0).uniform(0.1, 0.9, (48, 64, 3)))
    file = tmp_path / "scores.json"
    where = ["--eval", str(tmp_path / "eval"), "--shards", str(shard), "--limit", "1", "--json", str(file)]
    assert measures.main(["--bundle", str(bundle), *where]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert {row["dataset"] for row in rows} == {"shards", "shards, white-balanced", "mit", "photos"}
    assert {row["n"] for row in rows} == {1}
    assert {row["method"] for row in rows} == {"flow", "truth", *ORACLES}
    assert "| photos | albedo | flow | contrast" in capsys.readouterr().out


def test_a_training_run_is_scored_as_it_stands(tmp_path: Path, make: SimpleNamespace) -> None:
    torch = pytest.importorskip("torch")
    from intrinsic_flow.benchmarks.scoring.methods import CHECKPOINT
    from intrinsic_flow.train import checkpoint
    from intrinsic_flow.train.networks.config import CONFIGS
    from intrinsic_flow.train.networks.model import IntrinsicFlow

    assert checkpoint.CHECKPOINT == CHECKPOINT
    run, shard, file = tmp_path / "run", make.shard(tmp_path / "val-00000.tar", 1), tmp_path / "scores.json"
    run.mkdir()
    weights = {"model": IntrinsicFlow(CONFIGS["tiny"]).state_dict()}
    state = {
        "stage": "flow",
        "network": CONFIGS["tiny"].to_dict(),
        "ema": weights,
        "training": {},
        "step": 3,
        "seconds": 1.0,
    }
    torch.save(state, run / CHECKPOINT)
    assert measures.main(["--bundle", str(run), "--shards", str(shard), "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["settings"]["flow"]["bundle"] == "run"
    assert {row["method"] for row in report["rows"]} == {"flow", "truth", *ORACLES}
    score = measures.run

    def train_on(*arguments: object) -> object:
        # A training beside it saves a checkpoint that would change every later score.
        torch.save(state | {"stage": "vae"}, run / CHECKPOINT)
        return score(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "run", train_on)
        assert measures.main(["--bundle", str(run), "--shards", str(shard), "--json", str(file)]) == 0
    assert json.loads(file.read_text())["rows"] == report["rows"]
    assert measures.main(["--bundle", str(run), "--shards", str(shard)]) == 1


def test_no_picture_at_all_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measures.main(["--methods", "trivial", "--eval", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
