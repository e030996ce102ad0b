"""The largest value of every half-precision tensor in a bundle's FP16 graphs: what could overflow on a GPU.

ONNX Runtime's CPU provider computes most FP16 operators in FP32 and drops the casts between them, so that a value which
overflows FP16 (65504) on a GPU may pass unseen there. Here every FP16 tensor between two operators is an output of the
graph, with all graph optimisation off: each is really rounded to FP16 and can be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from intrinsic_flow.decomposition.bundle import Bundle

LIMIT = 2.0**14


@dataclass
class HalfTensor:
    """largest: absolute value over all cases so far, of the finite ones. case: the one it comes from. finite: no NaN, no
    infinity in any case.
    """

    graph: str
    tensor: str
    operator: str
    largest: float
    case: str
    finite: bool = True

    @property
    def fails(self) -> bool:
        return not self.finite or self.largest > LIMIT

    def __str__(self) -> str:
        where = f"{self.graph}.fp16, {self.tensor} ({self.operator}) on {self.case}"
        if not self.finite:
            return f"{where}: found non-finite values, expected finite ones"
        return f"{where}: found an activation of {self.largest:.0f}, expected at most {LIMIT:.0f} in half precision"


class HalfTensors:
    """Collects `records`, one for each FP16 tensor, while FP16 graphs run on case after case."""

    def __init__(self, bundle: Bundle):
        self._bundle = bundle
        self._sessions: dict[str, tuple[onnxruntime.InferenceSession, dict[str, str]]] = {}
        self.records: dict[tuple[str, str], HalfTensor] = {}

    def run(self, graph: str, inputs: Mapping[str, np.ndarray], case: str) -> None:
        """Runs an FP16 graph on inputs of any float type and records every FP16 tensor in it."""
        if graph not in self._sessions:
            self._sessions[graph] = self._open(graph)
        session, operators = self._sessions[graph]
        spec = self._bundle.spec(graph, "fp16")
        feeds = {tensor.name: inputs[tensor.name].astype(tensor.dtype) for tensor in spec.inputs}
        found = {name: feeds[name] for name in feeds if feeds[name].dtype == np.float16}
        found |= dict(zip(operators, session.run(list(operators), feeds), strict=True))
        for name, values in found.items():
            self._record(graph, name, operators.get(name, "input"), values, case)

    def largest(self, count: int) -> list[HalfTensor]:
        """The worst first."""
        return sorted(self.records.values(), key=lambda record: (record.finite, -record.largest))[:count]

    def _record(self, graph: str, name: str, operator: str, values: np.ndarray, case: str) -> None:
        finite = np.isfinite(values)
        largest = float(np.abs(values[finite], dtype=np.float32).max()) if finite.any() else 0.0
        record = self.records.setdefault((graph, name), HalfTensor(graph, name, operator, largest, case))
        if record.finite and (not finite.all() or largest > record.largest):
            record.largest, record.case = max(largest, record.largest), case
        record.finite &= bool(finite.all())

    def _open(self, graph: str) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
        """The graph with every FP16 tensor as an output, and the operator that makes each, in the graph's order."""
        # With the weights inside: external data would have to lie beside the changed graph.
        model = onnx.shape_inference.infer_shapes(onnx.load(self._bundle.path(graph, "fp16")))
        half = {
            value.name
            for value in (*model.graph.value_info, *model.graph.output)
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16
        }
        operators = {name: node.op_type for node in model.graph.node for name in node.output if name in half}
        outputs = {value.name for value in model.graph.output}
        for name in operators:
            if name not in outputs:
                model.graph.output.add().CopyFrom(onnx.helper.make_empty_tensor_value_info(name))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session, operators
