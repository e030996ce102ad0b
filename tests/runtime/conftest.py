"""A tiny model bundle made with the onnx package alone, so that the runtime's tests need no torch and no weights.

Its graphs obey the interfaces of `bundle.graph_specs` and form a real, if modest, flow model. The latent of an
image is its 4x4 block means; the decoder spreads them out again. The flow leads from noise to the latent of a
blurred, half as bright image, plus a tenth of the noise, so that results depend on image, seed and every feature map.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from intrinsic_flow.decomposition.bundle import (
    NOISE,
    GraphSpec,
    NetworkInterface,
    TensorSpec,
    graph_file,
    graph_specs,
    write_manifest,
)
from intrinsic_flow.decomposition.exposure import ToneMap
from intrinsic_flow.decomposition.noise import make_tile

FEATURE_CHANNELS = (12, 12, 12)


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    assert spec.dtype == "float32"
    return helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, list(spec.shape))


def _constant(name: str, values: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def _latent_of(image: str, out: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("AveragePool", [image], [f"{out}_means"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("SpaceToDepth", [f"{out}_means"], [out], blocksize=2),
    ]


def _halve(source: str, out: str) -> onnx.NodeProto:
    return helper.make_node("AveragePool", [source], [out], kernel_shape=[2, 2], strides=[2, 2])


def _graph_nodes() -> dict[str, tuple[list[onnx.NodeProto], list[onnx.TensorProto]]]:
    node = helper.make_node
    scales = [_constant("x2", [1, 1, 2, 2]), _constant("x4", [1, 1, 4, 4])]
    return {
        "encoder": (
            [
                *_latent_of("image", "latent"),
                node("Mul", ["latent", "half"], ["feature_8"]),
                _halve("feature_8", "feature_16"),
                _halve("feature_16", "feature_32"),
            ],
            [_constant("half", 0.5)],
        ),
        "velocity_step": (
            [
                node("Resize", ["feature_16", "", "x2"], ["up_16"], mode="nearest"),
                node("Resize", ["feature_32", "", "x4"], ["up_32"], mode="nearest"),
                node("Sum", ["feature_8", "up_16", "up_32"], ["sum"]),
                node("Mul", ["sum", "third"], ["target"]),
                node("Mul", ["z", "most"], ["pull"]),
                node("Sub", ["target", "pull"], ["towards"]),
                node("Sub", ["one", "t"], ["time_left"]),
                node("Div", ["towards", "time_left"], ["velocity"]),
                node("Mul", ["velocity", "dt"], ["move"]),
                node("Add", ["z", "move"], ["z_next"]),
            ],
            [*scales, _constant("third", 1 / 3), _constant("most", 0.9), _constant("one", 1.0)],
        ),
        "decoder": (
            [
                node("DepthToSpace", ["z"], ["blocks"], blocksize=2),
                node("Resize", ["blocks", "", "x4"], ["spread"], mode="nearest"),
                node("Clip", ["spread", "zero", "one"], ["albedo"]),
            ],
            [scales[1], _constant("zero", 0.0), _constant("one", 1.0)],
        ),
        "vae_encoder": (_latent_of("albedo", "z"), []),
        "low_shading": (
            [
                node("Shape", ["guide"], ["size"], start=2, end=4),
                node("Slice", ["albedo", "corner", "size", "sides"], ["unpadded"]),
                node("Max", ["unpadded", "least_albedo"], ["reflecting"]),
                node("Clip", ["guide", "least_light", "most_light"], ["light"]),
                node("Div", ["light", "reflecting"], ["low_shading"]),
                node("Log", ["low_shading"], ["log_shading"]),
            ],
            [
                _constant("corner", [0, 0], np.int64),
                _constant("sides", [2, 3], np.int64),
                _constant("least_albedo", 1e-3),
                _constant("least_light", 1e-4),
                _constant("most_light", 1e30),
            ],
        ),
        "upsampler": (
            [
                node("Gather", ["rows", "first"], ["first_row"]),
                node("Gather", ["rows", "second"], ["row_count"]),
                node("Shape", ["image"], ["width"], start=3, end=4),
                node("Cast", ["width"], ["column_count"], to=TensorProto.FLOAT),
                *_interpolation("row", 2, "first_row", "row_count"),
                *_interpolation("column", 3, "zero", "column_count"),
                node("Transpose", ["column_weights"], ["columns"], perm=[1, 0]),
                node("MatMul", ["row_weights", "log_shading"], ["tall"]),
                node("MatMul", ["tall", "columns"], ["log_up"]),
                node("Exp", ["log_up"], ["own_shading"]),
                # The guide sharpens nothing here, but a graph that never looked at it could not tell a missing one.
                node("Min", ["guide", "zero"], ["nothing"]),
                node("ReduceMax", ["nothing"], ["still_nothing"], keepdims=0),
                node("Add", ["own_shading", "still_nothing"], ["shading"]),
            ],
            [
                *(_constant(name, value) for name, value in (("one", 1.0), ("zero", 0.0), ("half", 0.5))),
                _constant("first", [0], np.int64),
                _constant("second", [1], np.int64),
                _constant("start", 0, np.int64),
                _constant("step", 1, np.int64),
            ],
        ),
    }


def _interpolation(name: str, axis: int, first: str, total: str) -> list[onnx.NodeProto]:
    """Nodes that make `{name}_weights` (pixels, low-resolution pixels): bilinear interpolation along one axis."""
    node = helper.make_node

    def index(source: str, out: str) -> list[onnx.NodeProto]:
        return [
            node("Shape", [source], [f"{out}_shape"], start=axis, end=axis + 1),
            node("Squeeze", [f"{out}_shape"], [f"{out}_size"]),
            node("Range", ["start", f"{out}_size", "step"], [f"{out}_index"]),
            node("Cast", [f"{out}_index"], [out], to=TensorProto.FLOAT),
        ]

    return [
        *index("image", f"{name}_pixel"),
        *index("log_shading", f"{name}_low"),
        node("Cast", [f"{name}_low_size"], [f"{name}_low_count"], to=TensorProto.FLOAT),
        node("Sum", [f"{name}_pixel", first, "half"], [f"{name}_centre"]),
        node("Div", [f"{name}_low_count", total], [f"{name}_ratio"]),
        node("Mul", [f"{name}_centre", f"{name}_ratio"], [f"{name}_scaled"]),
        node("Sub", [f"{name}_scaled", "half"], [f"{name}_position"]),
        node("Sub", [f"{name}_low_count", "one"], [f"{name}_last"]),
        node("Clip", [f"{name}_position", "zero", f"{name}_last"], [f"{name}_clipped"]),
        node("Unsqueeze", [f"{name}_clipped", "second"], [f"{name}_stacked"]),
        node("Sub", [f"{name}_stacked", f"{name}_low"], [f"{name}_signed"]),
        node("Abs", [f"{name}_signed"], [f"{name}_distance"]),
        node("Sub", ["one", f"{name}_distance"], [f"{name}_hat"]),
        node("Relu", [f"{name}_hat"], [f"{name}_weights"]),
    ]


def _model(spec: GraphSpec, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    inputs, outputs = [_value(x) for x in spec.inputs], [_value(x) for x in spec.outputs]
    graph = helper.make_graph(nodes, spec.name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def rewrite_manifest(folder: Path) -> None:
    """Describes the tiny bundle's graphs and weights as they lie there now."""
    write_manifest(
        folder,
        name="tiny",
        config={"kind": "block means"},
        feature_channels=FEATURE_CHANNELS,
        latent_mean=[0.0] * 12,
        latent_std=[1.0] * 12,
        tone_map=ToneMap(),
        opset=20,
        source={"made by": "tests/runtime/conftest.py"},
        verification={},
    )


