"""Which number format training computes in: FP32, or bfloat16 under autocast. `auto` measures both on a CPU.

A CPU with AMX trains several times faster in bfloat16. One with AVX-512 and bfloat16 instructions is slower in it (12.4
against 16.7 images/s), one without any bfloat16 instructions thirty times slower. So nothing is read from CPU flags.
"""

from __future__ import annotations

import logging
import time

import torch

from intrinsic_flow.train.networks.config import NetworkConfig
from intrinsic_flow.train.networks.model import ConditionedVelocity, IntrinsicFlow, latent_shape

log = logging.getLogger(__name__)
PRECISIONS = ("auto", "fp32", "bf16")
# A trial: the side of its image, and seconds after which no further pair of passes starts.
_SIDE, _SECONDS = 64, 1.0
# A first pass slower by this factor needs no second: that format is emulated.
_HOPELESS = 5.0


def choose_precision(network: NetworkConfig, device: torch.device) -> str:
    """`bf16` or `fp32`: on CUDA by what the GPU supports, on a CPU what a forward and backward pass is faster in.

    The trial leaves the global random state as it was, so that it changes nothing in a run but its precision.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    seconds = trial(network)
    chosen = min(seconds, key=lambda precision: seconds[precision])
    times = ", ".join(f"{precision} {1000 * value:.0f} ms" for precision, value in seconds.items())
    log.info("precision %s: an image of %dx%d, forward and backward, takes %s", chosen, _SIDE, _SIDE, times)
    return chosen


def trial(network: NetworkConfig) -> dict[str, float]:
    """Shortest seconds of a forward and backward pass of encoder and UNet on the CPU, by precision.

    The precisions take turns, so that other work on the machine slows both.
    """
    best: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]):
        model = ConditionedVelocity(IntrinsicFlow(network))
        image, z = torch.rand(1, 3, _SIDE, _SIDE), torch.rand(latent_shape(1, _SIDE, _SIDE))

    def seconds(precision: str) -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(image, z, torch.zeros(1)).float().square().mean()
        loss.backward()
        return time.perf_counter() - began

    # The first passes allocate and choose kernels.
    first = {precision: seconds(precision) for precision in ("fp32", "bf16")}
    if first["bf16"] > _HOPELESS * first["fp32"]:
        return first
    start = time.monotonic()
    while not best or time.monotonic() - start < _SECONDS:
        for precision in first:
            best[precision] = min(best.get(precision, float("inf")), seconds(precision))
    return best
