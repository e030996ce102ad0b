"""Runs `decompose` again and again while something goes wrong: `python trials.py KIND COUNT BUNDLE FOLDER`.

KIND: kill (SIGKILL at a random moment), step (SIGKILL before one of Python's steps in the output folder, and of the next
run before one of its first), disk (a file grows beyond a random size), vanish (the output folder is removed meanwhile).
Prints a JSON list with, of each trial, the exit code, what standard error held, and what was found afterwards. Every trial
is a fork of this process, which has loaded the libraries but started no thread.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from intrinsic_flow import decompose


def write_inputs(folder: Path) -> None:
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(3)
    small = rng.uniform(40, 250, (6, 8, 3)).astype(np.float32)
    pixels = cv2.resize(small, (96, 72), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / "photo.png"), pixels)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for index in range(8):
            frame = np.roll(pixels, index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def run(arguments: list[str], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """Forks; returns the child's process id. before: run in the child first."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        before()
        code = decompose.main(arguments)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(folder: Path) -> dict[str, str]:
    """Of every file that a user sees what it shows: a video's frames, since an encoder of several threads promises no
    equal bytes, else its bytes."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        digest = hashlib.sha256()
        if path.suffix == ".mp4":
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    digest.update(frame.to_ndarray().tobytes())
        elif path.is_file():
            digest.update(path.read_bytes())
        found[path.name] = digest.hexdigest()
    return found


#: Python's audit events of steps that change a folder or its files, os.replace being a rename.
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def at_steps(out: Path, act: Callable[[int], object]) -> Callable[[], None]:
    """Makes a process call `act` with the number of each step in the folder before it takes it."""

    def before() -> None:
        numbers = itertools.count()

        def look(event: str, arguments: tuple[object, ...]) -> None:
            if event in STEPS and str(arguments[0]).startswith(str(out)):
                act(next(numbers))

        sys.addaudithook(look)

    return before


def die_at(step: int) -> Callable[[int], object]:
    return lambda number: number == step and os.kill(os.getpid(), signal.SIGKILL)


def limit_files(size: int) -> Callable[[], None]:
    def before() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return before


def main() -> None:
    kind, count, bundle, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    chance = random.Random(19)
    inputs, log = folder / "in", folder / "log"
    write_inputs(inputs)

    def arguments(out: Path) -> list[str]:
        names = [str(inputs / "photo.png"), str(inputs / "clip.mp4")]
        return [*names, "-o", str(out), "--bundle", bundle, "--backend", "cpu", "--threads", "1", "--resolution", "64"]

    whole, taken = folder / "whole" / "out", mmap.mmap(-1, 4)
    for _ in range(2):  # the first one is slower
        shutil.rmtree(whole, ignore_errors=True)
        begun = time.monotonic()
        count_steps = at_steps(whole, lambda number: taken.__setitem__(slice(0, 4), (number + 1).to_bytes(4)))
        assert wait(run(arguments(whole), log, count_steps)) == 0, log.read_text()
        seconds = time.monotonic() - begun
    expected, steps = contents(whole), int.from_bytes(taken[:4])
    results = []
    for trial in range(count):
        out = folder / str(trial) / "out"
        before: Callable[[], None] = lambda: None  # noqa: E731
        if kind == "step":
            before = at_steps(out, die_at(trial * steps // count))
        elif kind == "disk":
            before = limit_files(int(chance.uniform(0, 40_000)))
        child = run(arguments(out), log, before)
        if kind in ("kill", "vanish"):
            time.sleep(chance.uniform(0, seconds))
            if kind == "kill":
                os.kill(child, signal.SIGKILL)
            else:
                shutil.rmtree(out, ignore_errors=True)
        code, told = wait(child), log.read_text()
        seen = contents(out)
        wrong = [name for name, digest in seen.items() if not name.startswith(".") and expected.get(name) != digest]
        if kind == "step":
            wait(run(arguments(out), log, at_steps(out, die_at(trial % 6))))
        again = wait(run(arguments(out), log))
        found = contents(out)
        results.append(
            {
                "code": code,
                "traceback": "Traceback" in told,
                "told": told[-300:],
                "wrong at once": wrong,
                "again": again,
                "again told": log.read_text()[-300:],
                "different": sorted(dict(expected.items() ^ found.items())),
            }
        )
        shutil.rmtree(out.parent, ignore_errors=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
