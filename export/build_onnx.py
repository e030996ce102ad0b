"""Builds a model bundle from a training run: ONNX graphs, one file of weights, a manifest; verified, then published.

    python -m export.build_onnx runs/small -o runtime/models/small
    python -m export.build_onnx runs/base -o out/base --name base --images photo.jpg render.exr
    python -m export.build_onnx runtime/models/small -o out/small           # a bundle again, with this version's graphs
    python -m export.build_onnx --untrained base -o out/base-untrained      # random weights, to measure latency with
    python -m export.build_onnx runtime/models/small --single -o out/one-file --sizes 256x384 --full 1080x1920

From a bundle the graphs are made anew; its weights file, start noise, name, source and model card are taken over. It may be
of format 1, whose noise becomes the tile of format 2. BUNDLE may be the same folder.

Every graph is compared with PyTorch on pictures and random inputs first; if one fails, nothing is published.

`--single` writes a bundle's self-contained graphs instead, one image in, one layer out, for any ONNX loader:
`export/single.py`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from intrinsic_flow.commands import ROOT, command_parser, program
from intrinsic_flow.decomposition.bundle import (
    MANIFEST,
    MODELS,
    NOISE,
    PRECISIONS,
    VERSION,
    WEIGHTS,
    Bundle,
    NetworkInterface,
    all_graph_specs,
    graph_file,
    graph_specs,
    read_manifest,
    resolve_bundle,
    write_manifest,
)
from intrinsic_flow.decomposition.exposure import ToneMap
from intrinsic_flow.decomposition.noise import make_tile
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.cases import STEPS, photo_case, procedural_case, random_cases
from intrinsic_flow.export.graphs.half import half_copy
from intrinsic_flow.export.graphs.merge import merge_loop
from intrinsic_flow.export.graphs.modules import graph_modules
from intrinsic_flow.export.graphs.onnx_graph import DEFAULT_OPSET, ExportError, export_graph, save_graph, share_weights
from intrinsic_flow.export.single import build_single
from intrinsic_flow.export.untrained import source as untrained_source
from intrinsic_flow.export.untrained import untrained_model
from intrinsic_flow.export.verify import VerificationError, check_graphs_of_weights, largest_activations, verify
from intrinsic_flow.export.weights import load_model, round_weights, save_weights
from intrinsic_flow.media.atomic_file import replace_folder_when_complete
from intrinsic_flow.train.checkpoint import CheckpointError, load_run
from intrinsic_flow.train.networks.config import LATENT_CHANNELS
from intrinsic_flow.train.networks.guided_upsampler import CONSTANTS
from intrinsic_flow.train.networks.model import SAMPLING_NOISE_SCALE, IntrinsicFlow

_OF_FORMAT_1 = {"name", "config", "feature_channels", "tone_map", "steps", "noise_scale", "opset", "source", "files"}
EXAMPLES = ("assets/*.png", "examples/*.png")


def build_bundle(
    model: IntrinsicFlow,
    bundle: Path,
    *,
    name: str | None = None,
    source: Mapping[str, object],
    images: Iterable[Path] = (),
    opset: int = DEFAULT_OPSET,
    origin: Bundle | None = None,
) -> dict[str, object]:
    """Builds, verifies and publishes the folder `bundle`; returns the verification report.

    name: in the manifest, by default the folder's. source: where the weights come from. images: pictures to verify on,
    beside a procedural one and random inputs. origin: the bundle that the model was read from; its weights file, settings
    of the runtime and files beside are taken over. Files in an existing bundle that are not the build's own, like a model
    card, stay. Raises VerificationError, ExportError, InputError or ValueError and leaves what was there.
    """
    _check_target(bundle)
    model = round_weights(model)
    cases = [procedural_case(), *map(photo_case, images), *random_cases()]
    with replace_folder_when_complete(bundle) as folder:
        if origin is not None:
            _take_over(origin, folder)
        if not (folder / NOISE).exists():
            scale = origin.manifest["noise_scale"] if origin else SAMPLING_NOISE_SCALE
            np.save(folder / NOISE, make_tile(LATENT_CHANNELS, scale))
        write_graphs(model, folder, opset)
        report = verify(folder, model, cases, opset)
        report["largest_activations"] = largest_activations(model, cases)
        write_manifest(
            folder,
            name=name or bundle.resolve().name,
            config=model.config.to_dict(),
            feature_channels=model.config.feature_channels,
            latent_mean=model.vae.latent_mean.tolist(),
            latent_std=model.vae.latent_std.tolist(),
            tone_map=origin.tone_map if origin else ToneMap(),
            opset=opset,
            source=source,
            verification=report,
            steps=origin.steps if origin else STEPS,
            upsampler=CONSTANTS,
        )
        Bundle.load(folder, verify=True)
        _keep_others(bundle, folder)
    return report


def rebuild_bundle(
    origin: Bundle, bundle: Path, *, name: str | None = None, images: Iterable[Path] = (), opset: int | None = None
) -> dict[str, object]:
    """Builds the folder `bundle` from the weights of another bundle, or the same; returns the verification report.

    name, opset: by default the origin's. Raises what `build_bundle` raises, VerificationError also where the origin's own
    graphs compute something else than this version's networks with its weights.
    """
    origin.verify()
    model = load_model(origin)
    check_graphs_of_weights(origin.folder, model, procedural_case())
    return build_bundle(
        model,
        bundle,
        name=name or origin.name,
        source=origin.manifest["source"],
        images=images,
        opset=opset or origin.manifest["opset"],
        origin=origin,
    )


def load_origin(bundle: str | os.PathLike[str]) -> Bundle:
    """A bundle to take the weights of: of this format, or of format 1, of whose graphs only the networks' stay what they
    were. Raises InputError."""
    folder = resolve_bundle(bundle)
    manifest = read_manifest(folder)
    if not isinstance(manifest, dict) or manifest.get("version") != 1:
        return Bundle.load(folder)
    missing = _OF_FORMAT_1 - manifest.keys()
    if missing:
        raise InputError(folder / MANIFEST, f"no {', '.join(sorted(missing))}", f"a manifest of format 1 or {VERSION}")
    return Bundle(folder, manifest)


def write_graphs(model: IntrinsicFlow, folder: Path, opset: int = DEFAULT_OPSET) -> None:
    """Writes every graph, and the weights file where there is none yet.

    model: FP32 with FP16-rounded weights (`round_weights`), those of the file.
    """
    weights = folder / WEIGHTS
    if not weights.exists():
        save_weights(model, weights)
    for precision in PRECISIONS:
        specs = graph_specs(model.config.interface, precision)
        modules = graph_modules(model if precision == "fp32" else half_copy(model))
        graphs = {}
        for name, module in modules.items():
            if name not in specs:  # the upsampler in FP16
                continue
            graphs[name] = export_graph(module, specs[name], opset)
            share_weights(graphs[name], weights)
        encoder, step, decoder = (graphs[name] for name in ("encoder", "velocity_step", "decoder"))
        graphs["decompose_2step"] = merge_loop(encoder, step, decoder, specs["decompose_2step"], STEPS)
        for name, graph in graphs.items():
            save_graph(graph, folder / graph_file(name, precision))


def summary(report: Mapping[str, Any]) -> str:
    """The report's worst figures as a table, one graph a line."""
    lines = [f"{'graph':18s}{'fp32 error':>12s}{'fp16 error':>12s}{'fp16 PSNR':>12s}{'largest':>10s}"]
    worst, activations = report["worst"], report["largest_activations"]
    for graph, fp32 in worst["fp32"].items():
        fp16 = worst["fp16"].get(graph, {})
        cells = [
            f"{fp32['max_error']:.1e}",
            f"{fp16['max_error']:.1e}" if fp16 else "",
            f"{fp16['psnr_db']:.1f} dB" if "psnr_db" in fp16 else "",
        ]
        largest = f"{activations[graph]:.1f}" if graph in activations else ""
        lines.append(f"{graph:18s}" + "".join(f"{cell:>12s}" for cell in cells) + f"{largest:>10s}")
    return "\n".join(lines)


