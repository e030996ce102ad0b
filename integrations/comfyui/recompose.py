"""The node that multiplies albedo and shading."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from . import images


class Recompose(io.ComfyNode):
    """Albedo x shading in linear light; either may have been edited."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IntrinsicFlowRecompose",
            display_name="Recompose (albedo x shading)",
            category="image/intrinsic",
            description="The product in linear light: the image again, or another one where albedo or shading were edited.",
            search_aliases=["intrinsic", "albedo", "shading", "retexture"],
            inputs=[
                io.Image.Input("albedo"),
                io.Image.Input("shading"),
                io.Mask.Input("mask", optional=True, tooltip="1 - alpha: the image gets this alpha as its fourth channel."),
                images.encoding("encoding", "How albedo and shading are encoded."),
                images.encoding("output_encoding", "How the image is encoded: linear for Save Image (EXR)."),
            ],
            outputs=[io.Image.Output("image")],
        )

    @classmethod
    def execute(
        cls,
        albedo: torch.Tensor,
        shading: torch.Tensor,
        encoding: str,
        output_encoding: str,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """albedo, shading: IMAGE of one size and as many frames, or one. Returns (B, H, W, 3), with a mask 4 channels."""
        albedo, shading = images.alike(albedo, shading)
        image = images.empty(*albedo.shape[:3], 3)
        for index in images.steps(len(image)):
            product = images.to_linear(albedo[index], encoding) * images.to_linear(shading[index], encoding)
            image[index] = images.from_linear(product, output_encoding)
        return io.NodeOutput(images.with_alpha(image, mask))
