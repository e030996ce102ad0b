"""Small data sets in the real formats, with ground truth that is known because it is made here."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

SIZE = 64
SAW_LABELS = "saw_data-filter_size_0-ignore_border_0.05-normal_gradmag_thres_1.5-depth_gradmag_thres_2.0"


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


def write_lights(folder: Path, count: int) -> Path:
    """Single-light pictures beside the MIT files in `folder`: one albedo under `count` grey lights."""
    for number, path in enumerate(sorted(folder.glob("*/reflectance.png"))):
        reflectance = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float64) / 65025
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE
        for light in range(count):
            angle = 2 * np.pi * light / count + number
            gray = (0.55 + 0.4 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)))[..., None]
            stored = np.round(reflectance * gray * 65025).astype(np.uint16)
            cv2.imwrite(str(path.parent / f"light{light + 1:02d}.png"), stored)
    return folder


def srgb(linear: np.ndarray) -> np.ndarray:
    """Linear [0, 1] -> 8-bit sRGB codes."""
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.round(np.clip(encoded, 0, 1) * 255).astype(np.uint8)


def write_picture(path: Path, linear: np.ndarray, curve: bool = True) -> Path:
    """(H, W, 3) linear RGB as .hdr, or as 8-bit .png or .jpg with the sRGB curve (`curve`) or without."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".hdr":
        stored = linear.astype(np.float32)
    else:
        stored = srgb(linear) if curve else np.round(np.clip(linear, 0, 1) * 255).astype(np.uint8)
    assert cv2.imwrite(str(path), stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98] if path.suffix == ".jpg" else [])
    return path


def write_arap(folder: Path, name: str, suffix: str = ".hdr", scale: float = 1.0, seed: int = 0, **options) -> Path:
    """One scene of ARAP: NAME, NAME_albedo, NAME_shading, every layer times `scale` (in the true set 1, 1/179 or 179)."""
    albedo, shading = make_layers(np.random.default_rng(seed))
    shading = (shading / shading.max()).repeat(3, -1)
    layers = {"": albedo * shading, "_albedo": albedo, "_shading": shading}
    for ending, linear in layers.items():
        write_picture(folder / f"{name}{ending}{suffix}", linear * scale, **options)
    return folder


