from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.datasets import MitDataset, Sample, ShardDataset
from intrinsic_flow.errors import InputError
from intrinsic_flow.train.data.shards import ShardError, views

Maker = Callable[..., Path]


def test_a_shard_view_comes_as_its_default_mix(tmp_path: Path, make_shard: Maker) -> None:
    shard = make_shard(tmp_path / "val-00000.tar", 3)
    samples = list(ShardDataset(shard))
    assert len(ShardDataset(shard)) == len(samples) == 3
    for sample, (key, view) in zip(samples, views(shard), strict=True):
        assert sample.name == key and sample.group == key and not sample.gray_shading
        np.testing.assert_array_equal(sample.image, view.image)
        np.testing.assert_array_equal(sample.albedo, view.albedo)
        np.testing.assert_array_equal(sample.mask, view.mask)
        factor = view.total_shading[sample.mask] / sample.shading[sample.mask]
        np.testing.assert_allclose(factor, factor[0, 0], rtol=1e-5)
        assert np.percentile(sample.shading[sample.mask], 99) == pytest.approx(1, rel=1e-5)


def test_a_folder_is_read_by_its_validation_shards_where_it_has_any(tmp_path: Path, make_shard: Maker) -> None:
    make_shard(tmp_path / "train-00000.tar", 2, prefix="t")
    assert [sample.name for sample in ShardDataset(tmp_path)] == ["t0", "t1"]
    make_shard(tmp_path / "val-00000.tar", 1, prefix="a")
    make_shard(tmp_path / "val-00001.tar", 1, prefix="b")
    assert [sample.name for sample in ShardDataset(tmp_path)] == ["a0", "b0"]
    assert len(ShardDataset(tmp_path / "train-00000.tar")) == 2


def test_mit_objects_come_in_linear_light_with_gray_shading(tmp_path: Path, make_mit: Maker) -> None:
    make_mit(tmp_path, ["b", "a"])
    samples = list(MitDataset(tmp_path))
    assert [sample.name for sample in samples] == ["a", "b"]
    stored = cv2.imread(str(tmp_path / "a" / "diffuse.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_allclose(samples[0].image, stored / 65535, atol=1e-6)
    assert samples[0].gray_shading and (samples[0].shading[..., :1] == samples[0].shading).all()
    assert 0.1 < samples[0].valid_share < 0.9
    for layer in (samples[0].albedo, samples[0].shading):
        assert np.percentile(layer[samples[0].mask], 99) == pytest.approx(1, rel=1e-5)


def test_other_files_and_folders_beside_the_objects_are_ignored(tmp_path: Path, make_mit: Maker) -> None:
    make_mit(tmp_path, ["a"])
    (tmp_path / "LICENSE").write_text("terms")
    (tmp_path / "empty").mkdir()
    assert len(MitDataset(tmp_path)) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for dataset in (MitDataset, ShardDataset):
        with pytest.raises(InputError, match="nowhere: found nothing there"):
            dataset(tmp_path / "nowhere")


def test_a_folder_of_the_wrong_kind_is_named_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="diffuse,reflectance,shading,mask"):
        MitDataset(tmp_path)
    with pytest.raises(InputError, match=r"val-\*.tar"):
        ShardDataset(tmp_path)


def test_a_file_given_for_the_mit_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mit.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"mit\.zip: found a file"):
        MitDataset(tmp_path / "mit.zip")


def test_a_missing_layer_of_an_object_is_named(tmp_path: Path, make_mit: Maker) -> None:
    make_mit(tmp_path, ["a"])
    (tmp_path / "a" / "shading.png").unlink()
    with pytest.raises(InputError, match=r"a: found no shading\.png"):
        MitDataset(tmp_path)


def test_layers_of_different_size_are_refused(tmp_path: Path, make_mit: Maker) -> None:
    make_mit(tmp_path, ["a"])
    cv2.imwrite(str(tmp_path / "a" / "mask.png"), np.full((5, 7), 65025, np.uint16))
    with pytest.raises(InputError, match=r"mask\.png: found 7x5 pixels"):
        list(MitDataset(tmp_path))


def test_objects_smaller_than_a_window_of_the_scores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in MitDataset.files:
        cv2.imwrite(str(tmp_path / "a" / f"{name}.png"), np.full((16, 40), 65025, np.uint16))
    with pytest.raises(InputError, match="40x16"):
        list(MitDataset(tmp_path))


def test_a_black_image_or_truth_makes_a_view_unusable() -> None:
    light, black = np.full((32, 32, 3), 0.5, np.float32), np.zeros((32, 32, 3), np.float32)
    mask = np.ones((32, 32), bool)
    assert Sample("v", light, light, light, mask, gray_shading=False).usable
    for layers in ((black, light, light), (light, black, light), (light, light, black)):
        assert not Sample("v", *layers, mask, gray_shading=False).usable
    assert not Sample("v", light, light, light, ~mask, gray_shading=False).usable


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "val-00000.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises((InputError, ShardError), match=r"val-00000\.tar"):
        len(ShardDataset(tmp_path))
