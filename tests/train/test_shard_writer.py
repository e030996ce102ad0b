from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.datasets import ShardDataset
from intrinsic_flow.train.data import shard_writer
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shard_writer import Staging, encode_view
from intrinsic_flow.train.data.shards import ShardError, View, coded_views, decode_members, raw_views
from intrinsic_flow.train.data.store import load_views, shard_paths

REPOSITORY = Path(__file__).parents[2]


def smooth_view(groups: int = 2, side: int = 96, seed: int = 0) -> View:
    """Checkered albedo under smooth coloured light, with a few glossy spots: the kind of content that shards hold."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    tiles = rng.uniform(0.05, 0.8, (6, 6, 3))
    albedo = tiles[(y * 6).astype(int), (x * 6).astype(int)].astype(np.float32)
    shading = np.stack(
        [(0.1 + k + np.exp(-4 * ((x - 0.3 * k) ** 2 + y**2)))[..., None] * [1, 0.8, 0.6] for k in range(groups)]
    )
    residual = np.stack([(0.3 * np.exp(-80 * ((x - 0.5) ** 2 + (y - 0.4) ** 2)))[..., None] * [1, 1, 1]] * groups)
    mask = x + y < 1.7
    meta = {"groups": ["sun", "sky", "lamps"][:groups], "kind": "test", "seed": seed}
    return View(albedo, shading.astype(np.float32), residual.astype(np.float32), mask, meta)


def unit_views(unit: str, count: int = 1) -> list[tuple[str, dict[str, bytes]]]:
    """Small views without pictures: the staging does not look inside."""
    return [(f"{unit}_{i}", {"albedo.jpg": b"x" * 3000, "json": json.dumps({"of": unit}).encode()}) for i in range(count)]


def keys_in(folder: Path, split: str = "train") -> list[str]:
    return [key for path in sorted(folder.glob(f"{split}-*.tar")) for key, _ in raw_views(path)]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_view_comes_back_within_the_recorded_error(groups):
    view = smooth_view(groups)
    members = encode_view(view)
    decoded = decode_members(members).decode()
    lit = view.image.mean(-1) > 0.01 * np.percentile(view.image.mean(-1), 95)
    error = np.median((np.abs(decoded.image - view.image).mean(-1) / view.image.mean(-1))[lit])
    assert decoded.meta["decode_error"] == pytest.approx(error, abs=1e-4)
    assert 0 < error < 0.025
    np.testing.assert_array_equal(decoded.mask, view.mask)
    assert 0 < view.mask.mean() < 1
    assert np.abs(np.sqrt(decoded.albedo) - np.sqrt(view.albedo)).mean() < 0.01
    assert decoded.meta["groups"] == view.meta["groups"] and decoded.meta["kind"] == "test"
    shares = [decoded.meta[f"shading{k}"]["frac"] for k in range(groups)]
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert shares == sorted(shares)  # the later groups of the view are the brighter ones


def test_black_layers_stay_black():
    view = smooth_view(1)
    decoded = decode_members(encode_view(dataclasses.replace(view, residual=np.zeros_like(view.residual)))).decode()
    assert not decoded.residual.any()
    nothing = dataclasses.replace(view, shading=np.zeros_like(view.shading), residual=np.zeros_like(view.residual))
    meta = json.loads(encode_view(nothing)["json"])
    assert meta["decode_error"] == 0 and meta["shading0"]["frac"] == 0


def test_the_same_view_gives_the_same_bytes():
    assert encode_view(smooth_view()) == encode_view(smooth_view())


def test_unusable_views_are_refused():
    view = smooth_view(2)
    with pytest.raises(ValueError, match="4 light groups, expected 1 to 3"):
        encode_view(dataclasses.replace(view, meta={"groups": list("abcd")}))
    with pytest.raises(ValueError, match=r"residual of shape \(1, 96, 96, 3\), expected \(2, 96, 96, 3\)"):
        encode_view(dataclasses.replace(view, residual=view.residual[:1]))
    broken = view.shading.copy()
    broken[0, 3, 4] = np.nan
    with pytest.raises(ValueError, match="non-finite values in shading"):
        encode_view(dataclasses.replace(view, shading=broken))


def test_a_damaged_member_is_named_with_both_checksums(tmp_path, caplog):
    members = encode_view(smooth_view())
    expected = json.loads(members["json"])["crc32"]["shading1.webp"]
    damaged = bytearray(members["shading1.webp"])
    damaged[len(damaged) // 2] ^= 1
    broken = {**members, "shading1.webp": bytes(damaged)}
    with pytest.raises(ValueError, match=rf"^shading1\.webp has checksum [0-9a-f]{{8}}, expected {expected}$"):
        decode_members(broken)
    shard = tmp_path / "train-00000.tar"
    shard_writer.write_tar(shard, [("a_0", members), ("a_1", broken), ("a_2", members)])
    with pytest.raises(ShardError, match=r"train-00000\.tar: view a_1: found shading1\.webp has checksum"):
        list(coded_views(shard))
    assert load_views([shard]).keys == ["a_0", "a_2"]
    assert "view a_1 skipped" in caplog.text


def test_shards_without_checksums_stay_readable(encode_view):
    _, view = next(procedural_views(1, 32))
    members = encode_view(view)  # the fixture's: the older format
    assert b"crc32" not in members["json"]
    decode_members(members)


def test_store_and_benchmark_read_what_is_published(tmp_path):
    staging = Staging(tmp_path)
    for split, count in (("train", 3), ("val", 2)):
        for index in range(count):
            unit = f"{split}{index}"
            staging.add(split, unit, [(f"{unit}_{i}", encode_view(smooth_view(seed=10 * index + i))) for i in range(2)])
        staging.publish(split, final=True)
    assert sorted(load_views(shard_paths(tmp_path, "train")).keys) == [f"train{i}_{j}" for i in range(3) for j in range(2)]
    dataset = ShardDataset(tmp_path)
    assert len(dataset) == 4
    assert sorted(sample.name for sample in dataset) == [f"val{i}_{j}" for i in range(2) for j in range(2)]


def test_shards_fill_up_before_they_are_published(tmp_path):
    staging = Staging(tmp_path)
    for index in range(10):
        staging.add("train", f"u{index}", unit_views(f"u{index}"))
    assert staging.publish("train", max_bytes=20_000) == [tmp_path / f"train-0000{i}.tar" for i in range(2)]
    assert staging.counts()["train"] == shard_writer.Counts(views=10, units=10, staged=2, shards=2)
    assert all(path.stat().st_size <= 20_000 + 10_240 for path in tmp_path.glob("*.tar"))  # tar pads its end
    assert staging.publish("train", max_bytes=20_000) == []
    assert staging.publish("train", final=True) == [tmp_path / "train-00002.tar"]
    assert sorted(keys_in(tmp_path)) == [f"u{i}_0" for i in range(10)]
    assert staging.publish("train", final=True) == []


def test_existing_shards_are_kept_and_counted(tmp_path, shard_folder):
    old = (shard_folder / "train-00000.tar").read_bytes()
    (tmp_path / "train-00006.tar").write_bytes(old)
    staging = Staging(tmp_path)
    assert staging.counts()["train"].views == 4
    staging.add("train", "new", unit_views("new"))
    assert staging.publish("train", final=True) == [tmp_path / "train-00007.tar"]
    assert (tmp_path / "train-00006.tar").read_bytes() == old


def test_a_resumed_run_knows_what_is_done_without_reading_shards(tmp_path, monkeypatch):
    first = Staging(tmp_path)
    first.add("train", "packed", unit_views("packed", 2))
    first.publish("train", final=True)
    first.add("train", "staged", unit_views("staged"))
    first.add("val", "dark", [], reason="too dark")
    monkeypatch.setattr(shard_writer.tarfile, "open", None)
    second = Staging(tmp_path)
    assert all(second.is_done("train", unit) for unit in ("packed", "staged"))
    assert not second.is_done("train", "other")
    assert second.rejections("val") == {"dark": "too dark"}
    assert second.is_done("train", "dark"), "a unit stays in the split that it was made for"


def test_a_unit_that_another_process_published_is_done(tmp_path):
    mine, other = Staging(tmp_path), Staging(tmp_path)
    other.add("train", "a", unit_views("a"))
    other.publish("train", final=True)
    assert mine.is_done("train", "a")
    mine.add("train", "a", unit_views("a"))  # made by both at the same time
    mine.publish("train", final=True)
    assert keys_in(tmp_path) == ["a_0"]


def test_a_removed_shard_is_made_again(tmp_path):
    staging = Staging(tmp_path)
    staging.add("train", "a", unit_views("a"))
    (shard,) = staging.publish("train", final=True)
    shard.unlink()
    again = Staging(tmp_path)
    assert not again.is_done("train", "a")
    (tmp_path / ".staging" / "index" / "train-00000.json").read_text()  # its index is still there
    shard_writer.write_tar(shard, unit_views("other", 9))
    assert Staging(tmp_path).is_done("train", "other") and not Staging(tmp_path).is_done("train", "a")


def test_names_that_the_format_does_not_allow(tmp_path):
    staging = Staging(tmp_path)
    for unit in ("", "a.b", "../a", "x" * 73):
        with pytest.raises(ValueError, match="unit"):
            staging.add("train", unit, [])
    for keys in (["b_0"], ["a"], ["a_0_1"], ["a_0", "a_0"], ["a_0.x"]):
        with pytest.raises(ValueError, match="a_NUMBER"):
            staging.add("train", "a", [(key, {"json": b"{}"}) for key in keys])
    with pytest.raises(ValueError, match="split 'dev'"):
        staging.is_done("dev", "a")


@pytest.mark.parametrize("step", ["write_tar", "replace", "index", "unlink first", "unlink second"])
def test_a_crash_within_publish_neither_loses_nor_doubles_a_view(tmp_path, monkeypatch, step):
    staging = Staging(tmp_path)
    for unit in "abcd":
        staging.add("train", unit, unit_views(unit, 2))

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    unlink, calls = Path.unlink, Counter()

    def unlink_some(path: Path, **options: bool) -> None:
        if path.parent.name == "train":
            calls["train"] += 1
            if calls["train"] == (1 if step == "unlink first" else 2):
                raise Killed
        unlink(path, **options)

    with monkeypatch.context() as patch:
        if step == "write_tar":
            write = shard_writer.write_tar
            patch.setattr(shard_writer, "write_tar", lambda path, views: (write(path, views[:1]), killed()))
        elif step == "replace":
            patch.setattr(shard_writer.os, "replace", killed)
        elif step == "index":
            patch.setattr(Staging, "_write_index", killed)
        else:
            patch.setattr(Path, "unlink", unlink_some)
        with pytest.raises(Killed):
            staging.publish("train", final=True)
    resumed = Staging(tmp_path)
    assert all(resumed.is_done("train", unit) for unit in "abcd")
    resumed.publish("train", final=True)
    assert sorted(keys_in(tmp_path)) == [f"{unit}_{i}" for unit in "abcd" for i in range(2)]
    assert resumed.counts()["train"] == shard_writer.Counts(views=8, units=4, shards=1)
    assert not list((tmp_path / ".staging").rglob("*.part*"))


def test_a_damaged_staged_file_is_made_again(tmp_path, caplog):
    staging = Staging(tmp_path)
    staging.add("train", "good", unit_views("good"))
    staging.add("train", "bad", unit_views("bad"))
    path = tmp_path / ".staging" / "train" / "bad.tar"
    path.write_bytes(path.read_bytes()[:1000])
    staging.publish("train", final=True)
    assert keys_in(tmp_path) == ["good_0"]
    assert "bad.tar" in caplog.text
    assert not staging.is_done("train", "bad")


def test_a_broken_shard_in_the_folder_is_named(tmp_path):
    (tmp_path / "train-00000.tar").write_bytes(b"no tar" * 100)
    with pytest.raises(ShardError, match=r"train-00000\.tar: found a broken archive"):
        Staging(tmp_path)


WRITER = """
import json, sys
from intrinsic_flow.train.data.shard_writer import Staging
folder, start, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
staging = Staging(folder)
for index in range(start, stop):
    unit = f"u{index}"
    if not staging.is_done("train", unit):
        views = [(f"{unit}_{i}", {"albedo.jpg": b"x" * 3000, "json": b"{}"}) for i in range(2)]
        staging.add("train", unit, views)
    if index % 5 == 4:
        staging.publish("train", max_bytes=40_000)
    print(index, flush=True)
