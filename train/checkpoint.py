"""Checkpoints: exact ones to resume a run on one machine, FP16 bundles to start another from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from intrinsic_flow.media.atomic_file import replace_when_complete, write_complete
from intrinsic_flow.train.networks.config import NetworkConfig
from intrinsic_flow.train.networks.model import IntrinsicFlow
from intrinsic_flow.train.networks.vae import AlbedoVAE

CHECKPOINT = "checkpoint.pt"
PATH_OPTIONS = ("data", "cache", "network", "vae", "perceptual_weights", "pretrained_weights", "prints")


class CheckpointError(Exception):
    """A checkpoint cannot be read or does not fit. The message names the file, what was found and what is expected."""


def save_checkpoint(run: Path, state: dict) -> None:
    """Write RUN/checkpoint.pt atomically. `state` holds tensors and plain values only."""
    with replace_when_complete(run / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def write_run(folder: Path, state: dict) -> None:
    """Make `folder` a run folder of that state: checkpoint.pt, and config.yaml with the options in it. Each is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder, state)
    write_complete(folder / "config.yaml", yaml.safe_dump(state["training"], sort_keys=False))


def require_parts(state: dict, parts: Collection[str], run: str | Path) -> None:
    """CheckpointError if the checkpoint of `run` lacks what going on with it takes."""
    for name in parts:
        if name not in state:
            found = f"a checkpoint without {name.replace('_', ' ')}"
            raise CheckpointError(f"{run}: found {found}, expected a run to go on with (or --init {run})")


def load_checkpoint(run: str | Path, stage: str, device: torch.device | str = "cpu") -> dict:
    """Read RUN/checkpoint.pt of the stage `vae` or `flow`. CheckpointError otherwise."""
    path = Path(run) / CHECKPOINT
    if not path.is_file():
        raise CheckpointError(f"{path}: found no such file, expected a run folder of train.{stage}")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path}: found {str(error).splitlines()[0]}, expected a checkpoint of train.{stage}"
        ) from None
    if state.get("stage") != stage:
        raise CheckpointError(f"{path}: found a checkpoint of train.{state.get('stage')}, expected one of train.{stage}")
    return state


def load_vae(run: str | Path) -> tuple[AlbedoVAE, NetworkConfig]:
    """The averaged (EMA) VAE of a train.vae run."""
    state = load_checkpoint(run, "vae")
    config = NetworkConfig.from_dict(state["network"])
    vae = AlbedoVAE(config)
    vae.load_state_dict(state["ema"]["model"])
    return vae.eval(), config


def load_run(run: str | Path) -> tuple[IntrinsicFlow, dict]:
    """The averaged (EMA) model of a train.flow run, in eval mode, and {"run", "step", "seconds", "training"}.

    Of paths in the training options only the last part is kept: what describes a published model names no folders.
    """
    state = load_checkpoint(run, "flow")
    model = IntrinsicFlow(NetworkConfig.from_dict(state["network"]))
    model.load_state_dict(state["ema"]["model"])
    training = dict(state["training"])
    for option in PATH_OPTIONS:
        value = training.get(option)
        training[option] = [Path(v).name for v in value] if isinstance(value, list) else value and Path(value).name
    info = {
        "run": Path(run).resolve().name,
        "step": state["step"],
        "seconds": round(state["seconds"]),
        "training": training,
    }
    return model.eval(), info


#: What a network may have that the one it starts from has not; it starts as nothing, or from weights of its own.
ADDITIONS = ("encoder.pretrained.", "encoder.joins.", "vae.decoder.joins.", "vae.decoder.edges.")


def start_from(model: IntrinsicFlow, source: str | Path) -> None:
    """Loads `load_initial_weights`; parts in ADDITIONS that the source has not stay as they are. Raises CheckpointError."""
    weights = load_initial_weights(source)
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in weights and not name.startswith(ADDITIONS)]
    unfit = [name for name, value in weights.items() if name not in wanted or wanted[name].shape != value.shape]
    if missing or unfit:
        name = (missing + unfit)[0]
        found = f"{len(missing)} weights missing and {len(unfit)} that do not fit, like {name}"
        raise CheckpointError(
            f"{source}: found {found}, expected weights of network {model.config.name!r} "
            "with this run's options (--decoder-image, --pretrained-encoder, ...)"
        )
    model.load_state_dict(wanted | weights)


def load_initial_weights(source: str | Path) -> dict[str, torch.Tensor]:
    """FP32 state dict of an IntrinsicFlow to start a new run from. CheckpointError otherwise.

    source: a model bundle (its FP16 model.safetensors) or the run folder of train.flow (its averaged weights).
    """
    source = Path(source)
    if (source / CHECKPOINT).is_file():
        return load_checkpoint(source, "flow")["ema"]["model"]
    path = source / "model.safetensors" if source.is_dir() else source
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except Exception as error:
        found = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: found {found}, expected a model bundle or a run of train.flow") from None
