"""Engine sidecars: what is read back is what was written, and whatever does not fit is said in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest

from intrinsic_flow.backends.engine_file import (
    EngineSidecar,
    EngineTensor,
    ShapeRange,
    engine_folder,
    engine_folders,
    platform_name,
)
from intrinsic_flow.backends.gpu import Gpu, find_gpu, why_no_gpu
from intrinsic_flow.decomposition.bundle import WEIGHTS, Bundle
from intrinsic_flow.errors import InputError

ENGINE = b"an engine"


@pytest.fixture
def bundle():
    return Bundle.load("small")


@pytest.fixture
def sidecar(bundle, tmp_path):
    """A decoder's sidecar on disk, beside its engine; fits the shipped bundle."""
    files = bundle.manifest["files"]
    made = EngineSidecar(
        graph="decoder",
        onnx="decoder.fp16.onnx",
        onnx_sha256=files["decoder.fp16.onnx"]["sha256"],
        weights_sha256=files[WEIGHTS]["sha256"],
        precision="fp16",
        set_precision="fp16",
        flavor="rtx",
        version="1.7.1.116",
        compute_capabilities=(86, 120),
        gpu=None,
        hardware="list",
        version_compatible=False,
        options={"optimization_level": None},
        tensors=(EngineTensor("z", "float32", True), EngineTensor("albedo", "float16", False)),
        profiles=({"z": ShapeRange((1, 12, 4, 4), (1, 12, 32, 32), (8, 12, 128, 128))},),
        plan_sha256=hashlib.sha256(ENGINE).hexdigest(),
        plan_bytes=len(ENGINE),
        platform=platform_name(),
        path=tmp_path / "decoder.plan.json",
    )
    made.engine.write_bytes(ENGINE)
    made.path.write_text(made.to_json())
    return made


def test_a_sidecar_comes_back_as_it_was_written(sidecar):
    assert EngineSidecar.load(sidecar.path) == sidecar


def test_a_fitting_engine_has_no_problems(sidecar, bundle):
    assert sidecar.check(bundle, "rtx", "1.7.1.116", 86) == []
    assert sidecar.check(bundle, "rtx", "1.7.1.116", 120) == []
    sidecar.verify()


@pytest.mark.parametrize(
    ("change", "library", "found", "needed"),
    [
        ({"onnx_sha256": "0" * 64}, {}, "another decoder.fp16.onnx (sha256 000000000000)", "sha256 "),
        ({"weights_sha256": "0" * 64}, {}, "another model.safetensors", "sha256 "),
        ({"onnx": "decoder.int4.onnx"}, {}, "built from decoder.int4.onnx", "has no such file"),
        ({}, {"flavor": "tensorrt"}, "an engine of TensorRT for RTX", "one of TensorRT"),
        ({}, {"version": "1.8.0.1"}, "TensorRT for RTX 1.7.1.116", "an engine for 1.8.0.1"),
        ({}, {"compute_capability": 89}, "compute capability 86, 120", "compute capability 89"),
        ({"plan_bytes": 7}, {}, "decoder.plan of 9 bytes", "7 bytes"),
        ({"flavor": "tensorrt", "platform": "elsewhere"}, {}, "built on elsewhere", platform_name()),
    ],
)
def test_a_misfit_says_what_is_there_what_is_needed_and_what_rebuilds(sidecar, bundle, change, library, found, needed):
    (line,) = dataclasses.replace(sidecar, **change).check(bundle, **library)
    assert "\n" not in line and str(sidecar.path) in line
    assert found in line.split("expected")[0] and needed in line.split("expected")[1]
    assert "rebuild: python -m export.build_trt --fp16 --bundle" in line


def test_engines_of_rtx_cross_operating_systems(sidecar, bundle):
    assert dataclasses.replace(sidecar, platform="elsewhere").check(bundle) == []


def test_every_misfit_is_listed(sidecar, bundle):
    assert len(sidecar.check(bundle, "rtx", "9.9", 75)) == 2


def test_compatible_engines_run_on_later_versions_and_cards_only(sidecar, bundle):
    engine = dataclasses.replace(
        sidecar, flavor="tensorrt", version="10.12.0.36", version_compatible=True, hardware="ampere_plus"
    )
    assert engine.check(bundle, "tensorrt", "11.1.0", 90) == []
    assert len(engine.check(bundle, "tensorrt", "10.9.0", 90)) == 1
    assert len(engine.check(bundle, "tensorrt", "11.1.0", 75)) == 1


