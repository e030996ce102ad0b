"""A bounded pipeline of threads: what comes before and after the network runs beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yields the items of an iterable that is drawn in a thread of its own, at most `depth` items ahead.

    The iterable's exceptions are raised here, after the items before them. Closing the generator stops the thread and
    closes an iterable that is a generator.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, "prefetch")
    try:
        ahead: deque[Future[Any]] = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := ahead.popleft().result()) is not end:
            ahead.append(pool.submit(next, iterator, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(iterator, Generator):
            iterator.close()


def in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Generator[Result, None, None]:
    """`work` on the items in a pool, results in the items' order, at most `depth` of them under way.

    The iterable's exceptions are raised here, after the results of the items before them.
    """
    begun: deque[Future[Result]] = deque()
    iterator, failure = iter(items), None
    while True:
        try:
            begun.append(pool.submit(work, next(iterator)))
        except StopIteration:
            break
        except Exception as error:
            failure = error
            break
        if len(begun) >= depth:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
    if failure is not None:
        raise failure


class Sink(Generic[Item]):
    """Hands items to a function that runs in a thread of its own, at most `depth` items behind.

    A context manager: a block that succeeds waits for all items; one that fails drops those not begun. The function's
    exception is raised by the next `put` or at the end of the block.
    """

    def __init__(self, consume: Callable[[Item], None], depth: int) -> None:
        self._consume, self._depth = consume, depth
        self._pool = ThreadPoolExecutor(1, "sink")
        self._begun: deque[Future[None]] = deque()
        self._error: BaseException | None = None

    def put(self, item: Item) -> None:
        """Hands over an item, waiting for room."""
        while len(self._begun) > self._depth:
            self._begun.popleft().result()
        if self._error is not None:
            raise self._error
        self._begun.append(self._pool.submit(self._take, item))

    def __enter__(self) -> Sink[Item]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._pool.shutdown(cancel_futures=kind is not None)
        except BaseException:  # Ctrl-C while the last items are written
            self._pool.shutdown(cancel_futures=True)
            raise
        if kind is None and self._error is not None:
            raise self._error

    def _take(self, item: Item) -> None:
        if self._error is None:
            try:
                self._consume(item)
            except BaseException as error:  # handed to the producer
                self._error = error