def build_tiny_bundle(folder: Path) -> Path:
    """Writes the bundle and returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    specs = graph_specs(NetworkInterface(FEATURE_CHANNELS))
    np.save(folder / NOISE, make_tile(12, 1.0))
    for name, (nodes, constants) in _graph_nodes().items():
        onnx.save(_model(specs[name], nodes, constants), folder / graph_file(name))
    rewrite_manifest(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny bundle; not to be changed by tests."""
    return build_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def own_bundle(tmp_path: Path) -> Path:
    """Folder of a tiny bundle that the test may damage."""
    return build_tiny_bundle(tmp_path / "own_bundle")


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """(90, 140, 3) float32 linear: coloured patches under a lamp that falls off, a highlight and a black corner."""
    rows, columns = np.mgrid[0:90, 0:140].astype(np.float32)
    patches = np.random.default_rng(3).uniform(0.1, 0.9, (3, 5, 3)).astype(np.float32)
    albedo = patches[(rows // 30).astype(int), (columns // 28).astype(int)]
    light = 2.5 / (1 + ((rows - 40) ** 2 + (columns - 50) ** 2) / 1500)
    image = albedo * light[..., None] * np.array([1.0, 0.9, 0.75], np.float32)
    image[20:24, 60:64] = 6.0
    image[70:, 110:] = 0.0
    return image.astype(np.float32)


@pytest.fixture
def without_nohup() -> Iterator[None]:
    """SIGHUP as a terminal's shell leaves it: under nohup the tests, and the programs that they start, would ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
