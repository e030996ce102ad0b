from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.benchmarks import quality
from intrinsic_flow.benchmarks.report import CELL
from intrinsic_flow.benchmarks.scoring import runner
from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, Layers
from intrinsic_flow.benchmarks.scoring.datasets import MitDataset, Sample, ShardDataset
from intrinsic_flow.benchmarks.scoring.metrics import score_layer
from intrinsic_flow.benchmarks.scoring.protocols import BENCHMARKS
from intrinsic_flow.benchmarks.scoring.protocols.layers import NativeProtocol
from intrinsic_flow.benchmarks.scoring.retinex import THRESHOLDS
from intrinsic_flow.decomposition.decomposer import Decomposer

Maker = Callable[..., Path]
NATIVE = NativeProtocol()
WITHOUT_WEIGHTS = ["--methods", "retinex", "trivial"]


def oracle(sample: Sample) -> Callable[[np.ndarray, np.ndarray], Layers]:
    return lambda image, mask: Layers(sample.albedo * 3, sample.shading * 0.1)


def test_the_truth_scores_perfectly_and_beats_every_trivial_answer(tmp_path: Path, make_shard: Maker) -> None:
    dataset = ShardDataset(make_shard(tmp_path / "val-00000.tar", 1))
    sample = dataset.load(dataset.names[0])
    result = runner.judge_view(dataset, sample.name, NATIVE, {"oracle": oracle(sample), **TRIVIAL})
    lmse = {(record["method"], record["layer"]): record["lmse"] for record in result.records}
    assert set(lmse) == {
        ("oracle", "albedo"),
        ("oracle", "shading"),
        ("image", "albedo"),
        ("chromaticity", "albedo"),
        ("constant", "albedo"),
        ("gray image", "shading"),
        ("constant", "shading"),
    }
    for (method, _), value in lmse.items():
        assert value < 1e-9 if method == "oracle" else value > 1e-3


def test_a_method_gets_the_linear_image_and_the_mask(tmp_path: Path, make_mit: Maker) -> None:
    dataset = MitDataset(make_mit(tmp_path, ["a"]))
    sample, seen = dataset.load("a"), []

    def method(image: np.ndarray, mask: np.ndarray) -> Layers:
        seen.append((image, mask))
        return Layers(albedo=image)

    runner.judge_view(dataset, "a", NATIVE, {"m": method})
    np.testing.assert_array_equal(seen[0][0], sample.image)
    np.testing.assert_array_equal(seen[0][1], sample.mask)


def test_coloured_shading_is_judged_by_its_luminance_where_the_truth_is_gray(tmp_path: Path, make_mit: Maker) -> None:
    dataset = MitDataset(make_mit(tmp_path, ["a"]))
    sample = dataset.load("a")
    tinted = sample.shading * np.array([0.5, 1.0, 2.0], np.float32)
    result = runner.judge_view(dataset, "a", NATIVE, {"tinted": lambda image, mask: Layers(shading=tinted)})
    assert result.records[0]["lmse"] < 1e-9
    assert score_layer(tinted, sample.shading, sample.mask)["lmse"] > 0.1


