"""Parity of a bundle with PyTorch: ONNX FP32, ONNX FP16 and what else runs here, graph by graph and end to end.

    python -m export.parity
    python -m export.parity --bundle base --images photos/*.jpg --batch 1 4 --resolution 256 768x512 --json parity.json
    python -m export.parity --backends tensorrt         # fails where TensorRT cannot be run, instead of leaving it out
    python -m export.parity --polygraphy                # also each TensorRT engine beside ONNX Runtime on its own graph

Each is compared with PyTorch in FP32 from the same FP16-rounded weights, on photos, a procedural picture and seeded
random inputs. Each graph gets PyTorch's inputs, so that its error is its own; `end_to_end` is the whole loop. Limits: FP32
graphs 1e-4; end to end 60 dB PSNR in FP16, 55 dB in BF16; nothing non-finite; no half-precision activation above 2^14.
Exit code: 0 all that ran passed, 1 something failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intrinsic_flow.backends import LIBRARIES, backend_name
from intrinsic_flow.backends.engine_file import FLAVORS, Flavor
from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.candidates import BF16_MIN_PSNR, CANDIDATES, FP16_MIN_PSNR, open_candidate
from intrinsic_flow.export.cases import Case, Reference, photo_case, procedural_case, random_cases, reference
from intrinsic_flow.export.comparison import FP32_MAX_ERROR, Row, compare
from intrinsic_flow.export.graphs.half_tensors import LIMIT, HalfTensors
from intrinsic_flow.export.side_by_side import Agreement, check_engines, failures
from intrinsic_flow.export.trt.errors import BuildError
from intrinsic_flow.export.weights import load_model
from intrinsic_flow.json_file import write_json
from intrinsic_flow.train.data.buckets import parse_size

EXAMPLES = Path(__file__).parent.parent / "examples"
BATCHES = (1, 2)
SIZES = ((256, 256), (64, 96), (384, 256))
TOP_TENSORS = 10


@dataclass
class Result:
    """What became of one candidate. status: "passed", "failed" or "not run"; why: reason, or each failure in a line."""

    candidate: str
    description: str = ""
    status: str = "passed"
    why: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def fail(self, why: str) -> None:
        self.status = "failed"
        self.why.append(why)


def parity(
    bundle: Bundle,
    cases: Sequence[Case],
    names: Sequence[str] = CANDIDATES,
    *,
    required: bool = False,
    polygraphy: bool = False,
) -> dict[str, object]:
    """Compares the candidates and returns the report, {"environment", "limits", "passed", "rungs", "rows", "half_tensors"}.

    required: a candidate that this machine cannot run fails. polygraphy: also each TensorRT engine beside ONNX Runtime on
    its own graph, as "side_by_side" and candidates of their own.
    """
    model = load_model(bundle)
    truths = [reference(model, case) for case in cases]
    results = [_check_reference(cases, truths)]
    if results[0].status == "passed":
        results += [_check_candidate(name, bundle, cases, truths, required) for name in names]
    agreements: list[Agreement] = []
    if polygraphy:
        results += [_check_engines(flavor, bundle, cases, truths, agreements) for flavor in FLAVORS]
    half = HalfTensors(bundle)
    # Of PyTorch's inputs, whatever candidates there are: what overflows is a property of the graph.
    graphs = [graph for graph in truths[0] if graph != "upsampler" and bundle.has(graph, "fp16")]
    for graph, (case, truth) in itertools.product(graphs, zip(cases, truths, strict=True)):
        half.run(graph, truth[graph][0], case.name)
    tensors = half.largest(len(half.records))
    checked = Result("half-precision range", f"{len(tensors)} FP16 tensors of {len(graphs)} graphs")
    for record in tensors:
        if record.fails:
            checked.fail(str(record))
    results.append(checked)
    return {
        "environment": _environment(bundle),
        "limits": {
            "fp32_max_error": FP32_MAX_ERROR,
            "fp16_end_to_end_psnr_db": FP16_MIN_PSNR,
            "bf16_end_to_end_psnr_db": BF16_MIN_PSNR,
            "half_precision_largest": LIMIT,
        },
        "passed": all(result.status != "failed" for result in results),
        "rungs": [{"name": x.candidate, "description": x.description, "status": x.status, "why": x.why} for x in results],
        "rows": [_row(row) for result in results for row in result.rows],
        "side_by_side": [asdict(agreement) for agreement in agreements],
        "half_tensors": [asdict(record) for record in tensors],
    }


def _check_reference(cases: Sequence[Case], truths: Sequence[Reference]) -> Result:
    result = Result("torch-fp32", f"PyTorch {torch.__version__}, CPU: the reference")
    for case, truth in zip(cases, truths, strict=True):
        for graph, (_, outputs) in truth.items():
            for tensor, values in outputs.items():
                if not np.isfinite(values).all():
                    result.fail(f"{graph}, {tensor} on {case.name}: found non-finite values, expected finite ones")
    return result


def _check_candidate(
    name: str, bundle: Bundle, cases: Sequence[Case], truths: Sequence[Reference], required: bool
) -> Result:
    result = Result(name)
    try:
        candidate = open_candidate(name, bundle)
    except (ImportError, InputError, ValueError, RuntimeError, OSError) as error:
        result.status, result.why = ("failed" if required else "not run"), [" ".join(str(error).split())]
        return result
    try:
        result.description = candidate.describe()
        outside = []
        for case, truth in zip(cases, truths, strict=True):
            try:
                rows = compare(candidate, case, truth)
            except ValueError as error:  # shapes that an engine was not built for
                outside.append(f"{case.name}: {error}")
                continue
            result.rows += [row for row in rows if row.difference is not None]
            for row in rows:
                if row.problem:
                    result.fail(f"{row.graph}, {row.tensor} on {row.case}: {row.problem}")
        if outside and not result.rows:
            result.fail(f"no case fits: {outside[0]}")
        else:
            result.why += [f"left out {line}" for line in outside]
    except (InputError, RuntimeError, OSError) as error:
        result.fail(" ".join(str(error).split()))
    finally:
        candidate.close()
    return result


def _check_engines(
    flavor: Flavor, bundle: Bundle, cases: Sequence[Case], truths: Sequence[Reference], agreements: list[Agreement]
) -> Result:
    result = Result(f"{flavor} by Polygraphy")
    inputs = {graph: {case.name: truth[graph][0] for case, truth in zip(cases, truths, strict=True)} for graph in truths[0]}
    try:
        result.description, found = check_engines(bundle, flavor, inputs)
    except (ImportError, InputError, BuildError, RuntimeError, OSError) as error:
        result.status, result.why = "not run", [" ".join(str(error).split())]
        return result
    agreements += found
    for line in failures(found):
        result.fail(line)
    return result


def _row(row: Row) -> dict[str, object]:
    assert row.difference is not None, "a row that was measured"
    return {"rung": row.candidate, "case": row.case, "graph": row.graph, "tensor": row.tensor, **asdict(row.difference)}


def _environment(bundle: Bundle) -> dict[str, object]:
    versions = {}
    for package in ("numpy", "torch", "onnx", *LIBRARIES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    source = bundle.manifest["source"]
    machine = {"platform": f"{platform.system()} {platform.machine()}", "python": platform.python_version()}
    return {**machine, **versions, "bundle": bundle.name, "untrained": bool(source.get("untrained", False))}


def format_report(report: Mapping[str, Any]) -> str:
    """Tables for the terminal: the worst of all cases by backend, graph and tensor; backends; the largest FP16 tensors."""
    lines = [
        f"{'backend':18s}{'graph':17s}{'tensor':12s}{'max':>9s}{'mean':>9s}{'p99':>9s}{'PSNR dB':>9s}{'1-cosine':>10s}"
        f"{'8-bit max':>11s}{'mean':>8s}"
    ]
    worst: dict[tuple[str, str, str], list[dict]] = {}
    for row in report["rows"]:
        worst.setdefault((row["rung"], row["graph"], row["tensor"]), []).append(row)
    for (name, graph, tensor), rows in worst.items():
        cells = "".join(f"{max(row[key] for row in rows):9.1e}" for key in ("max", "mean", "p99"))
        cells += f"{min(row['psnr_db'] for row in rows):9.1f}{1 - min(row['cosine'] for row in rows):10.1e}"
        if rows[0]["steps_max"] is not None:
            cells += f"{max(row['steps_max'] for row in rows):11d}{max(row['steps_mean'] for row in rows):8.4f}"
        lines.append(f"{name:18s}{graph:17s}{tensor:12s}{cells}")
    lines.append("")
    for entry in report["rungs"]:
        lines.append(f"{entry['name']:22s}{entry['status']:9s}{entry['description']}".rstrip())
        lines += [f"    {why}" for why in entry["why"][:TOP_TENSORS]]
        if more := len(entry["why"]) - TOP_TENSORS:
            lines += [f"    and {more} more, in the JSON"] if more > 0 else []
    lines += ["", f"largest of {len(report['half_tensors'])} half-precision tensors (limit {LIMIT:.0f})"]
    for record in report["half_tensors"][:TOP_TENSORS]:
        value = f"{record['largest']:9.1f}" if record["finite"] else "not finite"
        lines.append(f"{value:>10s}  {record['graph']}.fp16 {record['tensor']} ({record['operator']}) on {record['case']}")
    return "\n".join(lines)


def make_cases(images: Iterable[Path], batches: Sequence[int], sizes: Sequence[tuple[int, int]]) -> list[Case]:
    """Photos (one each, at the runtime's working size), the procedural picture, and noise of every batch and (height,
    width). Raises InputError.
    """
    shapes = [(batch, *size) for size in sizes for batch in batches]
    return [*map(photo_case, images), procedural_case(), *random_cases(shapes)]


def _size(text: str) -> tuple[int, int]:
    """`256` or `WIDTHxHEIGHT` -> (height, width)."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@program("export.parity")
