from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.media.images import write_image
from intrinsic_flow.train import prepare_pairs
from intrinsic_flow.train.data.shard_writer import Staging
from intrinsic_flow.train.data.shards import View, views
from intrinsic_flow.train.data.store import load_views, shard_paths
from intrinsic_flow.train.prepare_pairs import main

REPOSITORY = Path(__file__).parents[2]


def picture(seed: int, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(image, albedo) linear, image below 1."""
    rng = np.random.default_rng(seed)
    albedo = rng.uniform(0.1, 0.8, (height // 8, width // 8, 3)).astype(np.float32).repeat(8, 0).repeat(8, 1)
    light = np.linspace(0.3, 1, width, dtype=np.float32)[None, :, None] * np.float32([1, 0.9, 0.8])
    return albedo * light, albedo


def write_pairs(folder: Path, count: int, format: str = "png16", suffix: str = ".png") -> list[str]:
    """`count` pairs in images/ and albedo/; returns their names."""
    for index in range(count):
        image, albedo = picture(index)
        for layer, pixels in (("images", image), ("albedo", albedo)):
            path = folder / layer / f"scene{index % 3}" / f"p{index:03d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, pixels, format=format)
    return [f"scene{index % 3}/p{index:03d}" for index in range(count)]


def command(folder: Path, *more: str, out: str = "out") -> list[str]:
    layers = ["--images", str(folder / "images"), "--albedo", str(folder / "albedo")]
    return [*layers, "-o", str(folder / out), "--size", "32", "--workers", "1", *more]


def prepared(folder: Path, split: str = "train") -> dict[str, View]:
    """The views of a split by source."""
    found = [view for path in sorted((folder / "out").glob(f"{split}-*.tar")) for _, view in views(path)]
    return {view.meta["source"]: view for view in found}


@pytest.mark.parametrize(("format", "suffix"), [("png16", ".png"), ("exr", ".exr"), ("npy", ".npy")])
def test_pairs_become_views_that_keep_image_and_albedo(tmp_path, format, suffix):
    names = write_pairs(tmp_path, 3, format, suffix)
    assert main(command(tmp_path, "--val-share", "0")) == 0
    found = prepared(tmp_path)
    assert sorted(found) == sorted(names)
    view = found["scene1/p001"]
    image, albedo = (layer[:, 8:56] for layer in picture(1))  # the centre square, of 48 pixels
    expected = albedo.reshape(6, 8, 6, 8, 3).mean((1, 3))
    middles = ((np.arange(6) + 0.5) * 32 / 6).astype(int)
    got = view.albedo[middles][:, middles]
    assert view.mask.all() and view.albedo.shape == (32, 32, 3)
    assert np.abs(np.sqrt(got) - np.sqrt(expected)).max() < 0.05
    gain = view.meta["exposure_gain"]
    assert view.image.mean() / gain == pytest.approx(image.mean(), rel=0.02)
    assert view.meta["decode_error"] < 0.03
    assert view.meta["groups"] == ["image"] and view.meta["kind"] == "pair"
    assert len(load_views(shard_paths(tmp_path / "out", "train"))) == 3


def test_linear_and_srgb_files_mean_different_light(tmp_path):
    image, albedo = picture(0)
    for layer, pixels in (("images", image), ("albedo", albedo)):
        (tmp_path / layer).mkdir()
        write_image(tmp_path / layer / "a.png", pixels, format="png16", colorspace="linear")
    assert main(command(tmp_path, "--linear", "--val-share", "0")) == 0
    linear = prepared(tmp_path)["a"]
    assert linear.albedo.mean() == pytest.approx(albedo[:, 8:56].mean(), rel=0.03)
    assert main(command(tmp_path, "--val-share", "0", out="other")) == 0
    _, decoded = next(views(tmp_path / "other" / "train-00000.tar"))
    assert decoded.albedo.mean() < 0.7 * linear.albedo.mean()


def test_splits_depend_on_the_name_alone(tmp_path):
    names = write_pairs(tmp_path, 12)
    assert main(command(tmp_path, "--val-share", "0.4")) == 0
    train, val = prepared(tmp_path), prepared(tmp_path, "val")
    assert train and val and sorted([*train, *val]) == sorted(names)
    assert all(prepare_pairs.split_of(name, 0.4) == "val" for name in val)


def test_alpha_and_dark_albedo_are_not_valid_and_stay_in_the_image(tmp_path):
    image, albedo = picture(0)
    albedo[:24, :32] = 0.002
    alpha = np.ones(image.shape[:2], np.float32)
    alpha[24:, :32] = 0
    for layer in ("images", "albedo"):
        (tmp_path / layer).mkdir()
    write_image(tmp_path / "images" / "a.png", image, format="png16")
    write_image(tmp_path / "albedo" / "a.png", albedo, format="png16", alpha=alpha)
    assert main(command(tmp_path, "--val-share", "0")) == 0
    view = prepared(tmp_path)["a"]
    assert not view.mask[:, :15].any() and view.mask[:, 18:].all()
    seen = view.image[:, :15].mean() / view.meta["exposure_gain"]
    assert seen == pytest.approx(image[:, 8:30].mean(), rel=0.03)


def test_albedo_scale(tmp_path):
    write_pairs(tmp_path, 1)
    assert main(command(tmp_path, "--val-share", "0", "--albedo-scale", "0.5")) == 0
    (view,) = prepared(tmp_path).values()
    assert view.albedo.mean() == pytest.approx(0.5 * picture(0)[1][:, 8:56].mean(), rel=0.03)
    assert main(command(tmp_path, "--val-share", "0", "--albedo-scale", "peak", out="peak")) == 0
    _, peak = next(views(tmp_path / "peak" / "train-00000.tar"))
    assert 0.8 < peak.albedo.max() <= 1
    assert peak.image.mean() == pytest.approx(view.image.mean(), rel=0.02)


def test_given_shading_and_suffixes_in_one_folder(tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    image, albedo = picture(0)
    for name, pixels in (("a_rgb", image), ("a_albedo", albedo), ("a_light", 0.2 * image / albedo)):
        write_image(folder / f"{name}.png", pixels, format="png16")
    layers = ["--images", "--albedo", "--shading"]
    suffixes = ["--image-suffix", "_rgb", "--albedo-suffix", "_albedo", "--shading-suffix", "_light"]
    arguments = [part for layer in layers for part in (layer, str(folder))] + suffixes
    assert main([*arguments, "-o", str(tmp_path / "out"), "--size", "32", "--val-share", "0", "--workers", "1"]) == 0
    view = prepared(tmp_path)["a"]
    assert view.image.mean() / view.meta["exposure_gain"] == pytest.approx(image[:, 8:56].mean(), rel=0.03)


def test_files_without_a_partner_are_named_and_the_others_done(tmp_path, capsys):
    write_pairs(tmp_path, 3)
    (tmp_path / "albedo" / "scene0" / "p000.png").unlink()
    image, _ = picture(9)
    write_image(tmp_path / "images" / "scene1" / "p001.exr", image, format="exr")
    assert main(command(tmp_path, "--val-share", "0")) == 1
    message = capsys.readouterr().err
    assert re.search(r"scene0/p000\.png: found no albedo with that name, expected one", message)
    assert re.search(r"found p001\.exr and p001\.png for 'scene1/p001', expected one file", message)
    assert list(prepared(tmp_path)) == ["scene2/p002"]


def test_broken_files_are_named_and_tried_again(tmp_path, capsys):
    write_pairs(tmp_path, 4)
    good = (tmp_path / "images" / "scene0" / "p000.png").read_bytes()
    (tmp_path / "images" / "scene0" / "p000.png").write_bytes(good[:200])
    write_image(tmp_path / "albedo" / "scene1" / "p001.png", picture(1, 40, 64)[1])
    assert main(command(tmp_path, "--val-share", "0", "--workers", "2")) == 1
    message = capsys.readouterr().err
    assert "p000.png: found" in message and "found 64x40 pixels, expected 64x48" in message
    assert "Traceback" not in message
    assert len(prepared(tmp_path)) == 2
    (tmp_path / "images" / "scene0" / "p000.png").write_bytes(good)
    write_pairs(tmp_path, 2)
    assert main(command(tmp_path, "--val-share", "0")) == 0
    assert len(prepared(tmp_path)) == 4


def test_dull_pictures_are_counted_and_not_tried_again(tmp_path, capsys, monkeypatch):
    write_pairs(tmp_path, 2)
    write_image(tmp_path / "images" / "scene0" / "p000.png", np.zeros((48, 64, 3), np.float32))
    assert main(command(tmp_path, "--val-share", "0")) == 0
    assert "left out: 1 pairs (nearly black)" in capsys.readouterr().err
    monkeypatch.setattr(prepare_pairs, "read_image", None)
    assert main(command(tmp_path, "--val-share", "0")) == 0


def test_limit_goes_step_by_step(tmp_path):
    write_pairs(tmp_path, 5)
    sizes = []
    for limit in ("2", "0", "9"):
        assert main(command(tmp_path, "--val-share", "0", "--limit", limit)) == 0
        sizes.append(len(prepared(tmp_path)))
    assert sizes == [2, 2, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--images", "absent"], r"absent: found no such folder, expected a folder of images"),
        (["--albedo-suffix", "_x"], r"albedo: found no such file, expected images named \*_x\.\*"),
        (["-o", "file"], r"file: found .*, expected a folder to write to"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path, capsys, monkeypatch, change, message):
    write_pairs(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main([*command(tmp_path), *change]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and re.search(message, lines[0])


def test_other_settings_cannot_be_mixed_into_a_folder(tmp_path, capsys):
    write_pairs(tmp_path, 1)
    assert main(command(tmp_path)) == 0
    assert main(command(tmp_path, "--crops", "2")) == 2
    assert "views of 'images' with crops 1, expected crops 2 as asked for" in capsys.readouterr().err
    assert main(command(tmp_path, "--name", "new", "--size", "40")) == 2
    assert "with size '32x32'" in capsys.readouterr().err


def test_pictures_smaller_than_the_views_are_named(tmp_path, capsys):
    write_pairs(tmp_path, 1)
    arguments = ["--images", str(tmp_path / "images"), "--albedo", str(tmp_path / "albedo"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--workers", "1"]) == 1
    message = capsys.readouterr().err
    assert "p000.png: found 64x48 pixels, expected a short side of at least 256" in message
    assert "found no usable view" in message


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path, workers):
    names = write_pairs(tmp_path, 60)
    arguments = [sys.executable, "-m", "train.prepare_pairs", *command(tmp_path, "--val-share", "0")]
    arguments[arguments.index("--workers") + 1] = workers
    process = subprocess.Popen(arguments, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True)
    staged = tmp_path / "out" / ".staging" / "train"
    deadline = time.monotonic() + 60
    while len(list(staged.glob("[!.]*.tar"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130, message
    assert "the same command goes on from here" in message and "Traceback" not in message
    waiting = Staging(tmp_path / "out").counts()["train"]
    assert 3 <= waiting.staged < 60 and not prepared(tmp_path)
    assert main(command(tmp_path, "--val-share", "0")) == 0
    assert sorted(prepared(tmp_path)) == sorted(names)


def test_units_of_different_names_differ():
    names = ["a/b", "a-b", "a_b", "ä", "ö", "x" * 200, "x" * 201]
    units = [prepare_pairs.unit_name("set", name) for name in names]
    assert len(set(units)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,72}", unit) for unit in units)


def test_settings_are_remembered_without_a_view(tmp_path):
    write_pairs(tmp_path, 1)
    assert main(command(tmp_path, "--limit", "0")) == 1  # nothing made, so nothing to train with
    (path,) = (tmp_path / "out" / ".staging" / "settings").glob("*.json")
    assert json.loads(path.read_text())["size"] == "32x32"
