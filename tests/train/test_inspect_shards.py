from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.media.images import read_image, write_image
from intrinsic_flow.train.data.contact_sheet import CELL, contact_sheet, write_sheet
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shard_writer import encode_view, write_tar
from intrinsic_flow.train.data.shards import ShardError, View
from intrinsic_flow.train.data.view_statistics import albedo_statistics, albedo_summary, picture_statistics
from intrinsic_flow.train.inspect_shards import main


def coded(count: int, seed: int, **meta: object) -> list[tuple[str, dict[str, bytes]]]:
    result = []
    for index, (_, view) in enumerate(procedural_views(count, 64, seed)):
        decoded = view.decode()
        decoded = dataclasses.replace(decoded, meta={**decoded.meta, **meta, "scene": f"s{index // 2}"})
        result.append((f"u{seed}_{index}", encode_view(decoded)))
    return result


@pytest.fixture
def folder(tmp_path) -> Path:
    """train: 4 views of 2 scenes in one shard, val: 3 views of a clip."""
    shards = tmp_path / "shards"
    shards.mkdir()
    write_tar(shards / "train-00000.tar", coded(4, 1))
    write_tar(shards / "val-00000.tar", coded(3, 2, clip="c", frames=3))
    return shards


def report_of(tmp_path: Path, *arguments: str) -> tuple[int, dict]:
    status = main([*arguments, "--json", str(tmp_path / "report.json")])
    return status, json.loads((tmp_path / "report.json").read_text())


def test_the_report_counts_what_is_there(folder, tmp_path, capsys):
    status, report = report_of(tmp_path, str(folder))
    assert status == 0 and report["broken"] == [] and report["photos"] is None
    train, val = report["splits"]["train"], report["splits"]["val"]
    assert (train["views"], train["scenes"], train["shards"], train["clips"]) == (4, 2, 1, 0)
    assert (val["views"], val["clips"]) == (3, 1)
    assert train["kinds"] == {"procedural": 4} and train["light_groups"] == {"sun+sky": 4}
    assert train["sizes"] == {"64x64": 4} and train["views_with_checksums"] == 4
    assert train["megabytes"] == round((folder / "train-00000.tar").stat().st_size / 1e6, 2)
    assert 0 < train["decode_error"]["median"] < 0.05
    shares = train["light_share"]
    assert shares["sun"]["median"] + shares["sky"]["median"] == pytest.approx(1, abs=0.1)
    assert "train: 4 views of 2 scenes in 1 shards" in capsys.readouterr().out


def test_statistics_are_of_the_most_frequent_size(folder, tmp_path):
    _, alone = report_of(tmp_path, str(folder), "--split", "train")
    ((_, view),) = procedural_views(1, 128, 9)
    write_tar(folder / "train-00001.tar", [("large_0", encode_view(view.decode()))])
    _, mixed = report_of(tmp_path, str(folder), "--split", "train")
    assert mixed["splits"]["train"]["sizes"] == {"64x64": 4, "128x128": 1}
    for layer in ("image", "albedo"):
        assert mixed["splits"]["train"][layer] == alone["splits"]["train"][layer]


def test_one_split_or_one_shard(folder, tmp_path, capsys):
    _, report = report_of(tmp_path, str(folder), "--split", "val")
    assert list(report["splits"]) == ["val"]
    (folder / "val-00000.tar").rename(tmp_path / "mine.tar")
    _, report = report_of(tmp_path, str(tmp_path / "mine.tar"))
    assert list(report["splits"]) == ["other"] and report["splits"]["other"]["views"] == 3
    assert main([str(folder), "--split", "val"]) == 2
    assert "found no val-*.tar" in capsys.readouterr().err