def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("export.parity", __doc__)
    parser.add_argument("--bundle", help="small or a bundle's folder (default: the best that is shipped)")
    parser.add_argument(
        "--backends",
        nargs="+",
        type=backend_name,
        choices=CANDIDATES,
        metavar="BACKEND",
        help=f"to run, or fail: {', '.join(CANDIDATES)} (default: those that can run)",
    )
    # As it was called before.
    parser.add_argument(
        "--rungs", nargs="+", type=backend_name, choices=CANDIDATES, dest="backends", help=argparse.SUPPRESS
    )
    parser.add_argument("--images", type=Path, nargs="*", metavar="FILE", help="photos (default: the project's examples)")
    parser.add_argument("--batch", type=at_least(1), nargs="+", default=BATCHES, help="of random inputs (default: 1 2)")
    parser.add_argument(
        "--resolution", type=_size, nargs="+", default=SIZES, help="of random inputs (default: 256 96x64 256x384)"
    )
    parser.add_argument(
        "--polygraphy",
        action="store_true",
        help="also each TensorRT engine beside ONNX Runtime on its own graph",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    options = parser.parse_args(arguments)
    images = sorted(EXAMPLES.glob("*.png")) if options.images is None else options.images
    bundle = Bundle.load(options.bundle)
    cases = make_cases(images, options.batch, options.resolution)
    names, required = options.backends or CANDIDATES, options.backends is not None
    report = parity(bundle, cases, names, required=required, polygraphy=options.polygraphy)
    if options.json:
        write_json(options.json, report)
    print(format_report(report))
    print("\npassed" if report["passed"] else "\nFAILED")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
