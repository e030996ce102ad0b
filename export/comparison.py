"""How far a candidate's tensors are from the reference, and whether that is within the limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intrinsic_flow.export.candidates import Candidate
from intrinsic_flow.export.cases import Case, Reference
from intrinsic_flow.media.color import linear_to_srgb

FP32_MAX_ERROR = 1e-4
#: The whole loop, and its graphs.
END_TO_END = ("end_to_end", "decompose_2step")

# Float32's own resolution at 1: JSON has no infinity, and equal tensors have one PSNR.
_FLOOR = float(np.finfo(np.float32).eps) ** 2


@dataclass(frozen=True)
class Difference:
    """Of a tensor to its reference.

    max, mean, p99: absolute errors in units of max(1, the largest reference value), so absolute for albedo in [0, 1] and
    relative to the largest activation elsewhere. psnr_db: peak 1 for albedo, else the largest reference value, at most 138.
    cosine: of both as vectors. steps_max, steps_mean: of albedo only, in steps of 8-bit sRGB codes.
    """

    max: float
    mean: float
    p99: float
    psnr_db: float
    cosine: float
    steps_max: int | None = None
    steps_mean: float | None = None


def difference(found: np.ndarray, expected: np.ndarray, *, albedo: bool = False) -> Difference:
    """Compares two finite arrays of one shape. albedo: linear in [0, 1]."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    error = np.abs(found - expected)
    peak = 1.0 if albedo else float(np.abs(expected).max()) or 1.0
    unit = max(1.0, float(np.abs(expected).max()))
    norms = float(np.linalg.norm(found) * np.linalg.norm(expected))
    equal_zeros = not found.any() and not expected.any()
    cosine = float(np.vdot(found, expected)) / norms if norms else float(equal_zeros)
    steps = np.abs(_codes(found) - _codes(expected)) if albedo else None
    return Difference(
        max=float(error.max() / unit),
        mean=float(error.mean() / unit),
        p99=float(np.percentile(error, 99) / unit),
        psnr_db=-10 * float(np.log10(max(float(np.mean(error**2)) / peak**2, _FLOOR))),
        cosine=cosine,
        steps_max=None if steps is None else int(steps.max()),
        steps_mean=None if steps is None else float(steps.mean()),
    )


def _codes(albedo: np.ndarray) -> np.ndarray:
    return np.round(linear_to_srgb(np.clip(albedo, 0, 1).astype(np.float32)) * 255)


@dataclass(frozen=True)
class Row:
    """One output tensor of one graph on one case. difference: None where it cannot be taken. problem: what is beyond the
    limits, empty where nothing is."""

    candidate: str
    case: str
    graph: str
    tensor: str
    difference: Difference | None
    problem: str


def compare(candidate: Candidate, case: Case, reference: Reference) -> list[Row]:
    """A row for each output of the candidate's graphs and of the whole loop.

    Each graph gets the reference's inputs, so that its error is its own; "end_to_end" runs the loop over the graphs, each
    on the output of the one before. Raises what the candidate raises, ValueError for shapes that it does not take.
    """
    rows = []
    for graph in (*candidate.graphs, "end_to_end"):
        if graph == "end_to_end":
            expected = reference["decompose_2step"][1]
            found = {"albedo": candidate.network(case.image.numpy(), case.z.numpy())}
        else:
            inputs, expected = reference[graph]
            found = candidate.run(graph, inputs)
        for tensor, wanted in expected.items():
            judged = judge(found[tensor], wanted, graph, tensor, candidate.min_psnr)
            rows.append(Row(candidate.name, case.name, graph, tensor, *judged))
    return rows


def judge(
    found: np.ndarray, wanted: np.ndarray, graph: str, tensor: str, min_psnr: float | None
) -> tuple[Difference | None, str]:
    """The difference, and what is wrong with it in words. min_psnr: as in `Candidate`."""
    if found.shape != wanted.shape:
        return None, f"found shape {found.shape}, expected {wanted.shape}"
    if not np.isfinite(found).all():
        return None, "found non-finite values, expected finite ones"
    apart = difference(found, wanted, albedo=tensor == "albedo")
    # The upsampler computes in FP32 everywhere.
    if (min_psnr is None or graph == "upsampler") and apart.max > FP32_MAX_ERROR:
        return apart, f"found error {apart.max:.2e}, expected at most {FP32_MAX_ERROR:.0e}"
    if min_psnr is not None and graph in END_TO_END and apart.psnr_db < min_psnr:
        return apart, f"found PSNR {apart.psnr_db:.1f} dB, expected at least {min_psnr:.0f} dB"
    return apart, ""
