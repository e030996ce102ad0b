"""The decomposer: one image or a stream of frames in, albedo and shading out at the input's resolution."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack

import cv2
import numpy as np

from intrinsic_flow.backends import open_backend
from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition import working_size
from intrinsic_flow.decomposition.bundle import LATENT_DOWNSCALE, Bundle
from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.decomposition.guided_filter import Lines
from intrinsic_flow.decomposition.inputs import ImageInput, read_input
from intrinsic_flow.decomposition.layers import Source
from intrinsic_flow.decomposition.noise import cut
from intrinsic_flow.decomposition.options import DEFAULT_RESOLUTION, Mode, ModelOptions
from intrinsic_flow.decomposition.pending import PendingLayers, without_negatives
from intrinsic_flow.decomposition.pipeline import in_order, prefetch
from intrinsic_flow.decomposition.product import ShadingKind
from intrinsic_flow.decomposition.result import Decomposition
from intrinsic_flow.decomposition.temporal.filter import ExposedFrame, TemporalFilter
from intrinsic_flow.decomposition.upsampling import expose, from_nchw, strip_rows, to_nchw, unexposed, upsample_shading
from intrinsic_flow.media.color import luminance

__all__ = ["DEFAULT_RESOLUTION", "Decomposer", "Decomposition", "Mode", "ModelOptions"]

#: Frames that a stream of several workers may draw beyond those that its workers have.
FRAMES_AHEAD = 4


class _Changes(TypedDict, total=False):
    """Options of a model whose backend is open."""

    steps: int
    seed: int
    resolution: int
    shading: ShadingKind
    mode: Mode


class _Keywords(TypedDict, total=False):
    """Options that `load` takes by keyword."""

    resolution: int
    shading: ShadingKind
    mode: Mode
    threads: int | None
    precision: Literal["fp32", "reduced"] | None
    engines: str | os.PathLike[str] | None
    device: int


@dataclass(frozen=True)
class Context:
    """A frame of a stream of which no layers are wanted: it comes before the wanted ones, which depend on it."""

    image: ImageInput


@dataclass(frozen=True, eq=False)
class _Item:
    """An image on its way. guide, padded: exposed at working resolution, the graphs' `guide` and `image`. frame: where it
    is one of a stream. albedo: the network's, (1, 3, H, W). shading: what comes out."""

    image: np.ndarray
    source: Source
    wanted: bool
    guide: np.ndarray
    padded: np.ndarray
    gain: float
    frame: ExposedFrame | None
    albedo: np.ndarray | None = None
    shading: Lines | np.ndarray | None = None