"""


def start_writer(folder: Path, start: int, stop: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(folder), str(start), str(stop)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def assert_complete(folder: Path, units: int) -> None:
    assert sorted(keys_in(folder)) == sorted(f"u{unit}_{i}" for unit in range(units) for i in range(2))


def test_processes_that_write_and_publish_at_once_share_a_folder(tmp_path):
    writers = [start_writer(tmp_path, start, start + 40) for start in (0, 40)]
    assert [writer.communicate()[0] != "" and writer.returncode for writer in writers] == [0, 0]
    Staging(tmp_path).publish("train", final=True)
    assert_complete(tmp_path, 80)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_writer_killed_again_and_again_loses_nothing(tmp_path):
    rng = np.random.default_rng(3)
    killed = 0
    for _ in range(6):
        writer = start_writer(tmp_path, 0, 200)
        writer.stdout.readline()
        time.sleep(float(rng.uniform(0.005, 0.06)))
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        killed += writer.returncode == -signal.SIGKILL
    assert killed >= 1
    writer = start_writer(tmp_path, 0, 200)
    writer.communicate()
    assert writer.returncode == 0
    Staging(tmp_path).publish("train", final=True)
    assert_complete(tmp_path, 200)


def test_surfaces_and_normals_are_optional_and_come_back():
    _, coded = next(procedural_views(1, 64))
    plain = coded.decode()
    assert decode_members(encode_view(plain)).decode().surface is None
    left, normal = np.arange(64) < 20, np.zeros((64, 64, 3), np.float32)
    normal[..., 2] = 1
    meta = {**plain.meta, "surfaces": [["wood", 3, [0.3, 0.2, 0.1]], ["sky", -1, None]]}
    surface = np.broadcast_to(np.where(left, 0, 1), (64, 64)).astype(np.uint8)
    view = dataclasses.replace(plain, surface=surface, normal=normal, meta=meta)
    read = decode_members(encode_view(view)).decode()
    np.testing.assert_array_equal(read.surface, surface)
    np.testing.assert_allclose(read.normal, normal, atol=0.02)
    np.testing.assert_array_equal(read.of_material("wood", "skin"), np.broadcast_to(left, (64, 64)))
    with pytest.raises(ValueError, match="surface"):
        encode_view(dataclasses.replace(view, surface=surface[:32]))
    with pytest.raises(ValueError, match="index 2"):
        encode_view(dataclasses.replace(view, surface=surface + 1))
