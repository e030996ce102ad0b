"""What the trade's video files hold: alpha, ProRes and DNxHR, HDR, timecode, titles, interlaced frames, exact rates."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest

from intrinsic_flow.decompose import main
from intrinsic_flow.media.color import bt709_to_linear, linear_to_bt709, linear_to_hlg, linear_to_pq, pq_to_linear
from intrinsic_flow.media.exr import stated_clock
from intrinsic_flow.media.images import read_image, write_image
from intrinsic_flow.media.video import Frame, VideoReader
from intrinsic_flow.media.video_facts import advance_timecode, timecode_bits, timecode_from_bits, valid_timecode
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.media.video_writer import VideoWriter

WIDE = (256, 128)  # the least that DNxHR takes is 256x120


def clip(
    path: Path, codec: str, layout: str, size=WIDE, options=None, draw=None, tags=None, metadata=None, timecode="", count=3
) -> Path:
    """Frames of FFmpeg's own encoder. draw: fills (planes of) a frame; by default a ramp, with alpha across."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=Fraction(24000, 1001), options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, layout
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if timecode:
            stream.metadata["timecode"] = timecode
        for _ in range(count):
            frame = (draw or ramp)(size, layout)
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def ramp(size: tuple[int, int], layout: str) -> av.VideoFrame:
    across, down = np.meshgrid(np.linspace(0.1, 0.9, size[0]), np.linspace(0.05, 0.95, size[1]))
    rgba = np.rint(np.dstack([across, 0.5 + 0 * across, 1 - across, down]) * 65535).astype(np.uint16)
    return av.VideoFrame.from_ndarray(rgba, format="rgba64le").reformat(format=layout, dst_colorspace=1)


def copy(source: Path, target: Path, **options: object) -> VideoWriter:
    with VideoReader(source) as reader, VideoWriter(target, reader, reader.width, reader.height, **options) as writer:
        for frame in reader:
            writer.write(frame.pixels, frame.pts, frame.duration, frame.alpha if writer.alpha else None)
    return writer


def first(path: Path, **options: object) -> Frame:
    with VideoReader(path, **options) as reader:
        return next(iter(reader))


def probe(path: Path) -> dict:
    """ffprobe's answer: of the format, and of the first video stream."""
    if shutil.which("ffprobe") is None:
        pytest.skip("needs the program ffprobe")
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_frames", "-read_intervals", "%+#6"]
    found = json.loads(subprocess.run([*command, "-of", "json", path], capture_output=True, check=True).stdout)
    video = next(stream for stream in found["streams"] if stream["codec_type"] == "video")
    timecodes = [s["tags"]["timecode"] for s in found["streams"] if "timecode" in s.get("tags", {})]
    frame = next(f for f in found["frames"] if f["media_type"] == "video")
    return {**video, "format": found["format"], "timecodes": timecodes, "frame": frame}


ALPHA_SOURCES = [
    ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}),
    ("a.mkv", "ffv1", "yuva444p10le", {}),
    ("b.mkv", "ffv1", "yuva420p", {}),
    ("c.mkv", "ffv1", "gbrap16le", {}),
    ("a.mov", "png", "rgba", {}),
    ("b.mov", "png", "rgba64be", {}),
    ("a.mov", "qtrle", "argb", {}),
]


@pytest.mark.parametrize(("name", "codec", "layout", "options"), ALPHA_SOURCES)
def test_alpha_is_read_as_ffmpeg_decodes_it_and_kept(tmp_path, name, codec, layout, options):
    source = clip(tmp_path / name, codec, layout, options=options)
    with av.open(str(source)) as container:
        decoded = next(container.decode(video=0)).reformat(format="rgba64le").to_ndarray()[..., 3] / 65535
    frame = first(source)
    assert frame.alpha.shape == frame.pixels.shape[:2] and frame.alpha.dtype == np.float32
    assert np.abs(frame.alpha - decoded).max() < 1.01 / 255
    assert np.abs(frame.alpha[:, 3] - np.linspace(0.05, 0.95, WIDE[1])).max() < 1.5 / 255
    for codec in ("prores4444", "ffv1"):
        target = tmp_path / f"out{CODECS[codec].suffix}"
        assert copy(source, target, codec=codec).alpha
        assert np.abs(first(target).alpha - frame.alpha).max() < 0.6 / 255
    assert not copy(source, tmp_path / "out.mp4").alpha and first(tmp_path / "out.mp4").alpha is None