def test_the_report_holds_the_mean_over_views_for_each_method_and_layer(
    tmp_path: Path, make_shard: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shard(tmp_path / "val-00000.tar", 3)
    out = tmp_path / "out" / "report"
    arguments = ["--dataset", "shards", "--data", str(tmp_path), *WITHOUT_WEIGHTS]
    assert quality.main([*arguments, "--report", str(out), "--json", str(tmp_path / "scores.json")]) == 0

    report = json.loads((out / "quality.json").read_text())
    assert report == json.loads((tmp_path / "scores.json").read_text())
    assert report["environment"]["numpy"] == np.__version__
    rows = {(row["method"], row["layer"]): row for row in report["rows"]}
    assert len(rows) == len(report["rows"]) == 7
    views = list(csv.DictReader((out / "views.csv").read_text().splitlines()))
    for (method, layer), row in rows.items():
        assert row["dataset"] == "shards" and row["n"] == 3 and row["skipped"] == 0 and "LMSE" in row["protocol"]
        single = [view for view in views if (view["method"], view["layer"]) == (method, layer)]
        for score in ("si_mse", "rmse", "lmse", "ssim"):
            assert row[score] == pytest.approx(np.mean([float(view[score]) for view in single]))
    assert rows["retinex", "albedo"]["thresholds"]["chromaticity"] > 0

    lines = capsys.readouterr().out.splitlines()
    for (method, layer), row in rows.items():
        assert any(f"| {layer} | {method} |" in line and f"{row['lmse']:.4f}" in line for line in lines)
        low, high = row["interval"]["lmse"]
        assert low <= row["lmse"] <= high
    assert (out / "report.md").read_text().count("| albedo | retinex |") == 1
    # input, two truths, two layers of Retinex; best, median and worst of three views below the line of titles
    picture = cv2.imread(str(out / "pictures.png"))
    assert picture.shape[1] // CELL == 5 and picture.shape[0] // CELL == 3
    assert sorted(path.name for path in out.iterdir()) == ["pictures.png", "quality.json", "report.md", "views.csv"]


def test_retinex_runs_untuned_too_where_its_thresholds_were_tuned_on_the_set(tmp_path: Path, make_mit: Maker) -> None:
    make_mit(tmp_path, ["a"])
    file = tmp_path / "scores.json"
    assert quality.main(["--dataset", "mit", "--data", str(tmp_path), *WITHOUT_WEIGHTS, "--json", str(file)]) == 0
    thresholds = {row["method"]: row.get("thresholds") for row in json.loads(file.read_text())["rows"]}
    assert thresholds["retinex"] == vars(THRESHOLDS["mit"])
    assert thresholds["retinex untuned"] == vars(THRESHOLDS["shards"])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_flow_row_scores_what_the_decomposer_answers(
    workers: str, tmp_path: Path, make_shard: Maker, bundle: Path
) -> None:
    shard = make_shard(tmp_path / "val-00000.tar", 2)
    options = [
        "--bundle",
        str(bundle),
        "--steps",
        "3",
        "--seed",
        "4",
        "--resolution",
        "32",
        "--workers",
        workers,
    ]
    arguments = ["--dataset", "shards", "--data", str(shard), *options, "--report", str(tmp_path / "out")]
    assert quality.main(arguments) == 0
    expected = {"albedo": [], "shading": []}
    with Decomposer.load(bundle, "cpu", steps=3, seed=4, resolution=32) as model:
        for sample in ShardDataset(shard):
            answer = model.decompose(sample.image)
            expected["albedo"].append(score_layer(answer.albedo, sample.albedo, sample.mask)["lmse"])
            expected["shading"].append(score_layer(answer.shading, sample.shading, sample.mask)["lmse"])
    rows = json.loads((tmp_path / "out" / "quality.json").read_text())["rows"]
    flow = {row["layer"]: row for row in rows if row["method"] == "flow"}
    assert len(rows) == 9
    for layer, values in expected.items():
        assert flow[layer]["lmse"] == pytest.approx(np.mean(values), rel=1e-4)
        assert (flow[layer]["bundle"], flow[layer]["steps"], flow[layer]["resolution"]) == ("tiny", 3, 32)
    # input, flow albedo, truth, flow shading, truth, and both layers of Retinex
    assert cv2.imread(str(tmp_path / "out" / "pictures.png")).shape[1] // CELL == 7


def test_limit_takes_the_first_views(tmp_path: Path, make_mit: Maker) -> None:
    make_mit(tmp_path, ["a", "b", "c"])
    arguments = ["--dataset", "mit", "--data", str(tmp_path), *WITHOUT_WEIGHTS, "--limit", "2"]
    assert quality.main([*arguments, "--report", str(tmp_path / "out")]) == 0
    views = csv.DictReader((tmp_path / "out" / "views.csv").read_text().splitlines())
    assert {view["view"] for view in views} == {"a", "b"}


def test_views_with_hardly_a_valid_pixel_are_left_out_and_counted(
    tmp_path: Path, make_shard: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shard(tmp_path / "val-00000.tar", 2)
    make_shard(tmp_path / "val-00001.tar", 3, prefix="w", valid=0.015)
    file = tmp_path / "scores.json"
    arguments = ["--dataset", "shards", "--data", str(tmp_path), *WITHOUT_WEIGHTS, "--json", str(file)]
    assert quality.main(arguments) == 0
    assert all(row["n"] == 2 and row["skipped"] == 3 for row in json.loads(file.read_text())["rows"])
    assert "2 views of 2 scenes scored, 75% of their pixels valid; 3 skipped" in capsys.readouterr().out


def test_a_set_without_valid_pixels_is_an_error(
    tmp_path: Path, make_shard: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shard(tmp_path / "val-00000.tar", 1, valid=0.0)
    assert quality.main(["--dataset", "shards", "--data", str(tmp_path), *WITHOUT_WEIGHTS]) == 1
    assert "no view with valid pixels" in capsys.readouterr().err


EVERY_PROTOCOL = [(dataset, b.protocol.name) for dataset, benchmarks in BENCHMARKS.items() for b in benchmarks]


@pytest.mark.parametrize("kind", ["missing", "empty folder", "file"])
@pytest.mark.parametrize(("dataset", "protocol"), EVERY_PROTOCOL)
def test_a_wrong_folder_gives_one_line_with_the_layout_and_the_source_and_exit_code_1(
    dataset: str, protocol: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"PK\x03\x04 no data set")
    assert quality.main(["--dataset", dataset, "--data", str(path), "--protocol", protocol, *WITHOUT_WEIGHTS]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(path) in error and "expected" in error
    if not (dataset == "shards" and kind == "file"):  # that one names the broken archive
        assert "published at" in error


def test_an_unknown_protocol_lists_those_of_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        quality.main(["--dataset", "mit", "--data", str(tmp_path), "--protocol", "flowiid"])
    assert stop.value.code == 2 and "native, barron, grosse, constancy, contrast" in capsys.readouterr().err


def test_an_unknown_split_lists_those_of_the_set(
    tmp_path: Path, make_mit: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    make_mit(tmp_path, ["a"])
    assert quality.main(["--dataset", "mit", "--data", str(tmp_path), "--split", "dev", *WITHOUT_WEIGHTS]) == 1
    assert "--split all or test or train or grosse" in capsys.readouterr().err


def test_an_unusable_bundle_gives_one_clear_line_and_exit_code_1(
    tmp_path: Path, make_mit: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    make_mit(tmp_path, ["a"])
    bundle = tmp_path / "no-bundle"
    assert quality.main(["--dataset", "mit", "--data", str(tmp_path), "--bundle", str(bundle)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(bundle) in error


@pytest.mark.parametrize("option", [["--limit", "0"], ["--resolution", "16"], ["--steps", "x"], ["--methods", "magic"]])
def test_wrong_usage_exits_with_2(option: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        quality.main(["--dataset", "mit", "--data", str(tmp_path), *option])
    assert stop.value.code == 2
