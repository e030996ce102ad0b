"""The bundle that export.build_onnx publishes, and when it publishes none."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from intrinsic_flow.decomposition.bundle import MANIFEST, NOISE, WEIGHTS, Bundle, all_graph_specs
from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.errors import InputError
from intrinsic_flow.export import build_onnx, cases
from intrinsic_flow.export.build_onnx import build_bundle, main, rebuild_bundle
from intrinsic_flow.export.candidates import FP16_MIN_PSNR
from intrinsic_flow.export.cases import random_cases
from intrinsic_flow.export.comparison import FP32_MAX_ERROR
from intrinsic_flow.export.verify import VerificationError
from intrinsic_flow.export.weights import load_model, read_slots
from intrinsic_flow.media.images import write_image
from intrinsic_flow.train.checkpoint import load_initial_weights, save_checkpoint


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def prepared_graphs(exported_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs, and weights where there are none yet, come from the session's bundle: tracing takes long, and what follows
    it is under test. They are verified on small pictures, of which the session's bundle had the large ones too."""

    def copy_graphs(model: object, folder: Path, opset: int) -> None:
        for path in exported_bundle.iterdir():
            if path.suffix == ".onnx" or (path.name == WEIGHTS and not (folder / WEIGHTS).exists()):
                shutil.copy(path, folder)

    monkeypatch.setattr(build_onnx, "write_graphs", copy_graphs)
    monkeypatch.setattr(build_onnx, "random_cases", lambda: random_cases(((2, 32, 64),)))
    monkeypatch.setattr(cases, "RESOLUTION", 64)


def test_the_bundle_is_complete_and_every_hash_is_right(exported_bundle: Path, random_model: torch.nn.Module) -> None:
    bundle = Bundle.load(exported_bundle, verify=True)
    expected = {*all_graph_specs(bundle.network), WEIGHTS, NOISE}
    assert set(bundle.manifest["files"]) == expected
    assert set(contents(exported_bundle)) == {*expected, MANIFEST}
    assert bundle.name == "tiny"
    assert bundle.manifest["config"]["name"] == "tiny"
    assert bundle.manifest["source"] == {"run": "random"}
    assert bundle.manifest["latent"]["std"] == random_model.vae.latent_std.tolist()


def test_errors_of_every_graph_are_stored_and_within_the_limits(exported_bundle: Path) -> None:
    report = Bundle.load(exported_bundle).manifest["verification"]
    assert set(report["worst"]["fp32"]) == {
        "encoder", "velocity_step", "decoder", "low_shading", "upsampler", "vae_encoder", "decompose_2step", "end_to_end",
    }  # fmt: skip
    assert all(0 < row["max_error"] <= FP32_MAX_ERROR for row in report["worst"]["fp32"].values())
    assert report["worst"]["fp16"]["end_to_end"]["psnr_db"] >= FP16_MIN_PSNR
    assert report["worst"]["fp16"]["end_to_end"]["max_error"] > report["worst"]["fp32"]["end_to_end"]["max_error"]
    assert {"procedural", "random 2x96x64"} <= {row["case"] for row in report["comparisons"]}
    assert all(value > 0 for value in report["largest_activations"].values())


def test_the_weights_file_holds_the_state_dict_once_in_fp16(exported_bundle: Path, random_model: torch.nn.Module) -> None:
    slots = read_slots(exported_bundle / WEIGHTS)
    state = random_model.state_dict()
    assert set(slots) == set(state)
    parameters = {name for name, _ in random_model.named_parameters()}
    assert all((slot.dtype == "F16") == (name in parameters) for name, slot in slots.items())
    size = sum(x.numel() * (2 if name in parameters else 4) for name, x in state.items())
    assert sum(slot.length for slot in slots.values()) == size


def test_training_and_benchmarks_read_the_same_weights_back(exported_bundle: Path, random_model: torch.nn.Module) -> None:
    loaded = load_model(Bundle.load(exported_bundle)).state_dict()
    initial = load_initial_weights(exported_bundle)
    for name, value in random_model.state_dict().items():
        assert torch.equal(loaded[name], value)
        assert torch.equal(initial[name], value)


def test_the_runtime_decomposes_with_the_bundle(exported_bundle: Path) -> None:
    image = np.random.default_rng(0).random((50, 70, 3), dtype=np.float32)
    with Decomposer.load(exported_bundle, resolution=64) as model:
        result = model.decompose(image)
    np.testing.assert_allclose(result.albedo * result.shading, image, rtol=1e-5)


def test_no_file_tells_of_the_machine_it_was_made_on(exported_bundle: Path) -> None:
    for name, content in contents(exported_bundle).items():
        for trace in (b".py", b"site-packages", str(build_onnx.ROOT).encode()):
            assert trace not in content or name == WEIGHTS, f"{trace!r} in {name}"


