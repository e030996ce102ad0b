"""What every data set gives: named samples that can be loaded one by one, in any order and in any process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.images import read_image

# A view with a truth in less than this share of its pixels is skipped: its scores would say nothing.
MINIMUM_VALID_SHARE = 0.02


class Labels(Protocol):
    """What people or instruments said about a picture that has no dense truth."""

    def picture(self, shape: tuple[int, int]) -> np.ndarray | None:
        """(H, W, 3) float32 in [0, 1], linear light, for the picture sheet; None where there is nothing to draw."""


@dataclass(frozen=True)
class Sample:
    """One picture with its truth.

    image, albedo, shading: (H, W, 3) float32, linear light; a layer without a dense truth is None. mask: (H, W)
    bool, where the truth is valid, or where there is a picture (everywhere) if only `labels` are judged; methods may
    look at nothing else. gray_shading: the truth's shading has no colour, and predictions are compared
    as luminance. group: the scene; views of one scene are no independent draws for an interval, and count as one
    where a protocol says so; by default each view is its own. lights: (H, W, 3) pictures of the same surfaces under
    other lights. labels: what the protocol of a set without dense truth judges.
    """

    name: str
    image: np.ndarray
    albedo: np.ndarray | None
    shading: np.ndarray | None
    mask: np.ndarray
    gray_shading: bool
    group: str = ""
    lights: tuple[np.ndarray, ...] = ()
    labels: Labels | None = None

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Albedo and shading of a sample whose truth is dense. ValueError for one that has only labels."""
        if self.albedo is None or self.shading is None:
            raise ValueError(f"{self.name}: found no dense truth, expected albedo and shading")
        return self.albedo, self.shading

    @property
    def valid_share(self) -> float:
        """Share of the pixels that have a truth."""
        return float(self.mask.mean())

    @property
    def usable(self) -> bool:
        """Whether scores say anything: enough valid pixels, of which not 99% are black in any layer."""
        if self.valid_share < MINIMUM_VALID_SHARE:
            return False
        layers = (layer for layer in (self.image, self.albedo, self.shading) if layer is not None)
        return all(np.percentile(layer[self.mask].mean(-1), 99) > 0 for layer in layers)


class Dataset(ABC):
    """Samples by name.

    A subclass states its `name`, the `layout` that it reads, where the data is `published`, and its `splits` (the
    first is the default). Its constructor finds the files, reads no pictures and raises InputError in one line.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    published: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("all",)

    def __init__(self, path: Path, split: str | None = None) -> None:
        """path: what the user downloaded. split: one of `splits`. Raises InputError where the layout is another."""
        self.path = path
        self.split = split or self.splits[0]
        if self.split not in self.splits:
            raise InputError(path, f"no split {self.split!r} of {self.name}", f"--split {' or '.join(self.splits)}")
        if not path.exists():
            raise self.wrong_layout("nothing there")
        self.names: Sequence[str] = ()

    @classmethod
    def expected(cls) -> str:
        """The layout and the source, for messages."""
        return f"{cls.layout} (published at {cls.published})"

    def wrong_layout(self, found: str, path: Path | None = None) -> InputError:
        """The error for a folder that does not hold this set."""
        return InputError(path or self.path, found, self.expected())

    @abstractmethod
    def load(self, name: str) -> Sample:
        """One of `names`. Raises InputError for a missing or unreadable file."""

    def describe(self) -> Mapping[str, object]:
        """What a report should say about the files, as JSON values; empty where there is nothing to say."""
        return {}

    def remarks(self, description: Mapping[str, Any]) -> list[str]:
        """Lines for a reader, drawn from what `describe` returned."""
        return []

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        """Every sample in order."""
        for name in self.names:
            yield self.load(name)


def read_linear(path: Path) -> np.ndarray:
    """A file whose samples are linear light, integers over their largest value -> (H, W, 3) float32."""
    return np.maximum(read_image(path, colorspace="linear").pixels, 0)


def read_photo(path: Path) -> np.ndarray:
    """A photo (sRGB, or its embedded profile) -> (H, W, 3) float32, linear light."""
    return np.maximum(read_image(path).pixels, 0)


def same_size(path: Path, picture: np.ndarray, like: Path, reference: np.ndarray) -> None:
    """Raises InputError that names `path` unless both pictures have one size."""
    found, wanted = picture.shape[1::-1], reference.shape[1::-1]
    if found != wanted:
        raise InputError(path, f"{found[0]}x{found[1]} pixels", f"{wanted[0]}x{wanted[1]} like {like.name}")


def over_99th_percentile(truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Truth of arbitrary scale over the 99th percentile of its masked values; unchanged if that is 0."""
    peak = np.percentile(truth[mask], 99) if mask.any() else 0.0
    return (truth / peak).astype(np.float32) if peak > 0 else truth


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) float32 -> size (width, height): area averages where it shrinks, bilinear where it grows."""
    if picture.shape[1::-1] == size:
        return picture
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def fitted(shape: Sequence[int], long_side: int) -> tuple[int, int]:
    """(width, height) with the aspect ratio of `shape` (H, W, ...) whose longer side is `long_side`."""
    factor = long_side / max(shape[:2])
    return max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))
