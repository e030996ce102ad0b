"""ComfyUI nodes of intrinsic-flow: albedo and shading of images and videos, their product, new light.

A pack for `ComfyUI/custom_nodes/`, in the V3 schema. ComfyUI calls `comfy_entrypoint`.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from .decompose import Decompose
from .recompose import Recompose
from .relight import Relight


class IntrinsicFlowExtension(ComfyExtension):
    """The pack's nodes."""

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [Decompose, Recompose, Relight]


async def comfy_entrypoint() -> IntrinsicFlowExtension:
    """What ComfyUI asks a pack for."""
    return IntrinsicFlowExtension()
