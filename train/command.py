"""The command line that both training stages share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from intrinsic_flow.commands import command_parser
from intrinsic_flow.errors import InputError
from intrinsic_flow.train.checkpoint import CheckpointError, load_checkpoint, require_parts, write_run
from intrinsic_flow.train.config import (
    Config,
    ConfigError,
    TrainingConfig,
    add_options,
    config_from_dict,
    read_yaml,
    resolve_config,
)
from intrinsic_flow.train.data.shards import ShardError
from intrinsic_flow.train.distributed import is_lost_peer, leave_processes
from intrinsic_flow.train.perceptual import PerceptualError
from intrinsic_flow.train.session import TrainingStopped
from intrinsic_flow.train.stopping import Stopped, handle_signals

ConfigIn = TypeVar("ConfigIn", bound=TrainingConfig, contravariant=True)


class Train(Protocol[ConfigIn]):
    """Trains into `folder`; returns the last validation scores."""

    def __call__(
        self, config: ConfigIn, folder: Path, resume: bool = False, init: str | None = None
    ) -> dict[str, float]: ...


def run_stage(
    module: str, kind: type[Config], train: Train[Config], description: str | None, argv: Sequence[str] | None = None
) -> None:
    """Parse flags into a configuration of `kind` and train. Raises what `train` raises."""
    parser = command_parser(module, description)
    parser.add_argument(
        "-o", "--output", help="run folder (required unless --resume; with --resume --decay, another one for the decay)"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on exactly where a run stopped, with its own configuration")
    parser.add_argument("--init", metavar="BUNDLE|RUN", help="start from the weights of a model bundle or train.flow run")
    add_options(parser, kind)
    arguments = parser.parse_args(argv)
    if arguments.resume:
        folder = Path(arguments.resume)
        if arguments.decay:
            folder = begin_decay(folder, Path(arguments.output or folder), kind, module.split(".")[-1], arguments.decay)
        elif arguments.output:
            parser.error("found -o/--output with --resume, expected --decay with both")
        path = folder / "config.yaml"
        train(config_from_dict(kind, read_yaml(path), str(path)), folder, resume=True)
    elif arguments.output:
        train(resolve_config(kind, arguments), Path(arguments.output), init=arguments.init)
    else:
        parser.error("found neither -o/--output nor --resume, expected one of them")


def begin_decay(run: Path, folder: Path, kind: type[TrainingConfig], stage: str, decay: str) -> Path:
    """Make `folder` (a new one, or `run` itself) a run that decays from the checkpoint of `run`: resuming it does the rest.

    Under torchrun every process writes the same, each file complete.
    """
    path = run / "config.yaml"
    config = config_from_dict(kind, {**read_yaml(path), "decay": decay}, str(path))
    state = load_checkpoint(run, stage)
    require_parts(state, ("model", "ema", "optimizer"), run)
    # A decay that was begun before is not gone on with.
    state.pop("decay", None)
    write_run(folder, state | {"training": config.to_dict()})
    return folder


def exit_with_one_line(main: Callable[[], None]) -> None:
    """Run `main()`: bad input and stops become one line and exit status 2 or 1, Ctrl-C status 130 and SIGTERM 143.

    Under torchrun the first process of each machine speaks for the others, which see the same.
    """
    level = logging.INFO if _is_first() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    handle_signals()
    try:
        main()
        leave_processes()
    except (ConfigError, ShardError, CheckpointError, PerceptualError, InputError) as error:
        _fail(str(error), 2)
    except TrainingStopped as error:
        _fail(str(error), 1)
    except Stopped as stop:
        _fail(str(stop), 128 + stop.number)
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        _fail("another process of this training ended, see its message; continue with --resume", 1)


def _is_first() -> bool:
    """Whether this process speaks for those on its machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _fail(message: str, status: int) -> None:
    """Say why and end. At once: joining a process group whose other members are gone could wait for ever."""
    if _is_first():
        print(f"error: {message}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        os._exit(status)
    sys.exit(status)
