"""The scores against hand-computed cases and against slow loops that follow the definitions word by word."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.metrics import best_scale, lmse, score_layer, si_mse, ssim


def random_case(seed: int, height: int = 67, width: int = 53) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((height, width, 3)).astype(np.float32)
    prediction = (truth + rng.normal(0, 0.3, truth.shape)).clip(0).astype(np.float32)
    mask = rng.random((height, width)) < 0.7
    mask[:25, :30] = False  # windows without any valid pixel
    return prediction, truth, mask


def lmse_by_loops(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, window: int, stride: int) -> float:
    errors = total = 0.0
    height, width = mask.shape
    for top in range(0, height - window + 1, stride):
        for left in range(0, width - window + 1, stride):
            cross = energy = 0.0
            pixels = [
                (float(prediction[y, x, c]), float(truth[y, x, c]))
                for y in range(top, top + window)
                for x in range(left, left + window)
                for c in range(3)
                if mask[y, x]
            ]
            for guess, wanted in pixels:
                cross += guess * wanted
                energy += guess * guess
            scale = cross / energy if energy > 0 else 0.0
            for guess, wanted in pixels:
                errors += (scale * guess - wanted) ** 2
                total += wanted * wanted
    return errors / total


def ssim_by_loops(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """SSIM as in Wang et al. 2004 at masked pixels at least 5 from the border."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for y, x in np.argwhere(mask):
        for c in range(3):
            a = prediction[y - 5 : y + 6, x - 5 : x + 6, c].astype(np.float64)
            b = truth[y - 5 : y + 6, x - 5 : x + 6, c].astype(np.float64)
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
            values.append(luminance * (2 * covariance + c2) / (var_a + var_b + c2))
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(3))
def test_lmse_equals_the_loops_of_its_definition(seed: int) -> None:
    prediction, truth, mask = random_case(seed)
    assert lmse(prediction, truth, mask) == pytest.approx(lmse_by_loops(prediction, truth, mask, 20, 10), rel=1e-9)


def test_lmse_of_other_windows_equals_the_loops() -> None:
    prediction, truth, mask = random_case(3)
    found = lmse(prediction, truth, mask, window=16, stride=8)
    assert found == pytest.approx(lmse_by_loops(prediction, truth, mask, 16, 8), rel=1e-9)


def test_lmse_of_a_hand_computed_window() -> None:
    # Left half truth 1, right half 3, prediction 1: scale 2, error 1 everywhere, mean of squares (1 + 9) / 2.
    truth = np.ones((20, 20, 3))
    truth[:, 10:] = 3
    assert lmse(np.ones((20, 20, 3)), truth, np.ones((20, 20), bool)) == pytest.approx(1 / 5)


def test_lmse_forgives_a_factor_per_window_but_not_per_channel() -> None:
    truth = np.random.default_rng(0).random((40, 20, 3)) + 0.1
    factor = np.ones((40, 20, 1))
    factor[20:] = 7.0
    mask = np.ones((40, 20), bool)
    mask[10:30] = False  # no valid pixels of both factors in one window
    assert lmse(truth * factor, truth, mask) == pytest.approx(0, abs=1e-12)
    assert lmse(truth * [1.0, 2.0, 3.0], truth, mask) > 0.01


def test_lmse_of_a_black_prediction_is_one() -> None:
    _, truth, mask = random_case(4)
    assert lmse(np.zeros_like(truth), truth, mask) == pytest.approx(1)


def test_lmse_refuses_a_picture_smaller_than_its_window() -> None:
    small = np.ones((19, 40, 3))
    with pytest.raises(ValueError, match="40x19"):
        lmse(small, small, np.ones((19, 40), bool))


def test_lmse_refuses_a_black_truth() -> None:
    with pytest.raises(ValueError, match="zero"):
        lmse(np.ones((20, 20, 3)), np.zeros((20, 20, 3)), np.ones((20, 20), bool))


def test_scale_of_a_hand_computed_case() -> None:
    # a = (1 * 2 + 2 * 2) / (1 + 4) = 1.2: errors 0.8 and -0.4, the same in three channels.
    prediction = np.array([1.0, 2.0, 100.0])[None, :, None].repeat(3, -1)
    truth = np.array([2.0, 2.0, 5.0])[None, :, None].repeat(3, -1)
    mask = np.array([[True, True, False]])
    assert best_scale(prediction, truth, mask) == pytest.approx(1.2)
    assert si_mse(prediction, truth, mask) == pytest.approx((0.64 + 0.16) / 2)


def test_the_scale_is_shared_by_the_channels() -> None:
    truth = np.ones((1, 1, 3))
    # a = (1 + 2) / (1 + 4) = 0.6: errors 0.4, 0.2 and 1.
    error = si_mse(np.array([[[1.0, 2.0, 0.0]]]), truth, np.ones((1, 1), bool))
    assert error == pytest.approx((0.16 + 0.04 + 1) / 3)


def test_si_mse_equals_a_search_over_scales() -> None:
    prediction, truth, mask = random_case(5, 30, 35)
    errors = [np.mean((a * prediction[mask].astype(float) - truth[mask]) ** 2) for a in np.linspace(0, 2, 5001)]
    assert si_mse(prediction, truth, mask) == pytest.approx(min(errors), rel=1e-6)
    assert si_mse(prediction, truth, mask) <= min(errors)


def test_rmse_of_a_view_is_the_root_of_its_si_mse() -> None:
    scores = score_layer(*random_case(6))
    assert scores["rmse"] ** 2 == pytest.approx(scores["si_mse"])


def test_ssim_equals_the_loops_of_its_definition() -> None:
    prediction, truth, mask = random_case(7, 45, 41)
    inner = np.zeros_like(mask)
    inner[5:-5, 5:-5] = mask[5:-5, 5:-5]
    prediction, truth = prediction * inner[..., None], truth * inner[..., None]
    scaled = prediction * best_scale(prediction, truth, inner)
    assert ssim(prediction, truth, inner) == pytest.approx(ssim_by_loops(scaled, truth, inner), abs=1e-7)


@pytest.mark.parametrize("seed", range(2))
def test_the_truth_times_any_factor_is_perfect(seed: int) -> None:
    _, truth, mask = random_case(seed)
    scores = score_layer(truth * 3.7, truth, mask)
    assert scores == pytest.approx({"si_mse": 0, "rmse": 0, "lmse": 0, "ssim": 1}, abs=1e-6)


def test_pixels_outside_the_mask_never_matter() -> None:
    prediction, truth, mask = random_case(8)
    spoilt_prediction, spoilt_truth = prediction.copy(), truth.copy()
    spoilt_prediction[~mask] = np.nan
    spoilt_truth[~mask] = 1e6
    assert score_layer(spoilt_prediction, spoilt_truth, mask) == score_layer(prediction, truth, mask)


def test_a_worse_prediction_scores_worse_everywhere() -> None:
    _, truth, mask = random_case(9)
    noise = np.random.default_rng(9).normal(0, 1, truth.shape)
    near, far = (score_layer(np.abs(truth + size * noise), truth, mask) for size in (0.05, 0.3))
    assert all(near[name] < far[name] for name in ("si_mse", "rmse", "lmse"))
    assert near["ssim"] > far["ssim"]