def write_saw(folder: Path, ids: list[int], test: list[int] | None = None) -> Path:
    """The parts of SAW that the score needs; each photo has a step of light at its middle and all three labels."""
    labels = folder / "saw_pixel_labels" / SAW_LABELS
    labels.mkdir(parents=True)
    (folder / "saw_splits").mkdir()
    for number in ids:
        albedo, _ = make_layers(np.random.default_rng(number))
        light = np.where(np.arange(SIZE) < SIZE // 2, 0.3, 0.9)[None, :, None]
        write_picture(folder / "saw_images_512" / f"{number}.png", albedo * light)
        classes = np.full((SIZE, SIZE), 100, np.uint8)
        classes[:20, SIZE // 2 - 1 : SIZE // 2 + 1] = 1
        classes[20:40, SIZE // 2 - 1 : SIZE // 2 + 1] = 0
        classes[4:12, 12:20] = 2
        np.save(labels / f"{number}.npy", classes)
    for split in ("train", "val", "test"):
        np.save(folder / "saw_splits" / f"{split}_ids.npy", np.array(test or ids if split == "test" else ids[:1]))
    return folder


def write_saw_shading(folder: Path, ids: list[int]) -> Path:
    """Precomputed shading pictures, values stored without a curve."""
    for number in ids:
        albedo, shading = make_layers(np.random.default_rng(number))
        shading = (shading / shading.max()).repeat(3, -1)
        layers = {"reconstructed_ldr": albedo * shading, "albedo": albedo, "shading": shading}
        for kind, linear in layers.items():
            write_picture(folder / str(number) / f"{number}_{kind}.png", linear, curve=False)
    return folder


def write_iiw(folder: Path, ids: list[int]) -> Path:
    """Photos whose left half is twice as bright a surface as the right, with judgements that say so and some to skip."""
    data = folder / "data"
    points = [
        {"id": 1, "x": 0.25, "y": 0.5, "opaque": True, "sRGB": "808080"},
        {"id": 2, "x": 0.75, "y": 0.5, "opaque": True, "sRGB": "404040"},
        {"id": 3, "x": 0.3, "y": 0.25, "opaque": True, "sRGB": "808080"},
        {"id": 4, "x": 0.9, "y": 0.9, "opaque": False, "sRGB": "000000"},
    ]
    comparisons = [
        {"point1": 1, "point2": 2, "darker": "2", "darker_score": 0.75},
        {"point1": 1, "point2": 3, "darker": "E", "darker_score": 0.25},
        {"point1": 2, "point2": 3, "darker": None, "darker_score": None},
        {"point1": 2, "point2": 4, "darker": "1", "darker_score": 1.0},
        {"point1": 3, "point2": 2, "darker": "1", "darker_score": 0.0},
    ]
    for number in ids:
        picture = np.full((30, 40, 3), 0.4)
        picture[:, 20:] = 0.2
        write_picture(data / f"{number}.png", picture)
        content = {"intrinsic_points": points, "intrinsic_comparisons": comparisons}
        (data / f"{number}.json").write_text(json.dumps(content))
    return folder


def write_maw(folder: Path, names: list[str]) -> Path:
    """Photos with two marked surfaces of known albedo, stored in linear Adobe RGB as the release does."""
    (folder / "labels" / "masks").mkdir(parents=True)
    rows = []
    for name in names:
        picture = np.full((48, 64, 3), 0.5)
        picture[:, 32:] = [0.2, 0.1, 0.05]
        write_picture(folder / "images_png" / "scene_0" / f"{name}.png", picture)
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 5:25], mask[10:30, 40:50] = 60, 120
        cv2.imwrite(str(folder / "labels" / "masks" / f"{name}_mask.png"), mask)
        np.save(folder / "labels" / "masks" / f"{name}.npy", np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]))
        rows.append([f"masks/{name}.npy", f"masks/{name}_mask.png", "scene_0", name, f"masks/{name}_gt.png", "None"])
    (folder / "labels" / "meta.csv").write_text("".join("\t".join(row) + "\n" for row in rows))
    return folder


def write_hypersim(folder: Path, frames: dict[str, str]) -> Path:
    """Frames SCENE/cam_CC/FFFF -> split, with a hole in the surface and one NaN in the picture of each."""
    import h5py

    rows = ["scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name"]
    for number, (name, split) in enumerate(frames.items()):
        scene, camera, frame = name.split("/")
        albedo, shading = make_layers(np.random.default_rng(number))
        shading = shading * [1.0, 0.8, 0.6]
        entities = np.zeros((SIZE, SIZE), np.int32)
        entities[:8, :8] = -1
        color = albedo * shading
        color[40, 40] = np.nan
        final, geometry = (folder / scene / "images" / f"scene_{camera}_{kind}_hdf5" for kind in ("final", "geometry"))
        arrays = {
            final / f"frame.{frame}.color.hdf5": color.astype(np.float16),
            final / f"frame.{frame}.diffuse_reflectance.hdf5": albedo.astype(np.float16),
            final / f"frame.{frame}.diffuse_illumination.hdf5": shading.astype(np.float16),
            geometry / f"frame.{frame}.render_entity_id.hdf5": entities,
        }
        for path, array in arrays.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["dataset"] = array
        rows.append(f"{scene},{camera},{int(frame)},True,,{split}")
    (folder / "metadata_images_split_scene_v1.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def make_shard() -> Callable[..., Path]:
    return write_shard


@pytest.fixture(scope="session")
def make_mit() -> Callable[..., Path]:
    return write_mit


@pytest.fixture
def make() -> SimpleNamespace:
    """Writers of miniatures in the true layouts, one for each data set: make.arap(folder, ...)."""
    return SimpleNamespace(
        shard=write_shard,
        mit=write_mit,
        lights=write_lights,
        picture=write_picture,
        arap=write_arap,
        saw=write_saw,
        saw_shading=write_saw_shading,
        iiw=write_iiw,
        maw=write_maw,
        hypersim=write_hypersim,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The tiny real bundle of the runtime's tests."""
    source = Path(__file__).parents[1] / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("runtime_tests_conftest", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_tiny_bundle(tmp_path / "tiny_bundle")
