from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.benchmarks.shadows import EXAMPLES, Pair, kept, main, read_pairs
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import read_image

WALL = Pair(Path("wall.png"), "edge", (0, 0, 8, 16), (8, 0, 16, 16))


def wall(shade: float) -> np.ndarray:
    image = np.full((16, 16, 3), 0.6, np.float32)
    image[:, 8:] *= shade
    return image


def test_the_share_is_in_stops():
    image = wall(0.25)
    for left, share in ((1.0, 0.0), (0.5, 0.5), (0.25, 1.0), (2.0, -0.5)):
        found, ratio = kept(image, wall(left), WALL)
        assert found == pytest.approx(share, abs=1e-5) and ratio == pytest.approx(4)


def test_scale_and_single_pixels_do_not_matter():
    image, albedo = wall(0.25), 0.3 * wall(0.5)
    albedo[3, 3] = 9
    assert kept(7 * image, albedo, WALL)[0] == pytest.approx(0.5, abs=1e-5)


def test_what_is_no_shadow_or_outside_is_refused():
    with pytest.raises(InputError, match=r"wall.png.*1\.00 times.*1\.2"):
        kept(wall(1.0), wall(1.0), WALL)
    with pytest.raises(InputError, match=r"20, 16.*16x16"):
        kept(wall(0.5), wall(0.5), Pair(WALL.picture, "far", WALL.lit, (8, 0, 20, 16)))


def test_examples_have_shadows():
    for pair in EXAMPLES:
        image = read_image(pair.picture).pixels
        share, ratio = kept(image, image, pair)
        assert share == pytest.approx(1) and ratio > 2


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '[{"picture": "a.png"}]', '[{"picture": "a", "name": "", "lit": [4, 0, 2, 2], "shade": 3}]']
)
def test_a_bad_file_of_pairs_is_one_line(tmp_path, capsys, content):
    file = tmp_path / "pairs.json"
    file.write_text(content)
    assert main(["--pairs", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(file) in error and "expected" in error


def test_pictures_are_relative_to_the_file(tmp_path):
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps([{"picture": "a.png", "name": "x", "lit": [0, 0, 2, 2], "shade": [2, 0, 4, 2]}]))
    assert read_pairs(file) == [Pair(tmp_path / "a.png", "x", (0, 0, 2, 2), (2, 0, 4, 2))]


def test_a_table_of_bundles(exported_bundle, tmp_path, capsys):
    path = str(exported_bundle)
    assert main(["--bundle", path, "--resolution", "64", "--json", str(tmp_path / "s.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(EXAMPLES) and lines[-1].startswith("| mean")
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert len(rows) == len(EXAMPLES) and {row["bundle"] for row in rows} == {path}
    assert np.mean([row["kept"] for row in rows]) == pytest.approx(float(lines[-1].split("|")[3]), abs=0.006)
