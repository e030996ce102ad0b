"""A table of experiments: trained under one budget, scored, continued, and told as Markdown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from intrinsic_flow.benchmarks import experiments
from intrinsic_flow.benchmarks.quality import summarise
from intrinsic_flow.benchmarks.scoring.datasets import ShardDataset
from intrinsic_flow.benchmarks.scoring.protocols import BENCHMARKS
from intrinsic_flow.benchmarks.scoring.torch_backend import TorchBackend, open_run
from intrinsic_flow.decomposition.bundle import NOISE, Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.decomposition.exposure import ToneMap
from intrinsic_flow.decomposition.noise import make_tile
from intrinsic_flow.train import flow, vae
from intrinsic_flow.train.config import VaeConfig
from intrinsic_flow.train.networks.model import IntrinsicFlow
from intrinsic_flow.train.run import Run

OPTIONS = {
    "data": "procedural",
    "network": "tiny",
    "buckets": ["64"],
    "batch": 2,
    "perceptual_network": "none",
    "validation_views": 2,
    "limit": 4,
    "device": "cpu",
    "steps": 2,
}


@pytest.fixture(scope="module", autouse=True)
def no_plots():
    """Drawing losses.png takes longer than the runs' steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "plot", lambda run: None)
        yield


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "vae"
    vae.train(VaeConfig(**{**OPTIONS, "buckets": ("64",)}), folder)
    return folder


def write_table(path: Path, rows: list[dict], vae_run: Path | None = None, **options: object) -> Path:
    table = {
        "stage": "flow" if vae_run else "vae",
        "options": {**OPTIONS, **({"vae": str(vae_run)} if vae_run else {}), **options},
        "experiments": rows,
    }
    path.write_text(yaml.safe_dump(table))
    return path


ROWS = [
    {"name": "base", "expect": "the reference"},
    {"name": "Linear input", "change": {"input_encoding": "linear"}, "expect": "worse in the dark"},
    {"name": "one step", "of": "base", "steps": 1},
    {"name": "control", "change": {"prediction": "regression"}},
]


