"""From scores of single views to a row: means over groups and bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.stats import bootstrap

LEVEL = 0.95
RESAMPLES = 2000
_SMALLEST = 1e-12

Interval = tuple[float, float] | None


def grouped_mean(
    values: np.ndarray, groups: Sequence[str], average: Literal["arithmetic", "geometric"] = "arithmetic"
) -> tuple[float, Interval]:
    """The mean over groups of the mean within each, and its 95% percentile-bootstrap interval over groups.

    values: (N,) float64. groups: N labels; views of one scene are no independent draws. The geometric mean is that of
    groups. The interval is None for a single group. The same values give the same interval.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    means = np.bincount(index, values) / np.bincount(index)
    if average == "arithmetic":
        return float(means.mean()), interval(means, np.mean)
    logs = np.log(np.maximum(means, _SMALLEST))
    bounds = interval(logs, np.mean)
    return float(np.exp(logs.mean())), bounds and (float(np.exp(bounds[0])), float(np.exp(bounds[1])))


def interval(values: np.ndarray, statistic: Callable[..., np.ndarray]) -> Interval:
    """95% percentile-bootstrap interval of `statistic(values, axis=...)`; None for fewer than two values."""
    if len(values) < 2:
        return None
    result = bootstrap(
        (values,),
        statistic,
        n_resamples=RESAMPLES,
        batch=RESAMPLES // 10,
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
