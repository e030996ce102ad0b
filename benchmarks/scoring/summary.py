"""From scores of single views to a row: means and bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.stats import bootstrap

LEVEL = 0.95
RESAMPLES = 2000
_SMALLEST = 1e-12

Interval = tuple[float, float] | None


def mean_and_interval(
    values: np.ndarray,
    groups: Sequence[str],
    average: Literal["arithmetic", "geometric"] = "arithmetic",
    equal_groups: bool = False,
) -> tuple[float, Interval]:
    """The mean of views and its 95% percentile-bootstrap interval, for which whole groups are drawn.

    values: (N,) float64. groups: N labels; views of one scene are no independent draws. With `equal_groups` each group
    counts once in the mean, however many views it has. The interval is None for a single group. The same values give
    the same interval.
    """
    draws = np.log(np.maximum(values, _SMALLEST)) if average == "geometric" else values
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums: np.ndarray = np.bincount(index, draws)
    counts: np.ndarray = np.bincount(index).astype(np.float64)
    if equal_groups:
        sums, counts = sums / counts, np.ones_like(counts)
    value, bounds = float(sums.sum() / counts.sum()), _interval_of_ratio(sums, counts)
    if average == "geometric":
        return float(np.exp(value)), bounds and (float(np.exp(bounds[0])), float(np.exp(bounds[1])))
    return value, bounds


def _interval_of_ratio(sums: np.ndarray, counts: np.ndarray) -> Interval:
    """Interval of sum(sums) / sum(counts), (N,) each, drawn together."""
    if len(sums) < 2:
        return None
    result = bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        n_resamples=RESAMPLES,
        batch=RESAMPLES // 10,
        paired=True,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(result.low), float(result.high)


def interval_of_sums(parts: np.ndarray, statistic: Callable[[np.ndarray], float | None]) -> Interval:
    """The same for a statistic of a sum over N views; None where hardly a draw has one.

    parts: (N, ...) float64, what each view adds. statistic: of the (...) sum; None where a draw leaves it undefined.
    """
    if len(parts) < 2:
        return None
    draws = np.random.default_rng(0).multinomial(len(parts), np.full(len(parts), 1 / len(parts)), RESAMPLES)
    sums = (draws.astype(np.float64) @ parts.reshape(len(parts), -1)).reshape(-1, *parts.shape[1:])
    values = [value for total in sums if (value := statistic(total)) is not None]
    if len(values) < RESAMPLES / 2:
        return None
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
