"""What the backends on CUDA GPUs share: a program per graph and shape, calls one ahead of their results, parts timed."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.backends.cuda_memory import Cuda, DeviceArray
from intrinsic_flow.backends.cuda_program import Interface, Pending, Program, Streams, Tensors
from intrinsic_flow.backends.engine_file import graph_precision
from intrinsic_flow.decomposition.bundle import Bundle, Precision

MAX_PROGRAMS = 6

Spec = tuple[tuple[int, ...], np.dtype]


class Part(Protocol):
    """A graph for one set of input shapes."""

    @property
    def inputs(self) -> Mapping[str, Spec]:
        """Shape and dtype by name."""
        ...

    @property
    def outputs(self) -> Mapping[str, Spec]:
        """Shape and dtype by name."""
        ...

    def enqueue(self, tensors: Tensors, stream: Any) -> None:
        """Puts one run over those of these tensors that the graph has on a stream."""
        ...

    def capturable(self, stream: Any) -> bool:
        """Whether a run on this stream may be captured, once one was made."""
        ...


@dataclass(frozen=True)
class Network:
    """Encoder, steps and decoder. `enqueue(image, noise, albedo, stream)` puts them on a stream."""

    image: Spec
    noise: Spec
    albedo: Spec
    enqueue: Callable[[DeviceArray, DeviceArray, DeviceArray, Any], None]
    parts: Sequence[Part]


class CudaBackend(Backend):
    """A backend whose graphs run as programs: the inputs go up, the outputs come down, what lies between stays there.

    The first call of a shape makes its program and takes longer; the MAX_PROGRAMS latest stay. A subclass makes them.
    """

    def __init__(self, cuda: Cuda, bundle: Bundle) -> None:
        self._cuda, self._bundle = cuda, bundle
        self._programs: OrderedDict[tuple[object, ...], Program] = OrderedDict()
        self._closed = False
        with ExitStack() as owner:
            self._streams = Streams(*(cuda.stream(owner) for _ in range(3)))
            self._owner = owner.pop_all()

    @abstractmethod
    def _part(self, graph: str, shapes: Mapping[str, tuple[int, ...]], owner: ExitStack) -> Part:
        """A graph for these input shapes. Raises what says why there is none."""

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

    def decompose(
        self, image: np.ndarray, noise: np.ndarray, steps: int, guide: np.ndarray, full: np.ndarray
    ) -> np.ndarray:
        """As one program: only the image goes up, only the shading comes down."""
        feeds = {"image": image, "noise": noise, "guide": guide, "full": full}
        return self._decomposition_of(image, steps, guide, full).submit(feeds).result()["shading"]

    def phases(self, image: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, float]:
        """Milliseconds of one call of `network` by parts: see `Program.phases`."""
        return self._network_of(image, steps).phases({"image": image, "noise": noise})

    def decomposition_phases(
        self, image: np.ndarray, noise: np.ndarray, steps: int, guide: np.ndarray, full: np.ndarray
    ) -> dict[str, float]:
        """The same of one call of `decompose`."""
        feeds = {"image": image, "noise": noise, "guide": guide, "full": full}
        return self._decomposition_of(image, steps, guide, full).phases(feeds)

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

    def _decomposition_of(self, image: np.ndarray, steps: int, guide: np.ndarray, full: np.ndarray) -> Program:
        shapes = image.shape, guide.shape, full.shape
        key = ("decompose", *shapes, steps)
        return self._program(key, lambda owner: self._decomposition_program(*shapes, steps, owner))

    def _graph_program(self, graph: str, shapes: Mapping[str, tuple[int, ...]], owner: ExitStack) -> Program:
        part = self._part(graph, shapes, owner)

        def enqueue(inputs: Tensors, outputs: Tensors, stream: Any) -> None:
            part.enqueue({**inputs, **outputs}, stream)

        return self._new_program(Interface(part.inputs, part.outputs), enqueue, [part], owner)

    def _network_program(self, shape: tuple[int, ...], steps: int, owner: ExitStack) -> Program:
        network = self._network(shape, steps, owner)
        inputs = {"image": network.image, "noise": network.noise}
        interface = Interface(inputs, {"albedo": network.albedo}, frozenset({"noise"}))

        def enqueue(inputs: Tensors, outputs: Tensors, stream: Any) -> None:
            network.enqueue(inputs["image"], inputs["noise"], outputs["albedo"], stream)

        return self._new_program(interface, enqueue, network.parts, owner)

    def _decomposition_program(
        self,
        shape: tuple[int, ...],
        guide_shape: tuple[int, ...],
        full_shape: tuple[int, ...],
        steps: int,
        owner: ExitStack,
    ) -> Program:
        cuda = self._cuda
        network = self._network(shape, steps, owner)
        rows = self._constant(owner, 0, full_shape[2])
        shapes = {"albedo": network.albedo[0], "guide": guide_shape}
        low_shading = self._part("low_shading", shapes, owner)
        low = {name: cuda.array(owner, *spec) for name, spec in low_shading.outputs.items()}
        shapes = {name: array.shape for name, array in low.items()}
        shapes |= {"guide": guide_shape, "image": full_shape, "rows": rows.shape}
        upsampler = self._part("upsampler", shapes, owner)
        albedo = cuda.array(owner, *network.albedo)
        float32 = np.dtype(np.float32)
        inputs = {
            "image": network.image,
            "noise": network.noise,
            "guide": (guide_shape, float32),
            "full": (full_shape, float32),
        }
        interface = Interface(inputs, {"shading": upsampler.outputs["shading"]}, frozenset({"noise"}))
        unwanted = {name: cuda.array(owner, *spec) for name, spec in upsampler.outputs.items() if name != "shading"}

        def enqueue(inputs: Tensors, outputs: Tensors, stream: Any) -> None:
            guide = inputs["guide"]
            network.enqueue(inputs["image"], inputs["noise"], albedo, stream)
            low_shading.enqueue({"albedo": albedo, "guide": guide, **low}, stream)
            layers = {**outputs, **unwanted}
            upsampler.enqueue({**low, "guide": guide, "image": inputs["full"], "rows": rows, **layers}, stream)

        return self._new_program(interface, enqueue, [*network.parts, low_shading, upsampler], owner)

    def _network(self, shape: tuple[int, ...], steps: int, owner: ExitStack) -> Network:
        """The network for images of a shape; features and latents stay on the device."""
        cuda = self._cuda
        encoder, step, decoder = (
            self._part(graph, self._shapes(graph, shape), owner) for graph in ("encoder", "velocity_step", "decoder")
        )
        features = {name: cuda.array(owner, *spec) for name, spec in encoder.outputs.items()}
        latent = step.outputs["z_next"]
        # Each step reads one and writes the other; the noise itself stays for the next call.
        latents = [cuda.array(owner, *latent) for _ in range(min(2, steps))]
        times = [self._constant(owner, index / steps) for index in range(steps)]
        duration = self._constant(owner, 1 / steps)

        def enqueue(image: DeviceArray, noise: DeviceArray, albedo: DeviceArray, stream: Any) -> None:
            encoder.enqueue({"image": image, **features}, stream)
            z = noise
            for index, time in enumerate(times):
                z_next = latents[index % 2]
                step.enqueue({"z": z, "z_next": z_next, "t": time, "dt": duration, **features}, stream)
                z = z_next
            decoder.enqueue({"z": z, "image": image, "albedo": albedo}, stream)

        return Network(encoder.inputs["image"], latent, decoder.outputs["albedo"], enqueue, [encoder, step, decoder])

    def _shapes(self, graph: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Of a graph's inputs, for images of a shape."""
        sizes = {"batch": shape[0], "h": shape[2] // 32, "w": shape[3] // 32}
        precision: Precision = "fp16" if self.precision == "fp16" else "fp32"
        spec = self._bundle.spec(graph, graph_precision(graph, precision))
        return {tensor.name: tensor.resolve(**sizes) for tensor in spec.inputs}

    def _new_program(
        self,
        interface: Interface,
        enqueue: Callable[[Tensors, Tensors, Any], None],
        parts: Sequence[Part],
        owner: ExitStack,
    ) -> Program:
        def capturable() -> bool:
            return all(part.capturable(self._streams.compute) for part in parts)

        return Program(self._cuda, self._streams, interface, enqueue, capturable, owner)

    def _program(self, key: tuple[object, ...], build: Callable[[ExitStack], Program]) -> Program:
        if self._closed:
            raise RuntimeError("the backend is closed")
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
