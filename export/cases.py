"""Inputs to compare graphs on, and what PyTorch makes of them: the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from intrinsic_flow.decomposition.bundle import graph_specs
from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.decomposition.working_size import pad, resize, working_size
from intrinsic_flow.export.graphs.modules import graph_modules
from intrinsic_flow.media.images import read_image
from intrinsic_flow.train.networks.model import IntrinsicFlow, latent_shape

STEPS = 2
RESOLUTION = 256
RANDOM_SHAPES = ((1, 64, 96), (2, 96, 64), (1, 256, 384))

Arrays = dict[str, np.ndarray]
#: Inputs and outputs of each graph, by tensor name.
Reference = dict[str, tuple[Arrays, Arrays]]


@dataclass(frozen=True)
class Case:
    """One input: a picture (B, 3, H, W), linear in [0, 1], sides multiples of 32, and start noise for that size."""

    name: str
    image: Tensor
    z: Tensor


def make_case(name: str, image: np.ndarray | Tensor, seed: int = 0) -> Case:
    """A case from a picture (B, 3, H, W) and seeded noise."""
    image = torch.as_tensor(image, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    shape = latent_shape(image.shape[0], *image.shape[2:])
    return Case(name, image, torch.randn(shape, generator=generator))


def random_cases(shapes: Iterable[tuple[int, int, int]] = RANDOM_SHAPES) -> list[Case]:
    """Seeded uniform noise of several (batch, height, width): non-square ones and batches."""
    generator = torch.Generator().manual_seed(1)
    return [make_case(f"random {b}x{h}x{w}", torch.rand(b, 3, h, w, generator=generator)) for b, h, w in shapes]


def procedural_case() -> Case:
    """A picture computed here: coloured discs on stripes under a light that falls off, black and clipped parts."""
    rows, columns = np.mgrid[0:RESOLUTION, 0:RESOLUTION].astype(np.float32) / RESOLUTION
    albedo = np.stack([0.35 + 0.25 * np.sin(40 * columns + phase) for phase in (0.0, 1.0, 2.0)])
    for x, y, radius, color in ((0.3, 0.35, 0.2, (0.7, 0.1, 0.1)), (0.7, 0.6, 0.25, (0.1, 0.5, 0.2))):
        disc = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
        albedo = np.where(disc, np.reshape(color, (3, 1, 1)), albedo)
    light = 2.5 * np.exp(-3 * ((columns - 0.2) ** 2 + (rows - 0.2) ** 2)) * (columns + rows < 1.7)
    return make_case("procedural", np.clip(albedo * light, 0, 1)[None].astype(np.float32))


def photo_case(path: Path) -> Case:
    """A picture file as the runtime shows it to the network: resized, exposed, clipped, padded. Raises InputError."""
    pixels = np.maximum(read_image(path).pixels, 0)
    size = working_size(pixels.shape[0], pixels.shape[1], RESOLUTION)
    low = resize(pixels, size.height, size.width)
    exposed = pad(np.clip(low * exposure_gain(low), 0, 1))
    return make_case(path.name, np.ascontiguousarray(exposed.transpose(2, 0, 1)[None]))


@torch.inference_mode()
def reference(model: IntrinsicFlow, case: Case) -> Reference:
    """What PyTorch computes."""
    modules, specs = graph_modules(model), graph_specs(model.config.interface)
    graphs: Reference = {}

    def compute(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = {tensor: tensors[tensor] for tensor in specs[name].input_names}
        results = modules[name](*inputs.values())
        results = results if isinstance(results, tuple) else (results,)
        outputs = dict(zip(specs[name].output_names, results, strict=True))
        graphs[name] = _arrays(inputs), _arrays(outputs)
        return outputs

    image = {"image": case.image}
    features = compute("encoder", image)
    # Inside the trajectory, where the step is not simply noise: the second step's own state.
    dt = torch.full((1,), 1 / STEPS)
    first = compute("velocity_step", {"z": case.z, "t": torch.zeros(1), "dt": dt, **features})
    last = compute("velocity_step", {"z": first["z_next"], "t": dt, "dt": dt, **features})
    albedo = compute("decoder", {"z": last["z_next"], **image})
    compute("vae_encoder", albedo)
    # Without some of the padding, and with light that was clipped for the network.
    guide = 1.5 * case.image[:, :, : case.image.shape[2] - 5, : case.image.shape[3] - 31]
    maps = compute("low_shading", {**albedo, "guide": guide})
    rows = torch.tensor([0.0, case.image.shape[2]])
    compute("upsampler", {**maps, "guide": guide, **image, "rows": rows})
    merged = _arrays({"image": case.image, "z": case.z})
    graphs["decompose_2step"] = merged, {"albedo": model(case.image, case.z, STEPS).numpy()}
    return graphs


def _arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: tensor.numpy() for name, tensor in tensors.items()}
