"""The latency report: what it measures, how it compares, what it warns of, what it refuses."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.benchmarks import latency
from intrinsic_flow.benchmarks.latency import main, measure
from intrinsic_flow.benchmarks.timing import fresh_process, machine_limit
from intrinsic_flow.benchmarks.timing import pytorch as latency_torch
from intrinsic_flow.benchmarks.timing.candidate import Candidate, speedup
from intrinsic_flow.benchmarks.timing.report import format_rows, write_report
from intrinsic_flow.benchmarks.timing.workload import Variant, Workload
from intrinsic_flow.decomposition.bundle import Bundle

FIELDS = {
    "backend", "graph", "precision", "batch", "resolution", "steps", "threads",
    "min_ms", "p50_ms", "p90_ms", "p99_ms", "frames_per_second", "disturbed",
}  # fmt: skip
GRAPHS = ["network", "encoder", "velocity_step", "decoder", "decompose"]


@pytest.fixture(scope="module", autouse=True)
def small_limits():
    """A matrix product and a copy that take moments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_limit, "SIDE", {"cpu": 256, "cuda": 8192})
        patch.setattr(machine_limit, "COPY_BYTES", {"cpu": 2**22, "cuda": 2**30})
        yield


@pytest.fixture(scope="module")
def report(exported_bundle: Path, small_limits) -> dict[str, object]:
    backends = ["torch-eager", "cpu"]
    return measure(Bundle.load(exported_bundle), backends, resolutions=[64], batches=[2], threads=1, rounds=3)


def rows_of(report: dict[str, object], backend: str, precision: str = "fp32") -> dict[str, dict[str, object]]:
    rows = report["rows"]
    return {row["graph"]: row for row in rows if (row["backend"], row["precision"]) == (backend, precision)}


def test_rows_cover_the_network_its_stages_and_a_whole_decomposition(report) -> None:
    assert list(rows_of(report, "cpu")) == GRAPHS
    assert list(rows_of(report, "torch-eager")) == GRAPHS[:-1]
    for row in report["rows"]:
        assert set(row) >= FIELDS
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert (row["resolution"], row["steps"], row["threads"], row["calls"]) == (64, 2, 1, 9)
    assert report["environment"]["threads"] == 1
    assert report["environment"]["onnxruntime"] and report["environment"]["torch"]


def test_frames_per_second_count_the_batch(report) -> None:
    for row in report["rows"]:
        frames = 1 if row["graph"] == "decompose" else 2
        assert row["batch"] == frames
        assert row["frames_per_second"] == pytest.approx(frames * 1e3 / row["p50_ms"], rel=1e-2)


def test_torch_runs_in_both_memory_formats_and_the_faster_is_quoted(report) -> None:
    row = rows_of(report, "torch-eager")["network"]
    tried = row["variants_ms"]
    crashed = sum("torch-eager" in line and "fp32: left out" in line for line in report["warnings"])
    assert set(tried) <= {"contiguous", "channels_last"} and len(tried) + crashed == 2
    assert row["variant"] == min(tried, key=tried.get)
    ours = rows_of(report, "cpu")["network"]
    assert ours["speedup_over_eager_fp32"] > 0
    assert "speedup_over_eager_fp32" not in row


def test_reduced_precision_of_torch_is_reported_beside_full_where_the_cpu_has_it(report) -> None:
    reduced = rows_of(report, "torch-eager", "bf16")
    assert bool(reduced) == latency_torch.has_reduced()
    if reduced:
        assert rows_of(report, "cpu")["network"]["speedup_over_eager_bf16"] > 0


def test_the_network_takes_as_long_as_its_parts(report) -> None:
    shortest = {graph: row["min_ms"] for graph, row in rows_of(report, "cpu").items()}
    parts = shortest["encoder"] + 2 * shortest["velocity_step"] + shortest["decoder"]
    assert 0.4 * parts < shortest["network"] < 4 * parts


def test_the_machines_limit_is_measured_in_each_precision_and_counted(report) -> None:
    limits = {(row["graph"], row["precision"]): row for row in report["limits"]}
    precisions = {row["precision"] for row in report["rows"]}
    assert set(limits) == {("matrix product", p) for p in precisions} | {("copy", "")}
    product, copy = limits["matrix product", "fp32"], limits["copy", ""]
    assert product["gmac_per_second"] == pytest.approx(256**3 / 1e6 / product["min_ms"], rel=1e-2)
    assert copy["gigabytes_per_second"] == pytest.approx(2 * 2**22 / 1e6 / copy["min_ms"], rel=1e-2)
    network = rows_of(report, "cpu")["network"]
    assert network["gmac_per_second"] > 0 and network["fraction_of_limit"] > 0


