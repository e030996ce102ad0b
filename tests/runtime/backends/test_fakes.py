"""The fakes have nothing that the real bindings lack, and take as many arguments."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

import onnxruntime
import pytest

from tests.runtime.backends.fake_cuda import CaptureMode, CopyKind, FakeCuda, Status
from tests.runtime.backends.fake_onnxruntime import IOBinding, fake_onnxruntime
from tests.runtime.backends.fake_tensorrt import fake_tensorrt
from tests.runtime.backends.tensorrt_api import VERSIONS, describe, differences, published


def test_cudas_functions_and_constants_are_those_of_the_bindings():
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    names = [name for name in vars(FakeCuda) if name.startswith("cuda")]
    assert len(names) > 20
    for name in names:
        fake = vars(FakeCuda)[name]
        if not inspect.isfunction(fake):
            assert isinstance(fake, type) or getattr(real, name) == fake
            continue
        signature = re.search(r"\((.*?)\)", getattr(real, name).__doc__.split("\n")[0])[1]
        expected = len([part for part in signature.split(",") if part.strip()])
        assert len(inspect.signature(fake).parameters) - 1 == expected, name
    for fake, enumeration in (
        (Status, real.cudaError_t),
        (CopyKind, real.cudaMemcpyKind),
        (CaptureMode, real.cudaStreamCaptureMode),
    ):
        for member in fake:
            assert int(getattr(enumeration, member.name)) == int(member)


def test_onnxruntimes_methods_and_arguments_are_those_of_the_package():
    for name in ("bind_input", "bind_output"):
        assert inspect.signature(getattr(IOBinding, name)) == inspect.signature(getattr(onnxruntime.IOBinding, name))
    fake = fake_onnxruntime(FakeCuda(late=False)).InferenceSession
    for name in ("get_inputs", "get_outputs", "get_providers", "io_binding", "run_with_iobinding"):
        ours, real = (inspect.signature(getattr(kind, name)).parameters for kind in (fake, onnxruntime.InferenceSession))
        assert len(ours) == len(real), name
    assert list(inspect.signature(onnxruntime.InferenceSession).parameters)[2] == "providers"
    assert hasattr(onnxruntime.RunOptions, "add_run_config_entry")


@pytest.mark.parametrize("version", VERSIONS)
def test_tensorrts_classes_methods_and_arguments_are_those_that_each_version_publishes(version):
    assert differences(fake_tensorrt(FakeCuda(late=False), version=version), published()[version]) == []


@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt"])
def test_tensorrts_classes_and_methods_are_those_of_the_bindings(module):
    real = pytest.importorskip(module, reason=f"{module} is not installed", exc_type=ImportError)
    fake = fake_tensorrt(FakeCuda(late=False), rtx="rtx" in module)
    assert all(hasattr(real, name) for name in vars(fake))
    assert differences(fake, describe(real)) == []
    if "rtx" in module:
        assert ["stream"] in describe(real)["classes"]["IExecutionContext"]["methods"]["is_stream_capturable"]
        assert "dynamic_shapes_kernel_specialization_strategy" in describe(real)["classes"]["IRuntimeConfig"]["attributes"]
    assert real.nptype(real.DataType.HALF) is fake.nptype(fake.DataType.HALF)


def test_what_no_version_publishes_is_found():
    api = published()["11.4.0.106"]
    fake = fake_tensorrt(FakeCuda(late=False))
    fake.Runtime.deserialize_engine = lambda self, data: None
    fake.ICudaEngine.get_tensor_name = lambda self, place: None
    fake.BuilderFlag = SimpleNamespace(__members__={"FP16": 0, "TF32": 7})
    found = differences(fake, api)
    assert found[0].startswith("Runtime.deserialize_engine(data), published None")
    assert found[1:] == ["ICudaEngine.get_tensor_name(place), published [['index']]", "BuilderFlag.FP16"]
