"""The node that takes an image or the frames of a video apart into albedo and shading."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from intrinsic_flow.backends import BACKENDS

from . import images, model


class Decompose(io.ComfyNode):
    """Image -> albedo and shading, whose product in linear light is the image."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = model.bundles()
        return io.Schema(
            node_id="IntrinsicFlowDecompose",
            display_name="Decompose (albedo and shading)",
            category="image/intrinsic",
            description="Albedo: what the surface is. Shading: what the light does. Their product, in linear light, is the "
            "image. A batch is a video, unless 'steady' is off.",
            search_aliases=["intrinsic", "delight", "delighting", "albedo", "shading"],
            inputs=[
                io.Image.Input("image"),
                io.Mask.Input("mask", optional=True, tooltip="1 - alpha, as Load Image gives it; handed on."),
                images.encoding("encoding", "Of image, albedo and shading: linear for EXR and other HDR data."),
                io.Boolean.Input(
                    "steady",
                    default=True,
                    tooltip="A batch holds the frames of a video, in order: exposure and albedo follow the motion and do "
                    "not flicker; scene cuts are found. Off: every image stands alone.",
                ),
                io.Combo.Input(
                    "shading_kind",
                    options=["rgb", "gray"],
                    default="rgb",
                    tooltip="gray: one value per pixel; the light's colour then stays in the albedo.",
                ),
                io.Int.Input(
                    "resolution",
                    default=256,
                    min=32,
                    max=2048,
                    step=32,
                    tooltip="Short side at which the network runs. The results have the image's own size.",
                    advanced=True,
                ),
                io.Int.Input("flow_steps", default=2, min=1, max=50, tooltip="Euler steps of the flow.", advanced=True),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=False,
                    tooltip="Of the start noise.",
                    advanced=True,
                ),
                io.Combo.Input("bundle", options=names, default=names[0], tooltip="The model.", advanced=True),
                io.Combo.Input(
                    "backend",
                    options=list(BACKENDS),
                    default="auto",
                    tooltip="auto: the fastest that this machine has; the log says which and why.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "keep_loaded",
                    default=True,
                    tooltip="Off: the model leaves the memory when the node is done.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output("albedo_image", display_name="albedo"),
                io.Image.Output("shading_image", display_name="shading", tooltip="Not clamped: bright light is above 1."),
                io.Mask.Output("mask_out", display_name="mask"),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        encoding: str,
        steady: bool,
        shading_kind: str,
        resolution: int,
        flow_steps: int,
        seed: int,
        bundle: str,
        backend: str,
        keep_loaded: bool,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """image: IMAGE of 3 or 4 channels. Returns albedo and shading, (B, H, W, 3), and the mask, (B, H, W)."""
        count, height, width = image.shape[:3]
        hidden = images.transparency(image, mask)
        albedo, shading = (images.empty(count, height, width, 3) for _ in range(2))
        options = {"steps": flow_steps, "seed": seed, "resolution": resolution, "shading": shading_kind}
        loaded = model.load(bundle, backend, **options)
        try:
            frames = (images.to_linear(frame, encoding) for frame in image)
            results = loaded.stream(frames, temporal=steady and count > 1)
            for index in images.steps(count):
                result = next(results)
                albedo[index] = images.from_linear(result.albedo, encoding)
                shading[index] = images.from_linear(result.shading, encoding)
        finally:
            if not keep_loaded:
                model.unload()
        return io.NodeOutput(albedo, shading, hidden.to(albedo))
