"""HEIC and other HEIF photos, through pi-heif (the `heif` extra)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color_tags import coded_color
from intrinsic_flow.media.formats import ColorSpace
from intrinsic_flow.media.openimageio import check_size, damaged
from intrinsic_flow.media.samples import Image, alpha_plane, integer_decoder


def read_heif(path: Path, colorspace: ColorSpace, max_pixels: int) -> Image:
    """See `read_image`: the primary picture, turned as its transformations say; 10 and 12 bits are kept."""
    try:
        import pi_heif
    except ImportError as error:
        raise InputError(path, "an HEIC photo", 'pi-heif to read it: pip install "intrinsic-flow[heif]"') from error
    notes: list[str] = []
    try:
        with open(path, "rb") as stream:
            file = pi_heif.open_heif(stream, convert_hdr_to_8bit=False)
            picture = file[file.primary_index]
            check_size(path, picture.size[0], picture.size[1], max_pixels)
            samples = np.asarray(picture)
    except (ValueError, EOFError, SyntaxError, RuntimeError, IndexError, OSError) as error:
        raise damaged(path, "heif", str(error)) from error
    if len(file) > 1:
        notes.append(f"the primary of {len(file)} pictures read, the others are left out")
    if any("hdrgainmap" in name.lower() or "21496" in name for name in picture.info.get("aux", {})):
        notes.append("base picture read, its gain map left out")
    samples = samples[..., None] if samples.ndim == 2 else samples
    if samples.dtype == np.uint16:
        # The library shifts the codes up to 16 bits.
        bits = int(picture.info.get("bit_depth") or 16)
        top = (1 << bits) - 1
        samples = ((samples.astype(np.uint32) >> (16 - bits)) * 65535 + top // 2) // top
        samples = samples.astype(np.uint16)
    colors = samples[..., :1] if samples.shape[2] < 3 else samples[..., :3]
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    nclx = picture.info.get("nclx_profile") or {}
    profile = picture.info.get("icc_profile") or b""
    tags = None
    if not profile and nclx:
        tags = coded_color(int(nclx.get("color_primaries", 2)), int(nclx.get("transfer_characteristics", 2)), True)
    decode = integer_decoder(colors.dtype, colorspace, notes, profile=profile, tags=tags, channels=colors.shape[2])
    limit = np.iinfo(colors.dtype).max
    return Image(decode(colors), alpha_plane(alpha, limit, notes), 8 if limit == 255 else 16, tuple(notes))
