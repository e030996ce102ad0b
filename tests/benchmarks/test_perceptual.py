from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.metrics import perceptual


@pytest.fixture(autouse=True)
def forget_the_network():
    perceptual._network.cache_clear()
    yield
    perceptual._network.cache_clear()


def install_fake(monkeypatch: pytest.MonkeyPatch, hub: Path) -> list[tuple]:
    """An `lpips` that returns the mean absolute difference of what it gets, and a hub folder with the trunk."""
    import torch

    seen = []

    class Network:
        def __init__(self, net: str, verbose: bool) -> None:
            assert net == "alex" and not verbose

        def eval(self) -> Network:
            return self

        def __call__(self, first, second):
            seen.append((first, second))
            return (first - second).abs().mean()

    module = ModuleType("lpips")
    module.LPIPS = Network
    module.__spec__ = importlib.util.spec_from_loader("lpips", None)
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    return seen


def test_the_network_gets_encoded_layers_in_minus_one_to_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / perceptual.TRUNK).touch()
    seen = install_fake(monkeypatch, tmp_path)
    black, white = np.zeros((8, 9, 3), np.float32), np.full((8, 9, 3), 3.0, np.float32)
    assert perceptual.why_unavailable() is None
    assert perceptual.lpips_distance(black, white) == pytest.approx(2)
    first, second = seen[0]
    assert tuple(first.shape) == (1, 3, 8, 9) and float(first.max()) == -1 and float(second.min()) == pytest.approx(1)


def test_missing_weights_are_named_with_the_command_that_fetches_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_fake(monkeypatch, tmp_path)
    reason = perceptual.why_unavailable()
    assert perceptual.TRUNK in reason and "lpips.LPIPS(net='alex')" in reason and "\n" not in reason


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None if name == "lpips" else object())
    reason = perceptual.why_unavailable()
    assert 'pip install "intrinsic-flow[lpips]"' in reason and "\n" not in reason
    with pytest.raises(perceptual.LpipsUnavailable):
        perceptual.lpips_distance(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))
