"""What video readers give: frames, and the interface of whatever they come from."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.plate import Plate, Window
from intrinsic_flow.media.video_facts import Facts


@dataclass(frozen=True)
class Frame:
    """One frame: `pixels` (H, W, 3) float32 RGB, linear light, Rec.709 primaries, as it is seen (rotation
    applied), negative in OpenEXR alone; `pts` its time in seconds from the file's clock, exact; `index` from 0,
    negative before what is wanted; `duration` in seconds where known; `number` in its sequence of image files, else the
    index; `plate` of an OpenEXR file, and of a video of other primaries where that is wanted; its data window may be a
    part of the `window` that all frames share.
    """

    pixels: np.ndarray
    pts: Fraction
    index: int
    duration: Fraction | None = None
    number: int | None = None
    #: (H, W) float32 in [0, 1], None where opaque; `pixels` are not multiplied by it.
    alpha: np.ndarray | None = None
    plate: Plate | None = None
    window: Window | None = None


def no_frame(path: Path, found: str, start: float, end: float | None, unit: str = "") -> InputError:
    """The error where a range holds no frame of a source. found: what frames it has. start: -inf for its beginning."""
    since = "" if start == -math.inf else f" from {start:g}{unit}"
    until = "" if end is None else f" to {end:g}{unit}"
    return InputError(path, found, f"a frame{since}{until}")


class VideoSource(Protocol):
    """What frames come from: a video file, a sequence of images, a camera. A context manager, iterated once."""

    path: Path
    width: int
    height: int
    bit_depth: int
    time_base: Fraction
    average_rate: Fraction | None
    sample_aspect_ratio: Fraction
    audio_streams: int
    facts: Facts
    #: How many frames will come, where known, perhaps not exactly.
    frames: int | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how it was read; complete after the last frame."""
        ...

    def read(self, start: float = 0, end: float | None = None, skip: int = 0) -> Generator[Frame, None, None]:
        """The frames from `start` to before `end`, without the first `skip`; `index` counts from 0 before these. A negative
        `skip` is how many frames before `start` come first, as far as there are any. Raises InputError where no frame lies
        between them (a camera does not)."""
        ...

    def frames_before(self, start: float) -> int:
        """How many frames the source has before `start`: the number of the first frame that `read` gives from there. 0 for
        a source that cannot be read twice."""
        ...

    def close(self) -> None: ...


class ReadOnce:
    """What makes a `VideoSource` close with its `with` block and iterate from the first frame to the last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self: VideoSource, *exc: object) -> None:
        self.close()

    def __iter__(self: VideoSource) -> Iterator[Frame]:
        return self.read()