def test_alpha_of_vp9_is_read(tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg")
    clip(tmp_path / "a.mkv", "ffv1", "yuva420p", size=(64, 48))
    command = "ffmpeg -v error -i a.mkv -c:v libvpx-vp9 -pix_fmt yuva420p -crf 5 -b:v 0 a.webm"
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    with VideoReader(tmp_path / "a.webm") as reader:
        frames = list(reader)
    assert len(frames) == 3
    for frame in frames:
        assert np.abs(frame.alpha[:, 3] - np.linspace(0.05, 0.95, 48)).max() < 4 / 255


@pytest.mark.parametrize("codec", ["prores", "prores4444", "dnxhr", "dnxhr444", "ffv1", "hevc"])
def test_ten_bits_pass_through_each_codec_of_the_trade(tmp_path, codec):
    steps = np.linspace(0.4, 0.45, 48)  # fifty-one codes of ten bits, thirteen of eight
    pixels = np.repeat(bt709_to_linear(steps)[None, :, None].repeat(5, 1), 128, 0).repeat(3, 2)[:, :240]
    target = tmp_path / f"a{CODECS[codec].suffix}"
    pixels = np.pad(pixels, ((0, 0), (0, 16), (0, 0)), mode="edge").astype(np.float32)
    with VideoWriter(target, None, *WIDE, frame_rate=Fraction(24000, 1001), bit_depth=10, codec=codec, crf=1) as writer:
        writer.write(pixels, Fraction(0), Fraction(1001, 24000))
    with VideoReader(target) as reader:
        assert reader.bit_depth >= 10
        found = linear_to_bt709(next(iter(reader)).pixels)
    assert np.abs(found - linear_to_bt709(pixels)).mean() < 1 / 1023
    assert np.unique(np.rint(found[64, :240, 1] * 1023)).size > 30
    right = probe(target)
    # FFmpeg decodes ProRes 4444 at 12 bits.
    assert right["pix_fmt"].replace("12", "10") == CODECS[codec].layout(*WIDE, 10)
    profiles = {"prores": "HQ", "prores4444": "4444", "dnxhr": "DNXHR HQX", "dnxhr444": "DNXHR 444"}
    assert codec not in profiles or right["profile"] == profiles[codec]


def gray(*codes: float):
    """A frame of these gray codes in [0, 1], as upright bars of one width."""

    def draw(size, layout):
        frame, unit = av.VideoFrame(*size, layout), 16 if "12" in layout else 4
        luma = [round((16 + 219 * code) * unit) for code in codes]
        for plane, values in zip(frame.planes, (luma, [128 * unit], [128 * unit])):
            rows = np.full((plane.height, plane.line_size // 2), values[-1], np.uint16)
            rows[:, : plane.width] = np.repeat(values, plane.width // len(values))
            plane.update(memoryview(rows))
        return frame

    return draw


def swscale_light(path: Path) -> np.ndarray:
    """FFmpeg's own light of the first row of a video's first frame, where its reference white is 1."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    graph = av.filter.Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    name = {16: "smpte2084", 18: "arib-std-b67"}[int(frame.color_trc)]
    for filter, options in (
        ("setparams", f"colorspace=bt2020nc:range=tv:color_primaries=bt2020:color_trc={name}"),
        ("scale", "out_transfer=linear:out_primaries=bt709"),
        ("format", "gbrpf32le"),
        ("buffersink", None),
    ):
        node = graph.add(filter, options) if options else graph.add(filter)
        last.link_to(node)
        last = node
    graph.configure()
    graph.push(frame)
    return np.frombuffer(bytes(graph.pull().planes[0]), np.float32)[: frame.width]


HDR = {"pq": 16, "hlg": 18}


@pytest.mark.parametrize("kind", sorted(HDR))
def test_hdr_is_read_as_ffmpeg_reads_it_with_203_nits_as_one(tmp_path, kind):
    tags = {"colorspace": 9, "color_range": 1, "color_trc": HDR[kind], "color_primaries": 9}
    path = clip(tmp_path / "a.mkv", "ffv1", "yuv444p10le", (64, 48), draw=gray(0.25, 0.4, 0.5, 0.57), tags=tags)
    with VideoReader(path) as reader:
        pixels = next(iter(reader)).pixels
        assert any("203" in note for note in reader.notes)
    bars = pixels.reshape(48, 4, 16, 3)
    assert (np.ptp(bars, (0, 2, 3)) < 1e-3 * bars.max((0, 2, 3))).all()
    # swscale goes through a table of 33 steps, which leaves it a few percent.
    np.testing.assert_allclose(bars[0, :, 0, 0], swscale_light(path)[::16], rtol=0.035)


def test_reference_white_and_peak_of_both_curves(tmp_path):
    # BT.2408, table 1: diffuse white is 58 % of PQ and 75 % of HLG; peaks of 10000 and 1000 cd/m2.
    for kind, white, peak in (("pq", 0.5807, 10000 / 203), ("hlg", 0.7500, 1000 / 203)):
        tags = {"colorspace": 9, "color_range": 1, "color_trc": HDR[kind], "color_primaries": 9}
        for code, light in ((white, 1.0), (1.0, peak)):
            path = clip(tmp_path / "a.mkv", "ffv1", "yuv444p12le", (64, 48), draw=gray(code), tags=tags)
            assert float(first(path).pixels.mean()) == pytest.approx(light, rel=0.01)


def test_curves_are_inverses():
    light = np.geomspace(1e-3, 3.7, 50)
    assert pq_to_linear(linear_to_pq(light)) == pytest.approx(light, rel=1e-4)
    assert float(linear_to_hlg(1.0)) == pytest.approx(0.75, abs=1e-6)


@pytest.mark.parametrize("kind", sorted(HDR))
@pytest.mark.parametrize("codec", ["hevc", "prores", "dnxhr", "ffv1"])
def test_hdr_is_written_tagged_and_with_the_same_light(tmp_path, kind, codec):
    pixels = np.ones((128, 256, 3), np.float32) * np.geomspace(0.02, 4, 16, dtype=np.float32).repeat(16)[None, :, None]
    pixels[:64] *= np.array([1.0, 0.7, 0.5], np.float32)
    target = tmp_path / f"a{CODECS[codec].suffix}"
    with VideoWriter(target, None, *WIDE, frame_rate=Fraction(25), codec=codec, hdr=kind, crf=1) as writer:
        writer.write(pixels, Fraction(0), Fraction(1, 25))
    right = probe(target)
    names = {"pq": "smpte2084", "hlg": "arib-std-b67"}
    assert (right["color_transfer"], right["color_primaries"], right["color_space"]) == (names[kind], "bt2020", "bt2020nc")
    with VideoReader(target) as reader:
        assert (reader.tags.matrix, reader.tags.primaries, reader.tags.guessed) == ("bt2020nc", "bt2020", ())
        found = next(iter(reader)).pixels[32::64, 8::16]
    assert found == pytest.approx(pixels[32::64, 8::16], rel=0.05)


def test_static_hdr_metadata_is_kept_in_hevc_and_h264(tmp_path):
    tags = {"colorspace": 9, "color_range": 1, "color_trc": 16, "color_primaries": 9}
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    options = {"x265-params": f"log-level=error:hdr10=1:repeat-headers=1:{display}:max-cll=900,180"}
    source = clip(tmp_path / "a.mp4", "libx265", "yuv420p10le", (64, 48), options=options, tags=tags, draw=gray(0.5))
    copy(source, tmp_path / "b.mp4", codec="hevc", hdr="pq")
    before, after = probe(source)["frame"]["side_data_list"], probe(tmp_path / "b.mp4")["frame"]["side_data_list"]
    kinds = ("Mastering display metadata", "Content light level metadata")
    kept = [[side for side in sides if side["side_data_type"] in kinds] for sides in (before, after)]
    assert kept[0] == kept[1] and len(kept[1]) == 2 and kept[1][0]["red_x"] == "34000/50000"
    # The FFmpeg of Debian 12 does not look for it in H.264.
    copy(source, tmp_path / "c.mp4", codec="h264", hdr="pq")
    with VideoReader(source) as before, VideoReader(tmp_path / "c.mp4") as after:
        assert after.facts.hdr == before.facts.hdr and after.facts.hdr.light == (900, 180)
    notes = copy(source, tmp_path / "c.mov", codec="prores", hdr="pq").notes
    assert notes == ("HDR's static metadata left out: only --codec hevc and h264 take it",)


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv", ".mxf"])
@pytest.mark.parametrize("codec", ["h264", "prores", "ffv1"])
def test_timecode_titles_and_aspect_are_kept(tmp_path, suffix, codec):
    encoder, layout = ("mpeg2video", "yuv422p") if suffix == ".mxf" else ("libx264", "yuv420p")
    tags = {"sample_aspect_ratio": Fraction(4, 3)}
    source = clip(
        tmp_path / f"a{suffix}", encoder, layout, tags=None, metadata={"title": "Tower", "comment": "take 3"},
        timecode="10:11:12:23",
    )  # fmt: skip
    del tags
    target = tmp_path / f"b{CODECS[codec].suffix}"
    copy(source, target, codec=codec, origin=Fraction(1001, 24000))
    right = probe(target)
    found = {name.lower(): text for name, text in {**right["format"].get("tags", {}), **right.get("tags", {})}.items()}
    assert [*right["timecodes"], found.get("timecode")][0] == "10:11:13:00"
    if suffix != ".mxf":
        assert (found["title"], found["comment"]) == ("Tower", "take 3")
    with VideoReader(target) as reader:
        assert reader.facts.timecode == "10:11:13:00"
        assert reader.average_rate == Fraction(24000, 1001)


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_the_aspect_ratio_is_kept_or_said_to_be_lost(tmp_path, codec):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *WIDE, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(ramp(WIDE, "yuv420p")))
        container.mux(stream.encode(None))
    target = tmp_path / f"b{CODECS[codec].suffix}"
    notes = copy(tmp_path / "a.mp4", target, codec=codec).notes
    if codec == "ffv1":
        assert notes == ("pixel aspect ratio 4/3 is in the frames alone: Matroska is not given one here",)
        assert probe(target)["frame"]["sample_aspect_ratio"] == "4:3"
        return
    assert probe(target)["sample_aspect_ratio"] == "4:3"
    with VideoReader(target) as reader:
        assert reader.sample_aspect_ratio == Fraction(4, 3)


def test_chapters_are_kept_and_cut(tmp_path):
    names = ("one", "two", "three", "four")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        second = Fraction(1, 1000)
        times = [{"id": n + 1, "start": 100 * n, "end": 100 * n + 100, "time_base": second} for n in range(4)]
        container.set_chapters([{**time, "metadata": {"title": name}} for time, name in zip(times, names)])
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(ramp((64, 48), "yuv420p")))
        container.mux(stream.encode(None))
    for codec in ("h264", "ffv1", "prores"):
        copy(tmp_path / "a.mkv", tmp_path / f"b{CODECS[codec].suffix}", codec=codec)
        with VideoReader(tmp_path / f"b{CODECS[codec].suffix}") as reader:
            assert [(c.title, c.start, c.end) for c in reader.facts.chapters] == [
                (name, Fraction(n, 10), Fraction(n + 1, 10)) for n, name in enumerate(names)
            ]
    copy(tmp_path / "a.mkv", tmp_path / "c.mp4", origin=Fraction(15, 100), end=Fraction(35, 100))
    with VideoReader(tmp_path / "c.mp4") as reader:
        found = [(c.title, float(c.start), float(c.end)) for c in reader.facts.chapters]
    assert found == [("two", 0, 0.05), ("three", 0.05, 0.15), ("four", 0.15, 0.2)]


@pytest.mark.parametrize(
    ("layout", "kept"), [("yuv444p12le", "yuv444p12le"), ("gbrap16le", "yuva444p16le"), ("yuv444p16le", "yuv444p16le")]
)
def test_ffv1_keeps_more_than_ten_bits(tmp_path, layout, kept):
    source = clip(tmp_path / "a.mkv", "ffv1", layout)
    copy(source, tmp_path / "b.mkv", codec="ffv1")
    assert probe(tmp_path / "b.mkv")["pix_fmt"] == kept
    before, after = first(source), first(tmp_path / "b.mkv")
    bits = 12 if "12" in kept else 16
    assert np.abs(linear_to_bt709(before.pixels) - linear_to_bt709(after.pixels)).max() < 4 / 2**bits
    assert before.alpha is None or np.array_equal(before.alpha, after.alpha)


def test_a_profile_of_png_frames_is_applied(tmp_path):
    """Display P3's primaries with a power of 1.8, made by Pillow's PNG writer; the right value by NumPy."""
    spec = importlib.util.spec_from_file_location("picture_files", Path(__file__).with_name("picture_files.py"))
    made = sys.modules.setdefault("picture_files", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(made)
    made.pillow(made.RGB, icc_profile=made.profile(made.P3, 1.8))(tmp_path / "a.png")
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = made.WIDTH, made.HEIGHT, "rgb24"
        for number in range(3):
            packet = av.Packet((tmp_path / "a.png").read_bytes())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    with VideoReader(tmp_path / "a.mov") as reader:
        pixels = [frame.pixels for frame in reader]
        assert "converted from the colour profile 'made' to Rec.709" in reader.notes
    right = np.maximum(made.from_primaries((made.RGB / 255) ** 1.8, made.P3), 0)
    assert len(pixels) == 3 and np.abs(pixels[2] - right).max() < 1e-3


def test_mxf_holds_prores_with_timecode_and_sound(tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg")
    command = (
        "ffmpeg -v error -f lavfi -i testsrc2=size=128x96:rate=25:duration=0.4 "
        "-f lavfi -i sine=frequency=440:sample_rate=48000 -shortest -c:v libx264 -c:a pcm_s16le -timecode 01:02:03:04 a.mov"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    notes = copy(tmp_path / "a.mov", tmp_path / "b.mxf", codec="prores-mxf").notes
    right = probe(tmp_path / "b.mxf")
    assert notes == () and right["codec_name"] == "prores" and right["format"]["tags"]["timecode"] == "01:02:03:04"
    with VideoReader(tmp_path / "b.mxf") as reader, VideoReader(tmp_path / "a.mov") as source:
        assert (reader.audio_streams, reader.average_rate, reader.facts.timecode) == (1, 25, "01:02:03:04")
        frames = [(frame.pts, frame.pixels) for frame in reader]
        for (pts, pixels), before in zip(frames, source, strict=True):
            assert pts == before.pts and np.abs(pixels - before.pixels).mean() < 0.02
    with VideoWriter(tmp_path / "c.mxf", None, 64, 48, frame_rate=Fraction(25), codec="prores-mxf") as writer:
        for seconds in (0, Fraction(1, 25), Fraction(5, 25)):
            writer.write(np.zeros((48, 64, 3), np.float32), Fraction(seconds))
    assert writer.notes == ("MXF numbers its frames: times of a changing rate are lost",)
    with pytest.raises(OSError, match="at 12 frames a second"):
        VideoWriter(tmp_path / "d.mxf", None, 64, 48, frame_rate=Fraction(12), codec="prores-mxf")


def test_colours_beyond_rec709_reach_exr_files(decompose, tmp_path):
    """A saturated BT.2020 green as FFmpeg decodes it, in linear light by NumPy."""

    def green(size, layout):
        frame = av.VideoFrame(*size, layout)
        y, cb, cr = np.array([[0.2627, 0.678, 0.0593], [-0.13963, -0.36037, 0.5], [0.5, -0.45979, -0.04021]]) @ (
            0.1,
            0.8,
            0.2,
        )
        for plane, value in zip(frame.planes, (64 + 876 * y, 512 + 896 * cb, 512 + 896 * cr)):
            plane.update(memoryview(np.full((plane.height, plane.line_size // 2), round(value), np.uint16)))
        return frame

    tags = {"colorspace": 9, "color_range": 1, "color_trc": 14, "color_primaries": 9}
    source = clip(tmp_path / "a.mkv", "ffv1", "yuv444p10le", (64, 48), draw=green, tags=tags)
    code, log = decompose(source, "--sequence", "exr")
    assert code == 0, log
    files = [OpenEXR.File(str(tmp_path / f"out/a_{layer}/a_{layer}.0001.exr")) for layer in ("albedo", "shading")]
    albedo, shading = (file.channels()["RGB"].pixels.astype(np.float64) for file in files)
    assert files[0].header()["chromaticities"] == pytest.approx((0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329))
    right = bt709_to_linear(np.array([0.1, 0.8, 0.2]))  # BT.2020's curve is BT.709's
    assert np.abs(albedo * shading - right).max() < 3e-3
    assert (first(source).pixels >= 0).all()


def test_timecodes_of_image_sequences_are_kept_both_ways(decompose, tmp_path):
    ntsc = Fraction(30000, 1001)
    header = {"framesPerSecond": ntsc, "compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    # 10:20:59;29 and the next frame, 10:21:00;02: drop frame.
    for number, code in ((7, (10, 20, 59, 29)), (8, (10, 21, 0, 2))):
        stamp = OpenEXR.TimeCode(*code, 1, *[0] * 13)
        pixels = np.full((48, 64, 3), 0.1 * number, np.float32)
        OpenEXR.File({**header, "timeCode": stamp}, {"RGB": pixels}).write(str(tmp_path / f"s.{number:04d}.exr"))
    code, log = decompose(tmp_path / "s.####.exr", "--codec", "prores")
    assert code == 0, log
    assert probe(tmp_path / "out/s_albedo.mov")["timecodes"][0] == "10:20:59;29"
    code, log = decompose(tmp_path / "out/s_albedo.mov", "--sequence", "exr")
    assert code == 0, log
    found = OpenEXR.File(str(tmp_path / "out/s_albedo_albedo/s_albedo_albedo.0001.exr")).header()["timeCode"]
    assert (found.hours, found.minutes, found.seconds, found.frame, found.dropFrame) == (10, 21, 0, 2, True)
    assert timecode_from_bits(timecode_bits("23:59:58;17")) == "23:59:58;17"


def test_timecode_arithmetic():
    ntsc = Fraction(30000, 1001)
    # SMPTE ST 12-1: 00 and 01 are left out each minute but the tenth.
    assert advance_timecode("00:00:59;29", 1, ntsc) == "00:01:00;02"
    assert advance_timecode("00:09:59;29", 1, ntsc) == "00:10:00;00"
    assert advance_timecode("01:00:00;00", 107892, ntsc) == "02:00:00;00"
    assert advance_timecode("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert [valid_timecode(text, ntsc) for text in ("99:99:99:99", "00:01:00;00", "00:01:00:30", "00:01:00;02")] == [
        False, False, False, True,
    ]  # fmt: skip


def interlaced(path: Path) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg")
    command = (
        "ffmpeg -v error -f lavfi -i testsrc2=size=128x96:rate=50:duration=0.4 -vf tinterlace=interleave_top,setfield=tff "
        f"-c:v mpeg2video -flags +ildct+ilme -q:v 2 {path}"
    )
    subprocess.run(command.split(), check=True)
    return path


def test_interlaced_frames_are_said_and_deinterlaced_as_bwdif_does(tmp_path):
    source = interlaced(tmp_path / "a.mpg")
    with VideoReader(source) as reader:
        woven = list(reader)
        assert any("interlaced" in note and "--deinterlace" in note for note in reader.notes)
    with VideoReader(source, deinterlace=True) as reader:
        whole = list(reader)
        assert not any("interlaced" in note for note in reader.notes)
    assert [frame.pts for frame in whole] == [frame.pts for frame in woven]
    command = f"ffmpeg -v error -i {source} -vf bwdif=mode=send_frame:deint=interlaced -f rawvideo -pix_fmt gray pipe:"
    raw = subprocess.run(command.split(), capture_output=True, check=True).stdout
    right = np.frombuffer(raw, np.uint8).reshape(-1, 96, 128)
    assert len(right) == len(whole)
    luma = linear_to_bt709(whole[4].pixels) @ np.array([0.299, 0.587, 0.114])
    other = linear_to_bt709(woven[4].pixels) @ np.array([0.299, 0.587, 0.114])
    error, as_it_is = (np.abs(found * 255 - right[4]).mean() for found in (luma, other))
    assert error < 1.2 and as_it_is > 2 * error


@pytest.fixture
def decompose(tiny_bundle, tmp_path, capsys):
    def run(*arguments: object) -> tuple[int, str]:
        code = main([*map(str, arguments), "-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle)])
        return code, capsys.readouterr().err

    return run


def test_rates_and_sound_are_exact_from_sequence_to_video_and_back(decompose, tmp_path):
    folder = tmp_path / "shot"
    folder.mkdir()
    for number in range(1, 7):
        write_image(folder / f"shot.{number:04d}.exr", np.full((64, 96, 3), number / 8, np.float32), format="exr")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="stereo")
        wave = np.random.default_rng(0).integers(-9999, 9999, (1, 24000)).astype(np.int16)
        for at in range(0, 24000, 2000):
            part = av.AudioFrame.from_ndarray(wave[:, at : at + 2000], format="s16", layout="stereo")
            part.sample_rate, part.pts, part.time_base = 48000, at // 2, Fraction(1, 48000)
            container.mux(stream.encode(part))
    code, log = decompose(
        folder / "shot.####.exr", "--codec", "prores", "--rate", "23.976", "--audio", tmp_path / "sound.wav"
    )
    assert code == 0, log
    video = tmp_path / "out/shot_albedo.mov"
    right = probe(video)
    assert (right["r_frame_rate"], right["avg_frame_rate"]) == ("24000/1001", "24000/1001")
    with VideoReader(video) as reader:
        assert [frame.pts for frame in reader] == [Fraction(1001 * n, 24000) for n in range(6)]
    assert samples(video) == samples(tmp_path / "sound.wav")
    code, log = decompose(video, "--sequence", "exr")
    assert code == 0, log
    out = tmp_path / "out"
    assert stated_clock(out / "shot_albedo_albedo/shot_albedo_albedo.0003.exr").rate == Fraction(24000, 1001)
    assert samples(out / "shot_albedo_audio.mka") == samples(tmp_path / "sound.wav")
    # And without being told the rate, it is that of the files.
    code, log = decompose(out / "shot_albedo_albedo/shot_albedo_albedo.####.exr", "--codec", "ffv1")
    assert code == 0, log
    with VideoReader(out / "shot_albedo_albedo_albedo.mkv") as reader:
        assert float(reader.average_rate) == pytest.approx(24000 / 1001, rel=1e-4)


def samples(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(audio=0) if packet.size)


def test_alpha_and_hdr_through_the_command(decompose, tmp_path):
    tags = {"colorspace": 9, "color_range": 1, "color_trc": 16, "color_primaries": 9}
    source = clip(tmp_path / "a.mkv", "ffv1", "yuva444p10le", tags=tags)
    code, log = decompose(source)
    assert code == 0 and "alpha left out: H.264 has none here; --codec ffv1 or --codec prores4444 keep it" in log
    assert "HDR written as SDR; --hdr pq" in log and "203" in log
    code, log = decompose(source, "--codec", "prores4444", "--hdr", "pq", "--overwrite")
    assert code == 0 and "left out" not in log and "written as SDR" not in log, log
    for layer in ("albedo", "shading"):
        right = probe(tmp_path / f"out/a_{layer}.mov")
        # FFmpeg's decoder gives 4444 as 10 or 12 bits.
        assert right["color_transfer"] == "smpte2084" and right["pix_fmt"].startswith("yuva444p1")
    frame = first(source)
    layers = [first(tmp_path / f"out/a_{layer}.mov") for layer in ("albedo", "shading")]
    assert np.abs(layers[0].alpha - frame.alpha).max() < 2 / 255
    scale = json.loads((tmp_path / "out/a_shading.json").read_text())["shading_scale"]
    product = layers[0].pixels * layers[1].pixels * scale
    assert np.abs(product - frame.pixels).mean() < 0.03 * frame.pixels.mean()
    code, log = decompose(source, "--sequence", "exr")
    assert code == 0 and "left out" not in log and "SDR" not in log
    stored = read_image(tmp_path / "out/a_albedo/a_albedo.0000.exr")
    assert np.abs(stored.alpha - frame.alpha).max() < 1e-3
