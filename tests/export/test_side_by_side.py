"""Engines beside ONNX Runtime by Polygraphy, whose own ONNX Runtime runner stands where TensorRT's does on a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from intrinsic_flow.backends.engine_file import ShapeRange
from intrinsic_flow.backends.gpu import Gpu, find_gpu
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.export import side_by_side
from intrinsic_flow.export.parity import make_cases, parity
from intrinsic_flow.export.side_by_side import MIN_PSNR, check_engines, compare, failures

pytest.importorskip("polygraphy")
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx


@pytest.fixture
def bundle(exported_bundle: Path) -> Bundle:
    return Bundle.load(exported_bundle)


def runner(path: Path | bytes) -> OnnxrtRunner:
    source = str(path) if isinstance(path, Path) else path
    return OnnxrtRunner(SessionFromOnnx(source, providers=["CPUExecutionProvider"]), name="tensorrt")


def images(*sides: int) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return {f"{side} pixels": {"image": rng.random((1, 3, side, side), np.float32)} for side in sides}


def scaled(path: Path, output: str, factor: float) -> bytes:
    """The graph with one of its outputs, on which no other depends, multiplied."""
    model = onnx.load(path)
    node = next(node for node in model.graph.node if output in node.output)
    node.output[list(node.output).index(output)] = "before"
    factors = numpy_helper.from_array(np.float32(factor), "factor")
    model.graph.initializer.append(factors)
    model.graph.node.append(onnx.helper.make_node("Mul", ["before", "factor"], [output]))
    return model.SerializeToString()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_same_graph_agrees_on_every_output_and_case(bundle, precision):
    rows = compare(bundle, "encoder", precision, images(32, 64), runner(bundle.path("encoder", precision)))
    assert {(row.case, row.tensor) for row in rows} == {
        (case, tensor) for case in ("32 pixels", "64 pixels") for tensor in bundle.spec("encoder", precision).output_names
    }
    assert all(row.passed and row.psnr_db == 138 for row in rows) and not failures(rows)


def test_an_output_of_another_size_is_named_with_its_distance(bundle):
    tensor = bundle.spec("encoder").output_names[-1]
    rows = compare(bundle, "encoder", "fp32", images(32), runner(scaled(bundle.path("encoder"), tensor, 1.01)))
    assert [row.tensor for row in rows if not row.passed] == [tensor]
    (line,) = failures(rows)
    # 1% of each value is 40 dB and, since most are smaller than the largest, some more.
    assert 40 < next(row.psnr_db for row in rows if row.tensor == tensor) < MIN_PSNR["fp32"]
    assert line.startswith(f"encoder, {tensor} on 32 pixels: found PSNR ")


def test_values_that_are_not_finite_fail(bundle):
    tensor = bundle.spec("encoder").output_names[-1]
    rows = compare(bundle, "encoder", "fp32", images(32), runner(scaled(bundle.path("encoder"), tensor, float("nan"))))
    assert failures(rows) == [f"encoder, {tensor} on 32 pixels: found non-finite values to ONNX Runtime on the same graph"]


def test_each_case_runs_with_the_first_profile_that_takes_it(bundle, monkeypatch):
    ranges = [
        {"image": ShapeRange((1, 3, low, low), (1, 3, low, low), (1, 3, high, high))} for low, high in ((32, 32), (64, 96))
    ]
    sidecar = SimpleNamespace(graph="encoder", precision="fp16", profiles=ranges)
    engines = SimpleNamespace(sidecars={"encoder": sidecar}, folder=Path("tensorrt-fp16-sm90"))
    used = []

    def engine_runner(sidecar, profile):
        used.append(profile)
        return runner(bundle.path("encoder", "fp16"))

    for name, value in (
        ("import_library", lambda flavor: SimpleNamespace(__version__="11.4.0.106")),
        ("find_gpu", lambda: Gpu("NVIDIA H100", 90, (13, 0), 80 << 30)),
        ("find_engines", lambda *arguments, **options: engines),
        ("_engine_runner", engine_runner),
    ):
        monkeypatch.setattr(side_by_side, name, value)
    about, rows = check_engines(bundle, "tensorrt", {"encoder": images(32, 64, 96, 128)})
    assert about == "TensorRT 11.4.0.106, NVIDIA H100, tensorrt-fp16-sm90"
    assert used == [0, 1] and {row.case for row in rows} == {"32 pixels", "64 pixels", "96 pixels"}


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_parity_says_what_it_could_not_compare(bundle):
    report = parity(bundle, make_cases([], (1,), ((32, 32),))[1:], ("onnx-fp32",), polygraphy=True)
    said = {entry["name"]: entry for entry in report["rungs"] if "Polygraphy" in entry["name"]}
    assert list(said) == ["tensorrt by Polygraphy", "rtx by Polygraphy"] and report["side_by_side"] == []
    assert all(entry["status"] == "not run" and entry["why"][0] for entry in said.values()) and report["passed"]
