"""Parity: what it measures, what makes it fail, and which backends this machine runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from intrinsic_flow.decomposition.bundle import WEIGHTS, Bundle, describe_file
from intrinsic_flow.export.candidates import CANDIDATES, FP16_MIN_PSNR, open_candidate
from intrinsic_flow.export.cases import Case
from intrinsic_flow.export.comparison import FP32_MAX_ERROR, difference
from intrinsic_flow.export.graphs.half_tensors import LIMIT, HalfTensors
from intrinsic_flow.export.parity import main, make_cases, parity

ON_CPU = ("onnx-fp32", "onnx-fp16")
EXAMPLE = Path(__file__).parents[2] / "examples" / "objects.png"
BLOCK = "vae.decoder.stage8.0.conv1"


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return make_cases([EXAMPLE], (1, 2), ((64, 32),))


@pytest.fixture(scope="module")
def report(exported_bundle: Path, cases: list[Case]) -> dict[str, object]:
    return parity(Bundle.load(exported_bundle), cases)


@pytest.fixture
def broken(exported_bundle: Path, tmp_path: Path) -> Callable[[Callable[[Path], None]], Bundle]:
    """A copy of the bundle after something was done to its files; the manifest's sizes are those of the new files."""

    def build(change: Callable[[Path], None]) -> Bundle:
        folder = tmp_path / "broken"
        shutil.copytree(exported_bundle, folder)
        change(folder)
        manifest = json.loads((folder / "bundle.json").read_text())
        manifest["files"] = {name: describe_file(folder / name) for name in manifest["files"]}
        (folder / "bundle.json").write_text(json.dumps(manifest))
        return Bundle.load(folder)

    return build


def change_weights(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)

    return apply


def change_output(graph: str, factor: float) -> Callable[[Path], None]:
    """Multiplies the graph's first output by a factor that no weights file knows of."""

    def apply(folder: Path) -> None:
        path = folder / f"{graph}.onnx"
        model = onnx.load(path, load_external_data=False)
        name = model.graph.output[0].name
        last = next(node for node in model.graph.node if name in node.output)
        last.output[0] = "before"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(factor), "factor"))
        model.graph.node.append(onnx.helper.make_node("Mul", ["before", "factor"], [name]))
        path.write_bytes(model.SerializeToString())

    return apply


def why(report: dict[str, object], candidate: str) -> str:
    return "\n".join(next(entry for entry in report["rungs"] if entry["name"] == candidate)["why"])


def test_an_exported_bundle_passes_on_every_backend_that_this_machine_has(report) -> None:
    failed = {entry["name"]: entry["why"] for entry in report["rungs"] if entry["status"] == "failed"}
    # Whether BF16 is near enough depends on the weights: the shipped ones are (test_openvino_cpu.py), random ones are not.
    failed.pop("openvino-reduced", None)
    assert not failed
    status = {entry["name"]: entry["status"] for entry in report["rungs"]}
    assert list(status) == ["torch-fp32", *CANDIDATES, "half-precision range"]
    assert all(status[name] == "passed" for name in ("torch-fp32", *ON_CPU, "half-precision range"))


def test_what_cannot_run_says_why(report) -> None:
    left_out = [entry for entry in report["rungs"] if entry["status"] == "not run"]
    assert all(entry["why"] and entry["why"][0] for entry in left_out)
    measured = {row["rung"] for row in report["rows"]}
    assert not measured & {entry["name"] for entry in left_out}


def test_every_graph_is_compared_on_every_case(report, cases) -> None:
    names = {case.name for case in cases}
    assert names == {"objects.png", "procedural", "random 1x64x32", "random 2x64x32"}
    graphs = {"encoder", "velocity_step", "decoder", "vae_encoder", "low_shading", "decompose_2step", "end_to_end"}
    for candidate, expected in (("onnx-fp32", graphs | {"upsampler"}), ("onnx-fp16", graphs)):
        rows = [row for row in report["rows"] if row["rung"] == candidate]
        assert {(row["case"], row["graph"]) for row in rows} == {(name, graph) for name in names for graph in expected}
        assert all(row["mean"] <= row["max"] and row["p99"] <= row["max"] and row["cosine"] > 0.999 for row in rows)
        assert all((row["steps_max"] is not None) == (row["tensor"] == "albedo") for row in rows)


def test_half_precision_is_further_away_than_full(report) -> None:
    ends = {
        name: [row for row in report["rows"] if row["rung"] == name and row["graph"] == "end_to_end"] for name in ON_CPU
    }
    assert all(row["max"] <= FP32_MAX_ERROR for row in ends["onnx-fp32"])
    assert all(row["psnr_db"] >= FP16_MIN_PSNR for row in ends["onnx-fp16"])
    assert max(row["psnr_db"] for row in ends["onnx-fp16"]) < min(row["psnr_db"] for row in ends["onnx-fp32"])


def test_every_half_precision_tensor_of_a_graph_is_recorded(report, exported_bundle) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(exported_bundle / "decoder.fp16.onnx"))
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}
    made = {name for node in model.graph.node for name in node.output}
    expected = {name for name in made if kinds[name] == onnx.TensorProto.FLOAT16}
    recorded = {row["tensor"] for row in report["half_tensors"] if row["graph"] == "decoder"}
    assert recorded == expected and len(expected) > 20
    assert all(0 <= row["largest"] < LIMIT and row["finite"] for row in report["half_tensors"])


