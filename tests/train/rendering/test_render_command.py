"""`python -m train.render`, from seeds to shards that training reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.train import render
from intrinsic_flow.train.data.shards import raw_views, views
from intrinsic_flow.train.data.store import load_views, shard_paths
from intrinsic_flow.train.rendering.worker import FINE, VALIDATION_EVERY, SceneJob, split_of

pytestmark = pytest.mark.usefixtures("backend")
# The scene of seed 1 takes half as long as that of seed 0.
FAST = ["--size", "64", "--samples", "16", "--noise", "9", "--workers", "1", "--seed", "1", "--quiet"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, backend) -> Path:
    """Two scenes with two views each, every view under two lights, and a contact sheet."""
    folder = tmp_path_factory.mktemp("renders")
    options = ["--views", "5", "--views-per-scene", "2", "--relights", "1", "--preview", str(folder / "sheet.png")]
    assert render.main(["-o", str(folder / "shards"), *options, *FAST]) == 0
    return folder


def test_views_are_training_views(rendered):
    store = load_views(shard_paths(rendered / "shards", "train"))
    assert len(store) >= 4
    assert list(store.sizes) == [(64, 64)]
    assert not list((rendered / "shards" / ".staging" / "train").glob("*.tar"))


def test_a_share_of_the_scenes_is_twice_as_large(tmp_path):
    options = ["-o", str(tmp_path), "--views", "1", "--views-per-scene", "1", "--size", "32", "--large-share", "1"]
    assert render.main([*options, *FAST[2:]]) == 0
    ((_, view),) = views(tmp_path / "train-00000.tar")
    assert view.mask.shape == (64, 64) and view.meta["kind"] in FINE
    jobs = [SceneJob(seed, 1, large_share=0.1) for seed in range(1000)]
    assert 70 < sum(job.large for job in jobs) < 130
    assert not any(SceneJob(seed, 1).large for seed in range(100))


def test_image_is_the_sum_of_its_layers_and_albedo_is_plausible(rendered):
    for _, view in views(rendered / "shards" / "train-00000.tar"):
        total = sum(view.albedo * view.shading[k] + view.residual[k] for k in range(len(view.shading)))
        np.testing.assert_allclose(view.image, total, rtol=1e-5, atol=1e-6)
        assert view.mask.mean() > 0.3
        assert 0.02 < np.median(view.albedo[view.mask]) < 0.9


def test_relit_siblings_share_albedo_and_mask_but_not_light(rendered):
    by_view: dict[str, dict[int, tuple]] = {}
    for key, members in raw_views(rendered / "shards" / "train-00000.tar"):
        meta = json.loads(members["json"])
        by_view.setdefault(meta["view"], {})[meta["relight"]] = (key, members)
    pairs = [pair for pair in by_view.values() if len(pair) == 2]
    assert pairs
    for pair in pairs:
        (_, first), (_, second) = pair[0], pair[1]
        assert first["albedo.jpg"] == second["albedo.jpg"]
        assert first["mask.png"] == second["mask.png"]
        assert first["shading0.webp"] != second["shading0.webp"]


def test_preview_is_a_picture(rendered):
    sheet = cv2.imread(str(rendered / "sheet.png"))
    assert sheet.shape[1] > 200
    assert sheet.std() > 10


def test_same_seeds_same_views_and_done_scenes_are_not_rendered_again(rendered, tmp_path):
    assert render.main(["-o", str(tmp_path), "--views", "1", "--views-per-scene", "2", "--relights", "1", *FAST]) == 0
    again, first = (dict(raw_views(folder / "train-00000.tar")) for folder in (tmp_path, rendered / "shards"))
    assert again
    for key, members in again.items():
        assert members == first[key]
    before = (tmp_path / "train-00000.tar").stat().st_mtime_ns
    assert render.main(["-o", str(tmp_path), "--views", "1", "--views-per-scene", "2", "--relights", "1", *FAST]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["train-00000.tar"]
    assert (tmp_path / "train-00000.tar").stat().st_mtime_ns == before


def test_the_command_needs_no_torch_and_its_own_process_no_mitsuba():
    code = "import sys, intrinsic_flow.train.render; print(sorted({'torch', 'mitsuba', 'drjit', 'h5py'} & {*sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_sixteenth_seed_validates():
    splits = [split_of(seed) for seed in range(3 * VALIDATION_EVERY)]
    assert splits.count("val") == 3
    assert split_of(VALIDATION_EVERY - 1) == "val"


@pytest.fixture(scope="module")
def clip(tmp_path_factory, backend) -> list[tuple[dict, object]]:
    """(json, view) of the frames of a switched-light clip (seed 2 of the four kinds)."""
    folder = tmp_path_factory.mktemp("clips")
    command = ["-o", str(folder), "--views", "0", "--clips", "1", "--frames", "6", *FAST, "--seed", "2"]
    assert render.main(command) == 0
    return [(view.meta, view) for _, view in views(folder / "clip-00000.tar")]


def test_clip_frames_are_numbered_and_tell_when_the_light_changes(clip):
    assert [meta["frame"] for meta, _ in clip] == list(range(6))
    assert {meta["frames"] for meta, _ in clip} == {6}
    assert {meta["clip_kind"] for meta, _ in clip} == {"switched_light"}
    assert any(meta.get("light_change") for meta, _ in clip)
    assert not clip[0][0].get("light_change")


def test_a_switched_light_changes_shading_but_not_albedo(clip):
    for (_, before), (meta, after) in zip(clip, clip[1:]):
        np.testing.assert_array_equal(before.albedo, after.albedo)
        change = after.total_shading[after.mask].mean() / before.total_shading[before.mask].mean()
        if meta.get("light_change"):
            assert abs(change - 1) > 0.02
        else:
            assert change == pytest.approx(1, abs=1e-3)


def test_ctrl_c_keeps_what_is_done(tmp_path):
    command = [sys.executable, "-m", "train.render", "-o", str(tmp_path / "out"), "--views", "1000", *FAST[:-1]]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    staged = tmp_path / "out" / ".staging"
    deadline = time.monotonic() + 120
    while not list(staged.glob("*/s*.tar")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in messages
    assert "Traceback" not in messages
    assert list((tmp_path / "out").glob("*-00000.tar"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "9"], "sides of at least 32"),
        (["--size", "3x4x5"], "WIDTHxHEIGHT"),
        (["--samples", "24"], "expected a multiple of 16"),
        (["--workers", "0"], "expected at least 1"),
        (["--large-share", "2"], "found 2, expected 0 to 1"),
    ],
)
def test_wrong_usage_is_named(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as error:
        render.main(["-o", str(tmp_path / "out"), *options])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_assets_are_one_line(tmp_path, capsys):
    options = ["-o", str(tmp_path / "out"), "--views", "1", "--assets", str(tmp_path / "none"), *FAST]
    assert render.main(options) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "none" in message and "\n" not in message


def test_other_settings_do_not_mix(rendered, capsys):
    assert render.main(["-o", str(rendered / "shards"), "--views", "99", "--size", "96", *FAST[2:]]) == 2
    assert "size" in capsys.readouterr().err
