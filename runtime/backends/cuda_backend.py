"""What the engines on CUDA GPUs share: a program per graph and shape, calls one ahead of their results, parts timed."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from intrinsic_flow.backends.base import Engine
from intrinsic_flow.backends.cuda_memory import Cuda, DeviceArray
from intrinsic_flow.backends.cuda_program import Pending, Program, Streams
from intrinsic_flow.decomposition.bundle import Bundle

MAX_PROGRAMS = 6


class CudaEngine(Engine):
    """An engine whose graphs run as programs: the inputs go up, the outputs come down, what lies between stays there.

    The first call of a shape makes its program and takes longer; the MAX_PROGRAMS latest stay. A subclass makes them.
    """

    def __init__(self, cuda: Cuda, bundle: Bundle) -> None:
        self._cuda, self._bundle = cuda, bundle
        self._programs: OrderedDict[tuple[object, ...], Program] = OrderedDict()
        self._closed = False
        with ExitStack() as owner:
            self._streams = Streams(*(cuda.stream(owner) for _ in range(3)))
            self._owner = owner.pop_all()

    @property
    @abstractmethod
    def precision(self) -> str:
        """ "fp32" or "fp16": what the networks compute in."""

    @abstractmethod
    def _graph_program(self, graph: str, shapes: Mapping[str, tuple[int, ...]], owner: ExitStack) -> Program:
        """A graph's program for these input shapes, from the graph's inputs to its outputs."""

    @abstractmethod
    def _network_program(self, shape: tuple[int, ...], steps: int, owner: ExitStack) -> Program:
        """The network's program for images of a shape, from "image" and "noise", which is kept, to "albedo"."""

    @abstractmethod
    def _release(self) -> None:
        """Drops what the subclass holds beside the programs, which are closed then; `close` calls it."""

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph. Raises what making a program for the inputs' shapes raises."""
        return self._submit(graph, feeds, None).result()

    def run_many(
        self, graph: str, calls: Iterable[Mapping[str, np.ndarray]], outputs: Collection[str] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """One call ahead: its copies run beside the computation of the one before."""
        return _one_ahead(calls, lambda feeds: self._submit(graph, feeds, outputs))

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        """As one program. Raises what making it for the image's shape raises."""
        return self._submit_network(image, noise, steps).result()["albedo"]

    def network_many(self, images: Iterable[np.ndarray], noise: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        """One call ahead: its copies run beside the computation of the one before."""
        for outputs in _one_ahead(images, lambda image: self._submit_network(image, noise, steps)):
            yield outputs["albedo"]

    def phases(self, image: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, float]:
        """Milliseconds of one call of `network` by parts: see `Program.phases`."""
        return self._network_of(image, steps).phases({"image": image, "noise": noise})

    def close(self) -> None:
        """Frees programs, with what they run, streams and buffers."""
        if self._closed:
            return
        self._closed = True
        self._cuda.use()
        with self._owner:
            # The last one added runs first: programs, then what they were made of, then what they lie on.
            self._owner.callback(self._release)
            while self._programs:
                self._owner.callback(self._programs.popitem()[1].close)

    def _submit(self, graph: str, feeds: Mapping[str, np.ndarray], wanted: Collection[str] | None) -> Pending:
        shapes = {name: tuple(feeds[name].shape) for name in self._bundle.spec(graph).input_names}
        key = (graph, *sorted(shapes.items()))
        return self._program(key, lambda owner: self._graph_program(graph, shapes, owner)).submit(feeds, wanted)

    def _submit_network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> Pending:
        return self._network_of(image, steps).submit({"image": image, "noise": noise})

    def _network_of(self, image: np.ndarray, steps: int) -> Program:
        key = ("network", image.shape, steps)
        return self._program(key, lambda owner: self._network_program(image.shape, steps, owner))

    def _program(self, key: tuple[object, ...], build: Callable[[ExitStack], Program]) -> Program:
        if self._closed:
            raise RuntimeError("the engine is closed")
        self._cuda.use()
        if key not in self._programs:
            with ExitStack() as owner:
                # Room first: memory on the device is what there is least of.
                while len(self._programs) >= MAX_PROGRAMS:
                    self._programs.popitem(last=False)[1].close()
                self._programs[key] = build(owner)
        self._programs.move_to_end(key)
        return self._programs[key]

    def _constant(self, owner: ExitStack, *values: float) -> DeviceArray:
        """(len(values),) float32 on the device."""
        cuda, stream = self._cuda, self._streams.compute
        array = cuda.array(owner, (len(values),), "float32")
        with ExitStack() as sending:
            pinned = cuda.pinned(sending, array.shape, "float32")
            pinned[:] = values
            cuda.upload(array, pinned, stream)
            cuda.synchronize(stream)
        return array


def _one_ahead(calls: Iterable[Any], submit: Callable[[Any], Pending]) -> Iterator[dict[str, np.ndarray]]:
    before: Pending | None = None
    for call in calls:
        pending = submit(call)
        if before is not None:
            yield before.result()
        before = pending
    if before is not None:
        yield before.result()
