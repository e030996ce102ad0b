"""The committed reports are what the command writes, name no machine, and are what the README quotes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from intrinsic_flow.benchmarks import latency, measures, quality, resolution, shadows, sheet, throughput, video
from intrinsic_flow.benchmarks.report import table
from intrinsic_flow.benchmarks.scoring.protocols import protocols_of

REPOSITORY = Path(__file__).parents[2]
REPORTS = sorted((REPOSITORY / "benchmarks" / "reports").glob("*.json"))


def rows(name: str) -> dict[tuple[str, str], dict]:
    content = json.loads((REPOSITORY / "benchmarks" / "reports" / f"{name}.json").read_text())
    return {(row["method"], row["layer"]): row for row in content["rows"]}


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_the_table_is_that_of_the_rows_and_the_protocol_is_todays(path: Path) -> None:
    report = json.loads(path.read_text())
    name, text = report["rows"][0]["protocol"].split(": ", 1)
    protocol = protocols_of(report["rows"][0]["dataset"])[name].protocol
    assert text == protocol.text
    written = path.with_suffix(".md").read_text()
    assert table(report["rows"], protocol.scores) in written and text in written


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (quality.main, ["--dataset", "mit", "--data", "none", "--json"]),
        (quality.main, ["--dataset", "mit", "--data", "none", "--report"]),
        (measures.main, ["--eval", "none", "--json"]),
        (resolution.main, ["--dataset", "mit", "--data", "none", "--json"]),
        (shadows.main, ["--pairs", "none", "--json"]),
        (sheet.main, ["--photos", "none", "-o"]),
        (throughput.main, ["--bundle", "none", "--report"]),
        (latency.main, ["--bundle", "none", "--json"]),
        (video.main, ["none.mp4", "--bundle", "none", "--report"]),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_read(command, option, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    assert command([*option, str(tmp_path / "file" / "report")]) == 1
    assert f"{tmp_path}/file: found " in capsys.readouterr().err


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_report_names_no_folder_of_the_machine_that_made_it(path: Path) -> None:
    for file in (path, path.with_suffix(".md")):
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|mnt|data)/", file.read_text())


@pytest.mark.parametrize(
    ("report", "layer", "score", "line"),
    [
        ("shards-white-balanced", "albedo", "lmse", "| albedo LMSE | "),
        ("shards-white-balanced", "shading", "lmse", "| shading LMSE | "),
        ("mit-native", "albedo", "lmse", "| albedo LMSE | "),
        ("mit-native", "shading", "lmse", "| shading LMSE | "),
        ("mit-grosse", "both", "lmse", "| both LMSE | "),
        ("mit-constancy", "albedo", "change", "| albedo change | "),
    ],
)
def test_the_readme_quotes_the_reports(report: str, layer: str, score: str, line: str) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    found = rows(report)
    cells = [f"{found[method, layer][score]:.4f}".lstrip("0") for method in ("flow", "retinex")]
    assert any(all(cell in text for cell in cells) for text in readme.splitlines() if line in text)
