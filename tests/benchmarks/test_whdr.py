"""WHDR against a slow transcription of Bell et al.'s definition and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.metrics.whdr import Judgements, whdr, with_offset


def judgements(rows: list[tuple[tuple[float, float], tuple[float, float], int, float]]) -> Judgements:
    first, second, darker, weight = zip(*rows, strict=True)
    return Judgements(np.array(first), np.array(second), np.array(darker, np.int8), np.array(weight))


def by_loops(intensity: np.ndarray, answers: Judgements, delta: float) -> float:
    rows, columns = intensity.shape
    wrong = total = 0.0
    for (x1, y1), (x2, y2), darker, weight in zip(
        answers.first, answers.second, answers.darker, answers.weight, strict=True
    ):
        one = max(1e-10, intensity[int(y1 * rows), int(x1 * columns)])
        two = max(1e-10, intensity[int(y2 * rows), int(x2 * columns)])
        if two / one > 1 + delta:
            answer = 1
        elif one / two > 1 + delta:
            answer = 2
        else:
            answer = 0
        wrong += weight * (answer != darker)
        total += weight
    return wrong / total


def random_case(seed: int) -> tuple[np.ndarray, Judgements]:
    rng = np.random.default_rng(seed)
    intensity = rng.uniform(0, 0.5, (23, 31))
    intensity[rng.random(intensity.shape) < 0.1] = 0
    n = 400
    return intensity, Judgements(rng.random((n, 2)), rng.random((n, 2)), rng.integers(0, 3, n), rng.uniform(0.1, 1, n))


@pytest.mark.parametrize("delta", [0.1, 0.2])
@pytest.mark.parametrize("seed", range(2))
def test_whdr_equals_the_loops_of_its_definition(seed: int, delta: float) -> None:
    intensity, answers = random_case(seed)
    assert whdr(intensity, answers, delta) == pytest.approx(by_loops(intensity, answers, delta), rel=1e-12)


def test_whdr_of_a_hand_computed_picture() -> None:
    picture = np.array([[1.0, 1.09], [1.11, 2.0]])
    answers = judgements(
        [
            ((0, 0), (0.5, 0), 0, 1.0),  # 9% apart: equal, as people say
            ((0, 0), (0, 0.5), 0, 2.0),  # 11% apart: called darker, people say equal
            ((0.99, 0.99), (0, 0), 2, 3.0),  # the second is darker, as people say
            ((0, 0), (0.5, 0.5), 2, 4.0),  # the first is darker, people say the second
        ]
    )
    assert whdr(picture, answers) == pytest.approx((2 + 4) / 10)


def test_whdr_is_blind_to_exposure() -> None:
    intensity, answers = random_case(3)
    assert whdr(intensity + 0.01, answers) == whdr((intensity + 0.01) * 37, answers)


def test_a_constant_is_right_exactly_where_people_say_equal() -> None:
    _, answers = random_case(4)
    expected = answers.weight[answers.darker != 0].sum() / answers.weight.sum()
    assert whdr(np.full((5, 5), 0.3), answers) == pytest.approx(expected)


def test_the_offset_changes_no_order_and_yet_the_score() -> None:
    intensity, answers = random_case(5)
    squeezed = with_offset(intensity)
    assert squeezed.min() == 0.5 and squeezed.max() == 1  # the picture has black pixels
    flat, order = intensity.ravel(), np.argsort(intensity.ravel(), kind="stable")
    assert (np.diff(squeezed.ravel()[order]) > 0).sum() == (np.diff(flat[order]) > 0).sum()
    mostly_equal = Judgements(answers.first, answers.second, np.zeros_like(answers.darker), answers.weight)
    assert whdr(squeezed, mostly_equal) < whdr(intensity, mostly_equal)
    np.testing.assert_allclose(with_offset(np.array([[0.2, 0.4]])), [[0.75, 1]])
    almost = np.full((2, 2), 0.3)
    almost[0, 0] += 1e-9  # rounding is not blown up into contrast
    np.testing.assert_allclose(with_offset(almost), 1, atol=1e-8)


def test_no_judgement_is_an_error() -> None:
    empty = Judgements(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, np.int8), np.zeros(0))
    with pytest.raises(ValueError, match="judgement"):
        whdr(np.ones((2, 2)), empty)
