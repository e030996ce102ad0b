"""The files that one input becomes: all of them appear together, complete, or none does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from intrinsic_flow.errors import InputError
from intrinsic_flow.output.interrupt import check, deferred
from intrinsic_flow.output.left_over import COMPLETE, left_over, make_held, remove

#: Folders in which this process has ended what others left.
_LOOKED: set[Path] = set()


class OutputSet:
    """Outputs of one input, written to a hidden folder beside their final place and moved when the block succeeds.

        with OutputSet(folder, ["x_albedo.png", "x_shading.png"], overwrite=False) as outputs:
            write(outputs.path("x_albedo.png")); write(outputs.path("x_shading.png"))

    An output may be a folder (of numbered images). An exception, Ctrl-C included, removes the hidden folder and leaves what
    was there before, but for what `keep` has saved.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        *,
        overwrite: bool,
        protected: frozenset[str],
        folders: Sequence[str] = (),
        optional: Sequence[str] = (),
        mark: str = "",
    ) -> None:
        """names: of the files in `folder`. protected: real paths that must not be replaced (the run's inputs). folders:
        those of the names that are folders. optional: those that need not be written. mark: see `Job`."""
        self.folder = folder
        self.names = tuple(names)
        self._folders = frozenset(folders)
        self._optional = frozenset(optional)
        self._overwrite = overwrite
        self._protected = protected
        self._mark = mark
        self._staging: Path | None = None
        self._held: int | None = None

    def all_exist(self) -> bool:
        """Whether every output is there and may stay. Raises InputError where only some are, or one is an input."""
        self._finish_earlier()
        for name in self.names:
            if os.path.realpath(self.folder / name) in self._protected:
                raise InputError(self.folder / name, "an input of this run where an output would go", "another folder (-o)")
            if (self.folder / name).is_dir() and name not in self._folders:
                raise InputError(self.folder / name, "a folder where an output would go", "another folder (-o)")
        existing = [name for name in self.names if os.path.lexists(self.folder / name)]
        if self._overwrite or not existing:
            return False
        missing = [name for name in self.names if name not in existing and name not in self._optional]
        if missing:
            raise InputError(self.folder / existing[0], f"an output, but no {missing[0]}", "both or none, or --overwrite")
        return True

    def path(self, name: str) -> Path:
        """Where to write an output for now."""
        assert self._staging is not None and name in self.names
        return self._staging / name

    def keep(self, names: dict[str, str]) -> None:
        """Moves unfinished outputs to the folder under other names (output -> name), replacing what is there."""
        with deferred():
            for name, other in names.items():
                if self.path(name).exists():
                    self._publish(self.path(name), self.folder / other)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._staging, self._held = make_held(self.folder, self._mark)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                check()
                with deferred():
                    self._publish_all()
        finally:
            if self._staging is not None and self._held is not None:
                remove(self._staging, self._held)

    def _publish_all(self) -> None:
        """From the first name to the last; killed in between, the next run finds the hidden folder complete and goes on."""
        assert self._staging is not None
        (self._staging / COMPLETE).touch()
        for name in self.names:
            if name in self._optional and not self.path(name).exists():
                # That of an earlier run, which this one replaces, would belong to other layers.
                (self.folder / name).unlink(missing_ok=True)
            else:
                self._publish(self.path(name), self.folder / name)

    def _finish_earlier(self) -> None:
        """Ends what processes that were killed have begun in the folder: complete outputs get their names, incomplete ones
        go. Once for a folder, which may hold very many files; a batch does it by itself."""
        if self._mark or self.folder in _LOOKED:
            return
        _LOOKED.add(self.folder)
        for left, held in left_over(self.folder):
            try:
                if (left / COMPLETE).is_file():
                    self._staging = left
                    for path in sorted(left.iterdir()):
                        if not path.name.startswith(".") and not path.is_symlink():
                            self._publish(path, self.folder / path.name)
            finally:
                self._staging = None
                remove(left, held)

    def _publish(self, source: Path, target: Path) -> None:
        if target.is_dir() and not target.is_symlink():
            # A folder cannot be replaced by another in one step: the old one goes to the hidden folder first.
            os.replace(target, tempfile.mkdtemp(dir=self._staging))
        os.replace(source, target)
