"""One worker: runs units with the command line's jobs, keeping the model loaded between them.

A worker can be killed at any moment. Before it writes the first output of a unit it puts a hidden file with its name beside
the outputs; whoever runs the unit again and finds that file removes what was left and replaces outputs that appeared in
part.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.jobs import LAYERS, Job
from intrinsic_flow.cli.progress import Notes
from intrinsic_flow.cli.run import failure_reason, run_job
from intrinsic_flow.cluster.manifest import Report, State
from intrinsic_flow.cluster.storage import Storage, is_address
from intrinsic_flow.cluster.units import Unit
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.media.video_formats import CODECS
from intrinsic_flow.output.left_over import TemporaryFolder, staging_prefix

# "" is the folder of a sequence.
_OUTPUT_SUFFIXES = ("", ".png", ".exr", ".npy", *sorted({codec.suffix for codec in CODECS.values()}), ".json")


class Worker:
    """Ray Data's callable: one row {"unit": JSON} in, one row {"report": JSON} out."""

    def __init__(self, settings: Settings, protected: frozenset[str]) -> None:
        """protected: real paths and addresses of the batch's inputs, which no output may replace."""
        self._settings, self._protected = settings, protected
        self._model: Decomposer | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Runs the unit; a failure becomes a report like any other."""
        return {"report": self.run(Unit.from_json(row["unit"])).to_json()}

    def run(self, unit: Unit) -> Report:
        """Runs a unit. Raises nothing but what ends the process."""
        begun = time.monotonic()
        notes, meter = Notes(), _Meter(self._load)
        outputs: Sequence[str] = ()
        reason = ""
        state: State = "failed"
        try:
            with ExitStack() as stack:
                attempt = _Attempt(unit, stack, self._protected, meter.open)
                settings = replace(self._settings, overwrite=self._settings.overwrite or attempt.repeated)
                written = run_job(attempt.job, settings, attempt.model, attempt.protected, notes)
                outputs = attempt.publish(written or ())
                state = "skipped" if written is None else "done"
        except Exception as error:  # the others go on
            reason = failure_reason(Job(Path(unit.source), unit.kind, Path(unit.folder), unit.name), error)
            if is_address(unit.source):
                # The reason names a copy of the file, or a path that has lost a slash of the address.
                reason = f"{unit.source}: {reason.removeprefix(str(Path(unit.source)) + ': ')}"
        return Report(
            unit,
            state,
            outputs=tuple(outputs),
            reason=reason,
            notes=tuple(notes.lines),
            images=meter.images,
            frames=meter.frames,
            megapixels=round(meter.pixels / 1e6, 6),
            seconds=round(time.monotonic() - begun, 3),
            worker=_me(),
            backend=self._model.backend.describe() if self._model else "",
        )

    def _load(self) -> Decomposer:
        if self._model is None:
            self._model = Decomposer.open(self._settings.bundle, self._settings)
        return self._model


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class _Attempt:
    """One attempt at a unit: its job on this machine, and the way of its files from and to a storage."""

    def __init__(self, unit: Unit, stack: ExitStack, protected: frozenset[str], load: Callable[[], Decomposer]) -> None:
        """stack: undoes what the attempt leaves when it ends in any way but the process's death."""
        self._unit, self._stack, self._load = unit, stack, load
        self._storage: Storage | None = None
        self.protected = protected
        scratch = stack.enter_context(closing(TemporaryFolder("intrinsic-flow-batch-"))).path
        source, folder = Path(unit.source), Path(unit.folder)
        if is_address(unit.source):
            storage, path = Storage.open(unit.source)
            source = scratch / "in" / Path(path).name
            storage.download(path, source)
        self._announced = False
        self._begun = f".decompose-{unit.mark}.begun"
        if is_address(unit.folder):
            self._storage, self._base = Storage.open(unit.folder)
            folder = scratch / "out"
            self.repeated = self._storage.kind(f"{self._base}/{self._begun}") == "file"
            self._stand_ins(self._storage, folder)
        else:
            self.repeated = (folder / self._begun).exists()
            if self.repeated:
                for left in folder.glob(f"{staging_prefix(unit.mark)}*.partial"):
                    shutil.rmtree(left, ignore_errors=True)
        if self.repeated:
            stack.callback(self._forget)
        self.job = Job(source, unit.kind, folder, unit.name, mark=unit.mark)

    def model(self) -> Decomposer:
        """The model. Jobs ask for it once there is something to write, which is when the attempt begins for others."""
        loaded = self._load()
        if not self._announced:
            self._announced = True
            self._stack.callback(self._forget)
            if self._storage:
                self._storage.touch(f"{self._base}/{self._begun}")
            else:
                self.job.folder.mkdir(parents=True, exist_ok=True)
                (self.job.folder / self._begun).write_text(f"{_me()}\n", encoding="utf-8")
        return loaded

    def publish(self, written: Sequence[Path]) -> list[str]:
        """Brings outputs where they belong; returns their paths or addresses."""
        if self._storage is None:
            return [str(path) for path in written] or [str(path) for path in self._outputs(self.job.folder)]
        for path in written:
            self._storage.upload(path, f"{self._base}/{path.name}")
        names = [path.name for path in written or self._outputs(self.job.folder)]
        return [f"{self._unit.folder}/{name}" for name in names]

    def _outputs(self, folder: Path) -> list[Path]:
        """Outputs that exist, as far as names tell."""
        return [folder / name for name in self._names() if (folder / name).exists()]

    def _names(self) -> list[str]:
        stems = [(layer, suffix) for layer in LAYERS for suffix in _OUTPUT_SUFFIXES]
        stems += [("layers", ""), ("layers", ".exr"), ("audio", ".mka")]
        return [f"{self._unit.name}_{stem}{suffix}" for stem, suffix in stems]

    def _stand_ins(self, storage: Storage, folder: Path) -> None:
        """Empty files in place of outputs that lie in the storage, so that the job finds them as it would on a disk."""
        folder.mkdir(parents=True)
        protected = set(self.protected)
        paths = {f"{self._base}/{name}": name for name in self._names()}
        for path, kind in storage.existing(paths).items():
            target = folder / paths[path]
            if kind == "folder":
                target.mkdir()
            else:
                target.touch()
            if storage.address(path) in protected:
                protected.add(os.path.realpath(target))
        self.protected = frozenset(protected)

    def _forget(self) -> None:
        if self._storage:
            self._storage.remove(f"{self._base}/{self._begun}")
        else:
            (self.job.folder / self._begun).unlink(missing_ok=True)


class _Meter:
    """Counts what goes through a model: pictures, frames and pixels (height x width)."""

    def __init__(self, load: Callable[[], Decomposer]) -> None:
        self._load = load
        self.images = self.frames = self.pixels = 0

    def open(self) -> Decomposer:
        """The model, metered."""
        return cast(Decomposer, _Metered(self._load(), self))


class _Metered:
    """A Decomposer that a meter watches."""

    def __init__(self, model: Decomposer, meter: _Meter) -> None:
        self._model, self._meter = model, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def decompose(self, image: Any) -> Any:
        result = self._model.decompose(image)
        self._meter.images += 1
        self._meter.pixels += result.albedo.shape[0] * result.albedo.shape[1]
        return result

    def stream(self, frames: Iterable[Any], **options: Any) -> Iterator[Any]:
        for layers in self.stream_pending(frames, **options):
            yield layers.finish()

    def stream_pending(self, frames: Iterable[Any], **options: Any) -> Iterator[Any]:
        for layers in self._model.stream_pending(frames, **options):
            self._meter.frames += 1
            self._meter.pixels += layers.image.shape[0] * layers.image.shape[1]
            yield layers
