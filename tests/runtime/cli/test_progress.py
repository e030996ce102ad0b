"""Progress: a live line on a terminal, sparse lines in a log, nothing when quiet."""

from __future__ import annotations

import io

import pytest

from intrinsic_flow.cli import progress as module
from intrinsic_flow.cli.progress import Counter, Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_terminal_shows_count_rate_and_time_left(clock):
    stream = Terminal()
    counter = Counter(Progress(quiet=False, stream=stream), "clip.mp4", 100, "frames")
    for _ in range(20):
        clock.now += 0.5
        counter.advance()
    assert stream.getvalue().endswith("\rclip.mp4: 20/100 frames, 2.0 frames/s, 40 s left")


def test_a_log_gets_a_line_every_half_minute_only(clock):
    stream = io.StringIO()
    counter = Counter(Progress(quiet=False, stream=stream), "clip.mp4", 1000, "frames")
    for _ in range(610):
        clock.now += 0.1
        counter.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("10.0 frames/s, 1 min 10 s left")
    assert "\r" not in stream.getvalue()


def test_a_slow_rate_and_an_unknown_total_are_told(clock):
    stream = Terminal()
    counter = Counter(Progress(quiet=False, stream=stream), "all", None, "inputs")
    clock.now += 8
    counter.advance()
    assert "all: 1 inputs, 8.0 s per input, 8 s so far" in stream.getvalue()


def test_more_items_than_estimated_give_no_negative_time(clock):
    stream = Terminal()
    counter = Counter(Progress(quiet=False, stream=stream), "clip", 1, "frames")
    for _ in range(3):
        clock.now += 1
        counter.advance()
    assert "-" not in stream.getvalue() and "3 frames" in stream.getvalue()


def test_log_lines_do_not_mix_with_the_status_line():
    stream = Terminal()
    progress = Progress(quiet=False, stream=stream)
    progress.show("working")
    progress.log("done x")
    progress.show("")
    on_screen = stream.getvalue().replace("\r       \r", "").replace("\r", "")
    assert on_screen == "workingdone x\nworking"
    assert stream.getvalue().endswith("\r       \r")


def test_quiet_prints_errors_alone(clock):
    stream = Terminal()
    progress = Progress(quiet=True, stream=stream)
    progress.log("note")
    counter = Counter(progress, "all", 3, "inputs")
    clock.now += 100
    counter.advance()
    progress.error("failed: x")
    assert stream.getvalue() == "failed: x\n"


def test_durations_are_readable():
    assert [duration(s) for s in (0.4, 59.4, 59.6, 185, 3599.7, 7620)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "3 min 05 s",
        "1 h 00 min",
        "2 h 07 min",
    ]
