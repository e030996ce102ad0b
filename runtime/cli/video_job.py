"""One video: decode, decompose and encode side by side, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.cli.arguments import Settings
from runtime.cli.interrupt import check
from runtime.cli.outputs import OutputSet
from runtime.cli.pipeline import Sink, prefetch
from runtime.cli.plan import Job
from runtime.cli.preview import panel_size, side_by_side
from runtime.cli.progress import Counter, Progress
from runtime.cli.sidecar import write_sidecar
from runtime.decomposer import Decomposer, Decomposition
from runtime.product import clipped_fraction, integer_scale
from runtime.video import Frame, VideoReader, VideoWriter

FRAMES_AHEAD = 2
FRAMES_BEHIND = 2
SCALE_FRAMES = 8
SCALE_BYTES = 192 << 20
SCALE_HEADROOM = 1.25


def run_video(
    job: Job,
    settings: Settings,
    model: Callable[[], Decomposer],
    protected: frozenset[str],
    progress: Progress,
) -> list[Path] | None:
    """Runs a job; returns the files written, or None where they all exist already. Raises as `run_image` does."""
    albedo, shading, sidecar = f"{job.name}_albedo.mp4", f"{job.name}_shading.mp4", f"{job.name}_shading.json"
    preview = f"{job.name}_preview.mp4" if settings.preview else None
    names = [albedo, shading, sidecar, *([preview] if preview else [])]
    outputs = OutputSet(job.folder, names, overwrite=settings.overwrite, protected=protected)
    if outputs.all_exist():
        return None
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(job.path, settings.colorspace))
        counter = Counter(progress, job.path.name, reader.frames, "frames")
        stream = model().stream
        stack.enter_context(outputs)
        size = (reader.width, reader.height)
        writers = VideoLayers(
            stack.enter_context(VideoWriter(outputs.path(albedo), reader, *size)),
            stack.enter_context(VideoWriter(outputs.path(shading), reader, *size)),
            None,
        )
        if preview:
            height, width = panel_size(reader.height, reader.width)
            panels = VideoWriter(outputs.path(preview), reader, 3 * width, height, bit_depth=8)
            writers.preview = stack.enter_context(panels)
        encoder = LayerEncoder(writers)
        waiting: deque[Frame] = deque()
        with Sink(encoder.take, FRAMES_BEHIND) as sink:
            for result in stream(_pixels(reader, waiting), temporal=settings.temporal):
                sink.put((waiting.popleft(), result))
                counter.advance()
                check()
        encoder.finish()
        write_sidecar(
            outputs.path(sidecar),
            job.path,
            model(),
            encoder.scale,
            encoder.clipped,
            decoding="linear shading = shading_scale * the video's decoded linear light, in every frame",
            scale_choice=f"{SCALE_HEADROOM} x the 99.9th percentile of the first {encoder.scale_frames} frames, "
            "at least 1; brighter highlights clip",
            frames=encoder.frames,
            temporal=settings.temporal,
        )
        for note in dict.fromkeys((*reader.notes, *writers.albedo.notes)):
            progress.log(f"{job.path}: {note}")
    return [job.folder / name for name in outputs.names]


def _pixels(reader: VideoReader, waiting: deque[Frame]) -> Iterator[np.ndarray]:
    """Pixels of the frames, decoded ahead; the frames themselves go to `waiting`."""
    frames = prefetch(reader, FRAMES_AHEAD)
    try:
        for frame in frames:
            waiting.append(frame)
            yield frame.pixels
    finally:
        frames.close()


@dataclass
class VideoLayers:
    """The writers of one clip's outputs."""

    albedo: VideoWriter
    shading: VideoWriter
    preview: VideoWriter | None


class LayerEncoder:
    """Writes decomposed frames, the shading divided by one factor for the whole clip.

    A factor per frame would flicker; knowing the clip's brightest shading would take a second pass. So the first frames
    decide, with headroom: `scale` is their 99.9th percentile times SCALE_HEADROOM, and at least 1, which a fade-in from
    black does not pull down. Shading above `scale` clips; `clipped` tells how much did.
    """

    def __init__(self, writers: VideoLayers) -> None:
        self._writers = writers
        self._held: list[tuple[Frame, Decomposition]] = []
        self._clipped = 0.0
        self.scale = 0.0
        self.scale_frames = 0
        self.frames = 0

    @property
    def clipped(self) -> float:
        """Fraction of pixels whose shading clipped."""
        return self._clipped / max(self.frames, 1)

    def take(self, item: tuple[Frame, Decomposition]) -> None:
        """Writes a frame, or holds it while the factor is not decided."""
        if self.scale:
            self._write(*item)
            return
        self._held.append(item)
        held_bytes = sum(result.albedo.nbytes + result.shading.nbytes for _, result in self._held)
        if len(self._held) == SCALE_FRAMES or held_bytes >= SCALE_BYTES:
            self._decide()

    def finish(self) -> None:
        """Writes what is held of a clip shorter than SCALE_FRAMES."""
        if self._held:
            self._decide()

    def _decide(self) -> None:
        levels = [integer_scale(result.shading) for _, result in self._held]
        self.scale = max(1.0, SCALE_HEADROOM * max(levels))
        self.scale_frames = len(levels)
        held, self._held = self._held, []
        for item in held:
            self._write(*item)

    def _write(self, frame: Frame, result: Decomposition) -> None:
        self._writers.albedo.write(result.albedo, frame.pts, frame.duration)
        self._writers.shading.write(result.shading / np.float32(self.scale), frame.pts, frame.duration)
        if self._writers.preview is not None:
            panels = side_by_side(frame.pixels, result.albedo, result.shading, self.scale)
            self._writers.preview.write(panels, frame.pts, frame.duration)
        self._clipped += clipped_fraction(result.shading, self.scale)
        self.frames += 1