def test_cold_start_and_memory_are_those_of_a_fresh_process(report) -> None:
    for row in report["rows"]:
        assert ("cold_start_ms" in row) == (row["graph"] == "network")
    network = rows_of(report, "cpu")["network"]
    torch = rows_of(report, "torch-eager")["network"]
    assert network["cold_start_ms"] > network["p50_ms"]
    assert 20 < network["peak_mib"] < torch["peak_mib"]  # no torch in that process


def test_the_speedup_is_the_median_over_rounds() -> None:
    ours = Candidate({}, lambda: None, 1, times=[[1, 1, 9], [10, 10, 10], [2, 2, 2]])
    theirs = Candidate({}, lambda: None, 1, times=[[2, 2, 2], [15, 15, 15], [50, 50, 50]])
    assert speedup(ours, theirs) == 2


def test_times_that_other_work_disturbed_are_marked() -> None:
    def row(times: list[float]) -> dict[str, object]:
        return Candidate({}, lambda: None, 1, times=[times]).row()

    assert not row([10, 11, 12, 13])["disturbed"]
    assert row([10, 11, 11, 30])["disturbed"]
    assert row([10, 600, 610, 620])["disturbed"]


def test_doubtful_measurements_are_warned_of() -> None:
    row = {"backend": "x", "precision": "fp16", "graph": "network", "batch": 1, "resolution": 64, "disturbed": False}
    parts = {"h2d_ms": 1.0, "compute_ms": 4.0, "d2h_ms": 1.0, "enqueue_ms": 1.0}
    steady = Candidate({"graph": "copy", "precision": ""}, lambda: None, 1, times=[[10.0]] * 4)
    drifting = Candidate({"graph": "copy", "precision": ""}, lambda: None, 1, times=[[10.0]] * 2 + [[14.0]] * 2)

    def doubts(limit: Candidate = steady, **changes: object) -> str:
        return "\n".join(latency._doubts([row | parts | changes], {("copy", "cpu"): limit}))

    assert doubts() == ""
    assert "other work" in doubts(disturbed=True)
    assert "enqueue" in doubts(enqueue_ms=3.9)
    assert "copies between host and device" in doubts(h2d_ms=3.5)
    assert "faster than the machine's limit" in doubts(fraction_of_limit=1.2)
    assert "clocks drift" in doubts(drifting)


def test_backends_that_compute_different_things_are_warned_of(exported_bundle) -> None:
    def entry(value: float) -> latency.Entry:
        answer = lambda: np.full((1, 3, 8, 8), value, np.float32)  # noqa: E731
        return latency.Entry(Variant("x", "fp32", "default", "cpu", {}, answer), {})

    assert latency._disagreements([entry(0.5), entry(0.5001)]) == []
    (line,) = latency._disagreements([entry(0.5), entry(0.6)])
    assert "agrees to 20.0 dB only" in line
    assert latency._disagreements([entry(0.5), entry(float("nan"))])


def test_every_batch_resolution_and_step_count_is_measured(exported_bundle) -> None:
    bundle = Bundle.load(exported_bundle)
    options = {"batches": [1, 2], "resolutions": [32, 64], "steps": [1, 3], "threads": 1, "rounds": 1, "processes": False}
    rows = [row for row in measure(bundle, ["cpu"], **options)["rows"] if row["graph"] == "network"]
    found = {(row["batch"], row["resolution"], row["steps"]) for row in rows}
    assert found == {(b, r, s) for b in (1, 2) for r in (32, 64) for s in (1, 3)}


def test_it_runs_where_torch_is_not_installed(exported_bundle) -> None:
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "from intrinsic_flow.benchmarks.latency import measure; from intrinsic_flow.decomposition.bundle import Bundle\n"
        "from intrinsic_flow.benchmarks.timing import machine_limit\n"
        "machine_limit.SIDE['cpu'], machine_limit.COPY_BYTES['cpu'] = 256, 2**22\n"
        f"bundle = Bundle.load({str(exported_bundle)!r})\n"
        "report = measure(bundle, resolutions=[32], threads=1, rounds=1, processes=False)\n"
        "assert {row['graph'] for row in report['limits']} == {'matrix product', 'copy'}\n"
        "assert report['rows'] and 'gmac_per_second' not in report['rows'][0]\n"
        "assert not {'torch', 'onnx', 'intrinsic_flow.train.networks', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(latency.__file__).parents[1])


