"""A program: launches over fixed device memory, captured as a CUDA graph once and replayed for every call.

Inputs go up from pinned memory once, results come down once; what lies between them stays on the device. A program has up
to SLOTS sets of input and output memory, so that one call's copies run beside another's computation.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intrinsic_flow.backends.cuda_memory import Cuda, DeviceArray

SLOTS = 2

Tensors = Mapping[str, DeviceArray]
Span = Callable[[str, Any], AbstractContextManager[None]]


@dataclass(frozen=True)
class Interface:
    """Shape and dtype of a program's inputs and outputs by name.

    kept: inputs that rarely change; they have one place on the device and are sent only when they do.
    """

    inputs: Mapping[str, tuple[tuple[int, ...], np.dtype]]
    outputs: Mapping[str, tuple[tuple[int, ...], np.dtype]]
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Streams:
    """One for copies to the device, one for computation, one for copies back."""

    up: Any
    compute: Any
    down: Any


@dataclass
class _Slot:
    inputs: dict[str, DeviceArray]
    outputs: dict[str, DeviceArray]
    sent: dict[str, np.ndarray]
    received: dict[str, np.ndarray]
    arrived: Any
    computed: Any
    done: Any
    graph: Any = None
    waiting: Pending | None = None


@dataclass
class Pending:
    """A call under way."""

    _program: Program
    _slot: _Slot
    _wanted: tuple[str, ...]
    _result: dict[str, np.ndarray] | None = field(default=None)

    def result(self) -> dict[str, np.ndarray]:
        """Waits for the outputs: float32, the caller's own. Raises RuntimeError when the program is closed before."""
        if self._result is None:
            self._result = self._program._collect(self._slot, self._wanted)
            self._slot.waiting = None
        return self._result