def test_a_recorded_activation_is_the_one_that_torch_computes(exported_bundle, random_model, cases) -> None:
    half = HalfTensors(Bundle.load(exported_bundle))
    image = cases[0].image
    half.run("encoder", {"image": image.numpy()}, "photo")
    for name, feature in zip(("feature_8", "feature_16", "feature_32"), random_model.encoder(image), strict=True):
        assert half.records["encoder", name].largest == pytest.approx(feature.abs().max().item(), rel=5e-3)


def test_a_weight_that_makes_a_huge_activation_fails_though_full_precision_agrees(broken, cases) -> None:
    def scale(weights: dict[str, np.ndarray]) -> None:
        weights[f"{BLOCK}.bias"][:] = 20000

    found = parity(broken(change_weights(scale)), cases[:1], ("onnx-fp32",))
    assert not found["passed"]
    assert "decoder.fp16" in why(found, "half-precision range") and "expected at most 16384" in why(
        found, "half-precision range"
    )
    assert next(entry for entry in found["rungs"] if entry["name"] == "torch-fp32")["status"] == "passed"


def test_an_overflow_of_half_precision_names_the_tensor(broken, cases) -> None:
    def scale(weights: dict[str, np.ndarray]) -> None:
        weights[f"{BLOCK}.bias"][:] = 60000
        weights[f"{BLOCK}.weight"][:] = 3000

    found = parity(broken(change_weights(scale)), cases[:1], ("onnx-fp32",))
    assert not found["passed"]
    text = why(found, "half-precision range")
    assert "decoder.fp16, " in text and "(Conv) on objects.png: found non-finite values" in text
    json.dumps(found, allow_nan=False)


def test_a_nan_in_the_weights_fails_at_the_reference_and_names_the_tensor(broken, cases) -> None:
    def spoil(weights: dict[str, np.ndarray]) -> None:
        weights["encoder.stem.bias"][0] = np.nan

    found = parity(broken(change_weights(spoil)), cases[:1], ON_CPU)
    assert not found["passed"]
    assert "encoder, feature_8 on objects.png: found non-finite values" in why(found, "torch-fp32")


def test_a_nan_in_one_graph_fails_on_its_backend_and_names_the_tensor(broken, cases) -> None:
    found = parity(broken(change_output("decoder", np.nan)), cases[:1], ON_CPU)
    assert not found["passed"]
    assert "decoder, albedo on objects.png: found non-finite values" in why(found, "onnx-fp32")
    assert why(found, "onnx-fp16") == ""


def test_a_graph_that_computes_something_else_fails(broken, cases) -> None:
    found = parity(broken(change_output("velocity_step", 1.001)), cases[:1], ON_CPU)
    assert not found["passed"]
    assert "velocity_step, z_next on objects.png: found error" in why(found, "onnx-fp32")
    assert "end_to_end, albedo" in why(found, "onnx-fp32")


def test_measures_of_known_arrays() -> None:
    truth = np.array([0.0, 0.5, 1.0, 0.25])
    same = difference(truth, truth, albedo=True)
    assert (same.max, same.steps_max, same.cosine) == (0, 0, pytest.approx(1))
    moved = difference(truth + np.array([0, 0, 0, 0.01]), truth, albedo=True)
    assert moved.max == pytest.approx(0.01) and moved.mean == pytest.approx(0.0025)
    assert moved.psnr_db == pytest.approx(10 * np.log10(4 / 0.01**2))
    assert moved.steps_max == 2  # 0.25 is sRGB code 137.1, 0.26 is 139.5
    large = difference(truth * 100 + 1, truth * 100)
    assert large.max == pytest.approx(0.01) and large.psnr_db == pytest.approx(40) and large.steps_max is None
    assert difference(np.zeros(3), np.ones(3)).cosine == 0


def test_the_command_says_pass_or_fail_by_its_exit_code(exported_bundle, broken, tmp_path, capsys) -> None:
    target = tmp_path / "parity.json"
    flags = ["--images", "--batch", "1", "--resolution", "64x32", "--rungs", "onnx-fp32", "--json", str(target)]
    assert main(["--bundle", str(exported_bundle), *flags]) == 0
    printed = capsys.readouterr().out
    assert "onnx-fp32" in printed and printed.rstrip().endswith("passed")
    assert {"environment", "rows", "rungs", "half_tensors"} <= set(json.loads(target.read_text()))
    other = broken(change_output("decoder", 1.01))
    assert main(["--bundle", str(other.folder), *flags]) == 1
    assert capsys.readouterr().out.rstrip().endswith("FAILED")


def test_a_backend_that_was_asked_for_must_run(exported_bundle, cases) -> None:
    bundle = Bundle.load(exported_bundle)
    try:
        open_candidate("tensorrt", bundle).close()
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
    except Exception as error:
        reason = str(error)
    else:
        pytest.skip("TensorRT runs here")
    assert parity(bundle, cases[:1], ("tensorrt",))["passed"]
    found = parity(bundle, cases[:1], ("tensorrt",), required=True)
    assert not found["passed"] and why(found, "tensorrt") == reason


@pytest.mark.parametrize("flags", [["--resolution", "100"], ["--batch", "0"], ["--rungs", "onnx-fp8"]])
def test_wrong_usage_is_exit_code_2(flags, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 2
    assert flags[1] in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cuda", "tensorrt", "tensorrt-rtx"])
def test_gpu_backends_keep_the_limits_on_the_default_bundle(name) -> None:
    bundle = Bundle.load()
    try:
        open_candidate(name, bundle).close()
    except Exception as error:  # whatever says why this machine has none
        pytest.skip(f"{name}: {error}")
    found = parity(bundle, make_cases([EXAMPLE], (1, 2), ((256, 256),)), (name,), required=True)
    assert found["passed"], found["rungs"]
