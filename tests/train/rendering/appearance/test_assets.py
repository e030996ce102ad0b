from __future__ import annotations

import base64
import json
import logging
import sys

import cv2
import numpy as np
import pytest

from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.train.rendering.appearance import assets, gltf
from intrinsic_flow.train.rendering.appearance.assets import Assets


def write_picture(path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])


def speckled(seed: int, tone=(120, 100, 80), shape=(96, 128)) -> np.ndarray:
    spots = np.random.default_rng(seed).normal(0, 8, (*shape, 1))
    return np.clip(np.array(tone) + spots, 0, 255).astype(np.uint8)


def outdoor_map() -> np.ndarray:
    radiance = np.empty((64, 128, 3), np.float32)
    radiance[:32] = (0.4, 0.7, 1.2)
    radiance[32:] = (0.2, 0.2, 0.1)
    return radiance


def write_map(path, radiance: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), radiance[..., ::-1])


def box_gltf(draco: bool = False, **node) -> dict:
    """A triangle pair in the xy plane of glTF, 2 wide and 4 high, y up."""
    points = np.array([[0, 0, 0], [2, 0, 0], [2, 4, 0], [0, 4, 0]], np.float32)
    faces = np.array([0, 1, 2, 0, 2, 3], np.uint16)
    data = points.tobytes() + faces.tobytes()
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "material": 0}
    if draco:
        primitive["extensions"] = {gltf.DRACO: {"bufferView": 0, "attributes": {"POSITION": 0}}}
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **node}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [1.0, 0.5, 0.0, 1.0]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 12},
        ],
        "buffers": [{"byteLength": 60, "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode()}],
    }


def write_model(path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write_picture(tmp_path / "textures" / f"Wood_0{number}_0.jpg", speckled(number))
    write_picture(tmp_path / "textures" / "large_Grass001_1K_Color.jpg", speckled(9, (60, 90, 30)))
    write_picture(tmp_path / "textures" / "Metal_00_0.jpg", speckled(8))
    write_map(tmp_path / "hdri" / "meadow.hdr", outdoor_map())
    write_map(tmp_path / "hdri" / "hall.hdr", np.full((64, 128, 3), 0.5, np.float32))
    write_model(tmp_path / "models" / "board.gltf", box_gltf())
    return tmp_path


def test_files_serve_roles_by_the_material_in_their_name(folder):
    found = Assets.open(folder)
    assert found.has_textures("wood") and found.has_textures("ground") and found.has_textures("any")
    assert not found.has_textures("bark") and not found.has_textures("picture")
    rng = np.random.default_rng(0)
    green = found.texture(rng, "ground").pixels.mean(axis=(0, 1))
    assert green[1] > green[0] > green[2]
    assert all(found.texture(rng, "any").pixels.mean() for _ in range(20))
    assert assets.material_of(folder / "textures" / "Metal_00_0.jpg") in assets.NO_ALBEDO


def test_pictures_are_srgb_and_textures_square_root_coded_albedo(tmp_path):
    write_picture(tmp_path / "textures" / "Wood_0.png", np.full((64, 64, 3), 188, np.uint8))
    value = assets.read_texture(tmp_path / "textures" / "Wood_0.png").pixels
    assert (value.astype(float) / 255).mean() ** 2 == pytest.approx(0.503, abs=0.01)


def test_a_white_preview_border_is_cut(tmp_path):
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[:, 20:120] = speckled(0, shape=(128, 100))
    cut = assets.without_white_border(picture)
    assert cut.shape[1] == 96 and cut.max() < 200
    white = np.full((64, 64, 3), 255, np.uint8)
    assert assets.without_white_border(white).shape == white.shape


def test_a_gradient_of_light_is_taken_out_and_a_pattern_is_not():
    rng = np.random.default_rng(0)
    plain = 0.3 * np.exp(rng.normal(0, 0.05, (96, 96, 1))).astype(np.float32) * np.ones(3, np.float32)
    gradient = np.linspace(0.5, 1.5, 96, dtype=np.float32)[None, :, None]
    flat = assets.without_shading(plain * gradient)
    assert flat[:, :20].mean() == pytest.approx(flat[:, -20:].mean(), rel=0.08)
    checker = np.where(np.indices((96, 96)).sum(axis=0)[..., None] // 48 % 2 == 0, 0.1, 0.6).astype(np.float32) * np.ones(3)
    np.testing.assert_array_equal(assets.without_shading(checker.astype(np.float32)), checker.astype(np.float32))


def test_whether_a_picture_repeats_is_seen_at_its_borders(tmp_path):
    x = np.arange(96) / 96 * 2 * np.pi
    wave = 120 + 60 * np.sin(2 * x)[None, :] * np.cos(3 * x)[:, None]
    for name, picture in (("Wood_1.png", wave), ("Wood_2.png", wave[:60, :70])):
        write_picture(tmp_path / name, np.repeat(picture[..., None], 3, axis=-1).astype(np.uint8))
    assert assets.read_texture(tmp_path / "Wood_1.png").tileable
    assert not assets.read_texture(tmp_path / "Wood_2.png").tileable


def test_broken_files_are_named_and_left_out(folder, caplog):
    (folder / "textures" / "Bark_00_0.jpg").write_bytes(b"no picture")
    (folder / "hdri" / "broken.hdr").write_bytes(b"#?RADIANCE\nnothing")
    (folder / "models" / "a_broken.gltf").write_text("{")
    write_model(folder / "models" / "b_empty.gltf", {**box_gltf(), "scenes": [{"nodes": []}]})
    with caplog.at_level(logging.WARNING):
        found = Assets.open(folder)
        assert found.texture(np.random.default_rng(0), "bark") is None
        models = {found.model(np.random.default_rng(seed)).name for seed in range(30)}
    assert models == {"board"}
    for name in ("Bark_00_0.jpg", "broken.hdr", "a_broken.gltf", "b_empty.gltf"):
        lines = [record.getMessage() for record in caplog.records if name in record.getMessage()]
        assert len(lines) == 1 and "found" in lines[0] and "expected" in lines[0]


@pytest.mark.parametrize("shape", [(64, 100, 3), (64, 64, 3)])
def test_a_map_of_another_shape_is_refused(tmp_path, shape):
    write_map(tmp_path / "odd.hdr", np.ones(shape, np.float32))
    with pytest.raises(InputError, match="twice as wide"):
        assets.read_environment(tmp_path / "odd.hdr")


def test_maps_are_normalised_and_told_apart_by_what_they_show(folder):
    found = Assets.open(folder)
    rng = np.random.default_rng(0)
    assert found.environment(rng, "outdoor").name == "meadow"
    assert found.environment(rng, "indoor").name == "hall"
    radiance = found.environment(rng, "outdoor").radiance
    assert radiance.shape == (256, 512, 3)
    assert radiance[0, 0, 2] > radiance[0, 0, 0]  # RGB, the zenith in row 0


def test_a_folder_that_is_missing_or_empty_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Assets.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match="none of the sub-folders"):
        Assets.open(tmp_path)


def test_a_missing_sub_folder_is_no_error(tmp_path):
    write_picture(tmp_path / "textures" / "Wood_0.jpg", speckled(0))
    found = Assets.open(tmp_path)
    assert not found.has_environments("outdoor")
    assert found.model(np.random.default_rng(0)) is None


def test_a_model_stands_on_the_ground_with_extent_one(tmp_path):
    write_model(tmp_path / "board.gltf", box_gltf(translation=[5, 6, 7], scale=[3, 3, 3]))
    (part,) = gltf.read_model(tmp_path / "board.gltf").parts
    low, high = part.mesh.vertices.min(axis=0), part.mesh.vertices.max(axis=0)
    np.testing.assert_allclose(low, [-0.25, 0, 0], atol=1e-9)
    np.testing.assert_allclose(high, [0.25, 0, 1], atol=1e-9)  # glTF is y up, scenes are z up
    assert part.mesh.uv.shape == (4, 2)
    assert part.color[0] == 0.85 and 0.1 < part.color[1] < 0.3 and part.color[2] == 0.02


def test_a_mirrored_node_keeps_its_faces_outside(tmp_path):
    def normal(path):
        mesh = gltf.read_model(path).parts[0].mesh
        a, b, c = mesh.vertices[mesh.faces[0]]
        return np.cross(b - a, c - a)

    write_model(tmp_path / "plain.gltf", box_gltf())
    write_model(tmp_path / "mirrored.gltf", box_gltf(scale=[-1, 1, 1]))
    assert np.dot(normal(tmp_path / "plain.gltf"), normal(tmp_path / "mirrored.gltf")) > 0


def test_meshes_of_one_material_become_one_part(tmp_path):
    content = box_gltf()
    content["nodes"] = [{"mesh": 0, "children": [1]}, {"mesh": 0, "translation": [10, 0, 0]}]
    write_model(tmp_path / "two.gltf", content)
    (part,) = gltf.read_model(tmp_path / "two.gltf").parts
    assert part.mesh.faces.max() == 7 and len(part.mesh.faces) == 4


def test_draco_models_are_read(tmp_path):
    draco = pytest.importorskip("DracoPy", reason="DracoPy is not installed")
    points = np.array([[0, 0, 0], [2, 0, 0], [2, 4, 0], [0, 4, 0]], np.float32)
    data = draco.encode(points, np.array([[0, 1, 2], [0, 2, 3]], np.uint32), preserve_order=True)
    content = box_gltf(draco=True)
    content["buffers"] = [{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}]
    content["bufferViews"] = [{"buffer": 0, "byteOffset": 0, "byteLength": len(data)}]
    write_model(tmp_path / "draco.gltf", content)
    (part,) = gltf.read_model(tmp_path / "draco.gltf").parts
    np.testing.assert_allclose(np.ptp(part.mesh.vertices, axis=0), [0.5, 0, 1], atol=0.01)


def test_without_dracopy_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    write_model(tmp_path / "models" / "plain.gltf", box_gltf())
    Assets.open(tmp_path)
    write_model(tmp_path / "models" / "packed.gltf", box_gltf(draco=True))
    with pytest.raises(MissingExtraError, match=r"intrinsic-flow\[render\]"):
        Assets.open(tmp_path)


def test_a_model_in_metres_keeps_its_size_normals_and_cut_outs(tmp_path):
    """Positions as normalised 16-bit integers under a node's scale, a grey picture with alpha, a linear colour."""
    positions = np.array([[-32767, 0, 0, 0], [32767, 0, 0, 0], [32767, 32767, 0, 0], [-32767, 32767, 0, 0]], np.int16)
    normals = np.array([[0, 0, 127, 0]] * 4, np.int8)
    uv = np.array([[0, 65535], [65535, 65535], [65535, 0], [0, 0]], np.uint16)
    faces = np.array([0, 1, 2, 0, 2, 3], np.uint16)
    data = positions.tobytes() + normals.tobytes() + uv.tobytes() + faces.tobytes()
    views = [(0, 32, 8), (32, 16, 4), (48, 16, 4), (64, 12, None)]
    content = box_gltf(scale=[0.9, 0.9, 0.9])
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}
    content["meshes"] = [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}]
    look = {"baseColorFactor": [0.2, 0.1, 0.05, 1], "baseColorTexture": {"index": 0}, "roughnessFactor": 0.45}
    content["materials"] = [{"name": "hair", "pbrMetallicRoughness": look, "alphaMode": "MASK", "alphaCutoff": 0.4}]
    content["textures"], content["images"] = [{"source": 0}], [{"uri": "hair.png"}]
    kinds = [(5122, "VEC3", 4, True), (5120, "VEC3", 4, True), (5123, "VEC2", 4, True), (5123, "SCALAR", 6, False)]
    content["accessors"] = [
        {"bufferView": k, "componentType": code, "count": count, "type": type_, "normalized": normalized}
        for k, (code, type_, count, normalized) in enumerate(kinds)
    ]
    content["bufferViews"] = [
        {"buffer": 0, "byteOffset": start, "byteLength": length, **({"byteStride": stride} if stride else {})}
        for start, length, stride in views
    ]
    content["buffers"] = [{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}]
    write_model(tmp_path / "people" / "one.gltf", content)
    grey = np.full((8, 8, 4), 188, np.uint8)
    grey[:, 4:, 3] = 0
    assert cv2.imwrite(str(tmp_path / "people" / "hair.png"), grey)
    found = Assets.open(tmp_path).real(np.random.default_rng(0), "people", name="^one$")
    assert found is not None and Assets.open(tmp_path).real(np.random.default_rng(0), "people", name="two") is None
    (part,) = found.parts
    assert (part.name, part.cutoff, part.roughness, part.clear) == ("hair", 0.4, 0.45, False)
    assert part.color == (0.2, 0.1, 0.05)
    np.testing.assert_allclose(part.mesh.vertices.min(0), [-0.9, 0, 0], atol=1e-9)
    np.testing.assert_allclose(part.mesh.vertices.max(0), [0.9, 0, 0.9], atol=1e-9)
    np.testing.assert_allclose(part.mesh.normals, [[0, -1, 0]] * 4, atol=1e-9)  # glTF's z is the scene's -y
    np.testing.assert_array_equal(part.texture.alpha, grey[..., 3])
    # 188 in sRGB is half of the light.
    assert np.square(part.texture.pixels / 255).mean() == pytest.approx(0.5, abs=0.01)
