"""Decoded shards in files that are mapped into memory: any amount of views, started without decoding.

A shard's file is named by the shard's SHA-256, so that a shard that is replaced is decoded anew, and the same shard under
another path is not. It is a safetensors file: one set of tensors for each size and number of light groups, with the keys
and the tensors' CRC-32 in its metadata. Files appear complete; what was decoded before an interruption stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from intrinsic_flow.media.atomic_file import replace_when_complete
from intrinsic_flow.train.data.shards import ShardError
from intrinsic_flow.train.data.store import Views, ViewStore, load_views

log = logging.getLogger(__name__)
# Goes up with what the tensors mean and with which views are left out.
_VERSION = "1"
_FIELDS = ("albedo", "layers", "mask", "code", "light_share", "isolated")


def mapped_views(paths: Sequence[Path], folder: str | Path, limit: int | None = None) -> Views:
    """The views of the shards, mapped from files in `folder`; missing and damaged files are written first.

    Memory holds the pages in use, as far as there is room, and one decoded shard while its file is written. ShardError:
    nothing usable, or a folder that cannot be written.
    """
    stores: list[ViewStore] = []
    count = 0
    for path in paths:
        for store in _stores(path, Path(folder)):
            if limit is not None and count + len(store) > limit:
                store = store.first(limit - count)
            if len(store):
                stores.append(store)
                count += len(store)
    if not stores:
        raise ShardError("the training data: found no usable view, expected at least one")
    return Views(tuple(stores))


def _stores(path: Path, folder: Path) -> tuple[ViewStore, ...]:
    try:
        with path.open("rb") as shard:
            digest = hashlib.file_digest(shard, "sha256").hexdigest()
    except OSError as error:
        raise ShardError(f"{path}: found {error.strerror}, expected a tar shard") from None
    file = folder / f"{digest[:32]}.v{_VERSION}.safetensors"
    if file.exists():
        try:
            return tuple(_read(file))
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: found %s, expected a decoded shard; it is decoded again", file, error)
    start = time.monotonic()
    try:
        views = load_views([path])
    except ShardError as error:
        log.warning("%s: %s", path, error)
        return ()
    _write(file, views.stores)
    log.info("%s: %d views decoded into %s after %.0f s", path, len(views), file, time.monotonic() - start)
    return tuple(_read(file))


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(memoryview(tensor.contiguous().numpy()).cast("B"))  # type: ignore[arg-type]


def _write(file: Path, stores: Sequence[ViewStore]) -> None:
    tensors = {f"{n}.{name}": getattr(store, name) for n, store in enumerate(stores) for name in _FIELDS}
    index = {
        "keys": [store.keys for store in stores],
        "crc32": {name: _checksum(tensor) for name, tensor in tensors.items()},
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(file) as temporary:
            save_file(tensors, temporary, {"index": json.dumps(index)})
    except (OSError, SafetensorError) as error:
        raise ShardError(f"{file}: found {error}, expected a folder with room for decoded views") from None


def _read(file: Path) -> Iterator[ViewStore]:
    """The stores of a file. SafetensorError, OSError, ValueError, KeyError or TypeError for a damaged one."""
    with safe_open(file, "pt") as tensors:
        index = json.loads(tensors.metadata()["index"])
        for n, keys in enumerate(index["keys"]):
            fields = {name: tensors.get_tensor(f"{n}.{name}") for name in _FIELDS}
            for name, tensor in fields.items():
                if _checksum(tensor) != index["crc32"][f"{n}.{name}"]:
                    raise ValueError(f"another checksum of {name}")
            yield ViewStore(**fields, keys=keys)
