"""Decoded views in mapped files, and folders with weights."""

from __future__ import annotations

import logging

import pytest
import torch

from intrinsic_flow.train.config import ConfigError, VaeConfig, config_from_dict
from intrinsic_flow.train.data import cache, store
from intrinsic_flow.train.data.cache import mapped_views
from intrinsic_flow.train.data.mixture import SLOTS, Source, assign, parse_sources, places
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shards import ShardError
from intrinsic_flow.train.session import open_session


@pytest.fixture
def shard(tmp_path, encode_view, write_tar):
    """Six views of two sizes."""
    chosen = [*procedural_views(4, 64, 5), *((f"b{key}", view) for key, view in procedural_views(2, 96, 6))]
    return write_tar(tmp_path / "train-00000.tar", [(key, encode_view(view)) for key, view in chosen])


def fields_of(views, key):
    for part in views.stores:
        if key in part.keys:
            row = part.keys.index(key)
            return {name: getattr(part, name)[row] for name in cache._FIELDS}
    raise AssertionError(key)


def assert_same_views(found, expected):
    assert sorted(found.keys) == sorted(expected.keys)
    for key in expected.keys:
        for name, value in fields_of(expected, key).items():
            assert torch.equal(fields_of(found, key)[name], value), (key, name)


def test_mapped_views_are_the_decoded_ones_and_are_decoded_once(shard, tmp_path, monkeypatch):
    expected = store.load_views([shard])
    assert_same_views(mapped_views([shard], tmp_path / "cache"), expected)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]
    monkeypatch.setattr(cache, "load_views", lambda paths: pytest.fail("decoded again"))
    again = mapped_views([shard], tmp_path / "cache")
    assert_same_views(again, expected)
    assert again.sizes == {(64, 64): 4, (96, 96): 2}
    assert len(mapped_views([shard], tmp_path / "cache", limit=3)) == 3


def test_nothing_is_padded(shard, tmp_path):
    views = mapped_views([shard], tmp_path / "cache")
    for part in views.stores:
        assert ((part.code[:, 0, :, 0] > 0).sum(1) == part.layers.shape[2]).all()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_written_again(shard, tmp_path, caplog, damage):
    expected = store.load_views([shard])
    mapped_views([shard], tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    content = bytearray(file.read_bytes())
    content[-1000] ^= 255
    file.write_bytes({"cut": content[:-100], "flipped": content, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert_same_views(mapped_views([shard], tmp_path / "cache"), expected)
    assert str(file) in caplog.text and "decoded again" in caplog.text


def test_an_interrupted_decoding_leaves_no_file(shard, tmp_path, monkeypatch):
    def save(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "save_file", save)
    with pytest.raises(KeyboardInterrupt):
        mapped_views([shard], tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_folder_that_cannot_be_written_is_named(shard, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ShardError, match=r"cache.*expected a folder with room"):
        mapped_views([shard], tmp_path / "cache")


def test_a_session_trains_from_mapped_views_in_several_buckets(shard, tmp_path, tiny_options, encode_view, write_tar):
    write_tar(tmp_path / "val-00000.tar", [(key, encode_view(view)) for key, view in procedural_views(2, 64, 9)])
    options = {**tiny_options, "data": str(tmp_path), "cache": str(tmp_path / "cache"), "buckets": ("64", "96"), "steps": 1}
    mapped, held = open_session(VaeConfig(**options)), open_session(VaeConfig(**{**options, "cache": None}))
    assert [len(numbers) for numbers in mapped.fitting] == [6, 2]
    for step in range(4):
        assert torch.equal(mapped.plan(step).index, held.plan(step).index)


def test_weights_of_folders_are_read(tmp_path):
    assert parse_sources(["a", "b"]) == (Source("a", None), Source("b", None))
    assert parse_sources(["a:1", "b:2.5", "c"]) == (Source("a", 1.0), Source("b", 2.5), Source("c", 1.0))
    (tmp_path / "x:3").mkdir()
    assert parse_sources([str(tmp_path / "x:3")]) == (Source(str(tmp_path / "x:3"), None),)


@pytest.mark.parametrize(
    ("texts", "found"), [(["a:0", "b"], "'a:0'"), (["a", "a:2"], "a, a"), (["procedural", "b"], "procedural")]
)
def test_wrong_weights_are_refused(tiny_options, texts, found):
    with pytest.raises(ConfigError, match=f"--data: found .*{found}"):
        config_from_dict(VaeConfig, {**tiny_options, "steps": 1, "data": texts}, "x")


def test_plain_text_is_one_folder(tiny_options):
    assert config_from_dict(VaeConfig, {**tiny_options, "steps": 1, "data": "shards"}, "x").data == ("shards",)


def test_places_follow_the_weights():
    assert places([1, 3]) == [60, 180]
    assert places([1, 1, 1]) == [80, 80, 80]
    assert places([1, 1e6]) == [1, SLOTS - 1]


def test_each_folder_is_walked_in_order():
    positions = torch.arange(3 * SLOTS)
    chosen, earlier = assign(positions, [1, 3], seed=4)
    for part, share in enumerate((0.25, 0.75)):
        assert earlier[chosen == part].tolist() == list(range(int(share * len(positions))))
    late = positions[500:508]
    again = assign(late, [1, 3], seed=4)
    assert torch.equal(again[0], chosen[late]) and torch.equal(again[1], earlier[late])


def test_a_folder_with_three_quarters_of_the_weight_gives_three_quarters_of_the_images(
    tmp_path, tiny_options, encode_view, write_tar
):
    for name, count, seed in (("a", 6, 1), ("b", 2, 2)):
        (tmp_path / name).mkdir()
        made = [(f"{name}{key}", encode_view(view)) for key, view in procedural_views(count, 64, seed)]
        write_tar(tmp_path / name / "train-00000.tar", made)
    write_tar(tmp_path / "a" / "val-00000.tar", [(key, encode_view(view)) for key, view in procedural_views(2, 64, 9)])
    data = (f"{tmp_path}/a:1", f"{tmp_path}/b:3")
    session = open_session(VaeConfig(**{**tiny_options, "data": data, "steps": 1}))
    numbers = torch.cat([session.plan(step).index for step in range(SLOTS // 4)])
    keys = [session.train.keys[number] for number in numbers]
    assert sum(key.startswith("b") for key in keys) == 180
    counts = torch.bincount(numbers)
    assert counts[:6].tolist() == [10] * 6 and counts[6:].tolist() == [90, 90]
