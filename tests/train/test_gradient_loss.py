"""The gradient loss against a transcription of its definition in NumPy, one pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intrinsic_flow.train.gradient_loss import LOG_OFFSET, log_shading_error, multiscale_gradient_loss


def slow_loss(prediction, target, mask, scales):
    """One image: prediction, target (3, H, W), mask (H, W)."""
    total = 0.0
    for _ in range(scales):
        channels, height, width = prediction.shape
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    for dy, dx in ((0, 1), (1, 0)):
                        if y + dy >= height or x + dx >= width or not mask[y, x] or not mask[y + dy, x + dx]:
                            continue
                        ours = prediction[c, y + dy, x + dx] - prediction[c, y, x]
                        theirs = target[c, y + dy, x + dx] - target[c, y, x]
                        total += abs(ours - theirs) / (channels * height * width)
        halved = [np.zeros((channels, height // 2, width // 2)) for _ in range(2)]
        halved_mask = np.zeros((height // 2, width // 2), bool)
        for y in range(height // 2):
            for x in range(width // 2):
                block = np.s_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                halved[0][:, y, x] = prediction[:, *block].mean((1, 2))
                halved[1][:, y, x] = target[:, *block].mean((1, 2))
                halved_mask[y, x] = mask[block].all()
        (prediction, target), mask = halved, halved_mask
    return total


@pytest.mark.parametrize("scales", [1, 4])
def test_loss_is_its_definition(scales):
    rng = np.random.default_rng(0)
    prediction, target = rng.uniform(0, 1, (2, 2, 3, 16, 24))
    mask = rng.uniform(size=(2, 16, 24)) > 0.1
    error = torch.from_numpy(prediction - target).float()
    ours = multiscale_gradient_loss(error, torch.from_numpy(mask).float()[:, None], scales)
    expected = [slow_loss(*row, scales) for row in zip(prediction, target, mask)]
    torch.testing.assert_close(ours, torch.tensor(expected).float(), rtol=1e-5, atol=1e-6)


def test_a_constant_offset_has_no_gradient_and_a_shadow_edge_has():
    mask = torch.ones(1, 1, 32, 32)
    assert multiscale_gradient_loss(torch.full((1, 3, 32, 32), 0.2), mask).item() == 0
    shadow = torch.zeros(1, 3, 32, 32)
    shadow[..., 16:] = 0.2
    assert multiscale_gradient_loss(shadow, mask).item() > 0.02


def test_invalid_pixels_do_not_matter():
    error = torch.zeros(1, 3, 16, 16)
    error[..., :8] = torch.rand(8)
    mask = torch.ones(1, 1, 16, 16)
    mask[..., :8] = 0
    assert multiscale_gradient_loss(error, mask).item() == 0


def test_log_shading_error_is_that_of_the_derived_shading():
    albedo, wrong, image = torch.rand(3, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.5
    shading, derived = image / (albedo + LOG_OFFSET).square(), image / (wrong + LOG_OFFSET).square()
    torch.testing.assert_close(log_shading_error(wrong, albedo), derived.log() - shading.log())


def test_log_shading_error_has_a_finite_slope_at_black():
    prediction = torch.zeros(1, 3, 8, 8, requires_grad=True)
    multiscale_gradient_loss(log_shading_error(prediction, torch.rand(1, 3, 8, 8)), torch.ones(1, 1, 8, 8)).backward()
    assert torch.isfinite(prediction.grad).all()
