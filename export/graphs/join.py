"""Graphs put together: copies of graphs, and operators between them, as one graph."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class JoinedGraph:
    """A graph as it grows, in `proto`; operators return the name of their output."""

    def __init__(self, name: str):
        self.proto = helper.make_graph([], name, [], [])
        self._names = (f"{name}/{number}" for number in itertools.count())
        self._known: set[str] = set()

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or next(self._names)
        self.proto.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, value: object, dtype: type[np.generic] = np.float32, name: str = "") -> str:
        name = name or next(self._names)
        self.proto.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def append(
        self, part: onnx.GraphProto, outer: Mapping[str, str], prefix: str = "", weights: str = "", *, shapes: bool = False
    ) -> list[str]:
        """Copies a graph; returns its outputs.

        outer: names in the whole of the part's inputs, and of outputs that have one; all else gets `prefix`. Initialisers,
        and the casts that follow them, get `weights` and are copied once for each of it. shapes: also those that the part
        states.
        """
        prefix = prefix or next(self._names)
        weights = weights or prefix
        constants = {initializer.name for initializer in part.initializer}
        casts = {node.output[0] for node in part.node if node.op_type == "Cast" and node.input[0] in constants}
        constants |= casts

        def rename(name: str) -> str:
            if name in outer or not name:
                return outer.get(name, name)
            return f"{weights if name in constants else prefix}/{name}"

        for initializer in part.initializer:
            if self._is_new(rename(initializer.name)):
                self.proto.initializer.add().CopyFrom(initializer)
                self.proto.initializer[-1].name = rename(initializer.name)
        for node in part.node:
            if node.output[0] in casts and not self._is_new(rename(node.output[0])):
                continue
            copy = self.proto.node.add()
            copy.CopyFrom(node)
            copy.name = rename(node.name)
            copy.input[:] = map(rename, node.input)
            copy.output[:] = map(rename, node.output)
        for value in (*part.value_info, *part.output) if shapes else ():
            if value.name not in constants and rename(value.name) != "albedo":
                self.proto.value_info.add().CopyFrom(value)
                self.proto.value_info[-1].name = rename(value.name)
        return [rename(output.name) for output in part.output]

    def _is_new(self, name: str) -> bool:
        new = name not in self._known
        self._known.add(name)
        return new
