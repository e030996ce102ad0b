"""From the inputs of the command to units of work: one picture, one whole clip or one sequence each."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self

from intrinsic_flow.cli.jobs import PIPE, Job, Kind, distinct, earlier_outputs, is_output, list_jobs, media_kind
from intrinsic_flow.cluster.storage import Storage, has_wildcard, is_address, place
from intrinsic_flow.errors import InputError


@dataclass(frozen=True)
class Unit:
    """source: path or address of the input. folder: path or address where its outputs go, called `name` and a layer.

    Paths are absolute, as a worker has another working folder.
    """

    source: str
    kind: Kind
    folder: str
    name: str

    @property
    def mark(self) -> str:
        """Tells this unit's hidden files from those of others in the same folder."""
        return hashlib.sha256(f"{self.folder}\n{self.name}".encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """One line, of which `from_json` makes the unit again."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """See `to_json`."""
        return cls(**json.loads(text))


@dataclass
class Units:
    """units, clips before pictures so that no worker ends alone with a clip; errors of inputs that are none; notes."""

    units: list[Unit] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_units(inputs: Sequence[Path | str], output: Path | str | None, *, frames: bool = False) -> Units:
    """Collects files, folders, globs and addresses, as `list_jobs` does for paths.

    inputs, output: paths, or addresses as strings; output None for beside each input. frames: see `list_jobs`. Raises
    MissingExtraError for an address without pyarrow.
    """
    result = Units()
    paths: list[Path] = []
    addresses: list[str] = []
    for text in inputs:
        item = place(os.fspath(text))
        if isinstance(item, str):
            addresses.append(item)
        elif str(item) == PIPE or str(item).startswith("camera:"):
            result.errors.append(InputError(item, "a pipe or a camera", "files, folders, globs or addresses"))
        elif has_wildcard(str(item)) and not item.exists():
            found = [Path(path) for path in sorted(glob.glob(str(item), recursive=True))]
            media = [path for path in found if path.is_dir() or media_kind(path)]
            outputs = earlier_outputs(media)
            paths += [path.absolute() for path in media if path not in outputs]
            if len(outputs) == len(media):
                result.errors.append(InputError(item, "no image or video", "a pattern that matches some"))
        else:
            paths.append(item.absolute())
    # Paths of addresses lose a slash, so they only serve to tell jobs apart; `folders` knows what they stand for.
    folders: dict[Path, str] = {}
    local = None if output is None else Path(output) if is_address(output) else Path(output).absolute()
    listed = list_jobs(paths, local, frames=frames)
    jobs, seen = list(listed.jobs), set()
    for address in addresses:
        try:
            for job in _address_jobs(address, output, folders, result):
                if job.address not in seen:
                    seen.add(job.address)
                    jobs.append(job)
        except InputError as error:
            result.errors.append(error)
        except OSError as error:
            result.errors.append(InputError(address, str(error), "an address that can be listed"))
    jobs, notes = distinct(jobs)
    result.errors += listed.errors
    result.notes += [*listed.notes, *notes]
    for job in jobs:
        folder = folders.get(job.folder) or str(job.folder)
        if is_address(output):
            below = job.folder.relative_to(Path(output)).as_posix()
            folder = output if below in ("", ".") else f"{output}/{below}"
        result.units.append(Unit(job.address or str(job.path), job.kind, folder, job.name))
    result.units.sort(key=lambda unit: unit.kind == "image")
    return result


def _address_jobs(address: str, output: Path | str | None, folders: dict[Path, str], result: Units) -> list[Job]:
    storage, path = Storage.open(address)
    kind = None if has_wildcard(path) else storage.kind(path)
    if kind == "file":
        if media_kind(Path(path)) is None:
            raise InputError(address, f"a file of type {Path(path).suffix or 'unknown'!r}", "an image or a video")
        files, root = [path], str(PurePosixPath(path).parent)
    elif kind == "folder":
        files, root = _media(storage.walk(path), path), path
    elif has_wildcard(path):
        files, root = _media(storage.glob(path)), None
    else:
        raise InputError(address, "no such file or folder", "an image, a video, a folder or a glob")
    media = [(Path(file), found) for file in files if (found := media_kind(Path(file))) is not None]
    outputs = earlier_outputs([file for file, _ in media])
    kept = [(file, found) for file, found in media if file not in outputs]
    if outputs:
        result.notes.append(f"{address}: left out {len(outputs)} outputs of an earlier run")
    if not kept:
        raise InputError(address, "no image or video", "a folder or a glob with images or videos")
    jobs = []
    for file, found in kept:
        parent = file.parent.as_posix()
        if output is None:
            folder = Path(storage.address(parent))
            folders[folder] = storage.address(parent)
        else:
            folder = Path(output) if is_address(output) else Path(output).absolute()
            folder /= PurePosixPath(parent).relative_to(root) if root else ""
        source = storage.address(file.as_posix())
        jobs.append(Job(Path(source), found, folder, file.stem, address=source))
    return jobs


def _media(files: Sequence[str], root: str = "") -> list[str]:
    """Images and videos, without hidden ones and without numbered images that an earlier run wrote."""
    below: dict[str, set[str]] = {}
    for file in files:
        parts = PurePosixPath(file).parts
        for depth, part in enumerate(parts[:-1]):
            below.setdefault("/".join(parts[:depth]), set()).add(part)

    def visible(file: str) -> bool:
        parts, skipped = PurePosixPath(file).parts, len(PurePosixPath(root).parts) if root else 0
        return not any(
            part.startswith(".") or (depth < len(parts) - 1 and is_output(part, below["/".join(parts[:depth])]))
            for depth, part in enumerate(parts)
            if depth >= skipped
        )

    return [file for file in files if media_kind(Path(file)) is not None and visible(file)]
