"""LPIPS (Zhang et al., CVPR 2018) through the `lpips` package, where it and its weights are on this machine.

Nothing is downloaded here: the AlexNet trunk has to lie in torch's cache. `python -c "import lpips;
lpips.LPIPS(net='alex')"` puts it there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from intrinsic_flow.errors import MissingExtraError
from intrinsic_flow.media.color import linear_to_srgb

TRUNK = "alexnet-owt-7be5be79.pth"


class LpipsUnavailable(Exception):
    """LPIPS cannot be computed on this machine; the message is one line and says what to do."""


def lpips_distance(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Distance of two (H, W, 3) layers in linear light, clipped to [0, 1] and sRGB-encoded; 0 is equal.

    Raises LpipsUnavailable.
    """
    return _network()(*(linear_to_srgb(np.clip(layer, 0, 1)) * 2 - 1 for layer in (prediction, truth)))


def why_unavailable() -> str | None:
    """One line on what is missing for LPIPS; None where it can be computed."""
    try:
        _network()
    except LpipsUnavailable as error:
        return str(error)
    return None


@lru_cache(maxsize=1)
def _network() -> Callable[[np.ndarray, np.ndarray], float]:
    for package in ("torch", "lpips"):
        if find_spec(package) is None:
            raise LpipsUnavailable(f"no LPIPS: {MissingExtraError(package, 'lpips')}")
    import torch

    # Looked for before lpips is imported: its constructor would fetch the file without asking.
    trunk = Path(torch.hub.get_dir()) / "checkpoints" / TRUNK
    if not trunk.is_file():
        fetch = "python -c \"import lpips; lpips.LPIPS(net='alex')\""
        raise LpipsUnavailable(f"no LPIPS: {trunk} is not there ({fetch} downloads it)")
    try:
        import lpips
    except (ImportError, RuntimeError) as error:  # a torchvision that was built for another torch
        raise LpipsUnavailable(f"no LPIPS: it does not load ({str(error).splitlines()[0]})") from None
    with warnings.catch_warnings():
        # lpips 0.1.4 asks torchvision for its weights in the way of torchvision 0.12.
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", verbose=False).eval()

    def distance(first: np.ndarray, second: np.ndarray) -> float:
        pair = [torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)) for x in (first, second)]
        with torch.inference_mode():
            return float(network(*pair))

    return distance
