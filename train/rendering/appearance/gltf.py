"""Reads glTF 2.0 models (.gltf, .glb; plain, quantised or Draco-compressed) as a few meshes.

https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. Read: triangles with positions, normals and one set of texture
coordinates, node transforms, base colours and their textures, roughness, cut-outs. Not read: skins, animations, cameras.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.train.rendering.appearance import palette
from intrinsic_flow.train.rendering.appearance.patterns.common import encode
from intrinsic_flow.train.rendering.scene import Color, Mesh, Texture

DRACO = "KHR_draco_mesh_compression"
MOST_FACES = 50_000
MOST_PARTS = 40
# Pixels of a texture's longer side; larger ones are reduced.
MOST_PIXELS = 2048

_COMPONENTS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@dataclass(frozen=True, eq=False)
class ModelPart:
    """mesh: uv (0, 0)..(1, 1) is one repeat of the texture. color: linear albedo that multiplies the texture. name: of the
    file's material. roughness, cutoff, clear: as in `Material`; roughness None: the file does not say.
    """

    mesh: Mesh
    color: Color
    texture: Texture | None
    name: str = ""
    roughness: float | None = None
    cutoff: float = 0.0
    clear: bool = False


@dataclass(frozen=True, eq=False)
class Model:
    """An object that stands on z = 0, centred in xy, z up: in metres, or (`read_model(real=False)`) of largest extent 1."""

    name: str
    parts: tuple[ModelPart, ...]


def needs_draco(path: Path) -> bool:
    return DRACO.encode() in path.read_bytes()


def read_model(path: Path, real: bool = False) -> Model:
    """real: the file is in metres and its colours are linear, as glTF demands. Otherwise it is scaled to extent 1, and
    plain colours are taken for display colours, as packs of plain-coloured models (Kenney's among them) store them.

    InputError: no usable model. MissingExtraError: it needs DracoPy, which is not installed.
    """
    try:
        parts = _File(path, real).parts()
    except (InputError, MissingExtraError):
        raise
    except Exception as error:  # a malformed file can fail anywhere below, in as many ways as there are fields
        raise InputError(path, f"{type(error).__name__}: {error}", "a glTF 2.0 model") from error
    faces = sum(len(part.mesh.faces) for part in parts)
    if not 0 < faces <= MOST_FACES or len(parts) > MOST_PARTS:
        raise InputError(
            path, f"{faces} triangles in {len(parts)} parts", f"1 to {MOST_FACES} triangles in at most {MOST_PARTS} parts"
        )
    return Model(path.stem, _standing(path, parts, real))


def _standing(path: Path, parts: list[ModelPart], real: bool) -> tuple[ModelPart, ...]:
    points = np.concatenate([part.mesh.vertices for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    if not np.isfinite(extent) or extent <= 0:
        raise InputError(path, f"an extent of {extent}", "a finite, positive extent")
    origin = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    size = 1.0 if real else extent
    return tuple(replace(part, mesh=replace(part.mesh, vertices=(part.mesh.vertices - origin) / size)) for part in parts)


class _File:
    """One glTF file with its buffers."""

    def __init__(self, path: Path, real: bool) -> None:
        self.path, self.real = path, real
        data = path.read_bytes()
        self.binary = b""
        if data[:4] == b"glTF":
            length = struct.unpack_from("<I", data, 12)[0]
            self.json = json.loads(data[20 : 20 + length])
            self.binary = data[20 + length + 8 :]
        else:
            self.json = json.loads(data)
        self.buffers = [self._bytes(buffer.get("uri")) for buffer in self.json.get("buffers", [])]

    def parts(self) -> list[ModelPart]:
        """One part for each material (and kind of normals), in order of first use."""
        scene = self.json["scenes"][self.json.get("scene", 0)]
        grouped: dict[tuple[int | None, bool], list[Mesh]] = {}
        for node in scene["nodes"]:
            self._walk(node, np.eye(4), grouped)
        return [self._part(_joined(meshes), material) for (material, _), meshes in grouped.items()]

    def _walk(self, index: int, parent: np.ndarray, grouped: dict[tuple[int | None, bool], list[Mesh]]) -> None:
        node = self.json["nodes"][index]
        frame = parent @ _transform(node)
        if "mesh" in node:
            for primitive in self.json["meshes"][node["mesh"]]["primitives"]:
                if primitive.get("mode", 4) == 4:
                    mesh = self._mesh(primitive, frame)
                    grouped.setdefault((primitive.get("material"), mesh.smooth), []).append(mesh)
        for child in node.get("children", []):
            self._walk(child, frame, grouped)

    def _mesh(self, primitive: dict[str, Any], frame: np.ndarray) -> Mesh:
        if DRACO in primitive.get("extensions", {}):
            points, faces, normals, uv = self._draco(primitive["extensions"][DRACO])
        else:
            attributes = primitive["attributes"]
            points = self._accessor(attributes["POSITION"])
            normals = self._accessor(attributes["NORMAL"]) if "NORMAL" in attributes else None
            uv = self._accessor(attributes["TEXCOORD_0"]) if "TEXCOORD_0" in attributes else None
            faces = self._accessor(primitive["indices"]) if "indices" in primitive else np.arange(len(points))
        points = np.asarray(points, np.float64).reshape(-1, 3) @ frame[:3, :3].T + frame[:3, 3]
        faces = np.asarray(faces, np.int64).reshape(-1, 3)
        if np.linalg.det(frame[:3, :3]) < 0:  # a mirrored node turns triangles inside out
            faces = faces[:, ::-1]
        if normals is not None:
            normals = np.asarray(normals, np.float64).reshape(-1, 3) @ np.linalg.inv(frame[:3, :3])
        own = None
        if normals is not None:
            own = np.stack([normals[:, 0], -normals[:, 2], normals[:, 1]], axis=-1)
            own = own / np.maximum(np.linalg.norm(own, axis=-1, keepdims=True), 1e-20)
        smooth = normals is not None and (self.real or _agrees(points, faces, normals))
        # glTF is y up, and its v runs down from row 0 of the picture: as in `Texture`, row 0 is v = 0.
        upright = np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=-1)
        uv = upright[:, :2] if uv is None else np.asarray(uv, np.float64).reshape(-1, 2)
        return Mesh(upright, np.ascontiguousarray(faces), uv, smooth, own if self.real else None)

    def _draco(self, extension: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
        try:
            import DracoPy
        except ImportError as error:
            raise MissingExtraError("DracoPy", "render") from error
        mesh = DracoPy.decode(self._view(extension["bufferView"]))
        normals = mesh.normals if mesh.normals is not None and len(mesh.normals) else None
        uv = mesh.tex_coord if mesh.tex_coord is not None and len(mesh.tex_coord) else None
        return mesh.points, mesh.faces, normals, uv

    def _part(self, mesh: Mesh, index: int | None) -> ModelPart:
        material = {} if index is None else self.json["materials"][index]
        look = material.get("pbrMetallicRoughness", {})
        factor = np.array(
            look.get("baseColorFactor", (1.0, 1.0, 1.0, 1.0) if "baseColorTexture" in look else (0.6,) * 4)[:3]
        )
        texture = self._texture(look["baseColorTexture"]["index"]) if "baseColorTexture" in look else None
        linear = factor if texture is not None or self.real else factor**2.2
        darkest, brightest = palette.ALBEDO_RANGE
        red, green, blue = np.clip(linear, darkest, brightest if texture is None else 1.0).tolist()
        cut = material.get("alphaMode") == "MASK" and texture is not None and texture.alpha is not None
        return ModelPart(
            mesh,
            (red, green, blue),
            texture,
            material.get("name", ""),
            look.get("roughnessFactor") if self.real else None,
            float(material.get("alphaCutoff", 0.5)) if cut else 0.0,
            material.get("alphaMode") == "BLEND" and self.real,
        )

    def _texture(self, index: int) -> Texture:
        image = self.json["images"][self.json["textures"][index]["source"]]
        if "uri" in image and not image["uri"].startswith("data:"):
            return read_picture(self.path.parent / image["uri"])
        return _picture(self.path, self._view(image["bufferView"]) if "bufferView" in image else self._bytes(image["uri"]))

    def _accessor(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        dtype: np.dtype = np.dtype(_COMPONENTS[accessor["componentType"]])
        width = _WIDTHS[accessor["type"]]
        view = self.json["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        stride = view.get("byteStride", dtype.itemsize * width)
        buffer = self.buffers[view["buffer"]]
        values = np.ndarray((accessor["count"], width), dtype, buffer, start, (stride, dtype.itemsize))
        if accessor.get("normalized"):
            return values.astype(np.float64) / np.iinfo(dtype).max
        return values.copy()

    def _view(self, index: int) -> bytes:
        view = self.json["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return self.buffers[view["buffer"]][start : start + view["byteLength"]]

    def _bytes(self, uri: str | None) -> bytes:
        if uri is None:
            return self.binary
        if uri.startswith("data:"):
            return base64.b64decode(uri.split(",", 1)[1])
        return (self.path.parent / uri).read_bytes()


@lru_cache(maxsize=96)
def read_picture(path: Path) -> Texture:
    """A picture file as a texture with its alpha, row 0 at v = 0; kept, since models share them. InputError: not usable."""
    return _picture(path, path.read_bytes())


def _picture(path: Path, data: bytes) -> Texture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint8:
        raise InputError(path, "a texture that cannot be decoded", "a PNG or JPEG picture of 8 bits")
    if picture.ndim == 2:
        picture = picture[..., None]
    size = max(picture.shape[:2])
    if size > MOST_PIXELS:
        factor = MOST_PIXELS / size
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    channels = picture.shape[2]
    alpha = np.ascontiguousarray(picture[..., -1]) if channels in (2, 4) else None
    color = picture[..., :1].repeat(3, -1) if channels < 3 else picture[..., 2::-1]
    return Texture(_CODES[color], tileable=True, alpha=alpha)


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, 0..1 to 0..1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _joined(meshes: list[Mesh]) -> Mesh:
    if len(meshes) == 1:
        return meshes[0]
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
        np.concatenate([mesh.uv for mesh in meshes]),
        meshes[0].smooth,
        None
        if meshes[0].normals is None
        else np.concatenate([mesh.normals for mesh in meshes if mesh.normals is not None]),
    )


def _transform(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    frame = np.eye(4)
    frame[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)))
    frame[:3, 3] = node.get("translation", (0, 0, 0))
    return frame


def _agrees(points: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> bool:
    """Whether averaging the faces' normals at the vertices gives the file's own normals, within some degrees."""
    corners = points[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = np.zeros_like(points)
    for k in range(3):
        np.add.at(sums, faces[:, k], cross)
    length = np.linalg.norm(sums, axis=-1) * np.linalg.norm(normals, axis=-1)
    used = length > 1e-12
    return bool(used.any() and np.median((sums * normals).sum(axis=-1)[used] / length[used]) > 0.97)


_CODES = encode(srgb_to_linear(np.arange(256, dtype=np.float32) / 255))
