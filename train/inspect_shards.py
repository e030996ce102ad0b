"""Say what training shards hold, whether it looks like the world, and whether every byte of it is readable.

    python -m train.inspect_shards shards/ --sheet sheet.png
    python -m train.inspect_shards shards/ more/train-00007.tar --photos photos/ --json report.json

Counts by split, kind and light; statistics of albedo, image and light (median over the views of the most frequent size,
5th and 95th percentile in brackets); the same image statistics for a folder of ordinary photographs; a contact sheet of
image | albedo | shading | residual. A broken shard or view is named and skipped.

Exit code: 0 all is well, 1 some shards or views are broken, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.cli.option_types import at_least
from intrinsic_flow.cli.progress import Counter as ProgressCounter
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import DONE, FAILED, command_parser
from intrinsic_flow.decomposition.pipeline import in_order
from intrinsic_flow.errors import InputError
from intrinsic_flow.json_file import write_json
from intrinsic_flow.media.images import IMAGE_SUFFIXES, read_image
from intrinsic_flow.train.data.contact_sheet import contact_sheet, evenly, write_picture
from intrinsic_flow.train.data.decomposed import reduce, windows
from intrinsic_flow.train.data.preparation import resumable
from intrinsic_flow.train.data.shard_writer import SPLITS, unit_counts, unit_of
from intrinsic_flow.train.data.shards import CodedView, ShardError, View, decode_members, raw_views
from intrinsic_flow.train.data.view_statistics import (
    EDGE,
    NATURAL_ALBEDO,
    AlbedoStatistics,
    PictureStatistics,
    albedo_statistics,
    albedo_summary,
    picture_statistics,
    picture_summary,
    summary,
)

_SHARD = re.compile(rf"({'|'.join(SPLITS)})-\d+\.tar")
OTHER = "other"
_STATISTICS = ("valid", "correlation", "with_image", "warmth", "clipped", "luminance", "contrast", "saturation", "edges")
_Item = tuple[str, Path, str, dict[str, bytes]]


@dataclass
class SplitReport:
    """What one split holds, collected view by view."""

    shards: int = 0
    bytes: int = 0
    views: int = 0
    view_bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    scenes: set[str] = field(default_factory=set)
    clips: set[str] = field(default_factory=set)
    checked: int = 0
    decode_errors: list[float] = field(default_factory=list)
    shares: dict[str, list[float]] = field(default_factory=dict)
    residual: list[float] = field(default_factory=list)
    pictures: dict[str, list[PictureStatistics]] = field(default_factory=dict)
    albedos: dict[str, list[AlbedoStatistics]] = field(default_factory=dict)
    with_surfaces: int = 0
    materials: dict[str, float] = field(default_factory=dict)

    def add(self, key: str, view: Measured) -> None:
        """Count one view in."""
        meta = view.meta
        self.views += 1
        self.view_bytes += view.bytes
        self.kinds[str(meta.get("kind", "unknown"))] += 1
        self.groups["+".join(meta["groups"])] += 1
        self.sizes[view.size] += 1
        self.scenes.add(str(meta.get("scene", meta.get("seed", unit_of(key)))))
        if "clip" in meta:
            self.clips.add(str(meta["clip"]))
        self.checked += "crc32" in meta
        # Older shards call it err_decode.
        if (error := meta.get("decode_error", meta.get("err_decode"))) is not None:
            self.decode_errors.append(float(error))
        for name, share in zip(meta["groups"], view.shares, strict=True):
            self.shares.setdefault(name, []).append(share)
        self.residual.append(view.residual)
        self.with_surfaces += bool(view.materials)
        for name, share in view.materials.items():
            self.materials[name] = self.materials.get(name, 0.0) + share
        self.pictures.setdefault(view.size, []).append(view.picture)
        if view.albedo is not None:
            self.albedos.setdefault(view.size, []).append(view.albedo)

    def to_dict(self) -> dict[str, object]:
        """For the report; statistics are of the views of the most frequent size, and null without any."""
        size = self.sizes.most_common(1)[0][0] if self.sizes else ""
        pictures, albedos = self.pictures.get(size), self.albedos.get(size)
        return {
            "shards": self.shards,
            "megabytes": round(self.bytes / 1e6, 2),
            "views": self.views,
            "kilobytes_per_view": round(self.view_bytes / 1e3 / self.views, 1) if self.views else None,
            "scenes": len(self.scenes),
            "clips": len(self.clips),
            "kinds": dict(self.kinds.most_common()),
            "light_groups": dict(self.groups.most_common()),
            "sizes": dict(self.sizes.most_common()),
            "views_with_checksums": self.checked,
            "views_with_surfaces": self.with_surfaces,
            "materials": {name: round(sum_ / self.with_surfaces, 4) for name, sum_ in sorted(self.materials.items())},
            "decode_error": summary(self.decode_errors),
            "light_share": {name: summary(shares) for name, shares in sorted(self.shares.items())},
            "residual_share": summary(self.residual),
            "image": picture_summary(pictures) if pictures else None,
            "albedo": albedo_summary(albedos) if albedos else None,
        }


@dataclass(frozen=True)
class Measured:
    """What the report takes from one view. shares: of the light groups; residual: share of the image's light;
    materials: share of the pixels that show each, empty without surfaces."""

    meta: dict
    size: str
    bytes: int
    shares: tuple[float, ...]
    residual: float
    picture: PictureStatistics
    albedo: AlbedoStatistics | None
    materials: dict[str, float]


_Result = tuple[CodedView, Measured] | str


def measure(coded: CodedView, bytes_: int) -> Measured:
    """Statistics of one view."""
    view: View = coded.decode()
    image = view.image
    height, width = view.mask.shape
    return Measured(
        meta=view.meta,
        size=f"{width}x{height}",
        bytes=bytes_,
        shares=tuple(coded.light_share.tolist()),
        residual=float(view.residual.sum(dtype=np.float64) / max(float(image.sum(dtype=np.float64)), 1e-30)),
        picture=picture_statistics(image),
        albedo=albedo_statistics(view),
        materials=_materials(view),
    )


def _materials(view: View) -> dict[str, float]:
    if view.surface is None:
        return {}
    names = sorted({material for material, *_ in view.meta["surfaces"]})
    return {name: float(view.of_material(name).mean()) for name in names}


def find_shards(inputs: Sequence[str], split: str | None) -> list[tuple[str, Path]]:
    """(split, path) of every shard; tar files of other names count as "other". InputError: nothing there."""
    found: dict[Path, str] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            paths = sorted(path.glob("*.tar"))
            if not paths:
                raise InputError(path, "no *.tar file", "a folder of shards")
        elif path.exists():
            paths = [path]
        else:
            raise InputError(path, "nothing there", "a shard or a folder of shards")
        for shard in paths:
            match = _SHARD.fullmatch(shard.name)
            found[shard] = match[1] if match else OTHER
    result = [(name, path) for path, name in found.items() if split in (None, name)]
    if not result:
        raise InputError(inputs[0], f"no {split}-*.tar", "shards of that split")
    return sorted(result, key=lambda item: ((*SPLITS, OTHER).index(item[0]), item[1]))


def inspect(
    shards: Sequence[tuple[str, Path]], progress: Progress, sheet_views: int
) -> tuple[dict[str, SplitReport], list[str], list[tuple[str, View]]]:
    """Read every view. Returns the splits' reports, a line for each broken shard or view, and views for the sheet."""
    reports: dict[str, SplitReport] = {}
    problems: list[str] = []
    pictured: list[tuple[str, View]] = []

    def items() -> Iterator[_Item]:
        for split, path in shards:
            report = reports.setdefault(split, SplitReport())
            report.shards += 1
            report.bytes += path.stat().st_size
            try:
                for key, members in raw_views(path):
                    yield split, path, key, members
            except ShardError as error:
                problems.append(str(error))

    def work(item: _Item) -> tuple[str, str, _Result]:
        split, path, key, members = item
        try:
            coded = decode_members(members)
            return split, key, (coded, measure(coded, sum(map(len, members.values()))))
        except (KeyError, ValueError, TypeError, cv2.error) as error:
            found = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            return split, key, f"{path}: view {key}: found {found}, expected the members of a view"

    total = _count_views(shards)
    on_sheet = evenly(total, sheet_views)
    counter = ProgressCounter(progress, "inspected", total, "views")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, (split, key, result) in enumerate(in_order(pool, work, items(), 32)):
            counter.advance()
            if isinstance(result, str):
                problems.append(result)
                continue
            coded, measured = result
            reports[split].add(key, measured)
            if index in on_sheet:
                pictured.append((key, coded.decode()))
    progress.show("")
    return reports, problems, pictured


