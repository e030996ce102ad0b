"""Splits a photo into albedo and shading and writes both, as `python -m runtime.decompose` does.

python examples/photo.py examples/room.png -o out
"""

from __future__ import annotations

import argparse
from pathlib import Path

from intrinsic_flow import Decomposer


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="photo -> albedo and shading")
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out"), help="folder (out)")
    parser.add_argument("--format", choices=("png", "png16", "exr", "npy"), help="of the layers (that of the photo)")
    parser.add_argument("--resolution", type=int, default=256, help="short side at which the network runs (256)")
    options = parser.parse_args(arguments)

    with Decomposer.load(resolution=options.resolution) as model:
        result = model.decompose(options.photo)
    for note in result.source.notes:
        print(f"{options.photo}: {note}")
    for path in result.save(options.output, format=options.format, preview=True, overwrite=True).values():
        print(path)


if __name__ == "__main__":
    main()
