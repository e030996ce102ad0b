"""Builds the browser page: static files for any host.

    python web/build.py                       # web/dist
    python web/build.py -o site --bundle out/base
    python -m http.server -d web/dist 8000    # http://localhost:8000

ONNX Runtime Web comes from the npm registry, in the version and with the hash that stand below; nothing of it is committed.
The archive is kept in ~/.cache/intrinsic-flow (or $XDG_CACHE_HOME), so that a second build needs no network.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

PACKAGE = "onnxruntime-web-1.30.0.tgz"
REGISTRY = "https://registry.npmjs.org"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# On the CPU the first two are fetched by a visitor, on a GPU the others.
RUNTIME = (
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
ON_CPU = RUNTIME[:2]
MODEL = ("bundle.json", "model.safetensors", "noise.npy", "decompose_2step.onnx", "low_shading.onnx", "upsampler.onnx")
EXAMPLES = ("room.png", "objects.png", "outdoor.png")
PAGE = ("index.html", "style.css", "icon.svg", "app.webmanifest", "licences.txt")


class BuildError(Exception):
    """One line: what was found, what was expected."""


class NoRegistryError(BuildError):
    """The npm registry cannot be reached."""


def fetched_package(registry: str = REGISTRY) -> Path:
    """The package's archive, from the cache or the registry, with the right hash. Raises BuildError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "intrinsic-flow"
    archive = cache / PACKAGE
    if archive.is_file() and _digest(archive) == SHA512:
        return archive
    url = f"{registry}/onnxruntime-web/-/{PACKAGE}"
    cache.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".npm-", dir=cache)
    try:
        with os.fdopen(handle, "wb") as file:
            try:
                with urllib.request.urlopen(url, timeout=60) as response:
                    shutil.copyfileobj(response, file)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                raise NoRegistryError(f"{url}: found {error}, expected the npm package") from error
        digest = _digest(Path(temporary))
        if digest != SHA512:
            raise BuildError(f"{url}: found sha512 {digest}, expected {SHA512}")
        os.replace(temporary, archive)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return archive


def build(output: Path, bundle: Path, registry: str = REGISTRY) -> int:
    """Writes the page to the folder `output`, which appears complete or stays as it was; returns its bytes.

    Raises BuildError where the bundle is not whole, the package cannot be fetched, or `output` is no page of ours.
    """
    if output.exists() and not (output / "service-worker.js").is_file() and (not output.is_dir() or any(output.iterdir())):
        raise BuildError(f"{output}: found other files, expected a page that was built before, or a free name")
    package = fetched_package(registry)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary) / "new"
        shutil.copytree(HERE / "js", folder / "js")
        for file in PAGE:
            shutil.copy(HERE / file, folder)
        for part in ("model", "onnxruntime", "examples"):
            (folder / part).mkdir()
        _copy_bundle(bundle, folder / "model")
        with tarfile.open(package) as archive:
            for file in RUNTIME:
                source = archive.extractfile(f"package/dist/{file}")
                assert source is not None, "the hash says what the archive holds"
                (folder / "onnxruntime" / file).write_bytes(source.read())
        for file in EXAMPLES:
            shutil.copy(ROOT / "examples" / file, folder / "examples")
        _write_service_worker(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        folder.chmod(0o755)
        if output.exists():
            os.rename(output, Path(temporary) / "old")
        os.rename(folder, output)
    return size


def _copy_bundle(bundle: Path, folder: Path) -> None:
    manifest = bundle / "bundle.json"
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"{manifest}: found {error}, expected a model bundle's manifest") from error
    if entries.get("version") != 2:
        raise BuildError(f"{manifest}: found version {entries.get('version')}, expected version 2")
    if entries["steps"] != 2:
        raise BuildError(f"{manifest}: found {entries['steps']} steps, expected 2, those of decompose_2step")
    for file in MODEL:
        if not (bundle / file).is_file():
            raise BuildError(f"{bundle}: found no {file}, expected a complete bundle")
        shutil.copy(bundle / file, folder)
        if file != manifest.name:
            found = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            if found != entries["files"][file]["sha256"]:
                raise BuildError(f"{bundle / file}: found sha256 {found}, expected {entries['files'][file]['sha256']}")


def _write_service_worker(folder: Path) -> None:
    """With a hash of all files as its version, so that browsers notice a new page, and the names of those it needs."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.encode() + hashlib.sha256((folder / file).read_bytes()).digest())
    needed = [
        file for file in files if file != "index.html" and (Path(file).name in ON_CPU or Path(file).name not in RUNTIME)
    ]
    text = (HERE / "service-worker.js").read_text(encoding="utf-8")
    digest.update(text.encode())
    for before, after in (
        ('const VERSION = "development";', f'const VERSION = "{digest.hexdigest()[:16]}";'),
        ("const FILES = [];", f"const FILES = {json.dumps(needed)};"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "service-worker.js").write_text(text, encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "-o", "--output", type=Path, default=HERE / "dist", metavar="DIR", help="folder to write (default: web/dist)"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=ROOT / "runtime" / "models" / "small",
        metavar="DIR",
        help="model bundle (default: small)",
    )
    parser.add_argument("--registry", default=REGISTRY, metavar="URL", help=f"npm registry (default: {REGISTRY})")
    options = parser.parse_args()
    try:
        size = build(options.output, options.bundle, options.registry)
    except (BuildError, OSError) as error:
        print(f"web/build.py: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {size / 1e6:.1f} MB; try it: python -m http.server -d {options.output} 8000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
