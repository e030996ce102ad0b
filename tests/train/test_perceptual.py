from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import save_file

from intrinsic_flow.train import command, vae
from intrinsic_flow.train.perceptual import PerceptualError, import_torchvision_models, open_distance


@pytest.fixture(scope="module")
def weights_of(tmp_path_factory):
    """A file with random weights of a torchvision network."""
    folder = tmp_path_factory.mktemp("weights")

    def make(network, suffix=".pth"):
        path = folder / (network + suffix)
        if not path.exists():
            torch.manual_seed(0)
            state = import_torchvision_models().get_model(network, weights=None).state_dict()
            (save_file if suffix == ".safetensors" else torch.save)(state, path)
        return path

    return make


def assert_is_a_distance(distance):
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(distance(image, image), torch.zeros(2))
    other = (image * 0.5).requires_grad_()
    value = distance(other, image)
    assert value.shape == (2,) and value.dtype == torch.float32 and (value > 0).all()
    value.sum().backward()
    assert other.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in distance.parameters())


@pytest.mark.parametrize(
    ("network", "file", "layers"),
    [
        ("squeezenet1_0", "squeezenet1_0", ()),
        ("torchvision:squeezenet1_0", "squeezenet1_0", ("features.3", "features.7")),
        ("torchvision:squeezenet1_1", "squeezenet1_1", ()),
        ("torchvision:alexnet", "alexnet", ()),
        ("torchvision:resnet18", "resnet18", ()),
        ("torchvision:mobilenet_v3_small", "mobilenet_v3_small", ("features.1", "features.4")),
    ],
)
def test_a_network_by_name_is_a_distance(weights_of, network, file, layers):
    assert_is_a_distance(open_distance(network, weights_of(file), layers))


def test_features_are_those_of_the_layers_and_nothing_behind_them_is_computed(weights_of):
    distance = open_distance("squeezenet1_0", weights_of("squeezenet1_0"))
    model = import_torchvision_models().squeezenet1_0(weights=None).eval()
    model.load_state_dict(torch.load(weights_of("squeezenet1_0"), weights_only=True))
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    h, expected = (image - distance.mean) / distance.std, []
    for place, layer in enumerate(model.features):
        h = layer(h)
        if place in (1, 4, 8, 10):
            expected.append(torch.nn.functional.normalize(h, dim=1, eps=1e-6))
    torch.testing.assert_close(distance.extract(image), expected)
    assert len(list(distance.parameters())) < len(list(model.features[:11].parameters())) + 1


def test_both_kinds_of_weights_file_are_read(weights_of):
    first, second = (open_distance("squeezenet1_0", weights_of("squeezenet1_0", x)) for x in (".pth", ".safetensors"))
    torch.testing.assert_close(first.state_dict(), second.state_dict())


@pytest.mark.parametrize(("backbone", "network"), [("squeeze", "squeezenet1_1"), ("alex", "alexnet")])
def test_lpips_takes_its_backbone_from_a_file(weights_of, backbone, network):
    lpips = pytest.importorskip("lpips", reason="the package lpips is not installed")
    distance = open_distance(f"lpips:{backbone}", weights_of(network))
    assert_is_a_distance(distance)
    model = import_torchvision_models().get_model(network, weights=None)
    model.load_state_dict(torch.load(weights_of(network), weights_only=True))
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    ours = distance.distance.net(lpips.ScalingLayer()(image))[0]
    torch.testing.assert_close(ours, model.features[:2].eval()(lpips.ScalingLayer()(image)))


@pytest.mark.parametrize(
    ("network", "file", "layers", "message"),
    [
        ("squeezenet1_0", "absent.pth", (), r"absent\.pth: found no such file"),
        ("squeezenet1_0", "wrong.pth", (), r"wrong\.pth: found .*expected a torchvision state dict"),
        ("resnet9000", "wrong.pth", (), "resnet9000"),
        ("torchvision:resnet9000", None, (), "resnet9000"),
        ("lpips:resnet", None, (), "lpips:resnet"),
        ("torchvision:squeezenet1_0", "squeezenet1_0", ("features.99",), r"features\.99.*features\.1,"),
        ("torchvision:mobilenet_v3_small", "mobilenet_v3_small", (), "no layers for mobilenet_v3_small"),
    ],
)
def test_what_cannot_be_had_is_named_in_one_line(tmp_path, weights_of, network, file, layers, message):
    torch.save({"a": torch.zeros(1)}, tmp_path / "wrong.pth")
    if file is not None:
        file = tmp_path / file if file.endswith(".pth") else weights_of(file)
    with pytest.raises(PerceptualError, match=message) as caught:
        open_distance(network, file, layers)
    assert "\n" not in str(caught.value)


def test_without_the_package_lpips_its_extra_is_named(weights_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(PerceptualError, match=r"intrinsic-flow\[lpips\]"):
        open_distance("lpips:squeeze", weights_of("squeezenet1_1"))


def test_offline_the_missing_weights_are_one_line_and_status_2(tmp_path, capsys, monkeypatch, handled_signals):
    # A proxy that is not there stands for the missing network, an empty cache for a fresh machine.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    options = ["--data", "procedural", "--network", "tiny", "--steps", "1", "--device", "cpu"]
    options += ["--perceptual-network", "torchvision:alexnet", "-o", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        command.exit_with_one_line(lambda: vae.main(options))
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "no weights of alexnet" in error.splitlines()[-1] and "--perceptual-weights" in error.splitlines()[-1]
    assert "Traceback" not in error and not (tmp_path / "run").exists()
