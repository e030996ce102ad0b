"""The loaded model, kept between runs: one at a time, so that a change of options leaves nothing behind in memory."""

from __future__ import annotations

import logging
from pathlib import Path

import comfy.model_management
import folder_paths

from intrinsic_flow import Decomposer
from intrinsic_flow.decomposition.bundle import MANIFEST, MODELS, SHIPPED

#: Bundles of one's own: ComfyUI/models/intrinsic_flow/NAME/.
OWN = Path(folder_paths.models_dir) / "intrinsic_flow"
# GPU memory asked of ComfyUI before a model is opened: weights, CUDA's context and the largest strip of the upsampler.
NEEDED_BYTES = 2 << 30

# A node's class is cloned for every run and can hold no state.
_kept: dict[tuple[object, ...], Decomposer] = {}


def bundles() -> list[str]:
    """Names that `load` takes: the shipped bundles, then those in ComfyUI's folder."""
    shipped = [name for name in SHIPPED if (MODELS / name / MANIFEST).is_file()]
    return shipped + sorted(path.parent.name for path in OWN.glob(f"*/{MANIFEST}") if path.parent.name not in shipped)


def load(bundle: str, backend: str, **options: object) -> Decomposer:
    """The model with these options of `Decomposer.load`, opened where the kept one is another.

    Raises as `Decomposer.load` does: the messages name file, found and expected.
    """
    key = (bundle, backend, *sorted(options.items()))
    if key not in _kept:
        unload()
        device = comfy.model_management.get_torch_device()
        if backend != "cpu" and device.type == "cuda":
            comfy.model_management.free_memory(NEEDED_BYTES, device)
        own = OWN / bundle
        _kept[key] = Decomposer.load(own if (own / MANIFEST).is_file() else bundle, backend, **options)
        opened = _kept[key].backend
        logging.info("intrinsic-flow: %s on %s", bundle, opened.choice or opened.describe())
    return _kept[key]


def unload() -> None:
    """Frees the kept model."""
    while _kept:
        _kept.popitem()[1].close()
