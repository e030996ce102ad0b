"""What runs behind the page: the shared model, a photo, a clip, their limits and their files."""

from __future__ import annotations

import threading
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.demo import decoding
from intrinsic_flow.demo.clip import VideoLimits, decompose_clip
from intrinsic_flow.demo.editing import Light, Recolour
from intrinsic_flow.demo.photo import PREVIEW_SIDE, Options, decompose_photo
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.demo.workspace import SessionEnded
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import read_image, write_image
from intrinsic_flow.media.video import VideoReader

# As the demo does it, but without a process for each file; tests/runtime/demo/test_decoding.py is about that.
in_process_photo = partial(decompose_photo, reader=read_image)
in_process_clip = partial(decompose_clip, reader=lambda path, colorspace, max_pixels: VideoReader(path, colorspace))


@pytest.fixture(scope="module")
def worker(tiny_bundle):
    worker = Worker(tiny_bundle)
    yield worker
    worker.close()


@pytest.fixture
def picture(tmp_path, scene) -> Path:
    path = tmp_path / "scene.png"
    write_image(path, scene / scene.max())
    return path


@pytest.fixture
def clip(tmp_path, write_clip) -> Path:
    """Twelve frames at 10 frames a second."""
    path = tmp_path / "clip.mp4"
    write_clip(path, 12)
    return path


def test_each_job_has_options_of_its_own(worker, tiny_bundle, scene):
    for options in ({"steps": 3, "seed": 5}, {"mode": "vae"}):
        with Decomposer.load(tiny_bundle, **options) as own:
            np.testing.assert_array_equal(worker.model(**options).decompose(scene).albedo, own.decompose(scene).albedo)


def test_several_threads_get_what_each_would_get_alone(worker, scene):
    pictures = [np.roll(scene, shift, axis=1) for shift in range(6)]
    expected = [worker.model(seed=i).decompose(picture).albedo for i, picture in enumerate(pictures)]
    results: dict[int, np.ndarray] = {}

    def run(index: int) -> None:
        results[index] = worker.model(seed=index).decompose(pictures[index]).albedo

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index in range(6):
        np.testing.assert_array_equal(results[index], expected[index])


def test_a_photo_gets_its_turn_within_a_stream(worker, scene):
    stream = worker.model().stream(iter([scene] * 3))
    next(stream)
    worker.model().decompose(scene)  # would wait for ever if the stream kept the engine
    assert len(list(stream)) == 2