def _take_over(origin: Bundle, folder: Path) -> None:
    """Copies the weights file and what is not the build's own. Folders stay behind: engines are those of other graphs."""
    graphs = all_graph_specs(origin.network)
    for file in origin.folder.iterdir():
        if file.is_file() and file.name != MANIFEST and file.name not in graphs:
            shutil.copy2(file, folder / file.name)


def _check_target(bundle: Path) -> None:
    """A folder that is no bundle is never replaced. Raises InputError."""
    if bundle.exists() and (not bundle.is_dir() or (any(bundle.iterdir()) and not (bundle / MANIFEST).is_file())):
        kind = "a folder with other files" if bundle.is_dir() else "a file"
        raise InputError(bundle, kind, "a bundle to replace, or a name that is free")


def _check_untrained(source: Mapping[str, object], bundle: Path) -> None:
    """Random weights are not shipped. Raises InputError."""
    if source.get("untrained") and bundle.resolve().parent == MODELS.resolve():
        raise InputError(bundle, "random weights for a shipped model", "a folder outside the shipped models")


def _keep_others(bundle: Path, folder: Path) -> None:
    """Copies to the finished folder what lies in `bundle`, whose place it takes, and is not the build's own."""
    own = {MANIFEST, WEIGHTS, NOISE, *all_graph_specs(NetworkInterface((1, 1, 1)))}
    for extra in bundle.iterdir() if bundle.exists() else ():
        if extra.name not in own:
            copy = shutil.copytree if extra.is_dir() else shutil.copy2
            copy(extra, folder / extra.name)


