"""A bounded pipeline of threads: what comes before and after the network runs beside it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS = 0.1


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yields the items of an iterable that is drawn in a thread of its own, at most `depth` items ahead.

    The iterable's exceptions are raised here, after the items before them. Closing the generator stops the thread.
    """
    # One item, or none and what ended the iterable.
    ready: queue.Queue[tuple[list[Item], BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def offer(entry: tuple[list[Item], BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not offer(([item], None)):
                    return
        except BaseException as raised:  # handed to the consumer
            error = raised
        offer(([], error))

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, ended_by = ready.get()
            if not item:
                if ended_by is not None:
                    raise ended_by
                return
            yield item[0]
    finally:
        stop.set()
        thread.join()


class Sink(Generic[Item]):
    """Hands items to a function that runs in a thread of its own, at most `depth` items behind.

    A context manager: a block that succeeds waits for all items; one that fails drops those not begun. The function's
    exception is raised by the next `put` or at the end of the block.
    """

    def __init__(self, consume: Callable[[Item], None], depth: int) -> None:
        self._consume = consume
        self._waiting: queue.Queue[Item] = queue.Queue(depth)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="sink", daemon=True)

    def put(self, item: Item) -> None:
        """Hands over an item, waiting for room."""
        while self._error is None:
            try:
                self._waiting.put(item, timeout=_POLL_SECONDS)
                return
            except queue.Full:
                continue
        raise self._error

    def __enter__(self) -> Sink[Item]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._stop.set()
        self._ended.set()
        try:
            self._thread.join()
        except BaseException:  # Ctrl-C while the last items are written
            self._stop.set()
            self._thread.join()
            raise
        if kind is None and self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    item = self._waiting.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    if self._ended.is_set():
                        return
                    continue
                self._consume(item)
        except BaseException as error:  # handed to the producer
            self._error = error
