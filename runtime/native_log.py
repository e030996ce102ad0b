"""What the image codecs print by themselves, caught so that it can be judged instead of shown.

libjpeg and libpng report damage in no other way: they print a line to the process's stderr and hand out a
partly grey picture. OpenEXR's C library does the same, its Python binding prints to `sys.stdout`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

import cv2

# The first words of the messages of libpng, libjpeg (its JWRN_ and JERR_ tables), OpenEXR and libtiff.
_CODEC_LINE = re.compile(
    r"libpng |Corrupt JPEG|Premature end of|Invalid |Inconsistent |Unknown Adobe|Unsupported |Warning: "
    r"|Application transferred|Bogus |Improper call|.*\(EXR_ERR_|TIFF"
)
_lock = threading.Lock()


class NativeLog:
    """The lines that the codecs printed; complete once the `with` block of `captured_native_log` is over."""

    def __init__(self) -> None:
        self.lines: tuple[str, ...] = ()


@contextlib.contextmanager
def captured_native_log() -> Iterator[NativeLog]:
    """Diverts file descriptor 2 and `sys.stdout` while a codec runs; one thread at a time.

    Both belong to the whole process: a line that another thread prints meanwhile is told apart by its text
    and printed afterwards.
    """
    log = NativeLog()
    with _lock, contextlib.ExitStack() as stack:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        stack.callback(cv2.utils.logging.setLogLevel, level)
        printed = io.StringIO()
        sink = stack.enter_context(tempfile.TemporaryFile())
        try:
            saved: int | None = os.dup(2)
        except OSError:
            saved = None  # a process without stderr: nothing can be printed there
        try:
            if saved is not None:
                os.dup2(sink.fileno(), 2)
            with contextlib.redirect_stdout(printed):
                yield log
        finally:
            if saved is not None:
                os.dup2(saved, 2)
                os.close(saved)
            sink.seek(0)
            on_stderr = sink.read().decode("utf-8", "replace").splitlines()
            on_stdout = printed.getvalue().splitlines()
            log.lines = tuple(line for line in on_stderr + on_stdout if _CODEC_LINE.match(line))
            for stream, lines in ((sys.stderr, on_stderr), (sys.stdout, on_stdout)):
                others = [line for line in lines if line and not _CODEC_LINE.match(line)]
                if others and stream is not None:
                    stream.write("\n".join(others) + "\n")
