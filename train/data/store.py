"""Views decoded once and held in memory as 8-bit codes, on the GPU if there is one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train.data.shards import MAX_LIGHT_GROUPS, CodedView, ShardError, decode_members, raw_views

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewStore:
    """N views of one size; a view with fewer than three light groups is padded with black ones.

    albedo: (N, 3, H, W) uint8, square-root coded. layers: (N, 2, 3, 3, H, W) uint8, axis 1 = shading | residual,
    axis 2 = light group, log coded. mask: (N, 1, H, W) uint8, 1 = valid. code: (N, 2, 3, 2) float32, rows (a, b) with
    `x = b * expm1(a * v)`. light_share: (N, 3) float32, share of each group in the default image.
    """

    albedo: Tensor
    layers: Tensor
    mask: Tensor
    code: Tensor
    light_share: Tensor
    keys: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every view."""
        return self.albedo.shape[-2], self.albedo.shape[-1]

    @property
    def device(self) -> torch.device:
        return self.albedo.device

    def to(self, device: torch.device | str) -> ViewStore:
        return ViewStore(
            self.albedo.to(device),
            self.layers.to(device),
            self.mask.to(device),
            self.code.to(device),
            self.light_share.to(device),
            self.keys,
        )


def dull_reason(view: CodedView) -> str | None:
    """Why a view teaches nothing (hardly any valid or lit pixel), or None for a good one."""
    if (valid := view.mask.mean()) < 0.05:
        return f"{100 * valid:.1f}% of its pixels are valid"
    coarse = CodedView(
        view.albedo[::4, ::4],
        view.shading[:, ::4, ::4],
        view.residual[:, ::4, ::4],
        view.mask[::4, ::4],
        view.shading_code,
        view.residual_code,
        view.light_share,
        view.meta,
    ).decode()
    light = coarse.total_shading.mean(-1)
    if (lit := (light > 0.02 * np.percentile(light, 99.5)).mean()) < 0.1:
        return f"{100 * lit:.1f}% of its pixels are lit"
    return None


def build_store(views: Iterable[tuple[str, CodedView]]) -> ViewStore:
    """Stack coded views. ShardError: no views, views of different sizes, or too many light groups."""
    rows: list[tuple[np.ndarray, ...]] = []
    keys: list[str] = []
    for key, view in views:
        height, width = view.mask.shape
        groups = len(view.shading)
        if groups > MAX_LIGHT_GROUPS:
            raise ShardError(f"view {key}: found {groups} light groups, expected at most {MAX_LIGHT_GROUPS}")
        if rows and rows[0][2].shape[-2:] != (height, width):
            raise ShardError(f"view {key}: found {height}x{width} pixels, expected the size of the first view")
        layers = np.zeros((2, MAX_LIGHT_GROUPS, 3, height, width), np.uint8)
        layers[0, :groups] = view.shading.transpose(0, 3, 1, 2)
        layers[1, :groups] = view.residual.transpose(0, 3, 1, 2)
        code = np.zeros((2, MAX_LIGHT_GROUPS, 2), np.float32)
        code[0, :groups], code[1, :groups] = view.shading_code, view.residual_code
        share = np.zeros(MAX_LIGHT_GROUPS, np.float32)
        share[:groups] = view.light_share
        rows.append((view.albedo.transpose(2, 0, 1), layers, view.mask[None].astype(np.uint8), code, share))
        keys.append(key)
    if not rows:
        raise ShardError("the training data: found no usable view, expected at least one")
    tensors = []
    for column in range(5):
        stacked = np.empty((len(rows), *rows[0][column].shape), rows[0][column].dtype)
        for index, row in enumerate(rows):
            stacked[index] = row[column]
        tensors.append(torch.from_numpy(stacked))
    return ViewStore(*tensors, keys)


def shard_paths(data: str | Path, split: str) -> list[Path]:
    """`data` itself when it is a file, otherwise its `{split}-*.tar`. ShardError when there is none."""
    data = Path(data)
    if data.is_file():
        return [data]
    paths = sorted(data.glob(f"{split}-*.tar"))
    if not paths:
        found = "no such folder" if not data.is_dir() else f"no {split}-*.tar"
        raise ShardError(f"{data}: found {found}, expected a folder of {split}-*.tar shards")
    return paths


def load_store(paths: list[Path], limit: int | None = None, workers: int = 4) -> ViewStore:
    """Decode shards into memory. Broken and dull views are named in the log and skipped, a broken shard keeps what it has.

    ShardError: nothing usable at all.
    """

    def decode(item: tuple[Path, str, dict[str, bytes]]) -> tuple[str, CodedView] | None:
        path, key, members = item
        try:
            view = decode_members(members)
        except (KeyError, ValueError) as error:
            log.warning("%s: view %s skipped: found %s, expected the members of a view", path, key, error)
            return None
        if reason := dull_reason(view):
            log.info("%s: view %s skipped: %s", path, key, reason)
            return None
        return key, view

    def items() -> Iterable[tuple[Path, str, dict[str, bytes]]]:
        for path in paths:
            try:
                for key, members in raw_views(path):
                    yield path, key, members
            except ShardError as error:
                log.warning("%s; the rest of it is skipped", error)

    def chosen() -> Iterable[tuple[str, CodedView]]:
        count = 0
        with ThreadPoolExecutor(workers) as pool:
            for result in pool.map(decode, items()):
                if result is not None and (limit is None or count < limit):
                    count += 1
                    yield result

    return build_store(chosen())
