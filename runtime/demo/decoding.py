"""Strangers' files are decoded in a process of their own, with a limit on its memory and on its time.

Decoders of pictures and video are native code; a file that crashes one, fills the memory or never ends takes that process
along, not the server. What comes back are JSON lines, bare samples and, where there is sound, finished videos: nothing that
the server would execute or decode.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import temporary_name
from intrinsic_flow.media.audio_copy import add_sound
from intrinsic_flow.media.frames import Frame, ReadOnce
from intrinsic_flow.media.images import ColorSpace, Image, read_image
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_facts import Facts

SECONDS = 60.0
# Libraries and their threads' stacks; most of it is address space that nobody touches.
BASE_BYTES = 2 << 30
# Samples as they come, as floats, oriented and converted.
BYTES_PER_PIXEL = 80
MAX_LINE = 1_000_000
_CHILD = "from intrinsic_flow.demo.decoding import serve; serve()"


def read_image_apart(path: Path, colorspace: ColorSpace = "auto", *, max_pixels: int, seconds: float = SECONDS) -> Image:
    """As `images.read_image`, in another process. Raises InputError also where the decoder fails, MemoryError."""
    request = {"kind": "image", "path": str(path), "colorspace": colorspace, "max_pixels": max_pixels}
    with _Child(path, request, max_pixels, seconds) as child:
        header = child.header()
        pixels = child.array((*header["size"], 3), max_pixels)
        alpha = child.array(tuple(header["size"]), max_pixels) if header["alpha"] else None
        return Image(pixels, alpha, header["bit_depth"], tuple(header["notes"]))


class VideoReaderApart(ReadOnce):
    """As `video.VideoReader`, in another process; a `VideoSource` without sound: see `add_sound_apart`.
    seconds: for the first frame, and for every further one. Raises as `VideoReader` does."""

    def __init__(self, path: Path, colorspace: ColorSpace = "auto", *, max_pixels: int, seconds: float = SECONDS) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._child = _Child(path, {"kind": "video", "path": str(path), "colorspace": colorspace}, max_pixels, seconds)
        try:
            header = self._child.header()
        except BaseException:
            self._child.close()
            raise
        self.width, self.height, self.bit_depth = header["width"], header["height"], header["bit_depth"]
        self.time_base, self.sample_aspect_ratio = Fraction(*header["time_base"]), Fraction(*header["aspect"])
        self.average_rate = _fraction(header["rate"])
        self.frames: int | None = header["frames"]
        self.audio_streams = 0
        # What the browser gets is plain: no alpha, no timecode, no HDR.
        self.facts = Facts()
        #: Whether the file has sound.
        self.sound = header["audio_streams"] > 0
        self._left_out = ("alpha is left out",) if header["alpha"] else ()
        self._notes = tuple(header["notes"])

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes + self._left_out

    def frames_before(self, start: float) -> int:
        """See `VideoSource`; 0, since it is read from the first frame."""
        return 0

    def read(self, start: float = 0, end: float | None = None, skip: int = 0) -> Generator[Frame, None, None]:
        """See `VideoSource`; from the first frame to the last only."""
        if start or end is not None or skip:
            raise ValueError("a video that is decoded apart is read from its first frame to its last")
        self._child.tell("go")
        while True:
            header = self._child.header()
            if header.get("end"):
                self._notes = tuple(header["notes"])
                return
            pixels = self._child.array((self.height, self.width, 3), self._max_pixels)
            index = header["index"]
            yield Frame(pixels, Fraction(*header["pts"]), index, _fraction(header["duration"]), index)

    def close(self) -> None:
        """Ends the process."""
        self._child.close()


def add_sound_apart(source: Path, videos: Sequence[Path], *, seconds: float = SECONDS) -> tuple[str, ...]:
    """Gives finished videos the sound of a stranger's file, passed through in another process; notes. Raises InputError
    where that fails and leaves all of them as they are, OSError."""
    written = [temporary_name(video) for video in videos]
    files = [(str(video), str(target)) for video, target in zip(videos, written, strict=True)]
    try:
        with _Child(source, {"kind": "sound", "path": str(source), "files": files}, 0, seconds) as child:
            notes = tuple(child.header()["notes"])
        for target, video in zip(written, videos, strict=True):
            os.replace(target, video)
        return notes
    finally:
        for target in written:
            target.unlink(missing_ok=True)


class _Child:
    """The process, its answers read with a limit on the time of each."""

    def __init__(self, path: Path, request: dict[str, Any], max_pixels: int, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        memory = BASE_BYTES + BYTES_PER_PIXEL * max_pixels
        # The tree that runs here, also where it is not installed; and one thread a library, each of which reserves memory.
        places = os.pathsep.join(os.path.abspath(place) for place in sys.path)
        environment = {**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._late = False
        self.tell({**request, "memory": memory, "seconds": seconds})

    def tell(self, message: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # told by the answer that does not come
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def header(self) -> dict[str, Any]:
        """The next line. Raises InputError and MemoryError, those of the process and those of its end."""
        with self._limited() as pipe:
            line = pipe.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise self._failed()
        answer = json.loads(line)
        if "found" in answer:
            raise InputError(self._path, answer["found"], answer["expected"])
        return answer

    def array(self, shape: tuple[int, ...], max_pixels: int) -> np.ndarray:
        """The float32 samples that follow."""
        height, width, *_ = shape
        if not (0 < height * width <= max_pixels):
            raise InputError(self._path, f"{width}x{height} pixels", f"at most {max_pixels} pixels")
        values = np.empty(shape, np.float32)
        view, done = memoryview(values.data).cast("B"), 0
        with self._limited() as pipe:
            while done < len(view):
                count = pipe.readinto(view[done:])  # type: ignore[attr-defined]
                if not count:
                    raise self._failed()
                done += count
        return values

    @contextmanager
    def _limited(self) -> Iterator[IO[bytes]]:
        assert self._process.stdout is not None
        timer = threading.Timer(self._seconds, self._stop)
        timer.daemon = True
        timer.start()
        try:
            yield self._process.stdout
        finally:
            timer.cancel()

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def _failed(self) -> InputError:
        self._process.kill()
        code = self._process.wait()
        reason = f"does not finish within {self._seconds:g} s" if self._late else f"fails (exit code {code})"
        return InputError(self._path, f"a file on which the decoder {reason}", "a picture or video that is not damaged")

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


def serve() -> None:
    """What the process runs: one request on standard input, its answer on standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    # Libraries print where they like.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    request = json.loads(sys.stdin.buffer.readline())
    _limit(request["memory"], request["seconds"])
    answer = {"image": _image, "video": _video, "sound": _sound}[request["kind"]]

    def tell(header: dict[str, Any], *arrays: np.ndarray | None) -> None:
        answers.write(json.dumps(header).encode() + b"\n")
        for values in arrays:
            if values is not None:
                answers.write(memoryview(np.ascontiguousarray(values, np.float32).data).cast("B"))
        answers.flush()

    try:
        answer(request, tell)
    except InputError as error:
        tell({"found": error.found, "expected": error.expected})
    except MemoryError:
        tell({"found": "more than the memory that decoding may take", "expected": "a smaller file"})