class Program:
    """See the module. `enqueue(inputs, outputs, stream)` puts the whole computation on a stream; it is called once to warm
    up and, where `capturable()` holds then, once to be captured, for each slot."""

    def __init__(
        self,
        cuda: Cuda,
        streams: Streams,
        interface: Interface,
        enqueue: Callable[[Tensors, Tensors, Any], None],
        capturable: Callable[[], bool],
        owner: ExitStack,
    ) -> None:
        """owner: holds what `enqueue` needs. The program empties it, and frees all that after its own memory."""
        self._cuda, self._streams, self._interface = cuda, streams, interface
        self._enqueue, self._capturable = enqueue, capturable
        self._owner = owner
        self._slots: list[_Slot] = []
        self._turn = 0
        self._closed = False
        self._kept = {name: cuda.array(owner, *interface.inputs[name]) for name in sorted(interface.kept)}
        self._kept_sent = {name: cuda.pinned(owner, *interface.inputs[name]) for name in sorted(interface.kept)}
        self._kept_known: set[str] = set()
        self._add_slot()
        self._owner = owner.pop_all()

    @property
    def captured(self) -> bool:
        """Whether calls replay a CUDA graph."""
        return self._slots[0].graph is not None

    def submit(self, feeds: Mapping[str, np.ndarray], wanted: Collection[str] | None = None) -> Pending:
        """Starts a call: sends the inputs, computes, sends the wanted outputs (all by default) back.

        At most SLOTS calls are under way; one more waits for the oldest, whose result stays available.
        """
        return self._start(feeds, wanted, lambda part, stream: nullcontext())

    def phases(self, feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Milliseconds of one call's parts, of a call that runs alone and whose kept inputs are there already.

        "h2d_ms", "compute_ms" and "d2h_ms": between events with timing before and after the uploads, the computation and
        the downloads, each on their stream. "enqueue_ms": what the host took to put the computation on its stream.
        """
        self.submit(feeds).result()
        for slot in self._slots:
            if slot.waiting is not None:
                slot.waiting.result()
        with ExitStack() as owner:
            stopwatch = _Stopwatch(self._cuda, owner)
            self._start(feeds, None, stopwatch.span).result()
            names = {"h2d_ms": "up", "compute_ms": "compute", "d2h_ms": "down"}
            parts = {name: stopwatch.elapsed(part) for name, part in names.items()}
            return {**parts, "enqueue_ms": stopwatch.host["compute"]}

    def close(self) -> None:
        """Waits for what is under way, then frees everything."""
        if self._closed:
            return
        self._closed = True
        self._slots.clear()
        self._owner.close()

    def _start(self, feeds: Mapping[str, np.ndarray], wanted: Collection[str] | None, span: Span) -> Pending:
        """See `submit`. `span(part, stream)` surrounds what goes on a stream: "up", "compute", "down"."""
        if self._closed:
            raise RuntimeError("the backend is closed")
        cuda, streams = self._cuda, self._streams
        slot = self._free_slot()
        for name, pinned in slot.sent.items():
            np.copyto(pinned, feeds[name], casting="same_kind")
            with span("up", streams.up):
                cuda.upload(slot.inputs[name], pinned, streams.up)
        for name in self._kept:
            self._keep(name, feeds[name])
        cuda.record(slot.arrived, streams.up)
        cuda.follow(streams.compute, slot.arrived)
        with span("compute", streams.compute):
            if slot.graph is not None:
                cuda.launch(slot.graph, streams.compute)
            else:
                self._enqueue(slot.inputs, slot.outputs, streams.compute)
        cuda.record(slot.computed, streams.compute)
        cuda.follow(streams.down, slot.computed)
        names = tuple(name for name in self._interface.outputs if wanted is None or name in wanted)
        for name in names:
            if name not in slot.received:
                slot.received[name] = cuda.pinned(self._owner, *self._interface.outputs[name])
            with span("down", streams.down):
                cuda.download(slot.received[name], slot.outputs[name], streams.down)
        cuda.record(slot.done, streams.down)
        slot.waiting = Pending(self, slot, names)
        return slot.waiting

    def _collect(self, slot: _Slot, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        if self._closed:
            raise RuntimeError("the backend is closed")
        self._cuda.wait(slot.done)
        return {name: slot.received[name].astype(np.float32) for name in names}

    def _free_slot(self) -> _Slot:
        slot = self._slots[self._turn % len(self._slots)]
        if slot.waiting is not None and len(self._slots) < SLOTS:
            slot = self._add_slot()
        elif slot.waiting is not None:
            slot.waiting.result()
        self._turn = self._slots.index(slot) + 1
        return slot

    def _keep(self, name: str, values: np.ndarray) -> None:
        pinned = self._kept_sent[name]
        if name in self._kept_known and np.array_equal(pinned, values):
            return
        # Earlier calls may still read the old values: wait, since this hardly ever happens.
        for stream in (self._streams.up, self._streams.compute):
            self._cuda.synchronize(stream)
        self._kept_known.discard(name)
        np.copyto(pinned, values, casting="same_kind")
        self._cuda.upload(self._kept[name], pinned, self._streams.up)
        self._kept_known.add(name)

    def _add_slot(self) -> _Slot:
        """Memory for one more call, and the graph over it. Uncaptured first: libraries load and choose at the first run."""
        cuda, interface, compute = self._cuda, self._interface, self._streams.compute
        with ExitStack() as building:
            own = {name: spec for name, spec in interface.inputs.items() if name not in interface.kept}
            inputs = {name: cuda.array(building, *spec) for name, spec in own.items()}
            outputs = {name: cuda.array(building, *spec) for name, spec in interface.outputs.items()}
            sent = {name: cuda.pinned(building, *spec) for name, spec in own.items()}
            events = [cuda.event(building) for _ in range(3)]
            slot = _Slot({**inputs, **self._kept}, outputs, sent, {}, *events)
            for name, array in slot.inputs.items():
                if name not in self._kept_known:
                    cuda.clear(array, compute)
            self._enqueue(slot.inputs, slot.outputs, compute)
            cuda.synchronize(compute)
            if self._capturable():
                slot.graph = cuda.capture(building, compute, lambda: self._enqueue(slot.inputs, slot.outputs, compute))
            self._owner.push(building.pop_all())
        self._slots.append(slot)
        return slot


class _Stopwatch:
    """Spans of work on streams, timed by the GPU and by the host, in ms by part; spans of one part add up."""

    def __init__(self, cuda: Cuda, owner: ExitStack) -> None:
        self._cuda, self._owner = cuda, owner
        self._events: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self.host: dict[str, float] = defaultdict(float)

    @contextmanager
    def span(self, part: str, stream: Any) -> Iterator[None]:
        start, end = (self._cuda.event(self._owner, timing=True) for _ in range(2))
        self._events[part].append((start, end))
        self._cuda.record(start, stream)
        began = time.perf_counter()
        yield
        self.host[part] += (time.perf_counter() - began) * 1e3
        self._cuda.record(end, stream)

    def elapsed(self, part: str) -> float:
        """What the GPU took. The work must be done."""
        return sum(self._cuda.elapsed(start, end) for start, end in self._events[part])
