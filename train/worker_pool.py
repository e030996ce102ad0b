"""Worker processes that may crash or hang: native code under them aborts now and then, and one bad scene must not end
a night's work. A job whose process dies or takes too long is reported as failed, and the process is replaced.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Generic, TypeVar

from intrinsic_flow.output.interrupt import check

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class JobFailed:
    """What became of a job that has no result. reason: one line."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class PoolError(RuntimeError):
    """Workers cannot start at all. One line."""


def _serve(connection: Connection, start: Callable[..., Callable[[Job], object]], arguments: tuple) -> None:
    """A worker's life: start, then jobs until the pipe closes."""
    # Ctrl-C goes to the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = start(*arguments)
    except Exception as error:
        connection.send(error)
        return
    connection.send(None)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            result: object = work(job)
        except Exception as error:
            result = JobFailed(f"{type(error).__name__}: {' '.join(str(error).split())}")
        connection.send(result)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started in the block do not see Ctrl-C, which goes to the whole group, even while they load; here
    it waits until the block's end. On Windows, nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Once, and before: it unblocks the signal when it starts.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker(Generic[Job]):
    def __init__(self, context: SpawnContext, start: Callable[..., Callable[[Job], object]], arguments: tuple) -> None:
        self.connection, other = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(other, start, arguments), daemon=True)
        with _without_interrupts():
            self.process.start()
        other.close()
        self.ready = False
        self.job: Job | None = None
        self.deadline = float("inf")
        self.served = 0

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


class WorkerPool(Generic[Job, Result]):
    """start(*arguments), called once in each process, returns the function that does a job; both are picklable.

    timeout: seconds a job may take. lifetime: jobs after which a process is replaced (native caches grow).
    """

    def __init__(
        self,
        start: Callable[..., Callable[[Job], Result]],
        arguments: tuple,
        workers: int,
        timeout: float,
        lifetime: int = 200,
    ) -> None:
        self._start, self._arguments, self._count = start, arguments, workers
        self._timeout, self._lifetime = timeout, lifetime
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[Job]] = []

    def __enter__(self) -> WorkerPool[Job, Result]:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Result | JobFailed], None, None]:
        """Yield (job, result) as they come; a result is `JobFailed` where there is none. Jobs are drawn when a worker is
        free, so that `jobs` may be endless and stop when enough is done. Raises what `start` raised in a worker, and
        PoolError where a worker died while it started.
        """
        remaining = iter(jobs)
        exhausted = False
        while True:
            check()
            while not exhausted and len(self._workers) < self._count:
                self._workers.append(_Worker(self._context, self._start, self._arguments))
            for worker in [worker for worker in self._workers if worker.ready and worker.job is None]:
                job = None if exhausted else next(remaining, None)
                if job is None:
                    exhausted = True
                    break
                worker.job, worker.deadline = job, time.monotonic() + self._timeout
                worker.connection.send(job)
            if exhausted and not any(worker.job is not None for worker in self._workers):
                return
            wait([worker.connection for worker in self._workers], timeout=0.5)
            for worker in list(self._workers):
                if worker.connection.poll():
                    try:
                        message = worker.connection.recv()
                    except (EOFError, OSError):
                        worker.process.join(5)
                        yield from self._lost(worker, f"its process died ({_exit(worker.process)})")
                        continue
                    if not worker.ready:
                        if isinstance(message, Exception):
                            raise message
                        worker.ready = True
                        continue
                    done, worker.job, worker.deadline = worker.job, None, float("inf")
                    assert done is not None, "a worker that is ready speaks of its job only"
                    worker.served += 1
                    if worker.served >= self._lifetime:
                        self._remove(worker)
                    yield done, message
                elif time.monotonic() > worker.deadline:
                    yield from self._lost(worker, f"took longer than {self._timeout:.0f} s")

    def _remove(self, worker: _Worker[Job]) -> None:
        self._workers.remove(worker)
        worker.end()

    def _lost(self, worker: _Worker[Job], reason: str) -> Iterator[tuple[Job, JobFailed]]:
        self._remove(worker)
        if not worker.ready:
            raise PoolError(f"a worker process ended while it started ({_exit(worker.process)})")
        if worker.job is not None:
            yield worker.job, JobFailed(reason)


def _exit(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            pass
    return f"status {code}"
