"""Layers as float files hold them: in which primaries, as half or float, with which of the input's header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from intrinsic_flow.decomposition.product import ShadingKind
from intrinsic_flow.media.atomic_file import replace_when_complete
from intrinsic_flow.media.color import REC709_CHROMATICITIES
from intrinsic_flow.media.image_writer import write_image
from intrinsic_flow.media.plate import INPUT, Plate, Window, chromaticities_of, cut, in_primaries
from intrinsic_flow.media.video_facts import Clock

#: Channels of an OpenEXR file that holds both layers.
LAYER_CHANNELS = tuple(f"{layer}.{channel}" for layer in ("albedo", "shading") for channel in "RGB")


@dataclass(frozen=True)
class FloatOutput:
    """half: half floats, or None for the depth of an OpenEXR input (float for other inputs). colorspace: of the values, a
    name of `plate.chromaticities_of`; "input" for the primaries of an OpenEXR input, Rec.709 for others."""

    half: bool | None = None
    colorspace: str = INPUT

    def layers(
        self,
        image: np.ndarray | None,
        albedo: np.ndarray,
        shading: np.ndarray,
        *,
        plate: Plate | None,
        alpha: np.ndarray | None,
        kind: ShadingKind,
        window: Window | None = None,
    ) -> FloatLayers:
        """The layers to write.

        image, albedo, shading: (H, W, 3) float32 linear Rec.709; image None for the layers' product. window: where they
        lie, None for the plate's data window, to which they are cut. Raises ValueError for a colour space that is none.
        """
        if plate is not None and window is not None and window != plate.data:
            albedo, shading = cut(albedo, window, plate.data), cut(shading, window, plate.data)
            image, alpha = (None if plane is None else cut(plane, window, plate.data) for plane in (image, alpha))
        if image is None:
            image = _product(albedo, shading)
        chromaticities = REC709_CHROMATICITIES if plate is None else plate.chromaticities
        if self.colorspace != INPUT:
            chromaticities = chromaticities_of(self.colorspace)
        half = self.half if self.half is not None else plate is not None and plate.half
        albedo, shading = in_primaries(image, albedo, shading, plate, chromaticities, half=half, kind=kind)
        return FloatLayers(albedo, shading, alpha, half, chromaticities, plate)


AS_INPUT = FloatOutput()


@dataclass(frozen=True, eq=False)
class FloatLayers:
    """albedo, shading: (H, W, 3) float32 linear, in the primaries `chromaticities`, holding values of the float type;
    alpha: (H, W) or None; plate: whose windows and header an OpenEXR file gets."""

    albedo: np.ndarray
    shading: np.ndarray
    alpha: np.ndarray | None
    half: bool
    chromaticities: tuple[float, ...]
    plate: Plate | None

    def write(self, path: Path, layer: str, clock: Clock | None = None) -> None:
        """Writes "albedo", "shading" or, both in one OpenEXR file, "layers". clock: for the header.
        Raises OSError."""
        dtype = "half" if self.half else "float"
        if layer != "layers":
            pixels = self.albedo if layer == "albedo" else self.shading
            write_image(
                path,
                pixels,
                format="exr",
                alpha=self.alpha,
                dtype="half" if self.half else "float",
                plate=self.plate,
                chromaticities=self.chromaticities,
                clock=clock,
            )
            return
        from intrinsic_flow.media.exr import write_exr

        planes = [self.albedo, self.shading, *([] if self.alpha is None else [self.alpha])]
        with replace_when_complete(path) as temporary:
            write_exr(
                temporary,
                np.dstack(planes),
                dtype,
                plate=self.plate,
                chromaticities=self.chromaticities,
                names=LAYER_CHANNELS,
                clock=clock,
            )

    def shown(self) -> FloatLayers:
        """What lies in the display window, for formats that know no other."""
        if self.plate is None:
            return self
        window, plate = self.plate.shown, self.plate
        alpha = None if self.alpha is None else plate.cut(self.alpha, window)
        return replace(self, albedo=plate.cut(self.albedo, window), shading=plate.cut(self.shading, window), alpha=alpha)


def _product(albedo: np.ndarray, shading: np.ndarray) -> np.ndarray:
    # Light close to the largest float32 may round beyond it.
    with np.errstate(over="ignore"):
        return np.minimum(albedo * shading, np.finfo(np.float32).max)
