"""`auto`: the order of preference, and that it says what it took and why."""

from __future__ import annotations

import pytest

from intrinsic_flow.backends import automatic, open_backend
from intrinsic_flow.backends.automatic import open_fastest
from intrinsic_flow.backends.gpu import Gpu
from intrinsic_flow.decompose import main
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import InputError, MissingExtraError

GPU = Gpu("Fake GPU", 86, (13, 0), 1 << 34)
NO_ENGINES = InputError("engines", "no engines of TensorRT", "engines (python -m export.build_trt)")
NO_LIBRARY = MissingExtraError("tensorrt_rtx", "rtx")
NO_OPENVINO = MissingExtraError("openvino", "openvino")
NO_BF16 = ValueError("this CPU has neither BF16 nor FP16 arithmetic")


@pytest.mark.parametrize(
    ("gpu", "failures", "expected", "reasons"),
    [
        (GPU, {}, "tensorrt", []),
        (GPU, {"tensorrt": NO_ENGINES}, "tensorrt-rtx", ["not tensorrt: engines: found no engines", "export.build_trt"]),
        (
            GPU,
            {"tensorrt": NO_ENGINES, "tensorrt-rtx": NO_LIBRARY},
            "cuda",
            ["found no engines", "intrinsic-flow[rtx]"],
        ),
        (
            GPU,
            {"tensorrt": NO_ENGINES, "tensorrt-rtx": NO_LIBRARY, "cuda": RuntimeError("no usable\nGPU")},
            "openvino",
            ["not cuda: no usable GPU"],
        ),
        (None, {}, "openvino", ["no GPU: "]),
        (None, {"openvino": NO_OPENVINO}, "cpu", ["no GPU: ", "not openvino: openvino is not installed"]),
        (None, {"openvino": NO_BF16}, "cpu", ["neither BF16 nor FP16"]),
    ],
)
def test_the_fastest_that_opens_is_taken_and_says_why(monkeypatch, tiny_bundle, gpu, failures, expected, reasons):
    monkeypatch.setattr(automatic, "find_gpu", lambda device: gpu)
    tried = []

    def open_by_name(name):
        tried.append(name)
        if name in failures:
            raise failures[name]
        engine = open_backend(Bundle.load(tiny_bundle), "cpu")
        engine.name = name
        return engine

    engine = open_fastest(open_by_name)
    assert engine.name == expected == tried[-1] and set(tried[:-1]) == set(failures)
    assert engine.choice.startswith(expected) and all(reason in engine.choice for reason in reasons)
    assert "\n" not in engine.choice


def test_fp32_on_the_cpu_is_onnx_runtimes(monkeypatch, tiny_bundle):
    monkeypatch.setattr(automatic, "find_gpu", lambda device: None)
    engine = open_backend(Bundle.load(tiny_bundle), "auto", precision="fp32")
    assert engine.name == "cpu" and "no faster in fp32" in engine.choice


def test_an_explicit_backend_never_becomes_another(tiny_bundle, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[openvino\]"):
        open_backend(Bundle.load(tiny_bundle), "openvino")
    for backend in ("cuda", "tensorrt", "tensorrt-rtx"):
        monkeypatch.setattr("intrinsic_flow.backends.tensorrt.find_gpu", lambda device: None)
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
        with pytest.raises((MissingExtraError, RuntimeError)):
            open_backend(Bundle.load(tiny_bundle), backend)


def test_the_command_says_what_it_took(tiny_bundle, tmp_path, capsys):
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "photo.png"), np.full((40, 50, 3), 99, np.uint8))
    arguments = [str(tmp_path / "photo.png"), "-o", str(tmp_path), "--bundle", str(tiny_bundle), "--overwrite"]
    assert main([*arguments, "--backend", "cpu"]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("backend: ONNX Runtime") and "chosen" not in first
    assert main(arguments) == 0
    assert "chosen: " in capsys.readouterr().err.splitlines()[0]
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
