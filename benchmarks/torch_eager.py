"""A bundle's networks in PyTorch eager, the reference that the runtime's latency is compared with. Needs torch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import torch

from export.weights import load_model
from runtime.bundle import Bundle
from train.networks.model import latent_shape

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def torch_calls(
    bundle: Bundle, memory_format: str, *, batch: int, resolution: int, steps: int, threads: int
) -> dict[str, Callable[[], object]]:
    """One call per graph and one for the whole network ("network"), each on fixed FP32 inputs, in inference mode.

    memory_format: a key of MEMORY_FORMATS; weights and inputs are converted beforehand. Sets torch's thread count.
    """
    torch.set_num_threads(threads)
    layout = MEMORY_FORMATS[memory_format]
    model = load_model(bundle).to(memory_format=layout)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, resolution, resolution, generator=generator).contiguous(memory_format=layout)
    z = torch.randn(latent_shape(batch, resolution, resolution), generator=generator).contiguous(memory_format=layout)
    t, dt = torch.zeros(1), torch.full((1,), 1 / steps)
    with torch.inference_mode():
        features = model.encoder(image)

    def inference(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
        def call() -> object:
            with torch.inference_mode():
                return function(*arguments)

        return call

    return {
        "encoder": inference(model.encoder, image),
        "velocity_step": inference(model.velocity_step, z, t, dt, features),
        "decoder": inference(model.vae.decode, z),
        "network": inference(model, image, z, steps),
    }


def runs_in_a_process_of_its_own(folder: Path, memory_format: str, batch: int, resolution: int, threads: int) -> bool:
    """Whether the network runs in this memory format; some torch builds crash the process in channels-last kernels."""
    process = multiprocessing.get_context("spawn").Process(
        target=_run_once, args=(folder, memory_format, batch, resolution, threads)
    )
    process.start()
    process.join()
    return process.exitcode == 0


def _run_once(folder: Path, memory_format: str, batch: int, resolution: int, threads: int) -> None:
    calls = torch_calls(Bundle.load(folder), memory_format, batch=batch, resolution=resolution, steps=1, threads=threads)
    calls["network"]()
