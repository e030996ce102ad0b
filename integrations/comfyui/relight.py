"""The node that puts another light on the same surfaces."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io

from intrinsic_flow.media.color import luminance

from . import images

# Black light has no logarithm.
_LEAST = 1e-6


class Relight(io.ComfyNode):
    """Albedo x a changed shading: colour, strength and contrast of the light, and a light painted or rendered elsewhere."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def channel(id: str) -> io.Float.Input:
            return io.Float.Input(id, default=1.0, min=0.0, max=10.0, step=0.01, tooltip="Of the light's colour, linear.")

        return io.Schema(
            node_id="IntrinsicFlowRelight",
            display_name="Relight (albedo and shading)",
            category="image/intrinsic",
            description="The same surfaces under a light of another colour, strength and contrast.",
            search_aliases=["intrinsic", "relight", "light", "shadows"],
            inputs=[
                io.Image.Input("albedo"),
                io.Image.Input("shading"),
                io.Image.Input(
                    "light",
                    optional=True,
                    tooltip="Factor on the shading, linear, white = unchanged: a painted gradient, a rendered light.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Where the new light falls (1); elsewhere the old one stays."),
                channel("red"),
                channel("green"),
                channel("blue"),
                io.Float.Input(
                    "exposure", default=0.0, min=-10.0, max=10.0, step=0.05, tooltip="Strength of the light, in stops."
                ),
                io.Float.Input(
                    "contrast",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.01,
                    tooltip="Exponent on the shading's luminance about its mean: below 1 softens shadows, 0 removes them.",
                ),
                io.Boolean.Input(
                    "replace_color",
                    default=False,
                    tooltip="The old light's colour is taken away first. Off: the new colour multiplies it.",
                ),
                images.encoding("encoding", "How albedo, shading and the outputs are encoded."),
            ],
            outputs=[io.Image.Output("image"), io.Image.Output("shading_image", display_name="shading")],
        )

    @classmethod
    def execute(
        cls,
        albedo: torch.Tensor,
        shading: torch.Tensor,
        red: float,
        green: float,
        blue: float,
        exposure: float,
        contrast: float,
        replace_color: bool,
        encoding: str,
        light: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Returns the image and its shading, (B, H, W, 3) each; the colour keeps the light's luminance."""
        albedo, shading, light, mask = images.alike(albedo, shading, light=light, mask=mask)
        color = np.array([red, green, blue], np.float32)
        if color.max() == 0:
            raise ValueError("light of colour 0 0 0, expected a channel above 0 (exposure sets its strength)")
        color = color / luminance(color) * np.float32(2.0**exposure)
        mean = _mean_log(shading, encoding) if contrast != 1 else 0.0
        image, relit = (images.empty(*albedo.shape[:3], 3) for _ in range(2))
        for index in images.steps(len(image)):
            old = images.to_linear(shading[index], encoding)
            strength = np.maximum(luminance(old), np.float32(_LEAST))[..., None]
            new = strength if replace_color else old
            if contrast != 1:
                new = new * np.exp((np.log(strength) - np.float32(mean)) * np.float32(contrast - 1))
            new = new * color
            if light is not None:
                new = new * images.to_linear(light[index], "linear")
            if mask is not None:
                new = old + mask[index].detach().cpu().float().numpy()[..., None] * (new - old)
            relit[index] = images.from_linear(new, encoding)
            image[index] = images.from_linear(images.to_linear(albedo[index], encoding) * new, encoding)
        return io.NodeOutput(image, relit)


def _mean_log(shading: torch.Tensor, encoding: str) -> float:
    """Mean logarithm of the luminance over all frames: one pivot, so that a video's brightness does not flicker."""
    strengths = (luminance(images.to_linear(frame, encoding)) for frame in shading)
    return float(np.mean([np.log(np.maximum(strength, np.float32(_LEAST))).mean() for strength in strengths]))
