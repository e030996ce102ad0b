"""`benchmarks.renew`: the committed tables are those of the reports, and the steps run in order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from intrinsic_flow.benchmarks import renew
from intrinsic_flow.errors import InputError

REPOSITORY = Path(__file__).parents[2]
PAGES = ("README.md", "docs/results.md", "runtime/models/small/MODEL_CARD.md")


@pytest.fixture
def root(tmp_path):
    """A copy of the pages and reports, with other content between the marks."""
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / page, tmp_path / page)
        renew.replace_block(tmp_path / page, "stale")
    shutil.copytree(REPOSITORY / "benchmarks/reports", tmp_path / "reports")
    return tmp_path


def write(root):
    renew.write_tables(root / "runtime/models/small", root / "reports", root)


def test_the_committed_tables_are_those_of_the_committed_reports(root):
    assert "stale" in (root / "README.md").read_text()
    write(root)
    for page in PAGES:
        assert (root / page).read_text() == (REPOSITORY / page).read_text()


def test_a_number_goes_from_a_report_into_every_table_and_the_better_one_is_bold(root):
    report = root / "reports/shards-white-balanced.json"
    content = json.loads(report.read_text())
    for row in content["rows"]:
        if row["layer"] == "albedo":
            row["lmse"] = {"flow": 0.31234, "retinex": 0.2345}.get(row["method"], 0.4)
    report.write_text(json.dumps(content))
    write(root)
    for page in PAGES[:2]:
        line = next(text for text in (root / page).read_text().splitlines() if "| albedo LMSE |" in text)
        assert line.split(" | ")[2:4] == [".3123", "**.2345**"]
    assert "| albedo | flow | 0.3123 |" in (root / PAGES[2]).read_text()


def test_a_page_without_marks_and_a_missing_report_are_named(root):
    (root / "docs/results.md").write_text("no marks")
    with pytest.raises(InputError, match=r"results.md: found no marks"):
        write(root)
    (root / "reports/mit-grosse.json").unlink()
    with pytest.raises(InputError, match=r"mit-grosse.json: found no report"):
        write(root)


def test_build_parity_scores_and_tables_follow_one_another_and_end_at_the_first_failure(tmp_path, monkeypatch):
    steps, fails = [], set()

    def step(name):
        def run(*arguments):
            steps.append((name, *(str(argument) for argument in arguments[:1])))
            return int(name in fails)

        return run

    monkeypatch.setattr(renew.build_onnx, "main", step("build"))
    monkeypatch.setattr(renew.parity, "main", step("parity"))
    monkeypatch.setattr(renew, "score", step("score"))
    monkeypatch.setattr(renew, "write_tables", step("tables"))
    arguments = ["run", "-o", str(tmp_path / "small"), "--shards", "shards"]
    assert renew.main(arguments) == 0
    assert steps == [
        ("build", str(["run", "-o", str(tmp_path / "small")])),
        ("parity", steps[1][1]),
        ("score", "shards-white-balanced"),
        ("score", "shards-native"),
        ("tables", steps[-1][1]),
    ]
    steps.clear()
    assert renew.main([*arguments[1:3], "--mit", "mit"]) == 0
    assert [rest for name, *rest in steps if name == "score"] == [
        [report] for report, (data, *_) in renew.SETS.items() if data == "mit"
    ]
    steps.clear()
    fails.add("parity")
    assert renew.main(arguments) == 1 and [name for name, *_ in steps] == ["build", "parity"]


def test_scores_of_a_shard_become_its_report(tmp_path, make_shard, bundle):
    data = make_shard(tmp_path / "val-00000.tar", 2)
    assert renew.score("shards-native", data, Path(bundle), 1, tmp_path / "reports") == 0
    rows = json.loads((tmp_path / "reports/shards-native.json").read_text())["rows"]
    assert rows[0]["n"] == 2 and "| albedo | flow |" in (tmp_path / "reports/shards-native.md").read_text()
