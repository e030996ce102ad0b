"""The interface that every engine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Engine(Protocol):
    """Runs the graphs of one bundle. The graphs' tensors are those of `runtime.bundle.graph_specs`."""

    name: str

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph ("encoder", "velocity_step", ...) on named inputs, returns its named outputs."""
        ...

    def describe(self) -> str:
        """One line for logs and reports: library, version, provider, precision, threads."""
        ...

    def close(self) -> None:
        """Frees what the engine holds. Running it afterwards is an error."""
        ...
