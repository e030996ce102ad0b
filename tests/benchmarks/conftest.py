"""Small data sets in the real formats, with ground truth that is known because it is made here."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

SIZE = 64


def make_layers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Patchwork albedo (SIZE, SIZE, 3) in [0, 1] and smooth shading (SIZE, SIZE, 1), linear light."""
    patches = rng.uniform(0.15, 0.95, (4, 4, 3))
    albedo = patches.repeat(SIZE // 4, 0).repeat(SIZE // 4, 1)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return albedo, (0.1 + np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) / 0.15))[..., None]


def write_shard(path: Path, count: int, prefix: str = "v", valid: float = 0.75) -> Path:
    """A tar shard of `count` views with one light group; the upper `valid` part of each mask is set."""
    rng = np.random.default_rng(5)
    code = {"k": 10.0, "m": 0.5, "xmax": 2.0}
    slope = np.log1p(code["k"] * code["xmax"] / code["m"])
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            albedo, shading = make_layers(rng)
            shading = shading * [1.0, 0.8, 0.6]
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[: round(SIZE * valid)] = 255
            coded = np.log1p(shading * code["k"] / code["m"]) / slope
            layers = {
                "albedo.jpg": (np.sqrt(albedo) * 255, [cv2.IMWRITE_JPEG_QUALITY, 98]),
                "shading0.webp": (coded * 255, [cv2.IMWRITE_WEBP_QUALITY, 101]),
                "residual0.webp": (np.zeros((SIZE, SIZE, 3)), [cv2.IMWRITE_WEBP_QUALITY, 101]),
                "mask.png": (mask, []),
            }
            meta = {"groups": ["sky"], "kind": "room", "shading0": code | {"frac": 1.0}, "residual0": code}
            members = {"json": json.dumps(meta).encode()}
            for name, (pixels, options) in layers.items():
                stored = np.round(pixels[..., ::-1] if pixels.ndim == 3 else pixels).astype(np.uint8)
                members[name] = cv2.imencode(name[name.index(".") :], stored, options)[1].tobytes()
            for name, content in members.items():
                entry = tarfile.TarInfo(f"{prefix}{number}.{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


def write_mit(folder: Path, names: list[str]) -> Path:
    """A folder of objects in the layout of the MIT intrinsic images: 16-bit linear, black outside a round
    mask.
    """
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    mask = (y**2 + x**2 < (0.4 * SIZE) ** 2)[..., None]
    for name in names:
        albedo, shading = make_layers(rng)
        shading = shading / shading.max()
        layers = {
            "diffuse": albedo * shading,
            "reflectance": albedo,
            "shading": shading,
            "mask": np.ones_like(shading),
        }
        (folder / name).mkdir()
        for layer, pixels in layers.items():
            stored = np.round(pixels * mask * 65025).astype(np.uint16)[..., ::-1]
            cv2.imwrite(str(folder / name / f"{layer}.png"), stored)
    return folder


@pytest.fixture(scope="session")
def make_shard() -> Callable[..., Path]:
    return write_shard


@pytest.fixture(scope="session")
def make_mit() -> Callable[..., Path]:
    return write_mit


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The tiny real bundle of the runtime's tests."""
    source = Path(__file__).parents[1] / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("runtime_tests_conftest", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_tiny_bundle(tmp_path / "tiny_bundle")
