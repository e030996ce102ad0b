"""The whole network as one ONNX file with everything inside: for loaders that take a file and an image, nothing else."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from intrinsic_flow.decomposition.bundle import LATENT_DOWNSCALE, Bundle, Precision
from intrinsic_flow.export.graphs.join import JoinedGraph

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
    graph = JoinedGraph(GRAPH)
    image = graph.op("Cast", INPUT, to=TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT)
    (albedo,) = graph.append(model.graph, {"image": image, "z": _noise(graph, bundle.noise)}, "network", shapes=True)
    graph.op("Cast", albedo, output=OUTPUT, to=TensorProto.FLOAT)
    for values, name in ((graph.proto.input, INPUT), (graph.proto.output, OUTPUT)):
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, _SHAPE))
    model.graph.CopyFrom(graph.proto)
    onnx.checker.check_model(model)
    return model


def _noise(graph: JoinedGraph, tile: np.ndarray) -> str:
    """What is cut from the tile for the image's size, as `decomposition.noise.cut` with seed 0 does: the tile's rows and
    columns from 0 on, wrapped, the same for every image of the batch."""

    def whole(value: object) -> str:
        return graph.constant(value, np.int64)

    shape, noise = graph.op("Shape", INPUT), graph.constant(tile[None])
    for axis in (2, 3):
        count = graph.op("Div", graph.op("Gather", shape, whole(axis)), whole(LATENT_DOWNSCALE))
        cells = graph.op("Mod", graph.op("Range", whole(0), count, whole(1)), whole(tile.shape[axis - 1]))
        noise = graph.op("Gather", noise, cells, axis=axis)
    target = graph.op("Concat", graph.op("Gather", shape, whole([0])), whole([1, 1, 1]), axis=0)
    return graph.op("Expand", noise, target)
