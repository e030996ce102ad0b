"""Settings shared by all tests."""

from __future__ import annotations

import fcntl
import functools
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Set before torch or ONNX Runtime load: tests run small problems, where spinning worker threads cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

#: The files that take longest: processes that begin with them come to the same end. The first makes the exported bundle, so
#: that no other has to wait for it.
LONG_FILES = (
    "tests/export/test_graphs.py",
    "tests/test_static_checks.py",
    "tests/train/test_commands.py",
    "tests/runtime/demo/test_browser.py",
    "tests/train/rendering/test_render_command.py",
    "tests/train/rendering/tracing/test_integrator.py",
    "tests/runtime/cluster/test_cluster.py",
    "tests/train/test_distributed.py",
    "tests/train/rendering/world/test_generate.py",
    "tests/train/rendering/tracing/test_views.py",
    "tests/web/test_page.py",
    "tests/runtime/backends/test_tensorrt.py",
    "tests/export/test_build_trt.py",
    "tests/benchmarks/test_real_layouts.py",
    "tests/train/rendering/appearance/test_textures.py",
    "tests/runtime/media/test_video_trade.py",
    "tests/runtime/cli/test_decompose.py",
    "tests/runtime/demo/test_access.py",
    "tests/runtime/cli/test_video_options.py",
    "tests/benchmarks/test_experiments.py",
    "tests/benchmarks/test_latency.py",
    "tests/export/test_parity.py",
    "tests/integrations/test_comfyui.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would begin with the files of the most tests; the longest have few.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    # What the files import stays to the end: the collector is not to walk through it again and again.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = {file: number for number, file in enumerate(LONG_FILES)}
        items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Calls `make(folder)` for a name once in a run of the tests, whichever of its processes comes first; the folder.

    Nobody may change what is in it.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, begun = root / "made" / name, root / "made" / f"{name}.begun"
        folder.parent.mkdir(exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(begun, ignore_errors=True)
                make(begun)
                begun.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def random_model():
    """The `tiny` networks with random weights, FP16-rounded; none zero, so that every layer shows in the output."""
    import torch

    from intrinsic_flow.export.weights import round_weights
    from intrinsic_flow.train.networks.config import CONFIGS
    from intrinsic_flow.train.networks.model import IntrinsicFlow

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = IntrinsicFlow(CONFIGS["tiny"])
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=parameter[0].numel() ** -0.5)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
            model.vae.latent_mean.normal_(std=0.3)
            model.vae.latent_std.uniform_(0.5, 2.0)
    return round_weights(model)


@pytest.fixture(scope="session")
def quick_export() -> Iterator[None]:
    """torch reads its table of ONNX translations, 500 functions' source, once and not at every export. The `test` extra
    pins the version that this is true of."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session")
def exported_bundle(random_model, made_once, quick_export) -> Path:
    """The bundle that export.build_onnx makes of `random_model`. Read only: built once for all tests."""
    from intrinsic_flow.export.build_onnx import build_bundle

    return made_once("bundle", lambda folder: build_bundle(random_model, folder, name="tiny", source={"run": "random"}))
