"""The set of engines that fits bundle, library and GPU, chosen by their sidecars before any of them is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intrinsic_flow.backends.engine_file import (
    ENGINES,
    LIBRARIES,
    SIDECAR_SUFFIX,
    EngineSidecar,
    Flavor,
    engine_folders,
    rebuild_command,
)
from intrinsic_flow.backends.gpu import Gpu
from intrinsic_flow.decomposition.bundle import Bundle, Precision
from intrinsic_flow.errors import InputError

#: What a decomposition needs; `vae_encoder` only the VAE mode.
NEEDED = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler")


class UnfitEnginesError(InputError):
    """Engines are there, but not for this bundle, library or GPU; what was found, what is needed, and the command."""

    def __init__(self, folder: str | os.PathLike[str], problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(folder, "engines that do not fit", "engines for this bundle, library and GPU")

    def __str__(self) -> str:
        others = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"{self.problems[0]}{others}"

    def __reduce__(self) -> tuple[type[UnfitEnginesError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.path, self.problems)


@dataclass(frozen=True)
class Engines:
    """Sidecars that fit, by graph. precision: of the set; the upsampler is FP32 all the same. command: builds them anew."""

    folder: Path
    sidecars: dict[str, EngineSidecar]
    precision: Precision
    command: str


def find_engines(
    bundle: Bundle, folder: Path | None, *, flavor: Flavor, version: str, gpu: Gpu, precision: Precision | None = None
) -> Engines:
    """The engines of a folder; without one, the first set in the bundle's own `engines` that fits, FP16 before FP32.

    flavor, version: of the library that is to load them. precision: None for any.
    Raises UnfitEnginesError, and InputError where engines are missing or a sidecar cannot be read.
    """
    command = rebuild_command(bundle, flavor, precision or "fp16", folder)
    if folder is not None:
        return _check_folder(bundle, folder, flavor, version, gpu, precision, command)
    errors: list[InputError] = []
    found: list[Engines] = []
    for candidate in engine_folders(bundle):
        try:
            found.append(_check_folder(bundle, candidate, flavor, version, gpu, precision, command))
        except InputError as error:
            # The other library's are no near miss; what is wrong with this one's helps more.
            errors.insert(0 if candidate.name.startswith(f"{flavor}-") else len(errors), error)
    if found:
        return min(found, key=lambda engines: (engines.precision != "fp16", engines.folder.name))
    if errors:
        raise errors[0]
    raise InputError(bundle.folder / ENGINES, f"no engines of {LIBRARIES[flavor]}", f"engines ({command})")


def _check_folder(
    bundle: Bundle,
    folder: Path,
    flavor: Flavor,
    version: str,
    gpu: Gpu,
    precision: Precision | None,
    command: str,
) -> Engines:
    sidecars = [EngineSidecar.load(path) for path in sorted(folder.glob(f"*{SIDECAR_SUFFIX}"))]
    by_graph = {sidecar.graph: sidecar for sidecar in sidecars}
    missing = [graph for graph in NEEDED if graph not in by_graph]
    if missing:
        raise InputError(folder, f"no engine of {', '.join(missing)}", f"one of each ({command})")
    problems = [line for sidecar in sidecars for line in sidecar.check(bundle, flavor, version, gpu.compute_capability)]
    if problems:
        raise UnfitEnginesError(folder, problems)
    precisions = sorted({sidecar.set_precision for sidecar in sidecars})
    if len(precisions) > 1 or precision not in (None, precisions[0]):
        raise InputError(
            folder, f"engines in {' and '.join(precisions)}", f"engines in {precision or 'one of them'} ({command})"
        )
    return Engines(folder, by_graph, precisions[0], command)
