"""The shard format, and its reader. A shard is a tar file with views; every light group of a view is stored apart.

**Folder.** `{split}-{number}.tar`, split = train, val, test or clip (frames of clips, in their order; nothing trains on
them as single views), number = at least five digits from 00000. A shard is never changed once it is there; new ones take
the next number. `.staging/` belongs to the writer (`intrinsic_flow.train.data.shard_writer`) and readers leave it alone.

**Keys.** The members of a view are `KEY.EXTENSION` and follow each other in the tar. A key has no dot and is unique in
its folder: `UNIT_NUMBER`, NUMBER without underscore. All views of a unit (one rendered scene, one clip, one photographed
frame) are in one shard, in order. The extension starts at the first dot of the name.

**Members** of a view with K = 1..3 light groups, all of one size (H, W):

    KEY.albedo.jpg       albedo A: `A = v ** 2` with v = 8-bit value / 255; JPEG, 4:4:4
    KEY.shading{k}.webp  diffuse shading S_k (irradiance / pi) of group k = 0 .. K-1, log coded
    KEY.residual{k}.webp R_k, log coded: all that is no Lambertian reflection at the first hit (gloss, metal, sky, lamps)
    KEY.mask.png         1 bit: 1 = A and S_k are ground truth; 0 = sky, lamps, metal, glass, A < 0.02, pixels that a
                         silhouette covers in part. A and S_k mean nothing where it is 0; the image still holds there
    KEY.surface.png      optional, 8 bit grey: which surface most of the pixel shows, an index into the json's `surfaces`
    KEY.normal.webp      optional: shading normal in the camera's axes (x right, y up, z towards the viewer),
                         `n = 2 * v - 1` with v = 8-bit value / 255, length 1 within its coding; 0.5 grey where nothing is
    KEY.json             UTF-8, described below

Everything is linear light, RGB, Rec.709 primaries, in arbitrary exposure: normalise the image of each view (or clip). The
image is `sum_k gain_k * color_k * (A * S_k + R_k)` for any positive gains and light colours; all ones are the default
light. Log code: `x = expm1(v * log1p(k * xmax / m)) * m / k`; values above xmax were clipped.

**JSON**, required:

    groups               list of K names, for rendered views of sun, sky (environment or window), ceiling, lamps;
                         for an image that came with its albedo ["image"]
    shading{k}           {"k", "m", "xmax", "frac"}: constants of the log code (all > 0), and the group's share of the
                         default image, `mean(A * S_k + R_k) / mean(image)`, mean over pixels and channels
    residual{k}          {"k", "m", "xmax"}

optional, for what they describe:

    crc32                {"albedo.jpg": 8 hexadecimal digits, ...}: zlib.crc32 of every other member; checked where present
    decode_error         median over the pixels brighter than 1% of the image's 95th percentile of the relative error that
                         coding leaves in the image (mean over channels of |decoded - image|, over the pixel's mean)
    kind                 what is seen: room, objects, outdoor, ..., pair, hypersim
    scene                name of what views of one unit share (older shards: seed); source: where a pair comes from
    clip                 name of the clip that the view is a frame of; its frames have one size and the same groups
    frame, frames        the frame's index from 0, and how many frames the clip has
    fps                  frames per second of the clip
    surfaces             of surface.png: a list of [material, object, color] for each index. material: what it is made of,
                         one of skin, eye, hair, cloth, shoes, leather, print, paper, wood, metal, plastic, ceramic, glass,
                         translucent (wax, soap, jade, milk glass), stone, foliage, ground, floor, wall, roof, scan, other,
                         sky (nothing was hit), lamp. object: number of the thing that it belongs to (in a clip the same in
                         all frames), -1 for sky and lamp. Two paints of one thing are two surfaces. color: mean linear
                         albedo of its pixels in this view, or null
    cut                  true for a clip's frame that does not continue the one before it

Further fields (camera, env, seed, spp, noise, ...) are the writer's own.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

MAX_LIGHT_GROUPS = 3


class ShardError(Exception):
    """A shard or a view in it cannot be read. The message names the file, what was found and what is expected."""


@dataclass(frozen=True)
class CodedView:
    """One view as stored: 8-bit codes and the constants that decode them.

    albedo: (H, W, 3) uint8, square-root coded. shading, residual: (K, H, W, 3) uint8, log coded.
    mask: (H, W) bool. shading_code, residual_code: (K, 2) float32 rows `(a, b)` with `x = b * expm1(a * v)`.
    light_share: (K,) float32, each group's share of the default image. surface: (H, W) uint8 indices into
    `meta["surfaces"]`, normal: (H, W, 3) uint8 as stored; None where the shard has none.
    """

    albedo: np.ndarray
    shading: np.ndarray
    residual: np.ndarray
    mask: np.ndarray
    shading_code: np.ndarray
    residual_code: np.ndarray
    light_share: np.ndarray
    meta: dict
    surface: np.ndarray | None = None
    normal: np.ndarray | None = None

    def decode(self) -> View:
        """The view in linear light."""
        return View(
            albedo=np.square(self.albedo.astype(np.float32) / 255),
            shading=_decode_log(self.shading, self.shading_code),
            residual=_decode_log(self.residual, self.residual_code),
            mask=self.mask,
            meta=self.meta,
            surface=self.surface,
            normal=None if self.normal is None else self.normal.astype(np.float32) * (2 / 255) - 1,
        )


@dataclass(frozen=True)
class View:
    """One view in linear light, Rec.709 primaries, arbitrary exposure.

    albedo: (H, W, 3) float32 in [0, 1]. shading, residual: (K, H, W, 3) float32, non-negative.
    mask: (H, W) bool, where albedo and shading are valid. surface: (H, W) uint8, indices into `meta["surfaces"]`; normal:
    (H, W, 3) float32 in the camera's axes (right, up, towards the viewer). Both are None where nobody knows them.
    """

    albedo: np.ndarray
    shading: np.ndarray
    residual: np.ndarray
    mask: np.ndarray
    meta: dict
    surface: np.ndarray | None = None
    normal: np.ndarray | None = None

    def of_material(self, *materials: str) -> np.ndarray:
        """(H, W) bool: pixels that show one of these materials; nowhere in a view without surfaces."""
        if self.surface is None:
            return np.zeros(self.mask.shape, bool)
        wanted = [index for index, (material, *_) in enumerate(self.meta["surfaces"]) if material in materials]
        return np.isin(self.surface, wanted)

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


def checksum(content: bytes) -> str:
    """CRC-32 as 8 hexadecimal digits."""
    return f"{zlib.crc32(content):08x}"


def decode_members(members: dict[str, bytes]) -> CodedView:
    """Decode one view's members (`{"albedo.jpg": bytes, ...}`). KeyError or ValueError: a member is missing or broken.

    Members are checked against the json's checksums where it has any (shards before them stay readable).
    """
    meta = json.loads(members["json"])
    for name, expected in meta.get("crc32", {}).items():
        if (found := checksum(members[name])) != expected:
            raise ValueError(f"{name} has checksum {found}, expected {expected}")
    groups = range(len(meta["groups"]))
    surface = _read_rgb(members["surface.png"], cv2.IMREAD_GRAYSCALE) if "surface.png" in members else None
    if surface is not None and surface.max() >= len(meta["surfaces"]):
        raise ValueError(f"surface.png with index {surface.max()}, expected less than the {len(meta['surfaces'])} surfaces")
    return CodedView(
        albedo=_read_rgb(members["albedo.jpg"]),
        shading=np.stack([_read_rgb(members[f"shading{k}.webp"]) for k in groups]),
        residual=np.stack([_read_rgb(members[f"residual{k}.webp"]) for k in groups]),
        mask=_read_rgb(members["mask.png"], cv2.IMREAD_GRAYSCALE) > 127,
        shading_code=np.array([_log_code(meta[f"shading{k}"]) for k in groups], np.float32),
        residual_code=np.array([_log_code(meta[f"residual{k}"]) for k in groups], np.float32),
        light_share=np.array([meta[f"shading{k}"]["frac"] for k in groups], np.float32),
        meta=meta,
        surface=surface,
        normal=_read_rgb(members["normal.webp"]) if "normal.webp" in members else None,
    )


def raw_views(path: str | Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Iterate over a shard without decoding: (key, members). Raises ShardError for a missing or broken tar."""
    path = Path(path)
    key, members = "", dict[str, bytes]()
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() else None
                if content is None:
                    continue
                stem, _, extension = Path(entry.name).name.partition(".")
                if stem != key and members:
                    yield key, members
                    members = {}
                key = stem
                members[extension] = content.read()
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
