"""A torch module -> a thin ONNX graph: exported against its `GraphSpec`, weights shared with the bundle's one file."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch._dynamo.config
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from intrinsic_flow.decomposition.bundle import GraphSpec, TensorSpec
from intrinsic_flow.export.weights import Slot, read_slots
from intrinsic_flow.media.atomic_file import write_complete

DEFAULT_OPSET = 20
# Below this a constant stays inside the graph; above it, one that is no stored weight is an error.
MIN_SHARED_VALUES = 12
MAX_INLINE_BYTES = 1 << 16

_EXAMPLE_SIZES = {"batch": 2, "h": 2, "w": 3, "low_h": 8, "low_w": 12, "full_h": 20, "full_w": 28}
_TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_ONNX_DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


class ExportError(Exception):
    """A graph did not come out as its spec or the bundle's format asks; the message says what was found."""


def example_inputs(spec: GraphSpec, generator: torch.Generator, **sizes: int) -> tuple[Tensor, ...]:
    """Random inputs in the ranges of the real ones: pictures and times uniform in [0, 1], the rest normal.

    sizes: values of the spec's symbols (batch, h, w, ...).
    """

    def example(tensor: TensorSpec) -> Tensor:
        sample = torch.rand if tensor.name in ("image", "guide", "albedo", "t", "dt") else torch.randn
        return sample(tensor.resolve(**sizes), generator=generator).to(_TORCH_DTYPES[tensor.dtype])

    return tuple(example(tensor) for tensor in spec.inputs)


