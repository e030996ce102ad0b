from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, as_gray
from intrinsic_flow.benchmarks.scoring.metrics import score_layer

IMAGE = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32)
MASK = np.ones(IMAGE.shape[:2], bool)


def test_each_trivial_answer_gives_its_layers_in_the_images_shape() -> None:
    given = {name: method(IMAGE, MASK) for name, method in TRIVIAL.items()}
    layers = {name: (answer.albedo is not None, answer.shading is not None) for name, answer in given.items()}
    assert layers == {
        "image": (True, False),
        "chromaticity": (True, False),
        "gray image": (False, True),
        "constant": (True, True),
    }
    for answer in given.values():
        for layer in (answer.albedo, answer.shading):
            assert layer is None or (layer.shape == IMAGE.shape and np.isfinite(layer).all())


def test_chromaticity_is_blind_to_shading_and_finite_on_black() -> None:
    image = IMAGE.copy()
    image[0, 0] = 0
    shaded = image * np.random.default_rng(1).uniform(0.1, 2, MASK.shape)[..., None].astype(np.float32)
    answer = TRIVIAL["chromaticity"](shaded, MASK).albedo
    np.testing.assert_allclose(answer, TRIVIAL["chromaticity"](image, MASK).albedo, rtol=1e-5)
    np.testing.assert_allclose(answer.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(answer[0, 0], 1 / 3)


def test_gray_has_rec709_luminance_in_every_channel() -> None:
    np.testing.assert_allclose(as_gray(np.array([[[1.0, 0.0, 0.0]]])), np.full((1, 1, 3), 0.2126), rtol=1e-6)
    np.testing.assert_allclose(as_gray(np.array([[[0.0, 1.0, 2.0]]])), np.full((1, 1, 3), 0.7152 + 0.1444), rtol=1e-6)


def test_the_image_is_the_perfect_albedo_under_even_light() -> None:
    scores = score_layer(TRIVIAL["image"](IMAGE * 0.2, MASK).albedo, IMAGE, MASK)
    assert scores == pytest.approx({"si_mse": 0, "rmse": 0, "lmse": 0, "ssim": 1}, abs=1e-6)


def test_a_constant_is_the_perfect_shading_under_even_white_light() -> None:
    scores = score_layer(TRIVIAL["constant"](IMAGE, MASK).shading, np.full_like(IMAGE, 0.8), MASK)
    assert scores == pytest.approx({"si_mse": 0, "rmse": 0, "lmse": 0, "ssim": 1}, abs=1e-6)
