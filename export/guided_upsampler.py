"""The upsampler: low-resolution log-shading -> albedo and shading at full resolution, by a fast guided filter.

He & Sun, "Fast guided filter" (2015): in every window of the low resolution, log-shading is fitted as a linear function
of the image's log-luminance, `log S = a log Y + b`; the maps a and b, averaged over the windows that a pixel lies in, are
interpolated and meet the full-resolution image. Where shading explains the image, at a shadow's edge, a is near 1 and the
edge is as sharp as the image's; where albedo does, a is near 0 and its texture stays out of the shading.

Every step is linear along rows and columns and written as a product with a small matrix built from the shapes: averaging
cells, windows that end at the border, interpolation between centres. So the graph needs no pooling, resizing or padding
operator, works for any two resolutions, and a strip of rows of a large image comes out exactly as it would in the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CELL = 4
RADIUS = 3
EPSILON = 0.02
MIN_LIGHT = 1e-4
MIN_WEIGHT = 1e-3
MIN_ALBEDO = 1e-4
_REC709 = (0.2126, 0.7152, 0.0722)


def _log_luminance(image: Tensor) -> Tensor:
    """(B, 3, H, W) linear -> (B, 1, H, W), natural log of Rec.709 luminance, of at least MIN_LIGHT."""
    weights = torch.tensor(_REC709, dtype=image.dtype)[:, None, None]
    return (image * weights).sum(1, keepdim=True).clamp(min=MIN_LIGHT).log()


def _cells(low: int) -> Tensor:
    """(cells, low): row i averages the low-resolution pixels of cell i, CELL of them but for the last."""
    cell = torch.arange((low + CELL - 1) // CELL, dtype=torch.float32)[:, None]
    inside = (torch.floor(torch.arange(low, dtype=torch.float32) / CELL)[None] == cell).float()
    return inside / inside.sum(1, keepdim=True)


def _windows(cells: int) -> Tensor:
    """(cells, cells): row i averages the window of RADIUS cells to both sides of i, ended by the border."""
    index = torch.arange(cells, dtype=torch.float32)
    inside = ((index[:, None] - index[None]).abs() <= RADIUS).float()
    return inside / inside.sum(1, keepdim=True)


def _interpolation(first: Tensor, count: int, total: Tensor, low: int, cells: int) -> Tensor:
    """(count, cells): linear interpolation between cell centres at the pixels first .. first + count of `total`."""
    pixel = torch.arange(count, dtype=torch.float32) + first + 0.5
    position = (pixel * (low / (total * CELL)) - 0.5).clamp(min=0.0).clamp(max=cells - 1)
    return (1 - (position[:, None] - torch.arange(cells, dtype=torch.float32)[None]).abs()).clamp(min=0)


class GuidedUpsampler(nn.Module):
    """FP32, linear light; see the module. Windows are weighted by the square root of luminance: noise lives in the dark."""

    def forward(self, log_shading: Tensor, guide: Tensor, image: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """log_shading, guide: (B, 3, h, w), natural log of shading and the exposed image it was divided out of.

        image: (B, 3, H, W), the exposed full-resolution image or a strip of its rows. rows: (2,), the strip's first row and
        the number of rows of the whole; (0, H) for the whole. Returns albedo in [1e-4, 1] and shading, (B, 3, H, W), whose
        product is the image.
        """
        low_height, low_width = log_shading.shape[-2:]
        height, width = image.shape[-2:]
        cell_rows, cell_columns = _cells(low_height), _cells(low_width)
        window_rows, window_columns = _windows(cell_rows.shape[0]), _windows(cell_columns.shape[0])

        def average(maps: Tensor) -> Tensor:
            return window_rows @ maps @ window_columns.T

        light = _log_luminance(guide)
        weight = (0.5 * light).exp() + MIN_WEIGHT
        moments = torch.cat([torch.ones_like(light), light, light * light, log_shading, light * log_shading], dim=1)
        sums = cell_rows @ (weight * moments) @ cell_columns.T
        mean = average(sums)
        total = mean[:, :1]
        mean_light, mean_square = mean[:, 1:2] / total, mean[:, 2:3] / total
        mean_shading, mean_product = mean[:, 3:6] / total, mean[:, 6:9] / total
        variance = (mean_square - mean_light * mean_light).clamp(min=0)
        slope = ((mean_product - mean_light * mean_shading) / (variance + EPSILON)).clamp(0, 1)
        line = torch.cat([slope, mean_shading - slope * mean_light], dim=1)
        line = average(sums[:, :1] * line) / total

        up_rows = _interpolation(rows[0], height, rows[1], low_height, cell_rows.shape[0])
        zero = torch.zeros(())
        up_columns = _interpolation(zero, width, zero + width, low_width, cell_columns.shape[0])
        line = up_rows @ line @ up_columns.T
        shading = (line[:, :3] * _log_luminance(image) + line[:, 3:]).exp()
        albedo = (image / shading).clamp(MIN_ALBEDO, 1.0)
        return albedo, image / albedo
