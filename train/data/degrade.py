"""What cameras and files do to an image between the light and us: tone curves, blur, sharpening, noise, JPEG, 8 bits.

All of it on linear images in [0, 1], batched, drawn for each image, never on the target.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from intrinsic_flow.train.data.draws import Draws
from intrinsic_flow.train.data.windows import on_rows, windows

# Luminance quantisation of ITU-T T.81 (JPEG), table K.1.
_JPEG_TABLE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)


# Shares of the images that are softer than their light, and that a camera has sharpened.
_BLURRED, _SHARPENED = 0.25, 0.4


def linear_to_srgb(x: Tensor) -> Tensor:
    """Piecewise sRGB curve (IEC 61966-2-1) on [0, 1]."""
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308).pow(1 / 2.4) - 0.055)


def srgb_to_linear(x: Tensor) -> Tensor:
    """Inverse of `linear_to_srgb`."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4))


def _dct_matrix(device: torch.device) -> Tensor:
    k = torch.arange(8, device=device, dtype=torch.float32)
    matrix = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / 8)
    matrix[0] *= math.sqrt(0.5)
    return matrix


def jpeg_like(srgb: Tensor, quality_scale: Tensor) -> Tensor:
    """Quantise 8x8 DCT blocks of YCbCr as JPEG does, without chroma subsampling.

    srgb: (B, 3, 8h, 8w) in [0, 1]; quality_scale: (B, 1, 1, 1), factor on the standard table (1 = quality 50).
    """
    batch, _, height, width = srgb.shape
    red, green, blue = srgb.unbind(1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    ycc = torch.stack([y, (blue - y) / 1.772, (red - y) / 1.402], 1) * 255
    # Both directions of the transform at once, as one matrix product over all blocks.
    dct = torch.kron(*[_dct_matrix(srgb.device)] * 2)
    blocks = ycc.reshape(batch, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    step = (_JPEG_TABLE.to(srgb.device) * quality_scale).clamp(min=1).flatten(1)[:, None, None, None]
    coefficients = torch.round(blocks.flatten(-2) @ dct.T / step) * step
    ycc = (coefficients @ dct).reshape(blocks.shape).transpose(3, 4).reshape(batch, 3, height, width) / 255
    y, cb, cr = ycc.unbind(1)
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    return torch.stack([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], 1).clamp(0, 1)


def blur_or_sharpen(encoded: Tensor, amount: Tensor) -> Tensor:
    """Mix (B, 3, H, W) with its means over 3x3 pixels, by amount (B, 1, 1, 1); below 0 an unsharp mask, with halos.
    The result is in [0, 1] as the codes of a file are.
    """
    means = windows(F.pad(encoded, (1, 1, 1, 1), mode="replicate"), 3, torch.add) / 9
    return torch.lerp(encoded, means, amount).clamp(0, 1)


def degrade(image: Tensor, strength: float, draws: Draws) -> Tensor:
    """Degrade (B, 3, 8h, 8w) linear images in [0, 1]; each effect is drawn per image. `strength` 0 returns the input.

    Tone curve: a photograph undone with the sRGB curve although the camera used another (a power and an S-curve).
    """
    if strength == 0:
        return image

    def uniform() -> Tensor:
        return draws.uniform(1, 1, 1)

    x = image
    curved = (uniform() < 0.6).float() * strength
    power = torch.exp(0.15 * draws.normal(1, 1, 1) * curved)
    contrast = 0.4 * uniform() * curved
    encoded = linear_to_srgb(x)
    encoded = encoded.clamp(min=1e-6).pow(power)
    encoded = encoded + contrast * (encoded * encoded * (3 - 2 * encoded) - encoded)

    amount, choice = strength * uniform(), uniform()
    amount = torch.where(choice < _BLURRED, amount, torch.where(choice > 1 - _SHARPENED, -amount, torch.zeros_like(amount)))
    encoded = on_rows(blur_or_sharpen, encoded, amount)

    sigma = strength * 0.03 * uniform() * (uniform() < 0.5)
    noise = draws.normal(*image.shape[1:])
    encoded = (encoded + sigma * (0.4 + encoded).sqrt() * noise).clamp(0, 1)

    quality_scale = (0.1 + 0.9 * uniform()) * strength
    coded = uniform() < 0.35
    if bool(coded.any()):
        chosen = coded.flatten().nonzero().flatten()
        encoded = encoded.index_copy(0, chosen, jpeg_like(encoded[chosen], quality_scale[chosen]))
    eight_bit = torch.round(encoded * 255) / 255
    return srgb_to_linear(eight_bit)