def _count_views(shards: Sequence[tuple[str, Path]]) -> int:
    """From the tars' headers alone; a broken shard counts nothing."""
    count = 0
    for _, path in shards:
        with suppress(ShardError):
            count += sum(unit_counts(path).values())
    return count


def photo_statistics(folder: Path, side: int, progress: Progress) -> tuple[list[PictureStatistics], list[str]]:
    """Statistics of the centre square of every photograph, reduced to `side`, and a line for each unreadable one.

    InputError: no photograph in the folder.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "a folder of photographs")
    pictures, problems = [], []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES):
        try:
            pixels = np.maximum(read_image(path).pixels, 0)
        except InputError as error:
            problems.append(str(error))
            continue
        height, width = pixels.shape[:2]
        small = reduce(pixels, np.ones((height, width), bool), min(side, height, width))
        rows, columns = windows(small.shape[0], small.shape[1], 1)[0]
        pictures.append(picture_statistics(small[rows, columns]))
        progress.show(f"read {path.name}")
    progress.show("")
    if not pictures:
        raise InputError(folder, "no readable photograph", "PNG, JPEG or other image files")
    return pictures, problems


def text_report(report: dict) -> str:
    """The report for the terminal."""
    lines = []
    for split, values in report["splits"].items():
        lines.append(
            f"{split}: {values['views']} views of {values['scenes']} scenes in {values['shards']} shards, "
            f"{values['megabytes']} MB, {values['kilobytes_per_view']} kB a view"
        )
        if values["clips"]:
            lines.append(f"  {values['clips']} clips")
        for title, key in (("kinds", "kinds"), ("light", "light_groups"), ("pixels", "sizes")):
            lines.append(f"  {title}: " + ", ".join(f"{name} {count}" for name, count in values[key].items()))
        lines.append(f"  checksums in {values['views_with_checksums']} views")
        if values["views_with_surfaces"]:
            of_pixels = ", ".join(f"{name} {share:.3f}" for name, share in values["materials"].items())
            lines.append(f"  surfaces in {values['views_with_surfaces']} views, of their pixels: {of_pixels}")
        lines.append(f"  decode error {_range(values['decode_error'])}")
        shares = [f"{name} {_range(share)}" for name, share in values["light_share"].items()]
        lines.append(f"  share of the light: {', '.join(shares)}; residual {_range(values['residual_share'])}")
        if values["albedo"]:
            lines.append("  albedo " + "  ".join(f"{k} {v:.3f}" for k, v in values["albedo"]["luminance"].items()))
            low, high = NATURAL_ALBEDO
            lines.append(f"  albedo in {low}-{high}: {values['albedo']['natural_share']:.3f} of the valid pixels")
    rows = {f"{split} image": values["image"] for split, values in report["splits"].items() if values["image"]}
    if report["photos"]:
        rows["photos"] = report["photos"]["image"]
    rows |= {f"{split} albedo": values["albedo"] for split, values in report["splits"].items() if values["albedo"]}
    if rows:
        lines += ["", *_table(rows)]
    return "\n".join(lines)


def _table(rows: dict[str, dict]) -> list[str]:
    """One line a statistic, one column a row of `rows`."""
    statistics = {name: [values.get(name) for values in rows.values()] for name in _STATISTICS}
    for scale in next(iter(rows.values()))["texture"]:
        statistics[f"texture {scale}"] = [values["texture"][scale] for values in rows.values()]
    lines = [" " * 14 + "".join(f"{title:22}" for title in rows)]
    for name, cells in statistics.items():
        # Luminance of albedo stands above, by percentile.
        texts = [_range(cell) if cell and "median" in cell else "-" for cell in cells]
        lines.append(f"{name:14}" + "".join(f"{text:22}" for text in texts))
    return [line.rstrip() for line in lines]


def _range(values: dict[str, float] | None) -> str:
    return f"{values['median']:.3f} ({values['p5']:.3f}-{values['p95']:.3f})" if values else "unknown"


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.inspect_shards", __doc__)
    parser.add_argument("inputs", nargs="+", metavar="FOLDER|TAR", help="shards, or folders of them")
    parser.add_argument("--split", choices=SPLITS, help="only this split")
    parser.add_argument("--json", metavar="FILE", help="write the report there")
    parser.add_argument("--sheet", metavar="FILE.png", help="write a contact sheet there")
    parser.add_argument("--views", type=at_least(0), default=40, help="views on the sheet (default: 40)")
    parser.add_argument("--photos", metavar="DIR", help="compare with the photographs in a folder")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


@resumable()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = build_parser().parse_args(argv)
    progress = Progress(quiet=options.quiet)
    if options.sheet and Path(options.sheet).suffix.lower() != ".png":
        raise InputError(options.sheet, f"the suffix {Path(options.sheet).suffix!r}", "a name that ends in .png")
    shards = find_shards(options.inputs, options.split)
    photos = Path(options.photos) if options.photos else None
    if photos and not photos.is_dir():
        raise InputError(photos, "no such folder", "a folder of photographs")
    reports, problems, pictured = inspect(shards, progress, options.views if options.sheet else 0)
    report: dict[str, object] = {"splits": {split: report.to_dict() for split, report in reports.items()}, "photos": None}
    if photos:
        sizes = sum((report.sizes for report in reports.values()), Counter())
        side = min(map(int, sizes.most_common(1)[0][0].split("x"))) if sizes else 256
        pictures, unreadable = photo_statistics(photos, side, progress)
        problems += unreadable
        report["photos"] = {"pictures": len(pictures), "side": side, "image": picture_summary(pictures)}
    report["definitions"] = {"edge": EDGE, "natural_albedo": NATURAL_ALBEDO}
    report["broken"] = problems
    print(text_report(report))
    try:
        if options.json:
            write_json(options.json, report)
        if options.sheet and pictured:
            write_picture(options.sheet, contact_sheet(pictured))
    except OSError as error:
        raise InputError(error.filename or options.sheet, error.strerror or str(error), "a place to write to") from error
    for line in problems:
        progress.error(f"broken: {line}")
    return FAILED if problems else DONE


if __name__ == "__main__":
    sys.exit(main())
