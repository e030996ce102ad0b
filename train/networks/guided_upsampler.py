"""The upsampler: low-resolution log-shading -> shading at full resolution, by a fast guided filter.

He & Sun, "Fast guided filter" (2015): in every window of the low resolution, the shading's log-luminance is fitted as a
linear function of the image's, `log S = a log Y + b`; the maps a and b, averaged over the windows that a pixel lies in,
are interpolated and meet the full-resolution image. Where shading explains the image, at a shadow's edge, a is near 1 and
the edge is as sharp as the image's; where albedo does, a is near 0 and its texture stays out of the shading.

The light's colour has no such edges: it is averaged over wider windows, in which a pixel counts the less the more
saturated it is, since that is a coloured surface more often than coloured light. Otherwise such surfaces leave halos. Where
a saturated surface fills the windows, the mean of the picture has the say. Towards black a pixel's colour is noise and
rounding, which dividing by a small shading would blow up: so luminance is counted from DARK on, shading of what is darker
ends there and its albedo goes to 0.

Every step is linear along rows and columns and written as a product with a small matrix built from the shapes: averaging
cells, windows that end at the border, interpolation between centres. So the graph needs no pooling, resizing or padding
operator, works for any two resolutions, and a strip of rows of a large image comes out exactly as it would in the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intrinsic_flow.decomposition.guided_filter import GuidedFilter
from intrinsic_flow.train.networks.low_shading import MIN_LIGHT

CELL = 4
RADIUS = 1
COLOR_RADIUS = 4
EPSILON = 0.02
MIN_SHADING = 1e-8
DARK = 0.003
PRIOR = 0.1
MIN_WEIGHT = 1e-3
#: For the manifest, so that a CPU may compute the same without the graph.
CONSTANTS = GuidedFilter(
    cell=CELL,
    radius=RADIUS,
    color_radius=COLOR_RADIUS,
    epsilon=EPSILON,
    dark=DARK,
    min_light=MIN_LIGHT,
    min_shading=MIN_SHADING,
    prior=PRIOR,
    min_weight=MIN_WEIGHT,
)
_REC709 = (0.2126, 0.7152, 0.0722)


def _luminance(image: Tensor) -> Tensor:
    """(B, 3, H, W) linear -> (B, 1, H, W), Rec.709."""
    weights = torch.tensor(_REC709, dtype=image.dtype, device=image.device)[:, None, None]
    return (image * weights).sum(1, keepdim=True)


def _count(length: int, device: torch.device) -> Tensor:
    """0, 1, ... length - 1, float32."""
    return torch.arange(length, dtype=torch.float32, device=device)


def _cells(low: int, device: torch.device) -> Tensor:
    """(cells, low): row i averages the low-resolution pixels of cell i, CELL of them but for the last."""
    cell = _count((low + CELL - 1) // CELL, device)[:, None]
    inside = (torch.floor(_count(low, device) / CELL)[None] == cell).float()
    return inside / inside.sum(1, keepdim=True)


def _windows(cells: int, radius: int, device: torch.device) -> Tensor:
    """(cells, cells): row i averages the window of `radius` cells to both sides of i, ended by the border."""
    index = _count(cells, device)
    inside = ((index[:, None] - index[None]).abs() <= radius).float()
    return inside / inside.sum(1, keepdim=True)


def _interpolation(first: Tensor, count: int, total: Tensor, low: int, cells: int) -> Tensor:
    """(count, cells): linear interpolation between cell centres at the pixels first .. first + count of `total`."""
    pixel = _count(count, first.device) + first + 0.5
    position = (pixel * (low / (total * CELL)) - 0.5).clamp(min=0.0).clamp(max=cells - 1)
    return (1 - (position[:, None] - _count(cells, first.device)[None]).abs()).clamp(min=0)


class GuidedUpsampler(nn.Module):
    """FP32, linear light; see the module. Windows are weighted by the square root of luminance: noise lives in the dark."""

    def forward(self, log_shading: Tensor, guide: Tensor, image: Tensor, rows: Tensor) -> Tensor:
        """log_shading, guide: (B, 3, h, w), natural log of shading and the exposed image it was divided out of.

        image: (B, 3, H, W), the exposed full-resolution image or a strip of its rows. rows: (2,), the strip's first row and
        the number of rows of the whole; (0, H) for the whole. Returns the shading, (B, 3, H, W), linear, positive.
        """
        low_height, low_width = log_shading.shape[-2:]
        height, width = image.shape[-2:]
        device = image.device
        cell_rows, cell_columns = _cells(low_height, device), _cells(low_width, device)
        rows_and_columns = cell_rows.shape[0], cell_columns.shape[0]
        fit_rows, fit_columns = (_windows(cells, RADIUS, device) for cells in rows_and_columns)
        color_rows, color_columns = (_windows(cells, COLOR_RADIUS, device) for cells in rows_and_columns)

        def cells_of(maps: Tensor) -> Tensor:
            return cell_rows @ maps @ cell_columns.T

        def fit_windows(cells: Tensor) -> Tensor:
            return fit_rows @ cells @ fit_columns.T

        def color_windows(cells: Tensor) -> Tensor:
            return color_rows @ cells @ color_columns.T

        brightness = _luminance(guide).clamp(min=MIN_LIGHT)
        light, shade = (brightness + DARK).log(), _luminance(log_shading.exp()).clamp(min=MIN_SHADING).log()
        weight = (0.5 * light).exp() + MIN_WEIGHT
        sums = cells_of(weight * torch.cat([torch.ones_like(light), light, light * light, shade, light * shade], dim=1))
        total, mean_light, mean_square, mean_shade, mean_product = fit_windows(sums).split(1, dim=1)
        mean_light, mean_square = mean_light / total, mean_square / total
        mean_shade, mean_product = mean_shade / total, mean_product / total
        variance = (mean_square - mean_light * mean_light).clamp(min=0)
        slope = ((mean_product - mean_light * mean_shade) / (variance + EPSILON)).clamp(0, 1)
        line = torch.cat([slope, mean_shade - slope * mean_light], dim=1)
        line = fit_windows(sums[:, :1] * line) / total

        saturation = (guide.clamp(min=MIN_LIGHT).log() - brightness.log()).abs().amax(1, keepdim=True)
        weight = weight * (-saturation).exp()
        colors = cells_of(weight * torch.cat([torch.ones_like(light), log_shading - shade], dim=1))
        colors = color_windows(color_windows(colors))
        colors = colors + PRIOR * colors.mean((2, 3), keepdim=True)
        color = colors[:, 1:] / colors[:, :1]

        up_rows = _interpolation(rows[0], height, rows[1], low_height, cell_rows.shape[0])
        zero = torch.zeros((), device=device)
        up_columns = _interpolation(zero, width, zero + width, low_width, cell_columns.shape[0])
        line = up_rows @ torch.cat([line, color], dim=1) @ up_columns.T
        light = (_luminance(image).clamp(min=MIN_LIGHT) + DARK).log()
        return (line[:, :1] * light + line[:, 1:2] + line[:, 2:]).exp()
