"""Packs what a GPU machine without a package index needs, in slices that can be carried one by one.

    python -m benchmarks.gpu_pack -o out/pack --files data/shards squeezenet.safetensors --wheels wheels/
    python -m benchmarks.gpu_pack -o out/pack --packages onnxruntime-gpu polygraphy --python 3.12
    python -m benchmarks.gpu_pack --unpack out/pack -o /tmp/day

One tar archive in files of at most --slice-mib, and `pack.json` with the SHA-256 of each: --unpack says which are missing
or damaged before it writes anything. --packages downloads wheels for the other machine's Python, without requirements.
--unpack installs wheels in the folder `site` beside them: run what follows with PYTHONPATH=DIR/site.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path

from intrinsic_flow.benchmarks.report import write_json
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.errors import InputError

MANIFEST, SITE = "pack.json", "site"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")
_BLOCK = 1 << 20


def pack(folder: Path, files: Sequence[Path], slice_bytes: int) -> list[str]:
    """Writes `files`, folders with all that is in them, each under its own name, and returns the slices' names.

    Raises InputError for a file that is not there, or two of one name.
    """
    names = [path.resolve().name for path in files]
    for path, name in zip(files, names):
        if not path.exists():
            raise InputError(path, "nothing", "a file or a folder to pack")
        if names.count(name) > 1:
            raise InputError(path, f"a second {name}", "files and folders of different names")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("pack.*"):
        old.unlink()
    slices: dict[str, str] = {}
    with tempfile.TemporaryFile(dir=folder) as whole:
        with tarfile.open(fileobj=whole, mode="w") as archive:
            for path, name in zip(files, names):
                archive.add(path.resolve(), name)
        whole.seek(0)
        while part := whole.read(slice_bytes):
            slice = folder / f"pack.{len(slices):02d}"
            slice.write_bytes(part)
            slices[slice.name] = sha256(part).hexdigest()
    write_json(folder / MANIFEST, {"slices": slices, "names": names})
    return list(slices)


def unpack(folder: Path, target: Path) -> list[str]:
    """Checks every slice, then unpacks into `target`, and the wheels among it into SITE there; returns the names of what
    lies there. Raises InputError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        slices, names = dict(manifest["slices"]), list(manifest["names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"no readable {MANIFEST}", "a folder of this command") from error
    bad = [name for name, digest in slices.items() if not (folder / name).is_file() or _digest(folder / name) != digest]
    if bad:
        raise InputError(folder, f"missing or damaged: {', '.join(bad)}", "every slice as it was packed")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=target) as whole:
        for name in slices:
            with (folder / name).open("rb") as part:
                shutil.copyfileobj(part, whole, _BLOCK)
        whole.seek(0)
        with tarfile.open(fileobj=whole) as archive:
            archive.extractall(target, filter="data")
    wheels = sorted(wheel for name in names for wheel in (target / name).glob("*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as content:
            content.extractall(target / SITE)
    return [*names, *([SITE] if wheels else [])]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def download(packages: Sequence[str], python: str, folder: Path) -> None:
    """Downloads wheels for Linux on x86-64. Raises InputError with pip's own last line."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    command += ["--python-version", python, "--implementation", "cp", *packages]
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(", ".join(packages), f"a download that failed ({reason})", "packages with wheels for that Python")


@program("benchmarks.gpu_pack", tarfile.TarError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 something is missing or damaged, 2 wrong usage."""
    parser = command_parser("benchmarks.gpu_pack", __doc__)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="of the slices; with --unpack, of the files"
    )
    parser.add_argument("--files", nargs="+", type=Path, default=[], metavar="PATH", help="files and folders to pack")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="a folder of wheels to pack")
    parser.add_argument("--packages", nargs="+", default=[], metavar="NAME", help="packages whose wheels pip downloads")
    parser.add_argument("--python", default="3.12", metavar="X.Y", help="of the other machine (default: 3.12)")
    parser.add_argument("--slice-mib", type=int, default=60, metavar="N", help="largest slice (default: 60)")
    parser.add_argument("--unpack", type=Path, metavar="DIR", help="unpack the slices of this folder")
    options = parser.parse_args(arguments)
    if options.slice_mib < 1:
        parser.error(f"argument --slice-mib: found {options.slice_mib}, expected at least 1")
    files = [*options.files, *([options.wheels] if options.wheels else [])]
    if not options.unpack and not files and not options.packages:
        parser.error("found nothing to pack, expected --files, --wheels or --packages (or --unpack)")
    if options.unpack:
        print("\n".join(unpack(options.unpack, options.output)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        if options.packages:
            files.append(Path(temporary) / "packages")
            files[-1].mkdir()
            download(options.packages, options.python, files[-1])
        names = pack(options.output, files, options.slice_mib << 20)
    print(f"{len(names)} slices of at most {options.slice_mib} MiB, and {MANIFEST}, in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