def test_broken_views_and_shards_are_named_and_the_others_counted(folder, tmp_path, capsys):
    views = coded(3, 3)
    del views[0][1]["mask.png"]
    views[1][1]["albedo.jpg"] = views[1][1]["albedo.jpg"][:-9] + b"scratched"
    write_tar(folder / "train-00001.tar", views)
    whole = (folder / "val-00000.tar").read_bytes()
    (folder / "val-00000.tar").write_bytes(whole[: len(whole) // 2])
    status, report = report_of(tmp_path, str(folder))
    assert status == 1
    message = capsys.readouterr().err
    assert re.search(r"train-00001\.tar: view u3_0: found no mask\.png, expected the members of a view", message)
    assert re.search(r"view u3_1: found albedo\.jpg has checksum \w{8}, expected \w{8}", message)
    assert re.search(r"val-00000\.tar: found a broken archive", message)
    assert "Traceback" not in message
    assert report["splits"]["train"]["views"] == 5 and 1 <= report["splits"]["val"]["views"] <= 2
    assert len(report["broken"]) >= 3


def test_nothing_readable_is_no_crash(tmp_path, capsys):
    (tmp_path / "train-00000.tar").write_bytes(b"x" * 5000)
    status, report = report_of(tmp_path, str(tmp_path), "--sheet", str(tmp_path / "sheet.png"))
    assert status == 1 and report["splits"]["train"]["views"] == 0
    assert not (tmp_path / "sheet.png").exists()


def test_photographs_get_the_same_statistics_as_images(folder, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    sharp = rng.uniform(0, 1, (128, 200, 3)).astype(np.float32)
    write_image(photos / "a.png", sharp)
    (photos / "notes.txt").write_text("no picture")
    status, report = report_of(tmp_path, str(folder), "--photos", str(photos))
    assert status == 0 and report["photos"]["pictures"] == 1 and report["photos"]["side"] == 64
    assert set(report["photos"]["image"]) == set(report["splits"]["train"]["image"])
    textures = [part["image"]["texture"] for part in (report["photos"], report["splits"]["train"])]
    noise, tiles = (texture["0.5px"]["median"] / texture["8px"]["median"] for texture in textures)
    assert noise > 10 and tiles < 1
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes()[:300])
    status, report = report_of(tmp_path, str(folder), "--photos", str(photos))
    assert status == 1 and "b.png" in report["broken"][0]


def test_the_sheet_shows_evenly_chosen_views(folder, tmp_path):
    assert main([str(folder), "--sheet", str(tmp_path / "sheet.png"), "--views", "4"]) == 0
    sheet = read_image(tmp_path / "sheet.png").pixels
    assert sheet.shape[1] >= 12 * CELL and 2 * CELL < sheet.shape[0] < 3 * CELL
    views = [(key, view.decode()) for key, view in procedural_views(1, 64)]
    cell = contact_sheet(views)[-CELL - 8 : -8, CELL : 2 * CELL]
    albedo = cv2.resize(views[0][1].albedo, (CELL, CELL), interpolation=cv2.INTER_NEAREST)
    assert np.abs((cell / 255.0) ** 2.2 - albedo).mean() < 0.02


def test_the_sheet_of_a_folder(folder, tmp_path):
    write_sheet(folder, tmp_path / "all.png")
    assert main([str(folder), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
    with pytest.raises(ShardError, match=r"found no \*\.tar"):
        write_sheet(tmp_path / "absent", tmp_path / "none.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "absent: found nothing there"),
        (["empty"], r"empty: found no \*\.tar file"),
        (["shards", "--photos", "absent"], "absent: found no such folder"),
        (["shards", "--photos", "empty"], "empty: found no readable photograph"),
        (["shards", "--sheet", "sheet.jpg"], r"sheet\.jpg: found the suffix '\.jpg', expected a name that ends in \.png"),
        (["shards", "--json", "absent/report.json"], "absent"),
    ],
)
def test_wrong_usage_is_one_line(folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main([*arguments, "--quiet"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and re.search(message, lines[0])


def flat_view(albedo: np.ndarray, light: np.ndarray, mask: np.ndarray | None = None) -> View:
    everywhere = np.ones(albedo.shape[:2], bool)
    layers = [np.repeat(layer[..., None], 3, 2).astype(np.float32) for layer in (albedo, light)]
    meta = {"groups": ["sun"]}
    return View(layers[0], layers[1][None], np.zeros_like(layers[1])[None], everywhere if mask is None else mask, meta)


def test_albedo_statistics_of_known_views():
    ramp = np.linspace(0, 1, 100)[None].repeat(100, 0)
    statistics = albedo_statistics(flat_view(ramp, np.exp(2 * ramp)))
    summed = albedo_summary([statistics])
    assert summed["natural_share"] == pytest.approx(0.6, abs=0.02)
    assert summed["luminance"]["p50"] == pytest.approx(0.5, abs=0.02)
    assert summed["saturation"]["median"] == pytest.approx(0, abs=1e-3)
    assert statistics.correlation > 0.8
    assert albedo_statistics(flat_view(ramp, np.exp(-2 * ramp))).correlation < -0.8
    assert np.isnan(albedo_statistics(flat_view(np.full_like(ramp, 0.5), ramp)).correlation)
    half = albedo_statistics(flat_view(ramp, ramp + 1, ramp > 0.5))
    assert statistics.with_image > 0.9 and statistics.contrast < 1 and statistics.warmth == pytest.approx(0)
    assert half.valid == pytest.approx(0.5) and albedo_summary([half])["luminance"]["p5"] > 0.5
    assert albedo_statistics(flat_view(ramp, ramp, np.zeros_like(ramp, bool))) is None


def test_picture_statistics_of_known_pictures():
    stripes = np.where(np.arange(128) // 8 % 2, 0.1, 0.6)[None, :, None] * np.ones((128, 1, 3))
    picture = picture_statistics(stripes.astype(np.float32))
    assert picture.edges == pytest.approx(15 / 128)
    assert picture.saturation == pytest.approx(0, abs=1e-3) and picture.clipped == 0
    assert picture_statistics(7 * stripes.astype(np.float32)) == pytest.approx(picture), "exposure changes nothing"
    fine = picture_statistics(
        (np.where(np.arange(128) % 2, 0.4, 0.6)[None, :, None] * np.ones((128, 1, 3))).astype(np.float32)
    )
    assert fine.texture[0] > 5 * fine.texture[3] and picture.texture[0] < 2 * picture.texture[3]
    red = np.float32([0.5, 0.4, 0.4]) * stripes.astype(np.float32)
    assert picture_statistics(red).saturation == pytest.approx(0.2, abs=0.01)
