"""Reads every file of a folder in one process, as a crash has to be seen from outside: `python read_all.py FOLDER REPORT`.

Writes to REPORT two lines a file: `> NAME`, then `read`, or `refused` for one true line; anything else is a fault. A file
that takes longer than SECONDS ends the process, with the line of every thread on standard error.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.timing.fresh_process import peak_bytes
from intrinsic_flow.errors import InputError

MAX_PIXELS = 1 << 20
SECONDS = 60
# Address space; what is really used is in the report.
MEMORY = 8 << 30


def picture(path: Path) -> bool:
    from intrinsic_flow.media.images import read_image

    pixels = read_image(path, max_pixels=MAX_PIXELS).pixels
    return pixels.dtype == np.float32 and pixels.shape[2] == 3 and bool(np.isfinite(pixels).all())


def video(path: Path) -> bool:
    from intrinsic_flow.media.video import VideoReader

    with VideoReader(path) as reader:
        # A damaged header may promise a picture of 67 megapixels; one frame of it shows whether reading it is sound.
        large = reader.width * reader.height > MAX_PIXELS
        for frame in reader:
            if not np.isfinite(frame.pixels).all() or frame.pixels.shape != (reader.height, reader.width, 3):
                return False
            if large:
                return True
    return True


def bundle(path: Path) -> bool:
    from intrinsic_flow.decomposition.bundle import MANIFEST, Bundle

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(path.read_bytes())
        try:
            Bundle.load(folder)
        except InputError as error:
            # Sound as a manifest; what it lists is not there.
            if error.found != "no file":
                raise
    return True


def engine(path: Path) -> bool:
    from intrinsic_flow.backends.engine_file import EngineSidecar

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "decoder.plan.json"
        copy.write_bytes(path.read_bytes())
        EngineSidecar.load(copy).target()
    return True


def partial(path: Path) -> bool:
    from intrinsic_flow.cli.partial import load_state

    state = load_state(path, {})
    return state is not None and state.keep <= state.frames


def batch(path: Path) -> bool:
    from intrinsic_flow.cluster.manifest import Manifest
    from intrinsic_flow.cluster.units import Unit

    Manifest.open(path, "s").finished([Unit("/a.png", "image", "/out", "a")])
    return True


def graph(path: Path) -> bool:
    from intrinsic_flow.decomposition.external_data import external_files

    external_files(path)
    return True


#: By the end of the file's name; anything else is a picture.
READERS: dict[str, Callable[[Path], bool]] = {
    ".bundle.json": bundle,
    ".engine.json": engine,
    ".partial.json": partial,
    ".jsonl": batch,
    ".onnx": graph,
    **{suffix: video for suffix in (".mp4", ".mkv", ".mov", ".avi", ".mpg", ".webm", ".ts")},
}


def reader(path: Path) -> Callable[[Path], bool]:
    return next((function for end, function in READERS.items() if path.name.endswith(end)), picture)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # Not to stdout: OpenJPH prints its warnings there.
    report = open(sys.argv[2], "w", encoding="utf-8")  # noqa: SIM115
    for path in sorted(Path(sys.argv[1]).iterdir()):
        print(">", path.name, file=report, flush=True)
        begun = time.process_time()
        faulthandler.dump_traceback_later(SECONDS * 10, exit=True)
        try:
            result = "read" if reader(path)(path) else "FAULT content"
        except InputError as error:
            result = "refused" if "\n" not in str(error) and ", expected " in str(error) else "FAULT message"
        except BaseException as error:
            result = f"FAULT {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        print(f"{result} {time.process_time() - begun:.2f}", file=report, flush=True)
    faulthandler.cancel_dump_traceback_later()
    print("peak", peak_bytes() >> 20, file=report, flush=True)


if __name__ == "__main__":
    main()
