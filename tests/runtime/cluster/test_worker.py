"""The worker without a cluster: what it makes of units, and of what a killed one left."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from intrinsic_flow.batch import _parse
from intrinsic_flow.cluster.units import list_units
from intrinsic_flow.cluster.worker import Worker
from intrinsic_flow.media.images import write_image
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.media.video_writer import VideoWriter


@pytest.fixture
def photo(tmp_path, scene):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "photo.png", scene / scene.max())
    return tmp_path / "in" / "photo.png"


@pytest.fixture
def settings(tiny_bundle):
    return _parse(["x.png", "--bundle", str(tiny_bundle), "--resolution", "64", "--backend", "cpu"])[0]


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


OUTPUTS = ["photo_albedo.png", "photo_shading.json", "photo_shading.png"]


def test_what_a_killed_worker_left_is_removed_and_replaced(photo, tmp_path, settings):
    out = tmp_path / "out"
    (unit,) = list_units([photo], out).units
    left = out / f".decompose-{unit.mark}-abc.partial"
    left.mkdir(parents=True)
    (out / ".decompose-other-abc.partial").mkdir()
    (out / "photo_albedo.png").write_text("published before the other one")
    worker = Worker(settings, frozenset())
    report = worker.run(unit)
    assert report.state == "failed" and "no photo_shading.png" in report.reason
    (out / f".decompose-{unit.mark}.begun").touch()
    report = worker.run(unit)
    assert (report.state, report.images, report.megapixels) == ("done", 1, pytest.approx(90 * 140 / 1e6))
    assert names(out) == [".decompose-other-abc.partial", *OUTPUTS]
    assert worker.run(unit).state == "skipped"


@pytest.mark.parametrize("remote", ["source", "folder", "both"])
def test_addresses_are_read_and_written_as_paths_are(photo, tmp_path, settings, remote):
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra cluster)")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra cluster)")
    out = tmp_path / "out" / "deep"
    (unit,) = list_units(
        [f"local://{photo}" if remote != "folder" else photo], out if remote == "source" else f"local://{out}"
    ).units
    worker = Worker(settings, frozenset())
    report = worker.run(unit)
    assert report.state == "done", report.reason
    assert names(out) == OUTPUTS
    assert sorted(report.outputs) == [f"{unit.folder}/{name}" for name in OUTPUTS]
    assert json.loads((out / "photo_shading.json").read_text())["source"] == "photo.png"
    assert worker.run(unit).state == "skipped"
    (out / "photo_shading.png").unlink()
    assert worker.run(unit).state == "failed"
    protected = frozenset([f"{unit.folder}/photo_albedo.png"])
    report = Worker(replace(settings, overwrite=True), protected).run(unit)
    assert report.state == "failed" and "an input of this run" in report.reason


def test_both_layers_in_one_file_that_lies_in_a_storage_are_found_there(tmp_path, settings, scene):
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra cluster)")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra cluster)")
    write_image(tmp_path / "plate.exr", scene, format="exr")
    (unit,) = list_units([tmp_path / "plate.exr"], f"local://{tmp_path / 'out'}").units
    worker = Worker(replace(settings, one_exr=True), frozenset())
    first, second = worker.run(unit), worker.run(unit)
    assert (first.state, second.state) == ("done", "skipped")
    assert first.outputs == second.outputs == (f"{unit.folder}/plate_layers.exr",)


def test_a_worker_finds_the_sound_that_is_named_relative_to_the_command():
    assert _parse(["x.png", "--audio", "sound.wav"])[0].audio == Path.cwd() / "sound.wav"


def test_a_bad_file_is_a_report_with_its_reason(tmp_path, settings):
    (tmp_path / "bad.png").write_text("no picture")
    (unit,) = list_units([tmp_path / "bad.png"], tmp_path / "out").units
    report = Worker(settings, frozenset()).run(unit)
    assert report.state == "failed" and report.reason.startswith(f"{tmp_path}/bad.png: found")


@pytest.mark.parametrize(
    "codec", [codec for codec in CODECS.values() if codec.suffix != ".mov"], ids=lambda codec: codec.name
)
def test_videos_of_every_codec_that_lie_in_a_storage_are_found_there(tmp_path, settings, scene, codec):
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra cluster)")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra cluster)")
    out = tmp_path / "out"
    out.mkdir()
    done = [f"clip_{layer}{codec.suffix}" for layer in ("albedo", "shading")]
    for name in [*done, "clip_shading.json"]:
        (out / name).touch()
    with VideoWriter(tmp_path / "clip.mp4", None, 64, 32, frame_rate=Fraction(25)) as writer:
        writer.write(scene[:32, :64] / scene.max(), Fraction(0))
    (unit,) = list_units([tmp_path / "clip.mp4"], f"local://{out}").units
    report = Worker(replace(settings, codec=codec.name), frozenset()).run(unit)
    assert report.state == "skipped", report.reason
    assert set(report.outputs) >= {f"{unit.folder}/{name}" for name in done}
