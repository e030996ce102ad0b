"""What engines are built with and for: full TensorRT or TensorRT for RTX, this machine's GPU or GPUs ahead of time."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from intrinsic_flow.backends.engine_file import AMPERE, EXTRAS, LIBRARIES, MODULES, Flavor, Hardware
from intrinsic_flow.backends.gpu import Gpu
from intrinsic_flow.errors import MissingExtraError
from intrinsic_flow.export.trt.errors import BuildError

# From, and up to without: strongly typed networks say so from the first on, 12 is not known yet.
VERSIONS = {"tensorrt": ((10, 12), (12,)), "rtx": ((1, 1), (2,))}
AHEAD_OF_TIME = (86, 89, 120)
_VENDOR_INDEX = "https://pypi.nvidia.com"


@dataclass(frozen=True)
class Target:
    """trt: the library's module. compute_capabilities: that the engines are for. gpu: the one here, None ahead of time.

    why: for the user, what decided it.
    """

    flavor: Flavor
    trt: ModuleType
    compute_capabilities: tuple[int, ...]
    gpu: Gpu | None
    compatible: bool
    why: str

    @property
    def hardware(self) -> Hardware:
        """As in `intrinsic_flow.backends.engine_file.EngineSidecar`."""
        if self.flavor == "rtx":
            return "list"
        return "ampere_plus" if self.compatible else "same"


def choose_target(
    flavor: Flavor | Literal["auto"],
    compute_capabilities: Sequence[int] | None,
    compatible: bool,
    gpu: Gpu | None,
    why_no_gpu: str = "",
) -> Target:
    """Decides from the options and the GPU that was found. Makes no TensorRT object.

    compute_capabilities: those asked for, ahead of time. gpu: of this machine, or None, with the reason in why_no_gpu.
    Raises BuildError, MissingExtraError.
    """
    if flavor == "tensorrt" and compute_capabilities:
        raise BuildError("--compute-capability with --flavor tensorrt: full TensorRT builds only for the GPU that is here")
    if flavor == "tensorrt" and gpu is None:
        raise BuildError(
            f"no GPU: {why_no_gpu}; full TensorRT builds for the GPU that is here, --flavor rtx builds without one"
        )
    if compute_capabilities:
        trt, why = import_library("rtx"), "compute capabilities were asked for"
        return _rtx(trt, tuple(sorted(set(compute_capabilities))), None, compatible, why)
    if gpu is None:
        return _rtx(import_library("rtx"), AHEAD_OF_TIME, None, compatible, f"no GPU here: {why_no_gpu}")
    if flavor == "rtx":
        trt = import_library("rtx")
        _check_driver("rtx", trt, gpu)
        return _rtx(trt, (gpu.compute_capability,), gpu, compatible, f"for the {gpu.name} here")
    try:
        trt = import_library("tensorrt")
    except (MissingExtraError, BuildError) as error:
        if flavor == "tensorrt":
            raise
        return _instead(gpu, compatible, error)
    _check_driver("tensorrt", trt, gpu)
    if compatible and gpu.compute_capability < AMPERE:
        raise BuildError(
            f"--compatible on a {gpu.name}, compute capability {gpu.compute_capability}: found below {AMPERE}, "
            f"where hardware-compatible engines begin"
        )
    return Target("tensorrt", trt, (gpu.compute_capability,), gpu, compatible, f"for the {gpu.name} here")


def import_library(flavor: Flavor) -> ModuleType:
    """The library's module. Raises MissingExtraError, and BuildError for a wheel without libraries or a wrong version."""
    for name in MODULES[flavor]:
        try:
            trt = importlib.import_module(name)
            break
        except ModuleNotFoundError as error:
            if error.name != name:
                raise _hollow(flavor, name, error) from error
        except (ImportError, OSError, RuntimeError) as error:
            raise _hollow(flavor, name, error) from error
    else:
        raise MissingExtraError(MODULES[flavor][0], EXTRAS[flavor])
    # A wheel whose download of the real parts never ran leaves an empty package behind.
    if not all(hasattr(trt, part) for part in ("__version__", "Builder", "OnnxParser")):
        raise _hollow(flavor, trt.__name__, "it holds no builder")
    low, high = VERSIONS[flavor]
    version = tuple(int(number) for number in re.findall(r"\d+", trt.__version__))
    if not low <= version < high:
        wanted = f"{'.'.join(map(str, low))} or later, below {'.'.join(map(str, high))}"
        raise BuildError(f"{LIBRARIES[flavor]}: found version {trt.__version__}, expected {wanted}")
    return trt


