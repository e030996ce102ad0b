"""Videos in and out, on small clips that FFmpeg makes here."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import (
    PRIMARIES,
    bt709_to_linear,
    linear_to_bt709,
    pq_to_linear,
    srgb_to_linear,
    to_rec709_matrix,
    yuv_to_rgb_matrix,
)
from intrinsic_flow.media.video import VIDEO_SUFFIXES, Frame, VideoReader
from intrinsic_flow.media.video_encoding import codes_of_logs
from intrinsic_flow.media.video_writer import VideoWriter

TICK = Fraction(1, 12800)


def noise(index: int, height: int, width: int) -> np.ndarray:
    """uint8 RGB (H, W, 3) that no codec predicts: every frame takes the same share of the file."""
    return np.random.default_rng(index).integers(0, 256, (height, width, 3)).astype(np.uint8)


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 RGB (H, W, 3): a dark frame that brightens with `index`, its top left quarter red."""
    rgb = np.full((height, width, 3), 40 + 4 * index, np.uint8)
    rgb[: height // 2, : width // 2] = (200, 30, 30)
    return rgb


def make_clip(
    path: Path,
    ticks: Sequence[int] = tuple(range(0, 512 * 30, 512)),
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    rotation: int | None = None,
    matrix: list[int] | None = None,
    audio: str | None = None,
    options: dict[str, str] | None = None,
    draw: Callable[[int, int, int], np.ndarray] = picture,
    rate: int = 25,
    time_base: Fraction = TICK,
) -> Path:
    with av.open(os.fspath(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"qp": "8"} if codec == "libx264" else {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        sound = None
        if audio:
            sound = container.add_stream(audio, rate=48000)
            sound.layout, sound.bit_rate = "stereo", 64000
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(index % 40, size[1], size[0]), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        if sound:
            add_tone(container, sound, seconds=float(ticks[-1] * time_base) + 0.05)
        container.mux(stream.encode(None))
    return path


def add_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    resampler = av.AudioResampler(stream.codec_context.format.name, "stereo", 48000)
    for index in range(int(seconds * 48000 / 1024) + 1):
        wave = np.sin((np.arange(1024) + 1024 * index) * 0.05).astype(np.float32) * 0.3
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 1024 * index, Fraction(1, 48000)
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode(None))


def patches(layout: str, bits: int, seed: int = 0) -> tuple[av.VideoFrame, np.ndarray]:
    """A YUV frame of 16x16 patches and its codes (rows, columns, 3), colours well inside RGB."""
    rng = np.random.default_rng(seed)
    unit = 2 ** (bits - 8)
    codes = np.dstack([rng.integers(low * unit, high * unit, (4, 6)) for low, high in ((70, 170), (112, 144), (112, 144))])
    frame = av.VideoFrame(96, 64, layout)
    for index, plane in enumerate(frame.planes):
        down, across = 16 * plane.height // 64, 16 * plane.width // 96
        dtype = np.uint8 if bits == 8 else np.uint16
        padded = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        padded[:, : plane.width] = codes[..., index].repeat(down, 0).repeat(across, 1)
        plane.update(padded)
    return frame, codes


def store_lossless(path: Path, frame: av.VideoFrame, **tags: int) -> Path:
    """One frame in FFV1, which keeps every code and the tags that are given."""
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
            setattr(frame, name, value)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def centres(pixels: np.ndarray) -> np.ndarray:
    return pixels[8::16, 8::16]


def times(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.pts for frame in reader]


def copy(source: Path, target: Path, **options: object) -> VideoWriter:
    with VideoReader(source) as reader, VideoWriter(target, reader, reader.width, reader.height, **options) as writer:
        for frame in reader:
            writer.write(frame.pixels, frame.pts, frame.duration)
    return writer


def test_frames_are_linear_rec709_in_order(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    with VideoReader(path) as reader:
        assert (reader.width, reader.height, reader.frames, reader.rotation) == (64, 48, 30, 0)
        assert (reader.average_rate, reader.bit_depth, reader.audio_streams) == (25, 8, 0)
        frames = list(reader)
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.pts for frame in frames] == [Fraction(i, 25) for i in range(30)]
    for index in (0, 12, 29):
        pixels = frames[index].pixels
        assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == ((48, 64, 3), np.float32, True)
        expected = bt709_to_linear(picture(index) / 255)
        # Away from the quarter's border, where chroma at half resolution mixes.
        assert pixels[4:20, 4:28] == pytest.approx(expected[4:20, 4:28], abs=0.015)
        assert pixels[28:, 36:] == pytest.approx(expected[28:, 36:], abs=0.015)


@pytest.mark.parametrize("layout,bits", [("yuv420p", 8), ("yuv444p", 8), ("yuv420p10le", 10), ("yuv422p12le", 12)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name,code", [("bt709", 1), ("smpte170m", 6), ("bt470bg", 5), ("bt2020nc", 9)])
def test_tagged_matrix_and_range_are_honoured(
    tmp_path: Path, layout: str, bits: int, full: bool, name: str, code: int
) -> None:
    frame, codes = patches(layout, bits)
    range_code = ColorRange.JPEG if full else ColorRange.MPEG
    path = store_lossless(
        tmp_path / "a.mkv", frame, colorspace=code, color_range=int(range_code), color_trc=8, color_primaries=1
    )
    with VideoReader(path) as reader:
        assert (reader.tags.matrix, reader.tags.range) == (name, "full" if full else "limited")
        assert (reader.tags.transfer, reader.tags.primaries, reader.tags.guessed) == ("linear", "bt709", ())
        assert reader.bit_depth == bits
        pixels = next(iter(reader)).pixels
    weights = {"bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}.get(name, (0.299, 0.114))
    matrix, offset = yuv_to_rgb_matrix(weights, not full, bits)
    expected = codes @ matrix.T + offset
    assert np.abs(centres(pixels) - expected).max() < (0.6 / 255 if bits == 8 else 0.02 / 255)


@pytest.mark.parametrize("transfer,decode", [(1, bt709_to_linear), (13, srgb_to_linear), (16, pq_to_linear)])
def test_tagged_transfer_is_honoured(tmp_path: Path, transfer: int, decode: object) -> None:
    frame, codes = patches("yuv444p10le", 10)
    path = store_lossless(tmp_path / "a.mkv", frame, colorspace=1, color_range=1, color_trc=transfer, color_primaries=1)
    matrix, offset = yuv_to_rgb_matrix((0.2126, 0.0722), True, 10)
    encoded = codes @ matrix.T + offset
    with VideoReader(path) as reader:
        assert centres(next(iter(reader)).pixels) == pytest.approx(decode(encoded), rel=2e-3)
    with VideoReader(path, "linear") as reader:
        assert centres(next(iter(reader)).pixels) == pytest.approx(encoded, abs=1e-4)
    with VideoReader(path, "srgb") as reader:
        assert centres(next(iter(reader)).pixels) == pytest.approx(srgb_to_linear(encoded), abs=1e-4)


def test_tagged_primaries_are_converted_to_rec709(tmp_path: Path) -> None:
    frame, codes = patches("yuv444p10le", 10)
    path = store_lossless(tmp_path / "a.mkv", frame, colorspace=9, color_range=1, color_trc=8, color_primaries=9)
    matrix, offset = yuv_to_rgb_matrix((0.2627, 0.0593), True, 10)
    expected = (codes @ matrix.T + offset) @ to_rec709_matrix(PRIMARIES["bt2020"]).T
    with VideoReader(path) as reader:
        assert centres(next(iter(reader)).pixels) == pytest.approx(expected.clip(0), abs=1e-4)


@pytest.mark.parametrize("size,matrix", [((640, 360), "smpte170m"), ((1280, 720), "bt709"), ((720, 1280), "bt709")])
def test_an_untagged_matrix_is_guessed_by_size_and_reported(tmp_path: Path, size: tuple[int, int], matrix: str) -> None:
    path = make_clip(tmp_path / "a.mp4", (0, 512), size=size)
    with VideoReader(path) as reader:
        assert reader.tags.matrix == matrix
        assert {"matrix", "transfer", "primaries"} <= set(reader.tags.guessed)
        assert any("untagged" in note for note in reader.notes)


def test_untagged_rgb_video_is_srgb(tmp_path: Path) -> None:
    frame = av.VideoFrame.from_ndarray(picture(5), format="rgb24").reformat(format="bgr0")
    with VideoReader(store_lossless(tmp_path / "a.mkv", frame)) as reader:
        assert np.array_equal(next(iter(reader)).pixels, srgb_to_linear(picture(5) / np.float32(255)))


# FFmpeg's rotation is counter-clockwise; the red quarter of the stored picture is its top left one.
@pytest.mark.parametrize("stored,clockwise,corner", [(-90, 90, (0, -1)), (90, 270, (-1, 0)), (180, 180, (-1, -1))])
def test_rotation_is_applied(tmp_path: Path, stored: int, clockwise: int, corner: tuple[int, int]) -> None:
    path = make_clip(tmp_path / "a.mp4", (0, 512), rotation=stored)
    with VideoReader(path) as reader:
        assert reader.rotation == clockwise
        pixels = next(iter(reader)).pixels
        expected = (48, 64) if clockwise == 180 else (64, 48)
        assert pixels.shape == (*expected, 3) == (reader.height, reader.width, 3)
    for row in (0, -1):
        for column in (0, -1):
            red = pixels[row, column, 0] > 2 * pixels[row, column, 1]
            assert red == ((row, column) == corner)


def test_a_mirrored_display_matrix_is_applied(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", (0, 512), matrix=[-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30])
    with VideoReader(path) as reader:
        pixels = next(iter(reader)).pixels
    assert pixels[0, -1, 0] > 2 * pixels[0, -1, 1]
    assert pixels[0, 0, 0] == pytest.approx(pixels[0, 0, 1], abs=0.02)


def test_a_skewed_display_matrix_is_reported_and_ignored(tmp_path: Path) -> None:
    with VideoReader(make_clip(tmp_path / "a.mp4", (0, 512), rotation=37)) as reader:
        assert (reader.width, reader.height, reader.rotation) == (64, 48, 0)
        assert any("quarter turn" in note for note in reader.notes)


@pytest.mark.parametrize(
    "ticks",
    [tuple(range(0, 512 * 20, 512)), (0, 100, 1700, 1701, 5000, 5512, 20000), (12800, 13312, 13824, 20000)],
    ids=["constant", "variable", "late start"],
)
def test_timestamps_are_kept_exactly(tmp_path: Path, ticks: tuple[int, ...]) -> None:
    source = make_clip(tmp_path / "a.mp4", ticks)
    assert times(source) == [tick * TICK for tick in ticks]
    copy(source, tmp_path / "b.mp4")
    assert times(tmp_path / "b.mp4") == times(source)


def test_ntsc_timestamps_are_kept_exactly(tmp_path: Path) -> None:
    base = Fraction(1, 30000)
    source = make_clip(tmp_path / "a.mp4", tuple(range(0, 1001 * 12, 1001)), time_base=base, rate=30)
    copy(source, tmp_path / "b.mp4")
    assert times(tmp_path / "b.mp4") == [Fraction(1001 * i, 30000) for i in range(12)]


def test_how_long_a_single_picture_is_seen_is_kept(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", None, 64, 48, frame_rate=Fraction(25)) as writer:
        writer.write(np.zeros((48, 64, 3), np.float32), Fraction(0), Fraction(5))
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert [(frame.pts, frame.duration) for frame in reader] == [(0, 5)]


def test_files_without_timestamps_get_those_of_their_rate(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.h264", codec="libx264", options={})
    with VideoReader(tmp_path / "a.h264") as reader:
        frames = list(reader)
        rate = reader.average_rate
    assert len(frames) == 30
    steps = {after.pts - before.pts for before, after in pairwise(frames)}
    assert steps == {1 / rate}


def test_written_video_is_tagged_bt709_and_looks_like_what_went_in(tmp_path: Path) -> None:
    writer = copy(make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    assert writer.notes == ()
    with VideoReader(tmp_path / "a.mp4") as before, VideoReader(tmp_path / "b.mp4") as after:
        assert (after.tags.matrix, after.tags.range, after.tags.transfer) == ("bt709", "limited", "bt709")
        assert (after.tags.primaries, after.tags.guessed) == ("bt709", ())
        for first, second in zip(before, after, strict=True):
            error = linear_to_bt709(first.pixels) - linear_to_bt709(second.pixels)
            assert -10 * np.log10(np.mean(error**2)) > 38
    with av.open(os.fspath(tmp_path / "b.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p"
        assert (frame.colorspace, frame.color_range) == (Colorspace.ITU709, ColorRange.MPEG)
        assert (frame.color_trc, frame.color_primaries) == (ColorTrc.BT709, ColorPrimaries.BT709)


@pytest.mark.parametrize("bits,tolerance", [(8, 1.8 / 255), (10, 1.8 / 1023)])
def test_flat_colors_survive_writing_within_a_code(tmp_path: Path, bits: int, tolerance: float) -> None:
    colors = np.random.default_rng(1).uniform(0.2, 0.8, (2, 3, 3))
    pixels = bt709_to_linear(colors.repeat(32, 0).repeat(32, 1))
    with VideoWriter(tmp_path / "a.mp4", None, 96, 64, frame_rate=Fraction(25), bit_depth=bits, crf=1) as writer:
        for index in range(3):
            writer.write(pixels, Fraction(index, 25))
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert reader.bit_depth == bits
        result = linear_to_bt709(next(iter(reader)).pixels)[16::32, 16::32]
    assert np.abs(result - colors).max() < tolerance


def test_ten_bit_sources_stay_ten_bit(tmp_path: Path) -> None:
    frame, _ = patches("yuv420p10le", 10)
    source = store_lossless(tmp_path / "a.mkv", frame, colorspace=1, color_range=1, color_trc=1, color_primaries=1)
    copy(source, tmp_path / "b.mp4", crf=4)
    with VideoReader(source) as before, VideoReader(tmp_path / "b.mp4") as after:
        assert after.bit_depth == 10
        first, second = (centres(linear_to_bt709(next(iter(r)).pixels)) for r in (before, after))
    assert np.abs(first - second).max() < 3 / 1023


def test_codes_of_logs_are_those_of_the_light_within_a_code() -> None:
    light = np.concatenate([[0.0, 1e-30, 1.5, 1.0], np.geomspace(1e-4, 1, 3 * 4096 - 4)]).astype(np.float32).reshape(16, -1)
    logs = np.log(np.maximum(light, np.float32(1e-30)))
    exact = np.rint(linear_to_bt709(np.clip(light, 0, 1)) * 255).astype(int).reshape(16, -1, 3)
    for less, scale in ((np.full_like(logs, np.log(4.0)), 4.0), (math.log(4.0), 4.0)):
        codes = np.empty((16, 256, 3), np.uint8)
        codes_of_logs(logs + np.float32(math.log(scale)), less, codes)
        wrong = np.abs(codes - exact)
        assert wrong.max() <= 1 and (wrong > 0).mean() < 0.01
        assert codes[0, 0, 0] == 0 and codes[0, 0, 2] == 255


def test_values_outside_the_unit_range_are_clipped_and_nan_is_black(tmp_path: Path) -> None:
    pixels = np.zeros((32, 96, 3), np.float32)
    pixels[:, :32], pixels[:, 32:64], pixels[:, 64:] = np.inf, -3, np.nan
    with VideoWriter(tmp_path / "a.mp4", None, 96, 32, frame_rate=Fraction(25), crf=1) as writer:
        writer.write(pixels, Fraction(0))
    with VideoReader(tmp_path / "a.mp4") as reader:
        result = next(iter(reader)).pixels[16, 16::32]
    assert result == pytest.approx(np.array([[1.0] * 3, [0.0] * 3, [0.0] * 3]), abs=0.02)


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (65, 33), (2, 2), (1, 1)])
@pytest.mark.parametrize("bits", [8, 10])
def test_odd_and_tiny_sizes_are_written_as_they_are(tmp_path: Path, size: tuple[int, int], bits: int) -> None:
    rgb = cv2.resize(picture(10), size, interpolation=cv2.INTER_AREA)
    if min(size) <= 2:
        rgb[:] = (200, 90, 40)  # chroma at half resolution has one value there
    pixels = bt709_to_linear(rgb / 255)
    with VideoWriter(tmp_path / "a.mp4", None, *size, frame_rate=Fraction(30), bit_depth=bits, crf=4) as writer:
        for index in range(4):
            writer.write(pixels, Fraction(index, 30))
    with VideoReader(tmp_path / "a.mp4") as reader:
        frames = list(reader)
    assert len(frames) == 4
    assert frames[0].pixels.shape == pixels.shape
    assert np.abs(linear_to_bt709(frames[0].pixels) - linear_to_bt709(pixels)).mean() < 0.03


def test_pixel_aspect_ratio_is_kept(tmp_path: Path) -> None:
    with av.open(os.fspath(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1), format="rgb24")))
        container.mux(stream.encode(None))
    copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert reader.sample_aspect_ratio == Fraction(4, 3)


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(os.fspath(path)) as container:
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]


@pytest.mark.parametrize("suffix,audio", [(".mp4", "aac"), (".mkv", "libopus"), (".mov", "alac")])
def test_audio_passes_through_unchanged_and_in_time(tmp_path: Path, suffix: str, audio: str) -> None:
    source = make_clip(tmp_path / f"a{suffix}", audio=audio)
    writer = copy(source, tmp_path / "b.mp4")
    assert writer.notes == ()
    before, after = sound_packets(source), sound_packets(tmp_path / "b.mp4")
    assert [data for _, data in before] == [data for _, data in after]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=0.0011)
    assert times(tmp_path / "b.mp4") == times(source)


def test_audio_that_the_container_cannot_hold_is_left_out_and_reported(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="wmav2", time_base=Fraction(1, 25), ticks=range(20))
    writer = copy(source, tmp_path / "b.mp4")
    assert writer.notes == ("wmav2 audio left out: mp4 cannot hold it",)
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert reader.audio_streams == 0
        assert len(list(reader)) == 20


def test_audio_can_be_left_out(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", audio="aac")
    copy(source, tmp_path / "b.mp4", audio=False)
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert reader.audio_streams == 0


@pytest.mark.parametrize(
    "suffix,codec", [(".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mpeg4"), (".webm", "libvpx-vp9")]
)
def test_a_cut_video_yields_its_frames_and_then_says_so(tmp_path: Path, suffix: str, codec: str) -> None:
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    whole = make_clip(
        tmp_path / f"whole{suffix}", range(30), codec=codec, options=options, time_base=Fraction(1, 25), draw=noise
    )
    with VideoReader(whole) as reader:
        assert len(list(reader)) == 30
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for share in (0.5, 0.7, 0.85):
        cut.write_bytes(data[: int(len(data) * share)])
        frames: list[Frame] = []
        with VideoReader(cut) as reader, pytest.raises(InputError) as raised:
            for frame in reader:
                frames.append(frame)
        assert 0.3 * share < len(frames) / 30 < share + 0.1
        assert f"breaks off after {len(frames)} frames" in str(raised.value)


def test_a_rate_that_matroska_states_and_no_frame_has_is_told_and_not_taken_for_an_early_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", range(30), time_base=Fraction(1, 25), draw=noise)
    data = path.read_bytes()
    at = data.index(b"\x23\xe3\x83") + 3  # DefaultDuration: its size, then nanoseconds
    assert data[at] == 0x84 and int.from_bytes(data[at + 1 : at + 5], "big") == 40_000_000
    path.write_bytes(data[: at + 1] + (1000).to_bytes(4, "big") + data[at + 5 :])
    with VideoReader(path) as reader:
        assert [frame.pts for frame in reader] == [Fraction(number, 25) for number in range(30)]
        assert reader.average_rate == 25
        assert "stated rate of 30000 frames a second ignored, 25 taken" in reader.notes
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with VideoReader(path) as reader, pytest.raises(InputError, match="the file ends early"):
        list(reader)


def test_damage_in_the_middle_ends_the_video_there(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", draw=noise, options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) * 2 // 3] = b"\0" * (len(data) * 2 // 3 - len(data) // 2)
    path.write_bytes(data)
    count = 0
    with VideoReader(path) as reader, pytest.raises(InputError, match="breaks off after") as raised:
        for _ in reader:
            count += 1
    assert 8 <= count <= 17
    assert f"after {count} frames" in str(raised.value)


def test_a_reader_is_iterated_once(tmp_path: Path) -> None:
    with VideoReader(make_clip(tmp_path / "a.mp4", (0, 512))) as reader:
        assert len(list(reader)) == 2
        with pytest.raises(RuntimeError, match="once"):
            next(iter(reader))


def test_a_playlist_named_like_a_video_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    with pytest.raises(InputError):
        VideoReader(tmp_path / "a.mp4")


def test_a_cut_video_without_its_index_is_refused_on_opening(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged or truncated video"):
        VideoReader(tmp_path / "b.mp4")


def test_missing_empty_and_foreign_files_get_one_clear_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video at all, only some text. " * 50)
    (tmp_path / "image.mp4").write_bytes(cv2.imencode(".png", picture(1))[1].tobytes())
    with av.open(os.fspath(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        add_tone(container, container.add_stream("aac", rate=48000, layout="stereo"), 0.2)
    expected = {
        "missing.mp4": "no such file", "empty.mp4": "an empty file", "text.mp4": "plain text",
        "image.mp4": "a PNG image", "sound.m4a": "audio streams, no video", ".": "a folder",
    }  # fmt: skip
    for name, found in expected.items():
        with pytest.raises(InputError) as raised:
            VideoReader(tmp_path / name)
        assert f"found {found}" in str(raised.value) and "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_nothing_appears_under_the_final_name_before_close(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_text("old")
    writer = VideoWriter(target, None, 64, 48, frame_rate=Fraction(25))
    writer.write(np.zeros((48, 64, 3), np.float32), Fraction(0))
    assert target.read_text() == "old"
    writer.close()
    writer.close()
    assert len(times(target)) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_abort_and_errors_leave_no_file(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", None, 64, 48, frame_rate=Fraction(25))
    writer.write(np.zeros((48, 64, 3), np.float32), Fraction(0))
    writer.abort()
    writer.abort()
    writer.close()
    with (
        pytest.raises(ValueError, match="shape"),
        VideoWriter(tmp_path / "b.mp4", None, 64, 48, frame_rate=Fraction(25)) as writer,
    ):
        writer.write(np.zeros((48, 60, 3), np.float32), Fraction(0))
    with pytest.raises(ValueError, match="no frame"):
        VideoWriter(tmp_path / "c.mp4", None, 64, 48, frame_rate=Fraction(25)).close()
    with pytest.raises(OSError):
        VideoWriter(tmp_path / "missing" / "d.mp4", None, 64, 48, frame_rate=Fraction(25))
    with pytest.raises(OSError, match="40000x2"):
        VideoWriter(tmp_path / "e.mp4", None, 40000, 2, frame_rate=Fraction(25))
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", audio="aac")
    copy(source, tmp_path / "b.mp4")
    copy(source, tmp_path / "c.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_two_writers_can_follow_one_reader(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", audio="aac")
    with (
        VideoReader(source) as reader,
        VideoWriter(tmp_path / "b.mp4", reader, 64, 48) as first,
        VideoWriter(tmp_path / "c.mp4", reader, 192, 48) as second,
    ):
        for frame in reader:
            first.write(frame.pixels, frame.pts, frame.duration)
            second.write(np.tile(frame.pixels, (1, 3, 1)), frame.pts, frame.duration)
    assert times(tmp_path / "b.mp4") == times(tmp_path / "c.mp4") == times(source)


def test_suffixes_are_lower_case_with_their_dot() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in VIDEO_SUFFIXES)
    assert {".mp4", ".mov", ".mkv", ".webm", ".avi"} <= VIDEO_SUFFIXES
