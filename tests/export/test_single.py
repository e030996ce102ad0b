"""Self-contained graphs: one image in, one layer out, on nothing but the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.decomposition.exposure import ToneMap
from intrinsic_flow.decomposition.noise import cut
from intrinsic_flow.decomposition.upsampling import to_nchw
from intrinsic_flow.decomposition.working_size import resize
from intrinsic_flow.export import single
from intrinsic_flow.export.build_onnx import main
from intrinsic_flow.export.single import resampling, single_graph
from intrinsic_flow.media.color import luminance


def run(model: onnx.ModelProto | Path, image: np.ndarray) -> np.ndarray:
    """image: (H, W, 3) -> (H, W, 3), by ONNX Runtime from the file's bytes alone."""
    content = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (entry,), (output,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, output.type) == ("image", "tensor(float)", "tensor(float)")
    return session.run(None, {"image": to_nchw(image)})[0][0].transpose(1, 2, 0)


def brighter_pixels_gain(image: np.ndarray, rule: ToneMap) -> float:
    """The gain with the brighter of two neighbouring pixels for a percentile, which the graphs take; 1 for black."""
    light = luminance(image)
    lit = light[light > rule.dark_fraction * np.percentile(light, rule.reference_percentile, method="higher")]
    if not lit.size:
        return 1.0
    gain = rule.target / float(np.percentile(lit, rule.percentile, method="higher"))
    return float(np.clip(gain, rule.min_gain, rule.max_gain))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A ramp of light over coloured noise in a scale of its own, with a highlight and a black corner."""
    random = np.random.default_rng(7)
    image = 40 * random.random((64, 96, 3), np.float32) * np.linspace(0.05, 1, 96, dtype=np.float32)[:, None]
    image[:4, -4:] = 900
    image[-9:, :9] = 0
    return image


@pytest.fixture(scope="module")
def bundle(exported_bundle: Path) -> Bundle:
    return Bundle.load(exported_bundle)


def test_the_command_writes_both_layers_in_both_precisions(exported_bundle, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(single, "_EXAMPLE", (64, 96))
    options = ["--single", "-o", str(tmp_path / "one"), "--sizes", "64x96", "--full", "50x70"]
    assert main([str(exported_bundle), *options]) == 0
    sizes = ("albedo", "shading", "albedo_64x96", "shading_64x96", "full_albedo_50x70", "full_shading_50x70")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        f"{name}{suffix}.onnx" for name in sizes for suffix in ("", ".fp16")
    }
    assert "albedo_64x96.fp16.onnx" in capsys.readouterr().out
    for path in (tmp_path / "one").iterdir():
        model = onnx.load(path, load_external_data=False)
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        assert {node.domain for node in model.graph.node} == {""}


@pytest.mark.parametrize("size", [None, (64, 96)])
def test_the_network_graphs_agree_with_the_bundle(bundle: Bundle, picture: np.ndarray, size) -> None:
    gain = brighter_pixels_gain(picture, bundle.tone_map)
    seen = to_nchw(np.clip(picture * np.float32(gain), 0, 1))
    with Decomposer.load(bundle, backend="cpu") as model:
        albedo = model.backend.network(seen, cut(bundle.noise, 8, 12), 2)
        guide = to_nchw(picture * np.float32(gain))
        log_shading = model.backend.run("low_shading", {"albedo": albedo, "guide": guide})["log_shading"]
    expected = {"albedo": albedo, "shading": np.exp(log_shading) / gain}
    for layer in ("albedo", "shading"):
        found = run(single_graph(bundle, layer, size, False, "fp32"), picture)
        np.testing.assert_allclose(to_nchw(found), expected[layer], rtol=1e-3, atol=1e-4)


def test_the_full_graphs_agree_with_the_runtime(bundle: Bundle) -> None:
    image = np.random.default_rng(0).random((300, 421, 3), np.float32) ** 3
    with Decomposer.load(bundle, backend="cpu") as model:
        result = model.decompose(image)
    layers = {x: run(single_graph(bundle, x, (300, 421), True, "fp32"), image) for x in ("albedo", "shading")}
    np.testing.assert_allclose(layers["albedo"], result.albedo, atol=1e-4)
    np.testing.assert_allclose(layers["shading"], result.shading, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layers["albedo"] * layers["shading"], image, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e7])
def test_exposure_is_inside(bundle: Bundle, picture: np.ndarray, scale: float) -> None:
    """The albedo does not depend on the image's scale, from one end of the gain's range to the other; black is fine."""
    graph = single_graph(bundle, "albedo", (64, 96), False, "fp32")
    image = picture * np.float32(scale)
    gain = brighter_pixels_gain(image, bundle.tone_map)
    with Decomposer.load(bundle, backend="cpu") as model:
        expected = model.backend.network(to_nchw(np.clip(image * np.float32(gain), 0, 1)), cut(bundle.noise, 8, 12), 2)
    np.testing.assert_allclose(to_nchw(run(graph, image)), expected, atol=1e-4)


def test_half_precision_is_close(bundle: Bundle, picture: np.ndarray) -> None:
    found, expected = (run(single_graph(bundle, "albedo", None, False, x), picture) for x in ("fp16", "fp32"))
    assert 0 < np.abs(found - expected).max() < 0.01


@pytest.mark.parametrize(("whole", "part"), [(300, 256), (64, 32), (7, 7), (20, 32)])
def test_resampling_is_that_of_the_runtime(whole: int, part: int) -> None:
    image = np.random.default_rng(1).random((whole, 5, 3), np.float32)
    expected = resize(image, part, 5)
    np.testing.assert_allclose(np.einsum("pw,wxc->pxc", resampling(whole, part), image), expected, atol=1e-6)


def test_wrong_sizes_are_one_line(exported_bundle: Path, tmp_path: Path, capsys) -> None:
    assert main([str(exported_bundle), "--single", "-o", str(tmp_path / "one"), "--sizes", "100x96"]) == 1
    assert "found --sizes 100x96, expected sides that are multiples of 32" in capsys.readouterr().err
    for wrong in (["--sizes", "12"], ["--full", "0x5"]):
        with pytest.raises(SystemExit):
            main([str(exported_bundle), "--single", "-o", str(tmp_path), *wrong])
    with pytest.raises(SystemExit):
        main([str(exported_bundle), "-o", str(tmp_path), "--full", "64x64"])
