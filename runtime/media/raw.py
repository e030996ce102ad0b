"""Camera RAW files, through LibRaw (rawpy, the `raw` extra): linear light, the camera's white balance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.openimageio import check_size, damaged
from intrinsic_flow.media.samples import Image


def read_raw(path: Path, max_pixels: int) -> Image:
    """See `read_image`: developed without a tone curve, brightness as exposed, 1.0 is the sensor's white."""
    try:
        import rawpy
    except ImportError as error:
        raise InputError(path, "a camera RAW file", 'rawpy to read it: pip install "intrinsic-flow[raw]"') from error
    try:
        with open(path, "rb") as stream, rawpy.imread(stream) as raw:
            check_size(path, raw.sizes.raw_width, raw.sizes.raw_height, max_pixels)
            codes = raw.postprocess(
                gamma=(1, 1),
                no_auto_bright=True,
                output_bps=16,
                use_camera_wb=True,
                output_color=rawpy.ColorSpace.sRGB,
                adjust_maximum_thr=0.0,  # or the brightness would follow the content
            )
    except (rawpy.LibRawError, ValueError, RuntimeError) as error:
        said = error.args[0] if error.args else ""
        raise damaged(path, "raw", said.decode() if isinstance(said, bytes) else str(said)) from error
    pixels = codes.astype(np.float32) / np.float32(65535)
    return Image(np.ascontiguousarray(pixels), None, 16, ("developed in linear light with the camera's white balance",))
