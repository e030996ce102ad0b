"""OpenEXR in and out: which part and layer is read, what of it is seen, and the layers that are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import REC709_CHROMATICITIES, is_identity, srgb_to_linear, to_rec709_matrix
from intrinsic_flow.media.formats import ColorSpace
from intrinsic_flow.media.native_log import captured_native_log
from intrinsic_flow.media.openimageio import OpenImage, check_size, open_image
from intrinsic_flow.media.plate import SPACES, Plate, Window, carried
from intrinsic_flow.media.samples import Image, alpha_plane, repaired
from intrinsic_flow.media.video_facts import Clock, timecode_bits, timecode_from_bits

HALF_MAX = 65504.0
_RGB = (("r", "g", "b"), ("red", "green", "blue"))
# What renderers call the finished picture, the surest name first, and layers that never are it.
_BEAUTY = ("combined", "beauty", "rgba", "rgb", "main", "master", "final", "composite", "color", "image", "default")
_AUXILIARY = frozenset(
    {
        "ao", "occlusion", "ambientocclusion", "albedo", "diffusecolor", "basecolor", "diffuse_color", "diffcol",
        "glosscol", "transcol", "normal", "normals", "n", "depth", "z", "position", "p", "uv", "vector", "motion",
        "velocity", "id", "mask", "matte", "crypto", "cryptomatte", "emit", "emission", "env", "environment", "shadow",
        "mist", "denoising", "noisy", "variance", "light", "lighting", "shading",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A picture in an OpenEXR file: its part, the name it goes by, and the numbers of its channels in the part."""

    part: int
    name: str
    channels: tuple[int, ...]
    alpha: int | None


def find_layers(parts: list[tuple[str, list[str]]]) -> list[Layer]:
    """The layers with three colours, or with luminance alone, the beauty first. parts: names and channel names."""
    layers = []
    for part, (title, channels) in enumerate(parts):
        groups: dict[str, dict[str, int]] = {}
        for number, channel in enumerate(channels):
            prefix, _, name = channel.rpartition(".")
            groups.setdefault(prefix, {})[name.lower()] = number
        for prefix, names in groups.items():
            wanted: tuple[str, ...] | None = next((rgb for rgb in _RGB if all(name in names for name in rgb)), None)
            if wanted is None and "y" in names and not {"ry", "by"} & names.keys():
                wanted = ("y",)
            if wanted is None:
                continue
            label = prefix if not title or prefix.startswith(title) else f"{title}.{prefix}" if prefix else title
            alpha = names.get("a", names.get("alpha"))
            layers.append(Layer(part, label, tuple(names[name] for name in wanted), alpha))
    if not layers and sum(len(channels) for _, channels in parts) == 1:
        part = next(number for number, (_, channels) in enumerate(parts) if channels)
        layers.append(Layer(part, parts[part][1][0], (0,), None))
    return sorted(layers, key=lambda layer: (_rank(layer.name), len(layer.channels) == 1))


def _rank(name: str) -> int:
    """How surely a name is the finished picture's, 0 the surest."""
    words = name.lower().replace(":", ".").replace(" ", ".").split(".")
    if not name:
        return 0
    if any(word in _AUXILIARY for word in words):
        return len(_BEAUTY) + 2
    return min([1 + _BEAUTY.index(word) for word in words if word in _BEAUTY], default=len(_BEAUTY) + 1)


def choose_layer(path: Path, parts: list[tuple[str, list[str]]], wanted: str | None) -> tuple[Layer, list[Layer]]:
    """The layer that is read, and all. wanted: its name, whole or the last part of it, without case; None for the beauty.
    Raises InputError where there is none."""
    layers = find_layers(parts)
    if wanted is not None:
        name = wanted.lower()
        exact = [layer for layer in layers if layer.name.lower() == name or (not layer.name and name in ("rgba", "rgb"))]
        ends = [layer for layer in layers if layer.name.lower().endswith("." + name)]
        titled = [layer for layer in layers if parts[layer.part][0].lower() == name]
        for found in (exact, ends, titled):
            if found:
                return found[0], layers
        listed = ", ".join(layer.name or "rgba" for layer in layers) or "no layer"
        raise InputError(path, f"the layers {listed[:200]}", f"a layer {wanted}")
    if not layers:
        listed = ", ".join(name for _, channels in parts for name in channels)
        if {"Y", "RY", "BY"} <= set(listed.split(", ")):
            raise InputError(path, "luminance and chroma channels (Y, RY, BY)", "R, G and B, or Y alone")
        raise InputError(path, f"the channels {listed[:200]}", "channels R, G and B, or Y")
    return layers[0], layers


