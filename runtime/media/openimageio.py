"""Files opened with OpenImageIO: by an allow-list, measured before they are decoded, read a strip of rows at a time."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.formats import TITLES
from intrinsic_flow.media.native_log import captured_native_log

if TYPE_CHECKING:
    import OpenImageIO

STRIP_BYTES = 8 << 20
#: What OpenImageIO calls the kinds of `intrinsic_flow.media.formats` that it reads; nothing else is decoded by it.
FORMATS = {
    "png": "png", "jpeg": "jpeg", "webp": "webp", "tiff": "tiff", "hdr": "hdr", "exr": "openexr",
    "gif": "gif", "jpeg2000": "jpeg2000", "jpegxl": "jpegxl", "pnm": "pnm", "targa": "targa", "sgi": "sgi", "psd": "psd",
    "dpx": "dpx", "cineon": "cineon", "ico": "ico",
}  # fmt: skip
# These decode when they are opened (JPEG does where it holds a gain map), so the limit has to be known before.
_DECODED_WHEN_OPENED = frozenset({"gif", "jpeg2000", "jpegxl", "webp", "jpeg"})


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Raises InputError for a picture of more than `max_pixels` pixels, or of none."""
    if width * height > max_pixels:
        raise InputError(
            path, f"{width}x{height} pixels ({_megapixels(width * height)})", f"at most {_megapixels(max_pixels)}"
        )
    if width < 1 or height < 1:
        raise InputError(path, f"{width}x{height} pixels", "at least one pixel")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f} megapixels" if pixels >= 1e7 else f"{pixels / 1e6:.2g} megapixels"


_OTHER_KIND = re.compile(r"not supported|unsupported|not configured|not implemented|^Only ", re.IGNORECASE)


def damaged(path: Path, kind: str, reason: str = "") -> InputError:
    """The error for a file that breaks off or contradicts itself; reason: the decoder's words."""
    # Names of descriptors and headings of the library tell a user nothing.
    if reason.startswith("OpenImageIO could not find"):
        reason = ""
    reason = re.sub(r'\(?"?/dev/fd/\d+"?\)?:?', "", reason.strip().splitlines()[0] if reason.strip() else "")
    reason = " ".join(re.sub(r"^.*\b(?:[Ee]rror|Corrupt[^:]*data)\b[^:]*:\s*", "", reason).split())[:120]
    said = f" ({reason})" if reason else ""
    if _OTHER_KIND.search(reason):
        return InputError(path, f"a {TITLES[kind]} file of a kind that is not read{said}", "a more common kind of it")
    return InputError(path, f"a damaged or truncated {TITLES[kind]} file{said}", "a complete image")


