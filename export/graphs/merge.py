"""The whole loop as one graph: encoder, Euler steps and decoder joined, each weight referred to once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from intrinsic_flow.decomposition.bundle import GraphSpec
from intrinsic_flow.export.graphs.onnx_graph import set_interface

FEATURES = ("feature_8", "feature_16", "feature_32")


def merge_loop(
    encoder: onnx.ModelProto, step: onnx.ModelProto, decoder: onnx.ModelProto, spec: GraphSpec, steps: int = 2
) -> onnx.ModelProto:
    """image, start noise z -> albedo, from the graphs of the parts (weights already shared, see `share_weights`).

    The times are constants of the graph, so a runtime folds the time embedding and every modulation that follows from
    it when it loads the graph.
    """
    merged = onnx.ModelProto()
    merged.CopyFrom(encoder)
    for field in ("node", "initializer", "input", "output", "value_info"):
        merged.graph.ClearField(field)
    merged.graph.name = spec.name
    join = _Join(merged.graph)
    join.constant("dt", 1 / steps)
    features = {name: name for name in FEATURES}
    join.append(encoder.graph, "encoder", "encoder", {"image": "image", **features})
    z = "z"
    for index in range(steps):
        join.constant(f"t_{index}", index / steps)
        inputs = {"z": z, "t": f"t_{index}", "dt": "dt", **features}
        z = f"z_{index + 1}"
        join.append(step.graph, f"step_{index}", "step", {**inputs, "z_next": z})
    join.append(decoder.graph, "decoder", "decoder", {"z": z, "image": "image", "albedo": "albedo"})
    set_interface(merged, spec)
    return merged


class _Join:
    """Appends copies of graphs to one graph."""

    def __init__(self, graph: onnx.GraphProto):
        self.graph = graph
        self._known: set[str] = set()

    def constant(self, name: str, value: float) -> None:
        self.graph.initializer.append(numpy_helper.from_array(np.array([value], np.float32), name))

    def append(self, part: onnx.GraphProto, prefix: str, weights_prefix: str, outer: Mapping[str, str]) -> None:
        """Copies `part`. `outer` maps its inputs and outputs to tensors of the whole; all else gets a prefix.

        Initialisers, and the casts that follow them, get `weights_prefix` and are copied once for each of it.
        """
        constants = {initializer.name for initializer in part.initializer}
        casts = {node.output[0] for node in part.node if node.op_type == "Cast" and node.input[0] in constants}
        constants |= casts

        def rename(name: str) -> str:
            if name in outer or not name:
                return outer.get(name, name)
            return f"{weights_prefix if name in constants else prefix}/{name}"

        for initializer in part.initializer:
            if self._is_new(rename(initializer.name)):
                self.graph.initializer.add().CopyFrom(initializer)
                self.graph.initializer[-1].name = rename(initializer.name)
        for node in part.node:
            if node.output[0] in casts and not self._is_new(rename(node.output[0])):
                continue
            copy = self.graph.node.add()
            copy.CopyFrom(node)
            copy.name = rename(node.name)
            copy.input[:] = map(rename, node.input)
            copy.output[:] = map(rename, node.output)
        for value in (*part.value_info, *part.output):
            if value.name not in constants and rename(value.name) != "albedo":
                self.graph.value_info.add().CopyFrom(value)
                self.graph.value_info[-1].name = rename(value.name)

    def _is_new(self, name: str) -> bool:
        new = name not in self._known
        self._known.add(name)
        return new