def read_exr(path: Path, colorspace: ColorSpace, max_pixels: int, layer: str | None = None) -> Image:
    """See `read_image`. layer: see `choose_layer`."""
    notes: list[str] = []
    with open_image(path, "exr", max_pixels) as file:
        parts = _parts(file, max_pixels)
        chosen, layers = choose_layer(path, parts, layer)
        file.select(chosen.part)
        spec = file.spec
        if spec.deep:
            raise InputError(path, "deep samples", "flat half or float samples")
        formats = [str(spec.channelformat(number)) for number in chosen.channels]
        if not set(formats) <= {"half", "float"}:
            raise InputError(path, f"{formats[0]} samples", "flat half or float samples")
        if chosen.name or len(layers) > 1:
            others = ", ".join(dict.fromkeys(other.name or "rgba" for other in layers if other is not chosen))
            notes.append(f"layer {chosen.name or 'rgba'} read" + (f", others left out: {others[:200]}" if others else ""))
        numbers = [*chosen.channels, *([] if chosen.alpha is None else [chosen.alpha])]
        samples = _read_channels(file, numbers)
        half = set(formats) == {"half"}
        chromaticities = _chromaticities(file, notes)
        data = Window(spec.x, spec.y, spec.width, spec.height)
        display = Window(spec.full_x, spec.full_y, spec.full_width, spec.full_height)
        attributes, compression = _attributes(file), str(file.attribute("compression", "zip"))
    alpha = None if chosen.alpha is None else samples[..., -1]
    colors = samples[..., :3] if len(chosen.channels) == 3 else np.repeat(samples[..., :1], 3, axis=2)
    colors = repaired(path, np.ascontiguousarray(colors), notes)
    if colorspace == "srgb":
        colors = srgb_to_linear(colors)
    pixels = colors
    if colorspace != "auto":
        chromaticities = REC709_CHROMATICITIES
    matrix = to_rec709_matrix(chromaticities)
    if not is_identity(matrix):
        pixels = carried(colors, matrix)
        notes.append("converted from the file's chromaticities to Rec.709 for the network")
    if data != display:
        notes.append("data window differs from the display window: EXR outputs keep both, others show the display window")
    plate = Plate(colors, chromaticities, data, display, half, compression, attributes)
    return Image(pixels, alpha_plane(alpha, 1.0, notes), "half" if half else "float", tuple(notes), plate)


# What describes the file's storage, or the writer sets.
_OWN_ATTRIBUTES = frozenset({"compression", "chromaticities", "name", "acesImageContainerFlag"})


def _attributes(file: OpenImage) -> tuple[tuple[str, Any, Any], ...]:
    """The header's entries that say something of the picture."""
    kept = []
    for attribute in file.spec.extra_attribs:
        name = attribute.name
        if name in _OWN_ATTRIBUTES or name.startswith(("oiio:", "openexr:")):
            continue
        try:
            kept.append((name, attribute.type, attribute.value))
        except UnicodeDecodeError:
            continue
    return tuple(kept)


def _chromaticities(file: OpenImage, notes: list[str]) -> tuple[float, ...]:
    """The file's primaries: as stated, as its ACES flag or the name of its colour space says, or Rec.709."""
    stated = file.attribute("chromaticities")
    if stated is not None:
        try:
            values = tuple(float(value) for value in stated)
            matrix = to_rec709_matrix(values)
            return REC709_CHROMATICITIES if is_identity(matrix) else values
        except (ValueError, TypeError, ZeroDivisionError, np.linalg.LinAlgError):
            notes.append("unusable chromaticities ignored, Rec.709 assumed")
            return REC709_CHROMATICITIES
    if file.attribute("acesImageContainerFlag") == 1:
        return SPACES["aces2065-1"]
    space = str(file.attribute("colorInteropID", ""))
    return SPACES.get(_INTEROP.get(space.removesuffix("_scene"), ""), REC709_CHROMATICITIES)


# Colour spaces of the ASWF's Color Interop Forum.
_INTEROP = {"lin_ap1": "acescg", "lin_ap0": "aces2065-1", "lin_p3d65": "p3-d65", "lin_rec2020": "rec2020"}


def _parts(file: OpenImage, max_pixels: int) -> list[tuple[str, list[str]]]:
    """Name and channel names of every part, each of which has to keep the limit."""
    parts: list[tuple[str, list[str]]] = []
    while len(parts) < 1000 and file.select(len(parts)):
        check_size(file.path, file.spec.width, file.spec.height, max_pixels)
        parts.append((str(file.attribute("oiio:subimagename", "")), list(file.spec.channelnames)))
    return parts


