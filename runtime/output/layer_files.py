"""The files of one decomposed image: their names, formats and colour rules, for the command line and `result.save`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from intrinsic_flow.decomposition.layers import Layers
from intrinsic_flow.decomposition.product import ShadingKind, clipped_fraction, integer_scale
from intrinsic_flow.media.formats import BitDepth, ImageFormat
from intrinsic_flow.media.image_writer import write_image
from intrinsic_flow.media.plate import INPUT, chromaticities_of
from intrinsic_flow.output.float_layers import AS_INPUT, FloatOutput
from intrinsic_flow.output.output_set import OutputSet
from intrinsic_flow.output.preview import PANEL_SIDE, side_by_side
from intrinsic_flow.output.sidecar import write_sidecar

SUFFIXES: dict[ImageFormat, str] = {"png": ".png", "png16": ".png", "exr": ".exr", "npy": ".npy"}
LEVELS = {"png": 255, "png16": 65535}


def format_by_name(path: Path) -> ImageFormat | None:
    """Default format as far as the file's name tells (png stands for png16 as well); None where it does not."""
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff", ".jxl", ".dpx"):
        return None
    if suffix == ".npy":
        return "npy"
    return "exr" if suffix in (".exr", ".hdr", ".rgbe", ".pic", ".pfm") else "png"


def default_format(path: Path | None, bit_depth: BitDepth) -> ImageFormat:
    """Default format of a source that has been read."""
    named = None if path is None else format_by_name(path)
    if named not in (None, "png"):
        return named
    return "png" if bit_depth == 8 else "png16" if bit_depth == 16 else "exr"


def output_names(name: str, format: ImageFormat, preview: bool, one_file: bool = False) -> dict[str, str]:
    """File names by what they hold. one_file: both layers in one OpenEXR file, "layers"."""
    suffix = SUFFIXES[format]
    names = {"albedo": f"{name}_albedo{suffix}", "shading": f"{name}_shading{suffix}"}
    if one_file and format == "exr":
        names = {"layers": f"{name}_layers.exr"}
    if format in LEVELS:
        names["sidecar"] = f"{name}_shading.json"
    if preview:
        names["preview"] = f"{name}_preview.png"
    return names


def write_layers(
    paths: Mapping[str, Path],
    result: Layers,
    *,
    format: ImageFormat,
    output: FloatOutput = AS_INPUT,
    image: np.ndarray | None = None,
) -> float:
    """Writes `paths` (of `output_names`). output: how float files hold the layers. image: (H, W, 3) linear, if still at
    hand; None for the layers' product. Returns the factor that the shading was divided by, 1 where it is stored as floats.
    """
    source, albedo, shading = result.source, result.albedo, result.shading
    kind: ShadingKind = result.settings.get("shading", "rgb")
    integer = format in LEVELS
    if format != "exr":
        output = FloatOutput(False, "rec709" if integer or output.colorspace == INPUT else output.colorspace)
    stored = output.layers(image, albedo, shading, plate=source.plate, alpha=source.alpha, kind=kind)
    scale = 1.0
    if format == "exr":
        for layer in {"albedo", "shading", "layers"} & paths.keys():
            stored.write(paths[layer], layer)
    else:
        stored = stored.shown()
        albedo, shading = stored.albedo, stored.shading
        scale = integer_scale(albedo, shading) if integer else 1.0
        for layer, pixels in (("albedo", albedo), ("shading", shading / scale if integer else shading)):
            write_image(paths[layer], pixels, format=format, alpha=stored.alpha)
    if integer:
        write_sidecar(
            paths["sidecar"],
            source.name,
            result.settings,
            scale,
            clipped_fraction(shading, scale),
            decoding=f"linear shading = shading_scale * srgb_to_linear(value / {LEVELS[format]})",
            exposure_gain=result.exposure_gain,
        )
    if "preview" in paths:
        write_image(paths["preview"], preview_of(result, image), format="png")
    return scale


def preview_of(result: Layers, image: np.ndarray | None = None, side: int = PANEL_SIDE) -> np.ndarray:
    """Image, albedo and shading in a row, see `side_by_side`. image: (H, W, 3) linear; None for the layers' product."""
    gain = 1.0 if result.source.bit_depth in (8, 16) else result.exposure_gain
    if image is None:
        with np.errstate(over="ignore"):
            image = np.minimum(result.albedo * result.shading, np.finfo(np.float32).max)
    scale = integer_scale(result.albedo, result.shading)
    return side_by_side(image, result.albedo, result.shading, scale, gain, side)


def save_layers(
    result: Layers,
    folder: Path,
    name: str | None,
    *,
    format: ImageFormat | None,
    half: bool | None,
    preview: bool,
    overwrite: bool,
    colorspace: str = INPUT,
    one_file: bool = False,
) -> dict[str, Path]:
    """See `Decomposition.save`."""
    source = result.source
    if format is not None and format not in SUFFIXES:
        raise ValueError(f"format {format!r}, expected one of {', '.join(SUFFIXES)}")
    if format is None:
        format = "exr" if one_file or half is not None else default_format(source.path, source.bit_depth)
    if (half or one_file) and format != "exr":
        raise ValueError(f"{'half floats' if half else 'both layers in one file'} in {format}, expected format exr")
    if name is None:
        name = Path(source.name).stem if source.name else "image"
    if not name or Path(name).name != name or os.sep in name or "/" in name:
        raise ValueError(f"name {name!r}, expected a file name without folder and suffix")
    if colorspace != INPUT:
        chromaticities_of(colorspace)
    names = output_names(name, format, preview, one_file)
    protected = frozenset() if source.path is None else frozenset({os.path.realpath(source.path)})
    outputs = OutputSet(folder, list(names.values()), overwrite=overwrite, protected=protected)
    there = [name for name in outputs.names if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise FileExistsError(f"{folder / there[0]}: found a file, expected none, or overwrite=True")
    outputs.all_exist()
    with outputs:
        write_layers(
            {kind: outputs.path(file) for kind, file in names.items()},
            result,
            format=format,
            output=FloatOutput(half, colorspace),
        )
    return {kind: folder / file for kind, file in names.items()}