def export_graph(module: nn.Module, spec: GraphSpec, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """Traces a module whose forward takes and returns the spec's tensors in order; weights are still inside.

    The default opset keeps group norm as InstanceNormalization, for which ONNX Runtime has a CPU kernel; from 21 on it
    is GroupNormalization, which it takes apart. Raises ExportError when the graph's interface is not the spec's.
    """
    symbols = {symbol: Dim(symbol) for tensor in spec.inputs for symbol in tensor.symbols}
    dynamic = [
        {axis: _dimension(dim, symbols) for axis, dim in enumerate(tensor.shape) if isinstance(dim, str)} or None
        for tensor in spec.inputs
    ]
    inputs = example_inputs(spec, torch.Generator().manual_seed(0), **_EXAMPLE_SIZES)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        # The cache of fake tensors takes longer than it saves where sizes are symbols, a third of the upsampler's time.
        no_cache = torch._dynamo.config.patch(fake_tensor_cache_enabled=False)
        with torch.no_grad(), warnings.catch_warnings(), no_cache:
            # Deprecations inside torch.onnx itself, which a user can do nothing about.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                inputs,
                dynamo=True,
                opset_version=opset,
                input_names=list(spec.input_names),
                output_names=list(spec.output_names),
                dynamic_shapes=tuple(dynamic),
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None, "torch.onnx.export with dynamo=True returns a program"
    model = program.model_proto
    _strip(model)
    _check_interface(model, spec)
    return model


def share_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Points every stored weight of a graph to its bytes in the weights file, as ONNX external data; in place.

    Constants are matched by value, so it does not matter how the exporter names or reshapes them: equal bytes are equal
    wherever they lie. What a graph needs in FP32 is an FP16 initialiser with a Cast behind it, which ONNX Runtime and
    TensorRT fold when they load it. Raises ExportError on a large constant that is no stored weight.
    """
    slots = _slots_by_value(weights)
    casts = []
    for index, initializer in enumerate(model.graph.initializer):
        values = numpy_helper.to_array(initializer)
        if values.dtype not in (np.float32, np.float16) or values.size < MIN_SHARED_VALUES:
            continue
        slot = slots.get((values.dtype, values.tobytes()))
        stored = TensorProto()
        stored.CopyFrom(initializer)
        if slot is None and values.dtype == np.float32:
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            if np.array_equal(half.astype(np.float32), values):
                slot = slots.get((half.dtype, half.tobytes()))
                stored.name = f"{initializer.name}.fp16"
                stored.data_type = TensorProto.FLOAT16
        if slot is None:
            if values.nbytes > MAX_INLINE_BYTES:
                raise ExportError(
                    f"{initializer.name} {list(values.shape)}: found {values.nbytes} bytes that are no stored weight, "
                    f"expected at most {MAX_INLINE_BYTES} in a graph"
                )
            continue
        if stored.name != initializer.name:
            casts.append(helper.make_node("Cast", [stored.name], [initializer.name], to=TensorProto.FLOAT))
        _refer(stored, weights.name, slot)
        model.graph.initializer[index].CopyFrom(stored)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def set_interface(model: onnx.ModelProto, spec: GraphSpec) -> None:
    """States the spec's inputs and outputs as those of the graph."""
    for values, tensors in ((model.graph.input, spec.inputs), (model.graph.output, spec.outputs)):
        del values[:]
        values.extend(helper.make_tensor_value_info(x.name, _ONNX_DTYPES[x.dtype], x.shape) for x in tensors)


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Writes the graph as it is, external data untouched; the file appears complete or not at all."""
    write_complete(path, model.SerializeToString(deterministic=True))


def _dimension(dim: str, symbols: dict[str, Dim]) -> Dim:
    """torch.export's dimension for "h" or "32*h": derived ones keep the graph's own shapes clean."""
    factor, symbol = _parts(dim)
    return factor * symbols[symbol] if factor > 1 else symbols[symbol]


def _strip(model: onnx.ModelProto) -> None:
    """Drops stack traces and paths of the exporting machine."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    graph = model.graph
    for element in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del element.metadata_props[:]
        element.doc_string = ""
    for function in model.functions:
        raise ExportError(f"function {function.name} in the graph, expected plain operators")


def _check_interface(model: onnx.ModelProto, spec: GraphSpec) -> None:
    """Checks names, types and shapes of inputs and outputs against the spec; in the shapes, writes its symbols.

    The exporter names a symbol anew where it solved an equation for it. Shapes inside the graph are kept, in the same
    symbols: ONNX Runtime fuses a residual sum into its convolution only where it can tell that both sides agree.
    """
    symbols: dict[str, str] = {}
    for found, expected in ((model.graph.input, spec.inputs), (model.graph.output, spec.outputs)):
        if [value.name for value in found] != [tensor.name for tensor in expected]:
            raise ExportError(
                f"{spec.name}: found tensors {[value.name for value in found]}, "
                f"expected {[tensor.name for tensor in expected]}"
            )
        for value, tensor in zip(found, expected, strict=True):
            kind = value.type.tensor_type
            dims = [dim.dim_param or dim.dim_value for dim in kind.shape.dim]
            agree = len(dims) == len(tensor.shape)
            for dim, wanted in zip(dims, tensor.shape):
                (factor, symbol), (wanted_factor, wanted_symbol) = _parts(dim), _parts(wanted)
                agree &= factor == wanted_factor and symbols.setdefault(symbol, wanted_symbol) == wanted_symbol
            if kind.elem_type != _ONNX_DTYPES[tensor.dtype] or not agree:
                raise ExportError(
                    f"{spec.name}, {value.name}: found {TensorProto.DataType.Name(kind.elem_type)} {dims}, "
                    f"expected {tensor.dtype} {list(tensor.shape)}"
                )
    set_interface(model, spec)
    for value in model.graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"[a-z_]\w*", lambda match: symbols.get(match[0], match[0]), dim.dim_param)


def _parts(dim: str | int) -> tuple[int, str]:
    """Factor and symbol: "32*h" -> (32, "h"), 3 -> (3, "")."""
    if isinstance(dim, int):
        return dim, ""
    factor, _, symbol = dim.rpartition("*")
    return int(factor or 1), symbol


def _slots_by_value(weights: Path) -> dict[tuple[np.dtype, bytes], Slot]:
    dtypes: dict[str, np.dtype] = {"F16": np.dtype(np.float16), "F32": np.dtype(np.float32)}
    content = weights.read_bytes()
    return {
        (dtypes[slot.dtype], content[slot.offset : slot.offset + slot.length]): slot
        for slot in reversed(read_slots(weights).values())  # of equal tensors the first one serves all
    }


def _refer(tensor: TensorProto, location: str, slot: Slot) -> None:
    for field in ("raw_data", "float_data", "int32_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", slot.offset), ("length", slot.length)):
        tensor.external_data.add(key=key, value=str(value))
