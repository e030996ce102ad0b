"""Latency of a model bundle on several backends side by side, on the same weights and inputs.

    python -m benchmarks.latency
    python -m benchmarks.latency --bundle base --backends torch-eager torch-compile cpu openvino
    python -m benchmarks.latency --backends torch-compile tensorrt --batch 1 8 32 --resolution 256 512 --report gpu

`network` is encoder, Euler steps and decoder, host array to host array; then come its stages, and `decompose`, one picture
through all that the runtime does. Each backend is taken at its best: of its variants (memory formats, compile modes) the
fastest of each precision, found first, runs in rounds in which all take turns. Beside them runs what the machine can do at
most, the fastest call of a large matrix product in the same precision and of a large copy. Cold start and peak memory: of a
fresh process.

Quote neither times nor ratios from a run that warns of disturbance: on cores shared with other work threads wait for one
another, PyTorch's many times longer than others'. --threads 1 suffers least.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from intrinsic_flow.backends import LIBRARIES, backend_name
from intrinsic_flow.benchmarks.report import environment, write_json
from intrinsic_flow.benchmarks.timing import fresh_process, machine_limit
from intrinsic_flow.benchmarks.timing.backends import CHANNELS_LAST, MEASURED
from intrinsic_flow.benchmarks.timing.candidate import CALLS_PER_ROUND, Candidate, Row, speedup, take_turns
from intrinsic_flow.benchmarks.timing.report import Report, format_rows, write_report
from intrinsic_flow.benchmarks.timing.workload import STAGES, Variant, Workload
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import SIDE_MULTIPLE, Bundle
from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.media.atomic_file import check_writable

REFERENCES = ("torch-eager", "torch-compile")
BACKENDS = (*REFERENCES, *MEASURED)
REPORTS = Path(__file__).parent / "reports" / "latency"
TRIAL_ROUNDS = 3
PHASE_CALLS = 20
MIN_AGREEMENT_DB = 40.0
MAX_DRIFT = 1.15


@dataclass
class Entry:
    """A variant in the rounds. candidates: by graph. trials: ms of the variants that it won against, by name."""

    variant: Variant
    trials: dict[str, float]
    candidates: dict[str, Candidate] = field(default_factory=dict)


def measure(
    bundle: Bundle,
    backends: Sequence[str] = ("cpu",),
    *,
    batches: Sequence[int] = (1,),
    resolutions: Sequence[int] = (256,),
    steps: Sequence[int] = (2,),
    threads: int = 2,
    rounds: int = 20,
    processes: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Runs the benchmark and returns the report.

    resolutions: sides of square pictures, multiples of 32. processes: measure cold start and memory too. A backend that
    this machine cannot run raises what its backend raises: MissingExtraError, InputError, ValueError, RuntimeError.
    """
    for resolution in resolutions:
        if resolution < SIDE_MULTIPLE or resolution % SIDE_MULTIPLE:
            raise ValueError(f"resolution {resolution}, expected a multiple of {SIDE_MULTIPLE}")
    for name, values in (("batch", batches), ("steps", steps), ("threads", [threads]), ("rounds", [rounds])):
        if min(values) < 1:
            raise ValueError(f"{name} {min(values)}, expected at least 1")
    for backend in backends:
        if backend not in BACKENDS:
            raise ValueError(f"backend {backend!r}, expected one of {', '.join(BACKENDS)}")
        if backend in REFERENCES and importlib.util.find_spec("torch") is None:
            raise MissingExtraError("torch", "export")
    report: Report = {"environment": {}, "rows": [], "limits": [], "warnings": _load_warnings()}
    for resolution in resolutions:
        for batch in batches:
            for count in steps:
                workload = Workload(batch, resolution, count, threads)
                progress(f"batch {batch}, {resolution}x{resolution}, {count} steps")
                _measure_workload(bundle, backends, workload, rounds, processes, report, progress)
    machine = {name: value for name, value in environment(("numpy", "torch", *LIBRARIES)).items() if value is not None}
    untrained = bool(bundle.manifest["source"].get("untrained", False))
    machine |= {"threads": threads, "bundle": bundle.name, "untrained": untrained, "rounds": rounds}
    report["environment"] = machine | _gpu()
    return report


