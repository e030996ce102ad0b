"""Shows what more Euler steps of the flow change: albedo after each number of steps, in a row, and time and difference.

python examples/compare_steps.py examples/room.png steps.png --steps 1 2 4 8
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from intrinsic_flow import Decomposer
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.media.images import write_image


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="photo -> albedo after 1, 2, 4, ... steps")
    parser.add_argument("photo", type=Path)
    parser.add_argument("output", type=Path, help="a PNG file, the albedos in a row")
    parser.add_argument("--steps", type=int, nargs="+", default=(1, 2, 4, 8), help="(1 2 4 8)")
    parser.add_argument("--resolution", type=int, default=256, help="short side at which the network runs (256)")
    options = parser.parse_args(arguments)

    bundle = Bundle.load()
    albedos = []
    for steps in options.steps:
        with Decomposer.load(bundle, steps=steps, resolution=options.resolution) as model:
            model.decompose(options.photo)  # loads the networks
            start = time.perf_counter()
            albedos.append(model.decompose(options.photo).albedo)
            seconds = time.perf_counter() - start
        change = "" if len(albedos) == 1 else f", {np.abs(albedos[-1] - albedos[-2]).mean():.4f} from the one before"
        print(f"{steps} steps: {seconds * 1e3:.0f} ms{change}")
    write_image(options.output, np.concatenate(albedos, axis=1), format="png")


if __name__ == "__main__":
    main()
