"""AVIF pictures: 8 bits through Pillow, which knows their profile, alpha and tiles; deeper ones through PyAV."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color_tags import ColorTags, coded_color
from intrinsic_flow.media.formats import ColorSpace
from intrinsic_flow.media.openimageio import check_size, damaged
from intrinsic_flow.media.samples import Image, alpha_plane, integer_decoder, oriented


def read_avif(path: Path, colorspace: ColorSpace, max_pixels: int) -> Image:
    """See `read_image`."""
    import av
    from PIL.AvifImagePlugin import AvifImageFile

    from intrinsic_flow.media.video import VideoReader

    notes: list[str] = []
    try:
        with open(path, "rb") as stream:
            picture = AvifImageFile(stream)
            check_size(path, *picture.size, max_pixels)
            profile, orientation = picture.info.get("icc_profile") or b"", picture.getexif().get(0x0112, 1)
            if getattr(picture, "n_frames", 1) > 1:
                notes.append("first frame of an animation read, the others are left out")
            with av.open(stream, "r") as container:
                frame = next(container.decode(video=0))
                bits = max(component.bits for component in frame.format.components)
                whole = (frame.width, frame.height) in (picture.size, picture.size[::-1])
                tags = coded_color(int(frame.color_primaries), int(frame.color_trc), True)
            if bits == 8 or profile or not whole:
                if bits > 8:
                    notes.append(f"{bits} bits read as 8")
                picture.load()
                samples = np.asarray(picture)
                return _from_codes(samples, colorspace, profile, tags, orientation, notes)
            if picture.mode.endswith("A"):
                notes.append("alpha left out")
    except (OSError, SyntaxError, ValueError, RuntimeError, StopIteration) as error:
        raise damaged(path, "avif", str(error)) from error
    with open(path, "rb") as stream, av.open(stream, "r") as container:
        chosen = "srgb" if colorspace == "auto" and tags is None else colorspace
        reader = VideoReader(container, chosen, name=str(path))
        pixels = next(iter(reader), None)
    if pixels is None:
        raise InputError(path, "no picture", "a complete image")
    return Image(oriented(pixels.pixels, orientation), None, 16, tuple(notes))


def _from_codes(
    samples: np.ndarray, colorspace: ColorSpace, profile: bytes, tags: ColorTags | None, orientation: int, notes: list[str]
) -> Image:
    samples = samples[..., None] if samples.ndim == 2 else samples
    colors = samples[..., :1] if samples.shape[2] < 3 else samples[..., :3]
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    chosen = None if profile else tags
    decode = integer_decoder(np.uint8, colorspace, notes, profile=profile, tags=chosen, channels=colors.shape[2])
    alpha = None if alpha is None else oriented(alpha, orientation)
    return Image(oriented(decode(colors), orientation), alpha_plane(alpha, 255, notes), 8, tuple(notes))
