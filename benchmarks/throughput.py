"""How many pictures a second a backend makes of ever larger batches, until its memory is full.

    python -m benchmarks.throughput --backend cuda --report out/throughput
    python -m benchmarks.throughput --backend cpu --resolution 64 --largest 4 --seconds 0.2

A row a batch: `frames_per_second` from host array to host array, with the next batch's copies beside the computation where
the backend can, and, on a GPU, `device_frames_per_second` of the computation alone and `device_mib`, what the GPU's free
memory has shrunk by since the start. Batches double until the backend runs
out of memory, which the report says with the backend's own words, or up to --largest.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.backends import BACKENDS, LIBRARIES, open_backend
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.backends.cuda_backend import CudaBackend
from intrinsic_flow.benchmarks.report import environment, write_json, write_text
from intrinsic_flow.benchmarks.timing.fresh_process import device_free
from intrinsic_flow.benchmarks.timing.workload import Workload
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import SIDE_MULTIPLE, Bundle
from intrinsic_flow.media.atomic_file import check_writable

LEAST_CALLS = 3
PHASE_CALLS = 5
_COLUMNS = ("batch", "frames_per_second", "device_frames_per_second", "compute_ms", "h2d_ms", "d2h_ms", "device_mib")


def measure(
    bundle: Bundle, backend: str, *, resolution: int = 256, steps: int = 2, seconds: float = 3.0, largest: int = 4096
) -> dict[str, Any]:
    """Returns {"environment", "rows", "ended"}; ended: why there is no larger batch.

    seconds: of each batch size, at least LEAST_CALLS calls. Raises what opening the backend raises.
    """
    rows: list[dict[str, Any]] = []
    free = device_free()
    ended = f"largest batch asked for, {largest}"
    with closing(open_backend(bundle, backend)) as opened:
        about = opened.describe()
        batch = 1
        while batch <= largest:
            try:
                row = _row(opened, batch, resolution, steps, seconds)
            except Exception as error:  # libraries run out of memory by exceptions that share no base class
                if not rows:
                    raise
                ended = f"batch {batch}: {' '.join(str(error).split())[:300] or type(error).__name__}"
                break
            rows.append({"backend": backend, "precision": opened.precision, **row})
            left = device_free() if isinstance(opened, CudaBackend) else None
            if free is not None and left is not None:
                rows[-1]["device_mib"] = round((free - left) / 2**20, 1)
            batch *= 2
    machine = {name: value for name, value in environment(("numpy", *LIBRARIES)).items() if value is not None}
    return {"environment": {**machine, "bundle": bundle.name, "engine": about}, "rows": rows, "ended": ended}


def _row(opened: Backend, batch: int, resolution: int, steps: int, seconds: float) -> dict[str, Any]:
    workload = Workload(batch, resolution, steps, 0)
    image, noise = workload.image, workload.noise
    opened.network(image, noise, steps)
    calls, begun = 0, time.perf_counter()
    for _ in opened.network_many(_until(image, begun + seconds), noise, steps):
        calls += 1
    taken = time.perf_counter() - begun
    row = {"batch": batch, "resolution": resolution, "steps": steps, "frames_per_second": round(calls * batch / taken, 2)}
    if isinstance(opened, CudaBackend):
        parts = [opened.phases(image, noise, steps) for _ in range(PHASE_CALLS)]
        row |= {name: round(float(np.median([part[name] for part in parts])), 3) for name in parts[0]}
        row["device_frames_per_second"] = round(batch * 1e3 / row["compute_ms"], 1)
    return row


def _until(image: np.ndarray, end: float) -> Iterator[np.ndarray]:
    for number, again in enumerate(repeat(image)):
        if number >= LEAST_CALLS and time.perf_counter() > end:
            return
        yield again


def markdown(report: dict[str, Any]) -> str:
    """The report as a table and a line on where it ended."""
    columns = [name for name in _COLUMNS if any(name in row for row in report["rows"])]
    lines = [" | ".join(columns), " | ".join("---:" for _ in columns)]
    lines += [" | ".join(str(row.get(name, "")) for name in columns) for row in report["rows"]]
    table = "\n".join(f"| {line} |" for line in lines)
    return f"{report['environment']['engine']}\n\n{table}\n\nNo larger batch: {report['ended']}.\n"


@program("benchmarks.throughput", ValueError, RuntimeError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured, 1 the backend cannot run here, 2 wrong usage."""
    parser = command_parser("benchmarks.throughput", __doc__)
    parser.add_argument("--bundle", help="small or a bundle's folder (default: the best that is shipped)")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="(default: auto)")
    parser.add_argument("--resolution", type=int, default=256, help="side in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="Euler steps (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each batch size (default: %(default)s)")
    parser.add_argument("--largest", type=int, default=4096, help="batch (default: %(default)s)")
    parser.add_argument("--report", type=Path, metavar="STEM", help="write STEM.json and STEM.md")
    options = parser.parse_args(arguments)
    if options.resolution < SIDE_MULTIPLE or options.resolution % SIDE_MULTIPLE:
        parser.error(f"argument --resolution: found {options.resolution}, expected a multiple of {SIDE_MULTIPLE}")
    if min(options.steps, options.largest) < 1 or options.seconds <= 0:
        parser.error("arguments --steps, --largest and --seconds: expected more than 0")
    check_writable(options.report and options.report.with_suffix(".json"))
    report = measure(
        Bundle.load(options.bundle),
        options.backend,
        resolution=options.resolution,
        steps=options.steps,
        seconds=options.seconds,
        largest=options.largest,
    )
    print(markdown(report))
    if options.report:
        write_json(options.report.with_suffix(".json"), report)
        write_text(options.report.with_suffix(".md"), f"# Throughput\n\n{markdown(report)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
