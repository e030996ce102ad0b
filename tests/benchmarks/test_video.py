"""`benchmarks.video` on a miniature clip with ground truth, and its measures on layers whose flicker is known."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.backends.cuda_backend import CudaBackend
from intrinsic_flow.backends.gpu import find_gpu
from intrinsic_flow.benchmarks import video
from intrinsic_flow.benchmarks.videos import clips
from intrinsic_flow.benchmarks.videos import speed as video_speed
from intrinsic_flow.benchmarks.videos.clips import read_clips
from intrinsic_flow.benchmarks.videos.report import table
from intrinsic_flow.benchmarks.videos.steadiness import (
    Lit,
    Window,
    albedo_error,
    behind,
    carried_change,
    light_response,
    root_mean_square,
    warped_error,
)
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer, Decomposition
from intrinsic_flow.media.color import luminance
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.media.video_writer import VideoWriter
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shards import ShardError

FRAMES, SWITCH, CUT = 12, 5, 9


def train_conftest():
    source = Path(__file__).parents[1] / "train" / "conftest.py"
    spec = importlib.util.spec_from_file_location("train_tests_conftest", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clip_shard(tmp_path: Path) -> Path:
    """Twelve frames of 64x64: light twice as strong from frame 5 on, another scene from frame 9 on."""
    helpers = train_conftest()
    (_, first), (_, second) = procedural_views(2, 64, 3)
    members = []
    for number in range(FRAMES):
        view = second if number >= CUT else first
        if number >= SWITCH:
            codes = [code * np.float32([1, 2]) for code in (view.shading_code, view.residual_code)]
            view = replace(view, shading_code=codes[0], residual_code=codes[1])
        coded = helpers.view_members(view)
        meta = json.loads(coded["json"]) | {"clip": "c1", "frame": number, "frames": FRAMES, "fps": 4}
        meta |= {"cut": True} if number == CUT else {"light_change": True} if number == SWITCH else {}
        members.append((f"c1_{number:04d}", {**coded, "json": json.dumps(meta).encode()}))
    return helpers.write_shard(tmp_path / "clip-00000.tar", members)


def noisy(count: int, strength: float, seed: int = 0) -> np.ndarray:
    """(count, 48, 64, 3): one texture, every frame times another even factor."""
    rng = np.random.default_rng(seed)
    base = cv2.GaussianBlur(rng.uniform(0.2, 0.8, (48, 64, 3)).astype(np.float32), (0, 0), 2)
    factors = 1 + strength * rng.choice([-1.0, 1.0], count).astype(np.float32)
    return base[None] * factors[:, None, None, None]


def window_of(layers: np.ndarray) -> Window:
    window = Window()
    for layer in layers:
        window.add(layer)
    return window


def test_deviation_is_the_relative_flicker():
    layers = noisy(200, 0.02)
    layers[:] = layers.mean(axis=3, keepdims=True)
    everywhere, window = np.ones((48, 64), bool), window_of(layers)
    assert root_mean_square(window.deviation(), everywhere) == pytest.approx(0.02, rel=0.05)
    assert root_mean_square(window.frame_to_frame(), everywhere) == pytest.approx(0.02 * np.sqrt(2), rel=0.1)
    values = noisy(7, 0.1, seed=3)
    level = luminance(values.mean(axis=0))
    np.testing.assert_allclose(window_of(values).deviation(), np.sqrt(values.var(axis=0).mean(axis=2)) / level, rtol=1e-4)
    assert window_of(noisy(5, 0.0)).deviation().max() < 1e-6
    assert np.isnan(root_mean_square(level, ~everywhere))


def test_still_pixels_are_those_where_nothing_moves_and_light_is_steady():
    images = noisy(10, 0.001)
    images[:, 10:30, 10:30] *= np.linspace(0.97, 1.03, 10, dtype=np.float32)[:, None, None, None]
    images[:, :, 50:] = 1e-4
    pixels = window_of(images).still()
    assert not pixels[10:30, 10:30].any() and not pixels[:, 50:].any()
    assert pixels[35:, :50].all()


def test_an_albedo_that_breathes_more_than_the_input_is_not_steady():
    """Four frames a second for ten seconds: the albedo is twice a second up or down by 2% where nothing changes."""
    images = noisy(40, 0.004)

    def breathing(strength: float) -> video.Method:
        numbers = iter(range(40))

        def run(image: np.ndarray) -> Decomposition:
            factor = np.float32(1 + strength * (-1) ** next(numbers))
            return Decomposition(images[0] * factor, np.ones_like(image), 1.0)

        return run

    methods = {"held": breathing(0.0), "breathing": breathing(0.02), "slightly": breathing(0.002)}
    rows = {row["method"]: row for row in video._judge("clip", iter(images), 20, methods)}
    assert {name: row["steady"] for name, row in rows.items()} == {
        "held": "yes",
        "breathing": "no",
        "slightly": "yes",
        "input": "yes",
    }
    assert rows["breathing"]["deviation_over_input"] == pytest.approx(0.02 / 0.004, rel=0.1)
    assert rows["input"]["still_share"] > 0.95
    moving = images * np.random.default_rng(0).uniform(0.7, 1.3, (40, 48, 1, 1)).astype(np.float32)
    rows = video._judge("clip", iter(moving), 20, {"held": breathing(0.0)})
    assert not any({"steady", "deviation_over_input"} & row.keys() for row in rows)


def test_behind_a_moving_thing_is_where_another_one_was_not_long_ago():
    seen = [np.zeros((4, 8), int) for _ in range(3)]
    for step, things in enumerate(seen):
        things[:, 2 * step : 2 * step + 2] = 7
    band = behind(seen)
    assert band[:, :6].all() and not band[:, 6:].any()
    assert not behind(seen[:1]).any()


def test_an_error_that_stays_with_its_surface_does_not_change_along_the_motion():
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.uniform(0.1, 0.9, (96, 140, 3)).astype(np.float32), (0, 0), 2.5)
    wrong = cv2.GaussianBlur(rng.normal(0, 2, (96, 140, 3)).astype(np.float32), (0, 0), 8)
    images, masks = [wide[:, :128], wide[:, 4:132]], [np.ones((96, 128), bool)] * 2
    carried = carried_change(images, [wrong[:, :128], wrong[:, 4:132]], masks)
    resting = carried_change(images, [wrong[:, :128], wrong[:, :128]], masks)
    assert carried < 0.3 * resting
    truth = np.full((96, 128, 3), 0.5, np.float32)
    assert np.abs(albedo_error(3 * truth, truth, masks[0])).max() < 1e-6


def test_warped_error_follows_motion_and_sees_flicker():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.uniform(0.1, 0.9, (96, 200, 3)).astype(np.float32), (0, 0), 2.5)
    moving = [np.ascontiguousarray(wide[:, 4 * i : 4 * i + 128]) for i in range(4)]
    still = warped_error(moving, moving)
    flickering = warped_error(moving, [frame * np.float32(1 + 0.1 * (-1) ** i) for i, frame in enumerate(moving)])
    assert still < 0.03 and 0.15 < flickering < 0.25
    assert np.isnan(warped_error(moving[:1], moving[:1]))


def test_light_response_is_the_share_of_the_true_change():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.uniform(0.1, 0.9, (96, 140, 3)).astype(np.float32), (0, 0), 2.5)
    first, second = wide[:, :128], wide[:, 4:132]
    mask, even = np.ones((96, 128), bool), np.ones((96, 128, 3), np.float32)
    change = np.linspace(1.5, 3, 128, dtype=np.float32)[None, :, None] * even
    before = Lit(first, even, even, mask)
    for share in (0.0, 0.5, 1.0):
        after = Lit(second * change, change**share, change, mask)
        assert light_response(before, after) == pytest.approx(share, abs=0.01)
    assert np.isnan(light_response(before, Lit(second, even, even, ~mask)))


def test_a_clip_is_read_with_its_marks(clip_shard):
    (clip,) = read_clips([clip_shard.parent])
    assert (clip.name, clip.fps, len(clip.frames)) == ("c1", 4.0, FRAMES)
    assert (clip.cuts, clip.switches) == ({CUT}, (SWITCH,))
    told = {k: replace(frame, meta=frame.meta | {"clip_kind": "moving_things"}) for k, frame in enumerate(clip.frames)}
    assert clips._clip("c1", told).name == f"c1 moving things, {clip.frames[0].meta['kind']}"
    light = [float(view.total_shading.mean()) for view in clip]
    assert light[SWITCH] == pytest.approx(2 * light[SWITCH - 1], rel=1e-4)


def test_a_shard_without_a_clip_or_with_a_frame_missing_is_refused(tmp_path, clip_shard):
    helpers = train_conftest()
    plain = [(key, helpers.view_members(view)) for key, view in procedural_views(1, 64, 3)]
    with pytest.raises(ShardError, match="no frame of a clip"):
        read_clips([helpers.write_shard(tmp_path / "plain.tar", plain)])
    from intrinsic_flow.train.data.shards import raw_views

    short = [entry for entry in raw_views(clip_shard) if not entry[0].endswith("0007")]
    with pytest.raises(ShardError, match="without frame 7"):
        read_clips([helpers.write_shard(tmp_path / "short.tar", short)])


def test_the_truth_has_no_error_follows_light_at_once_and_drags_nothing(clip_shard):
    (clip,) = read_clips([clip_shard])
    truths = iter([view for view in clip for _ in range(2)])

    def oracle(image):
        view = next(truths)
        return Decomposition(np.maximum(view.albedo, 1e-4), view.total_shading, 1.0)

    rows = video.judge_clip(clip, {"temporal": oracle, "fixed noise": oracle})
    (row,) = [row for row in rows if row["method"] == "temporal"]
    assert row["albedo_lmse"] < 1e-6 and row["shading_lmse"] < 1e-6
    assert row["light_response"] == pytest.approx([1, 1, 1], abs=1e-3) and row["drag"] < 1e-6
    assert "albedo_lmse" not in rows[-1]


def test_command_on_a_clip_and_a_video_writes_json_and_a_report(tmp_path, clip_shard, bundle, capsys):
    path = tmp_path / "still.mp4"
    with VideoWriter(path, None, 64, 48, frame_rate=Fraction(5), bit_depth=8) as writer:
        for index, frame in enumerate(noisy(11, 0.02)):
            writer.write(frame, Fraction(index, 5))
    arguments = [
        str(path),
        "--clip",
        str(clip_shard),
        "--bundle",
        str(bundle),
        "--seconds",
        "2",
        "--report",
        str(tmp_path / "out"),
    ]
    assert video.main(arguments) == 0
    report = json.loads((tmp_path / "out/video.json").read_text())
    assert {"platform", "av"} <= report["environment"].keys()
    rows = {(row["clip"], row["method"]): row for row in report["rows"]}
    assert {method for _, method in rows} == {*video.METHODS, video.INPUT}
    assert rows["still", "temporal"]["resolution"] == 256 and rows["still", video.PREVIEW]["resolution"] == 192
    assert rows["still", "temporal"]["frames"] == 10 and rows["still", "input"]["deviation_over_input"] == 1
    assert rows["still", "temporal"]["deviation"] < rows["still", "fresh noise"]["deviation"]
    clip = rows["c1", "temporal"]
    assert clip["drag"] == 0 and len(clip["light_response"]) == video.RESPONSE_FRAMES
    assert min(clip["light_response"]) > 0.9
    text = (tmp_path / "out/video.md").read_text()
    assert "| still | temporal |" in text and "dragged" in text
    assert "| c1 | temporal |" in capsys.readouterr().out


def test_speed_has_a_row_for_each_stage_and_memory_one_for_each_length(tmp_path, bundle, monkeypatch):
    monkeypatch.setattr(video_speed, "FRAMES", 8)
    monkeypatch.setattr(video_speed, "MEMORY_SECONDS", (1, 2))
    path = tmp_path / "still.mp4"
    with VideoWriter(path, None, 64, 48, frame_rate=Fraction(5), bit_depth=8) as writer:
        for index, frame in enumerate(noisy(10, 0.02)):
            writer.write(frame, Fraction(index, 5))
    options = {"resolution": 32, "steps": 1, "seed": 0, "threads": 1, "rounds": 1}
    rows = {row["stage"]: row for row in video_speed.stages(path, Bundle.load(bundle), **options)}
    assert {"decode", "inference", "encode both layers", "pipeline"} <= rows.keys()
    assert all(row["frames"] == 8 and row["frames_per_second"] > 0 for row in rows.values())
    assert "alone" in rows["pipeline"]["note"]
    short, long = video_speed.memory(Bundle.load(bundle))
    assert (short["frames"], long["frames"]) == (25, 50) and 20 < short["peak_mib"] < 4000
    assert "peak memory" in table([short, long]) and "| pipeline |" in table(list(rows.values()))


class TimedOnCpu(CudaBackend):
    """The CPU's engine with a clock where a GPU's is: it refuses shapes that do not fit."""

    name, precision = "cuda", "fp32"

    def __init__(self, engine):
        self.engine = engine

    def decomposition_phases(self, *inputs):
        self.engine.decompose(*inputs)
        return {"h2d_ms": 1.0, "compute_ms": 4.0, "d2h_ms": 2.0, "enqueue_ms": 0.1}

    def __getattribute__(self, name):
        own = ("engine", "name", "precision", "decomposition_phases", "__class__")
        return object.__getattribute__(self, name) if name in own else getattr(self.engine, name)

    def _part(self, graph, shapes, owner): ...

    def _release(self): ...

    def describe(self): ...


def test_nvidias_codecs_and_the_gpu_alone_have_rows_or_say_why_not(tmp_path, bundle, monkeypatch):
    path = tmp_path / "still.mp4"
    with VideoWriter(path, None, 64, 48, frame_rate=Fraction(5), bit_depth=8) as writer:
        for index, frame in enumerate(noisy(4, 0.02)):
            writer.write(frame, Fraction(index, 5))
    options = {"resolution": 32, "steps": 1, "seed": 0, "threads": 1, "rounds": 1, "count": 3, "hardware": True}
    rows = {row["stage"]: row for row in video_speed.stages(path, Bundle.load(bundle), **options)}
    assert rows["on the GPU alone"]["note"] == "cpu is no CUDA backend"
    if find_gpu() is None:
        for stage in ("decode by NVDEC", "encode both layers by NVENC", "pipeline with NVENC"):
            assert rows[stage]["note"] and "frames_per_second" not in rows[stage]
            assert f"| {stage} |  |  |  | {rows[stage]['note']} |" in table(list(rows.values()))
    # Another encoder in its place, and a clock.
    monkeypatch.setattr(video_speed, "NVENC", replace(video_speed.NVENC, encoders=("libx264",), options=(("bf", "0"),)))
    opened = Decomposer.load

    def load(*arguments, **options):
        model = opened(*arguments, **options)
        model.backend = TimedOnCpu(model.backend)
        return model

    monkeypatch.setattr(video_speed.Decomposer, "load", load)
    rows = {row["stage"]: row for row in video_speed.stages(path, Bundle.load(bundle), **options)}
    assert all(rows[stage]["frames_per_second"] > 0 for stage in ("encode both layers by NVENC", "pipeline with NVENC"))
    assert rows["on the GPU alone"]["frames_per_second"] == 250
    assert rows["on the GPU alone"]["note"] == "up 1.00 ms, down 2.00 ms"
    assert "h264-nvenc" not in CODECS


def test_bad_inputs_are_one_line(tmp_path, bundle, capsys):
    assert video.main([str(tmp_path / "none.mp4"), "--bundle", str(bundle)]) == 1
    assert "no such file" in capsys.readouterr().err
    assert video.main(["--clip", str(tmp_path / "none.tar"), "--bundle", str(bundle)]) == 1
    with pytest.raises(SystemExit):
        video.main([])
