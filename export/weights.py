"""The weights file of a bundle: `model.safetensors`, every parameter once in FP16, keyed like the state dict."""

from __future__ import annotations

import copy
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from intrinsic_flow.decomposition.bundle import WEIGHTS, Bundle
from intrinsic_flow.train.networks.config import NetworkConfig
from intrinsic_flow.train.networks.model import IntrinsicFlow


@dataclass(frozen=True)
class Slot:
    """Where a tensor's bytes lie in the weights file. dtype: "F16" or "F32"; offset and length in bytes."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def round_weights(model: IntrinsicFlow) -> IntrinsicFlow:
    """FP32 copy in eval mode whose parameters hold only values that FP16 can represent.

    Buffers (the latent statistics) are not rounded: an error there shifts every latent. Raises ValueError on a
    parameter that is not finite in FP16.
    """
    model = copy.deepcopy(model).float().cpu().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.copy_(parameter.half())
        if not parameter.isfinite().all():
            raise ValueError(f"{name} has values that are not finite in FP16 (|x| <= 65504)")
    return model


def stored_tensors(model: IntrinsicFlow) -> dict[str, Tensor]:
    """State dict as stored: parameters FP16, buffers FP32."""
    parameters = {name for name, _ in model.named_parameters()}
    state = model.state_dict()
    return {name: (x.half() if name in parameters else x.float()).contiguous() for name, x in state.items()}


def save_weights(model: IntrinsicFlow, path: Path) -> None:
    """Writes the weights file. No metadata: the same weights give the same bytes."""
    save_file(stored_tensors(model), path)
    path.chmod(0o644)  # safetensors writes files that only their owner reads


def read_slots(path: Path) -> dict[str, Slot]:
    """Slots of a safetensors file by key, from its header: an 8-byte length, JSON, then the tensors' bytes."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    slots = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        slots[key] = Slot(key, entry["dtype"], tuple(entry["shape"]), 8 + length + begin, end - begin)
    return slots


def load_model(bundle: Bundle) -> IntrinsicFlow:
    """The PyTorch model of a bundle, FP32 in eval mode, from its FP16 weights."""
    model = IntrinsicFlow(NetworkConfig.from_dict(bundle.manifest["config"]))
    model.load_state_dict({key: value.float() for key, value in load_file(bundle.folder / WEIGHTS).items()})
    return model.eval().requires_grad_(False)
