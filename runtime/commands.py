"""The console command `intrinsic-flow`: every program of the project as a subcommand, and how a program is called.

    intrinsic-flow decompose photo.jpg
    intrinsic-flow build-trt --fp16

A subcommand is the program of its module: in a checkout, where nothing needs to be installed, the first one is also
`python -m runtime.decompose`. `intrinsic-flow COMMAND --help` tells a command's options.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from intrinsic_flow.errors import InputError, MissingExtraError, printable
from intrinsic_flow.output.interrupt import interrupts, quiet_start

Arguments = ParamSpec("Arguments")
#: Exit codes of every program.
DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

#: Subcommand: module, as the checkout's folders name it, and what it does.
COMMANDS = {
    "decompose": ("runtime.decompose", "photos and videos into albedo and shading"),
    "batch": ("runtime.batch", "many files over the machines of a Ray cluster"),
    "demo": ("runtime.app", "the demo in the browser"),
    "render": ("train.render", "training scenes with ground truth"),
    "prepare-hypersim": ("train.prepare_hypersim", "Hypersim as training data"),
    "prepare-pairs": ("train.prepare_pairs", "folders of images and albedo as training data"),
    "prepare-prints": ("train.prepare_prints", "prints and lettering that training lays over surfaces"),
    "inspect-shards": ("train.inspect_shards", "counts, realism and checksums of training data"),
    "train-vae": ("train.vae", "first stage of training"),
    "train-flow": ("train.flow", "second stage of training"),
    "mean": ("train.mean", "the mean of two runs' weights"),
    "count-networks": ("train.networks.count", "parameters and multiply-accumulates of the networks"),
    "build-onnx": ("export.build_onnx", "a training run as a model bundle"),
    "build-trt": ("export.build_trt", "a model bundle's TensorRT engines"),
    "parity": ("export.parity", "backends against PyTorch"),
    "hub-repository": ("export.hub_repository", "model repository for the Hugging Face Hub"),
    "triton-repository": ("export.triton_repository", "model repository for Triton Inference Server"),
    "quality": ("benchmarks.quality", "scores on data sets"),
    "measures": ("benchmarks.measures", "all measures of a model in one table"),
    "latency": ("benchmarks.latency", "milliseconds of every backend"),
    "throughput": ("benchmarks.throughput", "pictures a second in ever larger batches"),
    "gpu-day": ("benchmarks.gpu_day", "everything that only a GPU can show, in so many minutes"),
    "gpu-pack": ("benchmarks.gpu_pack", "what a GPU machine without a package index needs, in slices"),
    "benchmark-video": ("benchmarks.video", "steadiness, speed and memory of videos"),
    "resolution": ("benchmarks.resolution", "working resolutions and the upsampler"),
    "shadows": ("benchmarks.shadows", "hard shadows left in the albedo"),
    "sheet": ("benchmarks.sheet", "photographs beside our answers and published ones"),
    "renew": ("benchmarks.renew", "bundle, parity, scores and their tables, anew"),
    "experiments": ("benchmarks.experiments", "a table of training runs, scored"),
    "tune-retinex": ("benchmarks.tune_retinex", "thresholds of the Retinex baseline"),
}
#: The folder in which Python finds the package: that of the checkout, or site-packages.
ROOT = Path(__file__).resolve().parents[1]
_PROGRAMS = {module: name for name, (module, _) in COMMANDS.items()}
#: Whether the package lies in a checkout, whose folder runtime/ it is. A wheel names it intrinsic_flow/.
CHECKOUT = Path(__file__).parent.name == "runtime"
_CALL = re.compile(r"python -m ((?:runtime|train|export|benchmarks)(?:\.\w+)+)")


def call(module: str) -> str:
    """How a user of this installation calls a program. module: as in `COMMANDS`."""
    return f"python -m {module}" if CHECKOUT or module not in _PROGRAMS else f"intrinsic-flow {_PROGRAMS[module]}"


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A program's parser. module: as in `COMMANDS`; description: the module's docstring, shown as it is written."""
    return argparse.ArgumentParser(
        prog=call(module),
        description=_CALL.sub(lambda found: call(found[1]), description or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def program(
    name: str, *errors: type[Exception], code: int = FAILED, interrupted: str = "interrupted"
) -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """Makes of `main(...) -> exit code` a program in which what a user can mend ends as one line on standard error.

    name: what the line begins with. errors: those beside InputError, MissingExtraError and OSError; the exit code is the
    error's `exit_code` where it has one, else `code`. Ctrl-C, SIGTERM and SIGHUP end with what the KeyboardInterrupt says,
    else `interrupted`, and exit code 130.
    """

    known: tuple[type[Exception], ...] = (InputError, MissingExtraError, OSError, *errors)

    def decorate(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @wraps(main)
        def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> int:
            try:
                with interrupts():
                    return main(*arguments, **options)
            except known as error:
                _say(f"{name}: {_line(error)}")
                return getattr(error, "exit_code", code)
            except KeyboardInterrupt as error:
                _say(str(error) or interrupted)
                return INTERRUPTED

        return run

    return decorate


def _line(error: Exception) -> str:
    """An error's text in one line; the system's own errors begin with the file that they are about."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(text.split())


def _say(line: str) -> None:
    """Prints to standard error, over a status line that may stand there. Its terminal may have been closed."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(("\r\033[K" if sys.stderr.isatty() else "") + printable(line), file=sys.stderr, flush=True)


def run_as(module: str) -> str:
    """The name under which `python -m` runs a program in this installation, whatever the working folder."""
    package, _, rest = module.partition(".")
    return f"intrinsic_flow.{rest}" if package == "runtime" else f"intrinsic_flow.{module}"


def main() -> None:
    """`intrinsic-flow COMMAND ...`, from sys.argv: ends with the program's exit code, or 2 after wrong usage."""
    quiet_start()
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {name:{width}}{what}" for name, (_, what) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="intrinsic-flow",
        usage="intrinsic-flow COMMAND ...",
        description=f"{__doc__}\ncommands:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    command = parser.parse_args(sys.argv[1:2]).command
    sys.argv = [f"{parser.prog} {command}", *sys.argv[2:]]
    runpy.run_module(run_as(COMMANDS[command][0]), run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
