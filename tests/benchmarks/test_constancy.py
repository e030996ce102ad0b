from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.metrics.constancy import change, lit_in_all, local_change
from intrinsic_flow.benchmarks.scoring.metrics.layers import lmse

MASK = np.ones((24, 24), bool)


def albedos(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).uniform(0.1, 0.9, (count, 24, 24, 3)))


def test_the_same_albedo_at_any_exposure_has_not_changed() -> None:
    (one,) = albedos(1)
    assert change([one, one * 0.1, one * 7], MASK) == pytest.approx(0, abs=1e-12)
    assert local_change([one, one * 0.1, one * 7], MASK) == pytest.approx(0, abs=1e-12)


def test_change_of_a_hand_computed_pair() -> None:
    one, two = np.zeros((24, 24, 3)), np.zeros((24, 24, 3))
    one[:, :12] = 1  # half of the energy of the other is explained
    two[:] = 1
    assert change([one, two], MASK) == pytest.approx(0.5)
    two[:, :12] = 0
    assert change([one, two], MASK) == pytest.approx(1)


def test_change_is_the_error_after_the_best_scale_whichever_is_the_reference() -> None:
    one, two = albedos(2)
    for guess, truth in ((one, two), (two, one)):
        scales = np.linspace(0, 3, 6001)
        errors = [np.sum((s * guess - truth) ** 2) / np.sum(truth**2) for s in scales[::50]]
        best = np.sum((np.sum(guess * truth) / np.sum(guess**2) * guess - truth) ** 2) / np.sum(truth**2)
        assert change([one, two], MASK) == pytest.approx(best, rel=1e-9) and best <= min(errors) + 1e-12


def test_several_lights_are_judged_by_the_mean_over_pairs() -> None:
    a, b, c = albedos(3)
    pairs = [(a, b), (a, c), (b, c)]
    assert change([a, b, c], MASK) == pytest.approx(np.mean([change(list(pair), MASK) for pair in pairs]))
    expected = np.mean([(lmse(x, y, MASK) + lmse(y, x, MASK)) / 2 for x, y in pairs])
    assert local_change([a, b, c], MASK) == pytest.approx(expected)


def test_only_pixels_that_every_light_reaches_are_judged() -> None:
    bright, half = np.ones((24, 24)), np.ones((24, 24))
    half[:, 12:] = 0.005
    lit = lit_in_all([bright, half], MASK)
    assert lit[:, :12].all() and not lit[:, 12:].any()
    one, two = albedos(2)
    spoilt = two.copy()
    spoilt[:, 12:] = 1e6
    assert change([one, two], lit) == change([one, spoilt], lit)


def test_one_light_has_no_constancy() -> None:
    with pytest.raises(ValueError, match="two lights"):
        change(albedos(1), MASK)