def test_a_missing_or_damaged_engine_is_found(sidecar, bundle):
    sidecar.engine.write_bytes(b"an enginf")
    assert sidecar.check(bundle) == []
    with pytest.raises(InputError, match="sha256"):
        sidecar.verify()
    sidecar.engine.unlink()
    assert "no decoder.plan beside it" in sidecar.check(bundle)[0]
    with pytest.raises(InputError):
        sidecar.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "else"}, 'format "else"'),
        ({"version_of_format": 2}, "version_of_format 2"),
        ({"graph": "encoder"}, "graph 'encoder'"),
        ({"precision": "int8"}, "one of fp32, fp16"),
        ({"plan_sha256": "abc"}, "a SHA-256"),
        ({"plan_bytes": True}, "plan_bytes true"),
        ({"compute_capabilities": []}, r"compute_capabilities \[\]"),
        ({"tensors": [{"name": "z", "dtype": "int8", "is_input": True}]}, "one of float32, float16"),
        ({"profiles": []}, r"profiles \[\]"),
        ({"profiles": [{"y": {"min": [1], "opt": [1], "max": [1]}}]}, "shapes of z"),
        ({"profiles": [{"z": {"min": [2], "opt": [1], "max": [3]}}]}, "shapes of z"),
        ({"extra": 1}, "found extra"),
    ],
)
def test_a_sidecar_of_another_kind_is_refused_in_one_line(sidecar, change, message):
    sidecar.path.write_text(json.dumps({**json.loads(sidecar.path.read_text()), **change}))
    with pytest.raises(InputError, match=message) as error:
        EngineSidecar.load(sidecar.path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}"])
def test_what_is_no_sidecar_is_refused(tmp_path, content):
    (tmp_path / "decoder.plan.json").write_bytes(content)
    with pytest.raises(InputError):
        EngineSidecar.load(tmp_path / "decoder.plan.json")
    with pytest.raises(InputError, match="build_trt"):
        EngineSidecar.load(tmp_path / "encoder.plan.json")


def test_a_range_takes_sides_between_its_ends_each_on_its_own():
    shape = ShapeRange((1, 3, 32, 32), (1, 3, 256, 256), (8, 3, 1024, 1024))
    assert shape.contains((1, 3, 32, 1024)) and shape.contains((8, 3, 1024, 32))
    assert not shape.contains((9, 3, 32, 32)) and not shape.contains((1, 3, 32)) and not shape.contains((1, 3, 32, 1056))


def test_engines_are_found_where_they_are_built_by_default(sidecar, tmp_path):
    bundle = Bundle(tmp_path / "bundle", {})
    folder = engine_folder(bundle, "rtx", "fp16", (86, 120))
    assert folder == tmp_path / "bundle/engines/rtx-fp16-sm86-sm120"
    assert engine_folder(bundle, "tensorrt", "fp32", None).name == "tensorrt-fp32-ampere_plus"
    assert engine_folders(bundle) == []
    folder.mkdir(parents=True)
    (folder / "decoder.plan").write_bytes(ENGINE)
    assert engine_folders(bundle) == []
    (folder / "decoder.plan.json").write_text(sidecar.to_json())
    assert engine_folders(bundle) == [folder]


def test_reading_sidecars_needs_no_gpu_library():
    code = "import sys, intrinsic_flow.backends.engine_file, intrinsic_flow.backends.gpu; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "tensorrt", "tensorrt_rtx_bindings", "cuda", "onnxruntime"} & set(modules)


class FakeDriver:
    """libcuda as ctypes sees it: every call needs cuInit first and answers with a CUresult."""

    def __init__(self, init=0):
        self._init, self._ready = init, False

    def cuInit(self, flags):
        self._ready = self._init == 0
        return self._init

    def _write(self, pointer, value):
        if not self._ready:
            return 3
        pointer._obj.value = value
        return 0

    def cuDriverGetVersion(self, pointer):
        return self._write(pointer, 13010)

    def cuDeviceGet(self, pointer, index):
        return self._write(pointer, index) if index == 0 else 101

    def cuDeviceGetName(self, buffer, length, device):
        buffer.value = b"NVIDIA RTX 4090"
        return 0 if self._ready else 3

    def cuDeviceTotalMem_v2(self, pointer, device):
        return self._write(pointer, 24 << 30)

    def cuDeviceGetAttribute(self, pointer, attribute, device):
        return self._write(pointer, {75: 8, 76: 9}[attribute])


def test_the_driver_says_which_gpu_there_is(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: FakeDriver())
    assert find_gpu() == Gpu("NVIDIA RTX 4090", 89, (13, 1), 24 << 30)
    assert why_no_gpu() == ""
    assert find_gpu(1) is None and why_no_gpu(1) == "no such CUDA device"


@pytest.mark.parametrize(
    ("code", "reason"), [(100, "no CUDA device"), (803, "different driver versions"), (42, "error 42")]
)
def test_a_driver_that_fails_is_no_gpu_with_a_reason(monkeypatch, code, reason):
    monkeypatch.setattr("ctypes.CDLL", lambda name: FakeDriver(code))
    assert find_gpu() is None
    assert reason in why_no_gpu()


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert find_gpu() is None
    assert "no NVIDIA driver" in why_no_gpu()
