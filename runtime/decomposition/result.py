"""What a decomposition gives: the layers, and ways to store and to show them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from intrinsic_flow.decomposition.layers import Layers

if TYPE_CHECKING:
    from intrinsic_flow.media.formats import ImageFormat

NOTEBOOK_SIDE = 320


class Decomposition(Layers):
    """The layers of one image, with ways to store and to show them. A notebook shows image, albedo and shading in a row."""

    def save(
        self,
        folder: str | os.PathLike[str],
        name: str | None = None,
        *,
        format: ImageFormat | None = None,
        half: bool | None = None,
        preview: bool = False,
        overwrite: bool = False,
        colorspace: str = "input",
        one_file: bool = False,
    ) -> dict[str, Path]:
        """Writes the layers as the command line does: NAME_albedo and NAME_shading, all files complete or none.

        folder:    made if missing.
        name:      None for the source's file name without suffix, or "image" where it has none.
        format:    "png" and "png16": sRGB-encoded, the shading divided by the factor in NAME_shading.json; "exr" and
                   "npy": linear floats. None for the source's own depth: png for 8 bits, png16 for 16, exr for floats
                   (npy for an NPY file); exr too with `half` or `one_file`.
        half:      half floats in EXR; None for the depth of an EXR source, floats for others.
        preview:   also NAME_preview.png, image, albedo and shading in a row.
        overwrite: replaces files that are there.
        colorspace: primaries of float files: "input" for those of an EXR source (Rec.709 for others), or a linear space as
                   --output-colorspace takes it.
        one_file:  both layers in one EXR file, NAME_layers.exr, as channels albedo.R ... shading.B.
        The source's alpha goes into both layers. Returns the paths by what they hold: "albedo", "shading", and where they
        were written "sidecar" and "preview". Raises FileExistsError without `overwrite`, InputError where an output would
        replace the source or a folder, ValueError for a bad name or format, OSError where a file cannot be written.
        """
        from intrinsic_flow.output.layer_files import save_layers

        return save_layers(
            self,
            Path(folder),
            name,
            format=format,
            half=half,
            preview=preview,
            overwrite=overwrite,
            colorspace=colorspace,
            one_file=one_file,
        )

    def side_by_side(self, side: int = 960) -> np.ndarray:
        """Image, albedo and shading in a row: (h, 3 w, 3) float32 linear in [0, 1], a panel at most `side` pixels long.

        An image of floats is shown under its exposure gain; the shading's 99.9th percentile is white.
        """
        from intrinsic_flow.output.layer_files import preview_of

        return preview_of(self, side=side)

    def _repr_png_(self) -> bytes:
        import cv2

        from intrinsic_flow.media.color import linear_to_srgb

        codes = np.rint(linear_to_srgb(self.side_by_side(NOTEBOOK_SIDE)) * 255).astype(np.uint8)
        done, data = cv2.imencode(".png", np.ascontiguousarray(codes[..., ::-1]))
        if not done:
            raise OSError(f"OpenCV cannot encode a PNG of {codes.shape[1]}x{codes.shape[0]} pixels")
        return data.tobytes()
