"""The decomposer: one image or a stream of frames in, albedo and shading out at the input's resolution."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
from intrinsic_flow.decomposition.product import ShadingKind, finish, finish_rows
from intrinsic_flow.decomposition.result import Decomposition
from intrinsic_flow.decomposition.temporal.filter import TemporalFilter
from intrinsic_flow.decomposition.upsampling import expose, from_nchw, strip_rows, to_nchw, unexposed, upsample_shading
from intrinsic_flow.media.color import luminance

__all__ = ["DEFAULT_RESOLUTION", "Decomposer", "Decomposition", "Mode", "ModelOptions"]


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
        Raises ValueError for another shape, type or mode, InputError for a file that is no complete image.
        """
        pixels, source = read_input(image)
        return self._attributed(self._decompose(pixels, None), source)

    def stream(
        self, frames: Iterable[ImageInput | Context], *, temporal: bool = True, first_frame: int = 0, every: int = 1
    ) -> Iterator[Decomposition]:
        """Decomposes the frames of a video one by one, frame in -> frame out, and nothing out for a `Context`.

        As `decompose`; every frame starts from the same noise. temporal: exposure and albedo are filtered along the
        motion, up to the next scene cut (`temporal/`); without, every frame stands alone. first_frame: number of
        the first frame in its video, where the frames before it are left out (`TemporalFilter.resume_from`). every: the
        network runs on every so manieth frame and where something new appears; in between what it said is carried along
        the motion. Raises ValueError for `every` without `temporal`.
        """
        if every != 1 and not temporal:
            raise ValueError(f"every {every}, expected 1 where frames stand alone")
        state = TemporalFilter(first_frame, every) if temporal else None
        for frame in frames:
            pixels, source = read_input(frame.image if isinstance(frame, Context) else frame)
            if not isinstance(frame, Context):
                yield self._attributed(self._decompose(pixels, state), source)
            elif state is not None:
                self._carry(_light(pixels), state)

    def exposed(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """What the networks are given of a still image (H, W, 3) float32, linear, not negative: `guide` and `image` of the
        graphs at working resolution, and the exposure's gain."""
        return self._exposed(image, None)

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

    def _attributed(self, result: Decomposition, source: Source) -> Decomposition:
        return replace(result, source=source, settings=self.settings())

    def _decompose(self, image: np.ndarray, state: TemporalFilter | None) -> Decomposition:
        light = _light(image)
        if self._filter is not None:
            lines, gain = self._lines(light, state)
            albedo, shading = np.empty_like(image), np.empty_like(image)
            for rows, strip in lines.strips(light, gain):
                finish_rows(image[rows], strip, albedo[rows], shading[rows], kind=self.options.shading)
            return Decomposition(albedo, shading, gain)
        if state is None and self._in_one_call(image):
            guide, padded, gain = self._exposed(light, None)
            shading = self.backend.decompose(
                padded, self._start_noise(*padded.shape[2:]), self.options.steps, guide, expose(light, gain)
            )
            full = unexposed(shading, gain)
        else:
            maps, gain, factors = self._low_shading(light, state)
            full = upsample_shading(self.backend, light, maps, gain)
            if factors is not None:
                full /= cv2.resize(factors, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return Decomposition(*finish(image, full, "float", self.options.shading), gain)

    def _carry(self, light: np.ndarray, state: TemporalFilter) -> None:
        """Takes a frame into the state alone."""
        if self._filter is not None:
            self._lines(light, state)
        else:
            self._low_shading(light, state)

    def _exposed(self, light: np.ndarray, state: TemporalFilter | None) -> tuple[np.ndarray, np.ndarray, float]:
        """(H, W, 3) float32, not negative -> exposed at working resolution, `guide` and `image` of the graphs; the gain."""
        size = working_size.working_size(light.shape[0], light.shape[1], self.options.resolution)
        low = working_size.resize(light, size.height, size.width)
        gain = exposure_gain(low, self._tone_map)
        if state is not None:
            gain = state.expose(low, gain)
        guide = expose(low, gain)
        return guide, to_nchw(working_size.pad(np.clip(from_nchw(guide), 0, 1))), gain

    def _low_albedo(self, light: np.ndarray, state: TemporalFilter | None) -> tuple[np.ndarray, np.ndarray, float]:
        """(H, W, 3) float32, not negative -> `albedo` and `guide` of low_shading, and the exposure's gain. A stream's
        state takes the frame."""
        guide, padded, gain = self._exposed(light, state)
        if state is None:
            return self._albedo(padded), guide, gain
        if state.infer:
            steady = state.steady(from_nchw(self._albedo(padded))[: guide.shape[2], : guide.shape[3]])
        else:
            steady = state.carried()
        return to_nchw(working_size.pad(steady)), guide, gain

    def _own_shading(self, light: np.ndarray, state: TemporalFilter | None) -> tuple[dict[str, np.ndarray], float]:
        """(H, W, 3) float32, not negative -> the upsampler's low-resolution inputs and the exposure's gain."""
        albedo, guide, gain = self._low_albedo(light, state)
        maps = {"guide": guide, **self.backend.run("low_shading", {"albedo": albedo, "guide": guide})}
        if self.options.shading == "gray":
            maps["log_shading"] = _gray(maps["log_shading"])
        return maps, gain

    def _low_shading(
        self, light: np.ndarray, state: TemporalFilter | None
    ) -> tuple[dict[str, np.ndarray], float, np.ndarray | None]:
        """As `_own_shading`, and in a stream factors (h, w, 3) by which the albedo that comes of it is to be changed."""
        maps, gain = self._own_shading(light, state)
        if state is None:
            return maps, gain, None
        low = from_nchw(maps["guide"])
        return maps, gain, _settled(state, low, upsample_shading(self.backend, low, maps, 1.0))

    def _lines(self, light: np.ndarray, state: TemporalFilter | None) -> tuple[Lines, float]:
        """The same with the upsampler's filter: lines that have those factors in them, and the exposure's gain."""
        assert self._filter is not None
        maps, gain = self._own_shading(light, state)
        low = from_nchw(maps["guide"])
        lines = self._filter.fit(from_nchw(maps["log_shading"]), low)
        if state is not None:
            lines = lines.at_low_resolution()
            lines = replace(lines, offset=lines.offset - cv2.log(_settled(state, low, lines.shading(low, 1.0))))
        return lines, gain

    def _in_one_call(self, image: np.ndarray) -> bool:
        """Whether the backend may go from the image to the full shading, with nothing done here in between."""
        height, width = image.shape[:2]
        return self.options.mode == "flow" and self.options.shading == "rgb" and height <= strip_rows(self.backend, width)

    def _albedo(self, image: np.ndarray) -> np.ndarray:
        """The network: (1, 3, H, W) in [0, 1], sides multiples of 32 -> albedo of that shape, in [0, 1]."""
        if self.options.mode == "vae":
            z = self.backend.run("vae_encoder", {"albedo": image})["z"]
            return self.backend.run("decoder", {"z": z, "image": image})["albedo"]
        return self.backend.network(image, self._start_noise(*image.shape[2:]), self.options.steps)

    def _start_noise(self, height: int, width: int) -> np.ndarray:
        """The latent that every image of this size starts from."""
        return cut(self.bundle.noise, height // LATENT_DOWNSCALE, width // LATENT_DOWNSCALE, self.options.seed)


def _light(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 -> the same without negative values."""
    return image if image.min() >= 0 else np.maximum(image, 0)


def _settled(state: TemporalFilter, low: np.ndarray, shading: np.ndarray) -> np.ndarray:
    """Factors for the albedo of a frame (h, w, 3), exposed, under the shading that was found for it."""
    return state.settle(low / np.maximum(shading, low + np.float32(1e-6)))


def _gray(log_shading: np.ndarray) -> np.ndarray:
    """(1, 3, h, w), natural log -> that of its luminance in every channel."""
    most = log_shading.max(axis=1, keepdims=True)  # which alone might be beyond the largest float
    gray = most[0, 0] + np.log(luminance(np.exp(log_shading - most)[0].transpose(1, 2, 0)))
    return np.ascontiguousarray(np.broadcast_to(gray, log_shading.shape), np.float32)
