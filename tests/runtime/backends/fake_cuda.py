"""A CUDA runtime in host memory that refuses what the real one refuses, or what is undefined there.

It takes the part of `cuda.bindings.runtime` that the runtime uses. Work on a stream runs either as early as it may or, in
the other mode, as late: when somebody waits for it. A program that forgets to wait, or to order two streams, computes
wrong values in one of the two. Fresh memory holds NaN; addresses are never used twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Violation(AssertionError):
    """What would be undefined behaviour on a GPU."""


class Status(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorInvalidDevice = 101
    cudaErrorInvalidResourceHandle = 400
    cudaErrorNotReady = 600
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class CopyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class CaptureMode(IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


class _Refused(Exception):
    def __init__(self, status: Status) -> None:
        self.status = status


@dataclass
class _Stream:
    device: int
    queue: list[Callable[[], None]] = field(default_factory=list)
    done: int = 0
    capture: list[Callable[[], None]] | None = None
    invalid: bool = False


@dataclass
class _Record:
    """What an event waits for. stamp: the clock when it happened, of an event with timing."""

    stream: _Stream
    position: int
    stamp: float | None = None


@dataclass
class _Event:
    timing: bool
    record: _Record | None = None


@dataclass
class _Block:
    kind: str
    device: int
    memory: np.ndarray


class FakeCuda:
    """The module's functions, each returning (status, value) or (status,).

    late: when work runs. devices: how many there are; 0 behaves as a machine without a driver. `fail(n)` lets the n-th
    call from then on fail, frees excepted. `calls` names all calls; `live()` what was not freed. `clock` is the device's
    time in ms: each copy and each kernel takes one.
    """

    cudaStreamNonBlocking = 1
    cudaEventDefault = 0
    cudaEventDisableTiming = 2
    cudaMemcpyKind = CopyKind
    cudaStreamCaptureMode = CaptureMode

    def __init__(self, *, late: bool, devices: int = 2) -> None:
        self.late, self.devices = late, devices
        self.current = 0
        self.clock = 0.0
        self.calls: list[str] = []
        self.blocks: dict[int, _Block] = {}
        self.streams: dict[int, _Stream] = {}
        self.events: dict[int, _Event] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.executables: dict[int, list[Callable[[], None]]] = {}
        self._handles = itertools.count(0x7000, 16)
        self._addresses = itertools.count(1 << 40, 1 << 32)
        self._graveyard: list[np.ndarray] = []
        self._fail_in: int | None = None

    def fail(self, calls: int) -> None:
        self._fail_in = calls

    def live(self) -> list[str]:
        kinds = {"streams": self.streams, "events": self.events, "graphs": self.graphs, "executables": self.executables}
        found = [f"{len(held)} {kind}" for kind, held in kinds.items() if held]
        return found + [f"{block.kind} of {block.memory.nbytes} bytes" for block in self.blocks.values()]

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("cuda") or not name[4:5].isupper() or name in ("cudaMemcpyKind",):
            return object.__getattribute__(self, name)
        value = object.__getattribute__(self, name) if name[4:6] != "__" else None
        if not callable(value) or isinstance(value, type):
            return value

        def checked(*arguments: object) -> tuple[object, ...]:
            if name == "cudaGetErrorString":
                return value(*arguments)
            self.calls.append(name)
            try:
                if (
                    self._fail_in is not None
                    and "Free" not in name
                    and "Destroy" not in name
                    and name not in ("cudaSetDevice", "cudaDeviceSynchronize")
                ):
                    self._fail_in -= 1
                    if self._fail_in < 0:
                        self._fail_in = None
                        if name == "cudaStreamEndCapture":  # fails, but ends the capture
                            self.graphs.pop(value(*arguments))
                        raise _Refused(Status.cudaErrorLaunchFailure)
                result = value(*arguments)
            except _Refused as refused:
                has_value = name.split("cuda")[1] in _GIVERS
                return (refused.status, None) if has_value else (refused.status,)
            return (Status.cudaSuccess,) if result is None else (Status.cudaSuccess, result)

        return checked

    # Device

    def cudaGetErrorString(self, status: Status) -> tuple[Status, bytes]:
        return Status.cudaSuccess, status.name.encode()

    def cudaGetDeviceCount(self) -> int:
        if not self.devices:
            raise _Refused(Status.cudaErrorInsufficientDriver)
        return self.devices

    def cudaSetDevice(self, device: int) -> None:
        if not 0 <= device < self.devices:
            raise _Refused(Status.cudaErrorInvalidDevice)
        self.current = device

    def cudaDeviceSynchronize(self) -> None:
        self._not_while_capturing()
        for stream in self.streams.values():
            self._advance(stream, len(stream.queue))

    # Memory

    def cudaMalloc(self, nbytes: int) -> int:
        self._not_while_capturing()
        if nbytes <= 0:
            raise _Refused(Status.cudaErrorInvalidValue)
        address = next(self._addresses)
        self.blocks[address] = _Block("device memory", self.current, np.full(nbytes, 0xFF, np.uint8))
        return address

    def cudaMallocHost(self, nbytes: int) -> int:
        self._not_while_capturing()
        memory = np.full(nbytes, 0xFF, np.uint8)
        self.blocks[memory.ctypes.data] = _Block("pinned memory", self.current, memory)
        return memory.ctypes.data

    def cudaFree(self, address: int) -> None:
        self._free(address, "device memory")

    def cudaFreeHost(self, address: int) -> None:
        self._free(address, "pinned memory")

    def _free(self, address: int, kind: str) -> None:
        self._not_while_capturing()
        block = self.blocks.get(address)
        if block is None or block.kind != kind:
            raise _Refused(Status.cudaErrorInvalidValue)
        # cudaFree waits for the device by itself; that the work is done by then must not be left to it.
        for stream in self.streams.values():
            if stream.done < len(stream.queue):
                raise Violation(f"{kind} freed while a stream has work")
        del self.blocks[address]
        block.memory[:] = 0xCD
        self._graveyard.append(block.memory)

    def view(self, address: int, nbytes: int, kind: str = "device memory") -> np.ndarray:
        """Bytes at an address. Raises Violation unless they lie in one live block."""
        for start, block in self.blocks.items():
            if block.kind == kind and start <= address and address + nbytes <= start + block.memory.nbytes:
                return block.memory[address - start : address - start + nbytes]
        raise Violation(f"{nbytes} bytes at {address:#x} are no live {kind}")

    def cudaMemcpyAsync(self, target: int, source: int, nbytes: int, kind: CopyKind, stream: int) -> None:
        up = kind is CopyKind.cudaMemcpyHostToDevice
        kinds = ("device memory", "pinned memory") if up else ("pinned memory", "device memory")

        def copy() -> None:
            self.view(target, nbytes, kinds[0])[:] = self.view(source, nbytes, kinds[1])

        try:
            self.view(target, nbytes, kinds[0]), self.view(source, nbytes, kinds[1])
        except Violation:
            raise _Refused(Status.cudaErrorInvalidValue) from None
        self.enqueue(stream, copy)

    def cudaMemsetAsync(self, target: int, value: int, nbytes: int, stream: int) -> None:
        self.enqueue(stream, lambda: self.view(target, nbytes).fill(value))

    # Streams and events

    def cudaStreamCreateWithFlags(self, flags: int) -> int:
        self._not_while_capturing()
        if flags != self.cudaStreamNonBlocking:
            raise Violation("a stream that waits for the default stream")
        return self._new(self.streams, _Stream(self.current))

    def cudaStreamDestroy(self, handle: int) -> None:
        stream = self.stream(handle)
        if stream.capture is not None:
            raise Violation("a stream destroyed while it captures")
        self._advance(stream, len(stream.queue))
        del self.streams[handle]

    def cudaStreamSynchronize(self, handle: int) -> None:
        self._not_while_capturing()
        stream = self.stream(handle)
        self._advance(stream, len(stream.queue))

    def cudaEventCreateWithFlags(self, flags: int) -> int:
        self._not_while_capturing()
        if flags not in (self.cudaEventDefault, self.cudaEventDisableTiming):
            raise _Refused(Status.cudaErrorInvalidValue)
        return self._new(self.events, _Event(flags == self.cudaEventDefault))

    def cudaEventDestroy(self, handle: int) -> None:
        self._event(handle)
        del self.events[handle]

    def cudaEventRecord(self, handle: int, stream: int) -> None:
        event, found = self._event(handle), self.stream(stream)
        self._no_capture_of(found)
        record = event.record = _Record(found, len(found.queue) + event.timing)
        if event.timing:

            def stamp() -> None:
                record.stamp = self.clock

            self.enqueue(stream, stamp, takes=0)

    def cudaStreamWaitEvent(self, stream: int, handle: int, flags: int) -> None:
        record = self._event(handle).record
        self._no_capture_of(self.stream(stream))
        if record is not None:
            self.enqueue(stream, lambda: self._advance(record.stream, record.position), takes=0)

    def cudaEventSynchronize(self, handle: int) -> None:
        self._not_while_capturing()
        record = self._event(handle).record
        if record is not None:
            self._advance(record.stream, record.position)

    def cudaEventElapsedTime(self, start: int, end: int) -> float:
        events = self._event(start), self._event(end)
        if not all(event.timing and event.record for event in events):
            raise _Refused(Status.cudaErrorInvalidResourceHandle)
        first, last = (event.record.stamp for event in events)
        if first is None or last is None:
            raise _Refused(Status.cudaErrorNotReady)
        return last - first

    def stream(self, handle: int) -> _Stream:
        """A live stream of the current device."""
        if handle not in self.streams:
            raise _Refused(Status.cudaErrorInvalidResourceHandle)
        if self.streams[handle].device != self.current:
            raise Violation("a stream used under another device than its own")
        return self.streams[handle]

    def enqueue(self, handle: int, work: Callable[[], None], takes: float = 1.0) -> None:
        """Puts work on a stream, or into the graph that it captures. takes: ms."""
        stream = self.stream(handle)
        if stream.capture is not None:
            stream.capture.append(work)
            return

        def timed() -> None:
            work()
            self.clock += takes

        stream.queue.append(timed)
        if not self.late:
            self._advance(stream, len(stream.queue))

    def finish(self, handle: int) -> None:
        """Runs what a stream holds."""
        stream = self.stream(handle)
        self._advance(stream, len(stream.queue))

    def _advance(self, stream: _Stream, position: int) -> None:
        while stream.done < position:
            stream.done += 1
            stream.queue[stream.done - 1]()

    # Graphs

    def cudaStreamBeginCapture(self, handle: int, mode: CaptureMode) -> None:
        if handle == 0:
            raise _Refused(Status.cudaErrorStreamCaptureUnsupported)
        stream = self.stream(handle)
        if stream.capture is not None:
            raise _Refused(Status.cudaErrorStreamCaptureInvalidated)
        stream.capture, stream.invalid = [], False

    def cudaStreamEndCapture(self, handle: int) -> int:
        stream = self.stream(handle)
        if stream.capture is None:
            raise _Refused(Status.cudaErrorInvalidValue)
        captured, stream.capture = stream.capture, None
        if stream.invalid:
            raise _Refused(Status.cudaErrorStreamCaptureInvalidated)
        return self._new(self.graphs, captured)

    def cudaGraphInstantiate(self, graph: int, flags: int) -> int:
        if graph not in self.graphs:
            raise _Refused(Status.cudaErrorInvalidValue)
        return self._new(self.executables, self.graphs[graph])

    def cudaGraphDestroy(self, graph: int) -> None:
        if self.graphs.pop(graph, None) is None:
            raise _Refused(Status.cudaErrorInvalidValue)

    def cudaGraphLaunch(self, executable: int, stream: int) -> None:
        if executable not in self.executables:
            raise _Refused(Status.cudaErrorInvalidValue)
        for work in self.executables[executable]:
            self.enqueue(stream, work)

    def cudaGraphExecDestroy(self, executable: int) -> None:
        if self.executables.pop(executable, None) is None:
            raise _Refused(Status.cudaErrorInvalidValue)

    # Helpers

    def _new(self, held: dict[int, object], value: object) -> int:
        handle = next(self._handles)
        held[handle] = value
        return handle

    def _event(self, handle: int) -> _Event:
        if handle not in self.events:
            raise _Refused(Status.cudaErrorInvalidResourceHandle)
        return self.events[handle]

    def _no_capture_of(self, stream: _Stream) -> None:
        if stream.capture is not None:
            stream.invalid = True
            raise _Refused(Status.cudaErrorStreamCaptureUnsupported)

    def _not_while_capturing(self) -> None:
        for stream in self.streams.values():
            self._no_capture_of(stream)


_GIVERS = {
    "GetDeviceCount",
    "Malloc",
    "MallocHost",
    "StreamCreateWithFlags",
    "EventCreateWithFlags",
    "EventElapsedTime",
    "StreamEndCapture",
    "GraphInstantiate",
}
