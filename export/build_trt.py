"""Builds TensorRT engines from a model bundle: encoder, velocity step, decoder, low shading, upsampler, VAE encoder.

    python -m export.build_trt --fp16
    python -m export.build_trt --fp16 --bundle out/base --compute-capability 86 89 120 --max-batch 1

With full TensorRT (10.12 to 11) an engine is for the GPU here; with TensorRT for RTX it can be built ahead of time, on a
machine without one. Left to itself (--flavor auto) the command takes the GPU that it finds, and without one builds for
compute capabilities 86, 89 and 120. Low shading and upsampler always compute in FP32.

Engines are tuned for the second of three sizes and take everything between the first and the third; the wider the
range, the more memory they plan for. For one fixed size: --resolution 256 256 256 --max-batch 1. Engines that nothing has
changed for are kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from intrinsic_flow.backends.engine_file import (
    ENGINE_GRAPHS,
    FLAVORS,
    LIBRARIES,
    SIDECAR_SUFFIX,
    EngineSidecar,
    engine_folder,
    graph_precision,
    platform_name,
)
from intrinsic_flow.backends.gpu import find_gpu, why_no_gpu
from intrinsic_flow.cli.progress import Progress, duration
from intrinsic_flow.commands import command_parser, program
from intrinsic_flow.decomposition.bundle import REQUIRED_GRAPHS, WEIGHTS, Bundle, Precision, graph_file
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.trt.builder import BuiltEngine, EngineBuilder
from intrinsic_flow.export.trt.errors import BuildError
from intrinsic_flow.export.trt.profiles import Shapes, profiles
from intrinsic_flow.export.trt.target import Target, choose_target
from intrinsic_flow.export.trt.tensor_types import computing_precision
from intrinsic_flow.media.atomic_file import write_complete

DEFAULTS = Shapes()


def build_engines(
    bundle: Bundle,
    target: Target,
    folder: Path,
    *,
    precision: Precision = "fp16",
    shapes: Shapes = DEFAULTS,
    optimization_level: int | None = None,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> list[EngineSidecar]:
    """Builds what is missing or out of date in `folder`; returns the sidecars of all graphs.

    Each engine is published as soon as it is built, so that an interrupted build goes on where it ended. Raises BuildError,
    InputError (also for a bundle whose files are not those of its manifest).
    """
    progress = progress or Progress(quiet=True)
    bundle.verify()
    builder: EngineBuilder | None = None
    sidecars: list[EngineSidecar] = []
    seconds: list[float] = []
    graphs = [
        graph for graph in ENGINE_GRAPHS if graph in REQUIRED_GRAPHS or bundle.has(graph, graph_precision(graph, precision))
    ]

    def describe(graph: str) -> EngineSidecar:
        """What is to be built, without the engine's own facts."""
        own = graph_precision(graph, precision)
        onnx = bundle.path(graph, own)
        spec = bundle.spec(graph, own)
        files = bundle.manifest["files"]
        return EngineSidecar(
            graph=graph,
            onnx=graph_file(graph, own),
            onnx_sha256=files[onnx.name]["sha256"],
            weights_sha256=files[WEIGHTS]["sha256"],
            precision=own,
            set_precision=precision,
            flavor=target.flavor,
            version=target.trt.__version__,
            compute_capabilities=target.compute_capabilities,
            gpu=target.gpu.name if target.gpu else None,
            hardware=target.hardware,
            version_compatible=target.flavor == "tensorrt" and target.compatible,
            options={"optimization_level": optimization_level, "strongly_typed": True, "tf32": False},
            tensors=(),
            profiles=profiles(spec, shapes),
            plan_sha256="",
            plan_bytes=0,
            platform=platform_name(),
            path=folder / f"{graph}{SIDECAR_SUFFIX}",
        )

    for number, graph in enumerate(graphs, 1):
        label = f"[{number}/{len(graphs)}] {graph}"
        wanted = describe(graph)
        if (kept := _unchanged(wanted)) is not None:
            progress.log(f"{label}: unchanged")
            sidecars.append(kept)
            continue
        builder = builder or EngineBuilder(target, optimization_level=optimization_level, timing_cache=timing_cache)
        started = time.monotonic()
        onnx = bundle.path(graph, wanted.precision)
        spec = bundle.spec(graph, wanted.precision)
        rest = sum(seconds) / len(seconds) * (len(graphs) - number) if seconds else None
        built = builder.build(spec, onnx, wanted.precision, wanted.profiles, _status(progress, label, rest))
        progress.show("")
        seconds.append(time.monotonic() - started)
        sidecars.append(_publish(wanted, built))
        checks = f"{built.compute_layers} compute layers in {computing_precision(graph, wanted.precision).upper()}"
        if built.inspected is None:
            checks += ", engine not inspected (built without a GPU)"
        elif built.inspected:
            checks += f", {built.inspected} in the engine"
        else:
            checks += ", engine inspected but it names no compute kernels"
        more = len(graphs) - number
        left = f"; about {duration(sum(seconds) / len(seconds) * more)} left" if more else ""
        progress.log(f"{label}: {len(built.engine) / 1e6:.1f} MB in {seconds[-1]:.1f} s, {checks}{left}")
    return sidecars


