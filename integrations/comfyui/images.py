"""ComfyUI's IMAGE and MASK as arrays in linear light, and back.

IMAGE: (B, H, W, 3 or 4) float32 torch tensor, sRGB-encoded unless a node is told that it is linear; values above 1, as EXR
files bring them, stay above 1 both ways. MASK: (B, H, W) float32, 1 - alpha.
"""

from __future__ import annotations

from collections.abc import Iterator

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io

from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear

ENCODINGS = ["sRGB", "linear"]


def encoding(id: str, tooltip: str) -> io.Combo.Input:
    """The widget that says how pixels are encoded."""
    return io.Combo.Input(id, options=ENCODINGS, default="sRGB", tooltip=tooltip)


def to_linear(frame: torch.Tensor, encoded: str) -> np.ndarray:
    """(H, W, 3 or 4) -> (H, W, 3) float32, linear light."""
    pixels = frame[..., :3].detach().cpu().float().numpy()
    return np.ascontiguousarray(pixels) if encoded == "linear" else srgb_to_linear(pixels)


def from_linear(pixels: np.ndarray, encoded: str) -> torch.Tensor:
    """(H, W, 3) float32, linear light -> the same encoded, nothing clipped."""
    return torch.from_numpy(np.ascontiguousarray(pixels if encoded == "linear" else linear_to_srgb(pixels)))


def empty(*shape: int) -> torch.Tensor:
    """A float32 tensor for results, where ComfyUI keeps what goes from node to node."""
    return torch.empty(shape, dtype=torch.float32, device=comfy.model_management.intermediate_device())


def steps(count: int) -> Iterator[int]:
    """0 to count - 1; shows the progress on the node and ends where the user interrupts."""
    bar = comfy.utils.ProgressBar(count)
    for index in range(count):
        comfy.model_management.throw_exception_if_processing_interrupted()
        yield index
        bar.update(1)


def frames(name: str, count: int, size: tuple[int, int], tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, its first axis as long as `count` where it is 1. Raises ValueError for another number or size."""
    height, width = tensor.shape[1:3]
    if tensor.shape[0] not in (1, count) or (height, width) != size:
        raise ValueError(
            f"{name} of {tensor.shape[0]} x {width}x{height} pixels, expected 1 or {count} x {size[1]}x{size[0]}"
        )
    return tensor.expand(count, *tensor.shape[1:])


def alike(albedo: torch.Tensor, shading: torch.Tensor, **others: torch.Tensor | None) -> list[torch.Tensor]:
    """All of these, None where one is, as many frames as the longer of the layers has. Raises ValueError as `frames`."""
    count, (height, width) = max(albedo.shape[0], shading.shape[0]), albedo.shape[1:3]
    given = {"albedo": albedo, "shading": shading, **others}
    return [None if tensor is None else frames(name, count, (height, width), tensor) for name, tensor in given.items()]


def transparency(image: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The mask of an image, (B, H, W): 1 - alpha where it has a fourth channel, and what `mask` hides; else zeros."""
    count, height, width = image.shape[:3]
    visible = image[..., 3].float() if image.shape[3] == 4 else torch.ones(count, height, width, device=image.device)
    if mask is not None:
        visible = visible * (1 - frames("mask", count, (height, width), mask).to(visible))
    return 1 - visible


def with_alpha(image: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(B, H, W, 3) -> (B, H, W, 4), alpha = 1 - mask; the image itself without a mask."""
    if mask is None:
        return image
    count, height, width = image.shape[:3]
    return torch.cat([image, 1 - frames("mask", count, (height, width), mask).to(image)[..., None]], dim=3)
