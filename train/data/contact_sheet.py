"""A contact sheet of views: image | albedo | shading | residual of each, under its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.media.atomic_file import write_complete
from intrinsic_flow.media.color import linear_to_srgb
from intrinsic_flow.train.data.shard_writer import unit_counts
from intrinsic_flow.train.data.shards import ShardError, View, decode_members, raw_views

CELL = 176
_CAPTION = 20
_GAP = 8
_PER_ROW = 3
_BACKGROUND, _INK = 24, 225


def cell_of(layer: np.ndarray, side: int = CELL, ground: int = _BACKGROUND, enlarge: int = cv2.INTER_NEAREST) -> np.ndarray:
    """(H, W, 3) linear -> (side, side, 3) uint8 sRGB, reduced or enlarged to fit, centred on a grey of that code."""
    height, width = layer.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    kind = cv2.INTER_AREA if factor < 1 else enlarge
    small = cv2.resize(np.clip(layer, 0, 1).astype(np.float32), size, interpolation=kind)
    cell = np.full((side, side, 3), ground, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = np.round(linear_to_srgb(small) * 255)
    return cell


def _strip(key: str, view: View) -> np.ndarray:
    """(_CAPTION + CELL, 4 * CELL, 3) uint8. Image and residual under the exposure gain, shading on its own scale.
    Invalid pixels of albedo and shading are dark magenta.
    """
    gain = np.float32(exposure_gain(view.image))
    shading = view.total_shading
    known = shading[view.mask] if view.mask.any() else shading
    shading = shading * np.float32(0.8 / max(float(np.percentile(known, 95)), 1e-9))
    invalid = np.array([0.03, 0, 0.03], np.float32)
    albedo, shading = (np.where(view.mask[..., None], layer, invalid) for layer in (view.albedo, shading))
    layers = (view.image * gain, albedo, shading, view.residual.sum(0) * gain)
    strip = np.full((_CAPTION + CELL, 4 * CELL, 3), _BACKGROUND, np.uint8)
    strip[_CAPTION:] = np.concatenate([cell_of(layer) for layer in layers], axis=1)
    _write(strip, f"{key}  {view.meta.get('kind', '')}  {'+'.join(view.meta['groups'])}", 0)
    return strip


def contact_sheet(views: Sequence[tuple[str, View]]) -> np.ndarray:
    """(H, W, 3) uint8 RGB, sRGB-encoded: three views a row, each image | albedo | shading | residual."""
    strips = [_strip(key, view) for key, view in views]
    height, width = strips[0].shape[:2]
    rows = -(-len(strips) // _PER_ROW)
    columns = min(_PER_ROW, len(strips))
    sheet = np.full((_CAPTION + rows * (height + _GAP), columns * (width + _GAP) - _GAP, 3), _BACKGROUND, np.uint8)
    for column in range(columns):
        _write(sheet, "image | albedo | shading | residual", column * (width + _GAP))
    for index, strip in enumerate(strips):
        top, left = _CAPTION + index // _PER_ROW * (height + _GAP), index % _PER_ROW * (width + _GAP)
        sheet[top : top + height, left : left + width] = strip
    return sheet


def _write(picture: np.ndarray, text: str, left: int) -> None:
    cv2.putText(picture, text, (left + 2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (_INK,) * 3, 1, cv2.LINE_AA)


def evenly(total: int, count: int) -> set[int]:
    """At most `count` of the numbers below `total`, evenly spread."""
    return set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()) if total and count else set()


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as a PNG that appears when it is complete. OSError: it cannot be written."""
    write_complete(path, cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes())


def write_sheet(folder: str | Path, path: str | Path, count: int = 40) -> None:
    """Write the contact sheet of `count` views, evenly chosen from all shards of a folder.

    ShardError: no shard, or a broken one or view among them. OSError: the sheet cannot be written.
    """
    shards = sorted(Path(folder).glob("*.tar"))
    if not shards:
        raise ShardError(f"{folder}: found no *.tar file, expected a folder of shards")
    wanted = evenly(sum(sum(unit_counts(shard).values()) for shard in shards), count)
    views: list[tuple[str, View]] = []
    index = 0
    for shard in shards:
        for key, members in raw_views(shard):
            if index in wanted:
                try:
                    views.append((key, decode_members(members).decode()))
                except (KeyError, ValueError) as error:
                    raise ShardError(f"{shard}: view {key}: found {error}, expected the members of a view") from None
            index += 1
    write_picture(path, contact_sheet(views))
