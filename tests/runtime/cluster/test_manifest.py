"""The manifest of a batch: what counts as done after a crash, a change of settings, or the loss of an output."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intrinsic_flow.batch import _parse
from intrinsic_flow.cluster.manifest import Manifest, Report, fingerprint
from intrinsic_flow.cluster.units import Unit
from intrinsic_flow.errors import InputError


@pytest.fixture
def report(tmp_path) -> Report:
    output = tmp_path / "a_albedo.png"
    output.touch()
    return Report(Unit("/a.png", "image", str(tmp_path), "a"), "done", outputs=(str(output),), images=1, worker="x:1")


def finished(path, report: Report, settings: str = "s") -> set[Unit]:
    return Manifest.open(path, settings).finished([report.unit])


def test_a_done_unit_is_finished_as_long_as_its_outputs_exist(tmp_path, report):
    path = tmp_path / "folder" / "manifest.jsonl"
    assert finished(path, report) == set()
    Manifest.open(path, "s").add(report)
    assert finished(path, report) == {report.unit}
    (tmp_path / "a_albedo.png").unlink()
    assert finished(path, report) == set()


def test_the_last_attempt_with_the_same_settings_counts(tmp_path, report):
    path = tmp_path / "manifest.jsonl"
    manifest = Manifest.open(path, "s")
    manifest.add(replace(report, state="failed", reason="x", outputs=()))
    assert finished(path, report) == set()
    manifest.add(report)
    assert finished(path, report) == {report.unit}
    assert finished(path, report, "others") == set()


def test_half_a_line_is_ignored_and_does_not_spoil_the_next(tmp_path, report):
    path = tmp_path / "manifest.jsonl"
    path.write_text(report.to_json(settings="s")[:40])
    manifest = Manifest.open(path, "s")
    manifest.add(report)
    assert finished(path, report) == {report.unit}


def test_another_file_is_no_manifest(tmp_path, report):
    path = tmp_path / "notes.txt"
    path.write_text("notes\nof mine\n")
    with pytest.raises(InputError, match="line 1 that is no report"):
        Manifest.open(path, "s")


def test_the_fingerprint_follows_what_changes_outputs_only():
    def of(*arguments: str) -> str:
        return fingerprint(_parse(["a.png", *arguments])[0])

    assert of() == of("--threads", "3", "--quiet", "-o", "out")
    assert len({of(), of("--format", "exr"), of("--seed", "1"), of("--resolution", "64")}) == 4