@program("export.build_onnx", CheckpointError, ExportError, VerificationError, ValueError)
def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("export.build_onnx", __doc__)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="run folder of train.flow, or a bundle's folder")
    parser.add_argument(
        "--untrained", metavar="NETWORK", help="instead of a run: seeded random weights for a network's name or YAML file"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="BUNDLE", help="folder to publish")
    parser.add_argument("--name", help="name in the manifest (default: the folder's; from a bundle, its own)")
    parser.add_argument("--opset", type=int, help=f"ONNX opset (default: {DEFAULT_OPSET}; from a bundle, its own)")
    parser.add_argument(
        "--images", type=Path, nargs="+", metavar="FILE", help="pictures to verify on (default: the project's examples)"
    )
    single = parser.add_argument_group("self-contained graphs")
    single.add_argument("--single", action="store_true", help="write those of the bundle RUN to the folder BUNDLE")
    for option, what in (("--sizes", "of the network, multiples of 32"), ("--full", "at full resolution")):
        single.add_argument(option, type=_size, nargs="+", default=[], metavar="HxW", help=f"static ones too, {what}")
    options = parser.parse_args(arguments)
    if (options.sizes or options.full) and not options.single:
        parser.error("--sizes and --full go with --single")
    if (options.run is None) == (options.untrained is None) or (options.single and options.untrained):
        parser.error("expected either RUN or --untrained NETWORK, with --single a bundle's folder")
    images = options.images
    if images is None:
        images = [path for pattern in EXAMPLES for path in sorted(ROOT.glob(pattern))]
    if options.single:
        written = build_single(Bundle.load(options.run), options.output, sizes=options.sizes, full_sizes=options.full)
        for path in written:
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        return 0
    report = _build(options, images)
    print(summary(report))
    size = sum(path.stat().st_size for path in options.output.iterdir()) / 1e6
    print(f"{options.output}: {size:.1f} MB")
    return 0


def _size(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r}, expected HEIGHTxWIDTH, like 256x384")
    return int(height), int(width)


def _build(options: argparse.Namespace, images: list[Path]) -> dict[str, object]:
    if options.run and (options.run / MANIFEST).is_file():
        origin = load_origin(options.run)
        _check_untrained(origin.manifest["source"], options.output)
        return rebuild_bundle(origin, options.output, name=options.name, images=images, opset=options.opset)
    if options.untrained:
        model, source = untrained_model(options.untrained), untrained_source(options.untrained)
    else:
        model, source = load_run(options.run)
    _check_untrained(source, options.output)
    opset = options.opset or DEFAULT_OPSET
    return build_bundle(model, options.output, name=options.name, source=source, images=images, opset=opset)


if __name__ == "__main__":
    sys.exit(main())
