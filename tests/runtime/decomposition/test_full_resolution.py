"""Full resolution with the shipped model: sharp shadows, no halos, harmless highlights and darkness, bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.backends import open_backend
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.upsampling import to_nchw, upsample_shading
from intrinsic_flow.media.color import luminance

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model():
    with Decomposer.load() as loaded:
        yield loaded


@pytest.fixture(scope="module")
def backend():
    loaded = open_backend(Bundle.load())
    yield loaded
    loaded.close()


def scene(side: int = 512) -> np.ndarray:
    """(side, side, 3) float32 linear: a wooden floor's stripes and a wall, under a lamp that falls off."""
    rows, columns = np.mgrid[:side, :side] / side
    stripes = 0.75 + 0.25 * np.sin(columns * 60)
    floor, wall = np.array([0.5, 0.28, 0.14]) * stripes[..., None], np.array([0.6, 0.6, 0.55]) * np.ones((side, side, 1))
    albedo = np.where((rows > 0.5)[..., None], floor, wall)
    light = 1.2 / (1 + 3 * ((rows - 0.4) ** 2 + (columns - 0.4) ** 2))
    return (albedo * light[..., None]).astype(np.float32)


def upsampled(backend, image, log_shading, low, gain=1.0, strip_pixels=None):
    maps = {"log_shading": to_nchw(log_shading), "guide": to_nchw(low)}
    return upsample_shading(backend, image, maps, gain, strip_pixels)


