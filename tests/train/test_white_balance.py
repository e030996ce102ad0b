"""White balance in training: what it takes away, what stays."""

from __future__ import annotations

import pytest
import torch

from intrinsic_flow.train.data import white_balance as module
from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.data.white_balance import white_balance
from intrinsic_flow.train.tone_map import luminance

WARM = torch.tensor([2.0, 1.0, 0.5])


def gains(light, mask=None, count=1, seed=0):
    shading = light.reshape(1, 3, 1, 1).expand(count, 3, 4, 6)
    mask = torch.ones(count, 1, 4, 6) if mask is None else mask
    return white_balance(shading, mask, Draws(torch.Generator().manual_seed(seed), count))[..., 0, 0]


def test_a_full_pull_without_error_leaves_neutral_light_of_the_same_luminance(monkeypatch):
    monkeypatch.setattr(module, "PULL", (1.0, 1.0))
    monkeypatch.setattr(module, "SMALL_MIRED", 0.0)
    monkeypatch.setattr(module, "LARGE_MIRED", 0.0)
    balanced = gains(WARM)[0] * WARM
    brightness = 0.2126 * 2 + 0.7152 + 0.0722 * 0.5
    torch.testing.assert_close(balanced, torch.full((3,), brightness), rtol=1e-4, atol=1e-5)


def test_a_rest_of_the_colour_stays_and_a_tenth_is_far_off():
    balanced = gains(WARM, count=4000) * WARM
    ratio = (balanced[:, 0] / balanced[:, 2]).log()
    # Of log 4, up to two fifths stay; the error of the balance is even to both sides.
    assert ratio.median().item() == pytest.approx(0.2 * torch.log(torch.tensor(4.0)).item(), abs=0.03)
    assert 0.02 < (ratio > 0.9).float().mean().item() < 0.1
    torch.testing.assert_close(luminance(balanced[..., None, None]), luminance(WARM.expand(4000, 3)[..., None, None]))


def test_light_outside_the_surfaces_does_not_count():
    shading = torch.ones(1, 3, 4, 6)
    shading[..., 3:] = torch.tensor([9.0, 1.0, 0.1])[None, :, None, None]
    mask = torch.ones(1, 1, 4, 6)
    mask[..., 3:] = 0
    draws = lambda: Draws(torch.Generator().manual_seed(3), 1)  # noqa: E731
    torch.testing.assert_close(white_balance(shading, mask, draws()), white_balance(torch.ones(1, 3, 4, 6), mask, draws()))


def test_black_light_is_left_alone():
    assert torch.isfinite(gains(torch.zeros(3))).all()
