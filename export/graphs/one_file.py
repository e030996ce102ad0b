"""The whole network as one ONNX file with everything inside: for loaders that take a file and an image, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from intrinsic_flow.decomposition.bundle import LATENT_CHANNELS, LATENT_DOWNSCALE, Bundle, Precision

GRAPH = "decompose_2step"
INPUT, OUTPUT = "image", "albedo"
_SHAPE = ("batch", 3, "32*h", "32*w")


def one_file(bundle: Bundle, precision: Precision = "fp32") -> onnx.ModelProto:
    """`decompose_2step` with its weights and its start noise (seed 0) inside.

    Input `image`: (B, 3, H, W) float32, linear light times the exposure's gain, in [0, 1], sides multiples of 32. Output
    `albedo`: the same shape, float32 in [0, 1]; also in FP16, where the graph casts at both ends. Raises InputError where
    the bundle has no such graph.
    """
    model = onnx.load(bundle.path(GRAPH, precision))
    graph = model.graph
    for name in (INPUT, OUTPUT):
        _rename(graph, name, f"network/{name}")
    image, z = (next(value for value in graph.input if value.name == name) for name in (f"network/{INPUT}", "z"))
    (albedo,) = graph.output
    kind = image.type.tensor_type.elem_type
    noise, constants = _noise(bundle.noise)
    before = helper.make_node("Cast", [INPUT], [image.name], to=kind)
    after = helper.make_node("Cast", [albedo.name], [OUTPUT], to=TensorProto.FLOAT)
    nodes = [before, *noise, *graph.node, after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, _SHAPE))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, _SHAPE))
    assert z.name == "z"
    onnx.checker.check_model(model)
    return model


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _noise(tile: np.ndarray) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Nodes that cut `z` from the tile for the image's size, as `decomposition.noise.cut` with seed 0 does: the tile's
    rows and columns from 0 on, wrapped, the same for every image of the batch."""

    def node(kind: str, *inputs: str, to: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, [f"noise/{name}" for name in inputs], [f"noise/{to}"], **attributes)

    def constant(name: str, value: object, dtype: type = np.int64) -> TensorProto:
        return numpy_helper.from_array(np.asarray(value, dtype), f"noise/{name}")

    nodes = [helper.make_node("Shape", [INPUT], ["noise/shape"])]
    last = "tile"
    for axis, name in ((2, "rows"), (3, "columns")):
        nodes += [
            node("Gather", "shape", f"axis_{axis}", to=f"{name}_pixels"),
            node("Div", f"{name}_pixels", "downscale", to=f"{name}_count"),
            node("Range", "zero", f"{name}_count", "one", to=f"{name}_range"),
            node("Mod", f"{name}_range", "side", to=f"{name}_wrapped"),
            node("Gather", last, f"{name}_wrapped", to=f"{name}_cut", axis=axis),
        ]
        last = f"{name}_cut"
    nodes += [
        node("Gather", "shape", "first", to="batch"),
        node("Concat", "batch", "ones", to="target", axis=0),
        helper.make_node("Expand", [f"noise/{last}", "noise/target"], ["z"]),
    ]
    constants = [
        constant("tile", tile[None], np.float32),
        constant("axis_2", 2),
        constant("axis_3", 3),
        constant("downscale", LATENT_DOWNSCALE),
        constant("zero", 0),
        constant("one", 1),
        constant("side", tile.shape[1]),
        constant("first", [0]),
        constant("ones", [1, 1, 1]),
    ]
    assert tile.shape[0] == LATENT_CHANNELS
    return nodes, constants
