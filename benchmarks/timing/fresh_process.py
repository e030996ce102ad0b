"""Cold start and peak memory of one backend: a process that opens it, computes one workload and tells what it took.

python -m benchmarks.timing.fresh_process --bundle base --backend openvino
python -m benchmarks.timing.fresh_process --backend torch-eager --variant "channels_last fp32" --resolution 512
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from intrinsic_flow.benchmarks.timing.workload import Variant, Workload
from intrinsic_flow.commands import ROOT, command_parser, run_as
from intrinsic_flow.decomposition.bundle import Bundle

CALLS = 3
_TORCH = ("torch-eager", "torch-compile")


def _module(backend: str) -> ModuleType:
    """What opens a backend's variants. Raises ImportError where it needs torch and there is none."""
    if backend in _TORCH:
        from intrinsic_flow.benchmarks.timing import pytorch

        return pytorch
    from intrinsic_flow.benchmarks.timing import backends

    return backends


def variant_names(backend: str) -> list[str]:
    """Variants of a backend. Raises as `_module`."""
    return _module(backend).names(backend)


def open_variant(bundle: Bundle, backend: str, name: str, workload: Workload, *, stages: bool = True) -> Variant:
    """Opens a variant of any backend; imports only what that one needs."""
    return _module(backend).open_variant(bundle, backend, name, workload, stages=stages)


def measure(bundle: Bundle, backend: str, name: str, workload: Workload) -> dict[str, float]:
    """In a process of its own: {"cold_start_ms", "peak_mib", "device_mib"}.

    cold_start_ms: from the start of Python to the first albedo. peak_mib: largest resident memory over CALLS networks.
    device_mib: what the GPU's free memory shrank by, only where there is one. Raises RuntimeError when it fails.
    """
    command = [sys.executable, "-m", run_as("benchmarks.timing.fresh_process"), "--bundle", str(bundle.folder.resolve())]
    command += ["--backend", backend, "--variant", name]
    for key, value in workload.labels().items():
        command += [f"--{key}", str(value)]
    start = time.time()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{backend} in a fresh process: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout.splitlines()[-1])
    first = told.pop("first_answer") - start
    return {"cold_start_ms": round(first * 1e3, 1), **told}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("benchmarks.timing.fresh_process", __doc__)
    parser.add_argument("--bundle", help="small or a bundle's folder (default: the best that is shipped)")
    parser.add_argument("--backend", required=True, help="as in benchmarks.latency")
    parser.add_argument("--variant", help="as in benchmarks.latency's report (default: the first)")
    for name, value in (("batch", 1), ("resolution", 256), ("steps", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value, help="default: %(default)s")
    options = parser.parse_args(arguments)
    workload = Workload(options.batch, options.resolution, options.steps, options.threads)
    free = device_free()
    name = options.variant or variant_names(options.backend)[0]
    variant = open_variant(Bundle.load(options.bundle), options.backend, name, workload, stages=False)
    variant.calls["network"]()
    told: dict[str, float] = {"first_answer": time.time()}
    for _ in range(CALLS - 1):
        variant.calls["network"]()
    told["peak_mib"] = round(peak_bytes() / 2**20, 1)
    left = device_free() if variant.device == "cuda" else None
    if free is not None and left is not None:
        told["device_mib"] = round((free - left) / 2**20, 1)
    print(json.dumps(told))
    return 0


def peak_bytes() -> int:
    """Peak resident memory of this program; getrusage also counts what the parent had before it started this one."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def device_free() -> int | None:
    """Free memory of the first GPU in bytes; None without cuda-python or without a GPU."""
    try:
        from cuda.bindings import runtime as cudart
    except ImportError:
        return None
    error, free, _ = cudart.cudaMemGetInfo()
    return None if int(error) else free


if __name__ == "__main__":
    sys.exit(main())
