"""Writes a model repository for Triton Inference Server, from a bundle (ONNX Runtime) or from TensorRT engines.

    python -m export.triton_repository -o repository
    python -m export.triton_repository -o repository --fp16 --device gpu --max-batch 16
    python -m export.triton_repository -o repository --engines out/base/engines/tensorrt-fp16-sm89 --bundle out/base

Models: encoder, velocity_step, decoder, low_shading, upsampler, and decompose, which unrolls the loop: image and start
noise in, albedo out, one request for the whole network.

decompose is the bundle's merged graph where there is one for the number of steps (ONNX, two steps): a single execution,
whose time constants are folded. For engines and other numbers of steps it is a model of the Python backend that calls the
others. An ensemble could do neither: it has no constants to feed t and dt from, and no loop.

Batches: above a max_batch_size of 0, the server takes the first dimension of every tensor for the batch. So encoder,
decoder, low_shading and decompose have one and join waiting requests of equal size (dynamic batching); velocity_step (t
and dt of shape 1) and upsampler (rows of shape 2) have 0 and take whole tensors, their batch dimension an ordinary one.

TensorRT engines run on the server only if its TensorRT has their version and its GPU their compute capability. Engines of
TensorRT for RTX are refused: the server has no backend for them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from intrinsic_flow.backends.engine_file import LIBRARIES, SIDECAR_SUFFIX, EngineSidecar, graph_precision, rebuild_command
from intrinsic_flow.backends.engine_files import NEEDED, UnfitEnginesError
from intrinsic_flow.cli.progress import Progress
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import SIDE_MULTIPLE, WEIGHTS, Bundle, GraphSpec, Precision
from intrinsic_flow.decomposition.decomposer import DEFAULT_RESOLUTION
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.triton.config import FILES, Device, ModelConfig, WarmupSample
from intrinsic_flow.media.atomic_file import replace_folder_when_complete

LOOP = "decompose"
MODELS = (*NEEDED, LOOP)
MERGED_GRAPH, MERGED_STEPS = "decompose_2step", 2
LOOP_PARTS = ("encoder", "velocity_step", "decoder")
LOOP_MODEL = Path(__file__).parent / "triton" / "loop_model.py"
CONFIG, WARMUP = "config.pbtxt", "warmup"
DEFAULT_BATCH = 8
# Rows and columns of the upsampler's full-resolution image in the warm-up of ONNX Runtime.
FULL_RESOLUTION = (1080, 1920)


@dataclass(frozen=True)
class Options:
    """How the server runs the models.

    steps: Euler steps of decompose; None as many as the bundle was made for. max_batch: largest batch; None for 8, or
    for the largest of the engines. queue_delay: microseconds a request may wait for others. device: "auto" is the GPU
    where the server has one. instances: of each model, on each GPU. resolution: side of the warm-up's image in pixels.
    version: number of the version folders.
    """

    steps: int | None = None
    max_batch: int | None = None
    queue_delay: int = 1000
    device: Device = "auto"
    instances: int = 1
    resolution: int = DEFAULT_RESOLUTION
    version: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "max_batch", "instances", "version"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}, expected at least 1")
        if self.queue_delay < 0:
            raise ValueError(f"queue_delay {self.queue_delay}, expected at least 0")
        if self.resolution < SIDE_MULTIPLE or self.resolution % SIDE_MULTIPLE:
            raise ValueError(f"resolution {self.resolution}, expected a multiple of {SIDE_MULTIPLE}")


DEFAULTS = Options()


@dataclass(frozen=True)
class _Model:
    """A configuration, the files of its version folder as (source, name), and what its warm-up files hold."""

    config: ModelConfig
    files: tuple[tuple[Path, str], ...]
    values: Mapping[str, np.ndarray]


def write_repository(
    bundle: Bundle,
    output: Path,
    *,
    precision: Precision | None = None,
    engines: Path | None = None,
    options: Options = DEFAULTS,
    overwrite: bool = False,
) -> list[ModelConfig]:
    """Publishes the repository `output` once it is complete; returns the models' configurations.

    precision: of the ONNX graphs ("fp32" by default); with `engines`, a folder of TensorRT engines of this bundle, what
    the engines must have. Weights and engines are hard links where the file system allows, copies elsewhere. An existing
    repository is replaced with `overwrite` only, anything else never. Raises InputError, OSError.
    """
    output = Path(os.path.realpath(output))
    _check_target(output, overwrite)
    bundle.verify()
    if engines is None:
        models = _onnx_models(bundle, precision or "fp32", options)
    else:
        models = _engine_models(bundle, engines, precision, options)
    with replace_folder_when_complete(output) as folder:
        weights: Path | None = None
        for model in models:
            weights = _write_model(model, folder / model.config.name, options.version, weights) or weights
    return [model.config for model in models]


def _onnx_models(bundle: Bundle, precision: Precision, options: Options) -> list[_Model]:
    steps = options.steps or bundle.steps
    max_batch = options.max_batch or DEFAULT_BATCH

    def model(graph: str, name: str, parameters: Mapping[str, str] | None = None) -> _Model:
        own = graph_precision(graph, precision)
        spec, onnx = bundle.spec(graph, own), bundle.path(graph, own)
        files = [(onnx, FILES["onnxruntime"])]
        if WEIGHTS.encode() in onnx.read_bytes():  # the graph names it as its external data, relative to itself
            files.append((bundle.folder / WEIGHTS, WEIGHTS))
        batch = _max_batch_size(spec, max_batch)
        cells = options.resolution // SIDE_MULTIPLE
        low, (height, width) = options.resolution, FULL_RESOLUTION
        sizes = {"h": cells, "w": cells, "low_h": low, "low_w": low, "full_h": height, "full_w": width}
        shapes = [
            {tensor.name: tensor.resolve(batch=size, **sizes) for tensor in spec.inputs} for size in sorted({1, batch or 1})
        ]
        samples, values = _warmup(spec, shapes, steps)
        delay, device, instances = options.queue_delay, options.device, options.instances
        config = ModelConfig(spec, name, "onnxruntime", batch, delay, device, instances, 1, samples, parameters)
        return _Model(config, tuple(files), values)

    models = [model(graph, graph) for graph in NEEDED]
    if steps == MERGED_STEPS and bundle.has(MERGED_GRAPH, precision):
        return [*models, model(MERGED_GRAPH, LOOP, {"steps": str(steps)})]
    return [*models, _loop(bundle, precision, steps, max_batch, options)]


def _engine_models(bundle: Bundle, engines: Path, precision: Precision | None, options: Options) -> list[_Model]:
    if options.device == "cpu":
        raise InputError(engines, "TensorRT engines for --device cpu", "--device gpu or auto")
    sidecars = _engines(bundle, engines, precision)
    steps = options.steps or bundle.steps
    limit = min(_batches(sidecars[graph])[1] for graph in LOOP_PARTS)
    max_batch = options.max_batch or limit
    if max_batch > limit:
        raise InputError(engines, f"engines for batches up to {limit}", f"engines for --max-batch {max_batch}")
    models = []
    for graph, sidecar in sidecars.items():
        spec = bundle.spec(graph, sidecar.precision)
        batch = _max_batch_size(spec, max_batch)
        shapes = [{name: shape.opt for name, shape in profile.items()} for profile in sidecar.profiles]
        if batch:
            opt = shapes[0]
            shapes = [{name: (size, *shape[1:]) for name, shape in opt.items()} for size in sorted({1, batch})]
        samples, values = _warmup(spec, shapes, steps)
        delay, instances, profiles = options.queue_delay, options.instances, len(sidecar.profiles)
        config = ModelConfig(spec, graph, "tensorrt", batch, delay, "gpu", instances, profiles, samples)
        models.append(_Model(config, ((sidecar.engine, FILES["tensorrt"]),), values))
    return [*models, _loop(bundle, sidecars["encoder"].set_precision, steps, max_batch, options)]


def _loop(bundle: Bundle, precision: Precision, steps: int, max_batch: int, options: Options) -> _Model:
    """decompose as a Python model. It computes nothing itself, so it is on the CPU wherever the others are. Without
    warm-up: the server may load it before the models that it calls, and those are warm on their own."""
    spec = bundle.spec(MERGED_GRAPH, precision)
    parameters = {"steps": str(steps), "decoder_inputs": " ".join(bundle.spec("decoder").input_names)}
    config = ModelConfig(
        spec, LOOP, "python", max_batch, options.queue_delay, "cpu", options.instances, parameters=parameters
    )
    return _Model(config, ((LOOP_MODEL, FILES["python"]),), {})


def _max_batch_size(spec: GraphSpec, max_batch: int) -> int:
    """`max_batch` where every tensor of the graph begins with the batch, else 0."""
    return max_batch if all(tensor.shape[0] == "batch" for tensor in (*spec.inputs, *spec.outputs)) else 0


def _warmup(
    spec: GraphSpec, shapes: Sequence[Mapping[str, tuple[int, ...]]], steps: int
) -> tuple[tuple[WarmupSample, ...], dict[str, np.ndarray]]:
    """Samples of these shapes and the warm-up files that they name: times and rows must make sense, pictures need not."""
    samples, files = [], {}
    for number, inputs in enumerate(shapes):
        values = {"t": [0.0], "dt": [1 / steps]}
        if "rows" in inputs:
            values["rows"] = [0.0, inputs["image"][2]]
        names = {name: name if name != "rows" else f"rows_{number}" for name in values if name in inputs}
        files.update({names[name]: np.array(values[name], "<f4") for name in names})
        samples.append(WarmupSample("x".join(map(str, _picture(inputs))), inputs, names))
    return tuple(samples), files


def _picture(inputs: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    return next(inputs[name] for name in ("image", "z", "albedo") if name in inputs)


def _batches(sidecar: EngineSidecar) -> tuple[int, int]:
    """Least and largest batch of a network's engine; networks have one profile, whose inputs share the batch."""
    image = _picture({name: shapes.min for name, shapes in sidecar.profiles[0].items()})
    return image[0], _picture({name: shapes.max for name, shapes in sidecar.profiles[0].items()})[0]


