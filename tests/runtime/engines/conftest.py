"""Engines over the fakes: a folder of plans for the tiny bundle, and what opens an engine on them."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def picture():
    """(batch, height, width, seed) -> image (B, 3, H, W) and noise (B, 12, H / 8, W / 8), float32."""

    def make(batch=1, height=64, width=96, seed=0):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((batch, 12, height // 8, width // 8), np.float32)
        return rng.random((batch, 3, height, width), np.float32), noise

    return make
