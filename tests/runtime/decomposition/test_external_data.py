"""External data of ONNX graphs: every place where a graph can name a file is seen."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from intrinsic_flow.decomposition.bundle import MODELS
from intrinsic_flow.decomposition.external_data import external_files
from intrinsic_flow.errors import InputError


def tensor(name: str, location: str) -> TensorProto:
    made = numpy_helper.from_array(np.zeros(4, np.float32), name)
    made.ClearField("raw_data")
    made.data_location = TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location)):
        made.external_data.add(key=key, value=value)
    return made


def test_names_are_found_wherever_a_graph_may_hold_tensors(tmp_path):
    inner = helper.make_graph([], "inner", [], [], [tensor("deep", "subgraph")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner)
    node.attribute.append(helper.make_attribute("value", tensor("t", "attribute")))
    node.attribute.append(helper.make_attribute("values", [tensor("u", "list")]))
    graph = helper.make_graph([node], "g", [], [], [tensor("w", "../out"), tensor("v", "/abs")])
    sparse = graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(tensor("s", "sparse values"))
    sparse.indices.CopyFrom(tensor("i", "sparse indices"))
    model = helper.make_model(graph)
    model.functions.add(name="f", domain="d").node.append(
        helper.make_node("Constant", [], ["z"], value=tensor("f", "function"))
    )
    model.training_info.add().initialization.CopyFrom(helper.make_graph([], "t", [], [], [tensor("x", "training")]))
    path = tmp_path / "g.onnx"
    path.write_bytes(model.SerializeToString())
    assert external_files(path) == {
        *("../out", "/abs", "subgraph", "attribute", "list", "sparse values", "sparse indices", "function", "training")
    }


def test_the_shipped_graphs_name_what_the_onnx_package_finds():
    for path in sorted((MODELS / "small").glob("*.onnx")):
        model = onnx.load(path, load_external_data=False)
        listed = {entry.value for t in model.graph.initializer for entry in t.external_data if entry.key == "location"}
        assert external_files(path) == listed


@pytest.mark.parametrize("content", [b"\xff" * 30, b"\x3a\xff\x01x", b"\x3b", b"\x80", b"\x09abc"])
def test_what_is_no_graph_is_refused(tmp_path, content):
    path = tmp_path / "g.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no ONNX file"):
        external_files(path)
