"""Backends that are wired and not tested on what they are for: what can be asserted without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.backends import UNTESTED, automatic, open_backend
from intrinsic_flow.backends.onnxruntime_provider import PROVIDERS, OnnxRuntimeProvider, Provider
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import MissingExtraError

REPOSITORY = Path(__file__).parents[3]
ICD = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


@pytest.fixture(scope="module")
def small() -> Bundle:
    return Bundle.load("small")


def test_auto_never_takes_an_untested_backend(monkeypatch):
    asked = []

    def refuse(name: str):
        asked.append(name)
        raise RuntimeError("not here")

    monkeypatch.setattr(automatic, "find_gpu", lambda device: object())
    with pytest.raises(RuntimeError):
        automatic.open_fastest(refuse)
    assert asked and not set(asked) & set(UNTESTED)


@pytest.mark.parametrize("backend", UNTESTED)
def test_a_processor_that_is_not_there_is_an_error_and_no_other_one(small, backend):
    with pytest.raises((RuntimeError, MissingExtraError), match=r"find|not installed"):
        open_backend(small, backend)


def test_reduced_precision_is_refused_where_it_was_not_tried(small):
    with pytest.raises(ValueError, match="FP16 was not tried on webgpu"):
        open_backend(small, "webgpu", precision="reduced")


def test_a_provider_by_device_runs_what_it_says(small, monkeypatch):
    """The way of a plug-in, with the one device that every machine has."""
    monkeypatch.setitem(PROVIDERS, "webgpu", Provider("CPUExecutionProvider", "webgpu", "a_plug_in", "CPUs"))
    monkeypatch.setitem(sys.modules, "a_plug_in", type("Module", (), {"get_library_path": staticmethod(lambda: "x")}))
    monkeypatch.setattr("intrinsic_flow.backends.onnxruntime_provider._registered", {"CPUExecutionProvider"})
    image = np.random.default_rng(0).random((1, 3, 32, 64), np.float32)
    noise = np.zeros((1, 12, 4, 8), np.float32)
    engine, plain = OnnxRuntimeProvider(small, "webgpu"), open_backend(small, "cpu")
    np.testing.assert_array_equal(engine.network(image, noise, 2), plain.network(image, noise, 2))
    assert engine.describe().split(", ")[1] == "CPUExecutionProvider" and engine.name == "webgpu"
    # Another provider than the one that was asked for is no success.
    engine.provider = "WebGpuExecutionProvider"
    with pytest.raises(RuntimeError, match=r"ONNX Runtime chose CPUExecutionProvider for upsampler\.onnx, asked for Web"):
        engine.run("upsampler", {})


@pytest.mark.slow
@pytest.mark.skipif(not ICD.is_file(), reason="no SwiftShader (apt install chromium)")
def test_webgpu_gives_the_cpus_result_on_a_software_adapter():
    pytest.importorskip("onnxruntime_ep_webgpu", reason="onnxruntime-ep-webgpu is not installed (the webgpu extra)")
    code = """
import numpy as np
from intrinsic_flow.backends import open_backend
from intrinsic_flow.decomposition.bundle import Bundle
small = Bundle.load("small")
image = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
feeds = {"image": image, "z": np.zeros((1, 12, 4, 4), np.float32)}
gpu, cpu = open_backend(small, "webgpu"), open_backend(small, "cpu")
print(gpu.describe())
print(np.abs(gpu.run("decompose_2step", feeds)["albedo"] - cpu.run("decompose_2step", feeds)["albedo"]).max())
"""
    settings = {"ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1", "VK_ICD_FILENAMES": str(ICD)}
    environment, command = {**os.environ, **settings}, [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    described, difference = done.stdout.splitlines()
    assert "WebGpuExecutionProvider" in described and float(difference) < 1e-5
