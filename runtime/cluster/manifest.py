"""The manifest of a batch: one JSON line for every attempt at a unit, appended as the reports come in.

The last line of a unit counts. A line that a crash cut short is ignored, so its unit is looked at again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cluster.storage import Storage, is_address
from intrinsic_flow.cluster.units import Unit
from intrinsic_flow.errors import InputError
from intrinsic_flow.json_file import Mismatch, list_of, number, one_of, parse_json, record, text, whole

#: Settings that change nothing in the outputs, or that every worker has its own value of.
_INDIFFERENT = ("inputs", "output", "overwrite", "quiet", "threads", "device", "resume")

State = Literal["done", "skipped", "failed"]
_FIELDS = {
    "unit": record(source=text(), kind=text(), folder=text(), name=text()),
    "state": one_of("done", "skipped", "failed"),
    "outputs": list_of(text()),
    "reason": text(),
    "notes": list_of(text()),
    "images": whole(0),
    "frames": whole(0),
    "megapixels": number(0),
    "seconds": number(0),
    "worker": text(),
    "backend": text(),
    "attempt": whole(0),
}
_REPORT = record(others=True, **_FIELDS)
_LINE = record(others=True, **_FIELDS, settings=text())


@dataclass(frozen=True)
class Report:
    """What became of one attempt at a unit.

    state: done, skipped where its outputs existed, or failed, with the reason. outputs: paths or addresses. images,
    frames: decomposed, of pictures and of videos. megapixels: of both together. worker: host and process.
    """

    unit: Unit
    state: State
    outputs: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    images: int = 0
    frames: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    worker: str = ""
    backend: str = ""
    attempt: int = 1

    def to_json(self, **more: object) -> str:
        """One line, of which `from_json` makes the report again."""
        return json.dumps({**asdict(self), **more})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """See `to_json`. Raises ValueError for anything else."""
        return cls._of(parse_json(text, _REPORT))

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        known = {entry.name for entry in fields(cls)}
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in known}
        return cls(**{**values, "unit": Unit(**values["unit"])})


def fingerprint(settings: Settings) -> str:
    """Same for settings that give the same outputs."""
    values = {key: str(value) for key, value in asdict(settings).items() if key not in _INDIFFERENT}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Manifest:
    """path: of the file, made with the first report. settings: see `fingerprint`."""

    path: Path
    settings: str
    _done: dict[Unit, Report] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: str) -> Self:
        """Reads what an earlier run with the same settings has done. Raises InputError for a file that is no manifest."""
        manifest = cls(path, settings)
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return manifest
        except OSError as error:
            raise InputError(path, error.strerror or "an error", "a manifest that can be read") from error
        for index, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                content = parse_json(line, _LINE)
            except Mismatch as error:
                # The last line, or a report that a crash cut short.
                if index == len(lines) or (line.startswith(b'{"unit"') and not line.endswith(b"}")):
                    continue
                raise InputError(path, f"line {index} that is no report ({error})", "the manifest of a batch") from error
            report, made_with = Report._of(content), content["settings"]
            if made_with == settings and report.state != "failed":
                manifest._done[report.unit] = report
            else:
                manifest._done.pop(report.unit, None)
        return manifest

    def add(self, report: Report) -> None:
        """Appends a report in one write, and has it on the disk when this returns. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(file).st_size
            # A crash can leave half a line; the new one must not become part of it.
            broken = size and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, (("\n" if broken else "") + report.to_json(settings=self.settings) + "\n").encode())
            os.fsync(file)
        finally:
            os.close(file)

    def finished(self, units: Iterable[Unit]) -> set[Unit]:
        """Those of the units that an earlier run has done and whose outputs are all there still."""
        recorded = {unit: self._done[unit].outputs for unit in units if unit in self._done}
        there = _existing({output for outputs in recorded.values() for output in outputs})
        return {unit for unit, outputs in recorded.items() if outputs and there.issuperset(outputs)}


def _existing(outputs: set[str]) -> set[str]:
    found = {output for output in outputs if not is_address(output) and os.path.exists(output)}
    folders: dict[str, list[str]] = {}
    for output in outputs:
        if is_address(output):
            folders.setdefault(output.rpartition("/")[0], []).append(output)
    for addresses in folders.values():
        storage, _ = Storage.open(addresses[0])
        paths = {Storage.open(address)[1]: address for address in addresses}
        found |= {paths[path] for path in storage.existing(paths)}
    return found
