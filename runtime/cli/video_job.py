"""One video, image sequence or camera: decode, decompose and encode side by side, frame by frame."""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from intrinsic_flow.backends.onnxruntime_cpu import usable_cores
from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.jobs import Job
from intrinsic_flow.cli.layers import SCALE_HEADROOM, LayerEncoder, LayerWriter, PipeLayer, SequenceLayer, VideoLayer
from intrinsic_flow.cli.partial import (
    Interrupted,
    PartialState,
    content_hash,
    load_state,
    partial_name,
    remove_partial,
    save_state,
    state_path,
)
from intrinsic_flow.cli.progress import Counter, Progress
from intrinsic_flow.cli.sources import open_source
from intrinsic_flow.cli.unused import for_video
from intrinsic_flow.decomposition.decomposer import Context, Decomposer
from intrinsic_flow.decomposition.pipeline import Sink, prefetch
from intrinsic_flow.decomposition.temporal.filter import TemporalFilter
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.audio_copy import write_audio
from intrinsic_flow.media.formats import SequenceFormat
from intrinsic_flow.media.frames import Frame, VideoSource
from intrinsic_flow.media.pipe_writer import PipeFormat, PipeWriter
from intrinsic_flow.media.sequence import SequenceReader, SequenceWriter
from intrinsic_flow.media.video_encoding import PEAKS
from intrinsic_flow.media.video_facts import Clock
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.media.video_writer import CHUNK_FRAMES, VideoWriter
from intrinsic_flow.output import interrupt
from intrinsic_flow.output.output_set import OutputSet
from intrinsic_flow.output.preview import panel_size
from intrinsic_flow.output.sidecar import write_sidecar

FRAMES_AHEAD = 2
FRAMES_BEHIND = 2
#: Frames in the network at a time, which bounds the memory: beside its own a 4K frame takes 100 MB.
MOST_WORKERS = 8
PREVIEW_CODEC = "h264"


def run_video(
    job: Job,
    settings: Settings,
    model: Callable[[], Decomposer],
    protected: frozenset[str],
    progress: Progress,
    source: VideoSource | None = None,
) -> list[Path] | None:
    """Runs a job; returns the files written, or None where they all exist already. source: already opened, closed here.

    Raises as `run_image` does, and Interrupted where Ctrl-C came and what was written is kept.
    """
    with ExitStack() as stack:
        source = stack.enter_context(closing(source or open_source(job, settings)))
        run = _Run(job, settings, source, progress)
        if settings.pipe is not None:
            return run.to_pipe(model(), stack, settings.pipe)
        outputs = OutputSet(
            job.folder,
            run.names,
            overwrite=settings.overwrite,
            protected=protected,
            folders=run.folders,
            optional=run.optional,
            mark=job.mark,
        )
        if outputs.all_exist():
            return None
        with outputs:
            written = run.to_files(model(), outputs)
        # Only now, or a process killed before its outputs have their names would have lost what the earlier run did.
        run.remove_partial()
        return written