def test_photo_files_multiply_to_the_picture(worker, picture, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    photo = in_process_photo(picture, Options(), worker, folder, 10**6)
    albedo, shading = (read_image(photo.files[name]).pixels for name in ("albedo.exr", "shading.exr"))
    np.testing.assert_allclose(albedo * shading, read_image(picture).pixels, rtol=1e-5, atol=1e-8)
    assert {path.name for path in folder.iterdir()} == {path.name for path in (*photo.files.values(), *photo.views)}
    assert photo.size == (90, 140) and photo.seconds > 0


def test_previews_are_small_and_downloads_are_not(worker, tmp_path, scene):
    path = tmp_path / "large.png"
    write_image(path, np.tile(scene / scene.max(), (8, 8, 1)))
    photo = in_process_photo(path, Options(), worker, tmp_path, 10**6)
    assert max(photo.albedo.shape) == PREVIEW_SIDE
    saved = photo.write_edited([Recolour(0.2, 0.2, (0.1, 0.2, 0.8))], Light(strength=0.5), tmp_path, "exr")
    assert read_image(saved).pixels.shape == (720, 1120, 3)


def test_a_photo_without_edits_is_saved_as_it_came(worker, picture, tmp_path):
    photo = in_process_photo(picture, Options(), worker, tmp_path, 10**6)
    saved = photo.write_edited([], Light(), tmp_path, "png")
    np.testing.assert_array_equal(read_image(saved).pixels, read_image(picture).pixels)


def test_a_photo_above_the_limit_is_refused_before_it_is_decoded(worker, tmp_path, monkeypatch):
    import cv2

    path = tmp_path / "large.png"
    write_image(path, np.zeros((600, 700, 3), np.float32))
    monkeypatch.setattr(cv2, "imdecodeWithMetadata", lambda *arguments: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"large\.png: found 700x600 pixels \(0\.42 megapixels\), expected at most"):
        in_process_photo(path, Options(), worker, tmp_path, 400_000)


@pytest.mark.parametrize("quality", [80, 101])
def test_a_webp_above_the_limit_is_refused_by_its_header(tmp_path, monkeypatch, quality):
    import cv2

    path = tmp_path / "large.webp"
    _, data = cv2.imencode(".webp", np.zeros((600, 700, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, quality])
    path.write_bytes(data.tobytes())
    assert read_image(path).pixels.shape == (600, 700, 3)
    monkeypatch.setattr(cv2, "imdecodeWithMetadata", lambda *arguments: pytest.fail("decoded"))
    with pytest.raises(InputError, match="700x600"):
        read_image(path, max_pixels=400_000)


def test_an_exr_above_the_limit_is_refused(tmp_path):
    path = tmp_path / "large.exr"
    write_image(path, np.zeros((60, 70, 3), np.float32), format="exr")
    with pytest.raises(InputError, match="70x60"):
        read_image(path, max_pixels=4000)


def test_a_clip_becomes_three_videos(worker, clip, tmp_path):
    told: list[tuple[int, int]] = []
    result = in_process_clip(
        clip, Options(), worker, tmp_path / "out", VideoLimits(10**6, 5), on_frame=lambda *count: told.append(count)
    )
    assert told == [(n, 12) for n in range(1, 13)] and result.frames == 12
    with VideoReader(result.files["preview"]) as reader:
        assert (reader.height, reader.width) == (90, 3 * 140)
        assert len(list(reader)) == 12
    assert all(path.is_file() for path in result.files.values())


def test_a_clip_that_is_decoded_apart_becomes_three_videos(worker, clip, tmp_path):
    result = decompose_clip(clip, Options(), worker, tmp_path / "out", VideoLimits(10**6, 5))
    assert result.frames == 12 and all(path.is_file() for path in result.files.values())


def packets(path: Path, **streams: int) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(**streams) if packet.size]


@pytest.fixture
def clip_with_sound(clip, tmp_path) -> Path:
    path = tmp_path / "sound.mp4"
    with av.open(str(clip)) as silent, av.open(str(path), "w") as container:
        video, audio = container.add_stream_from_template(silent.streams.video[0]), container.add_stream("aac", rate=48000)
        for packet in silent.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        for index in range(56):
            wave = 0.3 * np.sin(np.arange(1024 * index, 1024 * (index + 1), dtype=np.float32) * 0.05)
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 1024 * index, Fraction(1, 48000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def test_a_clip_keeps_its_sound_in_time_and_its_pictures_as_without(worker, clip, clip_with_sound, tmp_path):
    silent = decompose_clip(clip, Options(), worker, tmp_path / "silent", VideoLimits(10**6, 5))
    result = decompose_clip(clip_with_sound, Options(), worker, tmp_path / "out", VideoLimits(10**6, 5))
    assert not [note for note in result.notes if "sound" in note or "audio" in note]
    sound = packets(clip_with_sound, audio=0)
    assert len(sound) > 50
    for name in ("albedo", "shading", "preview"):
        copied = packets(result.files[name], audio=0)
        assert [data for _, data in copied] == [data for _, data in sound]
        assert [time for time, _ in copied] == pytest.approx([time for time, _ in sound], abs=0.0011)
        assert packets(result.files[name], video=0) == packets(silent.files[name], video=0)
        with VideoReader(result.files[name]) as loud, VideoReader(silent.files[name]) as other:
            assert (loud.average_rate, loud.facts) == (other.average_rate, other.facts)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".mp4", ".mp4", ".mp4"]


def test_sound_that_fails_leaves_a_silent_clip(worker, clip_with_sound, tmp_path, monkeypatch):
    crash = "import os; from intrinsic_flow.demo import decoding; decoding.add_sound = lambda *_: os.abort(); "
    monkeypatch.setattr(decoding, "_CHILD", crash + "decoding.serve()")
    result = decompose_clip(clip_with_sound, Options(), worker, tmp_path / "out", VideoLimits(10**6, 5))
    assert result.notes[-1].startswith("sound is left out: a file on which the decoder fails")
    with VideoReader(result.files["preview"]) as reader:
        assert reader.audio_streams == 0 and len(list(reader)) == result.frames == 12
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_long_and_large_clips_are_refused_before_the_second_frame(worker, clip, tmp_path):
    with pytest.raises(InputError, match=r"clip\.mp4: found a video of 1\.2 seconds, expected at most 1 seconds"):
        in_process_clip(clip, Options(), worker, tmp_path, VideoLimits(10**6, 1))
    with pytest.raises(InputError, match="frames of 140x90"):
        in_process_clip(clip, Options(), worker, tmp_path, VideoLimits(10**4, 5))


def test_a_clip_that_holds_more_than_it_states_is_stopped(worker, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(VideoReader, "_estimate_frames", lambda self: 3)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="more than 6 frames"):
        in_process_clip(clip, Options(), worker, out, VideoLimits(10**6, 0.5))
    assert list(out.iterdir()) == []


def test_a_visitor_who_leaves_stops_the_clip(worker, clip, tmp_path):
    class Left(Exception): ...

    def leave(done: int, total: int) -> None:
        if done == 3:
            raise Left

    out = tmp_path / "out"
    with pytest.raises(Left):
        in_process_clip(clip, Options(), worker, out, VideoLimits(10**6, 5), on_frame=leave)
    assert list(out.iterdir()) == []


def test_sessions_have_folders_of_their_own_that_end_with_them(workspace):
    assert workspace.enter("one", "a") and workspace.enter("two", "b") and not workspace.enter("two", "a")
    first, other = workspace.fresh("a", "photo"), workspace.fresh("b", "photo")
    video = workspace.fresh("a", "video")
    again = workspace.fresh("a", "photo")
    assert not first.exists() and again.is_dir() and video.is_dir() and other.is_dir()
    workspace.end("a")
    assert not again.exists() and not video.exists() and other.is_dir()
    assert not workspace.is_open("a") and workspace.is_open("b")
    with pytest.raises(SessionEnded):
        workspace.fresh("a", "photo")
    workspace.end("nobody")


def test_a_page_that_reconnects_keeps_its_files(workspace):
    workspace.enter("one", "a")
    folder = workspace.fresh("a", "photo")
    workspace.enter("one", "a")
    workspace.end("a")
    assert folder.is_dir()
    workspace.end("a")
    assert not folder.exists()


def test_only_own_and_common_files_are_readable(workspace, picture):
    workspace.enter("one", "a")
    workspace.enter("two", "b")
    own, common, link = workspace.fresh("a", "photo") / "x", workspace.root / "common", workspace.root / "link"
    own.touch()
    common.touch()
    link.symlink_to(picture)
    for path in (own, common):
        assert workspace.readable("one", path) and workspace.claim("a", path)
    assert workspace.readable("two", common) and not workspace.readable("two", own)
    for path in (link, picture, workspace.root, own.parent, "", "\0", "x" * 5000, "/dev/zero"):
        assert not workspace.readable("one", path)


def test_an_upload_stays_while_a_page_uses_it(workspace):
    for session in "ab":
        workspace.enter("one", session)
    folder = workspace.uploads("one")
    folder.mkdir()
    shared, alone = folder / "shared", folder / "alone"
    for path in (shared, alone):
        path.touch()
        workspace.claim("a", path)
    workspace.claim("b", shared)
    workspace.end("a")
    assert shared.exists() and not alone.exists()
    workspace.end("b")
    assert not folder.exists() and workspace.uploads("one") is None


def test_only_the_last_views_stay(workspace):
    workspace.enter("one", "a")
    views = []
    for _ in range(12):
        views.append(workspace.view("a", ".jpg"))
        views[-1].touch()
    assert 1 <= len(list(views[-1].parent.iterdir())) <= 8 and views[-1].exists()
