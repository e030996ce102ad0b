"""Memory, streams, events and graphs of one CUDA device, over `cuda.bindings.runtime` of cuda-python.

Every call's status is checked. What a device allocates belongs to an `ExitStack` that the caller names, so that an error on
the way frees what is there already.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from intrinsic_flow.errors import MissingExtraError


class CudaError(RuntimeError):
    """A CUDA call failed; the message names the call and CUDA's reason."""


@dataclass(frozen=True)
class DeviceArray:
    """Contiguous device memory."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> Any:
        return math.prod(self.shape) * self.dtype.itemsize


def load_cudart(extra: str) -> Any:
    """The bindings' runtime module. Raises MissingExtraError that names the extra."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingExtraError("cuda-bindings", extra) from error
    return runtime


class Cuda:
    """One device. `use` makes it the calling thread's current one; all other methods expect that."""

    def __init__(self, cudart: Any, device: int = 0) -> None:
        """cudart: see `load_cudart`. Raises CudaError where there is no such device or no driver for it."""
        self._cudart = cudart
        self.device = device
        count = self.call("cudaGetDeviceCount")
        if not 0 <= device < count:
            raise CudaError(f"device {device}, expected one of the {count} that CUDA finds")
        self.use()

    def call(self, function: str, *arguments: Any) -> Any:
        """Calls a function of the CUDA runtime and returns its result. Raises CudaError."""
        status, *values = getattr(self._cudart, function)(*arguments)
        if int(status) != 0:
            _, text = self._cudart.cudaGetErrorString(status)
            raise CudaError(f"{function}: {text.decode() if isinstance(text, bytes) else text} ({int(status)})")
        return values[0] if values else None

    def use(self) -> None:
        """Makes this the current device of the calling thread."""
        self.call("cudaSetDevice", self.device)

    def stream(self, owner: ExitStack) -> Any:
        """A stream that does not wait for the default one."""
        return self._owned(owner, "cudaStreamDestroy", "cudaStreamCreateWithFlags", self._cudart.cudaStreamNonBlocking)

    def event(self, owner: ExitStack, *, timing: bool = False) -> Any:
        """An event. timing: with the time at which it happens, for `elapsed`; that costs the GPU a little."""
        flags = self._cudart.cudaEventDefault if timing else self._cudart.cudaEventDisableTiming
        return self._owned(owner, "cudaEventDestroy", "cudaEventCreateWithFlags", flags)

    def array(self, owner: ExitStack, shape: tuple[int, ...], dtype: np.dtype | str) -> DeviceArray:
        """Uninitialised device memory."""
        dtype = np.dtype(dtype)
        pointer = self._owned(owner, "cudaFree", "cudaMalloc", math.prod(shape) * dtype.itemsize)
        return DeviceArray(pointer, tuple(shape), dtype)

    def pinned(self, owner: ExitStack, shape: tuple[int, ...], dtype: np.dtype | str) -> np.ndarray:
        """Page-locked host memory, which copies run from and to beside computation. Valid as long as its owner."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        pointer = self._owned(owner, "cudaFreeHost", "cudaMallocHost", nbytes)
        memory = memoryview((ctypes.c_byte * nbytes).from_address(pointer))
        return np.frombuffer(memory, dtype).reshape(shape)

    def upload(self, target: DeviceArray, source: np.ndarray, stream: Any) -> None:
        """Enqueues a copy from pinned memory of the same size and type."""
        self._same(target, source)
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", target.pointer, source.ctypes.data, target.nbytes, kind, stream)

    def download(self, target: np.ndarray, source: DeviceArray, stream: Any) -> None:
        """Enqueues a copy to pinned memory of the same size and type."""
        self._same(source, target)
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target.ctypes.data, source.pointer, source.nbytes, kind, stream)

    def clear(self, target: DeviceArray, stream: Any) -> None:
        """Enqueues filling with zeros."""
        self.call("cudaMemsetAsync", target.pointer, 0, target.nbytes, stream)

    def record(self, event: Any, stream: Any) -> None:
        """The event happens when all that the stream holds now is done."""
        self.call("cudaEventRecord", event, stream)

    def follow(self, stream: Any, event: Any) -> None:
        """The stream goes on only after the event."""
        self.call("cudaStreamWaitEvent", stream, event, 0)

    def wait(self, event: Any) -> None:
        """The calling thread waits for the event."""
        self.call("cudaEventSynchronize", event)

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two events with timing that have happened, to about half a microsecond."""
        return float(self.call("cudaEventElapsedTime", start, end))

    def synchronize(self, stream: Any) -> None:
        """The calling thread waits for the stream."""
        self.call("cudaStreamSynchronize", stream)

    def drain(self) -> None:
        """The calling thread waits for all work of this device; after an error too, which it leaves to other calls."""
        self.use()
        self._cudart.cudaDeviceSynchronize()

    def capture(self, owner: ExitStack, stream: Any, enqueue: Callable[[], None]) -> Any:
        """What `enqueue` puts on the stream, as an executable graph, without running it.

        The capture is ended on errors too: a stream that stayed in it could be used for nothing else.
        """
        with self._capturing(stream) as captured:
            enqueue()
        graph = captured[0]
        try:
            return self._owned(owner, "cudaGraphExecDestroy", "cudaGraphInstantiate", graph, 0)
        finally:
            self.call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Enqueues a captured graph."""
        self.call("cudaGraphLaunch", graph, stream)

    @contextmanager
    def _capturing(self, stream: Any) -> Iterator[list[Any]]:
        captured: list[Any] = []
        # Of this thread only: another one may allocate memory meanwhile.
        mode = self._cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", stream, mode)
        try:
            yield captured
        except BaseException:
            _, graph = self._cudart.cudaStreamEndCapture(stream)
            if graph is not None and int(graph):
                self._cudart.cudaGraphDestroy(graph)
            raise
        captured.append(self.call("cudaStreamEndCapture", stream))

    def _owned(self, owner: ExitStack, free: str, function: str, *arguments: Any) -> Any:
        handle = self.call(function, *arguments)
        owner.callback(self._free, free, handle)
        return handle

    def _free(self, function: str, handle: Any) -> None:
        # The owner may be closed by another thread than the one that allocated, and after an error with work under way.
        self.drain()
        self.call(function, handle)

    @staticmethod
    def _same(device: DeviceArray, host: np.ndarray) -> None:
        if device.shape != host.shape or device.dtype != host.dtype or not host.flags.c_contiguous:
            raise ValueError(f"copy between {device.shape} {device.dtype} and {host.shape} {host.dtype}")
