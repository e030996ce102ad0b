"""A bundle goes to the hub and comes back: `export.hub_repository` writes it, `hf:owner/name@revision` loads it.

The hub is tests/hub/server.py; huggingface_hub, which reads its address when it is imported, runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.decomposition.bundle import MANIFEST, NOISE, WEIGHTS, Bundle
from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.errors import InputError
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear
from intrinsic_flow.media.images import read_image

REPOSITORY = Path(__file__).parents[2]
BUNDLE = REPOSITORY / "runtime" / "models" / "small"
NAME = "someone/small-model"
# Loads the bundles whose addresses come in and says what came of it, a line each.
_LOADER = """
import json, sys
import numpy as np
from intrinsic_flow import Decomposer
for line in sys.stdin:
    asked = json.loads(line)
    try:
        with Decomposer.load(asked["bundle"], asked["backend"], resolution=64) as model:
            albedo = model.decompose(np.load(asked["image"])).albedo
        answer = {"folder": str(model.bundle.folder), "mean": float(albedo.mean(dtype=np.float64))}
    except Exception as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    print(json.dumps(answer), flush=True)
"""
pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (the hub extra brings it)")


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """What the command writes for the shipped bundle."""
    from intrinsic_flow.export.hub_repository import main

    folder = tmp_path_factory.mktemp("hub") / "repository"
    assert main(["-o", str(folder), "--repository", NAME, "--bundle", "small", "-q"]) == 0
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.npy"
    np.save(path, read_image(REPOSITORY / "examples" / "room.png").pixels[::6, ::6])
    return path


@pytest.fixture(scope="module")
def hub():
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("hub_server", Path(__file__).with_name("server.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.serving() as server:
        yield server


@pytest.fixture(scope="module")
def load(hub, photo, tmp_path_factory):
    """Loads a bundle in the process that knows the hub; `load.home` is its cache."""
    home = tmp_path_factory.mktemp("home")
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DISABLE_XET": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", _LOADER],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def load(bundle: str, backend: str = "cpu") -> dict[str, object]:
        process.stdin.write(json.dumps({"bundle": bundle, "backend": backend, "image": str(photo)}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    load.home = home
    yield load
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_the_repository_holds_the_bundle_and_what_loaders_expect(repository):
    files = {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}
    own = {MANIFEST, *Bundle.load(BUNDLE).manifest["files"]}
    others = {"README.md", "LICENSE", "config.json", "preprocessor_config.json", "onnx/model.onnx", "onnx/model_fp16.onnx"}
    assert files == own | others
    Bundle.load(repository, verify=True)
    card = (repository / "README.md").read_text(encoding="utf-8")
    metadata = card.split("---\n")[1]
    assert "license: apache-2.0" in metadata and "- transformers.js" in metadata and "<<" not in card
    assert f"hf:{NAME}@v1" in card
    assert (repository / "LICENSE").read_text() == (REPOSITORY / "LICENSE").read_text()
    assert json.loads((repository / "config.json").read_text())["tone_map"] == Bundle.load(repository).tone_map.to_dict()


@pytest.mark.parametrize(("file", "limit"), [("model.onnx", 1e-5), ("model_fp16.onnx", 2e-2)])
@pytest.mark.parametrize("size", [(64, 96), (32, 544)], ids=["small", "wider than the noise"])
def test_one_file_gives_what_the_bundle_gives(repository, file, limit, size):
    import onnxruntime

    image = np.random.default_rng(1).random((2, 3, *size), np.float32)
    with Decomposer.load("small", "cpu") as model:
        noise = np.repeat(model._start_noise(*size), 2, axis=0)
        expected = model.backend.run("decompose_2step", {"image": image, "z": noise})["albedo"]
    session = onnxruntime.InferenceSession(repository / "onnx" / file, providers=["CPUExecutionProvider"])
    assert [(entry.name, entry.type) for entry in session.get_inputs()] == [("image", "tensor(float)")]
    (albedo,) = session.run(["albedo"], {"image": image})
    assert albedo.dtype == np.float32 and np.abs(albedo - expected).max() < limit


def test_a_folder_in_use_and_a_bad_name_are_refused(repository, tmp_path, capsys):
    from intrinsic_flow.export.hub_repository import main, write_repository

    assert main(["-o", str(repository), "--repository", NAME, "--bundle", "small"]) == 1
    assert "expected a name that is free" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected owner/name"):
        write_repository(Bundle.load("small"), tmp_path / "new", repository="../elsewhere")
    assert not (tmp_path / "new").exists()


def test_the_command_says_how_to_publish(tmp_path, capsys):
    from intrinsic_flow.export.hub_repository import main

    output = tmp_path / "hub"
    assert main(["-o", str(output), "--repository", NAME, "--bundle", "small", "--license", "mit"]) == 0
    printed = "".join(capsys.readouterr())
    assert f"hf upload {NAME} {output} ." in printed and f"hf repos tag create {NAME} v1" in printed
    assert "license: mit" in (output / "README.md").read_text() and not (output / "LICENSE").exists()


@pytest.mark.parametrize("backend", ["cpu", "openvino"])
def test_what_the_hub_gives_is_the_bundle(hub, load, repository, photo, backend):
    commit = hub.commit(NAME, repository, "main", "v1")
    first = load(f"hf:{NAME}@{commit}", backend)
    with Decomposer.load("small", backend, resolution=64) as model:
        expected = model.decompose(np.load(photo)).albedo.mean(dtype=np.float64)
    assert first.get("mean") == expected, first
    folder = Path(first["folder"])
    assert folder.name == commit and folder.is_relative_to(load.home)
    # The bundle's part alone, one download each, no other address than the hub's own.
    files = {MANIFEST, *Bundle.load(BUNDLE).manifest["files"]}
    assert {path.name for path in folder.iterdir()} == files | {".cache"}
    assert not any(path.is_symlink() for path in folder.iterdir()), "OpenVINO and onnx refuse links"


def test_a_commit_is_asked_for_once_and_a_copy_serves_without_a_connection(hub, load, repository):
    commit = hub.commit(NAME, repository, "main", "v1")
    first = load(f"hf:{NAME}@v1")
    assert Path(first["folder"]).name == commit
    hub.requests.clear()
    hub.down = True
    try:
        assert load(f"hf:{NAME}@{commit}") == first
        assert hub.requests == []
        assert load(f"hf:{NAME}@v1") == first
    finally:
        hub.down = False


def test_a_branch_that_moved_gives_the_new_commit(hub, load, repository, tmp_path):
    name = "someone/moving"
    old = hub.commit(name, repository, "main")
    assert Path(load(f"hf:{name}@main")["folder"]).name == old
    newer = tmp_path / "newer"
    shutil.copytree(repository, newer)
    (newer / "README.md").write_text("another card")
    new = hub.commit(name, newer, "main")
    assert Path(load(f"hf:{name}@main")["folder"]).name == new != old


@pytest.mark.parametrize("file", [WEIGHTS, NOISE, "decoder.onnx"])
def test_a_file_that_is_not_the_manifests_is_refused(hub, load, repository, tmp_path, file):
    folder = tmp_path / "changed"
    shutil.copytree(repository, folder)
    data = bytearray((folder / file).read_bytes())
    data[-1] ^= 1
    (folder / file).write_bytes(data)
    commit = hub.commit(f"someone/changed-{file.split('.')[0]}", folder)
    answer = load(f"hf:someone/changed-{file.split('.')[0]}@{commit}")
    assert answer["kind"] == "InputError" and file in answer["error"] and "expected sha256" in answer["error"]


def test_a_manifest_that_leads_elsewhere_is_refused(hub, load, repository, tmp_path):
    folder = tmp_path / "escaping"
    shutil.copytree(repository, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["../../secret"] = manifest["files"][NOISE]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    answer = load(f"hf:someone/escaping@{hub.commit('someone/escaping', folder)}")
    assert answer["kind"] == "InputError" and "plain name" in answer["error"]
    assert not any("secret" in path for _, path in hub.requests)


def test_what_is_not_there_is_said_in_one_line(hub, load, repository, tmp_path):
    hub.commit(NAME, repository, "main", "v1")
    hub.commit("someone/other", tmp_path, "main")
    for address, found in {
        f"hf:{NAME}": "no address of a bundle",
        f"hf:{NAME}@../v1": "no address of a bundle",
        f"hf:{NAME}@v9": "no revision v9",
        "hf:nobody/nothing@main": "no such repository, or none for you",
        "hf:someone/other@main": f"no {MANIFEST}",
    }.items():
        answer = load(address)
        assert answer["kind"] == "InputError" and found in answer["error"] and "\n" not in answer["error"], answer
    hub.down = True
    try:
        answer = load("hf:someone/never-seen@main")
    finally:
        hub.down = False
    assert answer["kind"] == "InputError" and "no copy here and no download" in answer["error"]


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=re.escape("intrinsic-flow[hub]")):
        Bundle.load(f"hf:{NAME}@main")
    with pytest.raises(InputError, match="expected hf:owner/name@revision"):
        Bundle.load("hf:tiny")


@pytest.mark.slow
def test_the_cards_javascript_runs_in_node(hub, tmp_path):
    """transformers.js, from npm, downloads the repository and gives the albedo that the bundle gives."""
    from intrinsic_flow.export.hub_repository import write_repository

    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    modules = os.environ.get("TRANSFORMERS_JS")
    if modules is None:
        install = [
            npm,
            "install",
            "--ignore-scripts",
            "--silent",
            "--prefix",
            str(tmp_path),
            "@huggingface/transformers@4.3",
        ]
        if subprocess.run(install, timeout=900).returncode:
            pytest.skip("npm cannot install @huggingface/transformers")
    else:
        (tmp_path / "node_modules").symlink_to(modules)
    folder = tmp_path / "repository"
    write_repository(Bundle.load("small"), folder, repository="someone/small")
    hub.commit("someone/small", folder, "v1")
    card = (folder / "README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"(?ms)^```js\n(.*?)^```", card)
    remote = f"import {{ env }} from '@huggingface/transformers';\nenv.remoteHost = '{hub.url}/';\n"
    (tmp_path / "run.mjs").write_text(remote + script)
    shutil.copy(REPOSITORY / "examples" / "objects.png", tmp_path / "photo.jpg")
    done = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    albedo = linear_to_srgb(read_image(tmp_path / "albedo.png").pixels)
    height, width = albedo.shape[:2]
    import cv2

    codes = linear_to_srgb(read_image(REPOSITORY / "examples" / "objects.png").pixels)
    light = srgb_to_linear(np.clip(cv2.resize(codes, (width, height), interpolation=cv2.INTER_AREA), 0, 1))
    image = np.clip(light * exposure_gain(light), 0, 1).transpose(2, 0, 1)[None]
    with Decomposer.load("small", "cpu") as model:
        expected = model.backend.network(np.ascontiguousarray(image, np.float32), model._start_noise(height, width), 2)
    # Another way of making the picture smaller, and 8 bits.
    assert np.abs(albedo - linear_to_srgb(expected[0].transpose(1, 2, 0))).mean() < 0.02
