"""The lean runtime: a photo or a video in, albedo and shading out, without PyTorch.

    from intrinsic_flow import Decomposer

    with Decomposer.load() as model:
        result = model.decompose(image)      # (H, W, 3) float32 linear, or uint8 sRGB

Importing this package imports nothing heavy: each engine, codec and file format is imported where it is used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if __name__ == "runtime":  # `python -m runtime.NAME` in a checkout: one package, not two
    import intrinsic_flow

    sys.modules["runtime"] = intrinsic_flow

if TYPE_CHECKING:
    from intrinsic_flow.decomposition.decomposer import Decomposer, Decomposition

__all__ = ["Decomposer", "Decomposition"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from intrinsic_flow.decomposition import decomposer

        return getattr(decomposer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
