"""The sheet of photographs beside answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from intrinsic_flow.benchmarks import sheet


def test_a_row_has_every_picture_under_its_caption_and_shows_light_above_white_as_white():
    pictures = {"photo": np.full((20, 40, 3), 0.2140, np.float32), "albedo": np.full((40, 40, 3), 3.0, np.float32)}
    row = sheet.row(pictures, 32)
    assert row.shape == (32 + 22, (64 + 4) + (32 + 4), 3)
    assert (row[22:, :64] == 127).all() and (row[22:, 68:100] == 255).all()  # .214 is half of sRGB
    assert (row[22:, 64:68] == 24).all() and (row[:22, :64] != 24).any()


def test_every_photograph_and_bundle_and_published_answer_is_on_the_sheet(tmp_path, bundle):
    folder = tmp_path / "rivals" / "indoor"
    folder.mkdir(parents=True)
    (tmp_path / "rivals" / "outdoor").mkdir()
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    for file in (folder / "1_input.png", tmp_path / "photos" / "b.png"):
        cv2.imwrite(str(file), pixels)
    answer = np.full((40, 64, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "1_system_r.png"), answer)
    folders = ["--rivals", str(tmp_path / "rivals"), "--photos", str(tmp_path / "photos")]
    out = tmp_path / "sheet.png"
    assert sheet.main([*folders, "--bundle", str(bundle), "--height", "40", "-o", str(out)]) == 0
    shown = cv2.imread(str(out))
    assert shown.shape == (2 * 62, 4 * 68, 3)
    assert (np.abs(shown[22:62, :64].astype(int) - pixels) <= 1).all() and (shown[22:62, 204:268] == 90).all()
    assert (shown[84:, 204:] == 24).all()  # the second photograph has no published answer


def test_a_sheet_of_nothing_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        sheet.main(["-o", str(tmp_path / "sheet.png")])
    assert ended.value.code == 2 and "--published, --photos: found neither" in capsys.readouterr().err
