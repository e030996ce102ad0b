from __future__ import annotations

import numpy as np
import pytest
import torch

from intrinsic_flow.decomposition.exposure import exposure_gain as reference_gain
from intrinsic_flow.train.tone_map import exposure_gain


@pytest.mark.parametrize("seed", range(6))
def test_training_and_runtime_expose_alike(seed):
    rng = np.random.default_rng(seed)
    image = np.exp(rng.normal(0, 2, (33, 47, 3))).astype(np.float32) * 10 ** rng.uniform(-3, 2)
    image[: rng.integers(0, 30)] = 0
    gain = exposure_gain(torch.from_numpy(image).permute(2, 0, 1)[None]).item()
    assert gain == pytest.approx(reference_gain(image), rel=1e-4)


def test_a_dark_surround_does_not_drive_the_exposure():
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 24:40, 24:40] = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.1
    alone = exposure_gain(image[:, :, 24:40, 24:40])
    torch.testing.assert_close(exposure_gain(image), alone, rtol=1e-4, atol=0)


def test_black_images_have_gain_one_in_a_batch_of_others():
    image = torch.cat([torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.4)])
    torch.testing.assert_close(exposure_gain(image).flatten(), torch.tensor([1.0, 2.0]))
