"""From the inputs of the command line to jobs: which files, which kind, and the name that their outputs get."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from intrinsic_flow.media.sequence_names import is_pattern, pattern_name

LAYERS = ("albedo", "shading", "preview")
_OUTPUT = re.compile(rf"(.+)_({'|'.join(LAYERS)})(?:\.partial)?")
# Of --one-exr, alone or numbered; more than any header has before its channels.
_BOTH_LAYERS = re.compile(r".+_layers(\.-?\d+)?\.exr")
_HEADER_BYTES = 1 << 16

Kind = Literal["image", "video", "sequence", "pipe", "live"]
PIPE = "-"


@dataclass(frozen=True)
class Job:
    """One input. Its outputs are `folder / (name + "_albedo.png")` and so on.

    address: of a camera, "-" for a pipe. mark: part of the name of the hidden folder in which outputs are written, by which
    whoever set it finds what a killed process left there.
    """

    path: Path
    kind: Kind
    folder: Path
    name: str
    address: str = ""
    mark: str = ""

    @property
    def title(self) -> str:
        """What messages call the input: a path would turn rtsp:// into rtsp:/."""
        return "standard input" if self.kind == "pipe" else self.address or os.fspath(self.path)


@dataclass
class Jobs:
    """jobs in the order of the command line, folders sorted; errors of inputs that are none; notes for the log."""

    jobs: list[Job] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_jobs(inputs: Sequence[Path | str], output: Path | None, *, frames: bool = False) -> Jobs:
    """Collects the inputs, walking folders, and names the outputs so that no two inputs share a name.

    inputs: files, folders and patterns of numbered images as paths; "-" and cameras as strings. output: folder of all
    outputs, or None for beside each input. frames: a folder holds the numbered images of one sequence. A file that comes up
    twice is taken once.
    """
    listed = Jobs()
    seen: set[str] = set()

    def add(path: Path, kind: Kind, folder: Path, name: str | None = None) -> None:
        identity = os.path.realpath(path)
        if identity not in seen:
            seen.add(identity)
            listed.jobs.append(Job(path, kind, folder, path.stem if name is None else name))

    for path in inputs:
        try:
            if isinstance(path, str):
                here = Path(".") if output is None else output
                pipe = path == PIPE
                name = "stdin" if pipe else _camera_name(path)
                if path in seen:
                    continue
                seen.add(path)
                listed.jobs.append(Job(Path(path), "pipe" if pipe else "live", here, name, address=path))
            elif path.is_dir() and frames:
                add(path, "sequence", path.parent if output is None else output, path.resolve().name)
            elif is_pattern(path) and not path.exists():
                add(path, "sequence", path.parent if output is None else output, pattern_name(path))
            elif path.is_dir():
                for file in _walk(path, listed):
                    if (found := media_kind(file)) is not None:
                        add(file, found, file.parent if output is None else output / file.parent.relative_to(path))
            else:
                add(path, _expect_media(path), path.parent if output is None else output)
        except InputError as error:
            listed.errors.append(error)
    listed.jobs, notes = distinct(listed.jobs)
    listed.notes.extend(notes)
    return listed


def _camera_name(address: str) -> str:
    # Here, because it loads PyAV, which pictures do not need.
    from intrinsic_flow.media.live import is_live, live_name

    if not is_live(address):
        raise InputError(address, "no camera's address", "camera:0, rtsp://..., a file, a folder or -")
    return live_name(address)


def media_kind(path: Path) -> Literal["image", "video"] | None:
    """What a file is, by its suffix; None for neither."""
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _expect_media(path: Path) -> Literal["image", "video"]:
    if not path.exists():
        raise InputError(path, "no such file", "an image, a video or a folder")
    if not path.is_file():
        raise InputError(path, "neither a file nor a folder", "an image, a video or a folder")
    kind = media_kind(path)
    if kind is None:
        suffixes = " ".join(sorted([*IMAGE_SUFFIXES, *VIDEO_SUFFIXES]))
        raise InputError(path, f"a file of type {path.suffix or 'unknown'!r}", f"one of {suffixes}")
    return kind