class Decomposer:
    """A loaded model. Use as a context manager, or call `close()`. One instance serves one thread at a time.

        with Decomposer.load() as model:
            result = model.decompose("photo.jpg")
            result.save("out")
            for result in model.stream(frames): ...

    The same input, seed and backend give the same bytes.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend, options: ModelOptions | None = None, **changes: Unpack[_Changes]
    ) -> None:
        """options: with `changes`, those of them that differ. Raises ValueError for a bad one."""
        self.bundle = bundle
        self.backend = backend
        self.options = replace(options or ModelOptions(), **changes)
        self._tone_map = bundle.tone_map
        self._filter = bundle.guided_filter if backend.on_cpu else None

    @property
    def engine(self) -> Backend:
        """`backend`, under its former name."""
        return self.backend

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | Bundle | None = None,
        backend: str = "auto",
        steps: int = 2,
        seed: int = 0,
        **options: Unpack[_Keywords],
    ) -> Self:
        """Opens a bundle and a backend for it; the networks themselves are loaded on the first image.

        bundle: "small", "base", a bundle's folder, "hf:owner/name@revision", or None for the best shipped one. The others:
        see `ModelOptions`. Raises as `open` does.
        """
        return cls.open(bundle, ModelOptions(backend, steps, seed, **options))

    @classmethod
    def open(cls, bundle: str | os.PathLike[str] | Bundle | None, options: ModelOptions) -> Self:
        """As `load`. Raises InputError for a bad bundle, ValueError for a bad option, MissingExtraError without the
        backend's library, RuntimeError without the device that it needs."""
        loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        opened = open_backend(
            loaded,
            options.backend,
            threads=options.threads,
            precision=options.precision,
            engines=None if options.engines is None else Path(options.engines),
            device=options.device,
        )
        return cls(loaded, opened, options)

    def decompose(self, image: ImageInput) -> Decomposition:
        """Decomposes one image.

        image: an array (H, W, 3), any H and W. Floating point: linear light, any scale, where NaN counts as black and
        infinite values as the largest finite one; negative ones are kept in the albedo, for the light they are black.
        uint8 or uint16: sRGB-encoded.
        Or a path: colour space and orientation are those that the file states, as on the command line (`read_image`).
        Or a PIL image: sRGB unless it carries another matrix profile; EXIF orientation applied; alpha kept for `save`.
        Raises ValueError for another shape, type or mode, InputError for a file that is no complete image and for an array
        without a finite pixel.
        """
        item = self._infer(self.backend, self._prepare(image, None))
        return self._complete(self.backend, item, None).finish()

    def stream(
        self, frames: Iterable[ImageInput | Context], *, temporal: bool = True, first_frame: int = 0, every: int = 1
    ) -> Iterator[Decomposition]:
        """Decomposes the frames of a video one by one, frame in -> frame out, and nothing out for a `Context`.

        As `decompose`; every frame starts from the same noise. temporal: exposure and albedo are filtered along the
        motion, up to the next scene cut (`temporal/`); without, every frame stands alone. first_frame: number of
        the first frame in its video, where the frames before it are left out (`TemporalFilter.resume_from`). every: the
        network runs on every so manieth frame, of a camera that moves twice as often, and where something new appears; in
        between what it said is carried along the motion. Raises ValueError for `every` without `temporal`.
        """
        for layers in self.stream_pending(frames, temporal=temporal, first_frame=first_frame, every=every):
            yield layers.finish()

    def stream_pending(
        self,
        frames: Iterable[ImageInput | Context],
        *,
        temporal: bool = True,
        first_frame: int = 0,
        every: int = 1,
        workers: int = 0,
    ) -> Generator[PendingLayers, None, None]:
        """As `stream`; what costs time at full resolution is left to the caller, who may do it in another thread.

        workers: of so many frames at a time the network runs, each on one core, where the backend allows it (ONNX Runtime
        on the CPU); frames are then drawn by another thread, up to `workers` + FRAMES_AHEAD before their results. 0 for
        one frame after the other, in the caller's thread.
        """
        if every != 1 and not temporal:
            raise ValueError(f"every {every}, expected 1 where frames stand alone")
        state = TemporalFilter(first_frame, every) if temporal else None
        parallel = self.backend.parallel() if workers else None
        backend = parallel or self.backend
        prepared = (self._prepare(frame, state) for frame in frames)
        with ExitStack() as stack:
            if parallel is None:
                inferred: Iterable[_Item] = (self._infer(backend, item) for item in prepared)
            else:
                pool = ThreadPoolExecutor(workers, "network")
                stack.callback(pool.shutdown, cancel_futures=True)
                ahead = stack.enter_context(closing(prefetch(prepared, 1)))
                inferred = in_order(pool, partial(self._infer, backend), ahead, workers + FRAMES_AHEAD - 1)
            for item in inferred:
                layers = self._complete(backend, item, state)
                if item.wanted:
                    yield layers

    def exposed(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """What the networks are given of a still image (H, W, 3) float32, linear, not negative: `guide` and `image` of the
        graphs at working resolution, and the exposure's gain."""
        return self._exposed(image, None)[:3]

    def settings(self) -> dict[str, Any]:
        """Model, backend and options, as they stand in the JSON file beside an integer shading."""
        return {
            "bundle": self.bundle.name,
            "engine": self.backend.describe(),
            **{name: getattr(self.options, name) for name in ("mode", "shading", "steps", "seed", "resolution")},
        }

    def close(self) -> None:
        """Frees the backend."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _prepare(self, image: ImageInput | Context, state: TemporalFilter | None) -> _Item:
        """Reads and exposes an image. A stream's state takes it."""
        wanted = not isinstance(image, Context)
        pixels, source = read_input(image.image if isinstance(image, Context) else image)
        guide, padded, gain, frame = self._exposed(without_negatives(pixels), state)
        return _Item(pixels, source, wanted, guide, padded, gain, frame)

    def _infer(self, backend: Backend, item: _Item) -> _Item:
        """Runs the network where it is to be run."""
        if item.frame is None and self._in_one_call(item.image):
            noise = self._start_noise(*item.padded.shape[2:])
            full = expose(without_negatives(item.image), item.gain)
            shading = backend.decompose(item.padded, noise, self.options.steps, item.guide, full)
            return replace(item, shading=unexposed(shading, item.gain))
        if item.frame is None or item.frame.infer:
            return replace(item, albedo=self._albedo(backend, item.padded))
        return item

    def _complete(self, backend: Backend, item: _Item, state: TemporalFilter | None) -> PendingLayers:
        """The shading that the albedo leaves. A stream's state takes it."""
        shading = self._shading(backend, item, state) if item.shading is None else item.shading
        return PendingLayers(item.image, shading, self.options.shading, item.gain, item.source, self.settings())

    def _shading(self, backend: Backend, item: _Item, state: TemporalFilter | None) -> Lines | np.ndarray:
        """Of the albedo, steadied in a stream: the filter's lines where the backend leaves the filter to us, else the
        shading (H, W, 3) float32; empty where it is not wanted."""
        guide, albedo, frame = item.guide, item.albedo, item.frame
        if state is not None and frame is not None:
            if albedo is None:
                steady = state.carried(frame)
            else:
                steady = state.steady(frame, from_nchw(albedo)[: guide.shape[2], : guide.shape[3]])
            albedo = to_nchw(working_size.pad(steady))
        assert albedo is not None  # after `_infer`
        maps = {"guide": guide, **backend.run("low_shading", {"albedo": albedo, "guide": guide})}
        if self.options.shading == "gray":
            maps["log_shading"] = _gray(maps["log_shading"])
        low = from_nchw(guide)
        if self._filter is not None:
            lines = self._filter.fit(from_nchw(maps["log_shading"]), low)
            if state is not None and frame is not None:
                lines = lines.at_low_resolution()
                factors = _settled(state, frame, low, lines.shading(low, 1.0))
                lines = replace(lines, offset=lines.offset - cv2.log(factors))
            return lines
        if state is None or frame is None:
            return upsample_shading(backend, without_negatives(item.image), maps, item.gain)
        factors = _settled(state, frame, low, upsample_shading(backend, low, maps, 1.0))
        if not item.wanted:
            return np.empty((0, 0, 3), np.float32)
        full = upsample_shading(backend, without_negatives(item.image), maps, item.gain)
        full /= cv2.resize(factors, item.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return full

    def _exposed(
        self, light: np.ndarray, state: TemporalFilter | None
    ) -> tuple[np.ndarray, np.ndarray, float, ExposedFrame | None]:
        """(H, W, 3) float32, not negative -> exposed at working resolution, `guide` and `image` of the graphs; the gain."""
        size = working_size.working_size(light.shape[0], light.shape[1], self.options.resolution)
        low = working_size.resize(light, size.height, size.width)
        gain, frame = exposure_gain(low, self._tone_map), None
        if state is not None:
            frame = state.expose(low, gain)
            gain = frame.gain
        guide = expose(low, gain)
        return guide, to_nchw(working_size.pad(np.clip(from_nchw(guide), 0, 1))), gain, frame

    def _in_one_call(self, image: np.ndarray) -> bool:
        """Whether the backend may go from the image to the full shading, with nothing done here in between."""
        height, width = image.shape[:2]
        return (
            self._filter is None
            and self.options.mode == "flow"
            and self.options.shading == "rgb"
            and height <= strip_rows(self.backend, width)
        )

    def _albedo(self, backend: Backend, image: np.ndarray) -> np.ndarray:
        """The network: (1, 3, H, W) in [0, 1], sides multiples of 32 -> albedo of that shape, in [0, 1]."""
        if self.options.mode == "vae":
            z = backend.run("vae_encoder", {"albedo": image})["z"]
            return backend.run("decoder", {"z": z, "image": image})["albedo"]
        return backend.network(image, self._start_noise(*image.shape[2:]), self.options.steps)

    def _start_noise(self, height: int, width: int) -> np.ndarray:
        """The latent that every image of this size starts from."""
        return cut(self.bundle.noise, height // LATENT_DOWNSCALE, width // LATENT_DOWNSCALE, self.options.seed)


def _settled(state: TemporalFilter, frame: ExposedFrame, low: np.ndarray, shading: np.ndarray) -> np.ndarray:
    """Factors for the albedo of a frame (h, w, 3), exposed, under the shading that was found for it."""
    return state.settle(frame, low / np.maximum(shading, low + np.float32(1e-6)))


def _gray(log_shading: np.ndarray) -> np.ndarray:
    """(1, 3, h, w), natural log -> that of its luminance in every channel."""
    most = log_shading.max(axis=1, keepdims=True)  # which alone might be beyond the largest float
    gray = most[0, 0] + np.log(luminance(np.exp(log_shading - most)[0].transpose(1, 2, 0)))
    return np.ascontiguousarray(np.broadcast_to(gray, log_shading.shape), np.float32)
