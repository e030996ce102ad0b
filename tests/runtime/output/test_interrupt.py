"""Signals: as KeyboardInterrupt, and held back while outputs are published."""

from __future__ import annotations

import signal

import pytest

from intrinsic_flow.output.interrupt import check, deferred, interrupts


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_deferred_signal_takes_effect_after_the_block(number):
    done = []
    with interrupts() as state:
        with pytest.raises(KeyboardInterrupt):
            with deferred():
                signal.raise_signal(number)
                done.append("block")
            done.append("never")
        with pytest.raises(KeyboardInterrupt):
            state.check()
    assert done == ["block"]


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interrupts(), deferred():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_swallowed_signal_is_found_by_the_next_check():
    check()
    with interrupts():
        check()
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            swallowed = True
        with pytest.raises(KeyboardInterrupt):
            check()
    assert swallowed
    check()


def test_a_closed_terminal_is_what_nohup_ignores():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
