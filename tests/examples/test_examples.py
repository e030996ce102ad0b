"""The scripts of `examples/` run on the pictures that ship, as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.media.images import read_image
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_writer import VideoWriter

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ("photo", "video", "relight", "compare_steps")
ROOM = EXAMPLES / "room.png"


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, EXAMPLES / f"{script}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_short_and_says_how_it_is_called(script):
    text = (EXAMPLES / f"{script}.py").read_text()
    assert len(text.splitlines()) < 50
    assert text.startswith('"""') and f"python examples/{script}.py" in text.split('"""')[1]


def test_photo_writes_layers_whose_product_is_the_photo(tmp_path):
    printed = run("photo", ROOM, "-o", tmp_path, "--format", "exr", "--resolution", 64).split()
    assert {Path(line).name for line in printed} == {"room_albedo.exr", "room_shading.exr", "room_preview.png"}
    albedo, shading = (read_image(tmp_path / f"room_{layer}.exr").pixels for layer in ("albedo", "shading"))
    np.testing.assert_allclose(albedo * shading, read_image(ROOM).pixels, rtol=1e-5, atol=1e-9)


def test_video_has_three_panels_and_the_times_of_the_source(tmp_path):
    picture = read_image(EXAMPLES / "objects.png").pixels[::4, ::4]
    clip, output = tmp_path / "clip.mp4", tmp_path / "split.mp4"
    with VideoWriter(clip, None, 160, 128, frame_rate=Fraction(25)) as writer:
        for index in range(5):
            writer.write(picture[:, 4 * index : 4 * index + 160], Fraction(index, 25))
    run("video", clip, output, "--resolution", 64)
    with VideoReader(clip) as before, VideoReader(output) as after:
        sources, rows = list(before), list(after)
    assert [row.pts for row in rows] == [source.pts for source in sources] and len(rows) == 5
    for source, row in zip(sources, rows):
        assert row.pixels.shape == (128, 480, 3)
        assert np.abs(row.pixels[:, :160] - source.pixels).mean() < 0.02
        assert np.abs(row.pixels[:, 160:320] - source.pixels).mean() > 0.02


def test_relight_changes_the_colour_of_the_light_alone(tmp_path):
    output = tmp_path / "out.png"
    run("relight", ROOM, output, "--light", 1, 0.5, 0.5, "--strength", 0.5, "--resolution", 64)
    before, after = read_image(ROOM).pixels, read_image(output).pixels
    factor = 0.5 * np.array([1, 0.5, 0.5]) / (0.2126 + 0.5 * 0.7874)
    np.testing.assert_allclose(after, np.clip(before * factor, 0, 1), atol=6e-3)


def test_compare_steps_shows_one_albedo_for_each_number(tmp_path):
    output = tmp_path / "steps.png"
    printed = run("compare_steps", ROOM, output, "--steps", 1, 3, "--resolution", 64)
    assert [line.split(":")[0] for line in printed.splitlines()] == ["1 steps", "3 steps"]
    row = read_image(output).pixels
    assert row.shape == (512, 2 * 768, 3)
    assert np.abs(row[:, :768] - row[:, 768:]).max() > 0.01
