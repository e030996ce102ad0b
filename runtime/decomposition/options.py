"""How a model is run: what `Decomposer.load` and the commands take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from intrinsic_flow.decomposition.product import ShadingKind

DEFAULT_RESOLUTION = 256

Mode = Literal["flow", "vae"]


@dataclass(frozen=True)
class ModelOptions:
    """The options of a loaded model.

    backend:    one of `intrinsic_flow.backends.BACKENDS`; "auto" takes the fastest that this machine has.
    steps:      Euler steps of the flow.
    seed:       of the start noise: where in the bundle's tile it begins (`intrinsic_flow.decomposition.noise`).
    resolution: short side, in pixels, at which the network runs; smaller images are not enlarged.
    shading:    "rgb", or "gray" for one value per pixel (the light's colour then stays in the albedo).
    mode:       "flow", or "vae": the image goes through the autoencoder as if it were an albedo, and a decoder that
                sees the image sees it: what the autoencoder alone carries.
    threads:    CPU threads of the backend; None for all physical cores.
    precision:  "fp32", or "reduced" for the backend's faster arithmetic; None for reduced where there is such.
    engines:    folder of TensorRT engine files; None for those in the bundle.
    device:     CUDA's number of the GPU.
    Raises ValueError for a value out of range.
    """

    backend: str = "auto"
    steps: int = 2
    seed: int = 0
    resolution: int = DEFAULT_RESOLUTION
    shading: ShadingKind = "rgb"
    mode: Mode = "flow"
    threads: int | None = None
    precision: Literal["fp32", "reduced"] | None = None
    engines: str | os.PathLike[str] | None = None
    device: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("seed", 0), ("resolution", 32)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)}, expected {f'at least {least}' if least else '0 or more'}")
        for name, choices in (("shading", ("rgb", "gray")), ("mode", ("flow", "vae"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}, expected {' or '.join(choices)}")
