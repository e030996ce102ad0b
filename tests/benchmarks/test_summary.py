from __future__ import annotations

import numpy as np
import pytest

from benchmarks.summary import grouped_mean, interval, interval_of_sums


def test_groups_count_alike_however_many_views_they_have() -> None:
    value, bounds = grouped_mean(np.array([1.0, 3.0, 10.0]), ["a", "a", "b"])
    assert value == pytest.approx((2 + 10) / 2) and bounds[0] == 2 and bounds[1] == 10


def test_the_geometric_mean_is_that_of_groups() -> None:
    value, bounds = grouped_mean(np.array([1.0, 4.0, 16.0]), ["a", "b", "c"], "geometric")
    assert value == pytest.approx(4) and bounds[0] < 4 < bounds[1]


def test_the_interval_is_the_normal_one_for_many_draws() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    value, (low, high) = grouped_mean(values, [str(i) for i in range(400)])
    assert value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.2 * half)


def test_the_interval_equals_a_bootstrap_by_loops() -> None:
    values = np.random.default_rng(1).exponential(1, 30)
    rng = np.random.default_rng(2)
    means = [np.mean([values[rng.integers(30)] for _ in range(30)]) for _ in range(4000)]
    _, bounds = grouped_mean(values, [str(i) for i in range(30)])
    assert bounds == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.06)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(3).random(20)
    assert interval(values, np.mean) == interval(values, np.mean)


def test_one_group_has_no_interval() -> None:
    assert grouped_mean(np.array([1.0, 2.0]), ["a", "a"]) == (1.5, None)


def test_the_interval_of_a_ratio_of_sums_leaves_undefined_draws_out() -> None:
    rng = np.random.default_rng(4)
    parts = np.stack([rng.uniform(1, 2, 50), rng.uniform(2, 4, 50)], axis=1)
    low, high = interval_of_sums(parts, lambda total: total[0] / total[1])
    assert low < parts[:, 0].sum() / parts[:, 1].sum() < high and high - low < 0.1
    assert interval_of_sums(parts, lambda total: None) is None
    assert interval_of_sums(parts[:1], lambda total: 1.0) is None
    one_in_fifty = np.zeros((50, 1))
    one_in_fifty[0] = 1
    assert interval_of_sums(one_in_fifty, lambda total: 1.0 if total[0] else None) == (1.0, 1.0)
