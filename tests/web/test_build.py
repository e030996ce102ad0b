"""What the build fetches and copies, without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SMALL = REPOSITORY / "runtime" / "models" / "small"


@pytest.fixture
def registry(build, serve, tmp_path, monkeypatch):
    """A registry on this machine whose package is as small as can be, and an empty cache."""
    folder = tmp_path / "registry" / "onnxruntime-web" / "-"
    folder.mkdir(parents=True)
    with tarfile.open(folder / build.PACKAGE, "w:gz") as archive:
        for file in build.RUNTIME:
            entry = tarfile.TarInfo(f"package/dist/{file}")
            entry.size = len(file)
            archive.addfile(entry, io.BytesIO(file.encode()))
    digest = hashlib.sha512((folder / build.PACKAGE).read_bytes()).digest()
    monkeypatch.setattr(build, "SHA512", base64.b64encode(digest).decode())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return serve(tmp_path / "registry")


def test_the_page_is_complete_and_is_built_again_offline(build, registry, tmp_path):
    page = tmp_path / "site"
    assert build.build(page, SMALL, registry.address) > 10e6
    names = {path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file()}
    assert {"index.html", "service-worker.js", "model/bundle.json", "examples/room.png", "js/worker.js"} <= names
    assert {f"onnxruntime/{file}" for file in build.RUNTIME} <= names
    worker = (page / "service-worker.js").read_text()
    kept = json.loads(re.search(r"const FILES = (\[.*\]);", worker)[1])
    assert set(kept) <= names and "model/model.safetensors" in kept and not any("asyncify" in file for file in kept)
    registry.close()
    assert build.build(page, SMALL, registry.address) > 10e6
    assert (page / "service-worker.js").read_text() == worker
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_another_page_has_another_version(build, registry, tmp_path, monkeypatch):
    versions = set()
    for examples in (build.EXAMPLES, build.EXAMPLES[:1]):
        monkeypatch.setattr(build, "EXAMPLES", examples)
        build.build(tmp_path / "site", SMALL, registry.address)
        versions.add(re.search(r'VERSION = "(\w{16})"', (tmp_path / "site" / "service-worker.js").read_text())[1])
    assert len(versions) == 2


def test_a_wrong_package_is_refused(build, registry, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SHA512", "another")
    with pytest.raises(build.BuildError, match=r"found sha512 .*, expected another"):
        build.build(tmp_path / "site", SMALL, registry.address)
    assert not (tmp_path / "site").exists()
    assert list((tmp_path / "cache" / "intrinsic-flow").iterdir()) == []


def test_no_registry_and_strange_folders_are_one_line(build, registry, tmp_path):
    registry.close()
    with pytest.raises(build.NoRegistryError, match="expected the npm package"):
        build.build(tmp_path / "site", SMALL, registry.address)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(build.BuildError, match="found other files"):
        build.build(tmp_path / "mine", SMALL, registry.address)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_damaged_bundle_is_refused(build, registry, tmp_path):
    shutil.copytree(SMALL, tmp_path / "bundle")
    (tmp_path / "bundle" / "noise.npy").write_bytes(b"no noise")
    with pytest.raises(build.BuildError, match=r"noise\.npy: found sha256"):
        build.build(tmp_path / "site", tmp_path / "bundle", registry.address)


def test_help():
    script = REPOSITORY / "web" / "build.py"
    result = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.count("python web/build.py") >= 2
