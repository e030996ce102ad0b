"""Each TensorRT engine beside ONNX Runtime on the graph that it was built from, by the Comparator of NVIDIA's Polygraphy.

Parity compares with PyTorch; this says whether TensorRT computes what its ONNX file says, in the same precision and type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intrinsic_flow.backends.engine_file import EXTRAS, LIBRARIES, EngineSidecar, Flavor
from intrinsic_flow.backends.engine_files import find_engines
from intrinsic_flow.backends.gpu import find_gpu, why_no_gpu
from intrinsic_flow.decomposition.bundle import Bundle, Precision
from intrinsic_flow.errors import MissingExtraError
from intrinsic_flow.export.trt.target import import_library

#: Of each output, peak its largest value: FP16 on two libraries, and FP32 up to the order of its sums.
MIN_PSNR: dict[Precision, float] = {"fp16": 60.0, "fp32": 80.0}
# Where float32 itself ends: JSON has no infinity.
LARGEST_PSNR = 138.0
Feeds = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Agreement:
    """One output of one graph on one case. psnr_db: at most LARGEST_PSNR; None where values are not finite."""

    graph: str
    case: str
    tensor: str
    psnr_db: float | None
    passed: bool


def check_engines(bundle: Bundle, flavor: Flavor, inputs: Mapping[str, Feeds]) -> tuple[str, list[Agreement]]:
    """Compares the bundle's engines that fit this machine; returns what they are and how each output agrees.

    inputs: by graph and case, its float32 inputs. Cases that an engine's profiles do not take are left out.
    Raises MissingExtraError, BuildError, InputError and RuntimeError that say why there is nothing to compare.
    """
    _polygraphy(flavor)
    library = import_library(flavor)
    gpu = find_gpu()
    if gpu is None:
        raise RuntimeError(f"no GPU for {LIBRARIES[flavor]}: {why_no_gpu()}")
    engines = find_engines(bundle, None, flavor=flavor, version=library.__version__, gpu=gpu)
    rows: list[Agreement] = []
    for graph, sidecar in engines.sidecars.items():
        for profile, feeds in _by_profile(sidecar, inputs[graph]):
            runner = _engine_runner(sidecar, profile)
            rows += compare(bundle, graph, sidecar.precision, feeds, runner)
    return f"{LIBRARIES[flavor]} {library.__version__}, {gpu.name}, {engines.folder.name}", rows


def compare(bundle: Bundle, graph: str, precision: Precision, feeds: Feeds, candidate: Any) -> list[Agreement]:
    """A graph's file on ONNX Runtime's CPU provider beside a Polygraphy runner of the same graph."""
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator, PsnrCompareFunc

    spec = bundle.spec(graph, precision)
    session = SessionFromOnnx(str(bundle.path(graph, precision)), providers=["CPUExecutionProvider"])
    typed = [
        {tensor.name: np.ascontiguousarray(values[tensor.name], tensor.dtype) for tensor in spec.inputs}
        for values in feeds.values()
    ]
    results = Comparator.run([OnnxrtRunner(session, name="onnxruntime"), candidate], data_loader=typed)
    (compared,) = Comparator.compare_accuracy(results, compare_func=PsnrCompareFunc(psnr_threshold=MIN_PSNR[precision]))
    ((_, cases),) = compared.items()
    return [
        Agreement(graph, case, tensor, _finite(outputs[tensor].psnr), bool(outputs[tensor]))
        for case, outputs in zip(feeds, cases, strict=True)
        for tensor in spec.output_names
    ]


def _finite(psnr: float) -> float | None:
    return None if math.isnan(psnr) else min(float(psnr), LARGEST_PSNR)


def _polygraphy(flavor: Flavor) -> None:
    """Polygraphy set to the library. Raises MissingExtraError."""
    try:
        from polygraphy import config
        from polygraphy.logger import G_LOGGER
    except ImportError as error:
        raise MissingExtraError("polygraphy", EXTRAS[flavor]) from error
    config.USE_TENSORRT_RTX = flavor == "rtx"
    G_LOGGER.module_severity = G_LOGGER.CRITICAL


def _engine_runner(sidecar: EngineSidecar, profile: int) -> Any:
    from polygraphy.backend.common import BytesFromPath
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    return TrtRunner(EngineFromBytes(BytesFromPath(str(sidecar.engine))), name="tensorrt", optimization_profile=profile)


def _by_profile(sidecar: EngineSidecar, feeds: Feeds) -> Iterator[tuple[int, Feeds]]:
    """The cases of each profile that takes some, each case with the first that takes it."""
    rest = dict(feeds)
    for number, ranges in enumerate(sidecar.profiles):
        taken = [case for case, values in rest.items() if _takes(ranges, values)]
        if taken:
            yield number, {case: rest.pop(case) for case in taken}


def _takes(ranges: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> bool:
    return all(shapes.contains(values[name].shape) for name, shapes in ranges.items())


def failures(rows: Sequence[Agreement]) -> list[str]:
    """A line for each output that disagrees."""
    lines = []
    for row in rows:
        if not row.passed:
            found = "non-finite values" if row.psnr_db is None else f"PSNR {row.psnr_db:.1f} dB"
            lines.append(f"{row.graph}, {row.tensor} on {row.case}: found {found} to ONNX Runtime on the same graph")
    return lines
