"""The latency report: what it measures, how it compares, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import latency
from benchmarks.latency import Contestant, main, measure, speedup
from runtime.bundle import Bundle

FIELDS = {
    "backend", "graph", "precision", "batch", "resolution", "steps", "threads",
    "min_ms", "p50_ms", "p90_ms", "p99_ms", "frames_per_second", "disturbed",
}  # fmt: skip
GRAPHS = ["encoder", "velocity_step", "decoder", "network", "decompose_2step", "decompose"]


@pytest.fixture(scope="module")
def report(exported_bundle: Path) -> dict[str, object]:
    bundle = Bundle.load(exported_bundle)
    return measure(bundle, resolution=64, batch=2, threads=1, rounds=3, torch=True, cold_starts=1)


def test_rows_cover_graphs_whole_decomposition_and_cold_start(report) -> None:
    rows = [row for row in report["rows"] if row["backend"] == "onnxruntime-cpu"]
    assert [row["graph"] for row in rows] == [*GRAPHS, "cold_start"]
    for row in report["rows"]:
        assert set(row) >= FIELDS
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert (row["precision"], row["resolution"], row["steps"], row["threads"]) == ("fp32", 64, 2, 1)
    assert report["environment"]["threads"] == 1
    assert report["environment"]["onnxruntime"] and report["environment"]["torch"]


def test_frames_per_second_count_the_batch(report) -> None:
    for row in report["rows"]:
        frames = 1 if row["graph"] in ("decompose", "cold_start") else 2
        assert row["batch"] == frames
        assert row["frames_per_second"] == pytest.approx(frames * 1e3 / row["p50_ms"], rel=1e-2)


def test_torch_runs_in_both_memory_formats_and_the_faster_is_quoted(report) -> None:
    rivals = [row for row in report["rows"] if row["backend"] == "torch-eager" and row["graph"] == "network"]
    assert {row["memory_format"] for row in rivals} == {"contiguous", "channels_last"}
    faster = min(rivals, key=lambda row: row["p50_ms"])
    ours = next(row for row in report["rows"] if row["graph"] == "network")
    assert ours["torch_memory_format"] == faster["memory_format"]
    assert ours["speedup_over_torch"] > 0


def test_the_network_takes_as_long_as_its_parts(report) -> None:
    shortest = {row["graph"]: row["min_ms"] for row in report["rows"] if row["backend"] == "onnxruntime-cpu"}
    parts = shortest["encoder"] + 2 * shortest["velocity_step"] + shortest["decoder"]
    assert 0.5 * parts < shortest["network"] < 4 * parts


def test_the_speedup_is_the_median_over_rounds() -> None:
    ours = Contestant({}, lambda: None, 1, times=[[1, 1, 9], [10, 10, 10], [2, 2, 2]])
    theirs = Contestant({}, lambda: None, 1, times=[[2, 2, 2], [15, 15, 15], [50, 50, 50]])
    assert speedup(ours, theirs) == 2


def test_times_that_other_work_disturbed_are_marked() -> None:
    def row(times: list[float]) -> dict[str, object]:
        return Contestant({}, lambda: None, 1, times=[times]).row()

    assert not row([10, 11, 12, 13])["disturbed"]
    assert row([10, 11, 11, 30])["disturbed"]
    assert row([10, 600, 610, 620])["disturbed"]


def test_steps_other_than_two_have_no_merged_graph(exported_bundle) -> None:
    rows = measure(Bundle.load(exported_bundle), resolution=32, steps=3, threads=1, rounds=1, cold_starts=0)["rows"]
    assert [row["graph"] for row in rows] == [graph for graph in GRAPHS if graph != "decompose_2step"]


def test_without_torch_nothing_imports_it(exported_bundle) -> None:
    code = (
        "import sys; from benchmarks.latency import measure; from runtime.bundle import Bundle\n"
        f"measure(Bundle.load({str(exported_bundle)!r}), resolution=32, threads=1, rounds=1, cold_starts=0)\n"
        "assert not {'torch', 'onnx', 'train.networks'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(latency.__file__).parents[1])


def test_the_command_prints_a_table_and_writes_the_report(exported_bundle, tmp_path, capsys) -> None:
    target = tmp_path / "latency.json"
    flags = ["--resolution", "32", "--threads", "1", "--rounds", "1", "--json", str(target)]
    assert main(["--bundle", str(exported_bundle), *flags]) == 0
    written = json.loads(target.read_text())
    assert set(written) == {"environment", "rows"}
    printed = capsys.readouterr().out
    assert all(graph in printed for graph in [*GRAPHS, "cold_start"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resolution", "100"], "resolution 100, expected a multiple of 32"),
        (["--threads", "0"], "threads 0, expected at least 1"),
        (["--bundle", "nowhere"], "nowhere: found no such folder"),
    ],
)
def test_bad_options_give_one_line(exported_bundle, flags, message, capsys) -> None:
    assert main(["--bundle", str(exported_bundle), *flags]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