def upsampled_step(backend, scale: int, shadow: float):
    """Shading along a row across a shadow's edge, upsampled from its low-resolution truth, and the truth, each (side,)."""
    side = 64 * scale
    shading = np.where(np.arange(side) < side // 2 + 1, shadow, 1.0).astype(np.float32)
    image = np.broadcast_to(0.5 * shading[None, :, None], (side, side, 3)).astype(np.float32)
    low = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    spread = np.repeat(np.repeat(shading[None, :, None], side, 0), 3, 2)
    log_shading = np.log(cv2.resize(spread, (64, 64), interpolation=cv2.INTER_AREA))
    found = upsampled(backend, image, log_shading, low)
    return found[side // 2, :, 1], shading


@pytest.mark.parametrize("scale", [4, 8, 16])
@pytest.mark.parametrize("shadow", [0.2, 0.5])
def test_a_shadows_edge_is_within_two_pixels_and_has_no_halo(backend, scale, shadow):
    found, truth = upsampled_step(backend, scale, shadow)
    edge = len(truth) // 2 + 1
    relative = np.log(found / shadow) / np.log(1 / shadow)  # 0 in the shadow, 1 in the light
    crossing = int(np.argmax(relative > 0.5))
    assert abs(crossing - edge) <= 1
    # From a quarter to three quarters of the step, in log light, within two pixels.
    assert np.argmax(relative > 0.75) - np.argmax(relative > 0.25) <= 2
    assert relative.min() > -0.15 and relative.max() < 1.15
    # Far from the edge the shading is even: nothing glows.
    assert np.ptp(np.log(found[: edge - 10 * scale])) < 0.35 and np.ptp(np.log(found[edge + 10 * scale :])) < 0.35


def test_texture_of_the_surface_is_not_copied_into_the_shading(backend):
    rows, columns = np.mgrid[:512, :512]
    albedo = np.where((rows // 6 + columns // 6) % 2, 0.25, 0.6).astype(np.float32)
    image = np.repeat(albedo[..., None], 3, 2)
    low = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    found = upsampled(backend, image, np.zeros((64, 64, 3), np.float32), low)
    assert np.log(found).std() < 0.1 * np.log(image).std()


@pytest.mark.parametrize("color", [(0.55, 0.3, 0.12), (0.2, 0.35, 0.6), (0.5, 0.5, 0.5)])
def test_a_clipped_highlight_makes_the_albedo_neither_black_nor_pink(model, color):
    image = scene()
    rows, columns = np.mgrid[:512, :512]
    image[150:450, 150:450] = np.array(color, np.float32) * 0.7
    gloss = np.exp(-((rows - 300.0) ** 2 + (columns - 300.0) ** 2) / (2 * 18.0**2))
    image = np.minimum(image + 2.5 * gloss[..., None].astype(np.float32), 1.0)  # a camera's white, in all channels
    albedo = model.decompose(image).albedo
    clipped, around = albedo[290:310, 290:310].reshape(-1, 3), albedo[180:220, 180:420].reshape(-1, 3)
    assert luminance(clipped).min() > 0.5 * np.median(luminance(around))
    # A white spot may look white or like its surface; a channel apart from both is a colour that was never there.
    balance = clipped / clipped.mean(axis=1, keepdims=True)
    surface = np.median(around, axis=0) / np.median(around, axis=0).mean()
    low, high = np.minimum(surface, 1) - 0.25, np.maximum(surface, 1) + 0.25
    assert np.all((balance > low) & (balance < high))


def test_one_clipped_channel_stays_in_the_colour_of_its_surface(model):
    image = scene()
    image[100:400, 100:400] = np.array([1.6, 0.7, 0.3], np.float32)
    image = np.minimum(image, 1.0)
    patch = model.decompose(image).albedo[150:350, 150:350].reshape(-1, 3)
    assert np.all(patch[:, 0] > patch[:, 1]) and np.all(patch[:, 1] > patch[:, 2]) and patch.min() > 0.02


def test_very_dark_pixels_do_not_explode(model):
    image = scene()
    rng = np.random.default_rng(0)
    image[300:480, 40:240] = 3e-4 * rng.random((180, 200, 3), np.float32)  # about one code of eight bits, noise
    image[20:60, 20:60] = 0
    image[60:64, 20:60] = 1e-12
    result = model.decompose(image)
    assert np.isfinite(result.albedo).all() and np.isfinite(result.shading).all()
    np.testing.assert_allclose(result.albedo * result.shading, image, rtol=1e-5, atol=1e-30)
    dark = result.albedo[320:460, 60:220]
    assert dark.max() < 0.15  # noise that is divided by a small shading would glow
    assert result.shading[300:480, 40:240].max() < 0.1 and result.shading.max() < 10 * image.max()


def test_a_photo_in_strips_equals_the_photo_in_one_piece(backend):
    rng = np.random.default_rng(0)
    image = cv2.resize(
        rng.uniform(0, 1.5, (30, 200, 3)).astype(np.float32), (3000, 450), interpolation=cv2.INTER_CUBIC
    ).clip(0)
    low = cv2.resize(image, (455, 68), interpolation=cv2.INTER_AREA)
    log_shading = np.log(cv2.GaussianBlur(low, (0, 0), 5) + 0.1)
    whole = upsampled(backend, image, log_shading, low, 0.9)
    strips = upsampled(backend, image, log_shading, low, 0.9, strip_pixels=3000 * 64)
    np.testing.assert_allclose(strips, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak memory from")
@pytest.mark.parametrize("size", [(1440, 2560), (64, 12000), (5000, 50)])
def test_photos_of_any_shape_need_a_bounded_number_of_bytes_a_pixel(tmp_path, size):
    """Beside what libraries and model take, 120 bytes for a pixel: image, albedo and shading in float, and one strip."""
    pixels = cv2.resize((scene(256) * 255).clip(0, 255).astype(np.uint8), size[::-1])
    cv2.imwrite(str(tmp_path / "large.png"), pixels)
    # Not the peak that the parent is told, which includes the parent's own memory at the fork.
    code = (
        "import sys; from intrinsic_flow.decompose import main;"
        "main([sys.argv[1], '-o', sys.argv[2], '--quiet']);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "large.png"), str(tmp_path / "out")]
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 500 * 2**20 + 120 * size[0] * size[1]
    for layer in ("albedo", "shading"):
        assert cv2.imread(str(tmp_path / f"out/large_{layer}.png")).shape == (*size, 3)