def _measure_workload(
    bundle: Bundle,
    backends: Sequence[str],
    workload: Workload,
    rounds: int,
    processes: bool,
    report: Report,
    progress: Callable[[str], None],
) -> None:
    with ExitStack() as stack:
        entries: list[Entry] = []
        for backend in backends:
            entries += _qualify(bundle, backend, workload, stack, report["warnings"], progress)
        for entry in entries:
            labels = {**entry.variant.labels(), **workload.labels()}
            for graph, call in entry.variant.calls.items():
                frames = 1 if graph == "decompose" else workload.batch
                row: Row = {**labels, "graph": graph, "batch": frames, "workload_batch": workload.batch}
                entry.candidates[graph] = Candidate(row, call, frames)
        limits = _limits(entries, workload.threads)
        candidates = [*(c for entry in entries for c in entry.candidates.values()), *limits.values()]
        progress(f"{rounds} rounds of {len(candidates)} candidates")
        take_turns(candidates, 1, 1)
        for candidate in candidates:
            candidate.times.clear()
        take_turns(candidates, rounds)
        report["warnings"] += _disagreements(entries)
        rows = [row for entry in entries for row in _rows(bundle, entry, entries, limits, workload)]
    if processes:
        for row in rows:
            if row["graph"] == "network":
                progress(f"fresh process: {row['backend']} {row['precision']}")
                # Torch's variants are named with their precision, since each exists in several.
                name = f"{row['variant']} {row['precision']}" if row["backend"] in REFERENCES else row["variant"]
                row |= fresh_process.measure(bundle, row["backend"], name, workload)
    report["rows"] += rows
    shared = {"batch": workload.batch, "resolution": workload.resolution, "steps": workload.steps}
    report["limits"] += [{**shared, **machine_limit.limit_row(limit)} for limit in limits.values()]
    report["warnings"] += _doubts(rows, limits)


def _qualify(
    bundle: Bundle,
    backend: str,
    workload: Workload,
    stack: ExitStack,
    warnings: list[str],
    progress: Callable[[str], None],
) -> list[Entry]:
    """Opens a backend's variants and keeps the fastest of each precision by the median of a few turns; closes the rest."""
    best: dict[str, tuple[float, Variant]] = {}
    trials: dict[str, dict[str, float]] = {}
    for name in fresh_process.variant_names(backend):
        progress(f"opening {backend}, {name}")
        if backend == "torch-eager" and name.startswith("channels_last"):
            from intrinsic_flow.benchmarks.timing import pytorch as latency_torch

            if not latency_torch.runs_in_a_process_of_its_own(bundle, backend, name, workload):
                warnings.append(f"{backend}, {name}: left out, the process crashes")
                continue
        try:
            variant = fresh_process.open_variant(bundle, backend, name, workload)
        except (InputError, RuntimeError) as error:
            if name != CHANNELS_LAST:
                raise
            # Not every build of ONNX Runtime has kernels for it.
            warnings.append(f"{backend}, {name}: left out, {' '.join(str(error).split())[:200]}")
            continue
        kept = stack.enter_context(ExitStack())
        kept.callback(variant.close)
        trial = Candidate({}, variant.calls["network"], 1)
        take_turns([trial], 1, 1)
        trial.times.clear()
        take_turns([trial], TRIAL_ROUNDS)
        time = float(np.median(trial.times))
        trials.setdefault(variant.precision, {})[variant.name] = round(time, 2)
        before = best.get(variant.precision)
        if before is None or time < before[0]:
            best[variant.precision] = (time, variant)
            slower = before[1] if before else None
        else:
            slower = variant
        if slower is not None:
            slower.close()
    if not best:
        raise RuntimeError(f"{backend}: no variant runs here")
    return [Entry(variant, trials[precision]) for precision, (_, variant) in best.items()]


def _limits(entries: Sequence[Entry], threads: int) -> dict[tuple[str, str], Candidate]:
    """The machine's limits for each precision and device in the rounds, by (precision, device); copies as ("copy", ...)."""
    limits: dict[tuple[str, str], Candidate] = {}
    for precision, device in dict.fromkeys((entry.variant.precision, entry.variant.device) for entry in entries):
        limit = machine_limit.product_limit(precision, device, threads)
        if limit is not None:
            limits[precision, device] = limit
        if ("copy", device) not in limits and (device == "cpu" or limit is not None):
            limits["copy", device] = machine_limit.copy_limit(device)
    return limits


def _rows(
    bundle: Bundle,
    entry: Entry,
    entries: Sequence[Entry],
    limits: dict[tuple[str, str], Candidate],
    workload: Workload,
) -> Iterable[Row]:
    cost = _gmac(bundle, workload)
    variant = entry.variant
    limit = limits.get((variant.precision, variant.device))
    for graph, candidate in entry.candidates.items():
        row = candidate.row()
        if graph in cost:
            row["gmac_per_second"] = round(cost[graph] * 1e3 / row["p50_ms"], 1)
            if limit is not None:
                row["fraction_of_limit"] = round(
                    row["gmac_per_second"] / machine_limit.limit_row(limit)["gmac_per_second"], 3
                )
        if graph == "network":
            row["variants_ms"] = entry.trials
            if variant.phases is not None:
                parts = [variant.phases() for _ in range(PHASE_CALLS)]
                row |= {name: round(float(np.median([part[name] for part in parts])), 3) for name in parts[0]}
        for reference in entries:
            other = reference.candidates.get(graph)
            if variant.backend in REFERENCES or reference.variant.backend not in REFERENCES or other is None:
                continue
            kind = reference.variant.backend.removeprefix("torch-")
            row[f"speedup_over_{kind}_{reference.variant.precision}"] = round(speedup(candidate, other), 3)
        yield row


