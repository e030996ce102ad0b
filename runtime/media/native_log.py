"""What image decoders print by themselves, kept away from the user's terminal: libpng and OpenEXR's core report damage to
the process's stderr, beside the error that OpenImageIO returns."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

# The first words of the messages of libpng, libjpeg (its JWRN_ and JERR_ tables), OpenEXR and libtiff.
_CODEC_LINE = re.compile(
    r"libpng |Corrupt JPEG|Premature end of|Invalid |Inconsistent |Unknown Adobe|Unsupported |Warning: "
    r"|Application transferred|Bogus |Improper call|.*\(?EXR_ERR_|TIFF"
)
_lock = threading.RLock()


@contextlib.contextmanager
def captured_native_log() -> Iterator[None]:
    """Diverts file descriptor 2 while a decoder runs; one thread at a time.

    It belongs to the whole process: a line that another thread prints meanwhile is told apart by its text and printed
    afterwards.
    """
    with _lock:
        try:
            saved = os.dup(2)
        except OSError:  # a process without stderr: nothing can be printed there
            yield
            return
        sink = _sink()
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.lseek(sink, 0, os.SEEK_SET)
            with open(sink, "rb") as file:
                lines = file.read().decode("utf-8", "replace").splitlines()
            others = [line for line in lines if line and not _CODEC_LINE.match(line)]
            if others and sys.stderr is not None:
                sys.stderr.write("\n".join(others) + "\n")


def _sink() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("log")
    with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
    # No folder for temporary files can be written: what is printed meanwhile is lost.
    return os.open(os.devnull, os.O_RDWR)
