"""Sizes of the networks. One code, three configurations: `small`, `base` and `published`."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from intrinsic_flow.decomposition.bundle import NetworkInterface

LATENT_CHANNELS = 12
LATENT_DOWNSCALE = 8
SIDE_MULTIPLE = 32
INPUT_ENCODINGS = ("linear", "sqrt", "log")
PREDICTIONS = ("end", "velocity", "regression")
PRETRAINED = ("none", "efficientnet_lite0")


@dataclass(frozen=True)
class NetworkConfig:
    """Widths and depths of every network, and what goes into and comes out of them.

    Each tuple runs from high to low resolution. VAE stages lie at 1/2, 1/4 and 1/8 of the image (the encoder starts at
    1/4), those of the conditioning encoder at 1/4, 1/8, 1/16 and 1/32, those of the UNet at 1/8, 1/16 and 1/32.

    input_encoding: curve under which the conditioning encoder sees the linear image. prediction: what the UNet's layers
    estimate: the path's `end`, the `velocity`, or the end from the image alone (`regression`: the layers see neither z
    nor t, so that one step and many, from any noise, give the same answer; the control of what the flow buys).

    pretrained_encoder: an ImageNet network that sees the image at half its size beside the conditioning encoder
    (`efficientnet_lite`). decoder_image: whether the decoder sees the image too, at 1/2, 1/4 and 1/8: the latent says what
    the surfaces are, the image where their edges are.
    """

    name: str
    vae_encoder_widths: tuple[int, int]
    vae_encoder_depths: tuple[int, int]
    decoder_widths: tuple[int, int, int]
    decoder_depths: tuple[int, int, int]
    encoder_widths: tuple[int, int, int, int]
    encoder_depths: tuple[int, int, int, int]
    unet_widths: tuple[int, int, int]
    unet_depths: tuple[int, int, int]
    attention_head_width: int = 32
    input_encoding: str = "sqrt"
    prediction: str = "end"
    pretrained_encoder: str = "none"
    decoder_image: bool = False

    def __post_init__(self) -> None:
        allowed_values = {
            "input_encoding": INPUT_ENCODINGS,
            "prediction": PREDICTIONS,
            "pretrained_encoder": PRETRAINED,
        }
        for name, allowed in allowed_values.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: found {getattr(self, name)!r}, expected one of {', '.join(allowed)}")

    @property
    def feature_channels(self) -> tuple[int, int, int]:
        """Channels of the conditioning features at 1/8, 1/16 and 1/32 of the image."""
        return self.encoder_widths[1:]

    @property
    def interface(self) -> NetworkInterface:
        """What the tensors of the exported graphs depend on."""
        return NetworkInterface.of(self.feature_channels, self.to_dict())

    def same_vae(self, other: NetworkConfig) -> bool:
        """Whether both describe the same VAE, apart from what its decoder sees of the image."""
        names = [field.name for field in fields(self) if field.name.startswith(("vae_", "decoder_w", "decoder_d"))]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """Inverse of `to_dict`, also from JSON or YAML. ValueError names unknown or missing entries."""
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"network config: found unknown {sorted(unknown)}, expected {sorted(known)}")
        try:
            return cls(**_with_tuples(values))
        except TypeError as error:
            raise ValueError(f"network config: {error}") from None


CONFIGS = {
    config.name: config
    for config in (
        NetworkConfig(
            name="tiny",
            vae_encoder_widths=(16, 24),
            vae_encoder_depths=(1, 1),
            decoder_widths=(16, 16, 24),
            decoder_depths=(1, 1, 1),
            encoder_widths=(16, 24, 32, 32),
            encoder_depths=(1, 1, 1, 1),
            unet_widths=(24, 32, 32),
            unet_depths=(1, 1, 1),
        ),
        NetworkConfig(
            name="small",
            vae_encoder_widths=(48, 96),
            vae_encoder_depths=(1, 2),
            decoder_widths=(32, 64, 96),
            decoder_depths=(1, 1, 1),
            encoder_widths=(48, 96, 144, 160),
            encoder_depths=(1, 2, 2, 1),
            unet_widths=(80, 136, 192),
            unet_depths=(1, 1, 1),
        ),
        NetworkConfig(
            name="base",
            vae_encoder_widths=(80, 192),
            vae_encoder_depths=(2, 3),
            decoder_widths=(48, 96, 192),
            decoder_depths=(2, 2, 2),
            encoder_widths=(80, 192, 288, 368),
            encoder_depths=(2, 3, 3, 2),
            unet_widths=(176, 272, 352),
            unet_depths=(1, 1, 1),
        ),
        NetworkConfig(
            name="published",
            vae_encoder_widths=(64, 160),
            vae_encoder_depths=(2, 3),
            decoder_widths=(128, 144, 144),
            decoder_depths=(3, 2, 2),
            encoder_widths=(64, 160, 320, 448),
            encoder_depths=(2, 3, 3, 2),
            unet_widths=(256, 320, 384),
            unet_depths=(2, 1, 1),
        ),
    )
}


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of a network from JSON or YAML, which have lists in place of tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def named_network(name: str) -> NetworkConfig:
    """A network by name, or from a YAML file: `like: NAME` and the fields that differ from it.

    Raises ValueError (one line) for an unknown name, a file that cannot be read or a bad value in it.
    """
    if name in CONFIGS:
        return CONFIGS[name]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"found {name!r}, expected one of {sorted(CONFIGS)} or a YAML file")
    try:
        values = yaml.safe_load(path.read_text())
        like = CONFIGS[values.pop("like")]
        if switches := values.keys() & {"prediction", "input_encoding"}:
            raise ValueError(f"{', '.join(sorted(switches))}, an option of train.flow")
        return dataclasses.replace(like, **_with_tuples({"name": path.stem, **values}))
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        expected = f"`like: NAME` of {sorted(CONFIGS)} and fields of a network"
        raise ValueError(f"{path}: found {str(error).splitlines()[0]}, expected {expected}") from None
