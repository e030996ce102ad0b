from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.summary import interval_of_sums, mean_and_interval


def test_views_count_alike_unless_groups_shall() -> None:
    values, groups = np.array([1.0, 3.0, 10.0]), ["a", "a", "b"]
    assert mean_and_interval(values, groups)[0] == pytest.approx(14 / 3)
    assert mean_and_interval(values, groups, equal_groups=True) == (pytest.approx((2 + 10) / 2), (2, 10))


def test_views_of_one_scene_widen_the_interval() -> None:
    values = np.random.default_rng(5).normal(0, 1, 40).repeat(3)
    apart = mean_and_interval(values, [str(i) for i in range(120)])[1]
    together = mean_and_interval(values, [str(i // 3) for i in range(120)])[1]
    assert together[1] - together[0] == pytest.approx(np.sqrt(3) * (apart[1] - apart[0]), rel=0.15)


def test_the_geometric_mean() -> None:
    value, bounds = mean_and_interval(np.array([1.0, 4.0, 16.0]), ["a", "b", "c"], "geometric")
    assert value == pytest.approx(4) and bounds[0] < 4 < bounds[1]


def test_the_interval_is_the_normal_one_for_many_draws() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    value, (low, high) = mean_and_interval(values, [str(i) for i in range(400)])
    assert value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.2 * half)


def test_the_interval_equals_a_bootstrap_by_loops() -> None:
    values = np.random.default_rng(1).exponential(1, 30)
    rng = np.random.default_rng(2)
    means = [np.mean([values[rng.integers(30)] for _ in range(30)]) for _ in range(4000)]
    _, bounds = mean_and_interval(values, [str(i) for i in range(30)])
    assert bounds == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.06)


def test_the_same_values_give_the_same_interval() -> None:
    values, groups = np.random.default_rng(3).random(20), [str(i) for i in range(20)]
    assert mean_and_interval(values, groups) == mean_and_interval(values, groups)


def test_one_group_has_no_interval() -> None:
    assert mean_and_interval(np.array([1.0, 2.0]), ["a", "a"]) == (1.5, None)


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
