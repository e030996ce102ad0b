"""Shared by the training tests: a miniature shard in the true format, and tiny finished runs of both stages."""

from __future__ import annotations

import io
import json
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.train import flow, stopping, vae
from intrinsic_flow.train.config import FlowConfig, VaeConfig
from intrinsic_flow.train.data.procedural import procedural_views
from intrinsic_flow.train.data.shards import CodedView
from intrinsic_flow.train.run import Run

TINY = {
    "data": "procedural",
    "network": "tiny",
    "buckets": ("64",),
    "zooms": (1.0,),
    "batch": 4,
    "perceptual_network": "none",
    "validation_views": 4,
    "limit": 8,
    "log_every": 2,
    "validate_every": 4,
    "save_every": 3,
    "device": "cpu",
    "precision": "fp32",
}


def view_members(view: CodedView) -> dict[str, bytes]:
    """The members of a view in the shard format (webp and jpeg at top quality, so slightly lossy as the real ones are)."""

    def encode(extension: str, rgb: np.ndarray, *flags: int) -> bytes:
        pixels = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        return cv2.imencode(extension, pixels, list(flags))[1].tobytes()

    meta = {"kind": "procedural", "groups": view.meta["groups"]}
    members = {
        "albedo.jpg": encode(".jpg", view.albedo, cv2.IMWRITE_JPEG_QUALITY, 100),
        "mask.png": encode(".png", view.mask.astype(np.uint8) * 255),
    }
    for name, layers, codes in (
        ("shading", view.shading, view.shading_code),
        ("residual", view.residual, view.residual_code),
    ):
        for k, (layer, (slope, scale)) in enumerate(zip(layers, codes, strict=True)):
            members[f"{name}{k}.webp"] = encode(".webp", layer, cv2.IMWRITE_WEBP_QUALITY, 101)
            meta[f"{name}{k}"] = {"k": 10.0, "m": 10.0 * float(scale), "xmax": float(np.expm1(slope) * scale)}
            if name == "shading":
                meta[f"{name}{k}"]["frac"] = float(view.light_share[k])
    members["json"] = json.dumps(meta).encode()
    return members


def write_shard(path: Path, views: list[tuple[str, dict[str, bytes]]]) -> Path:
    """Write (key, members) pairs as a tar shard."""
    with tarfile.open(path, "w") as tar:
        for key, members in views:
            for extension, content in members.items():
                entry = tarfile.TarInfo(f"{key}.{extension}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def no_plots(monkeypatch) -> None:
    """A test's own run draws no losses.png, which takes longer than its steps; the session's runs below do."""
    monkeypatch.setattr(Run, "plot", lambda run: None)


@pytest.fixture
def handled_signals() -> Iterator[None]:
    """A command handles signals in the tests' process, and no longer afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopping.handle_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def encode_view() -> Callable[[CodedView], dict[str, bytes]]:
    return view_members


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, list[tuple[str, dict[str, bytes]]]], Path]:
    return write_shard


@pytest.fixture(scope="session")
def tiny_options() -> dict:
    """Options of a run of seconds."""
    return dict(TINY)


@pytest.fixture(scope="session")
def shard_folder(tmp_path_factory) -> Path:
    """A folder with train-00000.tar (4 views) and val-00000.tar (2 views) of 64x64 pixels."""
    folder = tmp_path_factory.mktemp("shards")
    for split, count, seed in (("train", 4, 5), ("val", 2, 6)):
        members = [(key, view_members(view)) for key, view in procedural_views(count, 64, seed)]
        write_shard(folder / f"{split}-00000.tar", members)
    return folder


@pytest.fixture(scope="session")
def vae_run(made_once) -> Path:
    """A finished tiny train.vae run of 8 steps."""
    config = VaeConfig(**{**TINY, "validate_every": 8}, steps=8, adversarial_start=0.5)
    return made_once("vae", lambda folder: vae.train(config, folder))


@pytest.fixture(scope="session")
def flow_run(made_once, vae_run) -> Path:
    """A finished tiny train.flow run of 8 steps."""
    config = FlowConfig(**{**TINY, "validate_every": 8}, steps=8, vae=str(vae_run))
    return made_once("flow", lambda folder: flow.train(config, folder))
