from __future__ import annotations

import os
import signal
import time

import pytest

from intrinsic_flow.errors import InputError
from intrinsic_flow.train.worker_pool import JobFailed, PoolError, WorkerPool


def start(offset: int):
    def work(job: int | str) -> tuple[int, int] | int:
        if job == "die":
            os.kill(os.getpid(), signal.SIGABRT)
        if job == "hang":
            time.sleep(600)
        if job == "raise":
            raise ValueError("bad\nscene")
        return os.getpid(), job + offset

    return work


def broken_start():
    raise InputError("assets", "no such folder", "a folder")


def dying_start():
    os._exit(7)


def results(jobs, **options) -> dict:
    with WorkerPool(start, (10,), **{"workers": 2, "timeout": 60, **options}) as pool:
        return dict(pool.run(jobs))


def test_every_job_has_its_result():
    found = results(range(20))
    assert {job: value for job, (_, value) in found.items()} == {job: job + 10 for job in range(20)}


def test_a_crash_costs_one_job_and_names_the_signal():
    found = results([1, "die", 2, "die", 3, 4])
    assert found.pop("die") == JobFailed("its process died (SIGABRT)")
    assert sorted(value for _, value in found.values()) == [11, 12, 13, 14]


def test_an_exception_is_one_line_and_the_worker_goes_on():
    found = results([1, "raise", 2], workers=1)
    assert found["raise"] == JobFailed("ValueError: bad scene")
    assert found[1][0] == found[2][0]


def test_a_job_that_hangs_is_ended():
    begun = time.monotonic()
    found = results(["hang", 5], timeout=1.5)
    assert found["hang"] == JobFailed("took longer than 2 s")
    assert found[5][1] == 15
    assert time.monotonic() - begun < 30


def test_processes_are_replaced_after_their_lifetime():
    found = results(range(4), workers=1, lifetime=2)
    assert len({pid for pid, _ in found.values()}) == 2


def test_jobs_are_drawn_when_needed():
    drawn = []

    def endless():
        while True:
            drawn.append(len(drawn))
            yield drawn[-1]

    with WorkerPool(start, (0,), 1, 60) as pool:
        for job, _ in pool.run(endless()):
            if job == 3:
                break
    assert len(drawn) <= 5


def test_what_start_raises_comes_through():
    with WorkerPool(broken_start, (), 1, 60) as pool, pytest.raises(InputError, match="assets: found no such folder"):
        list(pool.run([1]))


def test_a_worker_that_dies_while_it_starts_ends_the_run():
    with WorkerPool(dying_start, (), 1, 60) as pool, pytest.raises(PoolError, match="status 7"):
        list(pool.run([1]))
