"""What both ONNX Runtime backends check of a session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from intrinsic_flow.decomposition.bundle import GraphSpec
from intrinsic_flow.errors import InputError


def check_interface(found: Sequence[str], spec: GraphSpec, path: Path) -> None:
    """found: names of a loaded graph's inputs and outputs. Raises InputError where its manifest states others."""
    if list(found) != [*spec.input_names, *spec.output_names]:
        raise InputError(path, f"tensors {', '.join(found)}", "those that the bundle's manifest states")