def _unchanged(wanted: EngineSidecar) -> EngineSidecar | None:
    """The sidecar that is there, if its engine is intact and a build would come from the same inputs."""
    try:
        there = EngineSidecar.load(wanted.path)
        there.verify()
    except InputError:
        return None
    built = dataclasses.replace(wanted, tensors=there.tensors, plan_sha256=there.plan_sha256, plan_bytes=there.plan_bytes)
    return there if there == built else None


def _publish(wanted: EngineSidecar, built: BuiltEngine) -> EngineSidecar:
    """Engine first, sidecar last: an engine file without one is never used, whenever this is interrupted."""
    digest = hashlib.sha256(built.engine).hexdigest()
    sidecar = dataclasses.replace(wanted, tensors=built.tensors, plan_sha256=digest, plan_bytes=len(built.engine))
    sidecar.path.parent.mkdir(parents=True, exist_ok=True)
    sidecar.path.unlink(missing_ok=True)
    write_complete(sidecar.engine, built.engine)
    write_complete(sidecar.path, sidecar.to_json())
    return sidecar


def _status(progress: Progress, label: str, rest: float | None) -> Callable[[float, float | None], None]:
    """Shows a build's progress. rest: seconds that the graphs after this one may take, None where unknown."""

    def show(fraction: float, left: float | None) -> None:
        estimate = "" if left is None else f", {duration(left)} left"
        if left is not None and rest:
            estimate += f", {duration(left + rest)} for all"
        progress.show(f"{label}: {fraction:.0%}{estimate}")

    return show


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = command_parser("export.build_trt", __doc__)
    kind = result.add_mutually_exclusive_group()
    kind.add_argument("--fp16", dest="precision", action="store_const", const="fp16", help="FP16 engines (the default)")
    kind.add_argument("--fp32", dest="precision", action="store_const", const="fp32", help="FP32 engines, without TF32")
    result.set_defaults(precision="fp16")
    result.add_argument("--bundle", metavar="BUNDLE", help="small or a folder (default: the best shipped one)")
    result.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="default: BUNDLE/engines/FLAVOR-PRECISION-smNN")
    for place, (name, what) in enumerate((("min", "smallest"), ("opt", "tuned for"), ("max", "largest"))):
        default = DEFAULTS.batch[place]
        result.add_argument(
            f"--{name}-batch", type=int, default=default, metavar="N", help=f"batch: {what} (default: {default})"
        )
    result.add_argument(
        "--resolution",
        type=int,
        nargs=3,
        default=DEFAULTS.side,
        metavar=("MIN", "OPT", "MAX"),
        help="sides of the network's image, multiples of 32; height and width range on their own, so portrait and "
        f"landscape are both covered (default: {' '.join(map(str, DEFAULTS.side))})",
    )
    result.add_argument(
        "--flavor", choices=("auto", *FLAVORS), default="auto", help="full TensorRT or TensorRT for RTX (default: auto)"
    )
    result.add_argument(
        "--compute-capability",
        type=int,
        nargs="+",
        metavar="NN",
        help="build for these GPUs with TensorRT for RTX, whatever is here: 80, 86, 89, 120, ...",
    )
    result.add_argument(
        "--compatible",
        action="store_true",
        help="engines for later versions of TensorRT and all GPUs from Ampere on; for RTX, for all its GPUs from Ampere on",
    )
    result.add_argument(
        "--timing-cache", type=Path, metavar="FILE", help="kernel timings to reuse and extend (full TensorRT only)"
    )
    result.add_argument(
        "--optimization-level",
        type=int,
        choices=range(6),
        help="0 builds fastest, 5 runs fastest (default: the library's)",
    )
    result.add_argument("-q", "--quiet", action="store_true", help="errors only")
    return result


@program(
    "export.build_trt",
    BuildError,
    interrupted="interrupted: the engines that are complete stay, the next run goes on from there",
)
def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    options = command.parse_args(arguments)
    try:
        shapes = Shapes((options.min_batch, options.opt_batch, options.max_batch), tuple(options.resolution))
    except ValueError as error:
        command.error(str(error))
    progress = Progress(quiet=options.quiet)
    bundle = Bundle.load(options.bundle)
    # Before any TensorRT object exists: without a GPU, its runtime takes the process down.
    gpu = find_gpu()
    target = choose_target(options.flavor, options.compute_capability, options.compatible, gpu, "" if gpu else why_no_gpu())
    everywhere = target.hardware == "ampere_plus"
    folder = options.output or engine_folder(
        bundle, target.flavor, options.precision, None if everywhere else target.compute_capabilities
    )
    capabilities = ", ".join(map(str, target.compute_capabilities))
    progress.log(
        f"{LIBRARIES[target.flavor]} {target.trt.__version__}, {options.precision}, compute capability {capabilities}"
        f"{' and all from Ampere on' if everywhere else ''} ({target.why})"
    )
    started = time.monotonic()
    sidecars = build_engines(
        bundle,
        target,
        folder,
        precision=options.precision,
        shapes=shapes,
        optimization_level=options.optimization_level,
        timing_cache=options.timing_cache,
        progress=progress,
    )
    size = sum(sidecar.plan_bytes for sidecar in sidecars) / 1e6
    progress.log(f"{folder}: {len(sidecars)} engines, {size:.1f} MB, in {duration(time.monotonic() - started)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