def _image(request: dict[str, Any], tell: Callable[..., None]) -> None:
    image = read_image(request["path"], request["colorspace"], max_pixels=request["max_pixels"])
    header = {"size": image.pixels.shape[:2], "bit_depth": image.bit_depth, "notes": image.notes}
    tell({**header, "alpha": image.alpha is not None}, image.pixels, image.alpha)


def _video(request: dict[str, Any], tell: Callable[..., None]) -> None:
    with VideoReader(request["path"], request["colorspace"]) as reader:
        names = ("width", "height", "bit_depth", "frames", "audio_streams", "notes")
        tell(
            {
                **{name: getattr(reader, name) for name in names},
                "time_base": _pair(reader.time_base),
                "aspect": _pair(reader.sample_aspect_ratio),
                "rate": _pair(reader.average_rate),
                "alpha": reader.facts.alpha,
            }
        )
        sys.stdin.buffer.readline()
        for frame in reader.read():
            tell({"index": frame.index, "pts": _pair(frame.pts), "duration": _pair(frame.duration)}, frame.pixels)
        tell({"end": True, "notes": reader.notes})


def _sound(request: dict[str, Any], tell: Callable[..., None]) -> None:
    notes: list[str] = []
    for video, target in request["files"]:
        try:
            notes += add_sound(Path(video), Path(request["path"]), Path(target))
        except av.error.FFmpegError as error:
            raise InputError(request["path"], f"sound that cannot be copied ({error.strerror})", "other sound") from error
    tell({"notes": list(dict.fromkeys(notes))})


def _pair(value: Fraction | None) -> tuple[int, int] | None:
    return None if value is None else (value.numerator, value.denominator)


def _fraction(pair: list[int] | None) -> Fraction | None:
    return None if pair is None else Fraction(*pair)


def _limit(memory: int, seconds: float) -> None:
    """Memory and processor time of this process, and no core file; where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    # A video is decoded as it is asked for, so that its processor time is all frames'; the server's clock limits each.
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, math.ceil(seconds) * 60)):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
