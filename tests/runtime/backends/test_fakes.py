"""The fakes have nothing that the real bindings lack, and take as many arguments."""

from __future__ import annotations

import inspect
import re

import onnxruntime
import pytest

from tests.runtime.backends.fake_cuda import CaptureMode, CopyKind, FakeCuda, Status
from tests.runtime.backends.fake_onnxruntime import IOBinding, fake_onnxruntime
from tests.runtime.backends.fake_tensorrt import fake_tensorrt, write_plan  # noqa: F401


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


@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt"])
def test_tensorrts_classes_and_methods_are_those_of_the_bindings(module):
    real = pytest.importorskip(module, reason=f"{module} is not installed", exc_type=ImportError)
    fake = fake_tensorrt(FakeCuda(late=False), rtx="rtx" in module)
    assert all(hasattr(real, name) for name in vars(fake))
    context = {"set_optimization_profile_async", "set_input_shape", "infer_shapes", "get_tensor_shape"}
    context |= {"set_tensor_address", "execute_async_v3"} | ({"is_stream_capturable"} if "rtx" in module else set())
    engine = {"num_io_tensors", "num_optimization_profiles", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"}
    engine |= {"get_tensor_profile_shape", "create_execution_context"}
    engine |= {"create_runtime_config"} if "rtx" in module else set()
    assert context <= set(dir(real.IExecutionContext)) and engine <= set(dir(real.ICudaEngine))
    assert {"ERROR", "INTERNAL_ERROR"} <= set(dir(real.ILogger.Severity))
    assert real.nptype(real.DataType.HALF) is fake.nptype(fake.DataType.HALF)
