"""The guided filter on the CPU against the upsampler graph of the shipped model, which computes the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from intrinsic_flow.backends import open_backend
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.upsampling import to_nchw, upsample_shading
from intrinsic_flow.train.networks.guided_upsampler import CONSTANTS


@pytest.fixture(scope="module")
def engine():
    engine = open_backend(Bundle.load("small"), "cpu", threads=1)
    yield engine
    engine.close()


@pytest.mark.parametrize(("low", "full"), [((61, 97), (183, 290)), ((32, 40), (20, 25)), ((64, 64), (64, 64))])
def test_filter_and_graph_give_the_same_shading(engine, low, full):
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.uniform(0, 1, (9, 13, 3)).astype(np.float32), full[::-1])
    image *= rng.uniform(0.2, 1, image.shape).astype(np.float32)
    image[: full[0] // 5, : full[1] // 5] = 0
    guide = cv2.resize(image, low[::-1], interpolation=cv2.INTER_AREA) * np.float32(1.7)
    log_shading = (0.5 * np.log(guide + 0.01) + rng.normal(0, 0.1, guide.shape)).astype(np.float32)
    maps = {"guide": to_nchw(guide), "log_shading": to_nchw(log_shading)}
    expected = upsample_shading(engine, image, maps, 1.7)
    lines = CONSTANTS.fit(log_shading, guide)
    np.testing.assert_allclose(lines.shading(image, 1.7), expected, rtol=1e-4)
    # Sampled at the low resolution they differ only where they bend.
    np.testing.assert_allclose(lines.at_low_resolution().shading(image, 1.7), expected, rtol=2e-2)


def test_the_shipped_model_says_which_filter_its_graph_is():
    assert Bundle.load("small").guided_filter == CONSTANTS
