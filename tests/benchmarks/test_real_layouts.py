"""Each loader on a miniature in the true layout, and each set through the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.benchmarks import quality
from intrinsic_flow.benchmarks.scoring.datasets import (
    ArapDataset,
    HypersimDataset,
    IiwDataset,
    MawDataset,
    MitDataset,
    SawDataset,
)
from intrinsic_flow.benchmarks.scoring.datasets.arap import scene_of
from intrinsic_flow.benchmarks.scoring.datasets.mit import BARRON_TEST, BARRON_TRAIN, GROSSE
from intrinsic_flow.benchmarks.scoring.datasets.saw import SawShadingDataset
from intrinsic_flow.errors import InputError

WITHOUT_WEIGHTS = ["--methods", "retinex", "trivial"]


def rows_of(tmp_path: Path, dataset: str, data: Path, *options: str) -> dict[tuple[str, str], dict]:
    file = tmp_path / "scores.json"
    arguments = ["--dataset", dataset, "--data", str(data), *WITHOUT_WEIGHTS, *options, "--json", str(file)]
    assert quality.main(arguments) == 0
    return {(row["method"], row["layer"]): row for row in json.loads(file.read_text())["rows"]}


# ---------------------------------------------------------------- mit


def test_mit_splits_are_barrons_halves_and_grosses_sixteen(tmp_path: Path, make) -> None:
    make.mit(tmp_path, ["apple", "cup2", "deer", "box", "mine"])
    names = {split: list(MitDataset(tmp_path, split).names) for split in MitDataset.splits}
    assert names["all"] == ["apple", "box", "cup2", "deer", "mine"]
    assert names["test"] == ["cup2", "deer"] and names["train"] == ["apple", "box"]
    assert names["grosse"] == ["box", "cup2", "deer"]
    assert len(BARRON_TEST) == len(BARRON_TRAIN) == 10 and len(GROSSE) == 16 and not BARRON_TEST & BARRON_TRAIN


def test_a_mit_folder_without_the_splits_objects_says_so(tmp_path: Path, make) -> None:
    make.mit(tmp_path, ["apple"])
    with pytest.raises(InputError, match=r"no object of the split 'test' among 1, expected cup2, .* or another --split"):
        MitDataset(tmp_path, "test")


def test_single_light_pictures_of_mit_come_in_order(tmp_path: Path, make) -> None:
    make.lights(make.mit(tmp_path, ["apple"]), 3)
    sample = MitDataset(tmp_path).load("apple")
    assert len(sample.lights) == 3
    stored = cv2.imread(str(tmp_path / "apple" / "light02.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_allclose(sample.lights[1], stored / 65535, atol=1e-6)


def test_constancy_by_the_command(tmp_path: Path, make) -> None:
    data = tmp_path / "mit"
    data.mkdir()
    make.lights(make.mit(data, ["apple", "box"]), 4)
    rows = rows_of(tmp_path, "mit", data, "--protocol", "constancy")
    assert rows["constant", "albedo"]["change"] == pytest.approx(0, abs=1e-9)
    assert rows["chromaticity", "albedo"]["change"] < 1e-4 < rows["image", "albedo"]["change"]
    assert rows["image", "albedo"]["n"] == 2


def test_barron_and_grosse_by_the_command(tmp_path: Path, make) -> None:
    data = tmp_path / "mit"
    data.mkdir()
    make.mit(data, ["apple", "cup2", "deer"])
    barron = rows_of(tmp_path, "mit", data, "--protocol", "barron")
    assert barron["image", "albedo"]["n"] == 2 and {"mse", "lmse", "dssim"} <= set(barron["image", "albedo"])
    grosse = rows_of(tmp_path, "mit", data, "--protocol", "grosse")
    retinex = [grosse["retinex", layer]["lmse"] for layer in ("albedo", "shading", "both")]
    assert retinex[2] == pytest.approx(np.mean(retinex[:2]))


# ---------------------------------------------------------------- arap


@pytest.mark.parametrize(
    ("options", "stored", "factor"),
    [
        ({"suffix": ".hdr"}, "hdr linear", 1.0),
        ({"suffix": ".hdr", "scale": 1 / 179}, "hdr linear", 179.0),
        ({"suffix": ".hdr", "scale": 179.0}, "hdr linear", 1 / 179),
        ({"suffix": ".png"}, "png sRGB", 1.0),
        ({"suffix": ".jpg"}, "jpg sRGB", 1.0),
        ({"suffix": ".png", "curve": False}, "png linear", 1.0),
    ],
)
def test_arap_recognises_how_a_scene_is_stored(options: dict, stored: str, factor: float, tmp_path: Path, make) -> None:
    truth = ArapDataset(make.arap(tmp_path / "truth", "room", ".hdr", seed=3)).load("room")
    dataset = ArapDataset(make.arap(tmp_path / "set", "room", seed=3, **options))
    encoding = dataset.encoding("room")
    assert encoding.files == (stored,) * 3 and encoding.albedo_factor == pytest.approx(factor)
    assert encoding.product_error < 0.05
    sample = dataset.load("room")
    difference = np.abs(sample.albedo - truth.albedo)  # JPEG smears colours over the edges of patches
    assert np.percentile(difference, 90) < 0.05 and difference.mean() < 0.02
    whole = sample.albedo * sample.shading
    valid = sample.mask & (sample.image.mean(-1) > 0.05)
    assert np.median(np.abs(whole[valid] / sample.image[valid] - 1)) < 0.05


def test_arap_recognises_linear_8_bit_files_beside_a_float_file(tmp_path: Path, make) -> None:
    make.arap(tmp_path, "room", ".hdr", seed=4)
    albedo = ArapDataset(tmp_path).load("room").albedo
    (tmp_path / "room_albedo.hdr").unlink()
    make.picture(tmp_path / "room_albedo.png", albedo, curve=False)
    assert ArapDataset(tmp_path).encoding("room").files == ("hdr linear", "png linear", "hdr linear")
    make.picture(tmp_path / "room_albedo.png", albedo, curve=True)
    assert ArapDataset(tmp_path).encoding("room").files == ("hdr linear", "png sRGB", "hdr linear")


def test_arap_lights_share_an_albedo_and_a_mask_and_are_one_scene(tmp_path: Path, make) -> None:
    make.arap(tmp_path, "alley_light0", seed=1)
    make.arap(tmp_path, "alley_light1", seed=1)
    (tmp_path / "alley_light0_albedo.hdr").rename(tmp_path / "alley_albedo.hdr")
    (tmp_path / "alley_light1_albedo.hdr").unlink()
    alpha = np.zeros((64, 64, 3))
    alpha[:32] = 1
    make.picture(tmp_path / "alley_alpha.png", alpha, curve=False)
    dataset = ArapDataset(tmp_path)
    assert list(dataset.names) == ["alley_light0", "alley_light1"]
    sample = dataset.load("alley_light1")
    assert sample.group == scene_of("alley_light0") == "alley"
    assert sample.mask[:31].mean() > 0.9 and not sample.mask[33:].any()


def test_arap_files_may_be_sorted_into_folders(tmp_path: Path, make) -> None:
    make.arap(tmp_path / "flat", "bamboo", ".png")
    for kind, ending in (("input", ""), ("reflectance", "_albedo"), ("shading", "_shading")):
        (tmp_path / "sorted" / kind).mkdir(parents=True)
        name = f"bamboo{ending}.png"
        (tmp_path / "flat" / name).rename(tmp_path / "sorted" / kind / name)
    assert list(ArapDataset(tmp_path / "sorted").names) == ["bamboo"]


def test_arap_duplicates_are_listed_and_left_out_where_the_protocol_says(
    tmp_path: Path, make, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "arap"
    make.arap(data, "first", ".hdr", seed=5)
    make.arap(data, "second", ".png", seed=6)
    make.arap(data, "third", ".hdr", scale=1 / 179, seed=5)
    assert ArapDataset(data).duplicates() == {"third": "first"}
    assert list(ArapDataset(data, unique=True).names) == ["first", "second"]
    quick = ("--methods", "trivial")
    rows = {p: rows_of(tmp_path, "arap", data, "--protocol", p, *quick) for p in ("flowiid", "careaga")}
    counts = {protocol: row["image", "albedo"]["n"] for protocol, row in rows.items()}
    assert counts == {"flowiid": 3, "careaga": 2}
    assert "duplicates (left out): third = first" in capsys.readouterr().out
    described = json.loads((tmp_path / "scores.json").read_text())["data"]
    assert described["duplicates"] == {"third": "first"}
    assert described["encodings"]["third"]["albedo_factor"] == 179


def test_arap_protocols_differ_on_the_same_answers(tmp_path: Path, make) -> None:
    data = tmp_path / "arap"
    make.arap(data, "a", seed=0)
    quick = ("--methods", "trivial")
    flowiid, careaga = (rows_of(tmp_path, "arap", data, "--protocol", p, *quick) for p in ("flowiid", "careaga"))
    for key in (("chromaticity", "albedo"), ("constant", "shading")):
        assert flowiid[key]["lmse"] != pytest.approx(careaga[key]["lmse"], rel=1e-3)
        assert flowiid[key]["rmse"] > flowiid[key]["si_rmse"] > 0


def test_arap_split_valid_leaves_out_what_another_evaluator_calls_invalid(tmp_path: Path, make) -> None:
    for name in ("tiger", "bamboo"):
        make.arap(tmp_path, name)
    assert list(ArapDataset(tmp_path, "valid").names) == ["bamboo"]


def test_arap_files_of_different_size_are_refused(tmp_path: Path, make) -> None:
    make.arap(tmp_path, "room")
    make.picture(tmp_path / "room_shading.hdr", np.ones((20, 30, 3)))
    with pytest.raises(InputError, match=r"room_shading\.hdr: found 30x20 pixels, expected 64x64 like room\.hdr"):
        ArapDataset(tmp_path).load("room")


# ---------------------------------------------------------------- saw


def test_saw_photos_come_with_their_labels(tmp_path: Path, make) -> None:
    make.saw(tmp_path, [54, 112, 7], test=[112, 54])
    dataset = SawDataset(tmp_path)
    assert list(dataset.names) == ["112", "54"] and list(SawDataset(tmp_path, "train").names) == ["54"]
    sample = dataset.load("54")
    classes = sample.labels.classes
    assert sorted(np.unique(classes)) == [0, 1, 2, 100]
    assert sample.mask.all()  # methods see the whole photo, labels or not
    assert sample.albedo is None and sample.shading is None and sample.usable
    encoded = cv2.imread(str(tmp_path / "saw_images_512" / "54.png"))[..., ::-1] / 255
    np.testing.assert_allclose(sample.image, ((encoded + 0.055) / 1.055) ** 2.4, atol=1e-4)


@pytest.mark.parametrize("protocol", ["weighted", "unweighted", "challenge"])
def test_saw_by_the_command(protocol: str, tmp_path: Path, make) -> None:
    make.saw(tmp_path / "saw", [1, 2, 3])
    rows = rows_of(tmp_path, "saw", tmp_path / "saw", "--protocol", protocol)
    assert rows["constant", "shading"]["ap"] == pytest.approx(0.5)  # everything is called smooth at once
    assert 0.75 <= rows["gray image", "shading"]["ap"] <= 1 and rows["retinex", "shading"]["n"] == 3


def test_a_saw_photo_without_labels_is_skipped_and_one_with_few_is_not(tmp_path: Path, make) -> None:
    make.saw(tmp_path, [1])
    path = next((tmp_path / "saw_pixel_labels").glob("*/1.npy"))
    classes = np.full((64, 64), 100, np.uint8)
    np.save(path, classes)
    assert not SawDataset(tmp_path).load("1").usable
    classes[0, 0] = 2
    np.save(path, classes)
    assert SawDataset(tmp_path).load("1").usable


def test_saw_labels_of_another_size_are_refused(tmp_path: Path, make) -> None:
    make.saw(tmp_path, [1])
    path = next((tmp_path / "saw_pixel_labels").glob("*/1.npy"))
    np.save(path, np.zeros((5, 6), np.uint8))
    with pytest.raises(InputError, match=r"1\.npy: found 6x5 pixels"):
        SawDataset(tmp_path).load("1")
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"1\.npy: found an unreadable array"):
        SawDataset(tmp_path).load("1")


def test_precomputed_saw_shading_has_its_own_name_and_scores(tmp_path: Path, make) -> None:
    make.saw_shading(tmp_path / "processed", [63, 54])
    dataset = SawShadingDataset(tmp_path / "processed")
    assert list(dataset.names) == ["54", "63"]
    sample = dataset.load("54")
    np.testing.assert_allclose(sample.albedo * sample.shading, sample.image, atol=0.01)
    rows = rows_of(tmp_path, "saw", tmp_path / "processed", "--protocol", "precomputed-shading")
    assert {layer for _, layer in rows} == {"shading"} and "NOT the SAW score" in rows["constant", "shading"]["protocol"]
    row = rows["constant", "shading"]
    assert row["mse"] > 0 and row["rmse"] > 0 and "ap" not in row
    with pytest.raises(InputError, match="saw_images_512"):
        SawDataset(tmp_path / "processed")


def test_saw_photos_that_together_lack_a_class_are_an_error(
    tmp_path: Path, make, capsys: pytest.CaptureFixture[str]
) -> None:
    make.saw(tmp_path, [1])
    path = next((tmp_path / "saw_pixel_labels").glob("*/1.npy"))
    np.save(path, np.minimum(np.load(path), 1))
    assert quality.main(["--dataset", "saw", "--data", str(tmp_path), *WITHOUT_WEIGHTS]) == 1
    assert "no score can be computed" in capsys.readouterr().err


# ---------------------------------------------------------------- iiw


def test_iiw_judgements_that_do_not_count_are_left_out(tmp_path: Path, make) -> None:
    make.iiw(tmp_path, [10, 2, 33, 4, 5, 61])
    dataset = IiwDataset(tmp_path)
    assert list(dataset.names) == ["2", "61"]  # every fifth by number, from the first
    assert list(IiwDataset(tmp_path / "data", "all").names) == ["2", "4", "5", "10", "33", "61"]
    labels = dataset.load("2").labels
    np.testing.assert_allclose(labels.weight, [0.75, 0.25])
    np.testing.assert_array_equal(labels.darker, [2, 0])
    np.testing.assert_allclose(labels.first[0], [0.25, 0.5])


def test_iiw_by_the_command(tmp_path: Path, make) -> None:
    make.iiw(tmp_path / "iiw-dataset", list(range(1, 12)))
    rows = rows_of(tmp_path, "iiw", tmp_path)
    assert rows["image", "albedo"]["n"] == 3
    assert rows["image", "albedo"]["whdr"] == pytest.approx(0, abs=1e-9)  # the left surface is twice as bright
    assert rows["constant", "albedo"]["whdr"] == pytest.approx(0.75)
    assert ("gray image", "shading") not in rows


def test_a_broken_judgement_file_is_named(tmp_path: Path, make) -> None:
    make.iiw(tmp_path, [1])
    (tmp_path / "data" / "1.json").write_text('{"intrinsic_points": []}')
    with pytest.raises(InputError, match=r"1\.json: found no judgements .*published at"):
        IiwDataset(tmp_path).load("1")


def test_a_photo_without_judgements_is_skipped(tmp_path: Path, make) -> None:
    make.iiw(tmp_path, [1])
    (tmp_path / "data" / "1.json").write_text('{"intrinsic_points": [], "intrinsic_comparisons": []}')
    assert not IiwDataset(tmp_path).load("1").usable


# ---------------------------------------------------------------- maw


def test_maw_regions_get_their_measured_colours(tmp_path: Path, make) -> None:
    dataset = MawDataset(make.maw(tmp_path, ["DSC1", "DSC2"]))
    assert list(dataset.names) == ["scene_0/DSC1", "scene_0/DSC2"]
    sample = dataset.load("scene_0/DSC2")
    assert sorted(sample.labels.colors) == [60, 120]
    np.testing.assert_allclose(sample.labels.colors[60], 0.5, atol=1e-3)
    assert sample.mask.all() and sample.group == "scene_0"


def test_a_maw_photo_whose_regions_vanish_is_skipped(tmp_path: Path, make) -> None:
    data = make.maw(tmp_path / "maw", ["DSC1", "DSC2"])
    mask = np.zeros((2400, 3200), np.uint8)
    mask[1, 1:3] = [60, 120]
    cv2.imwrite(str(data / "labels" / "masks" / "DSC2_mask.png"), mask)
    make.picture(data / "images_png" / "scene_0" / "DSC2.png", np.full((240, 320, 3), 0.5))
    assert MawDataset(data).load("scene_0/DSC2").labels.visible == []
    assert rows_of(tmp_path, "maw", data)["image", "albedo"]["n"] == 1


def test_maw_by_the_command(tmp_path: Path, make) -> None:
    rows = rows_of(tmp_path, "maw", make.maw(tmp_path / "maw", ["DSC1", "DSC2"]))
    # Image greys .5 and .35/3 against .5 and .25; 400 and 200 of 600 pixels, at 320x240 in the same proportion.
    guess, wanted, share = np.array([0.5, 0.35 / 3]), np.array([0.5, 0.25]), np.array([2 / 3, 1 / 3])
    scale = (share * guess * wanted).sum() / (share * guess**2).sum()
    expected = (share * (scale * guess - wanted) ** 2).sum()
    assert rows["image", "albedo"]["intensity"] == pytest.approx(expected, rel=0.02)
    assert rows["constant", "albedo"]["chromaticity"] < 0.1 < rows["image", "albedo"]["chromaticity"]


def test_maw_without_a_file_that_the_table_names_says_which(tmp_path: Path, make) -> None:
    make.maw(tmp_path, ["DSC1"])
    (tmp_path / "labels" / "masks" / "DSC1.npy").unlink()
    with pytest.raises(InputError, match=r"DSC1\.npy: found nothing there, expected labels/meta\.csv"):
        MawDataset(tmp_path)


def test_maw_with_more_regions_than_colours_is_refused(tmp_path: Path, make) -> None:
    make.maw(tmp_path, ["DSC1"])
    np.save(tmp_path / "labels" / "masks" / "DSC1.npy", np.array([[0.5, 0.5, 0.5]]))
    with pytest.raises(InputError, match=r"DSC1_mask\.png: found 2 regions, expected 1 to 1"):
        MawDataset(tmp_path).load("scene_0/DSC1")


# ---------------------------------------------------------------- hypersim

FRAMES = {"ai_001_001/cam_00/0000": "test", "ai_001_001/cam_01/0012": "train", "ai_002_003/cam_00/0099": "test"}


def test_hypersim_frames_of_a_split(tmp_path: Path, make) -> None:
    make.hypersim(tmp_path, FRAMES)
    assert list(HypersimDataset(tmp_path).names) == [name for name, split in FRAMES.items() if split == "test"]
    assert list(HypersimDataset(tmp_path, "train").names) == ["ai_001_001/cam_01/0012"]
    (tmp_path / "metadata_images_split_scene_v1.csv").unlink()
    assert len(HypersimDataset(tmp_path, "all")) == 3
    with pytest.raises(InputError, match=r"metadata_images_split_scene_v1\.csv: found nothing there.*--split all"):
        HypersimDataset(tmp_path)


def test_hypersim_masks_what_has_no_surface_or_number(tmp_path: Path, make) -> None:
    make.hypersim(tmp_path, FRAMES)
    sample = HypersimDataset(tmp_path).load("ai_001_001/cam_00/0000")
    assert sample.image.shape == (512, 512, 3) and np.isfinite(sample.image).all()
    assert not sample.mask[:64, :64].any() and sample.mask[80:, 80:].mean() > 0.9
    assert not sample.mask[40 * 8 : 41 * 8, 40 * 8 : 41 * 8].all()
    inner = sample.mask & (sample.image.mean(-1) > 0.01)
    ratio = (sample.albedo * sample.shading / sample.image)[inner]
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.02


def test_hypersim_by_the_command(tmp_path: Path, make, capsys: pytest.CaptureFixture[str]) -> None:
    make.hypersim(tmp_path / "data", {"ai_001_001/cam_00/0000": "test"})
    rows = rows_of(tmp_path, "hypersim", tmp_path / "data", "--methods", "trivial")
    row = rows["image", "albedo"]
    assert {"psnr", "si_mse", "lmse", "ssim"} <= set(row) and 5 < row["psnr"] < 40
    if "lpips" not in row:
        assert "no LPIPS" in capsys.readouterr().err


def test_a_hypersim_frame_without_a_layer_is_named(tmp_path: Path, make) -> None:
    make.hypersim(tmp_path, FRAMES)
    next(tmp_path.glob("ai_002_003/images/*/frame.0099.diffuse_illumination.hdf5")).unlink()
    with pytest.raises(InputError, match=r"no frame\.0099\.diffuse_illumination\.hdf5"):
        HypersimDataset(tmp_path)


def test_an_unreadable_hypersim_file_is_named(tmp_path: Path, make) -> None:
    make.hypersim(tmp_path, FRAMES)
    path = next(tmp_path.glob("ai_001_001/images/scene_cam_00_final_hdf5/frame.0000.color.hdf5"))
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"frame\.0000\.color\.hdf5: found a damaged or truncated HDF5 file"):
        HypersimDataset(tmp_path).load("ai_001_001/cam_00/0000")
