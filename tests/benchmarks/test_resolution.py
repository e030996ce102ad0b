"""`benchmarks.resolution`: its measure of edges, the bilinear reference, and the command."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from intrinsic_flow.backends import open_backend
from intrinsic_flow.benchmarks import resolution
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.upsampling import to_nchw, upsample_shading


def shadow(side: int = 128, softness: float = 0.0) -> np.ndarray:
    light = np.where(np.arange(side) < side // 2, 0.3, 1.0).astype(np.float32)
    light = np.broadcast_to(light[None, :, None], (side, side, 3)).copy()
    return cv2.GaussianBlur(light, (0, 0), softness) if softness else light


def test_edge_error_is_zero_for_the_truth_at_any_scale_and_grows_with_blur():
    truth, mask = shadow(), np.ones((128, 128), bool)
    edges = resolution.shading_edges(truth, mask)
    assert edges[64, 62:66].all() and not edges[:, :58].any() and not edges[:, 70:].any()
    assert resolution.edge_error(truth * 3, truth, edges) == pytest.approx(0, abs=1e-5)
    errors = [resolution.edge_error(shadow(softness=softness), truth, edges) for softness in (1, 2, 4)]
    assert 0.05 < errors[0] < errors[1] < errors[2]
    assert resolution.edge_error(truth, truth, np.zeros_like(edges)) is None


def test_the_bilinear_rival_interpolates_and_joins_strips(bundle):
    engine = resolution.BilinearBackend(open_backend(Bundle.load(bundle)))
    rng = np.random.default_rng(0)
    image = rng.uniform(0.1, 0.5, (96, 128, 3)).astype(np.float32)
    low = rng.normal(0, 0.3, (24, 32, 3)).astype(np.float32)
    maps = {"log_shading": to_nchw(low), "guide": to_nchw(np.ones_like(low))}
    whole = upsample_shading(engine, image, maps, 1.0)
    expected = np.exp(cv2.resize(low, (128, 96), interpolation=cv2.INTER_LINEAR))
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    strips = upsample_shading(engine, image, maps, 1.0, strip_pixels=128 * 20)
    np.testing.assert_allclose(strips, whole, rtol=1e-5)


def test_command_writes_rows_for_each_resolution_and_upsampler(tmp_path, make_shard, bundle, capsys):
    data = make_shard(tmp_path / "val-00000.tar", 2)
    arguments = ["--dataset", "shards", "--data", str(data), "--bundle", str(bundle), "--resolutions", "32", "64"]
    assert resolution.main([*arguments, "--report", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out/resolution.json").read_text())["rows"]
    assert [(row["resolution"], row["upsampler"]) for row in rows] == [
        (32, "guided"),
        (32, "bilinear"),
        (64, "guided"),
        (64, "bilinear"),
    ]
    assert all(row["n"] == 2 and row["albedo_lmse"] > 0 for row in rows)
    assert cv2.imread(str(tmp_path / "out/grid.png")) is not None
    assert "| 64 | bilinear |" in capsys.readouterr().out


def test_bad_data_is_one_line(tmp_path, bundle, capsys):
    assert resolution.main(["--dataset", "shards", "--data", str(tmp_path / "no.tar"), "--bundle", str(bundle)]) == 1
    assert "no.tar" in capsys.readouterr().err