def _gmac(bundle: Bundle, workload: Workload) -> dict[str, float]:
    """GMAC of one call of each graph; nothing where torch, which counts them, is missing."""
    if importlib.util.find_spec("torch") is None:
        return {}
    from intrinsic_flow.train.networks.config import NetworkConfig
    from intrinsic_flow.train.networks.count import count

    cost = count(NetworkConfig.from_dict(bundle.manifest["config"]), workload.resolution, workload.steps)
    return {
        name: workload.batch * value for name, value in [("network", cost.total_gmac), *((s, cost.gmac[s]) for s in STAGES)]
    }


def _disagreements(entries: Sequence[Entry]) -> list[str]:
    """Warnings about backends whose albedo is another one: then they do not do the same work."""
    first = entries[0].variant
    expected = first.answer()
    warnings = []
    for variant in (entry.variant for entry in entries[1:]):
        error = float(np.mean((variant.answer().astype(np.float64) - expected) ** 2))
        psnr = -10 * np.log10(max(error, 1e-14))
        if not psnr >= MIN_AGREEMENT_DB:
            names = f"{variant.backend} {variant.precision} and {first.backend} {first.precision}"
            warnings.append(f"{names}: albedo agrees to {psnr:.1f} dB only, expected {MIN_AGREEMENT_DB:.0f} dB")
    return warnings


def _doubts(rows: Sequence[Row], limits: dict[tuple[str, str], Candidate]) -> list[str]:
    """Why the measurement may be a bad one, a line each."""
    warnings = []
    for row in rows:
        what = f"{row['backend']} {row['precision']} {row['graph']}, batch {row['batch']}, {row['resolution']}"
        if row["disturbed"] and row["graph"] == "network":
            warnings.append(f"{what}: times vary too much, other work disturbed them; quote neither times nor ratios")
        if "compute_ms" in row:
            if row["enqueue_ms"] > 0.9 * row["compute_ms"]:
                warnings.append(f"{what}: bound by the host, which takes as long to enqueue as the GPU to compute")
            if row["h2d_ms"] + row["d2h_ms"] > row["compute_ms"]:
                warnings.append(f"{what}: bound by copies between host and device")
        if row.get("fraction_of_limit", 0) > 1:
            warnings.append(f"{what}: faster than the machine's limit, which was therefore disturbed")
    for limit in limits.values():
        medians = limit.round_medians()
        halves = np.median(medians[: len(medians) // 2 or 1]), np.median(medians[len(medians) // 2 :])
        if max(halves) > MAX_DRIFT * min(halves):
            name = f"{limit.labels['graph']} {limit.labels['precision']}".strip()
            warnings.append(
                f"{name}: took {halves[0]:.1f} ms in the first half, {halves[1]:.1f} ms in the second: clocks drift"
            )
    return warnings


def _load_warnings() -> list[str]:
    if not hasattr(os, "getloadavg"):
        return []
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return [f"load average {load:.1f} on {cores} cores before the run: other work"] if load > 0.25 * cores else []


def _gpu() -> dict[str, object]:
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda} if torch.cuda.is_available() else {}


def _report_stem(text: str) -> Path:
    return Path(text) if os.sep in text else REPORTS / text


@program("benchmarks.latency", ValueError, RuntimeError)
def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("benchmarks.latency", __doc__)
    parser.add_argument("--bundle", help="small or a bundle's folder (default: the best that is shipped)")
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["cpu"],
        type=backend_name,
        choices=BACKENDS,
        metavar="BACKEND",
        help=f"of {', '.join(BACKENDS)} (default: cpu)",
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="pictures a call of the network (default: 1)")
    parser.add_argument("--resolution", type=int, nargs="+", default=[256], help="sides in pixels (default: 256)")
    parser.add_argument("--steps", type=int, nargs="+", default=[2], help="Euler steps (default: 2)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each library (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {CALLS_PER_ROUND} calls (default: %(default)s)")
    parser.add_argument("--no-processes", action="store_true", help="leave out cold start and memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report's data")
    parser.add_argument(
        "--report", type=_report_stem, metavar="NAME", help=f"write NAME.md, .json and .svg to {REPORTS.name}'s reports"
    )
    options = parser.parse_args(arguments)
    check_writable(options.json, options.report and options.report.with_suffix(".json"))
    report = measure(
        Bundle.load(options.bundle),
        list(dict.fromkeys(options.backends)),
        batches=options.batch,
        resolutions=options.resolution,
        steps=options.steps,
        threads=options.threads,
        rounds=options.rounds,
        processes=not options.no_processes,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if options.json:
        write_json(options.json, report)
    if options.report:
        write_report(options.report, report, sys.argv[1:] if arguments is None else arguments)
    print(format_rows(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