def _walk(folder: Path, listed: Jobs) -> Iterable[Path]:
    """Media files below a folder, sorted, without hidden ones and without outputs of an earlier run."""
    files: list[Path] = []

    def fail(error: OSError) -> None:
        listed.errors.append(InputError(error.filename, error.strerror or "an error", "a readable folder"))

    errors_before = len(listed.errors)
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        # Links may lead back up, or to one folder twice.
        if os.path.realpath(root) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        folders[:] = [name for name in folders if not name.startswith(".") and not is_output(name, folders)]
        files += [Path(root, name) for name in names if not name.startswith(".") and media_kind(Path(name)) is not None]
    outputs = earlier_outputs(files)
    kept = sorted((file for file in files if file not in outputs), key=lambda file: file.parts)
    if outputs:
        listed.notes.append(f"{folder}: left out {len(outputs)} outputs of an earlier run")
    if not kept and len(listed.errors) == errors_before:
        found = "only outputs of an earlier run" if outputs else "no image or video"
        raise InputError(folder, found, "a folder with images or videos")
    return kept


def is_output(folder: str, others: Collection[str]) -> bool:
    """Whether a folder holds one layer of an earlier run: x_albedo beside x_shading."""
    match = _OUTPUT.fullmatch(folder)
    partial = ".partial" if folder.endswith(".partial") else ""
    return match is not None and all(f"{match[1]}_{layer}{partial}" in others for layer in ("albedo", "shading"))


def earlier_outputs(files: Sequence[Path]) -> set[Path]:
    """Files named like outputs. Only where x_albedo and x_shading of one type lie side by side are they taken for
    outputs: a data set's lone `wall_albedo.png` is an input like any other. Of `x_layers.exr` its channels decide."""
    layers: dict[tuple[Path, str, str], dict[str, Path]] = {}
    for file in files:
        match = _OUTPUT.fullmatch(file.stem)
        if match:
            layers.setdefault((file.parent, match[1], file.suffix.lower()), {})[match[2]] = file
    pairs = {key[:2] for key, found in layers.items() if {"albedo", "shading"} <= found.keys()}
    outputs = {file for key, found in layers.items() if key[:2] in pairs for file in found.values()}
    return outputs | {file for file in files if _BOTH_LAYERS.fullmatch(file.name) and _holds_both_layers(file)}


def _holds_both_layers(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            header = stream.read(_HEADER_BYTES)
    except OSError:
        return False
    return b"\0albedo.R\0" in header and b"\0shading.R\0" in header


def distinct(jobs: Sequence[Job]) -> tuple[list[Job], list[str]]:
    """Renames jobs whose outputs would have the same name; says so in notes.

    Names are compared without case, since some file systems do. The new names depend on the colliding inputs alone, not
    on their order on the command line: the file type is added if that tells them apart (x_png, x_jpg), else the folder
    (a_x, b_x), else both, else a number.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, job in enumerate(jobs):
        groups.setdefault(_key(job.folder, job.name), []).append(index)
    taken = {key for key, members in groups.items() if len(members) == 1}
    result, notes = list(jobs), []
    for key in sorted(key for key, members in groups.items() if len(members) > 1):
        members = sorted(groups[key], key=lambda index: os.path.realpath(jobs[index].path))
        names = _tell_apart([jobs[index] for index in members], taken)
        for index, name in zip(members, names, strict=True):
            result[index] = replace(jobs[index], name=name)
            taken.add(_key(jobs[index].folder, name))
            notes.append(
                f"{jobs[index].title}: outputs are named {name}_*, because another input is called {jobs[index].name} too"
            )
    return result, notes


def _tell_apart(jobs: Sequence[Job], taken: set[tuple[str, str]]) -> list[str]:
    def parent(job: Job) -> str:
        return Path(os.path.realpath(job.path)).parent.name

    def suffix(job: Job) -> str:
        return job.path.suffix[1:].lower()

    schemes: tuple[Callable[[Job], str], ...] = (
        lambda job: f"{job.name}_{suffix(job)}",
        lambda job: f"{parent(job)}_{job.name}",
        lambda job: f"{parent(job)}_{job.name}_{suffix(job)}",
    )
    for scheme in schemes:
        names = [scheme(job) for job in jobs]
        keys = {_key(job.folder, name) for job, name in zip(jobs, names, strict=True)}
        if len(keys) == len(jobs) and not keys & taken:
            return names
    names, number = [], 0
    for job in jobs:
        number += 1
        while _key(job.folder, f"{job.name}_{number}") in taken:
            number += 1
        names.append(f"{job.name}_{number}")
    return names


def _key(folder: Path, name: str) -> tuple[str, str]:
    return os.path.realpath(folder), name.casefold()
