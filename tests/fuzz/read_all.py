"""Reads every file of a folder in one process, as a crash has to be seen from outside: `python read_all.py FOLDER REPORT`.

Writes to REPORT two lines a file: `> NAME`, then `read`, or `refused` for one true line; anything else is a fault.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from intrinsic_flow.benchmarks.timing.fresh_process import peak_bytes
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import read_image

MAX_PIXELS = 1 << 20


def main() -> None:
    # Not to stdout: OpenJPH prints its warnings there.
    report = open(sys.argv[2], "w", encoding="utf-8")  # noqa: SIM115
    for path in sorted(Path(sys.argv[1]).iterdir()):
        print(">", path.name, file=report, flush=True)
        begun = time.perf_counter()
        try:
            image = read_image(path, max_pixels=MAX_PIXELS)
            whole = image.pixels.dtype == np.float32 and image.pixels.shape[2] == 3 and np.isfinite(image.pixels).all()
            result = "read" if whole else "FAULT pixels"
        except InputError as error:
            result = "refused" if "\n" not in str(error) and ", expected " in str(error) else "FAULT message"
        except BaseException as error:
            result = f"FAULT {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        print(f"{result} {time.perf_counter() - begun:.2f}", file=report, flush=True)
    print("peak", peak_bytes() >> 20, file=report, flush=True)


if __name__ == "__main__":
    main()
