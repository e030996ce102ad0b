"""One image: read, decompose, write albedo and shading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cli.jobs import Job
from intrinsic_flow.cli.unused import for_picture
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.decomposition.layers import Source
from intrinsic_flow.media.formats import ImageFormat
from intrinsic_flow.media.images import read_image
from intrinsic_flow.output.layer_files import default_format, format_by_name, output_names, write_layers
from intrinsic_flow.output.output_set import OutputSet


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

    def prepare(format: ImageFormat) -> tuple[dict[str, str], OutputSet]:
        names = output_names(job.name, format, settings.preview, settings.one_exr)
        files = list(names.values())
        return names, OutputSet(job.folder, files, overwrite=settings.overwrite, protected=protected, mark=job.mark)

    format = settings.format or format_by_name(job.path)
    if format is not None and prepare(format)[1].all_exist():
        return None
    image = read_image(job.path, settings.colorspace, exr_layer=settings.exr_layer)
    # The content may be of another kind than the name.
    format = settings.format or default_format(job.path, image.bit_depth)
    names, outputs = prepare(format)
    if outputs.all_exist():
        return None
    for note in (*image.notes, *for_picture(settings, format, is_exr=image.plate is not None)):
        log(f"{job.path}: {note}")

    result = replace(model().decompose(image.pixels), source=Source.of(job.path, image))
    with outputs:
        paths = {kind: outputs.path(file) for kind, file in names.items()}
        write_layers(paths, result, format=format, output=settings.float_output(), image=image.pixels)
    return [job.folder / name for name in outputs.names]
