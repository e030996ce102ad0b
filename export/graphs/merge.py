"""The whole loop as one graph: encoder, Euler steps and decoder joined, each weight referred to once."""

from __future__ import annotations

import onnx

from intrinsic_flow.decomposition.bundle import GraphSpec
from intrinsic_flow.export.graphs.join import JoinedGraph
from intrinsic_flow.export.graphs.onnx_graph import set_interface

FEATURES = ("feature_8", "feature_16", "feature_32")


def merge_loop(
    encoder: onnx.ModelProto, step: onnx.ModelProto, decoder: onnx.ModelProto, spec: GraphSpec, steps: int = 2
) -> onnx.ModelProto:
    """image, start noise z -> albedo, from the graphs of the parts (weights already shared, see `share_weights`).

    The times are constants of the graph, so a runtime folds the time embedding and every modulation that follows from
    it when it loads the graph.
    """
    graph = JoinedGraph(spec.name)
    graph.constant([1 / steps], name="dt")
    features = {name: name for name in FEATURES}
    graph.append(encoder.graph, {"image": "image", **features}, "encoder", shapes=True)
    z = "z"
    for index in range(steps):
        t = graph.constant([index / steps], name=f"t_{index}")
        inputs, z = {"z": z, "t": t, "dt": "dt", **features}, f"z_{index + 1}"
        graph.append(step.graph, {**inputs, "z_next": z}, f"step_{index}", "step", shapes=True)
    graph.append(decoder.graph, {"z": z, "image": "image", "albedo": "albedo"}, "decoder", shapes=True)
    merged = onnx.ModelProto()
    merged.CopyFrom(encoder)
    merged.graph.CopyFrom(graph.proto)
    merged.graph.doc_string = ""  # stated, as in the graphs of the parts
    set_interface(merged, spec)
    return merged