class _Run:
    """What one job is to become."""

    def __init__(self, job: Job, settings: Settings, source: VideoSource, progress: Progress) -> None:
        self._job, self._settings, self._source, self._progress = job, settings, source, progress
        self._store = _store(settings, source)
        self._codec = CODECS[settings.codec or "h264"]
        self._linear = self._store == "exr"
        layers = ["layers"] if settings.one_exr and self._linear else ["albedo", "shading"]
        stems = [*layers, *(["preview"] if settings.preview else [])]
        #: Output of each layer, and with the sidecar all names.
        self._layers = {stem: f"{job.name}_{stem}{self._suffix(stem)}" for stem in stems}
        self._sidecar = None if self._linear else f"{job.name}_shading.json"
        # A folder of images holds no sound, so that a file beside it does.
        silent = self._store == "video" or not source.audio_streams or job.kind != "video"
        self._audio = None if silent else f"{job.name}_audio.mka"
        self.names = [*self._layers.values(), *(name for name in (self._sidecar, self._audio) if name)]

    @property
    def folders(self) -> list[str]:
        """Those of the names that are folders of numbered images."""
        return list(self._layers.values()) if self._store != "video" else []

    @property
    def optional(self) -> list[str]:
        """Those of the names that there may be nothing for: a part of a video may have no sound."""
        return [self._audio] if self._audio else []

    def _suffix(self, layer: str) -> str:
        if self._store != "video":
            return ""
        return CODECS[PREVIEW_CODEC].suffix if layer == "preview" else self._codec.suffix

    def to_pipe(self, model: Decomposer, stack: ExitStack, format: PipeFormat) -> list[Path]:
        """Writes one layer to standard output."""
        settings, source = self._settings, self._source
        height, width = source.height, source.width
        if settings.layer == "preview":
            height, width = panel_size(height, width)
            width *= 3
        rate = source.average_rate or Fraction(25)
        writer = stack.enter_context(closing(PipeWriter(sys.stdout.buffer, width, height, rate, format)))
        encoder = self._encoder({settings.layer: PipeLayer(writer)}, chunk=1)
        try:
            self._all_frames(model, encoder, 0)
            encoder.finish()
        except BrokenPipeError as error:
            # Or Python would complain again when it flushes standard output at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OSError(error.errno, "whatever read standard output has stopped") from error
        if settings.layer == "shading":
            self._progress.log(f"{self._job.title}: linear shading = {encoder.scale:g} x the piped values' linear light")
        self._tell(("alpha left out: a pipe has none",) if source.facts.alpha else ())
        return [Path("-")]

    def to_files(self, model: Decomposer, outputs: OutputSet) -> list[Path]:
        """Writes all layers, going on with an interrupted run where that is wanted."""
        settings, job = self._settings, self._job
        with ExitStack() as stack:
            state = self._earlier(model)
            keep = state.keep if state else 0
            writers = {name: self._open(name, outputs, keep, stack) for name in self._layers}
            encoder = self._encoder(writers, chunk=CHUNK_FRAMES if self._store == "video" else 1)
            if state:
                encoder.resume(keep, state.scale, state.scale_frames, state.clipped)
            try:
                self._all_frames(model, encoder, keep)
            except KeyboardInterrupt:
                if job.kind != "live":
                    with interrupt.deferred():
                        self._keep(model, encoder, writers, outputs)
                    raise
                # A camera has no other end.
                interrupt.acknowledge()
            encoder.finish()
            if not encoder.frames:  # a camera's; other sources say what they have
                raise InputError(job.title, "no frame", "one at least")
            for writer in writers.values():
                if isinstance(writer, VideoLayer):
                    if settings.end is not None:
                        writer.writer.stop_audio_here()
                    writer.writer.close()
            if self._sidecar:
                write_sidecar(
                    outputs.path(self._sidecar),
                    job.path.name,
                    model.settings(),
                    encoder.scale,
                    encoder.clipped,
                    decoding=_DECODING[self._store],
                    scale_choice=f"{SCALE_HEADROOM} x the 99.9th percentile of the first {encoder.scale_frames} frames, "
                    "at least 1; brighter highlights clip",
                    frames=encoder.frames,
                    temporal=settings.temporal,
                )
            notes: list[str] = []
            if self._audio:
                end = None if settings.end is None else Fraction(settings.end).limit_denominator(1_000_000)
                notes += write_audio(job.path, outputs.path(self._audio), self._origin(), end)
                if not outputs.path(self._audio).exists():
                    self.names.remove(self._audio)
            notes += [note for w in writers.values() if isinstance(w, VideoLayer) for note in w.writer.notes]
            self._tell([*notes, *self._left_out()])
        return [job.folder / name for name in self.names]

    def remove_partial(self) -> None:
        """Removes what an interrupted run has left."""
        remove_partial(self._job.folder, self._job.name, list(self._layers.values()))

    def _encoder(self, writers: dict[str, LayerWriter], chunk: int) -> LayerEncoder:
        settings = self._settings
        floats = settings.float_output() if self._linear else None
        peak = PEAKS[settings.hdr] if self._store == "video" else 1.0
        return LayerEncoder(writers, floats=floats, shading=settings.shading, chunk=chunk, peak=peak)

    def _open(self, layer: str, outputs: OutputSet, keep: int, stack: ExitStack) -> LayerWriter:
        name, settings, source = self._layers[layer], self._settings, self._source
        partial = self._job.folder / partial_name(name)
        if self._store != "video":
            format: SequenceFormat = "png" if layer == "preview" else self._store
            digits = source.padding if isinstance(source, SequenceReader) else 4
            clock = Clock(source.average_rate, source.facts.timecode)
            writer = SequenceWriter(outputs.path(name), f"{self._job.name}_{layer}", format, digits=digits, clock=clock)
            if keep:
                self._take_over(partial, writer)
            return SequenceLayer(writer, layer)
        height, width = source.height, source.width
        codec = self._codec.name
        if layer == "preview":
            height, width = panel_size(height, width)
            width, codec = 3 * width, PREVIEW_CODEC
        video = VideoWriter(
            outputs.path(name),
            source,
            width,
            height,
            bit_depth=8 if layer == "preview" else None,
            codec=codec,
            crf=settings.crf,
            alpha=False if layer == "preview" else None,
            hdr="" if layer == "preview" else settings.hdr,
            sound=settings.audio,
            quick=settings.preview_speed,
            origin=self._origin(),
            end=None if settings.end is None else Fraction(settings.end).limit_denominator(1_000_000),
            resume=(partial, keep) if keep else None,
        )
        return VideoLayer(stack.enter_context(video))

    def _origin(self) -> Fraction:
        """Time in the source that becomes the output's 0."""
        if isinstance(self._source, SequenceReader):
            return self._source.time_of(self._settings.start)
        return Fraction(self._begin()).limit_denominator(1_000_000)

    def _begin(self) -> float:
        """Where reading begins: a sequence may have negative numbers, a video has no earlier time than 0."""
        start = self._settings.start
        if isinstance(self._source, SequenceReader):
            return -math.inf if start is None else start
        return max(start or 0.0, 0.0)

    def _take_over(self, partial: Path, writer: SequenceWriter) -> None:
        for file in sorted(partial.iterdir()):
            # A copy, so that a second interruption finds the first one's files again.
            (writer.folder / file.name).write_bytes(file.read_bytes())
            writer.frames += 1

    def _all_frames(self, model: Decomposer, encoder: LayerEncoder, keep: int) -> None:
        settings, source = self._settings, self._source
        first, skip = self._first(keep)
        counter = Counter(self._progress, self._job.path.name, self._expected(keep), "frames")
        waiting: deque[Frame] = deque()
        live = self._job.kind == "live"
        # A camera's frames are wanted at once, and by all cores.
        workers = 0 if live else min(model.options.threads or usable_cores(), MOST_WORKERS)
        # Whatever happens, the threads that read have ended before the source is closed.
        with ExitStack() as stack:
            read = source.read(self._begin(), settings.end, skip)
            frames = stack.enter_context(closing(_pixels(read, waiting, keep, live=live)))
            layers = stack.enter_context(
                closing(
                    model.stream_pending(
                        frames, temporal=settings.temporal, first_frame=first, every=settings.every, workers=workers
                    )
                )
            )
            sink = stack.enter_context(Sink(encoder.take, FRAMES_BEHIND))
            for pending in layers:
                sink.put((waiting.popleft(), pending))
                counter.advance()
                interrupt.check()

    def _first(self, keep: int) -> tuple[int, int]:
        """Number in the whole source of the first frame to be read, and its index from --start on, for `source.read`.

        A frame is the same whichever part of a shot is asked for, so what it depends on is read too."""
        if not self._settings.temporal:
            return keep, keep
        start = self._source.frames_before(self._begin())
        first = TemporalFilter.resume_from(start + keep)
        return first, first - start

    def _expected(self, first: int) -> int | None:
        if self._source.frames is None or self._settings.start is not None or self._settings.end is not None:
            return None
        return max(self._source.frames - first, 0)

    def _fingerprint(self, model: Decomposer) -> dict[str, object]:
        """Everything that two runs have to share for one to go on with the other's files."""
        settings, source = self._settings, self._source
        path = self._job.path
        return {
            "input": path.name,
            "bytes": path.stat().st_size if path.is_file() else source.frames,
            "content": content_hash(source.files if isinstance(source, SequenceReader) else [path]),
            "size": f"{source.width}x{source.height}",
            "rate": str(source.average_rate),
            "bundle": model.bundle.name,
            "engine": model.backend.describe(),
            **{name: getattr(model.options, name) for name in ("steps", "seed", "resolution", "shading", "mode")},
            "stored as": self._store,
            "codec": self._codec.name,
            **{
                name: getattr(settings, name)
                for name in ("crf", "colorspace", "temporal", "every", "half", "float", "preview", "start", "end", "hdr")
            },
            **{
                name: getattr(settings, name)
                for name in ("deinterlace", "output_colorspace", "exr_layer", "one_exr", "preview_speed")
            },
        }

    def _earlier(self, model: Decomposer) -> PartialState | None:
        path = state_path(self._job.folder, self._job.name)
        if not self._settings.resume:
            if path.exists():
                self._progress.log(
                    f"{self._job.title}: started anew; --resume would go on with the run that was interrupted"
                )
            return None
        state = load_state(path, self._fingerprint(model))
        if state is None:
            self._progress.log(f"{self._job.title}: nothing to resume, started from the beginning")
        elif not state.keep:
            few = f"the {state.frames} frames that were done are fewer than the {CHUNK_FRAMES} which a run can take over"
            self._progress.log(f"{self._job.title}: started from the beginning, for {few}")
        else:
            self._progress.log(f"{self._job.title}: going on after frame {state.keep}")
        return state

    def _keep(self, model: Decomposer, encoder: LayerEncoder, writers: dict[str, LayerWriter], outputs: OutputSet) -> None:
        """After Ctrl-C: completes what is written under its partial names and raises Interrupted; without a frame
        returns."""
        job = self._job
        encoder.finish()
        if not encoder.frames or job.kind == "pipe":
            return
        for writer in writers.values():
            if isinstance(writer, VideoLayer):
                writer.writer.stop_audio_here()
                writer.writer.close()
        outputs.keep({name: partial_name(name) for name in self._layers.values()})
        keep, clipped = encoder.checkpoint
        state = PartialState(encoder.frames, keep, encoder.scale, encoder.scale_frames, clipped, self._fingerprint(model))
        save_state(state_path(job.folder, job.name), state)
        kept = ", ".join(str(job.folder / partial_name(name)) for name in self._layers.values())
        raise Interrupted(
            f"interrupted: {encoder.frames} frames of {job.title} are in {kept}; the same command with --resume goes on"
        )

    def _left_out(self) -> list[str]:
        """What the source has and the layers' files do not."""
        facts, notes = self._source.facts, []
        if facts.alpha and self._store == "video" and not self._codec.alpha:
            able = " or ".join(f"--codec {codec.name}" for codec in CODECS.values() if codec.alpha)
            notes.append(f"alpha left out: {self._codec.title} has none here; {able} keep it")
        if facts.transfer and self._store != "exr" and not (self._settings.hdr and self._store == "video"):
            notes.append("HDR written as SDR; --hdr pq, --hdr hlg or --sequence exr keep its range")
        return notes

    def _tell(self, notes: list[str] | tuple[str, ...]) -> None:
        source = self._source
        is_exr = isinstance(source, SequenceReader) and source.files[0].suffix.lower() == ".exr"
        unused = for_video(self._settings, self._job.kind, self._store, is_exr=is_exr)
        for note in dict.fromkeys((*source.notes, *notes, *unused)):
            self._progress.log(f"{self._job.title}: {note}")