@pytest.mark.usefixtures("prepared_graphs")
def test_a_failed_verification_publishes_nothing(random_model: torch.nn.Module, tmp_path: Path) -> None:
    other = copy.deepcopy(random_model)
    with torch.no_grad():
        other.unet.head[2].bias.add_(0.01)
    with pytest.raises(
        VerificationError, match=r"velocity_step, z_next of onnx-fp32 on .*: found error .*, expected at most 1e-04"
    ):
        build_bundle(other, tmp_path / "new", source={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("prepared_graphs")
def test_a_failed_verification_leaves_the_bundle_that_was_there(
    exported_bundle: Path, random_model: torch.nn.Module, tmp_path: Path
) -> None:
    target = tmp_path / "tiny"
    shutil.copytree(exported_bundle, target)
    other = copy.deepcopy(random_model)
    with torch.no_grad():
        other.vae.decoder.head.bias.add_(0.01)
    with pytest.raises(VerificationError, match="decoder"):
        build_bundle(other, target, source={})
    assert contents(target) == contents(exported_bundle)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("prepared_graphs")
def test_rebuilding_replaces_the_bundle_and_keeps_its_model_card(
    exported_bundle: Path, random_model: torch.nn.Module, tmp_path: Path
) -> None:
    target = tmp_path / "tiny"
    shutil.copytree(exported_bundle, target)
    (target / WEIGHTS).write_bytes(b"damaged")
    (target / "MODEL_CARD.md").write_text("card")
    build_bundle(random_model, target, source={"run": "second"})
    bundle = Bundle.load(target, verify=True)
    assert bundle.manifest["source"] == {"run": "second"}
    assert (target / "MODEL_CARD.md").read_text() == "card"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("prepared_graphs")
def test_a_rename_that_fails_brings_the_old_bundle_back(
    exported_bundle: Path, random_model: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "tiny"
    shutil.copytree(exported_bundle, target)
    rename: Callable[..., None] = build_onnx.os.rename

    def fail_on_the_new_folder(source: Path, destination: Path) -> None:
        if Path(destination) == target and Path(source).name == "tiny":
            raise OSError("no space")
        rename(source, destination)

    monkeypatch.setattr(build_onnx.os, "rename", fail_on_the_new_folder)
    with pytest.raises(OSError, match="no space"):
        build_bundle(random_model, target, source={})
    assert contents(target) == contents(exported_bundle)


def test_a_folder_of_other_files_is_never_replaced(random_model: torch.nn.Module, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="a folder with other files"):
        build_bundle(random_model, tmp_path, source={})
    assert (tmp_path / "thesis.tex").exists()


def test_weights_beyond_fp16_are_refused_by_name(random_model: torch.nn.Module, tmp_path: Path) -> None:
    model = copy.deepcopy(random_model)
    with torch.no_grad():
        model.encoder.stem.weight[0, 0, 0, 0] = 1e5
    with pytest.raises(ValueError, match=r"encoder\.stem\.weight .*not finite in FP16"):
        build_bundle(model, tmp_path / "new", source={})


@pytest.mark.usefixtures("prepared_graphs")
def test_the_command_builds_from_a_run_and_prints_the_errors(
    random_model: torch.nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    state = {
        "stage": "flow", "network": random_model.config.to_dict(), "ema": {"model": random_model.state_dict()},
        "step": 7, "seconds": 1.5, "training": {"lr": 1e-4},
    }  # fmt: skip
    save_checkpoint(run, state)
    photo = tmp_path / "photo.png"
    write_image(photo, np.random.default_rng(0).random((40, 60, 3), dtype=np.float32), format="png", colorspace="srgb")
    assert main([str(run), "-o", str(tmp_path / "out"), "--name", "mine", "--images", str(photo)]) == 0
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["name"] == "mine"
    assert "photo.png" in {row["case"] for row in manifest["verification"]["comparisons"]}
    assert (manifest["source"]["run"], manifest["source"]["step"]) == ("run", 7)
    printed = capsys.readouterr().out
    assert "end_to_end" in printed and "dB" in printed


@pytest.fixture
def older_bundle(exported_bundle: Path, tmp_path: Path) -> Path:
    """The exported bundle as of format 1: no stored noise, no low_shading, settings and a card of its own."""
    folder = shutil.copytree(exported_bundle, tmp_path / "older")
    manifest = json.loads((folder / MANIFEST).read_text())
    for file in ("low_shading.onnx", "low_shading.fp16.onnx", NOISE):
        (folder / file).unlink()
        del manifest["files"][file]
        manifest["graphs"].pop(file, None)
    del manifest["noise"]
    manifest |= {"version": 1, "name": "mine", "noise_scale": 0.25, "steps": 3}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / "MODEL_CARD.md").write_text("card")
    (folder / "engines").mkdir()
    (folder / "engines" / "encoder.plan").write_text("of another graph")
    return folder


@pytest.mark.slow
def test_the_same_weights_give_the_same_graphs(exported_bundle: Path, tmp_path: Path) -> None:
    model = load_model(Bundle.load(exported_bundle))
    build_onnx.write_graphs(model, tmp_path)
    expected = contents(exported_bundle)
    assert contents(tmp_path) == {name: expected[name] for name in expected if name not in (MANIFEST, NOISE)}


@pytest.mark.usefixtures("prepared_graphs")
def test_a_bundle_of_format_1_becomes_one_of_format_2(exported_bundle: Path, older_bundle: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in older_bundle.rglob("*.*")}
    photo = tmp_path / "photo.png"
    write_image(photo, np.random.default_rng(0).random((40, 60, 3), dtype=np.float32), format="png", colorspace="srgb")
    assert main([str(older_bundle), "-o", str(tmp_path / "again"), "--images", str(photo)]) == 0
    found, expected = contents(tmp_path / "again"), contents(exported_bundle)
    assert {name for name in found if found[name] != expected.get(name)} == {MANIFEST, "MODEL_CARD.md"}
    assert set(found) == {*expected, "MODEL_CARD.md"} and found["MODEL_CARD.md"] == b"card"
    again, older = Bundle.load(tmp_path / "again", verify=True), build_onnx.load_origin(older_bundle)
    assert again.has("low_shading") and again.has("low_shading", "fp16") and not older.has("low_shading")
    kept = set(older.manifest) - {"version", "noise_scale", "graphs", "files", "verification"}
    assert {key: again.manifest[key] for key in kept} == {key: older.manifest[key] for key in kept}
    assert again.noise.std() == pytest.approx(0.25, rel=0.02)
    assert {path: path.read_bytes() for path in older_bundle.rglob("*.*")} == before


def test_a_bundle_of_format_1_ends_the_runtime_in_one_line_that_names_the_rebuild(older_bundle: Path) -> None:
    with pytest.raises(InputError, match=rf"version 1, .*export.build_onnx {older_bundle} -o {older_bundle}$") as caught:
        Bundle.load(older_bundle)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["config", "noise_scale"])
def test_a_damaged_manifest_of_format_1_is_named(older_bundle: Path, missing: str) -> None:
    manifest = json.loads((older_bundle / MANIFEST).read_text())
    del manifest[missing]
    (older_bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=f"no {missing}"):
        build_onnx.load_origin(older_bundle)


@pytest.mark.usefixtures("prepared_graphs")
def test_a_bundle_may_be_rebuilt_in_its_own_place(older_bundle: Path, tmp_path: Path) -> None:
    rebuild_bundle(build_onnx.load_origin(older_bundle), older_bundle)
    bundle = Bundle.load(older_bundle, verify=True)
    assert bundle.name == "mine" and bundle.has("low_shading")
    assert (older_bundle / "MODEL_CARD.md").read_text() == "card"
    assert (older_bundle / "engines" / "encoder.plan").exists()
    assert list(tmp_path.iterdir()) == [older_bundle]


@pytest.mark.usefixtures("prepared_graphs")
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda manifest: manifest["config"].update(prediction="velocity"), VerificationError, "older: end_to_end fp32"),
        (lambda manifest: manifest["files"][WEIGHTS].update(sha256="0" * 64), InputError, "safetensors: found sha256"),
        (lambda manifest: manifest["config"].update(depth=3), ValueError, "unknown .*depth"),
    ],
)
def test_a_bundle_whose_graphs_are_not_those_of_its_weights_stays_as_it_was(
    older_bundle: Path, tmp_path: Path, damage: Callable[[dict], None], error: type[Exception], message: str
) -> None:
    manifest = json.loads((older_bundle / MANIFEST).read_text())
    damage(manifest)
    (older_bundle / MANIFEST).write_text(json.dumps(manifest))
    (older_bundle / "engines" / "encoder.plan").unlink()
    (older_bundle / "engines").rmdir()
    before = contents(older_bundle)
    with pytest.raises(error, match=message):
        rebuild_bundle(build_onnx.load_origin(older_bundle), older_bundle)
    assert contents(older_bundle) == before
    assert list(tmp_path.iterdir()) == [older_bundle]


def test_random_weights_are_not_shipped(
    older_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((older_bundle / MANIFEST).read_text())
    (older_bundle / MANIFEST).write_text(json.dumps({**manifest, "source": {"untrained": True}}))
    monkeypatch.setattr(build_onnx, "MODELS", tmp_path / "models")
    for what in ([str(older_bundle)], ["--untrained", "tiny"]):
        assert main([*what, "-o", str(tmp_path / "models" / "tiny")]) == 1
        error = capsys.readouterr().err
        assert "random weights for a shipped model" in error and error.count("\n") == 1
    assert not (tmp_path / "models").exists()


def test_the_command_names_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "none" in error
    assert not (tmp_path / "out").exists()