class OpenImage:
    """An open file: `spec` is OpenImageIO's description of the part that is read, `kind` a key of `formats.TITLES`."""

    def __init__(self, path: Path, kind: str, opened: OpenImageIO.ImageInput) -> None:
        self.path, self.kind = path, kind
        self._input, self.part = opened, 0
        self.spec: Any = opened.spec()

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the part, `default` where it has none or one that is no text."""
        try:
            value = self.spec.getattribute(name)
        except UnicodeDecodeError:
            return default
        return default if value is None else value

    def select(self, part: int) -> bool:
        """Goes to another picture, page or part of the file; False where there is none."""
        if self._input.seek_subimage(part, 0):
            self.part, self.spec = part, self._input.spec()
            return True
        self.error()
        self._input.seek_subimage(self.part, 0)
        self.spec = self._input.spec()  # which some readers have spoilt
        return False

    def error(self) -> str:
        """What the library has to say since it was last asked. (An error nobody asks for is printed at the end.)"""
        try:
            return str(self._input.geterror())
        except UnicodeDecodeError:
            return "an error"

    def strips(self, first: int, last: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows, counted from 0, and their samples (rows, W, last - first) as stored, channel `first` up to before `last`.

        Raises InputError where the file breaks off.
        """
        spec = self.spec
        step = max(1, STRIP_BYTES // max(1, spec.width * (last - first) * spec.format.size()))
        if spec.tile_width:
            step = max(1, step // spec.tile_height) * spec.tile_height
        for top in range(0, spec.height, step):
            bottom = min(top + step, spec.height)
            y0, y1 = spec.y + top, spec.y + bottom
            if spec.tile_width:
                window = (spec.x, spec.x + spec.width, y0, y1, spec.z, spec.z + 1)
                samples = self._input.read_tiles(self.part, 0, *window, first, last, str(spec.format))
            else:
                samples = self._input.read_scanlines(self.part, 0, y0, y1, spec.z, first, last, str(spec.format))
            said = self.error()
            if samples is None or _is_damage(said):
                raise damaged(self.path, self.kind, said)
            yield slice(top, bottom), np.asarray(samples).reshape(bottom - top, spec.width, last - first)


def _is_damage(text: str) -> bool:
    """Whether a decoder that gave pixels says that they are wrong; "extraneous bytes" and profile warnings do not."""
    if "Corrupt JPEG data" in text:
        return "extraneous bytes" not in text and "ICC" not in text
    return "Premature end of JPEG" in text or "Inconsistent progression" in text


@contextmanager
def open_image(path: Path, kind: str, max_pixels: int, **options: int) -> Generator[OpenImage]:
    """Opens a file whose first bytes say that it is of this kind. options: of OpenImageIO, with "_" for ":".

    Alpha is stored alpha: nothing is multiplied. Raises InputError for a damaged file, one of another kind, or one whose
    header promises more than `max_pixels` pixels. One thread at a time: limits and the decoders' log are the process's.
    """
    import OpenImageIO as oiio

    config = oiio.ImageSpec()
    for name, value in {"oiio_UnassociatedAlpha": 1, **options}.items():
        config.attribute(name.replace("_", ":"), value)
    with open(path, "rb") as file, captured_native_log():
        # Under a name of another kind (or one that is no UTF-8) the descriptor has no suffix to choose a wrong decoder by.
        name = os.fspath(path)
        if sys.platform != "win32" and not (name.isprintable() and path.suffix.lower()[1:] in _suffixes(FORMATS[kind])):
            name = f"/dev/fd/{file.fileno()}"
        opened = None
        try:
            with _limited(max_pixels if kind in _DECODED_WHEN_OPENED else None):
                opened = oiio.ImageInput.open(name, config)
            if opened is None:
                raise _refusal(path, kind, oiio.geterror(), max_pixels)
            if opened.format_name() != FORMATS[kind]:
                raise damaged(path, kind)
            yield OpenImage(path, kind, opened)
        except UnicodeDecodeError as error:  # names in a damaged header
            raise damaged(path, kind) from error
        finally:
            if opened is not None:
                opened.close()
            with suppress(UnicodeDecodeError):
                oiio.geterror()


@cache
def _suffixes(format: str) -> frozenset[str]:
    """Those by which OpenImageIO chooses this format's decoder."""
    import OpenImageIO as oiio

    entries = (entry.partition(":") for entry in str(oiio.get_string_attribute("extension_list")).split(";"))
    return frozenset(suffix for name, _, suffixes in entries if name == format for suffix in suffixes.split(","))


@contextmanager
def _limited(max_pixels: int | None) -> Iterator[None]:
    import OpenImageIO as oiio

    if max_pixels is None:
        yield
        return
    before = oiio.get_int_attribute("limits:imagesize_MB")
    # Four channels of 16 bits, the most that these formats hold, up to a whole megabyte.
    oiio.attribute("limits:imagesize_MB", max_pixels * 8 // (1 << 20) + 1)
    try:
        yield
    finally:
        oiio.attribute("limits:imagesize_MB", before)


def _refusal(path: Path, kind: str, said: str, max_pixels: int) -> InputError:
    claimed = re.search(r"Image claimed to be (\d+)x(\d+)", said)
    if claimed:
        try:
            check_size(path, int(claimed[1]), int(claimed[2]), max_pixels)
        except InputError as error:
            return error
    return damaged(path, kind, said)
