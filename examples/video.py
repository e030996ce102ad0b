"""Decomposes a video, albedo held steady along the motion, and writes image, albedo and shading side by side.

python examples/video.py clip.mp4 split.mp4
"""

from __future__ import annotations

import argparse
from itertools import tee
from pathlib import Path

import numpy as np

from intrinsic_flow import Decomposer
from intrinsic_flow.decomposition.product import integer_scale
from intrinsic_flow.media.video import VideoReader
from intrinsic_flow.media.video_writer import VideoWriter


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="video -> video of image, albedo and shading side by side")
    parser.add_argument("video", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--resolution", type=int, default=256, help="short side at which the network runs (256)")
    options = parser.parse_args(arguments)

    with (
        Decomposer.load(resolution=options.resolution) as model,
        VideoReader(options.video) as video,
        VideoWriter(options.output, video, 3 * video.width, video.height) as writer,
    ):
        frames, again = tee(video)
        scale = None
        for frame, result in zip(frames, model.stream(frame.pixels for frame in again)):
            if scale is None:  # one white point for the clip: one for each frame would flicker
                scale = max(1.0, 1.25 * integer_scale(result.albedo, result.shading))
            row = np.concatenate([frame.pixels, result.albedo, result.shading / np.float32(scale)], axis=1)
            writer.write(row, frame.pts, frame.duration)
    print(options.output)


if __name__ == "__main__":
    main()
