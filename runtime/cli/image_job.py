"""One image: read, decompose, write albedo and shading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.plan import Job
from intrinsic_flow.decomposer import Decomposer
from intrinsic_flow.media.images import Image, read_image
from intrinsic_flow.output.layer_files import SUFFIXES, default_format, format_by_name, output_names, write_layers
from intrinsic_flow.output.output_set import OutputSet
from intrinsic_flow.result import Source


def run_image(
    job: Job,
    settings: Settings,
    model: Callable[[], Decomposer],
    protected: frozenset[str],
    log: Callable[[str], None],
) -> list[Path] | None:
    """Runs a job; returns the files written, or None where they all exist already.

    model: gives the loaded model, called only when there is something to compute. protected: see OutputSet. log: takes
    notes about the input. Raises InputError, OSError, MemoryError.
    """
    image: Image | None = None
    format = settings.format or format_by_name(job.path)
    if format is None:
        image = read_image(job.path, settings.colorspace)
        format = default_format(job.path, image.bit_depth)
    names = output_names(job.name, format, settings.preview)
    outputs = OutputSet(job.folder, list(names.values()), overwrite=settings.overwrite, protected=protected, mark=job.mark)
    if outputs.all_exist():
        return None
    if image is None:
        image = read_image(job.path, settings.colorspace)
        if settings.format is None and SUFFIXES[format] == ".png":
            format = default_format(job.path, image.bit_depth)
    for note in image.notes:
        log(f"{job.path}: {note}")

    source = Source(job.path.name, job.path, image.bit_depth, image.alpha, image.notes)
    result = replace(model().decompose(image.pixels), source=source)
    with outputs:
        paths = {kind: outputs.path(file) for kind, file in names.items()}
        write_layers(paths, result, format=format, half=settings.half, image=image.pixels)
    return [job.folder / name for name in outputs.names]
