"""Something to time, and what its times say: percentiles, ratios between candidates, whether they can be trusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CALLS_PER_ROUND = 3
# Threads of one library may wait actively for a while after a call; they must not do so in the other's turn.
PAUSE_SECONDS = 0.02
DISTURBED_RATIO = 1.5
# Of a report, as JSON: text and numbers by column.
Row = dict[str, Any]


@dataclass
class Candidate:
    """What it is (the row's descriptive fields), how to call it once, and the times taken, in ms.

    frames: pictures per call. times: one list a round.
    """

    labels: Row
    call: Callable[[], object]
    frames: int
    times: list[list[float]] = field(default_factory=list)

    def take_turn(self, calls: int = CALLS_PER_ROUND) -> None:
        """One round: `calls` calls back to back."""
        turn = []
        for _ in range(calls):
            start = time.perf_counter()
            self.call()
            turn.append((time.perf_counter() - start) * 1e3)
        self.times.append(turn)

    def round_medians(self) -> np.ndarray:
        """Median of each round, ms."""
        return np.median(self.times, axis=1)

    def row(self) -> Row:
        """The report's row: labels, percentiles over all calls, pictures per second at the median.

        `disturbed`: the median is far from the minimum or the 90th percentile from the median, so that the times tell
        of other work on the machine more than of this.
        """
        p50, p90, p99 = np.percentile(self.times, (50, 90, 99))
        return {
            **self.labels,
            "min_ms": round(float(np.min(self.times)), 3),
            "p50_ms": round(float(p50), 3),
            "p90_ms": round(float(p90), 3),
            "p99_ms": round(float(p99), 3),
            "frames_per_second": round(self.frames * 1e3 / float(p50), 2),
            "calls": int(np.size(self.times)),
            "disturbed": bool(p50 > DISTURBED_RATIO * np.min(self.times) or p90 > DISTURBED_RATIO * p50),
        }


def take_turns(candidates: Sequence[Candidate], rounds: int, calls: int = CALLS_PER_ROUND) -> None:
    """Every candidate once a round, so that whatever the machine does meanwhile meets all of them."""
    for _ in range(rounds):
        for candidate in candidates:
            candidate.take_turn(calls)
            time.sleep(PAUSE_SECONDS)


def speedup(candidate: Candidate, reference: Candidate) -> float:
    """How many times faster the candidate is: the median of the ratio over the rounds, which both took part in."""
    return float(np.median(reference.round_medians() / candidate.round_medians()))
