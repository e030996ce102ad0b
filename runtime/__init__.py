"""The lean runtime: a photo or a video in, albedo and shading out, without PyTorch.

    from intrinsic_flow import Decomposer

    with Decomposer.load() as model:
        result = model.decompose(image)      # (H, W, 3) float32 linear, or uint8 sRGB

Importing this package imports nothing heavy: each backend, codec and file format is imported where it is used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if __name__ == "runtime":  # `python -m runtime.NAME` in a checkout: one package, not two
    import intrinsic_flow

    sys.modules["runtime"] = intrinsic_flow

_called = sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] if "-m" in sys.orig_argv else []
if _called and _called[0].startswith(("runtime.", "train.", "export.", "benchmarks.")):
    # `python -m NAME` in a checkout: before the libraries that take seconds to load.
    from intrinsic_flow.output.interrupt import quiet_start

    quiet_start()

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