def _read_channels(file: OpenImage, numbers: list[int]) -> np.ndarray:
    """(H, W, channels) float32, or half where all are; neighbours in one go, for a chunk holds all channels compressed."""
    spec = file.spec
    samples = np.empty((spec.height, spec.width, len(numbers)), np.float32)
    first, last = min(numbers), max(numbers) + 1
    ranges = [(first, last)] if last - first <= 8 else [(number, number + 1) for number in sorted(set(numbers))]
    for low, high in ranges:
        wanted = [(place, number - low) for place, number in enumerate(numbers) if low <= number < high]
        for rows, strip in file.strips(low, high):
            for place, channel in wanted:
                samples[rows, :, place] = strip[..., channel]
    return samples


# Without loss; anything else would break the product.
_LOSSLESS = frozenset({"none", "rle", "zip", "zips", "piz"})


def write_exr(
    path: Path,
    channels: np.ndarray,
    dtype: str,
    *,
    plate: Plate | None = None,
    chromaticities: tuple[float, ...] = REC709_CHROMATICITIES,
    names: Sequence[str] = ("R", "G", "B"),
    clock: Clock | None = None,
) -> None:
    """Writes a scanline file.

    channels: (H, W, n) float32, as `names` (and "A" after them, if it is one more) call them. dtype: half or float. plate:
    whose windows, compression and header the file gets; lossy compression becomes ZIP. chromaticities: of the values.
    clock: for the header, its timecode where the plate has none. Raises OSError where the file cannot be written.
    """
    import OpenImageIO as oiio

    if dtype not in ("half", "float"):
        raise ValueError(f"dtype {dtype!r}, expected half or float")
    samples = np.clip(channels, -HALF_MAX, HALF_MAX).astype(np.float16) if dtype == "half" else channels
    spec = oiio.ImageSpec(samples.shape[1], samples.shape[0], samples.shape[2], dtype)
    spec.channelnames = (*names, *(["A"] if samples.shape[2] > len(names) else []))
    if spec.channelnames[-1] == "A":
        spec.alpha_channel = samples.shape[2] - 1
    compression = "zip"
    if plate is not None:
        spec.x, spec.y = plate.data.x, plate.data.y
        display = plate.display
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = display.x, display.y, display.width, display.height
        for name, kind, value in plate.attributes:
            if name != "colorInteropID" or chromaticities == plate.chromaticities:
                spec.attribute(name, kind, value)
        compression = plate.compression if plate.compression in _LOSSLESS else "zip"
    if spec.getattribute("DateTime") is None:
        spec.attribute("DateTime", "")  # or the time would be written: equal runs give equal bytes
    spec.attribute("compression", compression)
    spec.attribute("chromaticities", "float[8]", chromaticities)
    if clock is not None and clock.rate is not None:
        spec.attribute("framesPerSecond", "rational", (clock.rate.numerator, clock.rate.denominator))
    if clock is not None and clock.timecode and spec.getattribute("smpte:TimeCode") is None:
        spec.attribute("smpte:TimeCode", "timecode", (timecode_bits(clock.timecode), 0))
    with _name_for_output(path) as name, captured_native_log():
        output: Any = oiio.ImageOutput.create("openexr")
        done = output.open(name, spec) and output.write_image(np.ascontiguousarray(samples))
        said = output.geterror()
        done = output.close() and done
        if not done:
            # The library does not say why; the system does, where it refuses more bytes.
            with open(path, "ab") as file:
                file.write(bytes(1 << 20))
            raise OSError(f"{path}: OpenEXR cannot be written ({said or output.geterror()})")


@contextmanager
def _name_for_output(path: Path) -> Iterator[str]:
    """A name that OpenImageIO, which knows UTF-8 alone, opens for writing."""
    name = os.fspath(path)
    if sys.platform == "win32" or name.encode("utf-8", "surrogateescape") == name.encode("utf-8", "replace"):
        yield name
        return
    with open(path, "w+b") as file:
        yield f"/dev/fd/{file.fileno()}"


def stated_clock(path: Path) -> Clock:
    """What the header of an OpenEXR or DPX file states; nothing for another file."""
    if path.suffix.lower() not in (".exr", ".dpx"):
        return Clock()
    import OpenImageIO as oiio

    with captured_native_log():
        file = oiio.ImageInput.open(os.fspath(path))
        if file is None:
            oiio.geterror()
            return Clock()
        value, code = (file.spec().getattribute(name) for name in ("framesPerSecond", "smpte:TimeCode"))
        file.close()
    number = value if isinstance(value, (list, tuple)) and len(value) == 2 else (0, 0)
    rate = Fraction(int(number[0]), int(number[1])) if number[0] > 0 and number[1] > 0 else None
    return Clock(rate, timecode_from_bits(int(code[0])) if isinstance(code, (list, tuple)) else "")