_DECODING = {
    "video": "linear shading = shading_scale * the video's decoded linear light, in every frame",
    "png": "linear shading = shading_scale * srgb_to_linear(value / 255), in every frame",
    "png16": "linear shading = shading_scale * srgb_to_linear(value / 65535), in every frame",
}


def _store(settings: Settings, source: VideoSource) -> Literal["video", "png", "png16", "exr"]:
    """As what the layers are stored: what is asked for, or a sequence as a sequence that holds its values."""
    if settings.pipe is not None:
        return "video"
    if settings.sequence:
        return settings.sequence
    if settings.codec or not isinstance(source, SequenceReader):
        return "video"
    if settings.format == "png" or settings.format == "png16" or settings.format == "exr":
        return settings.format
    return "exr" if source.floating else "png" if source.bit_depth == 8 else "png16"


def _pixels(
    frames: Generator[Frame, None, None], waiting: deque[Frame], keep: int, *, live: bool
) -> Generator[np.ndarray | Context, None, None]:
    """Pixels of the frames, decoded ahead; the frames themselves go to `waiting`, from index `keep` on: those before are
    context. A camera decodes ahead by itself, and frames that wait would grow old."""
    ahead = frames if live else prefetch(frames, FRAMES_AHEAD)
    try:
        for frame in ahead:
            if frame.index < keep:
                yield Context(frame.pixels)
                interrupt.check()
                continue
            waiting.append(frame)
            yield frame.pixels
    finally:
        ahead.close()
