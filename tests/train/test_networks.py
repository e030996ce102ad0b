from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from intrinsic_flow.train.networks.blocks import sinusoid
from intrinsic_flow.train.networks.conditioning_encoder import encode_image
from intrinsic_flow.train.networks.config import CONFIGS, NetworkConfig
from intrinsic_flow.train.networks.count import count
from intrinsic_flow.train.networks.model import IntrinsicFlow, latent_shape
from intrinsic_flow.train.networks.vae import AlbedoVAE


def excited(model: nn.Module) -> nn.Module:
    """Random weights also where training starts from zero, so that every path carries signal."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if not parameter.any():
            parameter.data.normal_(0, 0.05, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> IntrinsicFlow:
    torch.manual_seed(0)
    return excited(IntrinsicFlow(CONFIGS["tiny"]))


# base: two bytes a parameter and 0.7 MB of graphs and manifest are a bundle of less than 60 MB.
@pytest.mark.parametrize(("name", "parameters", "gmac"), [("small", 6e6, 3.0), ("base", 29.5e6, 16.0)])
def test_configuration_stays_within_its_budget(name, parameters, gmac):
    cost = count(CONFIGS[name])
    assert 0.8 * parameters < cost.total_parameters <= parameters
    assert 0.8 * gmac < cost.total_gmac <= gmac


def test_published_configuration_has_the_size_of_the_published_system():
    cost = count(CONFIGS["published"]).parameters
    assert cost["vae_encoder"] + cost["decoder"] == pytest.approx(4e6, rel=0.1)
    assert cost["encoder"] + cost["velocity_step"] == pytest.approx(35e6, rel=0.1)


def test_counted_parameters_are_those_of_the_model():
    assert count(CONFIGS["tiny"]).total_parameters == sum(p.numel() for p in IntrinsicFlow(CONFIGS["tiny"]).parameters())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96)])
def test_shapes_follow_the_graph_interfaces(model, height, width):
    image = torch.rand(2, 3, height, width)
    features = model.encoder(image)
    assert [tuple(f.shape) for f in features] == [
        (2, c, height // s, width // s) for c, s in zip(model.config.feature_channels, (8, 16, 32))
    ]
    z = torch.randn(latent_shape(2, height, width))
    assert z.shape == (2, 12, height // 8, width // 8) == model.vae.encode(image).shape
    assert model.unet(z, torch.zeros(1), features).shape == z.shape
    albedo = model(image, z)
    assert albedo.shape == image.shape
    assert albedo.min() >= 0 and albedo.max() <= 1


def test_velocity_depends_on_a_time_that_is_never_an_integer(model):
    image, z = torch.rand(1, 3, 64, 64), torch.randn(latent_shape(1, 64, 64))
    with torch.no_grad():
        features = model.encoder(image)
        velocities = [model.unet(z, torch.tensor([t]), features) for t in (0.0, 0.1, 0.2, 0.5, 0.9)]
    for a, b in zip(velocities, velocities[1:]):
        assert (a - b).abs().max() > 1e-4


def test_sinusoid_tells_close_times_apart():
    embedding = sinusoid(torch.linspace(0, 1, 101), 64)
    distances = torch.cdist(embedding, embedding) + 10 * torch.eye(101)
    assert distances.min() > 0.1


def test_velocity_depends_on_every_feature_map(model):
    image, z = torch.rand(1, 3, 64, 64), torch.randn(latent_shape(1, 64, 64))
    with torch.no_grad():
        features = model.encoder(image)
        reference = model.unet(z, torch.zeros(1), features)
        for level in range(3):
            changed = [f + (i == level) for i, f in enumerate(features)]
            assert (model.unet(z, torch.zeros(1), tuple(changed)) - reference).abs().max() > 1e-4


def test_networks_use_neither_batch_norm_nor_transposed_convolution():
    for config in CONFIGS.values():
        with torch.device("meta"):
            kinds = {type(module) for module in IntrinsicFlow(config).modules()}
        assert not kinds & {nn.BatchNorm2d, nn.SyncBatchNorm, nn.ConvTranspose2d}


def test_latent_normalisation_is_an_exact_affine_at_both_edges():
    vae = excited(AlbedoVAE(CONFIGS["tiny"]))
    vae.latent_mean.normal_()
    vae.latent_std.uniform_(0.5, 2)
    albedo = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        mean, _ = vae.encoder(albedo.sqrt())
        z = vae.encode(albedo)
        torch.testing.assert_close(z * vae.latent_std[:, None, None] + vae.latent_mean[:, None, None], mean)
        torch.testing.assert_close(vae.decode_encoded(z), vae.decoder(mean), atol=1e-5, rtol=1e-5)


def test_euler_sampling_is_the_sum_of_its_steps(model):
    image, z = torch.rand(1, 3, 32, 32), torch.randn(latent_shape(1, 32, 32))
    with torch.no_grad():
        features = model.encoder(image)
        halfway = z + 0.5 * model.unet(z, torch.tensor([0.0]), features)
        expected = halfway + 0.5 * model.unet(halfway, torch.tensor([0.5]), features)
        torch.testing.assert_close(model.sample(image, z, steps=2), expected)


def test_config_survives_a_round_trip_through_plain_values():
    import json

    for config in CONFIGS.values():
        assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_config_names_an_unknown_entry():
    with pytest.raises(ValueError, match="depthz"):
        NetworkConfig.from_dict({**CONFIGS["tiny"].to_dict(), "depthz": 3})


def test_conditioning_encoder_starts_from_what_encodes_the_texture():
    for config in CONFIGS.values():
        with torch.device("meta"):
            wide = IntrinsicFlow(config)
        assert wide.encoder.start_from(wide.vae.encoder), config.name
    model = excited(IntrinsicFlow(CONFIGS["tiny"]))
    assert model.encoder.start_from(model.vae.encoder)
    image = torch.rand(1, 3, 64, 64)
    vae = model.vae.encoder
    with torch.no_grad():
        folded = nn.functional.pixel_unshuffle(image.sqrt() * 2 - 1, 4)
        expected = vae.stage8(vae.down(vae.stage4(vae.stem(folded))))
        torch.testing.assert_close(model.encoder(image)[0], expected)


def test_encoders_of_different_shapes_are_left_alone():
    model = IntrinsicFlow(dataclasses.replace(CONFIGS["tiny"], vae_encoder_widths=(16, 32)))
    before = model.encoder.stem.weight.clone()
    assert not model.encoder.start_from(model.vae.encoder)
    torch.testing.assert_close(model.encoder.stem.weight, before)


def switched(**changes) -> IntrinsicFlow:
    torch.manual_seed(0)
    return excited(IntrinsicFlow(dataclasses.replace(CONFIGS["tiny"], **changes)))


@torch.no_grad()
def test_a_regression_answers_alike_for_any_noise_and_any_number_of_steps():
    model = switched(prediction="regression")
    image, z = torch.rand(1, 3, 64, 64), torch.randn(latent_shape(1, 64, 64))
    answer = model(image, torch.zeros_like(z), steps=1)
    for noise, steps in ((z, 1), (z, 2), (0.25 * z, 4), (torch.zeros_like(z), 2)):
        torch.testing.assert_close(model(image, noise, steps), answer, atol=1e-4, rtol=0)
    assert (model(1 - image, z, 2) - answer).abs().max() > 1e-2


@torch.no_grad()
def test_the_velocity_can_be_what_the_layers_estimate():
    end, direct = switched(), switched(prediction="velocity")
    image, z = torch.rand(1, 3, 64, 64), torch.randn(latent_shape(1, 64, 64))
    features, still = end.encoder(image), torch.zeros_like(z)
    # At t = 1/2 from z = 0 the way left is half the end's estimate, whose layers see the same.
    t = torch.tensor([0.5])
    torch.testing.assert_close(end.unet(still, t, features), 2 * direct.unet(still, t, features))
    assert (end.unet(z, torch.zeros(1), features) - direct.unet(z, torch.zeros(1), features)).abs().max() > 0.1


@pytest.mark.parametrize("encoding", ["linear", "sqrt", "log"])
def test_input_encodings_keep_the_ends_and_the_order(encoding):
    x = torch.linspace(0, 1, 101)
    encoded = encode_image(x, encoding)
    assert encoded[0] == 0 and encoded[-1].item() == pytest.approx(1)
    assert (encoded.diff() > 0).all()


@torch.no_grad()
def test_the_encoder_sees_its_encoding():
    image = torch.rand(1, 3, 64, 64)
    log, linear = switched(input_encoding="log").encoder, switched(input_encoding="linear").encoder
    torch.testing.assert_close(log(image), linear(encode_image(image, "log")))
    assert (log(image)[0] - linear(image)[0]).abs().max() > 1e-2


@pytest.mark.parametrize(("field", "value"), [("prediction", "noise"), ("input_encoding", "gamma")])
def test_unknown_switches_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}.*{value}"):
        dataclasses.replace(CONFIGS["tiny"], **{field: value})


def test_a_config_from_before_the_switches_still_loads():
    values = {k: v for k, v in CONFIGS["tiny"].to_dict().items() if k not in ("prediction", "input_encoding")}
    assert NetworkConfig.from_dict(values) == CONFIGS["tiny"]
