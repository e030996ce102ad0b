"""Reader of the training shards: tar files with one rendered view a key, every light group stored apart.

A view with K = 1..3 light groups has the members

    KEY.albedo.jpg       A = v ** 2                      with v = 8-bit value / 255; linear RGB, Rec.709 primaries
    KEY.shading{k}.webp  S_k, log coded                  k = 0 .. K-1
    KEY.residual{k}.webp R_k, log coded                  what is no Lambertian first-hit reflection (gloss, sky, lamps)
    KEY.mask.png         1 where albedo and shading are valid
    KEY.json             groups, and per layer the constants k, m, xmax of its code

and its image is `sum_k gain_k * color_k * (A * S_k + R_k)` for any positive gains and light colours.
Log code: `x = expm1(v * log1p(k * xmax / m)) * m / k`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np


class ShardError(Exception):
    """A shard or a view in it cannot be read. The message names the file, what was found and what is expected."""


@dataclass(frozen=True)
class CodedView:
    """One view as stored: 8-bit codes and the constants that decode them.

    albedo: (H, W, 3) uint8, square-root coded. shading, residual: (K, H, W, 3) uint8, log coded.
    mask: (H, W) bool. shading_code, residual_code: (K, 2) float32 rows `(a, b)` with `x = b * expm1(a * v)`.
    light_share: (K,) float32, each group's share of the default image.
    """

    albedo: np.ndarray
    shading: np.ndarray
    residual: np.ndarray
    mask: np.ndarray
    shading_code: np.ndarray
    residual_code: np.ndarray
    light_share: np.ndarray
    meta: dict

    def decode(self) -> View:
        """The view in linear light."""
        return View(
            albedo=np.square(self.albedo.astype(np.float32) / 255),
            shading=_decode_log(self.shading, self.shading_code),
            residual=_decode_log(self.residual, self.residual_code),
            mask=self.mask,
            meta=self.meta,
        )


@dataclass(frozen=True)
class View:
    """One view in linear light, Rec.709 primaries, arbitrary exposure.

    albedo: (H, W, 3) float32 in [0, 1]. shading, residual: (K, H, W, 3) float32, non-negative.
    mask: (H, W) bool, where albedo and shading are valid.
    """

    albedo: np.ndarray
    shading: np.ndarray
    residual: np.ndarray
    mask: np.ndarray
    meta: dict

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) float32: the view under its default light."""
        return self.albedo * self.total_shading + self.residual.sum(0)

    @property
    def total_shading(self) -> np.ndarray:
        """(H, W, 3) float32: diffuse shading of all light groups."""
        return self.shading.sum(0)


def _decode_log(coded: np.ndarray, code: np.ndarray) -> np.ndarray:
    slope, scale = code[:, 0, None, None, None], code[:, 1, None, None, None]
    return np.expm1(coded.astype(np.float32) / 255 * slope) * scale


def _read_rgb(content: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if pixels is None:
        raise ValueError("an undecodable image")
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _log_code(constants: dict) -> tuple[float, float]:
    return float(np.log1p(constants["k"] * constants["xmax"] / constants["m"])), constants["m"] / constants["k"]


def decode_members(members: dict[str, bytes]) -> CodedView:
    """Decode one view's members (`{"albedo.jpg": bytes, ...}`). KeyError or ValueError: a member is missing or broken."""
    meta = json.loads(members["json"])
    groups = range(len(meta["groups"]))
    return CodedView(
        albedo=_read_rgb(members["albedo.jpg"]),
        shading=np.stack([_read_rgb(members[f"shading{k}.webp"]) for k in groups]),
        residual=np.stack([_read_rgb(members[f"residual{k}.webp"]) for k in groups]),
        mask=_read_rgb(members["mask.png"], cv2.IMREAD_GRAYSCALE) > 127,
        shading_code=np.array([_log_code(meta[f"shading{k}"]) for k in groups], np.float32),
        residual_code=np.array([_log_code(meta[f"residual{k}"]) for k in groups], np.float32),
        light_share=np.array([meta[f"shading{k}"]["frac"] for k in groups], np.float32),
        meta=meta,
    )


def raw_views(path: str | Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Iterate over a shard without decoding: (key, members). Raises ShardError for a missing or broken tar."""
    path = Path(path)
    key, members = None, {}
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                if not entry.isfile():
                    continue
                stem, _, extension = Path(entry.name).name.partition(".")
                if stem != key and members:
                    yield key, members
                    members = {}
                key = stem
                members[extension] = tar.extractfile(entry).read()
    except FileNotFoundError:
        raise ShardError(f"{path}: found no such file, expected a tar shard") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ShardError(f"{path}: found a broken archive ({error}), expected a tar shard") from None
    if members:
        yield key, members


def coded_views(path: str | Path) -> Iterator[tuple[str, CodedView]]:
    """Iterate over a shard: (key, CodedView). Raises ShardError that names the shard and the view."""
    for key, members in raw_views(path):
        try:
            view = decode_members(members)
        except (KeyError, ValueError) as error:
            raise ShardError(f"{path}: view {key}: found {error}, expected the members of a view") from None
        yield key, view


def views(path: str | Path) -> Iterator[tuple[str, View]]:
    """Iterate over a shard: (key, View) in linear light. Raises ShardError that names the shard and the view."""
    for key, view in coded_views(path):
        yield key, view.decode()
