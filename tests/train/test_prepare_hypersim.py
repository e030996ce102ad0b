from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.train.data.shards import View, views
from intrinsic_flow.train.prepare_hypersim import COLUMNS, SPLIT_CSV, main

h5py = pytest.importorskip("h5py")


def layers(seed: int, height: int = 48, width: int = 64) -> dict[str, np.ndarray]:
    """color, diffuse_reflectance (float16, as in the data set) and render_entity_id of one frame."""
    rng = np.random.default_rng(seed)
    reflectance = rng.uniform(0.1, 0.8, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    light = np.linspace(2, 40, width)[None, :, None] * np.array([1, 0.9, 0.7])
    entity = np.ones((height, width), np.int32)
    entity[:8, :8] = -1
    return {
        "color": (reflectance * light).astype(np.float16),
        "diffuse_reflectance": reflectance.astype(np.float16),
        "render_entity_id": entity,
    }


def write_frame(data: Path, scene: str, camera: str, number: int, **changed: np.ndarray) -> None:
    """One frame in the data set's own layout."""
    for layer, array in (layers(number) | changed).items():
        kind = "geometry" if layer == "render_entity_id" else "final"
        path = data / scene / "images" / f"scene_{camera}_{kind}_hdf5" / f"frame.{number:04d}.{layer}.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["dataset"] = array


def write_split(data: Path, rows: list[tuple[str, str, int, bool, str, str]]) -> Path:
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
    (data / SPLIT_CSV).write_text("\n".join(lines) + "\n")
    return data / SPLIT_CSV


@pytest.fixture
def data(tmp_path) -> Path:
    """Three scenes, one a split, and frames for each reason to leave one out."""
    folder = tmp_path / "hypersim"
    rows = []
    for number, (scene, split) in enumerate([("ai_001_001", "train"), ("ai_001_002", "val"), ("ai_003_010", "test")]):
        write_frame(folder, scene, "cam_00", number)
        rows.append((scene, "cam_00", number, True, "", split))
    write_frame(folder, "ai_001_001", "cam_01", 5, render_entity_id=np.full((48, 64), -1, np.int32))
    write_frame(folder, "ai_001_001", "cam_01", 6, color=np.zeros((48, 64, 3), np.float16))
    write_frame(folder, "ai_001_001", "cam_01", 7, color=np.full((48, 64, 3), 3, np.float16))
    write_frame(folder, "ai_001_001", "cam_01", 8)
    write_frame(folder, "ai_001_001", "cam_01", 9)
    rows += [("ai_001_001", "cam_01", number, True, "", "train") for number in (5, 6, 7)]
    rows.append(("ai_001_001", "cam_01", 8, False, "CONTENT FLAGGED FOR REMOVAL", ""))
    write_split(folder, rows)
    return folder


def command(data: Path, *more: str) -> list[str]:
    return ["--data", str(data), "-o", str(data.parent / "out"), "--size", "48", "--workers", "1", *more]


def prepared(data: Path, split: str) -> dict[str, View]:
    return {key: view for path in sorted((data.parent / "out").glob(f"{split}-*.tar")) for key, view in views(path)}


def test_frames_go_to_the_official_splits_and_bad_ones_are_counted(data, capsys):
    assert main(command(data)) == 0
    found = {split: list(prepared(data, split)) for split in ("train", "val", "test")}
    assert found == {
        "train": ["ai_001_001_cam_00_0000_0"],
        "val": ["ai_001_002_cam_00_0001_0"],
        "test": ["ai_003_010_cam_00_0002_0"],
    }
    message = capsys.readouterr().err
    for reason in ("too few valid pixels", "nearly black", "nearly constant", "content flagged", "not in the split file"):
        assert re.search(rf"left out: 1 frames \({reason}", message), reason


def test_shading_is_color_over_reflectance(data):
    assert main(command(data)) == 0
    view = prepared(data, "val")["ai_001_002_cam_00_0001_0"]
    truth = {name: array[:, 8:56].astype(np.float32) for name, array in layers(1).items()}
    inside = view.mask.copy()
    inside[::8] = inside[7::8] = inside[:, ::8] = inside[:, 7::8] = False  # coding blurs the tiles' edges
    assert np.abs(np.sqrt(view.albedo) - np.sqrt(truth["diffuse_reflectance"]))[inside].mean() < 0.01
    gain = view.meta["exposure_gain"]
    ratio = view.total_shading / gain / (truth["color"] / truth["diffuse_reflectance"])
    assert np.median(np.abs(ratio[inside] - 1)) < 0.03
    assert np.percentile(view.image @ np.float32([0.2126, 0.7152, 0.0722]), 90) == pytest.approx(0.8, rel=0.05)
    assert view.meta["scene"] == "ai_001_002" and view.meta["kind"] == "hypersim"


def test_pixels_without_truth_are_not_valid(data):
    frame = layers(0)
    reflectance = frame["diffuse_reflectance"].copy()
    reflectance[20:28, 16:24] = 0.01
    reflectance[20:28, 24:32] = 1.5
    color = frame["color"].copy()
    color[40, 40] = np.nan
    color[41, 40] = np.inf
    entity = frame["render_entity_id"].copy()
    entity[:, 48:56] = -1
    write_frame(data, "ai_001_001", "cam_00", 0, color=color, diffuse_reflectance=reflectance, render_entity_id=entity)
    assert main(command(data)) == 0
    mask = prepared(data, "train")["ai_001_001_cam_00_0000_0"].mask
    expected = np.ones((48, 48), bool)  # columns 8 to 56 of the frame
    expected[20:28, 8:24] = expected[40:42, 32] = expected[:, 40:48] = False
    np.testing.assert_array_equal(mask, expected)


def test_crops_spread_along_the_frame(data):
    assert main(command(data, "--crops", "2", "--size", "24")) == 0
    found = prepared(data, "val")
    assert list(found) == ["ai_001_002_cam_00_0001_0", "ai_001_002_cam_00_0001_1"]
    assert not found["ai_001_002_cam_00_0001_0"].mask[0, 0] and found["ai_001_002_cam_00_0001_1"].mask[0, 0]


def test_unreadable_frames_are_named_and_the_others_done(data, capsys):
    final = data / "ai_001_001" / "images" / "scene_cam_00_final_hdf5"
    (final / "frame.0000.diffuse_reflectance.hdf5").write_bytes(b"no HDF5")
    (data / "ai_001_002" / "images" / "scene_cam_00_geometry_hdf5" / "frame.0001.render_entity_id.hdf5").unlink()
    write_frame(data, "ai_003_010", "cam_00", 2, render_entity_id=np.ones((10, 10), np.int32))
    assert main(command(data)) == 1
    message = capsys.readouterr().err
    assert re.search(r"frame\.0000\.diffuse_reflectance\.hdf5: found a damaged or truncated HDF5 file", message)
    assert re.search(r"frame\.0001\.render_entity_id\.hdf5: found no such file", message)
    assert re.search(r"frame\.0002\.color\.hdf5: found 64x48 pixels, expected 10x10 as in render_entity_id", message)
    assert "Traceback" not in message


def test_a_file_without_the_dataset_is_named(data, capsys):
    path = data / "ai_001_001" / "images" / "scene_cam_00_final_hdf5" / "frame.0000.color.hdf5"
    with h5py.File(path, "w") as file:
        file["image"] = np.zeros((4, 4, 3))
    assert main(command(data)) == 1
    assert "found the entries image, expected an array 'dataset'" in capsys.readouterr().err


def test_wrong_usage_is_one_line(data, tmp_path, capsys):
    for arguments, expected in (
        (command(tmp_path / "absent"), "absent: found no such folder"),
        (command(data, "--split-csv", str(tmp_path / "no.csv")), "no.csv: found no such file, expected metadata_images"),
        (["--data", str(tmp_path / "out2"), "-o", "x"], "found no such f"),
    ):
        assert main(arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and expected in lines[0]
    (data / SPLIT_CSV).write_text("scene_name,camera_name\nai_001_001,cam_00\n")
    assert main(command(data)) == 2
    assert "no column frame_id" in capsys.readouterr().err


def test_a_missing_extra_is_named(data, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(command(data)) == 2
    assert 'pip install "intrinsic-flow[hypersim]"' in capsys.readouterr().err


def test_a_second_run_does_nothing(data, monkeypatch, capsys):
    assert main(command(data)) == 0
    before = {path: path.read_bytes() for path in (data.parent / "out").glob("*.tar")}
    monkeypatch.setattr("intrinsic_flow.train.prepare_hypersim.read_layer", None)
    assert main(command(data)) == 0
    assert {path: path.read_bytes() for path in (data.parent / "out").glob("*.tar")} == before
    assert "6 of 6 frames were done already" in capsys.readouterr().err
