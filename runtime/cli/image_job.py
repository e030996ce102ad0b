"""One image: read, decompose, write albedo and shading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runtime.cli.arguments import ImageFormat, Settings
from runtime.cli.outputs import OutputSet
from runtime.cli.plan import Job
from runtime.cli.preview import side_by_side
from runtime.cli.sidecar import write_sidecar
from runtime.decomposer import Decomposer
from runtime.images import Image, read_image, write_image
from runtime.product import clipped_fraction, finish, integer_scale

_SUFFIXES: dict[ImageFormat, str] = {"png": ".png", "png16": ".png", "exr": ".exr", "npy": ".npy"}
_LEVELS = {"png": 255, "png16": 65535}


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
    format = settings.format or _format_by_name(job.path)
    if format is None:
        image = read_image(job.path, settings.colorspace)
        format = _format_by_depth(image.bit_depth)
    names = _output_names(job.name, format, settings.preview)
    outputs = OutputSet(job.folder, names.values(), overwrite=settings.overwrite, protected=protected, mark=job.mark)
    if outputs.all_exist():
        return None
    if image is None:
        image = read_image(job.path, settings.colorspace)
        if settings.format is None and _SUFFIXES[format] == ".png":
            format = _format_by_depth(image.bit_depth)
    for note in image.notes:
        log(f"{job.path}: {note}")

    result = model().decompose(image.pixels)
    albedo, shading = result.albedo, result.shading
    half = format == "exr" and settings.half
    if half:
        albedo, shading = finish(image.pixels, albedo, "half", settings.shading)
    integer = format in _LEVELS
    scale = integer_scale(shading) if integer or settings.preview else 1.0
    with outputs:
        store = {"format": format, "alpha": image.alpha, "dtype": "half" if half else "float"}
        write_image(outputs.path(names["albedo"]), albedo, **store)
        write_image(outputs.path(names["shading"]), shading / scale if integer else shading, **store)
        if integer:
            write_sidecar(
                outputs.path(names["sidecar"]),
                job.path,
                model(),
                scale,
                clipped_fraction(shading, scale),
                decoding=f"linear shading = shading_scale * srgb_to_linear(value / {_LEVELS[format]})",
                exposure_gain=result.exposure_gain,
            )
        if settings.preview:
            gain = 1.0 if image.bit_depth in (8, 16) else result.exposure_gain
            panels = side_by_side(image.pixels, result.albedo, result.shading, scale, gain)
            write_image(outputs.path(names["preview"]), panels, format="png")
    return [job.folder / name for name in outputs.names]


def _format_by_name(path: Path) -> ImageFormat | None:
    """Default format as far as the file's name tells (png stands for png16 as well); None where it does not."""
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return None
    return {".npy": "npy", ".exr": "exr", ".hdr": "exr", ".pic": "exr"}.get(suffix, "png")


def _format_by_depth(bit_depth: int | str) -> ImageFormat:
    return {8: "png", 16: "png16"}.get(bit_depth, "exr")


def _output_names(name: str, format: ImageFormat, preview: bool) -> dict[str, str]:
    suffix = _SUFFIXES[format]
    names = {"albedo": f"{name}_albedo{suffix}", "shading": f"{name}_shading{suffix}"}
    if format in _LEVELS:
        names["sidecar"] = f"{name}_shading.json"
    if preview:
        names["preview"] = f"{name}_preview.png"
    return names