def _engines(bundle: Bundle, folder: Path, precision: Precision | None) -> dict[str, EngineSidecar]:
    """The engines that a decomposition needs, by graph. Raises InputError where one is missing or unfit."""
    if not folder.is_dir():
        raise InputError(folder, "a file" if folder.exists() else "no such folder", "a folder of TensorRT engines")
    sidecars = {graph: EngineSidecar.load(folder / f"{graph}{SIDECAR_SUFFIX}") for graph in NEEDED}
    command = rebuild_command(bundle, "tensorrt", precision or "fp16")
    if any(sidecar.flavor != "tensorrt" for sidecar in sidecars.values()):
        raise InputError(
            folder,
            f"engines of {LIBRARIES['rtx']}",
            f"those of TensorRT, the server has no backend for others ({command})",
        )
    problems = [line for sidecar in sidecars.values() for line in sidecar.check(bundle, "tensorrt")]
    if problems:
        raise UnfitEnginesError(folder, problems)
    for what in ("version", "compute_capabilities", "set_precision"):
        found = sorted({str(getattr(sidecar, what)) for sidecar in sidecars.values()})
        if len(found) > 1:
            raise InputError(folder, f"engines of {what} {' and '.join(found)}", f"engines of one build ({command})")
    there = sidecars["encoder"].set_precision
    if precision not in (None, there):
        raise InputError(folder, f"engines in {there}", f"engines in {precision} ({command})")
    for graph, sidecar in sidecars.items():
        spec = bundle.spec(graph, sidecar.precision)
        expected = {tensor.name: tensor.dtype for tensor in (*spec.inputs, *spec.outputs)}
        there_are = {tensor.name: tensor.dtype for tensor in sidecar.tensors}
        if there_are != expected:
            raise InputError(sidecar.path, f"tensors {there_are}", f"tensors {expected}")
        if graph in LOOP_PARTS and (least := _batches(sidecar)[0]) > 1:
            raise InputError(sidecar.path, f"batches from {least} on", f"batches from 1 on ({command})")
        sidecar.verify()
    return sidecars


