"""Rendered clips with ground truth: shards whose views are the frames of a video.

A frame is a view (`train/data/shards.py`) whose JSON has `clip` (name), `frame` (from 0), `frames` (of the clip), `fps`,
maybe `clip_kind` (what happens) and, where they apply, `cut: true` (the first frame of another shot) and `light_change:
true` (its light is not the last frame's).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from intrinsic_flow.train.data.shards import CodedView, ShardError, View, coded_views


@dataclass(frozen=True)
class Clip:
    """One clip. name: with what happens in it, where its views say so. frames are decoded one by one, since decoded ones
    are large. cuts, light_changes: frame numbers."""

    name: str
    fps: float
    frames: tuple[CodedView, ...]
    cuts: frozenset[int]
    light_changes: frozenset[int]

    def __iter__(self) -> Iterator[View]:
        return (frame.decode() for frame in self.frames)

    @property
    def switches(self) -> tuple[int, ...]:
        """Frames at which light changes after a frame at which it did not."""
        return tuple(
            sorted(k for k in self.light_changes if k > 0 and k - 1 not in self.light_changes and k not in self.cuts)
        )


def read_clips(paths: Sequence[Path]) -> list[Clip]:
    """All clips of some shards, or of a folder's `clip-*.tar`, by name. Views that belong to no clip are passed over.

    Raises ShardError for a broken shard, one without any clip, or a clip of which frames are missing.
    """
    shards = [shard for path in paths for shard in (sorted(path.glob("clip-*.tar")) if path.is_dir() else [path])]
    found: dict[str, dict[int, CodedView]] = {}
    for shard in shards:
        for _, view in coded_views(shard):
            if "clip" in view.meta:
                found.setdefault(str(view.meta["clip"]), {})[int(view.meta["frame"])] = view
    if not found:
        raise ShardError(f"{', '.join(map(str, paths))}: found no frame of a clip, expected shards of rendered clips")
    return [_clip(name, frames) for name, frames in sorted(found.items())]


def _clip(name: str, frames: dict[int, CodedView]) -> Clip:
    total = int(next(iter(frames.values())).meta["frames"])
    missing = sorted(set(range(total)) - frames.keys())
    if missing:
        raise ShardError(f"clip {name}: found {len(frames)} frames without frame {missing[0]}, expected {total}")
    ordered = tuple(frames[number] for number in range(total))

    def marked(field: str) -> frozenset[int]:
        return frozenset(number for number, frame in enumerate(ordered) if frame.meta.get(field))

    meta = ordered[0].meta
    if "clip_kind" in meta:
        name = f"{name} {meta['clip_kind']}, {meta['kind']}".replace("_", " ")
    return Clip(name, float(meta.get("fps", 25)), ordered, marked("cut"), marked("light_change"))
