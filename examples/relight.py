"""Relights a photo: another colour and strength of light, the surfaces as they are.

python examples/relight.py examples/room.png evening.png --light 1.0 0.6 0.3 --strength 0.8
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from intrinsic_flow import Decomposer
from intrinsic_flow.media.color import luminance
from intrinsic_flow.media.images import write_image


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="photo -> the same photo under another light")
    parser.add_argument("photo", type=Path)
    parser.add_argument("output", type=Path, help="a PNG file")
    parser.add_argument("--light", type=float, nargs=3, default=(1.0, 0.6, 0.3), help="its colour, linear RGB")
    parser.add_argument("--strength", type=float, default=1.0, help="factor on the light's luminance (1)")
    parser.add_argument("--resolution", type=int, default=256, help="short side at which the network runs (256)")
    options = parser.parse_args(arguments)
    light = np.array(options.light, np.float32)
    if light.min() < 0 or light.max() == 0:
        parser.error(f"--light {options.light}, expected three values from 0, one of them larger")

    with Decomposer.load(resolution=options.resolution, shading="gray") as model:
        result = model.decompose(options.photo)
    # Grey shading is the light's strength alone; what colour the old light had is still in the albedo.
    shading = result.shading * (light / luminance(light)) * np.float32(options.strength)
    write_image(options.output, result.albedo * shading, format="png", alpha=result.source.alpha)
    print(options.output)


if __name__ == "__main__":
    main()