def _write_model(model: _Model, folder: Path, version: int, weights: Path | None) -> Path | None:
    """weights: those of another model of the repository. Returns this one's, None where it has none.

    The weights lie in the repository once, but never as a link to the bundle's: onnx takes a file with several names for
    an attack, and would not load the bundle's own graphs any more.
    """
    versions, placed = folder / str(version), None
    versions.mkdir(parents=True)
    for source, name in model.files:
        if name == WEIGHTS:
            placed = versions / name
            _link_or_copy(weights, placed) if weights else shutil.copy2(source, placed)
        else:
            _link_or_copy(source, versions / name)
    if model.values:
        (folder / WARMUP).mkdir()
        for name, values in model.values.items():
            (folder / WARMUP / name).write_bytes(values.tobytes())
    (folder / CONFIG).write_text(model.config.to_text(), encoding="utf-8")
    return placed


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link, not a symbolic one: ONNX Runtime refuses external data that leads out of the graph's folder, and the
    repository is often mounted alone into a container."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _check_target(output: Path, overwrite: bool) -> None:
    """Nothing but an empty folder or, with `overwrite`, a repository of these models is replaced. Raises InputError."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    ours = output.is_dir() and all(model.name in MODELS and (model / CONFIG).is_file() for model in output.iterdir())
    if not ours:
        kind = "a folder with other files" if output.is_dir() else "a file"
        raise InputError(output, kind, "a model repository of intrinsic-flow, or a name that is free")
    if not overwrite:
        raise InputError(output, "a model repository", "a name that is free, or --overwrite")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = command_parser("export.triton_repository", __doc__)
    result.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="repository to write")
    result.add_argument("--overwrite", action="store_true", help="replace a repository that exists")
    result.add_argument("--bundle", metavar="BUNDLE", help="small or a folder (default: the best shipped one)")
    result.add_argument("--engines", type=Path, metavar="FOLDER", help="serve TensorRT engines of the bundle, not its ONNX")
    kind = result.add_mutually_exclusive_group()
    kind.add_argument("--fp32", dest="precision", action="store_const", const="fp32", help="FP32 graphs (default for ONNX)")
    kind.add_argument("--fp16", dest="precision", action="store_const", const="fp16", help="FP16 graphs; upsampler in FP32")
    for name, metavar, text in (
        ("steps", "N", "Euler steps of decompose (default: the bundle's)"),
        ("max_batch", "N", f"largest batch (default: {DEFAULT_BATCH}, or the engines' largest)"),
        ("queue_delay", "US", "microseconds that a request may wait for others to join its batch"),
        ("instances", "N", "copies of each model that run at once, on each GPU"),
        ("resolution", "PX", "side of the image that warms ONNX graphs up, a multiple of 32; engines have their own"),
        ("version", "N", "version folder"),
    ):
        default = getattr(DEFAULTS, name)
        shown = text if default is None else f"{text} (default: {default})"
        flag = "--model-version" if name == "version" else f"--{name.replace('_', '-')}"
        result.add_argument(flag, type=int, default=default, dest=name, metavar=metavar, help=shown)
    result.add_argument(
        "--device",
        choices=("auto", "gpu", "cpu"),
        default=DEFAULTS.device,
        help="where models run; auto: on the GPUs, if the server has any (default: %(default)s)",
    )
    result.add_argument("-q", "--quiet", action="store_true", help="errors only")
    return result


@program("export.triton_repository", interrupted="interrupted: nothing was published")
def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    flags = command.parse_args(arguments)
    try:
        options = Options(**{field.name: getattr(flags, field.name) for field in fields(Options)})
    except ValueError as error:
        command.error(str(error))
    progress = Progress(quiet=flags.quiet)
    bundle = Bundle.load(flags.bundle)
    configs = write_repository(
        bundle,
        flags.output,
        precision=flags.precision,
        engines=flags.engines,
        options=options,
        overwrite=flags.overwrite,
    )
    if flags.engines is not None:
        sidecar = EngineSidecar.load(flags.engines / f"encoder{SIDECAR_SUFFIX}")
        later = " or later, with --backend-config=tensorrt,version-compatible=true" if sidecar.version_compatible else ""
        progress.log(f"the server needs {sidecar.target()} and TensorRT {sidecar.version}{later}")
    for config in configs:
        batches = f"batches up to {config.max_batch}" if config.max_batch else "no batching"
        progress.log(f"{config.name}: {config.backend}, {batches}")
    progress.log(f"{flags.output}: start with tritonserver --model-repository={os.path.abspath(flags.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
