"""Cameras: a webcam by its index or an RTSP address, with a latest-frame policy.

A camera does not wait. Frames that come while the network is busy are dropped, so that what is shown is never older than
one frame's work, however slow the machine.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import srgb_to_linear
from intrinsic_flow.media.frames import Frame, ReadOnce
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_facts import Facts

_CAMERA = re.compile(r"camera:(\d+)")
_ADDRESS = re.compile(r"rtsps?://.+")
TIMEOUT_SECONDS = 10.0
_TIME_BASE = Fraction(1, 90000)


def is_live(text: str) -> bool:
    """Whether an input is a camera: `camera:0`, `rtsp://host/path`."""
    return bool(_CAMERA.fullmatch(text) or _ADDRESS.fullmatch(text))


def live_name(text: str) -> str:
    """What outputs of a camera are called: `camera0`, or the host."""
    camera = _CAMERA.fullmatch(text)
    return (
        f"camera{camera[1]}" if camera else re.sub(r"[^\w.-]+", "_", text.split("://", 1)[1].split("@")[-1].split("/")[0])
    )


def open_live(text: str, colorspace: Literal["auto", "srgb", "linear"] = "auto") -> LiveReader:
    """Opens a camera. Raises InputError where there is none."""
    camera = _CAMERA.fullmatch(text)
    return LiveReader(_Webcam(int(camera[1])) if camera else _open_address(text, colorspace))


class _Source(Protocol):
    path: Path
    width: int
    height: int
    bit_depth: int
    average_rate: Fraction | None
    sample_aspect_ratio: Fraction
    notes: tuple[str, ...]

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


class LiveReader(ReadOnce):
    """A `intrinsic_flow.media.video.VideoSource` that gives the newest frame of another source, and drops those before it.

    Frame times are those of arrival, from the first frame on, so that what is recorded plays at the speed at which it
    happened. `dropped` counts. Audio is not recorded.
    """

    def __init__(self, source: _Source) -> None:
        self.path = source.path
        self.width, self.height, self.bit_depth = source.width, source.height, source.bit_depth
        self.time_base = _TIME_BASE
        self.average_rate: Fraction | None = source.average_rate
        self.sample_aspect_ratio = source.sample_aspect_ratio
        self.audio_streams = 0
        self.facts = Facts()
        self.frames: int | None = None
        self.dropped = 0
        self._source = source
        self._changed = threading.Condition()
        self._newest: tuple[Frame, float] | None = None
        self._ended = False
        self._error: BaseException | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        dropped = (f"{self.dropped} frames dropped to keep up",) if self.dropped else ()
        return (*self._source.notes, *dropped)

    def close(self) -> None:
        """Ends the camera's thread and closes it."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if (thread := getattr(self, "_thread", None)) is not None:
            thread.join(TIMEOUT_SECONDS)
        self._source.close()

    def frames_before(self, start: float) -> int:
        """0: a camera shows nothing twice."""
        return 0

    def read(self, start: float = 0, end: float | None = None, skip: int = 0) -> Generator[Frame, None, None]:
        """The newest frame each time one is asked for, from `start` to `end` seconds after the first came."""
        self._thread = threading.Thread(target=self._watch, name="camera", daemon=True)
        self._thread.start()
        begun: float | None = None
        index = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._ended)
                if self._newest is None:
                    if self._error is not None:
                        raise self._error
                    return
                (frame, arrived), self._newest = self._newest, None
            begun = arrived if begun is None else begun
            seconds = arrived - begun
            if end is not None and seconds >= end:
                return
            if seconds >= start:
                if index >= skip:
                    yield Frame(frame.pixels, round(seconds / _TIME_BASE) * _TIME_BASE, index, None, index)
                index += 1

    def _watch(self) -> None:
        try:
            for frame in self._source:
                with self._changed:
                    if self._ended:
                        return
                    self.dropped += self._newest is not None
                    self._newest = frame, time.monotonic()
                    self._changed.notify_all()
        except BaseException as error:  # handed to the reader
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _open_address(address: str, colorspace: Literal["auto", "srgb", "linear"]) -> VideoReader:
    import av

    options = {"rtsp_transport": "tcp", "fflags": "nobuffer"}
    try:
        container = av.open(address, options=options, timeout=(TIMEOUT_SECONDS, TIMEOUT_SECONDS))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(address, f"no answer ({error.strerror or error})", "a camera that serves RTSP") from error
    return VideoReader(container, colorspace, name=address)


class _Webcam:
    """A camera of this machine through OpenCV: 8-bit sRGB."""

    def __init__(self, index: int) -> None:
        import cv2

        self.path = Path(f"camera:{index}")
        self.notes: tuple[str, ...] = ()
        # Of a camera that is not there OpenCV prints warnings, beside the one line below.
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._capture = cv2.VideoCapture(index)
            self._first = self._next()
        finally:
            cv2.utils.logging.setLogLevel(level)
        if self._first is None:
            self._capture.release()
            raise InputError(self.path, "no camera that gives pictures", "the index of a camera, as in camera:0")
        self.height, self.width = self._first.shape[:2]
        self.bit_depth = 8
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._rate = Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else Fraction(30)
        self.average_rate: Fraction | None = self._rate
        self.sample_aspect_ratio = Fraction(1)

    def _next(self) -> Any:
        found, picture = self._capture.read() if self._capture.isOpened() else (False, None)
        return picture if found else None

    def __iter__(self) -> Iterator[Frame]:
        import numpy as np

        table = srgb_to_linear(np.arange(256, dtype=np.float32) / 255)
        picture, index = self._first, 0
        while picture is not None:
            yield Frame(table[picture[..., ::-1]], index / self._rate, index)
            picture, index = self._next(), index + 1

    def close(self) -> None:
        self._capture.release()
