"""SAW's average precision against a slow transcription of the published evaluation, scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, sobel
from sklearn.metrics import precision_recall_curve

from intrinsic_flow.benchmarks.scoring.metrics.shading_gradient import (
    ShadingLabels,
    average_precision,
    gradient_magnitude,
    linear_thresholds,
    log_thresholds,
    precision_recall,
    region_weights,
    smooth_counts,
)


def random_case(seed: int, height: int = 41, width: int = 37) -> tuple[np.ndarray, ShadingLabels]:
    rng = np.random.default_rng(seed)
    gray = np.cumsum(rng.normal(0, 0.02, (height, width)), axis=1) + 0.5
    gray[:, width // 2 :] += 0.4
    classes = rng.choice([0, 1, 2, 100], (height, width), p=[0.1, 0.1, 0.3, 0.5]).astype(np.uint8)
    return gray, ShadingLabels(classes)


def confusion_by_loops(gray, labels, threshold, filter_smooth, weights) -> np.ndarray:
    """The 3x2 matrix of one threshold as in the published code: rows are labels, columns (not smooth, smooth)."""
    magnitude = np.hypot(sobel(gray, axis=1), sobel(gray, axis=0))
    widened = maximum_filter(magnitude, size=10)
    matrix = np.zeros((3, 2))
    for y in range(gray.shape[0]):
        for x in range(gray.shape[1]):
            kind = labels.classes[y, x]
            if kind > 2:
                continue
            value = magnitude[y, x] if kind == 2 and not filter_smooth else widened[y, x]
            matrix[kind, int(value < threshold)] += weights[y, x] if kind == 2 and weights is not None else 1
    return matrix


def precision_recall_by_hand(matrix: np.ndarray) -> tuple[float, float]:
    weighted = matrix * (np.array([1, 1, 2]) / matrix.sum(1))[:, None]
    called = weighted[:, 1].sum()
    return (weighted[2, 1] / called if called else 1.0), weighted[2, 1] / weighted[2].sum()


@pytest.mark.parametrize("filter_smooth", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_counts_equal_the_published_loops_at_every_threshold(filter_smooth: bool, weighted: bool) -> None:
    gray, labels = random_case(0)
    weights = np.random.default_rng(1).uniform(0.1, 2, gray.shape) if weighted else None
    thresholds = np.linspace(0.02, 2.5, 12)
    counts = smooth_counts(gray, labels, thresholds, filter_smooth=filter_smooth, weights=weights)
    precision, recall = precision_recall(counts)
    for k, threshold in enumerate(thresholds):
        matrix = confusion_by_loops(gray, labels, threshold, filter_smooth, weights)
        np.testing.assert_allclose(np.cumsum(counts, -1)[:, k], matrix[:, 1], rtol=1e-12)
        np.testing.assert_allclose(counts.sum(-1), matrix.sum(1), rtol=1e-12)
        assert (precision[k], recall[k]) == pytest.approx(precision_recall_by_hand(matrix), rel=1e-12)


def test_with_every_threshold_the_curve_is_scikit_learns() -> None:
    gray, labels = random_case(2)
    magnitude = maximum_filter(gradient_magnitude(gray), size=10)
    labelled = labels.classes <= 2
    values, kinds = magnitude[labelled], labels.classes[labelled]
    weight = np.array([1.0, 1.0, 2.0])[kinds] / np.bincount(kinds)[kinds]
    expected_precision, expected_recall, cuts = precision_recall_curve(kinds == 2, -values, sample_weight=weight)
    thresholds = np.nextafter(-cuts[::-1], np.inf)  # ours calls smooth what is below, theirs what is not above
    precision, recall = precision_recall(smooth_counts(gray, labels, thresholds, filter_smooth=True))
    np.testing.assert_allclose(precision, expected_precision[-2::-1], rtol=1e-9)
    np.testing.assert_allclose(recall, expected_recall[-2::-1], rtol=1e-9)


def test_average_precision_of_a_hand_computed_curve() -> None:
    # Half of smooth at the first threshold; then both boundaries; then all: precision 1, 1/3, 1/2 at recall .5, .5, 1.
    counts = np.array([[0.0, 4, 0, 0], [0, 7, 0, 0], [5, 0, 5, 0]])
    precision, recall = precision_recall(counts)
    np.testing.assert_allclose(precision, [1, 1 / 3, 0.5])
    np.testing.assert_allclose(recall, [0.5, 0.5, 1])
    assert average_precision(counts) == pytest.approx(0.5 + 0.5 * (1 / 3 + 0.5) / 2)


def test_average_precision_of_perfect_and_useless_shading() -> None:
    perfect = np.array([[0.0, 0, 3], [0, 0, 3], [6, 0, 0]])
    useless = np.array([[0.0, 3, 0], [0, 3, 0], [0, 6, 0]])
    assert average_precision(perfect) == pytest.approx(1)
    assert average_precision(useless) == pytest.approx(0.75)  # a straight line from (0, 1) to (1, .5)


def test_counts_of_photos_add_up_to_those_of_the_set() -> None:
    one, two = (smooth_counts(*random_case(seed), log_thresholds(), filter_smooth=False) for seed in (3, 4))
    apart = [average_precision(counts) for counts in (one, two)]
    assert min(apart) - 0.05 < average_precision(one + two) < max(apart) + 0.05


def test_rounding_of_weighted_counts_never_takes_recall_over_one() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        counts = rng.uniform(0, 1, (3, 401)) ** 4
        counts[:, 250:] = 0
        assert precision_recall(counts)[1].max() <= 1
        assert 0 < average_precision(counts) < 1


def test_a_missing_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="all three classes"):
        average_precision(np.array([[1.0, 0], [0, 0], [0, 1]]))


def test_region_weights_are_the_photos_mean_gradient_in_each_smooth_region() -> None:
    photo = np.zeros((12, 20))
    photo[:, 10:] = np.arange(10) * 0.01  # Sobel of a ramp of .01 a pixel: .08
    classes = np.full(photo.shape, 100, np.uint8)
    classes[2:6, 1:5], classes[2:6, 13:17], classes[8:10, 1:3] = 2, 2, 0
    weights = region_weights(photo, ShadingLabels(classes))
    np.testing.assert_allclose(weights[2:6, 1:5], 0, atol=1e-12)
    np.testing.assert_allclose(weights[2:6, 13:17], 0.08, rtol=1e-9)
    assert (weights[classes != 2] == 1).all()


def test_thresholds_are_ascending_and_span_what_the_papers_span() -> None:
    linear, log = linear_thresholds(), log_thresholds()
    assert len(linear) == 200 and len(log) == 400
    assert (np.diff(linear) >= 0).all() and (np.diff(log) > 0).all()
    assert linear[0] == pytest.approx(5e-5) and linear[-1] == pytest.approx(1 - 5e-5)
    assert log[[0, -1]] == pytest.approx([np.log(1.001), np.log(64)])


def test_the_label_picture_has_saws_colours() -> None:
    picture = ShadingLabels(np.array([[0, 1, 2, 100]], np.uint8)).picture((1, 4))
    np.testing.assert_array_equal(picture[0], [[1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]])