def supported_by_rtx(trt: ModuleType) -> tuple[int, ...]:
    """Compute capabilities that this version of TensorRT for RTX builds for."""
    names = (re.fullmatch(r"SM(\d+)", name) for name in trt.ComputeCapability.__members__)
    return tuple(sorted(int(match[1]) for match in names if match))


def _rtx(trt: ModuleType, wanted: tuple[int, ...], gpu: Gpu | None, compatible: bool, why: str) -> Target:
    supported = supported_by_rtx(trt)
    odd = [capability for capability in wanted if capability not in supported]
    if odd:
        subject = f"the {gpu.name}: compute capability" if gpu else "compute capability"
        raise BuildError(
            f"{subject} {', '.join(map(str, odd))}: found none that TensorRT for RTX {trt.__version__} builds for, "
            f"expected one of {', '.join(map(str, supported))}; full TensorRT (--flavor tensorrt) serves other GPUs, "
            "on a machine that has one"
        )
    if compatible:
        wanted = tuple(sorted({*wanted, *(capability for capability in supported if capability >= AMPERE)}))
    return Target("rtx", trt, wanted, gpu, compatible, why)


def _instead(gpu: Gpu, compatible: bool, missing: Exception) -> Target:
    """TensorRT for RTX where the full one is missing; if neither serves, what is missing."""
    try:
        trt = import_library("rtx")
        _check_driver("rtx", trt, gpu)
        return _rtx(trt, (gpu.compute_capability,), gpu, compatible, f"for the {gpu.name} here; full TensorRT: {missing}")
    except (MissingExtraError, BuildError) as error:
        raise BuildError(f"neither library serves the {gpu.name}: {missing}; {error}") from error


def _hollow(flavor: Flavor, module: str, reason: object) -> BuildError:
    """The package is there and its libraries are not."""
    text = " ".join(str(reason).split())
    advice = f'pip install --extra-index-url {_VENDOR_INDEX} "intrinsic-flow[{EXTRAS[flavor]}]"'
    return BuildError(f"{module}: found a package without its libraries ({text}), expected {LIBRARIES[flavor]}: {advice}")


def _check_driver(flavor: Flavor, trt: ModuleType, gpu: Gpu) -> None:
    """Raises BuildError where the driver is older than the CUDA version that the library was built for."""
    needed = _cuda_major(trt)
    if needed is not None and gpu.driver[0] < needed:
        advice = (
            f"; --compute-capability {gpu.compute_capability} builds ahead of time all the same" if flavor == "rtx" else ""
        )
        raise BuildError(
            f"NVIDIA driver of the {gpu.name}: found one for CUDA {gpu.driver[0]}.{gpu.driver[1]}, "
            f"expected one for CUDA {needed}, which this {LIBRARIES[flavor]} is built for{advice}"
        )


def _cuda_major(trt: ModuleType) -> int | None:
    """CUDA version that the library's wheels are built for, as their names state it (tensorrt_cu13_bindings)."""
    distributions = importlib.metadata.packages_distributions()
    for package in (trt.__name__, f"{trt.__name__}_bindings", f"{trt.__name__}_libs"):
        for distribution in distributions.get(package, ()):
            match = re.search(r"[-_]cu(\d\d)(?!\d)", distribution)
            if match:
                return int(match[1])
    return None
