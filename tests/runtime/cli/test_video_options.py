"""The command on videos, image sequences, pipes and cameras: what goes in, what comes out, and going on after Ctrl-C."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
import wave
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import intrinsic_flow.cli.video_job
import intrinsic_flow.decomposition.temporal.filter
import intrinsic_flow.media.video_writer
from intrinsic_flow.cli.arguments import parse
from intrinsic_flow.decompose import main
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.audio_copy import add_sound
from intrinsic_flow.media.color import bt709_to_linear, linear_to_bt709
from intrinsic_flow.media.images import read_image, write_image
from intrinsic_flow.media.live import LiveReader, is_live, live_name, open_live
from intrinsic_flow.media.sequence import SequenceReader
from intrinsic_flow.media.sequence_names import find_in_folder, find_pattern
from intrinsic_flow.media.video import Frame, VideoReader
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.media.video_writer import VideoWriter
from intrinsic_flow.output.output_set import OutputSet

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def decompose(tiny_bundle, tmp_path, capsys):
    """Runs the command on inputs into tmp_path/out; returns exit code and lines of its log."""

    def run(*arguments: object, output: Path | str | None = tmp_path / "out") -> tuple[int, list[str]]:
        code = main([*map(str, arguments), "-o", str(output), "--bundle", str(tiny_bundle)])
        return code, capsys.readouterr().err.splitlines()

    return run


@pytest.fixture
def frames(scene) -> list[np.ndarray]:
    """Twenty frames of the scene, moving, 64 x 96."""
    display = np.clip(scene / 2.5, 0, 1)
    return [np.ascontiguousarray(display[8:72, step : step + 96]) for step in range(20)]


@pytest.fixture
def clip(tmp_path, frames) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames)


def write_clip(path: Path, frames: list[np.ndarray], rate: int = 25) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, None, width, height, frame_rate=Fraction(rate), bit_depth=8) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, Fraction(index, rate), Fraction(1, rate))
    return path


def write_sequence(folder: Path, frames: list[np.ndarray], first: int = 1001, format: str = "exr") -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames, first):
        write_image(folder / f"shot.{number:04d}.{format[:3]}", frame, format=format)
    return folder


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def times(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.pts for frame in reader]


# DNxHR needs larger pictures: tests/runtime/media/test_video_trade.py writes it.
@pytest.mark.parametrize("codec", sorted(name for name in CODECS if not name.startswith("dnxhr")))
def test_each_codec_writes_all_frames_at_their_times(decompose, tmp_path, clip, codec):
    code, lines = decompose(clip, "--codec", codec, "--crf", 10)
    assert code == 0, lines
    for layer in ("albedo", "shading"):
        path = tmp_path / "out" / f"clip_{layer}{CODECS[codec].suffix}"
        assert times(path) == pytest.approx(times(clip), abs=0.0011)
    with VideoReader(path) as reader:
        assert reader.bit_depth >= 10 if codec.startswith("prores") else reader.bit_depth == 8
        assert (reader.tags.matrix, reader.tags.range) == ("bt709", "limited")


def test_a_lossless_codec_keeps_colours_to_the_rounding_of_its_codes(tmp_path, frames):
    with VideoWriter(tmp_path / "a.mkv", None, 96, 64, frame_rate=Fraction(25), bit_depth=10, codec="ffv1") as writer:
        for index, frame in enumerate(frames[:3]):
            writer.write(frame, Fraction(index, 25))
    with VideoReader(tmp_path / "a.mkv") as reader:
        for found, frame in zip(reader, frames):
            assert np.abs(linear_to_bt709(found.pixels) - linear_to_bt709(frame)).max() < 4 / 1023


def test_a_codec_that_the_build_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(intrinsic_flow.media.video_formats, "_has", lambda name: False)
    with pytest.raises(ValueError, match="hevc: this build of FFmpeg has no libx265"):
        VideoWriter(tmp_path / "a.mp4", None, 64, 48, frame_rate=Fraction(25), codec="hevc")


def test_lower_crf_is_a_larger_file(decompose, tmp_path, clip):
    for crf in (8, 40):
        assert decompose(clip, "--crf", crf, output=tmp_path / str(crf))[0] == 0
    sizes = [(tmp_path / str(crf) / "clip_albedo.mp4").stat().st_size for crf in (8, 40)]
    assert sizes[0] > 1.5 * sizes[1]


@pytest.mark.parametrize("half", [False, True])
def test_product_of_exr_frames_is_the_video_in_every_frame(decompose, tmp_path, clip, half):
    assert decompose(clip, "--sequence", "exr", *(["--half"] if half else []))[0] == 0
    names = [f"clip_{layer}/clip_{layer}.{number:04d}.exr" for layer in ("albedo", "shading") for number in range(20)]
    assert listing(tmp_path / "out") == sorted(names)
    with VideoReader(clip) as reader:
        for frame in reader:
            layers = [read_image(tmp_path / f"out/clip_{x}/clip_{x}.{frame.index:04d}.exr") for x in ("albedo", "shading")]
            assert {layer.bit_depth for layer in layers} == {"half" if half else "float"}
            product = layers[0].pixels.astype(np.float64) * layers[1].pixels
            normal = (layers[1].pixels > 1e-4) | (frame.pixels == 0)
            error = np.abs(product - frame.pixels)
            assert np.all(error[normal] <= (1e-3 if half else 1e-5) * frame.pixels[normal])


def test_preview_speed_asks_the_network_less_often_and_takes_the_quickest_preset(decompose, tmp_path, clip, monkeypatch):
    asked: list[int] = []
    network = Decomposer._albedo
    monkeypatch.setattr(Decomposer, "_albedo", lambda *given: asked.append(1) or network(*given))
    presets = []
    for options in ((), ("--preview-speed",), ("--preview-speed", "--every", "4")):
        asked.clear()
        assert decompose(clip, "--overwrite", *options)[0] == 0
        presets.append((len(asked), b"cabac=0" in (tmp_path / "out/clip_albedo.mp4").read_bytes()))
    # x264 notes its options in the stream; of its presets only ultrafast does without CABAC.
    assert presets == [(20, False), (5, True), (10, True)]


def test_preview_speed_works_at_a_lower_resolution_unless_one_is_given():
    def resolution(*options: str) -> int:
        return parse(["clip.mp4", *options], "").resolution

    assert resolution() == 256
    assert resolution("--preview-speed") == 192
    assert resolution("--preview-speed", "--resolution", "256") == 256


def test_png_frames_have_one_factor_for_all(decompose, tmp_path, clip):
    assert decompose(clip, "--sequence", "png16", "--preview")[0] == 0
    sidecar = json.loads((tmp_path / "out/clip_shading.json").read_text())
    assert sidecar["frames"] == 20 and "65535" in sidecar["decoding"] and sidecar["shading_scale"] >= 1
    stored = cv2.imread(str(tmp_path / "out/clip_shading/clip_shading.0007.png"), -1)
    assert stored.dtype == np.uint16 and stored.shape == (64, 96, 3)
    assert len(list((tmp_path / "out/clip_preview").iterdir())) == 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--half"], "--half: for exr, not for a video; --sequence exr writes it"),
        (["--output-colorspace", "acescg"], "--output-colorspace: for exr; a video is in BT.709, or BT.2020 with --hdr"),
        (["--sequence", "png", "--output-colorspace", "acescg"], "--output-colorspace: for exr; png is in sRGB"),
        (["--sequence", "png", "--hdr", "pq"], "--hdr: for videos; png is SDR"),
        (["--sequence", "exr", "--audio", "none.wav"], "--audio: for videos; exr holds no sound"),
        (["--codec", "prores", "--crf", 20], "--crf: for h264 and hevc"),
        (["--rate", 30, "--exr-layer", "diffuse"], "--rate: for sequences; a video has its own"),
    ],
)
def test_an_option_that_does_nothing_for_a_video_is_said(decompose, tmp_path, frames, options, said):
    code, lines = decompose(write_clip(tmp_path / "clip.mp4", frames[:1]), *options)
    assert code == 0 and f"{tmp_path}/clip.mp4: {said}" in lines, lines


def test_options_that_do_something_are_not_said_to_do_nothing(decompose, tmp_path, frames):
    folder = write_sequence(tmp_path / "shot", frames[:1])
    code, lines = decompose(folder, "--frames", "--one-exr", "--float", "--exr-layer", "rgba", "--rate", 30)
    assert (code, [line for line in lines if "--" in line]) == (0, [])


@pytest.mark.parametrize(("format", "suffix"), [("exr", ".exr"), ("png16", ".png"), (None, ".png")])
def test_a_sequence_is_written_in_the_format_of_pictures(decompose, tmp_path, frames, format, suffix):
    folder = write_sequence(tmp_path / "shot", frames[:1], format="png")
    assert decompose(folder, "--frames", *(["--format", format] if format else []))[0] == 0
    (albedo,) = (tmp_path / "out/shot_albedo").iterdir()
    assert albedo.name == f"shot_albedo.1001{suffix}"
    assert read_image(albedo).bit_depth == {"exr": "float", "png16": 16, None: 8}[format]


@pytest.mark.parametrize("given", ["folder", "printf", "hashes"])
def test_a_sequence_keeps_its_frame_numbers(decompose, tmp_path, frames, given):
    folder = write_sequence(tmp_path / "shot", [frame * 3 for frame in frames[:4]], 998)
    inputs = {"folder": [folder, "--frames"], "printf": [folder / "shot.%04d.exr"], "hashes": [folder / "shot.####.exr"]}
    code, lines = decompose(*inputs[given])
    assert code == 0, lines
    expected = [f"shot_{x}/shot_{x}.{n}.exr" for x in ("albedo", "shading") for n in ("0998", "0999", "1000", "1001")]
    assert listing(tmp_path / "out") == sorted(expected)
    albedo, shading = (read_image(tmp_path / f"out/shot_{x}/shot_{x}.1000.exr").pixels for x in ("albedo", "shading"))
    np.testing.assert_allclose(albedo * shading, read_image(folder / "shot.1000.exr").pixels, rtol=1e-5)


def test_a_sequence_may_become_a_video_and_may_have_gaps(decompose, tmp_path, frames):
    folder = write_sequence(tmp_path / "shot", frames[:6], 10, "png")
    (folder / "shot.0012.png").unlink()
    code, lines = decompose(folder / "shot.####.png", "--codec", "h264", "--rate", "30")
    assert code == 0 and any("1 frames of the sequence are missing: 12" in line for line in lines)
    assert times(tmp_path / "out/shot_albedo.mp4") == [Fraction(n, 30) for n in (0, 1, 3, 4, 5)]
    assert decompose(folder / "shot.####.png", output=tmp_path / "images")[0] == 0
    assert cv2.imread(str(tmp_path / "images/shot_albedo/shot_albedo.0010.png"), -1).dtype == np.uint8


def test_frames_are_taken_from_start_to_end(decompose, tmp_path, clip, frames):
    assert decompose(clip, "--start", 0.2, "--end", 0.6)[0] == 0
    assert times(tmp_path / "out/clip_albedo.mp4") == [Fraction(n, 25) for n in range(10)]
    folder = write_sequence(tmp_path / "shot", frames[:6], 5)
    assert decompose(folder / "shot.####.exr", "--start", 7, "--end", 9)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out/shot_albedo").iterdir()) == [
        f"shot_albedo.{n:04d}.exr" for n in (7, 8, 9)
    ]


def test_a_range_whose_frames_are_missing_says_which_there_are(decompose, tmp_path, frames):
    folder = write_sequence(tmp_path / "shot", frames[:8])
    for number in (1005, 1006):
        (folder / f"shot.{number}.exr").unlink()
    code, lines = decompose(folder, "--frames", "--start", 1005, "--end", 1006)
    said = "found frames 1001 to 1004, 1007 to 1008, expected a frame from 1005 to 1006"
    assert code == 1 and f"failed: {folder}: {said}" in lines


@pytest.mark.parametrize("stored", [(), ("--sequence", "exr")], ids=["video", "exr"])
@pytest.mark.parametrize(
    "given, message",
    [
        (("--start", 100), "found the last frame at 0.76 s, expected a frame from 100 s"),
        (
            ("--start", 0.1, "--end", 0.11),
            "found a frame at 0.08 s and the next one at 0.12 s, expected a frame from 0.1 s to",
        ),
        (("--end", 0), "found the first frame at 0 s, expected a frame from 0 s to 0 s"),
    ],
)
def test_a_part_without_a_frame_is_one_line_and_leaves_nothing(decompose, tmp_path, clip, given, message, stored):
    code, lines = decompose(clip, *given, *stored)
    failures = [line for line in lines if line.startswith("failed: ")]
    assert code == 1 and len(failures) == 1 and f"failed: {clip}: {message}" in failures[0]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["video", "sequence"])
def test_frames_of_a_chunk_are_those_of_the_whole_shot_to_the_byte(decompose, tmp_path, frames, monkeypatch, kind):
    """Blocks of three frames: the memories of frame 14 begin at 9 and 12, what these rest on at 6, and the exposure that
    it was seen under two frames earlier."""
    module = intrinsic_flow.decomposition.temporal.filter
    monkeypatch.setattr(module, "BLOCK", 3)
    monkeypatch.setattr(module, "GAIN_FRAMES", 3)
    exposed: list[int] = []
    expose = module.TemporalFilter.expose
    monkeypatch.setattr(module.TemporalFilter, "expose", lambda *given: exposed.append(1) or expose(*given))
    flickering = [frame * np.float32(1 + 0.2 * np.sin(3 * number)) for number, frame in enumerate(frames)]
    if kind == "video":
        source, start, first = write_clip(tmp_path / "shot.mp4", flickering), 14 / 25, 0
    else:
        source, start, first = write_sequence(tmp_path / "shot", flickering) / "shot.####.exr", 1001 + 14, 1001 + 14
    assert decompose(source, "--sequence", "exr")[0] == 0
    assert len(exposed) == 20
    whole = {path.name: path.read_bytes() for path in sorted((tmp_path / "out/shot_albedo").iterdir())[14:]}
    assert decompose(source, "--sequence", "exr", "--start", start, output=tmp_path / "chunk")[0] == 0
    assert len(exposed) == 20 + 20 - 4
    chunk = {path.name: path.read_bytes() for path in (tmp_path / "chunk/shot_albedo").iterdir()}
    if kind == "video":  # whose frames are numbered from the first one written
        assert sorted(chunk) == [f"shot_albedo.{number:04d}.exr" for number in range(first, first + 6)]
        assert [chunk[name] for name in sorted(chunk)] == list(whole.values())
    else:
        assert chunk == whole


def test_audio_is_cut_with_the_video(decompose, tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="stereo")
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")))
        for index in range(94):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 1024 * index, Fraction(1, 48000)
            container.mux(sound.encode(frame))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    assert decompose(path, "--start", 0.4, "--end", 1.2)[0] == 0
    with av.open(str(tmp_path / "out/sound_albedo.mp4")) as container:
        packets = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.size]
    assert 0 <= packets[0] < 0.03 and 0.7 < packets[-1] < 0.83


@pytest.mark.parametrize("found", ["no such file", "no sound", "a PNG image"])
def test_a_file_without_sound_is_one_line_and_leaves_nothing(decompose, tmp_path, clip, frames, found):
    named = {"no such file": tmp_path / "none.wav", "no sound": clip, "a PNG image": tmp_path / "shot/shot.1001.png"}[found]
    folder = write_sequence(tmp_path / "shot", frames[:2], format="png")
    code, lines = decompose(folder, "--frames", "--codec", "h264", "--audio", named)
    assert code == 1
    expected = "a file with sound that FFmpeg decodes (WAV, MKA, MP4, ...)"
    assert lines[-2].endswith(f"{named}: found {found}, expected {expected}"), lines
    assert list((tmp_path / "out").iterdir()) == []


def test_a_size_that_a_codec_has_not_is_one_line_without_the_hidden_folder(decompose, tmp_path, clip):
    code, lines = decompose(clip, "--codec", "dnxhr")
    wanted = "no DNxHR video of 96x64 pixels at 25 frames a second can be written here (it has at least 256x120 pixels)"
    assert code == 1 and f"failed: {clip}: {tmp_path}/out/clip_albedo.mov: {wanted}" in lines


def test_a_part_without_sound_has_no_file_for_it(decompose, tmp_path, clip):
    """Two frames of sound at the beginning of a clip of 20 frames."""
    with wave.open(str(tmp_path / "sound.wav"), "wb") as beep:
        beep.setparams((1, 2, 8000, 640, "NONE", ""))
        beep.writeframes(bytes(1280))
    sound = tmp_path / "both.mov"
    add_sound(clip, tmp_path / "sound.wav", sound)
    layers = [f"both_{layer}/both_{layer}.{n:04d}.png" for layer in ("albedo", "shading") for n in range(5)]
    silent = sorted([*layers, "both_shading.json"])
    late = ["--sequence", "png", "--start", 0.6]
    code, lines = decompose(sound, *late)
    assert code == 0, lines
    assert listing(tmp_path / "out") == silent
    code, lines = decompose(sound, *late)
    assert code == 0 and any("skipped, its outputs exist" in line for line in lines)
    assert decompose(sound, "--sequence", "png", "--end", 0.2, "--overwrite")[0] == 0
    assert listing(tmp_path / "out") == sorted([*silent, "both_audio.mka"])
    # The earlier part's sound would belong to other layers.
    assert decompose(sound, *late, "--overwrite")[0] == 0
    assert listing(tmp_path / "out") == silent


class Pipe:
    """Standard input or output that is no file."""

    def __init__(self, content: bytes = b"") -> None:
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize("format", ["rgb24", "rgb48le"])
def test_raw_video_goes_through_a_pipe(decompose, monkeypatch, clip, frames, format):
    codes = np.stack([np.rint(linear_to_bt709(frame) * 255) for frame in frames[:5]]).astype(np.uint8)
    monkeypatch.setattr("sys.stdin", Pipe(codes.tobytes()))
    monkeypatch.setattr("sys.stdout", out := Pipe())
    code, lines = decompose("-", "--raw", "96x64:rgb24@25", "--pipe", format, output="-")
    assert code == 0, lines
    kind = np.uint8 if format == "rgb24" else np.uint16
    result = np.frombuffer(out.buffer.getvalue(), kind).reshape(5, 64, 96, 3)
    assert result.std() > 0 and result.max() > np.iinfo(kind).max / 4


def test_y4m_goes_through_a_pipe_and_comes_out_as_y4m(decompose, monkeypatch, tmp_path, frames):
    header = b"YUV4MPEG2 W96 H64 F25:1 C444\n"
    gray = np.full((3, 64, 96), 128, np.uint8)
    gray[0] = np.linspace(40, 200, 96).astype(np.uint8)
    monkeypatch.setattr("sys.stdin", Pipe(header + (b"FRAME\n" + gray.tobytes()) * 4))
    monkeypatch.setattr("sys.stdout", out := Pipe())
    code, lines = decompose("-", "--layer", "shading", output="-")
    assert code == 0, lines
    assert any("linear shading =" in line for line in lines)
    out.buffer.seek(0)
    with VideoReader(io.BytesIO(out.buffer.getvalue())) as reader:
        assert (reader.width, reader.height, len(list(reader))) == (96, 64, 4)


def test_a_pipe_can_be_written_to_files_and_nonsense_in_it_is_one_line(decompose, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", Pipe(b"no video at all"))
    code, lines = decompose("-")
    assert code == 1 and "standard input: found data that cannot be read" in lines[0]
    monkeypatch.setattr("sys.stdin", Pipe(bytes(96 * 64 * 3 * 3)))
    assert decompose("-", "--raw", "96x64")[0] == 0
    assert len(times(tmp_path / "out/stdin_albedo.mp4")) == 3


def test_a_pipe_is_read_once_and_a_picture_goes_to_no_pipe(decompose, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", Pipe(bytes(2 * 64 * 96 * 3)))
    code, lines = decompose("-", "-", "--raw", "96x64")
    assert code == 0 and lines[-1].startswith("1 done, 0 skipped, 0 failed"), lines
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.float32))
    code, lines = decompose(tmp_path / "a.png", output="-")
    assert (
        code == 1
        and lines[0] == f"failed: {tmp_path}/a.png: found a picture, expected a video, one layer of which -o - writes"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "out"]


def test_a_reader_that_stops_is_one_line(tiny_bundle, clip):
    command = f"{sys.executable} -m runtime.decompose {clip} -o - --pipe rgb24 --bundle {tiny_bundle} --quiet | head -c 100"
    done = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, errors="replace")
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "whatever read standard output has stopped" in lines[0]


def test_the_threads_that_read_have_ended_before_the_source_is_closed(decompose, clip, monkeypatch):
    running, close = [], VideoReader.close

    def closed(reader):
        running.append([thread.name for thread in threading.enumerate() if thread.name.startswith(("prefetch", "network"))])
        close(reader)

    def full(*given):
        raise OSError("no space left")

    monkeypatch.setattr(VideoReader, "close", closed)
    monkeypatch.setattr(VideoWriter, "write", full)
    code, lines = decompose(clip)
    assert code == 1 and any("no space left" in line for line in lines)
    assert running and not any(running)


def test_sequences_are_replaced_only_when_asked_and_never_taken_for_inputs(decompose, tmp_path, clip):
    folder = tmp_path / "my.shots"
    folder.mkdir()
    clip.rename(folder / "a.b.mp4")
    assert decompose(folder, "--sequence", "png", output=folder)[0] == 0
    stale = folder / "a.b_albedo" / "a.b_albedo.9999.png"
    stale.write_bytes(b"old")
    assert any("skipped" in line for line in decompose(folder, "--sequence", "png", output=folder)[1])
    code, lines = decompose(folder, "--sequence", "png", "--overwrite", output=folder)
    assert code == 0 and lines[-1].startswith("1 done") and not stale.exists()


def interrupt_after(monkeypatch, count: int) -> None:
    """Ctrl-C after so many frames of the next run."""
    stream = Decomposer.stream_pending

    def interrupted(self, frames, **options):
        for number, result in enumerate(stream(self, frames, **options), 1):
            yield result
            if number == count:
                # What is on its way to the encoder arrives, or it would depend on the machine's speed how much.
                time.sleep(0.3)
                raise KeyboardInterrupt

    monkeypatch.setattr(Decomposer, "stream_pending", interrupted)


@pytest.fixture
def short_chunks(monkeypatch):
    for module in (intrinsic_flow.cli.video_job, intrinsic_flow.media.video_writer):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 6)
    monkeypatch.setattr(intrinsic_flow.decomposition.temporal.filter, "BLOCK", 3)


@pytest.mark.parametrize("options", [(), ("--codec", "ffv1"), ("--sequence", "exr"), ("--sequence", "png", "--preview")])
def test_a_run_resumed_after_ctrl_c_equals_an_uninterrupted_one(
    decompose, tmp_path, clip, monkeypatch, short_chunks, options
):
    assert decompose(clip, *options, output=tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 15)
        code, lines = decompose(clip, *options)
    assert code == 130, lines
    assert "interrupted: " in lines[-1] and "--resume" in lines[-1]
    partial = listing(tmp_path / "out")
    assert "clip_partial.json" in partial and all("partial" in name for name in partial)
    for path in (tmp_path / "out").glob("*.partial.m*"):
        assert 12 <= len(times(path)) <= 15
    code, lines = decompose(clip, *options, "--resume")
    assert code == 0 and any("going on after frame" in line for line in lines), lines
    assert listing(tmp_path / "out") == listing(tmp_path / "whole")
    for name in listing(tmp_path / "whole"):
        paths = tmp_path / "whole" / name, tmp_path / "out" / name
        if name.endswith((".mkv", ".mp4")):  # encoders of several threads promise no equal bytes, Matroska has random ones
            with VideoReader(paths[0]) as first, VideoReader(paths[1]) as second:
                for a, b in zip(first, second, strict=True):
                    assert a.pts == b.pts
                    np.testing.assert_array_equal(a.pixels, b.pixels)
        else:
            assert paths[0].read_bytes() == paths[1].read_bytes(), name


def test_what_an_interrupted_run_left_stays_until_the_outputs_have_their_names(
    decompose, tmp_path, clip, monkeypatch, short_chunks
):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 15)
        decompose(clip)
    partial = listing(tmp_path / "out")

    def fail(self):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(OutputSet, "_publish_all", fail)
        assert decompose(clip, "--resume")[0] == 1
    assert listing(tmp_path / "out") == partial
    code, lines = decompose(clip, "--resume")
    assert code == 0 and any("going on after frame" in line for line in lines)


def test_resuming_with_other_settings_is_refused_and_without_resume_starts_anew(
    decompose, tmp_path, clip, monkeypatch, short_chunks
):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 15)
        assert decompose(clip)[0] == 130
    code, lines = decompose(clip, "--resume", "--seed", 3)
    assert code == 1 and "found an interrupted run with seed 0, expected seed 3" in lines[-2]
    code, lines = decompose(clip)
    assert code == 0 and any("started anew" in line for line in lines)
    assert listing(tmp_path / "out") == ["clip_albedo.mp4", "clip_shading.json", "clip_shading.mp4"]
    assert any("skipped" in line for line in decompose(clip, "--resume")[1])


def test_a_sequence_is_not_resumed_at_another_rate(decompose, tmp_path, frames, monkeypatch):
    folder = write_sequence(tmp_path / "shot", frames)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 15)
        assert decompose(folder, "--frames", "--rate", "24")[0] == 130
    code, lines = decompose(folder, "--frames", "--rate", "23.976", "--resume")
    assert code == 1 and "found an interrupted run with rate 24, expected rate 24000/1001 as now" in lines[-2]


def test_fewer_frames_than_can_be_taken_over_are_said_to_be_lost(decompose, clip, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 15)
        assert decompose(clip)[0] == 130
    code, lines = decompose(clip, "--resume")
    assert code == 0 and not any("going on" in line for line in lines)
    assert any("frames that were done are fewer than the 256" in x for x in lines)


def test_without_a_frame_an_interruption_leaves_nothing(decompose, tmp_path, clip, monkeypatch):
    def interrupted(self, frames, **options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Decomposer, "stream_pending", interrupted)
    assert decompose(clip)[0] == 130
    assert list((tmp_path / "out").iterdir()) == []


class FakeCamera:
    """Thirty numbered frames, one every 10 ms."""

    path, width, height, bit_depth = Path("camera:0"), 96, 64, 8
    average_rate, sample_aspect_ratio, notes = Fraction(100), Fraction(1), ()

    def __init__(self, count: int = 30) -> None:
        self.count, self.closed = count, False

    def __iter__(self):
        for index in range(self.count):
            time.sleep(0.01)
            yield Frame(np.full((64, 96, 3), (index + 1) / 40, np.float32), Fraction(index, 100), index)

    def close(self) -> None:
        self.closed = True


def test_a_camera_gives_the_latest_frame_and_counts_what_it_drops():
    camera = FakeCamera()
    with LiveReader(camera) as reader:
        seen = []
        for frame in reader:
            seen.append(round(float(frame.pixels[0, 0, 0]) * 40) - 1)
            time.sleep(0.035)
    assert seen == sorted(set(seen)) and 4 <= len(seen) <= 15
    assert seen[-1] == 29 and reader.dropped == 30 - len(seen) > 10
    assert f"{reader.dropped} frames dropped" in reader.notes[0]
    assert camera.closed and not any(thread.name == "camera" for thread in threading.enumerate())


def test_a_camera_that_ends_badly_says_so():
    class Broken(FakeCamera):
        def __iter__(self):
            yield from FakeCamera(2)
            raise InputError("camera:0", "no answer", "frames")

    with pytest.raises(InputError, match="no answer"), LiveReader(Broken()) as reader:
        list(reader)


def test_ctrl_c_is_the_end_of_a_camera_and_no_failure(decompose, tmp_path, monkeypatch):
    monkeypatch.setattr("intrinsic_flow.media.live.open_live", lambda address, colorspace: LiveReader(FakeCamera(10**6)))
    interrupt_after(monkeypatch, 5)
    code, lines = decompose("camera:0")
    assert code == 0, lines
    assert listing(tmp_path / "out") == ["camera0_albedo.mp4", "camera0_shading.json", "camera0_shading.mp4"]
    assert 3 <= len(times(tmp_path / "out/camera0_albedo.mp4")) <= 5


def test_opencv_prints_nothing_of_its_own_about_a_camera(capfd):
    with pytest.raises(InputError, match="no camera that gives pictures"):
        open_live("camera:99")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("stored", [(), ("--sequence", "exr")], ids=["video", "exr"])
def test_a_camera_without_a_frame_is_one_line_and_leaves_nothing(decompose, tmp_path, monkeypatch, stored):
    monkeypatch.setattr("intrinsic_flow.media.live.open_live", lambda address, colorspace: LiveReader(FakeCamera(0)))
    code, lines = decompose("rtsp://host/stream", *stored)
    failures = [line for line in lines if line.startswith("failed: ")]
    assert code == 1 and failures == ["failed: rtsp://host/stream: found no frame, expected one at least"]
    assert list((tmp_path / "out").iterdir()) == []


def test_camera_addresses():
    assert is_live("camera:0") and is_live("rtsp://user:secret@host:554/stream") and not is_live("camera:x")
    assert live_name("camera:2") == "camera2" and live_name("rtsp://user:secret@host:554/stream") == "host_554"


def test_a_camera_that_is_not_there_is_one_line(decompose):
    code, lines = decompose("camera:99", "rtsp://127.0.0.1:9/none", "ftp://host/x")
    assert code == 1
    failures = [line for line in lines if line.startswith("failed: ")]
    assert len(failures) == 3 and any("no camera that gives pictures" in line for line in failures)
    assert any("127.0.0.1:9/none: found no answer" in line for line in failures)


def test_what_is_repaired_in_a_sequence_is_told_once(tmp_path, frames):
    folder = tmp_path / "shot"
    folder.mkdir()
    for number in range(1, 5):
        frame = frames[number].copy()
        frame[0, :number] = np.nan
        write_image(folder / f"{number}.exr", frame, format="exr", alpha=np.full(frame.shape[:2], 0.5, np.float32))
    with SequenceReader(folder, find_in_folder(folder)) as reader:
        assert [frame.alpha.min() for frame in reader] == [0.5] * 4
    assert len([note for note in reader.notes if "non-finite" in note]) == 1


def test_sequences_that_are_none_are_refused(tmp_path, frames):
    folder = write_sequence(tmp_path / "shot", frames[:2])
    with pytest.raises(InputError, match="no such file"):
        find_pattern(folder / "other.####.exr")
    with pytest.raises(InputError, match="2 places"):
        find_pattern(folder / "a.##.b.##.exr")
    write_image(folder / "extra.0001.exr", frames[0], format="exr")
    with pytest.raises(InputError, match="2 sequences"):
        find_in_folder(folder)
    (folder / "extra.0001.exr").unlink()
    write_image(folder / "shot.1003.exr", frames[0][:32], format="exr")
    with SequenceReader(folder, find_in_folder(folder)) as reader, pytest.raises(InputError, match=r"shot\.1003.*96x64"):
        list(reader)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4", "--codec", "av2"], "prores"),
        (["a.mp4", "--crf", "90"], "0 to 51"),
        (["a.mp4", "--codec", "h264", "--sequence", "png"], "one of them"),
        (["a.mp4", "--start", "3", "--end", "2"], "before --start"),
        (["a.mp4", "--raw", "640"], "WIDTHxHEIGHT"),
        (["a.mp4", "--raw", "64x64"], "expected - among the inputs"),
        (["a.mp4", "--rate", "0"], "frames a second"),
        (["a.mp4", "--start", "nan"], "found nan, expected a number"),
        (["a.mp4", "--end", "inf"], "found inf, expected a number"),
        (["a.mp4", "--pipe", "y4m"], "expected -o -"),
        (["a.mp4", "b.mp4", "-o", "-"], "expected one"),
        (["a.mp4", "-o", "-", "--codec", "h264"], "takes no --codec"),
        (["a.mp4", "--half", "--sequence", "png"], "expected exr"),
    ],
)
def test_wrong_usage_of_video_options_exits_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("matrix", ["smpte170m", "bt709"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_a_colour_chart_decodes_within_one_step_of_the_float_conversion(tmp_path, matrix, full, bits):
    import av

    from intrinsic_flow.media.color import YUV_WEIGHTS, yuv_to_rgb_matrix

    to_rgb, offset = yuv_to_rgb_matrix(YUV_WEIGHTS[matrix], not full, bits)
    levels = np.array([0.04, 0.3, 0.55, 0.8, 0.96])
    chart = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(5, 25, 3)
    codes = np.rint((chart - offset) @ np.linalg.inv(to_rgb).T)
    frame = av.VideoFrame(200, 40, "yuv444p" if bits == 8 else "yuv444p10le")
    for index, plane in enumerate(frame.planes):
        kind = np.uint8 if bits == 8 else np.uint16
        padded = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
        padded[:, :200] = codes[..., index].repeat(8, 0).repeat(8, 1)
        plane.update(padded)
    with av.open(str(tmp_path / "chart.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 200, 40, frame.format.name
        tags = {"colorspace": 1 if matrix == "bt709" else 6, "color_range": 2 if full else 1, "color_trc": 1}
        for name, value in (tags | {"color_primaries": 1}).items():
            setattr(stream.codec_context, name, value)
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoReader(tmp_path / "chart.mkv") as reader:
        found = linear_to_bt709(next(iter(reader)).pixels[4::8, 4::8])
    exact = np.clip(codes @ to_rgb.T + offset, 0, 1)
    assert np.abs(found - exact).max() <= 1.0 / (2**bits - 1)
    assert bt709_to_linear(exact).max() <= 1
