"""Videos that are put together badly: each comes out as FFmpeg takes it, or is refused in one true line."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_input import Timeline
from intrinsic_flow.media.video_writer import VideoWriter

REPOSITORY = Path(__file__).parents[3]
TICK = Fraction(1, 25)


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs the program {program}")


def make_clip(
    path: Path,
    count: int = 12,
    *,
    codec: str = "libx264",
    audio: str | None = None,
    cover: bool = False,
    format: str | None = None,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Frames that brighten, 25 a second; a cover picture of 80x80 before them; sound as long as they are."""
    with av.open(f"file:{path}", "w", format=format) as container:
        picture = container.add_stream("mjpeg", rate=25) if cover else None
        if picture:
            picture.width = picture.height = 80
            picture.pix_fmt = "yuvj420p"
        stream = container.add_stream(codec, rate=25, options={"bf": "2"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        sound = container.add_stream(audio, rate=48000, layout="stereo") if audio else None
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(noise(index, size), format="rgb24")
            frame.pts, frame.time_base = index, TICK
            container.mux(stream.encode(frame))
            if picture and index == 0:
                container.mux(picture.encode(av.VideoFrame(80, 80, "yuvj420p")))
        container.mux(stream.encode(None))
        if sound:
            for index in range(int(count * 1920 / 1024)):
                wave = av.AudioFrame.from_ndarray(np.full((2, 1024), 0.1, np.float32), format="fltp", layout="stereo")
                wave.sample_rate, wave.pts, wave.time_base = 48000, 1024 * index, Fraction(1, 48000)
                container.mux(sound.encode(wave))
            container.mux(sound.encode(None))
    return path


def noise(index: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 200, (size[1], size[0], 3)).astype(np.uint8)


def times(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.pts for frame in reader]


def ffprobe(path: Path, entry: str) -> list[str]:
    needs("ffprobe")
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entry, "-of", "csv=p=0", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split(",")[0] for line in lines if line.strip(",") and "N/A" not in line]


def png_with_profile() -> bytes:
    from PIL import ImageCms

    data = cv2.imencode(".png", np.full((48, 64, 3), 120, np.uint8))[1].tobytes()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    body = b"iCCPa\0\0" + zlib.compress(profile)
    return data[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


def test_png_video_with_a_colour_profile_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        container.start_encoding()
        for index in range(3):
            packet = av.Packet(png_with_profile())
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe = TICK, stream, True
            container.mux(packet)
    code = (
        "import gc, sys; from intrinsic_flow.media.video import VideoReader\n"
        "with VideoReader(sys.argv[1]) as reader: print(len(list(reader)))\n"
        "del reader; gc.collect()"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_a_cover_picture_before_the_video_is_not_the_video(tmp_path: Path, suffix: str) -> None:
    with VideoReader(make_clip(tmp_path / f"a{suffix}", cover=True, audio="aac")) as reader:
        assert (reader.width, reader.height, len(list(reader))) == (64, 48, 12)
        assert "number 2 of 2 video streams read" in reader.notes


def test_a_cover_picture_beside_sound_is_no_video(tmp_path: Path) -> None:
    needs("ffmpeg")
    cv2.imwrite(str(tmp_path / "cover.png"), np.full((80, 80, 3), 90, np.uint8))
    make_clip(tmp_path / "sound.mp4", audio="aac")
    command = (
        "ffmpeg -v error -i sound.mp4 -i cover.png -map 0:a -map 1:v -c:a copy -c:v png -disposition:v:0 attached_pic a.mp4"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    with pytest.raises(InputError, match="audio streams and a cover picture, no video"):
        VideoReader(tmp_path / "a.mp4")


@pytest.mark.parametrize("audio", [None, "aac"])
def test_a_clock_that_restarts_goes_on_as_ffmpeg_lets_it(tmp_path: Path, audio: str | None) -> None:
    needs("ffmpeg")
    part = make_clip(tmp_path / "part.ts", audio=audio).read_bytes()
    source = tmp_path / "joined.ts"
    source.write_bytes(part + part)
    subprocess.run(f"ffmpeg -v error -i {source} -c copy {tmp_path}/right.mp4".split(), check=True)
    right = [Fraction(text) for text in ffprobe(tmp_path / "right.mp4", "frame=pts_time")]
    found = times(source)
    assert [float(t - found[0]) for t in found] == pytest.approx([float(t - right[0]) for t in right], abs=1e-4)
    with VideoReader(source) as reader, VideoWriter(tmp_path / "out.mp4", reader, 64, 48) as writer:
        for frame in reader:
            writer.write(frame.pixels, frame.pts, frame.duration)
    assert times(tmp_path / "out.mp4") == found
    if audio:
        with av.open(str(tmp_path / "out.mp4")) as container:
            sound = [p.pts * p.time_base for p in container.demux(audio=0) if p.size]
        assert sound == sorted(set(sound))
        assert float(sound[-1] - sound[0]) == pytest.approx(0.96 - 1024 / 48000, abs=0.03)


def test_a_clock_that_leaps_ahead_goes_on_without_a_gap(tmp_path: Path) -> None:
    container = av.open(str(make_clip(tmp_path / "a.ts")))
    timeline = Timeline(container)
    placed = []
    for index, packet in enumerate(p for p in container.demux(video=0) if p.size):
        if index >= 6:
            packet.dts += 90000 * 3600
            packet.pts += 90000 * 3600
        timeline.place(packet)
        placed.append(packet.dts)
    assert np.diff(placed).tolist() == [3600] * 11 and timeline.restarts == 1


def test_h264_in_avi_keeps_equal_steps_with_b_frames(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", 15)
    right = [Fraction(text) for text in ffprobe(path, "frame=best_effort_timestamp_time")]
    found = times(path)
    assert np.diff([float(t) for t in found]) == pytest.approx([0.04] * 14)
    # ffprobe knows no times of the last ones, which the decoder still held.
    assert [float(t) for t in found][: len(right)] == pytest.approx([float(t) for t in right])


@pytest.mark.parametrize("audio", [False, True])
def test_an_unknown_codec_is_named_as_such(tmp_path: Path, audio: bool) -> None:
    path = make_clip(tmp_path / "a.mp4", audio="aac")
    path.write_bytes(path.read_bytes().replace(b"mp4a" if audio else b"avc1", b"zzzz").replace(b"esds", b"zzzz"))
    if not audio:
        with pytest.raises(InputError, match="a video in a codec that this FFmpeg cannot decode"):
            VideoReader(path)
        return
    with VideoReader(path) as reader, VideoWriter(tmp_path / "b.mp4", reader, 64, 48) as writer:
        for frame in reader:
            writer.write(frame.pixels, frame.pts)
    assert writer.notes == ("audio in an unknown codec left out",)
    assert len(times(tmp_path / "b.mp4")) == 12


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_a_cut_program_stream_says_so(tmp_path: Path, share: float) -> None:
    whole = make_clip(tmp_path / "a.mpg", 30, codec="mpeg2video")
    assert len(times(whole)) == 30
    data = whole.read_bytes()
    (tmp_path / "b.mpg").write_bytes(data[: int(len(data) * share)])
    with VideoReader(tmp_path / "b.mpg") as reader, pytest.raises(InputError, match="breaks off after"):
        for _ in reader:
            pass


def test_names_may_look_like_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = make_clip(Path("take:1.mp4"), audio="aac")
    for name in ("http:copy.mp4", "pipe:2.mkv", "50%d #1?.mp4"):
        with VideoReader(source) as reader, VideoWriter(name, reader, 64, 48) as writer:
            for frame in reader:
                writer.write(frame.pixels, frame.pts)
        assert len(times(Path(name))) == 12 and reader.audio_streams == 1


@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_a_playlist_opens_no_other_file(tmp_path: Path, kind: str) -> None:
    make_clip(tmp_path / "secret.ts", audio="aac")
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "a.mp4").write_text(text if kind == "hls" else "ffconcat version 1.0\nfile secret.ts\n")
    with pytest.raises(InputError, match="a playlist"):
        VideoReader(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_text("\n" + text)
    with pytest.raises(InputError):
        VideoReader(tmp_path / "b.mp4")
