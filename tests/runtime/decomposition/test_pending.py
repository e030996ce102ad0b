"""Layers that are still to be computed: in floats, or as logs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intrinsic_flow.decomposition.guided_filter import GuidedFilter
from intrinsic_flow.decomposition.layers import Source
from intrinsic_flow.decomposition.pending import PendingLayers

FILTER = GuidedFilter(
    cell=4, radius=2, color_radius=3, epsilon=0.1, dark=0.02, min_light=1e-4, min_shading=1e-4, prior=0.1, min_weight=0.1
)


@pytest.fixture
def pending(scene) -> PendingLayers:
    image = scene.copy()
    image[:8] = 0
    image[8, 0] = 50
    low = image[::2, ::2]
    lines = FILTER.fit(np.log(np.maximum(low, 0.05) / 0.4), low)
    return PendingLayers(image, lines, "rgb", 1.5, Source("scene.png"), {"steps": 2})


def test_logs_are_those_of_the_layers(pending):
    result = pending.finish()
    assert (result.source.name, result.settings, result.exposure_gain) == ("scene.png", {"steps": 2}, 1.5)
    np.testing.assert_allclose(result.albedo * result.shading, pending.image, rtol=1e-5)
    rows_seen = 0
    for rows, image, shading in pending.logs():
        shape = pending.image[rows].shape
        np.testing.assert_allclose(np.exp(image).reshape(shape), pending.image[rows], rtol=1e-4, atol=1e-20)
        np.testing.assert_allclose(np.exp(shading).reshape(shape), result.shading[rows], rtol=1e-4)
        rows_seen += shape[0]
    assert rows_seen == len(pending.image)


def test_a_gray_shading_and_one_without_lines_have_no_logs(pending):
    assert pending.has_logs
    for other in (replace(pending, kind="gray"), replace(pending, shading=pending.finish().shading)):
        assert not other.has_logs
        with pytest.raises(ValueError, match="no logs"):
            next(other.logs())
        np.testing.assert_allclose(other.finish().albedo * other.finish().shading, pending.image, rtol=1e-5)
