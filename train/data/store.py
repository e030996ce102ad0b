"""Views decoded once and held in memory as 8-bit codes, on the GPU if there is one; one store for each size."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from intrinsic_flow.train.data.shards import MAX_LIGHT_GROUPS, CodedView, ShardError, decode_members, raw_views

log = logging.getLogger(__name__)

# Stands where an array of a row was.
_TAKEN = np.empty(0)
# A single thing before black leaves at least so much of the view without a surface and without light.
_LEAST_BLACK = 0.02
# The largest code of an 8-bit layer that counts as no light.
_BLACK_CODE = 2


@dataclass(frozen=True)
class ViewStore:
    """N views of one size with K light groups, K = 1..3.

    albedo: (N, 3, H, W) uint8, square-root coded. layers: (N, 2, K, 3, H, W) uint8, axis 1 = shading | residual,
    axis 2 = light group, log coded. mask: (N, 1, H, W) uint8, 1 = valid. code: (N, 2, 3, 2) float32, rows (a, b) with
    `x = b * expm1(a * v)`. light_share: (N, 3) float32, share of each group in the default image.
    isolated: (N,) bool, single things before black. Of code and light_share the groups from K on are 0.
    """

    albedo: Tensor
    layers: Tensor
    mask: Tensor
    code: Tensor
    light_share: Tensor
    isolated: Tensor
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

    def first(self, count: int) -> ViewStore:
        """The first `count` views."""
        return ViewStore(
            self.albedo[:count],
            self.layers[:count],
            self.mask[:count],
            self.code[:count],
            self.light_share[:count],
            self.isolated[:count],
            self.keys[:count],
        )

    def to(self, device: torch.device | str) -> ViewStore:
        return ViewStore(
            self.albedo.to(device),
            self.layers.to(device),
            self.mask.to(device),
            self.code.to(device),
            self.light_share.to(device),
            self.isolated.to(device),
            self.keys,
        )


@dataclass(frozen=True)
class Views:
    """Views of any sizes, numbered store after store."""

    stores: tuple[ViewStore, ...]

    def __len__(self) -> int:
        return sum(len(store) for store in self.stores)

    @property
    def device(self) -> torch.device:
        return self.stores[0].device

    @property
    def keys(self) -> list[str]:
        """Keys of the views in their order."""
        return [key for store in self.stores for key in store.keys]

    @property
    def sizes(self) -> dict[tuple[int, int], int]:
        """(height, width) -> number of views."""
        counts: dict[tuple[int, int], int] = {}
        for store in self.stores:
            counts[store.size] = counts.get(store.size, 0) + len(store)
        return counts

    def locate(self, index: Tensor) -> Iterator[tuple[ViewStore, Tensor, Tensor]]:
        """Numbers of views (B,) -> for each store that has some of them: it, their rows in `index`, their rows in it."""
        first = 0
        for store in self.stores:
            rows = ((index >= first) & (index < first + len(store))).nonzero().flatten()
            if len(rows):
                yield store, rows, index[rows] - first
            first += len(store)

    def fitting(self, height: int, width: int, max_enlargement: float) -> Tensor:
        """Numbers of the views from which (height, width) can be cut without enlarging more than `max_enlargement`."""
        first, chosen = 0, []
        for store in self.stores:
            if max(height / store.size[0], width / store.size[1]) <= max_enlargement:
                chosen.append(torch.arange(first, first + len(store)))
            first += len(store)
        return torch.cat(chosen) if chosen else torch.empty(0, dtype=torch.long)

    def to(self, device: torch.device | str) -> Views:
        return Views(tuple(store.to(device) for store in self.stores))


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


def build_views(views: Iterable[tuple[str, CodedView]]) -> Views:
    """Stack coded views, one store for each size and number of light groups. ShardError: no views, or too many groups."""
    groups: dict[tuple[tuple[int, ...], int], tuple[list[list[np.ndarray]], list[str]]] = {}
    for key, view in views:
        rows, keys = groups.setdefault((view.mask.shape, len(view.shading)), ([], []))
        rows.append(_row(key, view))
        keys.append(key)
    if not groups:
        raise ShardError("the training data: found no usable view, expected at least one")
    stores = []
    for rows, keys in groups.values():
        albedo, layers, mask, code, light_share, isolated = _stack(rows)
        stores.append(ViewStore(albedo, layers, mask, code, light_share, isolated, keys))
    return Views(tuple(stores))


def _row(key: str, view: CodedView) -> list[np.ndarray]:
    """One view as the store's arrays: albedo, layers, mask, code, light_share, isolated."""
    groups = len(view.shading)
    if groups > MAX_LIGHT_GROUPS:
        raise ShardError(f"view {key}: found {groups} light groups, expected at most {MAX_LIGHT_GROUPS}")
    layers = np.stack([view.shading.transpose(0, 3, 1, 2), view.residual.transpose(0, 3, 1, 2)])
    code = np.zeros((2, MAX_LIGHT_GROUPS, 2), np.float32)
    code[0, :groups], code[1, :groups] = view.shading_code, view.residual_code
    share = np.zeros(MAX_LIGHT_GROUPS, np.float32)
    share[:groups] = view.light_share
    black = ~view.mask & (layers.max((0, 1, 2)) <= _BLACK_CODE)
    isolated = np.array(black.mean() >= _LEAST_BLACK)
    return [view.albedo.transpose(2, 0, 1), layers, view.mask[None].astype(np.uint8), code, share, isolated]


def _stack(rows: list[list[np.ndarray]]) -> Iterator[Tensor]:
    """Each array of the rows, stacked. Empties the rows on the way: the data are not held twice."""
    for column, first in enumerate(list(rows[0])):
        stacked = np.empty((len(rows), *first.shape), first.dtype)
        for index, row in enumerate(rows):
            stacked[index], row[column] = row[column], _TAKEN
        yield torch.from_numpy(stacked)


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


def load_views(paths: list[Path], limit: int | None = None) -> Views:
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
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for result in pool.map(decode, items()):
                if result is not None and (limit is None or count < limit):
                    count += 1
                    yield result

    return build_views(chosen())
