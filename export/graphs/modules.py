"""The modules that become a bundle's graphs; their inputs and outputs are those of `decomposition.bundle.graph_specs`."""

from __future__ import annotations

from torch import Tensor, nn

from intrinsic_flow.train.networks.guided_upsampler import GuidedUpsampler
from intrinsic_flow.train.networks.low_shading import LowShading
from intrinsic_flow.train.networks.model import IntrinsicFlow


class Part(nn.Module):
    """What a part of the model computes, as `forward` of a module."""

    def __init__(self, model: IntrinsicFlow):
        super().__init__()
        self.model = model


class Encoder(Part):
    """image -> feature_8, feature_16, feature_32."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.model.encoder(image)


class VelocityStep(Part):
    """z, t, dt, features -> z + dt * v(z, t, features)."""

    def forward(
        self, z: Tensor, t: Tensor, dt: Tensor, feature_8: Tensor, feature_16: Tensor, feature_32: Tensor
    ) -> Tensor:
        return self.model.velocity_step(z, t, dt, (feature_8, feature_16, feature_32))


class Decoder(Part):
    """z -> albedo, linear."""

    def forward(self, z: Tensor) -> Tensor:
        return self.model.vae.decode(z)


class ImageDecoder(Part):
    """z, image -> albedo, linear, of a network whose decoder sees the image."""

    def forward(self, z: Tensor, image: Tensor) -> Tensor:
        return self.model.vae.decode(z, image)


class VaeEncoder(Part):
    """albedo, linear -> z."""

    def forward(self, albedo: Tensor) -> Tensor:
        return self.model.vae.encode(albedo)


def graph_modules(model: IntrinsicFlow) -> dict[str, nn.Module]:
    """The graphs' modules by name, all but the merged loop's. The networks are in the model's precision; low_shading and
    upsampler compute in FP32 and hold no weights yet."""
    return {
        "encoder": Encoder(model),
        "velocity_step": VelocityStep(model),
        "decoder": ImageDecoder(model) if model.config.interface.decoder_image else Decoder(model),
        "vae_encoder": VaeEncoder(model),
        "low_shading": LowShading(),
        "upsampler": GuidedUpsampler(),
    }