def test_one_backend_in_a_fresh_process(exported_bundle) -> None:
    told = fresh_process.measure(Bundle.load(exported_bundle), "cpu", "default", Workload(1, 32, 2, 1))
    assert set(told) == {"cold_start_ms", "peak_mib"}
    with pytest.raises(RuntimeError, match="nonsense"):
        fresh_process.measure(Bundle.load(exported_bundle), "nonsense", "default", Workload(1, 32, 2, 1))


def test_without_a_gpu_there_is_no_limit_of_one_and_no_phases(report) -> None:
    if latency_torch.device() == "cuda":
        pytest.skip("this machine has a CUDA GPU")
    assert {row["device"] for row in report["limits"]} == {"cpu"}
    assert not any("compute_ms" in row or "device_mib" in row for row in report["rows"])
    assert machine_limit.product_limit("fp32", "cpu", 1) is not None


def test_the_report_has_table_chart_and_command(report, tmp_path) -> None:
    write_report(tmp_path / "x", report, ["--backends", "torch-eager", "cpu"])
    text = (tmp_path / "x.md").read_text()
    assert "python -m benchmarks.latency --backends torch-eager cpu" in text
    assert "![median latency](x.svg)" in text and "Batch 2, 64x64, 2 steps" in text
    assert f"{rows_of(report, 'cpu')['network']['speedup_over_eager_fp32']:.0f}"[:2] in text
    assert all(f"- Warning: {line}" in text for line in report["warnings"])
    assert json.loads((tmp_path / "x.json").read_text()) == report
    chart = (tmp_path / "x.svg").read_text()
    assert chart.startswith("<?xml") and 2000 < len(chart) < 100_000


def test_the_table_for_the_terminal_is_aligned(report) -> None:
    lines = [line for line in format_rows(report).splitlines() if line.startswith("| backend") and "min, ms" in line]
    assert len(lines) == 1
    text = format_rows(report).split("\n\n")
    assert all(len({len(line) for line in block.splitlines()}) == 1 for block in text if block.startswith("|"))


def test_the_command_prints_a_table_and_writes_the_report(exported_bundle, tmp_path, capsys) -> None:
    target = tmp_path / "latency.json"
    flags = ["--resolution", "32", "--threads", "1", "--rounds", "1", "--no-processes", "--json", str(target)]
    assert main(["--bundle", str(exported_bundle), *flags]) == 0
    written = json.loads(target.read_text())
    assert {"environment", "rows", "limits", "warnings"} == set(written)
    printed = capsys.readouterr().out
    assert all(graph in printed for graph in GRAPHS[1:])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resolution", "100"], "resolution 100, expected a multiple of 32"),
        (["--threads", "0"], "threads 0, expected at least 1"),
        (["--batch", "2", "0"], "batch 0, expected at least 1"),
        (["--bundle", "nowhere"], "nowhere: found no such folder"),
    ],
)
def test_bad_options_give_one_line(exported_bundle, flags, message, capsys) -> None:
    assert main(["--bundle", str(exported_bundle), *flags]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_backend_that_cannot_run_here_is_an_error_not_a_gap(exported_bundle, capsys) -> None:
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("TensorRT is installed")
    assert main(["--bundle", str(exported_bundle), "--backends", "tensorrt", "--no-processes"]) == 1
    assert "benchmarks.latency: " in capsys.readouterr().err


@pytest.mark.slow
def test_compiled_torch_says_which_mode_won(exported_bundle) -> None:
    options = {"resolutions": [64], "threads": 1, "rounds": 2, "processes": False}
    report = measure(Bundle.load(exported_bundle), ["torch-compile", "cpu"], **options)
    row = rows_of(report, "torch-compile")["network"]
    assert row["variant"] in row["variants_ms"] and set(row["variants_ms"]) <= set(latency_torch.COMPILED)
    assert rows_of(report, "cpu")["network"]["speedup_over_compile_fp32"] > 0


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["torch-eager", "cuda", "tensorrt", "tensorrt-rtx"])
def test_gpu_backends_tell_their_phases_apart(exported_bundle, backend) -> None:
    if latency_torch.device() != "cuda":
        pytest.skip("no CUDA GPU that PyTorch sees")
    try:
        report = measure(Bundle.load(exported_bundle), [backend], resolutions=[64], rounds=2)
    except Exception as error:  # whatever says why this machine has none
        pytest.skip(f"{backend}: {error}")
    row = next(row for row in report["rows"] if row["graph"] == "network")
    assert row["device"] == "cuda" and row["device_mib"] > 0
    assert all(row[name] > 0 for name in ("h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms"))
