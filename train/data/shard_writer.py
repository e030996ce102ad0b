"""Writer of training shards (format: `train/data/shards.py`): encodes views, and packs them without losing any.

    staging = Staging(folder)
    if not staging.is_done("train", unit):
        staging.add("train", unit, [(f"{unit}_{i}", encode_view(view)) for i, view in enumerate(views)])
    staging.publish("train")              # now and then: complete shards only
    staging.publish("train", final=True)  # at the end: the rest too

A unit is what is made in one go: a scene, a clip, a frame. Each step is a rename, so that a process can be killed at any
moment, and several may add different units to one folder.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import secrets
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.media.atomic_file import replace_when_complete, write_complete
from intrinsic_flow.train.data.shards import MAX_LIGHT_GROUPS, ShardError, View, checksum, decode_members, raw_views

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test", "clip")
SHARD_BYTES = 48 * 2**20

# Measured on 30 rendered views, as stored and (harder) at half their size; median decode_error and KB a view:
# 91/85/80 .0122 39, .0316 14.6; 95/94/88 .0119 49, .0233 21.4; 97/98/92 .0092 57, .0185 27.8; lossless .003 182, .0057 73.
ALBEDO_QUALITY = 95
SHADING_QUALITY = 95
RESIDUAL_QUALITY = 88
NORMAL_QUALITY = 80

LOG_CODE_K = 10.0
_XMAX_HEADROOM = 1.05
_XMAX_PERCENTILE = 99.9
_XMAX_LEAST, _XMAX_MOST = 1.5, 60.0

_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,71}")
_NUMBER = re.compile(r"_[A-Za-z0-9-]{1,8}")
_SHARD = re.compile(rf"({'|'.join(SPLITS)})-(\d{{5,}})\.tar")


def log_code(layer: np.ndarray) -> dict[str, float]:
    """Constants of the log code for a layer (H, W, 3), linear, non-negative: `{"k", "m", "xmax"}`.

    m is the mean; xmax 1.05 times the 99.9th percentile, at least 1.5 m, at most 60 m. A black layer gets tiny ones.
    """
    mean = max(float(layer.mean(dtype=np.float64)), 1e-9)
    peak = _XMAX_HEADROOM * float(np.percentile(layer, _XMAX_PERCENTILE))
    return {"k": LOG_CODE_K, "m": mean, "xmax": min(max(peak, _XMAX_LEAST * mean), _XMAX_MOST * mean)}


def _encode(extension: str, pixels: np.ndarray, *flags: int) -> bytes:
    done, content = cv2.imencode(extension, pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1]), flags)
    if not done:
        raise ValueError(f"OpenCV cannot encode {extension} of shape {pixels.shape}")
    return content.tobytes()


def _encode_log(layer: np.ndarray, code: dict[str, float], quality: int) -> bytes:
    factor = code["k"] / code["m"]
    coded = np.log1p(np.clip(layer, 0, code["xmax"]) * factor) / np.log1p(code["xmax"] * factor)
    return _encode(".webp", np.round(coded * 255).astype(np.uint8), cv2.IMWRITE_WEBP_QUALITY, quality)


def encode_view(view: View) -> dict[str, bytes]:
    """The members of a view: `{"albedo.jpg": bytes, "shading0.webp": ..., ..., "mask.png": ..., "json": ...}`.

    view: linear light; albedo (H, W, 3), shading and residual (K, H, W, 3), mask (H, W) bool; `meta` holds `groups` (K
    names) and anything else that JSON can hold (numpy scalars and arrays too). The codes, `frac`, `decode_error` and
    `crc32` are added to it. ValueError: non-finite or negative values, or shapes that do not fit.
    """
    _check(view)
    meta = dict(view.meta)
    flags = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_OPTIMIZE, 1)
    coded_albedo = np.round(np.sqrt(np.clip(view.albedo, 0, 1)) * 255).astype(np.uint8)
    members = {"albedo.jpg": _encode(".jpg", coded_albedo, cv2.IMWRITE_JPEG_QUALITY, ALBEDO_QUALITY, *flags)}
    image = view.image
    total = max(float(image.mean(dtype=np.float64)), 1e-30)
    for index, (shading, residual) in enumerate(zip(view.shading, view.residual, strict=True)):
        for name, layer, quality in (("shading", shading, SHADING_QUALITY), ("residual", residual, RESIDUAL_QUALITY)):
            meta[f"{name}{index}"] = code = log_code(layer)
            members[f"{name}{index}.webp"] = _encode_log(layer, code, quality)
        share = float((view.albedo * shading + residual).mean(dtype=np.float64)) / total
        meta[f"shading{index}"]["frac"] = round(share, 6)
    if view.surface is not None:
        members["surface.png"] = _encode(".png", view.surface, cv2.IMWRITE_PNG_COMPRESSION, 9)
    if view.normal is not None:
        coded_normal = np.round((np.clip(view.normal, -1, 1) + 1) * 127.5).astype(np.uint8)
        members["normal.webp"] = _encode(".webp", coded_normal, cv2.IMWRITE_WEBP_QUALITY, NORMAL_QUALITY)
    members["mask.png"] = _encode(".png", view.mask.astype(np.uint8) * 255, cv2.IMWRITE_PNG_BILEVEL, 1)
    meta["crc32"] = {name: checksum(content) for name, content in members.items()}
    decoded = decode_members({**members, "json": _to_json(meta)}).decode()
    meta["decode_error"] = round(_relative_error(decoded.image, image), 5)
    return {**members, "json": _to_json(meta)}


def _check(view: View) -> None:
    groups, (height, width) = view.meta["groups"], view.mask.shape
    if not 1 <= len(groups) <= MAX_LIGHT_GROUPS:
        raise ValueError(f"found {len(groups)} light groups, expected 1 to {MAX_LIGHT_GROUPS}")
    expected = {"albedo": (height, width, 3), "shading": (len(groups), height, width, 3)}
    expected["residual"] = expected["shading"]
    if view.normal is not None and view.normal.shape != (height, width, 3):
        raise ValueError(f"found normal of shape {view.normal.shape}, expected {(height, width, 3)}")
    if view.surface is not None and (view.surface.shape != view.mask.shape or view.surface.dtype != np.uint8):
        raise ValueError(f"found surface of {view.surface.dtype} {view.surface.shape}, expected uint8 {view.mask.shape}")
    for name, shape in expected.items():
        layer = getattr(view, name)
        if layer.shape != shape:
            raise ValueError(f"found {name} of shape {layer.shape}, expected {shape}")
        if not (np.isfinite(layer).all() and (layer >= 0).all()):
            raise ValueError(f"found negative or non-finite values in {name}, expected none")


def _to_json(meta: dict) -> bytes:
    def plain(value: object) -> object:
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(f"{type(value).__name__} in a view's meta, expected what JSON can hold")

    return json.dumps(meta, separators=(",", ":"), allow_nan=False, default=plain).encode()


def _relative_error(decoded: np.ndarray, image: np.ndarray) -> float:
    """Median relative error over pixels brighter than 1% of the 95th percentile; 0 for a black image."""
    light = image.mean(-1)
    lit = light > 0.01 * np.percentile(light, 95)
    return float(np.median((np.abs(decoded - image).mean(-1))[lit] / light[lit])) if lit.any() else 0.0


def write_tar(path: Path, views: Sequence[tuple[str, dict[str, bytes]]]) -> None:
    """Write views as (key, members) into a tar, flushed to the disk. The same views give the same bytes."""
    with open(path, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for key, members in views:
                for extension, content in members.items():
                    entry = tarfile.TarInfo(f"{key}.{extension}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
        file.flush()
        os.fsync(file.fileno())


def _tar_bytes(members: dict[str, bytes]) -> int:
    return sum(512 + (len(content) + 511) // 512 * 512 for content in members.values())


def unit_of(key: str) -> str:
    """The unit that a key belongs to: what stands before its last underscore (the key itself if it has none)."""
    return key.rpartition("_")[0] or key


@dataclass(frozen=True)
class Counts:
    """Of one split. views: in shards and staged; staged: units that wait for a shard; rejected: units without a view."""

    views: int = 0
    units: int = 0
    staged: int = 0
    rejected: int = 0
    shards: int = 0


class Staging:
    """Units on their way into the shards of one folder.

    `folder/.staging/SPLIT/UNIT.tar` holds a unit's views, `UNIT.rejected` the reason why it has none, and
    `.staging/index/SHARD.json` the units of a published shard, so that a resumed run reads no shard. A unit belongs to one
    split for ever: found in another one, it counts as done.
    """

    def __init__(self, folder: str | Path) -> None:
        """Opens or creates a folder. OSError: it cannot be created. ShardError: it holds a broken shard."""
        self.folder = Path(folder)
        self._root = self.folder / ".staging"
        self._index = self._root / "index"
        for part in (self._index, *(self._root / split for split in SPLITS)):
            part.mkdir(parents=True, exist_ok=True)
        self._shards: dict[str, dict[str, int]] = {}
        self._published: dict[str, str] = {}
        with self._lock():
            self._index_shards()

    def is_done(self, split: str, unit: str) -> bool:
        """Whether the unit is staged, rejected or in a shard, in whichever split: add it only if not."""
        self._validate(split, unit)
        names = [self._root / other / f"{unit}{suffix}" for other in SPLITS for suffix in (".tar", ".rejected")]
        if unit in self._published or any(name.exists() for name in names):
            return True
        # Published by another process since: its staged file went after the index came.
        self._read_index()
        return unit in self._published

    def add(
        self, split: str, unit: str, views: Sequence[tuple[str, dict[str, bytes]]], reason: str = "gave no view"
    ) -> None:
        """Stage a unit, all of it or nothing. views: (key, members) with keys `UNIT_NUMBER`; without any, the unit is
        marked as rejected with `reason`. A unit that is staged already is replaced.

        ValueError: names that the format does not allow.
        """
        self._validate(split, unit)
        keys = [key for key, _ in views]
        if len(set(keys)) < len(keys) or any(
            not key.startswith(unit) or not _NUMBER.fullmatch(key[len(unit) :]) for key in keys
        ):
            raise ValueError(f"keys {keys}, expected different ones of the form {unit}_NUMBER")
        name = self._root / split / unit
        if views:
            with replace_when_complete(f"{name}.tar") as temporary:
                write_tar(temporary, views)
            Path(f"{name}.rejected").unlink(missing_ok=True)
        else:
            write_complete(f"{name}.rejected", reason + "\n")

    def rejections(self, split: str) -> dict[str, str]:
        """The rejected units of a split and why. Deleting `.staging/SPLIT/UNIT.rejected` makes a run try one again."""
        self._validate(split)
        paths = sorted((self._root / split).glob("[!.]*.rejected"))
        return {path.stem: path.read_text(encoding="utf-8").strip() for path in paths}

    def counts(self) -> dict[str, Counts]:
        """Counts of every split."""
        self._read_index()
        result = {}
        for split in SPLITS:
            staged: dict[str, int] = {}
            for path in self._staged_tars(split):
                # Gone or unreadable: another process has just published it, or `publish` will name it.
                with suppress(ShardError):
                    staged.update(unit_counts(path))
            staged = {unit: views for unit, views in staged.items() if unit not in self._published}
            shards = [units for name, units in self._shards.items() if name.startswith(f"{split}-")]
            packed: Counter[str] = Counter()
            for units in shards:
                packed.update(units)
            rejected = sum(1 for _ in (self._root / split).glob("[!.]*.rejected"))
            views = sum(packed.values()) + sum(staged.values())
            result[split] = Counts(views, len(packed) + len(staged), len(staged), rejected, len(shards))
        return result

    def publish(self, split: str, max_bytes: int = SHARD_BYTES, final: bool = False) -> list[Path]:
        """Pack staged units into new shards of at most max_bytes (a larger unit gets one of its own); returns their paths.

        What does not fill a shard waits, unless `final`. Nothing is overwritten; a second process that publishes at the
        same time waits for the first. Staged files that cannot be read are named in the log and removed, so that their
        units are made again. ShardError: the folder holds a broken shard.
        """
        self._validate(split)
        made = []
        with self._lock():
            self._index_shards()
            batch: list[tuple[Path, list[tuple[str, dict[str, bytes]]]]] = []
            size = 0
            for path in self._staged_tars(split):
                if path.stem in self._published:
                    path.unlink()
                    continue
                try:
                    views = list(raw_views(path))
                except ShardError as error:
                    log.warning("%s; removed, the unit will be made again", error)
                    path.unlink()
                    continue
                bytes_ = sum(_tar_bytes(members) for _, members in views)
                if batch and size + bytes_ > max_bytes:
                    made.append(self._publish_shard(split, batch))
                    batch, size = [], 0
                batch.append((path, views))
                size += bytes_
            if batch and (final or size >= max_bytes):
                made.append(self._publish_shard(split, batch))
        return made

    def _publish_shard(self, split: str, batch: list[tuple[Path, list[tuple[str, dict[str, bytes]]]]]) -> Path:
        """Shard, then index, then the staged files: whatever the last step was, `_index_shards` finds where to go on."""
        path = self.folder / f"{split}-{self._next_number(split):05d}.tar"
        # Not in the folder itself, whose *.tar are shards.
        temporary = self._root / f".{path.stem}.{secrets.token_hex(8)}.part"
        try:
            write_tar(temporary, [view for _, views in batch for view in views])
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._write_index(path.name, Counter({staged.stem: len(views) for staged, views in batch}))
        for staged, _ in batch:
            staged.unlink()
        return path

    def _next_number(self, split: str) -> int:
        matches = filter(None, map(_SHARD.fullmatch, os.listdir(self.folder)))
        return max((int(match[2]) for match in matches if match[1] == split), default=-1) + 1

    def _staged_tars(self, split: str) -> list[Path]:
        """In an order that mixes what was made one after the other, the same each time."""
        paths = (self._root / split).glob("[!.]*.tar")
        return sorted(paths, key=lambda path: sha256(path.stem.encode()).digest())

    def _index_shards(self) -> None:
        """Read the index; shards without an entry (from a run that was killed, or copied here) get one. Needs the lock."""
        for left_over in self._root.glob(".*.part"):
            left_over.unlink()
        self._read_index()
        for path in sorted(self.folder.glob("*.tar")):
            if _SHARD.fullmatch(path.name) and path.name not in self._shards:
                self._write_index(path.name, unit_counts(path))

    def _read_index(self) -> None:
        for entry in self._index.glob("[!.]*.json"):
            name = f"{entry.stem}.tar"
            if name in self._shards or not (self.folder / name).exists():
                continue
            content = json.loads(entry.read_text(encoding="utf-8"))
            # Of another size, it is the index of a shard that somebody removed, whose name is in use again.
            if content["bytes"] == (self.folder / name).stat().st_size:
                self._remember(name, content["units"])

    def _write_index(self, name: str, units: dict[str, int]) -> None:
        content = {"bytes": (self.folder / name).stat().st_size, "units": units}
        write_complete(self._index / f"{Path(name).stem}.json", json.dumps(content))
        self._remember(name, units)

    def _remember(self, name: str, units: dict[str, int]) -> None:
        self._shards[name] = dict(units)
        self._published.update(dict.fromkeys(units, name))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Holds the folder's lock, which the system drops when a process dies."""
        try:
            import fcntl
        except ImportError:  # Windows: one process at a time publishes
            yield
            return
        with open(self._root / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _validate(split: str, unit: str = "unit") -> None:
        if split not in SPLITS:
            raise ValueError(f"split {split!r}, expected one of {', '.join(SPLITS)}")
        if not _UNIT.fullmatch(unit):
            raise ValueError(f"unit {unit!r}, expected 1 to 72 letters, digits, hyphens and underscores")


def unit_counts(path: Path) -> Counter[str]:
    """Views of each unit in a tar, from its headers alone. ShardError: it is missing or broken."""
    try:
        with tarfile.open(path) as tar:
            keys = {Path(name).name.partition(".")[0] for name in tar.getnames()}
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ShardError(f"{path}: found a broken archive ({error}), expected a tar shard") from None
    return Counter(map(unit_of, keys))
