"""What both ONNX Runtime engines check of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.bundle import GraphSpec
from runtime.errors import InputError


def check_interface(session: Any, spec: GraphSpec, path: Path) -> None:
    """Raises InputError where a loaded graph has other tensors than its bundle's manifest states."""
    found = [tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())]
    if found != [*spec.input_names, *spec.output_names]:
        raise InputError(path, f"tensors {', '.join(found)}", "those that the bundle's manifest states")
