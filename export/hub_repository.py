"""Writes a model repository for the Hugging Face Hub from a bundle; `hf upload` then publishes it.

    python -m export.hub_repository -o out/hub --repository owner/intrinsic-flow-small
    python -m export.hub_repository -o out/hub --repository owner/mine --bundle out/mine --license cc-by-4.0

What lies in it: the bundle itself, which `--bundle hf:owner/name@REVISION` loads (extra [hub]); onnx/model.onnx and
onnx/model_fp16.onnx, the network in one file each with weights and start noise, config.json and preprocessor_config.json,
with which transformers.js loads them; a card, README.md, with the bundle's own card in it; the licence.

Nothing is uploaded: the command says how.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import CHECKOUT, ROOT, command_parser, program
from intrinsic_flow.decomposition.bundle import MANIFEST, SIDE_MULTIPLE, Bundle
from intrinsic_flow.decomposition.hub import REPOSITORY_NAME
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.graphs.one_file import one_file
from intrinsic_flow.json_file import write_json
from intrinsic_flow.media.atomic_file import replace_folder_when_complete

OWN_LICENSE = "apache-2.0"
TAG = "v1"
CARD_OF_BUNDLE = "MODEL_CARD.md"
#: In transformers.js the name of a file follows from its dtype.
ONNX_FILES = {"fp32": "onnx/model.onnx", "fp16": "onnx/model_fp16.onnx"}
_TEMPLATE = Path(__file__).parent / "hub_card.md"


def write_repository(bundle: Bundle, output: Path, *, repository: str, license: str = OWN_LICENSE) -> list[str]:
    """Publishes the folder `output`, which must be free or empty, once it is complete; returns its files' names.

    repository: its name on the hub, "owner/name". license: the weights', as the hub names it. Raises InputError, OSError;
    ValueError for a bad name.
    """
    if not re.fullmatch(REPOSITORY_NAME, repository):
        raise ValueError(f"repository {repository!r}, expected owner/name")
    output = Path(os.path.realpath(output))
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise InputError(output, "a folder with files" if output.is_dir() else "a file", "a name that is free")
    bundle.verify()
    with replace_folder_when_complete(output) as folder:
        (folder / "onnx").mkdir()
        for file in (MANIFEST, *bundle.manifest["files"]):
            shutil.copyfile(bundle.folder / file, folder / file)
        for precision, file in ONNX_FILES.items():
            onnx.save(one_file(bundle, "fp32" if precision == "fp32" else "fp16"), folder / file)
        write_json(folder / "config.json", _config(bundle))
        write_json(folder / "preprocessor_config.json", _preprocessor())
        (folder / "README.md").write_text(_card(bundle, repository, license), encoding="utf-8")
        if license == OWN_LICENSE:
            (folder / "LICENSE").write_text(_license_text(), encoding="utf-8")
    return sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())


def _config(bundle: Bundle) -> dict[str, object]:
    """For transformers.js, which runs a graph of an unknown model type by its inputs' names."""
    return {
        "model_type": "intrinsic-flow",
        "architectures": ["IntrinsicFlow"],
        "bundle": bundle.name,
        "tone_map": bundle.tone_map.to_dict(),
        "transformers.js_config": {"dtype": "fp32"},
    }


def _preprocessor() -> dict[str, object]:
    """What a photo goes through before the graph, but for linear light and exposure, which no preset has."""
    return {
        "image_processor_type": "ImageFeatureExtractor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": 256},
        "size_divisibility": SIDE_MULTIPLE,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": False,
    }


def _card(bundle: Bundle, repository: str, license: str) -> str:
    own = bundle.folder / CARD_OF_BUNDLE
    about = own.read_text(encoding="utf-8") if own.is_file() else f"# {bundle.name}\n"
    values = {"repository": repository, "license": license, "tag": TAG, "about": about.strip()}
    text = _TEMPLATE.read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"<<{key}>>", value)
    return text


def _license_text() -> str:
    if CHECKOUT:
        return (ROOT / "LICENSE").read_text(encoding="utf-8")
    text = importlib.metadata.distribution("intrinsic-flow").read_text("licenses/LICENSE")
    if text is None:
        raise FileNotFoundError("the installed package has no LICENSE")
    return text


@program("export.hub_repository", interrupted="interrupted: nothing was published")
def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("export.hub_repository", __doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write, a free name")
    parser.add_argument("--repository", required=True, metavar="OWNER/NAME", help="its name on the hub")
    parser.add_argument("--bundle", metavar="BUNDLE", help="small or a folder (default: the best shipped one)")
    parser.add_argument("--license", default=OWN_LICENSE, metavar="ID", help="of the weights (default: %(default)s)")
    parser.add_argument("-q", "--quiet", action="store_true", help="errors only")
    options = parser.parse_args(arguments)
    progress = Progress(quiet=options.quiet)
    try:
        bundle = Bundle.load(options.bundle)
        files = write_repository(bundle, options.output, repository=options.repository, license=options.license)
    except ValueError as error:
        parser.error(str(error))
    size = sum((options.output / file).stat().st_size for file in files)
    progress.log(f"{options.output}: {len(files)} files, {size / 1e6:.1f} MB; publish them with")
    progress.log(f"hf upload {options.repository} {options.output} .")
    progress.log(f"hf repos tag create {options.repository} {TAG}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
