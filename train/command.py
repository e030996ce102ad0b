"""The command line that both training stages share."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from train.checkpoint import CheckpointError
from train.config import ConfigError, TrainingConfig, add_options, config_from_dict, read_yaml, resolve_config
from train.data.shards import ShardError
from train.perceptual import PerceptualError
from train.session import TrainingStopped


class Train(Protocol):
    """Trains into `folder`; returns the last validation scores."""

    def __call__(
        self, config: TrainingConfig, folder: Path, resume: bool = False, init: str | None = None
    ) -> dict[str, float]: ...


def run_stage(kind: type[TrainingConfig], train: Train, description: str, argv: Sequence[str] | None = None) -> None:
    """Parse flags into a configuration of `kind` and train. Raises what `train` raises."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", help="run folder (required unless --resume)")
    parser.add_argument("--resume", metavar="RUN", help="go on exactly where a run stopped, with its own configuration")
    parser.add_argument("--init", metavar="BUNDLE|RUN", help="start from the weights of a model bundle or train.flow run")
    add_options(parser, kind)
    arguments = parser.parse_args(argv)
    if arguments.resume:
        path = Path(arguments.resume) / "config.yaml"
        train(config_from_dict(kind, read_yaml(path), str(path)), Path(arguments.resume), resume=True)
    elif arguments.output:
        train(resolve_config(kind, arguments), Path(arguments.output), init=arguments.init)
    else:
        parser.error("found neither -o/--output nor --resume, expected one of them")


def exit_with_one_line(main: Callable[[], None]) -> None:
    """Run `main()`: bad input and stops become one line and exit status 2 or 1, Ctrl-C status 130."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
    except (ConfigError, ShardError, CheckpointError, PerceptualError) as error:
        sys.exit(_fail(str(error), 2))
    except TrainingStopped as error:
        sys.exit(_fail(str(error), 1))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted; continue with --resume", 130))


def _fail(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