@pytest.fixture(scope="module")
def finished(vae_run: Path, make_shard, make_mit, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A table that has run, and what it ran on."""
    folder = tmp_path_factory.mktemp("experiments")
    shard = make_shard(folder / "val-00000.tar", 3)
    (folder / "mit").mkdir()
    mit = make_mit(folder / "mit", ["a"])
    table = write_table(folder / "table.yaml", ROWS, vae_run)
    arguments = [
        "--table",
        str(table),
        "-o",
        str(folder / "out"),
        "--shards",
        str(shard),
        "--mit",
        str(mit),
        "--limit",
        "2",
    ]
    assert experiments.main(arguments) == 0
    return {"out": folder / "out", "shard": shard, "table": table, "arguments": arguments}


def rows_of(out: Path) -> dict[str, dict]:
    return {row["experiment"]: row for row in json.loads((out / "experiments.json").read_text())["rows"]}


def test_every_experiment_is_a_row_of_the_same_length_with_its_change(finished) -> None:
    rows = rows_of(finished["out"])
    assert list(rows) == ["base", "Linear input", "one step", "control"]
    assert {row["step"] for row in rows.values()} == {2}
    assert [row["change"] for row in rows.values()] == [
        "", "input_encoding: linear", "1 steps", "prediction: regression",
    ]  # fmt: skip
    text = (finished["out"] / "experiments.md").read_text()
    lines = text.splitlines()
    assert len(lines) == 2 + 4 and all(line.count("|") == lines[0].count("|") for line in lines)
    assert "worse in the dark" in lines[3] and "shards albedo LMSE" in lines[0] and "mit shading SSIM" in lines[0]
    assert f"{rows['base']['shards_albedo_lmse']:.4f}" in lines[2]


def test_scores_are_those_of_the_quality_report(finished) -> None:
    row = rows_of(finished["out"])["base"]
    samples = list(ShardDataset(finished["shard"]))[:2]
    (model,) = open_run(finished["out"] / "base", "cpu")

    def method(image, mask):
        result = model.decompose(image)
        return experiments.Layers(result.albedo, result.shading)

    protocol = BENCHMARKS["shards"][0].protocol
    records = [record for sample in samples for record in protocol.judge(sample, {"flow": method})[0]]
    reported = {found["layer"]: found for found in summarise(records, protocol, {})}
    for layer in ("albedo", "shading"):
        expected = np.mean([record["lmse"] for record in records if record["layer"] == layer])
        assert row[f"shards_{layer}_lmse"] == pytest.approx(expected, rel=1e-4)
        assert reported[layer]["lmse"] == pytest.approx(expected, rel=1e-9)


def test_start_noise_spreads_a_flow_but_not_a_regression(random_model, make_shard, tmp_path) -> None:
    regression = IntrinsicFlow(dataclasses.replace(random_model.config, prediction="regression"))
    regression.load_state_dict(random_model.state_dict())
    np.save(tmp_path / NOISE, make_tile(12, 0.25))
    manifest = Bundle(tmp_path, {"name": "run", "tone_map": ToneMap().to_dict()})
    sample = next(iter(ShardDataset(make_shard(tmp_path / "val-00000.tar", 1))))
    flow_spread, control_spread = (
        experiments.spread([Decomposer(manifest, TorchBackend(x, "cpu"), seed=seed) for seed in range(3)], sample)
        for x in (random_model, regression.eval())
    )
    assert control_spread < 1e-5 < 1e-4 < flow_spread


def test_another_number_of_steps_scores_the_same_run(finished) -> None:
    rows = rows_of(finished["out"])
    assert not (finished["out"] / "one-step" / "config.yaml").exists()
    assert rows["one step"]["validation_albedo_lmse"] == rows["base"]["validation_albedo_lmse"]
    assert rows["one step"]["shards_albedo_lmse"] != rows["base"]["shards_albedo_lmse"]


def test_what_is_done_is_not_done_again(finished, monkeypatch, capsys) -> None:
    before = rows_of(finished["out"])
    monkeypatch.setattr(experiments, "score_run", None)
    monkeypatch.setattr(flow, "random_batch", None)
    assert experiments.main(finished["arguments"]) == 0
    assert rows_of(finished["out"]) == before
    assert capsys.readouterr().out.count("| base |") == 1


def test_a_run_that_was_cut_short_goes_on(vae_run, tmp_path, monkeypatch) -> None:
    table = write_table(tmp_path / "t.yaml", [{"name": "a"}], vae_run, steps=4, save_every=1)
    arguments = ["--table", str(table), "-o", str(tmp_path / "out")]
    original, calls = flow.random_batch, []

    def interrupted(*batch):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*batch)

    with monkeypatch.context() as patch:
        patch.setattr(flow, "random_batch", interrupted)
        assert experiments.main(arguments) == 130
    assert torch.load(tmp_path / "out" / "a" / "checkpoint.pt", weights_only=True)["step"] == 2
    assert experiments.main(arguments) == 0
    assert rows_of(tmp_path / "out")["a"]["step"] == 4


def test_a_run_that_diverges_is_a_row_and_the_next_one_runs(tmp_path, capsys) -> None:
    rows = [{"name": "wild", "change": {"kl_weight": float("inf")}}, {"name": "tame"}]
    table = write_table(tmp_path / "t.yaml", rows)
    assert experiments.main(["--table", str(table), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "expected a finite loss" in text and "VAE PSNR" in text
    assert rows_of(tmp_path / "out")["tame"]["validation_psnr_srgb"] > 0


def test_a_folder_with_a_run_of_other_options_is_refused(finished, vae_run, tmp_path, capsys) -> None:
    table = write_table(tmp_path / "t.yaml", [{"name": "base", "change": {"batch": 3}}], vae_run)
    assert experiments.main(["--table", str(table), "-o", str(finished["out"])]) == 2
    assert "other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no experiments"),
        ([{"change": {"batch": 2}}], "expected a name"),
        ([{"name": "a", "change": {"colour": 2}}], "a: found unknown option 'colour'"),
        ([{"name": "a"}, {"name": "A"}], "twice"),
        ([{"name": "a", "of": "b"}], "found of 'b'"),
        ([{"name": "a", "weight": 1}], "weight"),
    ],
)
def test_a_wrong_table_is_named_before_anything_is_trained(tmp_path, capsys, rows, message) -> None:
    table = write_table(tmp_path / "t.yaml", rows)
    assert experiments.main(["--table", str(table), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and "t.yaml" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_torch_engine_decomposes_as_the_exported_bundle_does(exported_bundle, random_model) -> None:
    image = np.random.default_rng(0).uniform(0, 2, (70, 90, 3)).astype(np.float32)
    with Decomposer.load(exported_bundle, precision="fp32") as exported:
        expected = exported.decompose(image)
        ours = Decomposer(exported.bundle, TorchBackend(random_model, "cpu")).decompose(image)
    np.testing.assert_allclose(ours.albedo, expected.albedo, atol=2e-3)
    assert np.abs(ours.albedo - expected.albedo).mean() < 1e-5


def test_options_may_be_set_on_the_command_line(tmp_path, capsys) -> None:
    table = write_table(tmp_path / "t.yaml", [{"name": "a"}, {"name": "b", "change": {"seed": 3}}])
    settings = experiments.parse_settings(["seed=5", "kl-weight=0.25"])
    configs = [config for _, config in experiments.read_table(table, settings).rows]
    assert [config.seed for config in configs] == [5, 3] and {config.kl_weight for config in configs} == {0.25}
    assert experiments.main(["--table", str(table), "-o", str(tmp_path / "out"), "--set", "seed"]) == 2
    assert "found 'seed', expected OPTION=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["vae", "flow"])
def test_the_shipped_tables_are_sound(stage) -> None:
    path = Path(experiments.__file__).parents[1] / "train/recipes/experiments" / f"{stage}.yaml"
    table = experiments.read_table(path, {"data": "SHARDS", "perceptual_weights": "SQUEEZENET"})
    assert table.stage == stage and table.rows[0][0].name == "reference"
    reference = table.rows[0][1]
    # One change a row: nothing but what the row names differs.
    for experiment, config in table.rows[1:]:
        if config is not None:
            differs = {
                field.name
                for field in dataclasses.fields(config)
                if getattr(config, field.name) != getattr(reference, field.name)
            }
            assert differs == set(experiment.change or {}), experiment.name
