from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shards import ShardError, coded_views, views
from intrinsic_flow.train.data.store import build_views, dull_reason, load_views, shard_paths


def test_shard_gives_back_what_was_rendered(shard_folder):
    written = dict(procedural_views(4, 64, 5))
    read = dict(views(shard_folder / "train-00000.tar"))
    assert list(read) == list(written)
    for key, view in read.items():
        truth = written[key].decode()
        assert np.abs(np.sqrt(view.albedo) - np.sqrt(truth.albedo)).mean() < 0.02
        np.testing.assert_array_equal(view.mask, truth.mask)
        assert np.abs(view.total_shading - truth.total_shading).mean() < 0.02 * truth.total_shading.mean()
        np.testing.assert_allclose(view.image, view.albedo * view.total_shading + view.residual.sum(0), rtol=1e-6)


def test_log_code_decodes_by_its_formula():
    _, view = next(procedural_views(1, 32))
    slope, scale = view.shading_code[0]
    value = view.shading[0, 3, 4, 1] / 255
    assert view.decode().shading[0, 3, 4, 1] == pytest.approx(float(np.expm1(value * slope) * scale), rel=1e-5)


def test_truncated_shard_is_named(shard_folder, tmp_path):
    content = (shard_folder / "train-00000.tar").read_bytes()
    broken = tmp_path / "train-00000.tar"
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(ShardError, match=r"train-00000\.tar"):
        list(views(broken))


def test_missing_member_names_shard_and_view(tmp_path, encode_view, write_tar):
    key, view = next(procedural_views(1, 32))
    members = encode_view(view)
    del members["shading1.webp"]
    shard = write_tar(tmp_path / "train-00000.tar", [(key, members)])
    with pytest.raises(ShardError, match=f"{key}.*shading1.webp"):
        list(coded_views(shard))


def test_store_skips_broken_views_and_keeps_the_others(tmp_path, caplog, encode_view, write_tar):
    pairs = [(key, encode_view(view)) for key, view in procedural_views(3, 64)]
    pairs[1][1]["albedo.jpg"] = b"no picture"
    views = load_views([write_tar(tmp_path / "train-00000.tar", pairs)])
    assert views.keys == [pairs[0][0], pairs[2][0]]
    assert pairs[1][0] in caplog.text


def test_store_keeps_what_a_truncated_shard_still_holds(shard_folder, tmp_path, caplog):
    content = (shard_folder / "train-00000.tar").read_bytes()
    broken = tmp_path / "train-00000.tar"
    broken.write_bytes(content[: int(len(content) * 0.6)])
    store = load_views([broken])
    assert 1 <= len(store) < 4
    assert "broken archive" in caplog.text


def test_views_of_different_sizes_are_grouped():
    small, large = list(procedural_views(3, 32)), list(procedural_views(2, 64, 3))
    views = build_views([small[0], large[0], small[1], small[2], large[1]])
    assert len(views) == 5 and views.sizes == {(32, 32): 3, (64, 64): 2}
    index = torch.tensor([4, 0, 3, 2])
    located = {store.size: (rows.tolist(), inside.tolist()) for store, rows, inside in views.locate(index)}
    assert located == {(32, 32): ([1, 3], [0, 2]), (64, 64): ([0, 2], [1, 0])}
    np.testing.assert_array_equal(views.stores[1].albedo[1].permute(1, 2, 0), large[1][1].albedo)


def test_views_fit_a_size_up_to_an_enlargement():
    views = build_views([*procedural_views(2, 64), *procedural_views(1, 128)])
    assert views.fitting(64, 64, 1.0).tolist() == [0, 1, 2]
    assert views.fitting(64, 96, 1.0).tolist() == [2]
    assert views.fitting(64, 96, 1.5).tolist() == [0, 1, 2]
    assert views.fitting(256, 256, 1.5).tolist() == []


def test_empty_data_is_refused(tmp_path):
    with pytest.raises(ShardError, match="no train-"):
        shard_paths(tmp_path, "train")
    with pytest.raises(ShardError, match="no such folder"):
        shard_paths(tmp_path / "absent", "train")
    with pytest.raises(ShardError, match="no usable view"):
        build_views([])


def test_dull_views_are_recognised():
    _, view = next(procedural_views(1, 64))
    assert dull_reason(view) is None
    assert "valid" in dull_reason(dataclasses.replace(view, mask=np.zeros_like(view.mask)))
    dark = np.zeros_like(view.shading)
    dark[0, :8, :8] = 255
    assert "lit" in dull_reason(dataclasses.replace(view, shading=dark))


def test_procedural_views_depend_on_the_seed_only():
    first, again, other = (next(procedural_views(1, 32, seed))[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.albedo, again.albedo)
    assert (first.albedo != other.albedo).any()
