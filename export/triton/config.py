"""Model configurations of Triton Inference Server as `config.pbtxt`: the protobuf message `inference.ModelConfig` as text.

The message is model_config.proto of the server, version 2; `tritonclient.grpc.model_config_pb2` is compiled from it, and
the tests parse what is written here with it. Writing needs neither protobuf nor a client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from intrinsic_flow.decomposition.bundle import GraphSpec, TensorSpec

Backend = Literal["onnxruntime", "tensorrt", "python"]
Device = Literal["auto", "gpu", "cpu"]
FILES: dict[Backend, str] = {"onnxruntime": "model.onnx", "tensorrt": "model.plan", "python": "model.py"}
_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16"}


class _Name(str):
    """An enumeration's value or a keyword, written without quotes."""


@dataclass(frozen=True)
class WarmupSample:
    """A request that the server makes up before it calls a model ready.

    shapes: of every input, with the batch. files: for inputs whose values matter, a file's name in the model's `warmup`
    folder, raw little-endian; the others are zero.
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    files: Mapping[str, str]


@dataclass(frozen=True)
class ModelConfig:
    """One model of the repository.

    max_batch: 0 where a tensor of the graph has no batch dimension. Above 0 the server reads the first dimension of
    *every* tensor as the batch and leaves it out of `dims`; only then can it join requests. queue_delay: microseconds
    for which a request may wait for others to join. profiles: number of optimisation profiles of a TensorRT engine; the
    server opens the first alone unless all are named. parameters: what the model itself reads.
    """

    spec: GraphSpec
    name: str
    backend: Backend
    max_batch: int
    queue_delay: int
    device: Device
    instances: int
    profiles: int = 1
    warmup: tuple[WarmupSample, ...] = ()
    parameters: Mapping[str, str] | None = None

    def to_text(self) -> str:
        """The content of config.pbtxt."""
        group: dict[str, Any] = {"count": self.instances, "kind": _Name(f"KIND_{self.device.upper()}")}
        if self.profiles > 1:
            group["profile"] = [str(number) for number in range(self.profiles)]
        message: dict[str, Any] = {
            "name": self.name,
            "backend": self.backend,
            "default_model_filename": FILES[self.backend],
            "max_batch_size": self.max_batch,
            "input": [self._tensor(tensor) for tensor in self.spec.inputs],
            "output": [self._tensor(tensor) for tensor in self.spec.outputs],
            "instance_group": [group],
        }
        if self.max_batch:
            message["dynamic_batching"] = {"max_queue_delay_microseconds": self.queue_delay}
        if self.parameters:
            message["parameters"] = [
                {"key": key, "value": {"string_value": value}} for key, value in self.parameters.items()
            ]
        if self.warmup:
            message["model_warmup"] = [self._sample(sample) for sample in self.warmup]
        return "".join(f"{line}\n" for line in _lines(message))

    def _tensor(self, tensor: TensorSpec) -> dict[str, Any]:
        dims = [dim if isinstance(dim, int) else -1 for dim in tensor.shape]
        return {
            "name": tensor.name,
            "data_type": _Name(_TYPES[tensor.dtype]),
            "dims": dims[1:] if self.max_batch else dims,
        }

    def _sample(self, sample: WarmupSample) -> dict[str, Any]:
        inputs = []
        for tensor in self.spec.inputs:
            shape = sample.shapes[tensor.name]
            values: dict[str, Any] = {
                "data_type": _Name(_TYPES[tensor.dtype]),
                "dims": list(shape[1:] if self.max_batch else shape),
            }
            if tensor.name in sample.files:
                values["input_data_file"] = sample.files[tensor.name]
            else:
                values["zero_data"] = _Name("true")
            inputs.append({"key": tensor.name, "value": values})
        batch = sample.shapes[self.spec.inputs[0].name][0] if self.max_batch else 1
        return {"name": sample.name, "batch_size": batch, "inputs": inputs}


def _lines(message: Mapping[str, Any], indent: str = "") -> list[str]:
    """A message in protobuf's text format: numbers and strings in one line, messages in braces, repeated ones repeated."""
    lines = []
    for field, value in message.items():
        entries = value if isinstance(value, list) else [value]
        if not isinstance(entries[0], Mapping):
            lines.append(f"{indent}{field}: {_scalars(value)}")
            continue
        for entry in entries:
            lines += [f"{indent}{field} {{", *_lines(entry, f"{indent}  "), f"{indent}}}"]
    return lines


def _scalars(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_scalars, value))}]"
    return str(value) if isinstance(value, (_Name, int)) else json.dumps(value)
