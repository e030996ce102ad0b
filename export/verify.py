"""Verification of a bundle: ONNX Runtime against PyTorch from the same FP16-rounded weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from intrinsic_flow.decomposition.bundle import PRECISIONS, NetworkInterface, graph_file, graph_specs
from intrinsic_flow.export.candidates import FP16_MIN_PSNR, OnnxCandidate
from intrinsic_flow.export.cases import STEPS, Case, reference
from intrinsic_flow.export.comparison import FP32_MAX_ERROR, Row, compare, judge
from intrinsic_flow.train.networks.model import IntrinsicFlow


class VerificationError(Exception):
    """A graph does not compute what the network does; the message names graph, input, error and limit."""


def verify(folder: Path, model: IntrinsicFlow, cases: Iterable[Case], opset: int) -> dict[str, object]:
    """Verifies every graph in `folder` and returns the report that the manifest stores.

    model: FP32 from the same rounded weights. Checks ONNX validity, then compares on each case. Raises VerificationError
    for what is beyond the limits of `comparison`.
    """
    check_graphs(folder, model.config.interface)
    candidates = [OnnxCandidate(folder, model.config.interface, precision) for precision in PRECISIONS]
    rows: list[Row] = []
    for case in cases:
        truth = reference(model, case)
        rows += [row for candidate in candidates for row in compare(candidate, case, truth)]
    for row in rows:
        if row.problem:
            raise VerificationError(f"{row.graph}, {row.tensor} of {row.candidate} on {row.case}: {row.problem}")
    comparisons = [_comparison(list(outputs)) for _, outputs in groupby(rows, lambda x: (x.candidate, x.case, x.graph))]
    return {
        "reference": f"PyTorch {torch.__version__}, FP32, from the FP16-rounded weights",
        "candidate": f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider",
        "opset": opset,
        "limits": {"fp32_max_error": FP32_MAX_ERROR, "fp16_end_to_end_psnr_db": FP16_MIN_PSNR},
        "worst": _worst(comparisons),
        "comparisons": comparisons,
    }


def _comparison(rows: list[Row]) -> dict[str, Any]:
    """One graph, or the whole loop, on one case: the largest error over its outputs, and the PSNR of its albedo."""
    found = {row.tensor: row.difference for row in rows if row.difference is not None}
    return {
        "graph": rows[0].graph,
        "precision": rows[0].candidate.removeprefix("onnx-"),
        "case": rows[0].case,
        "max_error": max(difference.max for difference in found.values()),
        "psnr_db": found["albedo"].psnr_db if "albedo" in found else None,
    }


def check_graphs_of_weights(folder: Path, model: IntrinsicFlow, case: Case) -> None:
    """Compares the loop over the FP32 graphs of a finished bundle with a model from its weights.

    Raises VerificationError where they are not the same network, as after a change of the networks' code.
    """
    albedo = OnnxCandidate(folder, model.config.interface, "fp32").network(case.image.numpy(), case.z.numpy())
    with torch.inference_mode():
        expected = model(case.image, case.z, STEPS).numpy()
    _, problem = judge(albedo, expected, "end_to_end", "albedo", None)
    if problem:
        raise VerificationError(f"{folder}: end_to_end fp32 on {case.name}: {problem}")


def check_graphs(folder: Path, network: NetworkInterface) -> None:
    """Runs the ONNX checker over every graph file. Raises VerificationError."""
    for precision in PRECISIONS:
        for name in graph_specs(network, precision):
            file = graph_file(name, precision)
            try:
                # By path: the checker then finds the external data too.
                onnx.checker.check_model(str(folder / file), full_check=True)
            except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                raise VerificationError(f"{file}: {' '.join(str(error).split())}") from error


def largest_activations(model: IntrinsicFlow, cases: Iterable[Case]) -> dict[str, float]:
    """Largest absolute value that any layer puts out, by graph: how far FP16 (65504) is from overflowing."""
    parts = {
        "encoder": model.encoder,
        "velocity_step": model.unet,
        "decoder": model.vae.decoder,
        "vae_encoder": model.vae.encoder,
    }
    largest = dict.fromkeys(parts, 0.0)

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                largest[name] = max(largest[name], output.abs().max().item())

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, part in parts.items() for module in part.modules()]
    try:
        with torch.inference_mode():
            for case in cases:
                model.vae.encode(model(case.image, case.z, STEPS))
    finally:
        for hook in hooks:
            hook.remove()
    return largest


def _worst(comparisons: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Worst error and PSNR over the cases, by precision and graph."""
    worst: dict[str, dict[str, dict[str, float]]] = {}
    for row in comparisons:
        entry = worst.setdefault(row["precision"], {}).setdefault(row["graph"], {"max_error": 0.0})
        entry["max_error"] = max(entry["max_error"], row["max_error"])
        if row["psnr_db"] is not None:
            entry["psnr_db"] = min(entry.get("psnr_db", float("inf")), row["psnr_db"])
    return worst
