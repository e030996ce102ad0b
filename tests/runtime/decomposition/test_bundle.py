"""The model bundle: what loads, and what is refused with a line that says why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from intrinsic_flow.decomposition.bundle import (
    GRAPHS,
    MODELS,
    Bundle,
    NetworkInterface,
    TensorSpec,
    all_graph_specs,
    graph_file,
    graph_specs,
    resolve_bundle,
)
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.decomposition.noise import cut, make_tile
from intrinsic_flow.errors import InputError
from tests.runtime.conftest import rewrite_manifest


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_written_bundle_loads_with_verified_hashes(tiny_bundle):
    bundle = Bundle.load(tiny_bundle, verify=True)
    assert bundle.name == "tiny"
    assert bundle.steps == 2
    assert bundle.feature_channels == (12, 12, 12)
    assert bundle.tone_map.percentile == 90
    assert bundle.path("encoder").name == "encoder.onnx"
    assert bundle.spec("encoder") == graph_specs(NetworkInterface((12, 12, 12)))["encoder"]


def test_times_and_latents_stay_float32_in_fp16_graphs():
    fp16 = graph_specs(NetworkInterface((1, 2, 3)), "fp16")
    types = {tensor.name: tensor.dtype for graph in fp16.values() for tensor in (*graph.inputs, *graph.outputs)}
    assert {name for name, dtype in types.items() if dtype == "float32"} == {
        "z", "t", "dt", "z_next", "guide", "log_shading",
    }  # fmt: skip
    assert "upsampler" not in fp16


def test_every_graph_is_described_in_fp32_and_all_but_the_upsampler_in_fp16():
    expected = {f"{name}.onnx" for name in GRAPHS} | {f"{name}.fp16.onnx" for name in GRAPHS if name != "upsampler"}
    assert set(all_graph_specs(NetworkInterface((1, 2, 3)))) == expected
    with pytest.raises(ValueError, match="FP32 only"):
        graph_file("upsampler", "fp16")


GUIDED_FILTER = {
    **dict.fromkeys(("cell", "radius", "color_radius"), 4),
    **dict.fromkeys(("epsilon", "dark", "min_light", "min_shading", "prior", "min_weight"), 0.1),
}


def test_symbolic_shapes_resolve_to_the_sizes_of_an_image():
    specs = graph_specs(NetworkInterface((10, 20, 30)))
    feature_16 = specs["encoder"].outputs[1]
    assert feature_16.resolve(batch=2, h=8, w=3) == (2, 20, 16, 6)
    assert specs["encoder"].inputs[0].resolve(batch=1, h=8, w=3) == (1, 3, 256, 96)
    assert feature_16.symbols == ("batch", "h", "w")
    with pytest.raises(ValueError, match="dimension"):
        TensorSpec("x", "float32", ("h+1",)).resolve(h=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, 'format "other"'),
        ({"version": 3}, "version 3, expected version 2$"),
        ({"version": 1}, r"version 1, expected version 2; rebuild: .*export.build_onnx .*own_bundle -o .*own_bundle$"),
        ({"config": None}, "config null"),
        ({"config": {"decoder_image": 1}}, "decoder_image 1"),
        ({"config": {"detail_channels": -2}}, "detail_channels -2"),
        ({"config": {"decoder_image": True}}, "decoder.onnx with another interface"),
        ({"config": {"detail_channels": 4}}, "low_shading.onnx with another interface"),
        ({"latent_channels": 4}, "latent_channels 4"),
        ({"feature_channels": [1, 2]}, "feature_channels"),
        ({"feature_channels": [1, 2, True]}, "feature_channels"),
        ({"steps": 0}, "steps 0"),
        ({"noise": None}, "noise null"),
        ({"noise": {"file": "other.npy"}}, "noise .*other.npy"),
        ({"latent": {"mean": [0.0] * 12, "std": [0.0] * 12}}, r"latent\.std\[0\] 0.0"),
        ({"tone_map": {"percentile": 90}}, "tone_map"),
        ({"tone_map": None}, "tone_map"),
        ({"upsampler": {"cell": 4}}, "upsampler"),
        ({"upsampler": {**GUIDED_FILTER, "cell": 0}}, "cell 0, expected a positive integer"),
        ({"files": []}, "files"),
        ({"files": {"../secret": {"sha256": "", "bytes": 1}}}, "a plain name"),
        ({"name": "a\0b"}, "text without NUL"),
        ({"steps": 10**400}, "at most 64 bits"),
        ({"latent": {"mean": [1e999] * 12, "std": [1.0] * 12}}, "finite numbers"),
        ({"files": {"..": {"sha256": "", "bytes": 1}}}, "a plain name"),
        ({"graphs": {}}, "no graph encoder.onnx"),
        ({"feature_channels": [12, 12, 13]}, "another interface"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(own_bundle, changes, message):
    edit_manifest(own_bundle, **changes)
    with pytest.raises(InputError, match=message) as caught:
        Bundle.load(own_bundle)
    assert "\n" not in str(caught.value)
    assert "bundle.json" in str(caught.value)


def test_a_manifest_that_is_no_json_is_refused(own_bundle):
    (own_bundle / "bundle.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        Bundle.load(own_bundle)
    (own_bundle / "bundle.json").write_text("[]")
    with pytest.raises(InputError, match="an object"):
        Bundle.load(own_bundle)


def test_a_missing_file_is_named(own_bundle):
    (own_bundle / "decoder.onnx").unlink()
    with pytest.raises(InputError, match=r"decoder\.onnx: found no file"):
        Bundle.load(own_bundle)


def test_a_truncated_file_is_found_without_hashing(own_bundle):
    graph = own_bundle / "decoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"decoder\.onnx: found \d+ bytes"):
        Bundle.load(own_bundle)


def test_a_changed_file_is_found_by_its_hash(own_bundle):
    graph = own_bundle / "decoder.onnx"
    data = bytearray(graph.read_bytes())
    data[-1] ^= 1
    graph.write_bytes(data)
    Bundle.load(own_bundle)
    with pytest.raises(InputError, match=r"decoder\.onnx: found sha256"):
        Bundle.load(own_bundle, verify=True)


def test_a_graph_that_the_bundle_lacks_is_named(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    assert bundle.has("encoder") and not bundle.has("encoder", "fp16")
    with pytest.raises(InputError, match=r"no encoder\.fp16\.onnx"):
        bundle.path("encoder", "fp16")


def test_a_folder_that_is_none_or_holds_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        resolve_bundle(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="found a file"):
        resolve_bundle(str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"no bundle\.json"):
        Bundle.load(tmp_path)


def test_a_network_may_show_its_decoder_the_image_and_give_the_upsampler_details():
    specs = graph_specs(NetworkInterface((1, 2, 3), decoder_image=True, detail_channels=5))
    assert specs["decoder"].input_names == ("z", "image")
    assert specs["low_shading"].output_names == ("log_shading", "detail")
    assert specs["upsampler"].input_names == ("log_shading", "detail", "guide", "image", "rows")
    assert specs["upsampler"].output_names == ("shading",)
    assert specs["low_shading"].outputs[1].resolve(batch=2, low_h=7, low_w=9) == (2, 5, 7, 9)
    assert graph_specs(NetworkInterface((1, 2, 3)))["upsampler"].input_names == ("log_shading", "guide", "image", "rows")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "no NPY file"),
        (np.zeros((12, 64, 64), np.float32), r"float32 \(12, 64, 64\), expected float16"),
        (np.zeros((12, 32, 64), np.float16), r"float16 \(12, 32, 64\)"),
        (np.full((12, 64, 64), np.nan, np.float16), "not finite"),
    ],
)
def test_start_noise_of_another_kind_is_refused(own_bundle, content, message):
    path = own_bundle / "noise.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(InputError, match=message):
        _ = Bundle(own_bundle, {}).noise


def test_start_noise_of_any_size_is_the_tile_repeated():
    tile = np.arange(2 * 64 * 64, dtype=np.float32).reshape(2, 64, 64)
    whole = np.tile(tile, (1, 3, 3))
    for height, width, seed, row, column in ((32, 48, 0, 0, 0), (32, 32, 1, 0, 1), (70, 130, 64 * 2 + 9, 2, 9)):
        np.testing.assert_array_equal(
            cut(tile, height, width, seed)[0], whole[:, row : row + height, column : column + width]
        )
    np.testing.assert_array_equal(cut(tile, 8, 8, 64 * 64 + 3), cut(tile, 8, 8, 3))


def test_a_square_image_of_256_pixels_starts_as_it_did_in_format_1():
    old = np.random.Generator(np.random.PCG64(0)).standard_normal((1, 12, 32, 32), dtype=np.float32)
    tile = make_tile(12, 0.25).astype(np.float32)
    np.testing.assert_allclose(cut(tile, 32, 32), 0.25 * old, rtol=1e-3, atol=1e-6)
    assert abs(tile.mean()) < 0.005 and tile.std() == pytest.approx(0.25, rel=0.02)


def link_files(bundle: Path, hub: Path) -> Path:
    """A copy of a bundle as the cache of the Hugging Face Hub stores it: every file a link to one outside."""
    blobs, snapshot = hub / "blobs", hub / "snapshots" / "main"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(bundle.iterdir())):
        (blobs / f"{number:040x}").write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040x}")
    return snapshot


def test_a_bundle_of_links_works_as_one_of_files(tmp_path):
    bundles = MODELS / "small", link_files(MODELS / "small", tmp_path / "hub")
    image = np.random.default_rng(1).uniform(0, 1, (40, 60, 3)).astype(np.float32)
    albedo = []
    for bundle in bundles:
        with Decomposer.load(bundle, "cpu", resolution=64) as model:
            albedo.append(model.decompose(image).albedo)
    np.testing.assert_array_equal(*albedo)


def test_a_link_to_what_the_manifest_does_not_describe_is_refused(own_bundle, tmp_path):
    linked = link_files(own_bundle, tmp_path / "hub")
    assert Bundle.load(linked).path("decoder").is_file()
    graph = (linked / "decoder.onnx").resolve()
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    with pytest.raises(InputError, match=r"decoder\.onnx: found sha256"):
        Bundle.load(linked)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "unlisted.bin", "*/_ORT_MEM_ADDR_/*"])
def test_a_graph_that_reads_other_files_is_refused(own_bundle, location):
    path = own_bundle / "decoder.onnx"
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    rewrite_manifest(own_bundle)
    bundle = Bundle.load(own_bundle)
    assert bundle.path("encoder").is_file()
    with pytest.raises(InputError, match=r"decoder\.onnx: found external data in"):
        bundle.path("decoder")
