"""Files behind addresses (s3://bucket/photos, gs://..., local://...), through the file systems that Ray Data uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeGuard
from urllib.parse import unquote, urlsplit

from intrinsic_flow.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_WILDCARD = re.compile(r"[*?\[]")


def is_address(place: Path | str | None) -> TypeGuard[str]:
    """Whether a place is an address, and no path of the machine's own."""
    return isinstance(place, str) and "://" in place


def place(text: str) -> Path | str:
    """A path, or an address as it stands; file:// is a path."""
    if text.startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    return text.rstrip("/") if "://" in text else Path(text)


def has_wildcard(text: str) -> bool:
    """Whether a path or an address is a glob."""
    return _WILDCARD.search(text) is not None


@dataclass(frozen=True)
class Storage:
    """A file system with the beginning of its addresses. Paths are what the file system itself calls its files."""

    system: FileSystem
    scheme: str

    @classmethod
    def open(cls, address: str) -> tuple[Storage, str]:
        """The storage of an address and the path in it. Raises InputError where nothing can reach it, MissingExtraError
        without pyarrow."""
        try:
            import pyarrow
            from pyarrow import fs
        except ImportError as error:
            raise MissingExtraError("pyarrow", "cluster") from error
        scheme = address.partition("://")[0]
        try:
            # A wildcard is no part of a URI, so only what stands before it is one.
            system, _ = fs.FileSystem.from_uri(f"{scheme}://" + _base(address.partition("://")[2]))
            return cls(system, scheme), address.partition("://")[2].partition("?")[0]
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            return cls._open_fsspec(address, scheme)
        except OSError as error:
            raise InputError(address, str(error), "an address that this machine can reach") from error

    @classmethod
    def _open_fsspec(cls, address: str, scheme: str) -> tuple[Storage, str]:
        from fsspec.core import url_to_fs
        from pyarrow import fs

        try:
            system, path = url_to_fs(address)
        except (ImportError, ValueError, OSError) as error:
            raise InputError(address, str(error), "an address of pyarrow or fsspec, as s3://bucket/folder") from error
        return cls(fs.PyFileSystem(fs.FSSpecHandler(system)), scheme), path

    def address(self, path: str) -> str:
        """The address of one of the file system's paths."""
        return f"{self.scheme}://{path}"

    def kind(self, path: str) -> Literal["file", "folder", None]:
        """What lies at a path."""
        return _kind(self.system.get_file_info(path))

    def existing(self, paths: Iterable[str]) -> dict[str, Literal["file", "folder"]]:
        """Those of the paths where something lies, and what."""
        found = {info.path: _kind(info) for info in self.system.get_file_info(list(paths))}
        return {path: kind for path, kind in found.items() if kind}

    def walk(self, folder: str) -> list[str]:
        """All files below a folder, sorted."""
        from pyarrow import fs

        return sorted(
            info.path for info in self.system.get_file_info(fs.FileSelector(folder, recursive=True)) if info.is_file
        )

    def glob(self, pattern: str) -> list[str]:
        """Files that match a pattern with * ** ? and [...], sorted."""
        from fsspec.utils import glob_translate

        base = _base(pattern)
        if self.kind(base) != "folder":
            return []
        match = re.compile(glob_translate(pattern)).match
        return [path for path in self.walk(base) if match(path)]

    def download(self, path: str, target: Path) -> None:
        """Copies a file to this machine."""
        from pyarrow import fs

        target.parent.mkdir(parents=True, exist_ok=True)
        fs.copy_files(path, str(target), self.system, fs.LocalFileSystem(), use_threads=False)

    def upload(self, source: Path, path: str) -> None:
        """Copies a file, or a folder in place of an earlier one, to the storage."""
        from pyarrow import fs

        if source.is_dir() and self.kind(path) == "folder":
            self.system.delete_dir(path)
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            target = path if file == source else f"{path}/{file.relative_to(source).as_posix()}"
            self.system.create_dir(str(PurePosixPath(target).parent), recursive=True)
            fs.copy_files(str(file), target, fs.LocalFileSystem(), self.system, use_threads=False)

    def touch(self, path: str) -> None:
        """Makes an empty file."""
        self.system.create_dir(str(PurePosixPath(path).parent), recursive=True)
        with self.system.open_output_stream(path):
            pass

    def remove(self, path: str) -> None:
        """Removes a file if it is there."""
        if self.kind(path) == "file":
            self.system.delete_file(path)


def _kind(info: FileInfo | Any) -> Literal["file", "folder"] | None:
    from pyarrow.fs import FileType

    if info.type == FileType.File:
        return "file"
    return "folder" if info.type == FileType.Directory else None


def _base(path: str) -> str:
    """The folder before the first wildcard, or the whole path without one."""
    found = _WILDCARD.search(path)
    return path[: found.start()].rpartition("/")[0] if found else path
