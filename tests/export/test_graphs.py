"""What the exported graphs compute, in ONNX Runtime, against the network in PyTorch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from intrinsic_flow.decomposition.bundle import PRECISIONS, WEIGHTS, graph_file, graph_specs
from intrinsic_flow.export.candidates import OnnxCandidate
from intrinsic_flow.export.cases import make_case, reference
from intrinsic_flow.export.comparison import compare
from intrinsic_flow.export.graphs.half import half_copy
from intrinsic_flow.export.graphs.modules import graph_modules
from intrinsic_flow.export.graphs.onnx_graph import ExportError, example_inputs, export_graph, save_graph, share_weights
from intrinsic_flow.export.weights import read_slots, save_weights
from intrinsic_flow.train.networks import efficientnet_lite
from intrinsic_flow.train.networks.model import IntrinsicFlow, latent_shape

NETWORKS = ("encoder", "velocity_step", "decoder", "vae_encoder", "decompose_2step")
FILES = [graph_file(name, precision) for precision in PRECISIONS for name in NETWORKS]


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def graph(path: Path) -> onnx.GraphProto:
    return onnx.load(path, load_external_data=False).graph


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 256, 256), (3, 64, 160), (2, 256, 96)])
def test_onnx_runtime_agrees_with_torch_at_any_size_and_batch(exported_bundle, random_model, shape) -> None:
    batch, height, width = shape
    generator = torch.Generator().manual_seed(height)
    image = torch.rand(batch, 3, height, width, generator=generator)
    z = torch.randn(latent_shape(*shape), generator=generator)
    with torch.inference_mode():
        expected = random_model(image, z, 2).numpy()
    (albedo,) = session(exported_bundle / "decompose_2step.onnx").run(None, {"image": image.numpy(), "z": z.numpy()})
    assert albedo.shape == (batch, 3, height, width)
    assert expected.std() > 0.05
    np.testing.assert_allclose(albedo, expected, atol=1e-4, rtol=0)


def test_every_graph_agrees_with_torch_on_a_batch(exported_bundle, random_model) -> None:
    case = make_case("batch", torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(9)))
    truth = reference(random_model, case)
    for precision in PRECISIONS:
        rows = compare(OnnxCandidate(exported_bundle, random_model.config.interface, precision), case, truth)
        upsampler = {"upsampler"} if precision == "fp32" else set()
        assert {row.graph for row in rows} == {*NETWORKS, "low_shading", "end_to_end"} | upsampler
        for row in rows:
            assert row.difference.max <= (1e-4 if precision == "fp32" else 1e-2) and not row.problem, row
            if row.graph == "end_to_end":
                assert row.difference.psnr_db >= 60, row


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize(
    ("name", "switches", "precision"),
    [
        ("velocity_step", {"prediction": "velocity"}, "fp32"),
        ("velocity_step", {"prediction": "regression"}, "fp32"),
        ("encoder", {"input_encoding": "linear"}, "fp32"),
        # What casts there are, only FP16 has.
        ("encoder", {"input_encoding": "log", "pretrained_encoder": "efficientnet_lite0"}, "fp16"),
        ("decoder", {"decoder_image": True}, "fp16"),
    ],
)
def test_a_networks_switches_are_in_its_graph(random_model, tmp_path, monkeypatch, name, switches, precision) -> None:
    # Without the blocks of the stages, which are those of the exported bundle, and with one of each kind of the ImageNet
    # network's: tracing takes most of the time.
    blocks = ((3, 1, 1, 16), (3, 2, 6, 24), (5, 2, 6, 40), (3, 2, 6, 112), (5, 1, 6, 112))
    monkeypatch.setattr(efficientnet_lite, "BLOCKS", blocks)
    monkeypatch.setattr(efficientnet_lite, "_LAST_OF_STAGE", (1, 2, 4))
    depths = {"encoder_depths": (0,) * 4, "unet_depths": (0,) * 3, "decoder_depths": (0,) * 3}
    config = dataclasses.replace(random_model.config, **depths)
    model = IntrinsicFlow(dataclasses.replace(config, **switches))
    generator = torch.Generator().manual_seed(1)
    weights = random_model.state_dict()
    for parameter, value in model.state_dict().items():
        if parameter not in weights:
            weights[parameter] = (torch.randn(value.shape, generator=generator) / 8).half().float()
    _load(model, weights)
    save_weights(model, tmp_path / WEIGHTS)
    spec = graph_specs(model.config.interface)[name]
    inputs = dict(zip(spec.input_names, example_inputs(spec, torch.Generator().manual_seed(0), batch=1, h=2, w=2)))
    expected = _outputs(model, name, inputs)
    for switch in switches:
        usual = dataclasses.replace(model.config, **{switch: getattr(random_model.config, switch)})
        without = _outputs(_load(IntrinsicFlow(usual), weights), name, inputs)
        assert (expected - without).abs().max() > 1e-2, switch
    spec = graph_specs(model.config.interface, precision)[name]
    exported = export_graph(graph_modules(model if precision == "fp32" else half_copy(model))[name], spec)
    share_weights(exported, tmp_path / WEIGHTS)
    save_graph(exported, tmp_path / graph_file(name, precision))
    feeds = {x.name: inputs[x.name].numpy().astype(x.dtype) for x in spec.inputs}
    found = session(tmp_path / graph_file(name, precision)).run(None, feeds)
    error = np.abs(np.concatenate([x.ravel().astype(np.float32) for x in found]) - expected.numpy()).max()
    assert error < (1e-4 if precision == "fp32" else 2e-2) * expected.abs().max()


def _load(model: IntrinsicFlow, weights: dict[str, torch.Tensor]) -> IntrinsicFlow:
    """The model with those of the weights that it has."""
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    return model.eval().requires_grad_(False)


def _outputs(model: IntrinsicFlow, name: str, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """All outputs of a graph's module in one row."""
    with torch.inference_mode():
        outputs = graph_modules(model)[name](*(inputs[x] for x in graph_specs(model.config.interface)[name].input_names))
    return torch.cat([x.flatten() for x in (outputs if isinstance(outputs, tuple) else (outputs,))])


