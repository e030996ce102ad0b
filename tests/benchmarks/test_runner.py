"""A stopped run goes on, in any number of processes, to the numbers of one that was not stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.benchmarks import quality
from intrinsic_flow.benchmarks.scoring.runner import Progress, ViewResult

WITHOUT_WEIGHTS = ["--methods", "retinex", "trivial"]


def result(name: str) -> ViewResult:
    return ViewResult(name, 0.5, [{"view": name, "group": name, "method": "m", "layer": "albedo", "lmse": 0.1}])


def test_results_come_back_after_an_interruption(tmp_path: Path) -> None:
    file, run = tmp_path / "out" / "progress.jsonl", {"steps": 2}
    first = Progress(file, run)
    for name in "ab":
        first.add(result(name))
    first.close(remove=False)
    second = Progress(file, run)
    assert second.done == {"a": result("a"), "b": result("b")}
    second.add(result("c"))
    second.close(remove=False)
    assert list(Progress(file, run).done) == ["a", "b", "c"]


def test_results_of_other_settings_are_not_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    first = Progress(file, {"steps": 2})
    first.add(result("a"))
    first.close(remove=False)
    assert Progress(file, {"steps": 3}).done == {}


def test_a_line_that_was_cut_short_is_judged_again(tmp_path: Path) -> None:
    file, run = tmp_path / "progress.jsonl", {}
    first = Progress(file, run)
    first.add(result("a"))
    first.add(result("b"))
    first.close(remove=False)
    file.write_text(file.read_text()[:-20])
    assert list(Progress(file, run).done) == ["a"]


def test_the_file_goes_when_the_report_is_complete(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.jsonl", {})
    progress.close(remove=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stopped_run_goes_on_to_the_same_report(
    workers: str, tmp_path: Path, make, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make.mit(data, ["a", "b", "c", "d"])
    arguments = ["--dataset", "mit", "--data", str(data), "--methods", "trivial"]
    assert quality.main([*arguments, "--workers", "1", "--report", str(tmp_path / "whole")]) == 0
    arguments += ["--workers", workers]

    broken = data / "c" / "diffuse.png"
    intact = broken.read_bytes()
    broken.write_bytes(intact[:200])
    report = tmp_path / "stopped"
    assert quality.main([*arguments, "--report", str(report)]) == 1
    assert sorted(path.name for path in report.iterdir()) == ["progress.jsonl"]
    assert str(broken) in capsys.readouterr().err

    broken.write_bytes(intact)
    # In another number of processes than before.
    assert quality.main([*arguments[:-1], "1", "--report", str(report)]) == 0
    assert "2 of 4 views were scored before" in capsys.readouterr().err
    for name in ("quality.json", "report.md", "views.csv", "pictures.png"):
        assert (report / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (report / "progress.jsonl").exists()


def test_an_interrupted_run_says_that_it_can_go_on(
    tmp_path: Path, make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make.mit(data, ["a"])

    def interrupted(*args) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "run", interrupted)
    arguments = ["--dataset", "mit", "--data", str(data), *WITHOUT_WEIGHTS, "--report", str(tmp_path / "out")]
    assert quality.main(arguments) == 130
    assert capsys.readouterr().err == "stopped; the same command goes on\n"
    assert (tmp_path / "out" / "progress.jsonl").is_file()


def test_a_report_that_cannot_be_written_gives_one_line(tmp_path: Path, make, capsys: pytest.CaptureFixture[str]) -> None:
    make.mit(tmp_path, ["a"])
    (tmp_path / "file").write_text("in the way")
    arguments = ["--dataset", "mit", "--data", str(tmp_path), *WITHOUT_WEIGHTS]
    assert quality.main([*arguments, "--report", str(tmp_path / "file" / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path / "file") in error


def test_best_median_and_worst_are_those_of_the_first_methods_layers() -> None:
    from intrinsic_flow.benchmarks.scoring.protocols.layers import NativeProtocol

    records = []
    for number, value in enumerate([0.5, 0.1, 0.4, 0.2, 0.3]):
        for layer, shift in (("albedo", 0.0), ("shading", 0.02)):
            records.append({"view": f"v{number}", "method": "flow", "layer": layer, "lmse": value + shift})
        records.append({"view": f"v{number}", "method": "image", "layer": "albedo", "lmse": 1 - value})
    shown = quality.shown_views(records, NativeProtocol())
    assert [entry[:2] for entry in shown] == [
        ("best", "v1"),
        ("first quartile", "v3"),
        ("median", "v4"),
        ("last quartile", "v2"),
        ("worst", "v0"),
    ]
    assert shown[0][2] == pytest.approx(0.11)
    three = [record for record in records if record["view"] in ("v0", "v1", "v4")]
    assert [entry[0] for entry in quality.shown_views(three, NativeProtocol())] == ["best", "median", "worst"]
    one = [record for record in records if record["view"] == "v0"]
    assert [entry[:2] for entry in quality.shown_views(one, NativeProtocol())] == [("best", "v0")]


def test_json_holds_no_number_that_is_not_one(tmp_path: Path, make) -> None:
    make.saw(tmp_path / "saw", [1, 2])
    file = tmp_path / "scores.json"
    arguments = ["--dataset", "saw", "--data", str(tmp_path / "saw"), *WITHOUT_WEIGHTS, "--json", str(file)]
    assert quality.main(arguments) == 0
    rows = json.loads(file.read_text())["rows"]
    assert rows and all(np.isfinite(row["ap"]) for row in rows)
