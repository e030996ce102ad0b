"""Writers of one layer of a video, whatever it is stored as, and the encoder that feeds all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from intrinsic_flow.decomposition.pending import PendingLayers
from intrinsic_flow.decomposition.product import ShadingKind, clipped_fraction, integer_scale
from intrinsic_flow.media.frames import Frame
from intrinsic_flow.media.pipe_writer import PipeWriter
from intrinsic_flow.media.sequence import SequenceWriter
from intrinsic_flow.media.video_encoding import codes_of_logs
from intrinsic_flow.media.video_writer import VideoWriter
from intrinsic_flow.output.float_layers import FloatLayers, FloatOutput
from intrinsic_flow.output.preview import side_by_side

SCALE_FRAMES = 8
SCALE_BYTES = 192 << 20
SCALE_HEADROOM = 1.25


class LayerWriter(Protocol):
    """Takes one layer's frames, (H, W, 3) float32 linear, with the source's frame that they belong to. Where `takes_codes`,
    they may be BT.709's codes, uint8."""

    takes_codes: bool

    def write(self, pixels: np.ndarray, frame: Frame) -> None: ...


class VideoLayer:
    """A video file."""

    def __init__(self, writer: VideoWriter) -> None:
        self.writer, self.takes_codes = writer, writer.takes_codes

    def write(self, pixels: np.ndarray, frame: Frame) -> None:
        self.writer.write(pixels, frame.pts, frame.duration, frame.alpha if self.writer.alpha else None)


class SequenceLayer:
    """A folder of numbered images."""

    takes_codes = False

    def __init__(self, writer: SequenceWriter, layer: str) -> None:
        """layer: "albedo", "shading", "layers" or "preview", which has no alpha."""
        self.writer, self._layer = writer, layer

    def write(self, pixels: np.ndarray, frame: Frame) -> None:
        self.writer.write(pixels, _number(frame), None if self._layer == "preview" else frame.alpha)

    def write_floats(self, layers: FloatLayers, frame: Frame) -> None:
        """Writes this one of the layers, or both in one file."""
        layers.write(self.writer.path(_number(frame)), self._layer, self.writer.clock.at(frame.pts))
        self.writer.frames += 1


def _number(frame: Frame) -> int:
    return frame.index if frame.number is None else frame.number


class PipeLayer:
    """Standard output."""

    takes_codes = False

    def __init__(self, writer: PipeWriter) -> None:
        self.writer = writer

    def write(self, pixels: np.ndarray, frame: Frame) -> None:
        self.writer.write(pixels)


class LayerEncoder:
    """Writes decomposed frames, the shading divided by one factor for the whole clip.

    A factor per frame would flicker; knowing the clip's brightest shading would take a second pass. So the first frames
    decide, with headroom: `scale` is their 99.9th percentile times SCALE_HEADROOM, and at least 1, which a fade-in from
    black does not pull down. Shading above `scale` clips; `clipped` tells how much did.
    """

    def __init__(
        self,
        writers: Mapping[str, LayerWriter],
        *,
        floats: FloatOutput | None,
        shading: ShadingKind,
        chunk: int,
        peak: float = 1.0,
    ) -> None:
        """writers: of "albedo", "shading", "layers" and "preview", those that are wanted. floats: how the layers are stored
        as floats, which need no factor; None for integers. shading: the kind that the frames have. chunk: a run may go
        on after any multiple of so many frames. peak: the brightest light that the files hold."""
        self._writers, self._floats, self._shading = dict(writers), floats, shading
        self._chunk, self._peak = chunk, peak
        self._held: list[tuple[Frame, PendingLayers]] = []
        self._clipped = 0.0
        self._decided = floats is not None
        self.scale = 0.0 if floats is None else 1.0
        self.scale_frames = 0
        #: Frames written, those of an earlier run that was resumed included.
        self.frames = 0
        #: Frames at which an interrupted run may go on, the last one so far, and what `clipped` was summed up to there.
        self.checkpoint = (0, 0.0)

    def resume(self, frames: int, scale: float, scale_frames: int, clipped: float) -> None:
        """Goes on after `frames` frames of an earlier run with its factor."""
        self.frames, self._clipped = frames, clipped
        self.checkpoint = (frames, clipped)
        if frames:
            self.scale, self.scale_frames, self._decided = scale, scale_frames, True

    @property
    def clipped(self) -> float:
        """Fraction of pixels whose shading clipped."""
        return self._clipped / max(self.frames, 1)

    def take(self, item: tuple[Frame, PendingLayers]) -> None:
        """Writes a frame, or holds it while the factor is not decided."""
        if self._decided:
            self._write(*item)
            return
        self._held.append(item)
        held_bytes = sum(2 * layers.image.nbytes for _, layers in self._held)
        if len(self._held) == SCALE_FRAMES or held_bytes >= SCALE_BYTES:
            self._decide()

    def finish(self) -> None:
        """Writes what is held of a clip shorter than SCALE_FRAMES."""
        if self._held:
            self._decide()

    def _decide(self) -> None:
        results = (layers.finish() for _, layers in self._held)
        levels = [integer_scale(result.albedo, result.shading) for result in results]
        self.scale = max(1.0, SCALE_HEADROOM * max(levels) / self._peak)
        self.scale_frames, self._decided = len(levels), True
        held, self._held = self._held, []
        for item in held:
            self._write(*item)

    def _write(self, frame: Frame, layers: PendingLayers) -> None:
        if layers.has_logs and "preview" not in self._writers and all(w.takes_codes for w in self._writers.values()):
            self._write_codes(frame, layers)
        else:
            self._write_light(frame, layers)
        self.frames += 1
        if self.frames % self._chunk == 0:
            self.checkpoint = (self.frames, self._clipped)

    def _write_codes(self, frame: Frame, layers: PendingLayers) -> None:
        shape, scale, clipped = layers.image.shape, math.log(self.scale), 0
        codes = {name: np.empty(shape, np.uint8) for name in ("albedo", "shading")}
        for rows, image, shading in layers.logs():
            codes_of_logs(image, shading, codes["albedo"][rows])
            codes_of_logs(shading, scale, codes["shading"][rows])
            if shading.max() > scale:
                clipped += int(np.count_nonzero((shading > scale).reshape(-1, 3).any(axis=1)))
        for name, writer in self._writers.items():
            writer.write(codes[name], frame)
        self._clipped += clipped / (shape[0] * shape[1])

    def _write_light(self, frame: Frame, layers: PendingLayers) -> None:
        result = layers.finish()
        albedo, shading = result.albedo, result.shading
        if self._floats is not None:
            stored = self._floats.layers(
                frame.pixels,
                albedo,
                shading,
                plate=frame.plate,
                alpha=frame.alpha,
                kind=self._shading,
                window=frame.window,
            )
        for name, writer in self._writers.items():
            if name == "preview":
                scale = self.scale if self._floats is None else integer_scale(albedo, shading)
                writer.write(side_by_side(frame.pixels, albedo, shading, scale), frame)
            elif self._floats is not None and isinstance(writer, SequenceLayer):
                writer.write_floats(stored, frame)
            else:
                writer.write(albedo if name == "albedo" else shading / np.float32(self.scale), frame)
        if self._floats is None:
            self._clipped += clipped_fraction(shading, self.scale * self._peak)