def test_the_velocity_depends_on_a_float_time(exported_bundle, random_model) -> None:
    run = session(exported_bundle / "velocity_step.onnx").run
    rng = np.random.default_rng(0)
    specs = graph_specs(random_model.config.interface)["velocity_step"].inputs
    feeds = {x.name: rng.standard_normal(x.resolve(batch=1, h=2, w=2), dtype=np.float32) for x in specs}
    feeds["dt"][:] = 1

    def step(t: float) -> np.ndarray:
        return run(None, {**feeds, "t": np.full(1, t, np.float32)})[0]

    assert np.abs(step(0.0) - step(0.5)).max() > 1e-2
    # An integer cast would make these two equal.
    assert np.abs(step(0.30) - step(0.35)).max() > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_time_is_never_cast_away_from_fp32_before_its_embedding(exported_bundle, precision) -> None:
    nodes = graph(exported_bundle / graph_file("velocity_step", precision)).node
    makers = {output: node for node in nodes for output in node.output}
    sinusoids = [node for node in nodes if node.op_type in ("Sin", "Cos")]
    assert {node.op_type for node in sinusoids} == {"Sin", "Cos"}
    for sinusoid in sinusoids:
        behind, seen = list(sinusoid.input), set()
        while behind:
            name = behind.pop()
            seen.add(name)
            if name in makers:
                assert makers[name].op_type != "Cast"
                behind += [source for source in makers[name].input if source not in seen]
        assert "t" in seen


@pytest.mark.parametrize("file", FILES)
def test_graphs_are_thin_and_refer_to_the_weights_file(exported_bundle, file) -> None:
    slots = {(slot.offset, slot.length) for slot in read_slots(exported_bundle / WEIGHTS).values()}
    external = 0
    for tensor in graph(exported_bundle / file).initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            assert entries["location"] == WEIGHTS
            assert (int(entries["offset"]), int(entries["length"])) in slots
            external += 1
        else:
            assert numpy_helper.to_array(tensor).size <= 32, tensor.name
    assert external >= 10


def test_all_graphs_together_are_small(exported_bundle) -> None:
    assert sum(path.stat().st_size for path in exported_bundle.glob("*.onnx")) < 2e6


def test_the_merged_graph_refers_to_each_weight_once(exported_bundle) -> None:
    offsets = [
        entry.value
        for tensor in graph(exported_bundle / "decompose_2step.onnx").initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    ]
    parts = ("encoder.onnx", "velocity_step.onnx", "decoder.onnx")
    alone = sum(len([t for t in graph(exported_bundle / part).initializer if t.external_data]) for part in parts)
    assert len(offsets) == alone


@pytest.mark.parametrize("name", NETWORKS)
def test_fp16_graphs_convolve_in_fp16_and_normalise_in_fp32(exported_bundle, name) -> None:
    content = graph(exported_bundle / graph_file(name, "fp16"))
    values = (*content.value_info, *content.input, *content.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in content.initializer}
    convolutions = [node for node in content.node if node.op_type == "Conv"]
    assert len(convolutions) >= 5
    assert {types[tensor] for node in convolutions for tensor in node.input[:2]} == {TensorProto.FLOAT16}
    norms = [node for node in content.node if node.op_type in ("InstanceNormalization", "Softmax")]
    assert {types[node.input[0]] for node in norms} == {TensorProto.FLOAT}


def test_the_half_copy_keeps_keys_and_leaves_the_original_alone(random_model) -> None:
    half = half_copy(random_model)
    assert list(half.state_dict()) == list(random_model.state_dict())
    assert {parameter.dtype for parameter in random_model.parameters()} == {torch.float32}
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    z = torch.randn(latent_shape(1, 64, 64), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        error = half(image.half(), z).float() - random_model(image, z)
    assert 0 < error.square().mean() < 1e-6


def test_a_large_constant_that_is_no_weight_is_refused(exported_bundle) -> None:
    constant = numpy_helper.from_array(np.random.default_rng(0).random((200, 200), dtype=np.float32), "folded")
    shape = [200, 200]
    content = helper.make_graph(
        [helper.make_node("Add", ["x", "folded"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [constant],
    )
    with pytest.raises(ExportError, match=r"folded \[200, 200\]"):
        share_weights(helper.make_model(content), exported_bundle / WEIGHTS)
