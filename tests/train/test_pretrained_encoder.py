"""The ImageNet network beside the encoder: its layers, its weights, and how it joins a trained network."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intrinsic_flow.train.checkpoint import CheckpointError, start_from
from intrinsic_flow.train.config import ConfigError, FlowConfig
from intrinsic_flow.train.flow import start_pretrained
from intrinsic_flow.train.networks.config import CONFIGS
from intrinsic_flow.train.networks.count import count
from intrinsic_flow.train.networks.efficientnet_lite import BLOCKS, CHANNELS, EfficientNetLite, SameConv, folded_weights
from intrinsic_flow.train.networks.model import IntrinsicFlow, latent_shape

BOTH = {"pretrained_encoder": "efficientnet_lite0", "decoder_image": True}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A state dict as the package has it: convolutions without bias, each before a batch norm, of random numbers."""
    generator = torch.Generator().manual_seed(0)
    weights = {"_fc.bias": torch.zeros(1000)}

    def add(convolution: str, norm: str, ours: nn.Conv2d) -> None:
        weights[f"{convolution}.weight"] = 0.1 * torch.randn(ours.weight.shape, generator=generator)
        for name in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{name}"] = 0.5 + torch.rand(ours.out_channels, generator=generator)

    model = EfficientNetLite()
    add("_conv_stem", "_bn0", model.stem)
    for index, block in enumerate(model.blocks):
        if block.expand is not None:
            add(f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0", block.expand)
        add(f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1", block.depthwise)
        add(f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2", block.project)
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(weights, path)
    return path, weights


def test_folded_batch_norms_give_what_batch_norms_give(stored):
    path, weights = stored
    model = EfficientNetLite().eval()
    model.load_state_dict(folded_weights(path))

    def layer(h, convolution, norm, stride, groups, kernel):
        total = kernel - stride
        h = F.pad(h, (total // 2, total - total // 2) * 2)
        h = F.conv2d(h, weights[f"{convolution}.weight"], stride=stride, groups=groups)
        values = (weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(h, *values, training=False, eps=1e-3)

    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    h = F.relu6(layer((image * 255 - 127) / 128, "_conv_stem", "_bn0", 2, 1, 3))
    expected = []
    for index, (kernel, stride, expansion, _) in enumerate(BLOCKS):
        name, before, groups = f"_blocks.{index}", h, h.shape[1] * expansion
        if expansion > 1:
            h = F.relu6(layer(h, f"{name}._expand_conv", f"{name}._bn0", 1, 1, 1))
        h = F.relu6(layer(h, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups, kernel))
        h = layer(h, f"{name}._project_conv", f"{name}._bn2", 1, 1, 1)
        h = h + before if h.shape == before.shape and stride == 1 else h
        if index in (2, 4, 10):
            expected.append(h)
    found = model(image)
    assert [f.shape[1] for f in found] == list(CHANNELS)
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_same_padding_has_the_odd_pixel_at_the_end():
    convolution = SameConv(1, 1, 3, 2)
    nn.init.ones_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    # Rows of three pixels from 0 and from 2, the last one beyond the end: 0 + 1 + 2 and 2 + 3 + nothing.
    assert convolution(ramp)[0, 0].tolist() == [[9.0, 15.0], [6.0, 10.0]]


def test_weights_that_are_none_are_named(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x\.pth: found .*expected the state dict of efficientnet-lite0"):
        folded_weights(tmp_path / "x.pth")
    torch.save({"_conv_stem.weight": torch.zeros(1)}, tmp_path / "y.pth")
    with pytest.raises(ValueError, match=r"KeyError: '_bn0\.running_mean'"):
        folded_weights(tmp_path / "y.pth")


def test_additions_leave_a_trained_network_as_it_was(stored, tmp_path):
    torch.manual_seed(0)
    plain = IntrinsicFlow(CONFIGS["tiny"]).eval()
    for parameter in plain.parameters():
        parameter.data.normal_(0, 0.05)
    torch.save({"stage": "flow", "ema": {"model": plain.state_dict()}}, tmp_path / "checkpoint.pt")
    both = IntrinsicFlow(dataclasses.replace(CONFIGS["tiny"], **BOTH)).eval()
    start_pretrained(both, FlowConfig(**BOTH, steps=1, perceptual_network="none", pretrained_weights=str(stored[0])), None)
    start_from(both, tmp_path)
    image, z = torch.rand(1, 3, 64, 96), torch.randn(latent_shape(1, 64, 96))
    with torch.no_grad():
        torch.testing.assert_close(both(image, z), plain(image, z))
        # Once the joins have weights, both see the image through their new eyes.
        for join in (*both.encoder.joins, *(join.out for join in both.vae.decoder.joins)):
            join.weight.normal_(0, 0.05)
        assert (both.encoder(image)[2] - plain.encoder(image)[2]).abs().max() > 1e-3
        assert (both.vae.decode(z, image) - both.vae.decode(z, 1 - image)).abs().max() > 1e-3
        torch.testing.assert_close(both.vae.decode(z), plain.vae.decode(z))
    with pytest.raises(CheckpointError, match=r"0 weights missing and \d+ that do not fit, like vae\.decoder\.joins"):
        torch.save({"stage": "flow", "ema": {"model": both.state_dict()}}, tmp_path / "checkpoint.pt")
        start_from(plain, tmp_path)


def test_weights_come_from_a_file_or_a_network_that_has_them(stored, tmp_path):
    both = IntrinsicFlow(dataclasses.replace(CONFIGS["tiny"], **BOTH))
    config = FlowConfig(**BOTH, steps=1, perceptual_network="none")
    with pytest.raises(ConfigError, match="--pretrained-weights: found none"):
        start_pretrained(both, config, None)
    torch.save({"stage": "flow", "ema": {"model": both.state_dict()}}, tmp_path / "checkpoint.pt")
    start_pretrained(both, config, str(tmp_path))
    absent = dataclasses.replace(config, pretrained_weights=str(tmp_path / "none.pth"))
    with pytest.raises(ConfigError, match=r"--pretrained-weights: .*none\.pth"):
        start_pretrained(both, absent, None)


def test_small_with_both_stays_within_its_budget():
    cost = count(dataclasses.replace(CONFIGS["small"], **BOTH))
    assert cost.total_parameters <= 10e6 and cost.total_gmac <= 4.5
