"""Whether a network computes in the type that it should: an engine that is FP32 unnoticed has half the speed."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from intrinsic_flow.decomposition.bundle import GraphSpec, Precision
from intrinsic_flow.export.trt.errors import BuildError

COMPUTE_LAYERS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM")
# Of a graph that has none of those, arithmetic on pictures.
POINTWISE_LAYERS = ("ELEMENTWISE", "UNARY")
_COMPUTE_KERNELS = ("conv", "gemm", "matmul", "matrixmultiply")
DTYPES = {"float16": "HALF", "float32": "FLOAT"}
_COMPUTES_IN = {"fp16": "HALF", "fp32": "FLOAT"}


def computing_precision(graph: str, precision: Precision) -> Precision:
    """The precision in which a graph's file of `precision` computes: low shading is FP32 behind an FP16 albedo."""
    return "fp32" if graph == "low_shading" else precision


def check_interface(network: Any, spec: GraphSpec) -> None:
    """Compares the parsed network's inputs and outputs with the spec: names, types, fixed sides. Raises BuildError."""
    for kind, count, tensor_at, tensors in (
        ("input", network.num_inputs, network.get_input, spec.inputs),
        ("output", network.num_outputs, network.get_output, spec.outputs),
    ):
        found = {tensor.name: tensor for tensor in map(tensor_at, range(count))}
        if set(found) != {tensor.name for tensor in tensors}:
            names = ", ".join(tensor.name for tensor in tensors)
            raise BuildError(f"{spec.name}: found {kind}s {', '.join(sorted(found))}, expected {names}")
        for tensor in tensors:
            shape, dtype = tuple(found[tensor.name].shape), found[tensor.name].dtype.name
            # What the parser works out for an output's symbolic side may be any number or none.
            fits = len(shape) == len(tensor.shape) and all(
                side == wanted for side, wanted in zip(shape, tensor.shape) if isinstance(wanted, int)
            )
            if dtype != DTYPES[tensor.dtype] or not fits:
                raise BuildError(
                    f"{spec.name}, {kind} {tensor.name}: found {dtype} {list(shape)}, "
                    f"expected {DTYPES[tensor.dtype]} {list(tensor.shape)}"
                )


def check_network(trt: ModuleType, network: Any, graph: str, precision: Precision) -> int:
    """Checks that every compute layer of the parsed network has the precision's type; returns how many there are.

    In FP16 graphs layers whose output has a fixed shape may be FP32: only the time embedding's have one, which depends on
    no image. Low shading need not have any: there the arithmetic itself has to be FP32. Raises BuildError with the
    layers that are of another type, and for a network without any such layer.
    """
    names = (*COMPUTE_LAYERS, *POINTWISE_LAYERS) if graph == "low_shading" else COMPUTE_LAYERS
    kinds = {getattr(trt.LayerType, name) for name in names if hasattr(trt.LayerType, name)}
    wanted, count, odd = _COMPUTES_IN[computing_precision(graph, precision)], 0, []
    for layer in map(network.get_layer, range(network.num_layers)):
        if layer.type not in kinds:
            continue
        output = layer.get_output(0)
        types = {output.dtype.name, layer.get_input(0).dtype.name}
        if types.isdisjoint(DTYPES.values()):
            continue  # arithmetic on shapes
        fixed = all(side >= 0 for side in output.shape)
        if types == {wanted}:
            count += 1
        elif not (precision == "fp16" and fixed and types == {"FLOAT"}):
            odd.append(f"{layer.name} ({'/'.join(sorted(types))})")
    _report(graph, wanted, count, odd, "network")
    return count


def check_engine(information: Mapping[str, Any], graph: str, precision: Precision) -> int:
    """The same on what the engine inspector says of a built engine; returns how many compute layers it names.

    information: the inspector's JSON with detailed layers, in the form of TensorRT 10 ("Format/Datatype") or 11
    ("DataType"). A kernel may take in the rounding before or after it, so a layer counts as FP16 when one of its tensors
    is. Zero is no error here: TensorRT for RTX names its kernels only when it has compiled them. Raises BuildError.
    """
    count, odd = 0, []
    precision = computing_precision(graph, precision)
    wanted = _COMPUTES_IN[precision]
    for layer in information.get("Layers", ()):
        if not isinstance(layer, Mapping):
            continue  # only its name: the engine was built without details
        kind = str(layer.get("LayerType", "")).lower()
        if not any(word in kind for word in _COMPUTE_KERNELS):
            continue
        tensors = [*layer.get("Inputs", ()), *layer.get("Outputs", ())]
        types = {_type(tensor) for tensor in tensors}
        moving = any(side < 0 for tensor in layer.get("Outputs", ()) for side in tensor.get("Dimensions", ()))
        if wanted in types:
            count += 1
        elif precision == "fp32" or moving:
            odd.append(f"{layer.get('Name', kind)} ({'/'.join(sorted(types))})")
    if odd:
        _report(graph, wanted, count, odd, "engine")
    return count


def _type(tensor: Mapping[str, Any]) -> str:
    text = str(tensor.get("DataType") or tensor.get("Format/Datatype", "")).lower()
    if "half" in text or "fp16" in text or "float16" in text:
        return "HALF"
    return "FLOAT" if "float" in text or "fp32" in text else text or "unknown"


def _report(graph: str, wanted: str, count: int, odd: list[str], where: str) -> None:
    if odd:
        listed = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        raise BuildError(
            f"{graph}: found {len(odd)} compute layers of another type in the {where}: {listed}; expected {wanted}"
        )
    if not count:
        raise BuildError(f"{graph}: found no compute layer in the {where}, expected convolutions or matrix products")
