"""The pipeline's threads: bounded, in order, and never hiding an error."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from intrinsic_flow.decomposition.pipeline import Sink, in_order, prefetch


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.005)


def test_prefetch_yields_all_in_order_and_draws_only_a_few_ahead():
    drawn = []

    def items():
        for number in range(20):
            drawn.append(number)
            yield number

    ahead = prefetch(items(), depth=3)
    assert next(ahead) == 0
    wait_until(lambda: len(drawn) >= 4)
    time.sleep(0.05)
    assert len(drawn) <= 5
    assert list(ahead) == list(range(1, 20))


def test_prefetch_raises_the_sources_error_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError("broken")

    ahead = prefetch(items(), depth=3)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="broken"):
        next(ahead)


def test_closing_prefetch_ends_its_thread():
    before = threading.active_count()
    ahead = prefetch(iter(range(10**9)), depth=2)
    next(ahead)
    ahead.close()
    assert threading.active_count() == before


def test_closing_prefetch_closes_the_generator_that_it_draws_from():
    closed = []

    def items():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    ahead = prefetch(items(), depth=2)
    next(ahead)
    ahead.close()
    assert closed == [True]


def test_work_in_a_pool_comes_in_order_and_an_error_of_the_source_after_all_results_before_it():
    def items():
        yield from range(5)
        raise KeyError("broken")

    def slow_first(number):
        time.sleep(0.05 if number == 0 else 0)
        return number

    results = []
    with ThreadPoolExecutor(3) as pool, pytest.raises(KeyError, match="broken"):
        for result in in_order(pool, slow_first, items(), depth=4):
            results.append(result)
    assert results == list(range(5))


def test_a_sink_consumes_all_in_order_before_the_block_ends():
    consumed = []
    with Sink(consumed.append, depth=2) as sink:
        for number in range(50):
            sink.put(number)
    assert consumed == list(range(50))


def test_a_sinks_error_reaches_the_producer():
    def consume(number):
        if number == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Sink(consume, depth=1) as sink:
        for number in range(1000):
            sink.put(number)
    with pytest.raises(OSError, match="disk full"), Sink(consume, depth=1) as sink:
        sink.put(3)


def test_a_failing_block_drops_what_the_sink_has_not_begun_and_keeps_its_own_error():
    begun, gate, consumed = threading.Event(), threading.Event(), []

    def consume(number):
        begun.set()
        gate.wait(5)
        consumed.append(number)

    with pytest.raises(ValueError, match="mine"), Sink(consume, depth=5) as sink:
        for number in range(5):
            sink.put(number)
        assert begun.wait(5)
        threading.Timer(0.05, gate.set).start()
        raise ValueError("mine")
    assert consumed == [0]
