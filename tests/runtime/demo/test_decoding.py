"""Strangers' files decoded in another process: what comes back, and what a decoder's end does to the server."""

from __future__ import annotations

import os
import signal
import time
from fractions import Fraction

import numpy as np
import pytest

from intrinsic_flow.demo import decoding
from intrinsic_flow.demo.decoding import VideoReaderApart, read_image_apart
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import read_image, write_image
from intrinsic_flow.media.video import VideoReader

LIMIT = 10**6


@pytest.fixture
def failing(monkeypatch):
    """Lets the process do something else than to decode."""

    def fail(code: str) -> None:
        monkeypatch.setattr(decoding, "_CHILD", f"import os, sys, time; from intrinsic_flow.demo import decoding; {code}")

    return fail


def test_a_picture_comes_back_as_it_would_have_been_read_here(tmp_path, scene):
    path = tmp_path / "scene.exr"
    write_image(path, scene, format="exr")
    apart, here = read_image_apart(path, max_pixels=LIMIT), read_image(path)
    np.testing.assert_array_equal(apart.pixels, here.pixels)
    assert (apart.bit_depth, apart.notes, apart.alpha) == (here.bit_depth, here.notes, None)


def test_what_is_no_picture_is_named_as_always(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("no picture at all")
    with pytest.raises(InputError) as here:
        read_image(path)
    with pytest.raises(InputError) as apart:
        read_image_apart(path, max_pixels=LIMIT)
    assert str(apart.value) == str(here.value)


def test_a_video_comes_back_as_it_would_have_been_read_here(tmp_path, write_clip):
    path = tmp_path / "clip.mp4"
    write_clip(path, 3)
    with VideoReaderApart(path, max_pixels=LIMIT) as apart, VideoReader(path) as here:
        for name in ("width", "height", "bit_depth", "time_base", "average_rate", "sample_aspect_ratio", "frames"):
            assert getattr(apart, name) == getattr(here, name)
        for one, other in zip(apart.read(), here.read(), strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            assert (one.pts, one.index, one.duration) == (other.pts, other.index, other.duration)
        assert apart.notes == here.notes
    assert isinstance(apart.time_base, Fraction)


def test_a_decoder_that_crashes_is_one_line(tmp_path, failing):
    failing(f"os.kill(os.getpid(), {int(signal.SIGSEGV)})")
    with pytest.raises(InputError, match=r"x\.png: found a file on which the decoder fails \(exit code -11\)"):
        read_image_apart(tmp_path / "x.png", max_pixels=LIMIT)
    with pytest.raises(InputError, match="decoder fails"):
        VideoReaderApart(tmp_path / "x.mp4", max_pixels=LIMIT)


def test_a_decoder_that_never_ends_is_stopped(tmp_path, failing):
    failing("time.sleep(1000)")
    begun = time.monotonic()
    with pytest.raises(InputError, match="does not finish within 1 s"):
        read_image_apart(tmp_path / "x.png", max_pixels=LIMIT, seconds=1)
    assert time.monotonic() - begun < 60


def test_a_decoder_that_takes_all_memory_is_one_line(tmp_path, failing, scene):
    pytest.importorskip("resource", reason="needs limits on processes, as Linux and macOS have them")
    path = tmp_path / "x.png"
    write_image(path, scene)
    failing("decoding.read_image = lambda *a, **k: bytearray(1 << 40); decoding.serve()")
    with pytest.raises(InputError, match="more than the memory that decoding may take"):
        read_image_apart(path, max_pixels=LIMIT)


def test_a_size_that_was_not_asked_for_is_refused(tmp_path, failing):
    failing('sys.stdin.readline(); print(\'{"size": [100000, 100000], "alpha": false}\', flush=True)')
    with pytest.raises(InputError, match="100000x100000 pixels"):
        read_image_apart(tmp_path / "x.png", max_pixels=LIMIT)


def test_no_process_stays(tmp_path, write_clip):
    path = tmp_path / "clip.mp4"
    write_clip(path, 5)
    reader = VideoReaderApart(path, max_pixels=LIMIT)
    frames = reader.read()
    next(frames)
    process = reader._child._process
    reader.close()
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
