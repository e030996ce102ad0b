"""The upsampler graph against a transcription of the guided filter with explicit loops over windows."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from intrinsic_flow.backends import open_backend
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.upsampling import to_nchw, upsample_shading
from intrinsic_flow.train.networks.guided_upsampler import (
    CELL,
    COLOR_RADIUS,
    DARK,
    EPSILON,
    MIN_LIGHT,
    MIN_WEIGHT,
    PRIOR,
    RADIUS,
)


@pytest.fixture(scope="module")
def run(exported_bundle):
    session = onnxruntime.InferenceSession(exported_bundle / "upsampler.onnx", providers=["CPUExecutionProvider"])

    def upsample(log_shading, guide, image):
        """(h, w, 3), (h, w, 3), (H, W, 3) -> shading (H, W, 3)."""
        feeds = {
            name: np.ascontiguousarray(value.transpose(2, 0, 1)[None], np.float32)
            for name, value in (("log_shading", log_shading), ("guide", guide), ("image", image))
        }
        feeds["rows"] = np.array([0, len(image)], np.float32)
        return session.run(["shading"], feeds)[0][0].transpose(1, 2, 0)

    return upsample


def reference(log_shading, guide, image):
    """The same in float64, window by window, pixel by pixel."""
    luminance = lambda x: np.maximum(x @ np.array([0.2126, 0.7152, 0.0722]), MIN_LIGHT)  # noqa: E731
    brightness, log_shading = luminance(guide.astype(np.float64)), log_shading.astype(np.float64)
    light = np.log(brightness + DARK)
    weight = np.exp(0.5 * light) + MIN_WEIGHT
    low_height, low_width = light.shape
    rows, columns = -(-low_height // CELL), -(-low_width // CELL)

    def cells_of(maps):
        """Mean of each cell of CELL x CELL pixels."""
        return np.array(
            [
                [maps[i * CELL : (i + 1) * CELL, j * CELL : (j + 1) * CELL].mean((0, 1)) for j in range(columns)]
                for i in range(rows)
            ]
        )

    def windows_of(cells, radius):
        """Mean of the cells around each cell."""
        return np.array(
            [
                [
                    cells[max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1].mean((0, 1))
                    for j in range(columns)
                ]
                for i in range(rows)
            ]
        )

    shade = np.log(np.exp(log_shading) @ np.array([0.2126, 0.7152, 0.0722]))
    cell_weight = cells_of(weight)
    total = windows_of(cell_weight, RADIUS)
    mean = lambda maps: windows_of(cells_of(weight * maps), RADIUS) / total  # noqa: E731
    mean_light, mean_shade = mean(light), mean(shade)
    variance = np.maximum(mean(light**2) - mean_light**2, 0)
    slope = np.clip((mean(light * shade) - mean_light * mean_shade) / (variance + EPSILON), 0, 1)
    offset = mean_shade - slope * mean_light
    slope, offset = (windows_of(cell_weight * maps, RADIUS) / total for maps in (slope, offset))

    saturation = np.abs(np.log(np.maximum(guide.astype(np.float64), MIN_LIGHT)) - np.log(brightness)[..., None]).max(2)
    weight = (weight * np.exp(-saturation))[..., None]
    color_weight = windows_of(cells_of(weight), COLOR_RADIUS)
    color = windows_of(cells_of(weight * (log_shading - shade[..., None])), COLOR_RADIUS)
    color, color_weight = windows_of(color, COLOR_RADIUS), windows_of(color_weight, COLOR_RADIUS)
    color = (color + PRIOR * color.mean((0, 1))) / (color_weight + PRIOR * color_weight.mean((0, 1)))

    shading = np.empty(image.shape)
    height, width = image.shape[:2]
    for y in range(height):
        for x in range(width):
            row = np.clip((y + 0.5) * low_height / height / CELL - 0.5, 0, rows - 1)
            column = np.clip((x + 0.5) * low_width / width / CELL - 0.5, 0, columns - 1)
            i, j = min(int(row), max(rows - 2, 0)), min(int(column), max(columns - 2, 0))
            v, u, i1, j1 = row - i, column - j, min(i + 1, rows - 1), min(j + 1, columns - 1)
            at = lambda m: (  # noqa: E731
                (1 - v) * ((1 - u) * m[i, j] + u * m[i, j1]) + v * ((1 - u) * m[i1, j] + u * m[i1, j1])  # noqa: B023
            )
            pixel = image[y, x].astype(np.float64)
            shading[y, x] = np.exp(at(slope) * np.log(luminance(pixel) + DARK) + at(offset) + at(color))
    return shading


@pytest.mark.parametrize(("low", "full"), [((32, 32), (32, 32)), ((34, 45), (50, 70)), ((7, 50), (13, 41))])
def test_graph_computes_the_guided_filter(run, low, full):
    rng = np.random.default_rng(0)
    guide = np.exp(rng.normal(-1, 1, (*low, 3))).astype(np.float32)
    log_shading = (0.5 * np.log(guide) + rng.normal(0, 0.3, (*low, 3))).astype(np.float32)
    image = np.exp(rng.normal(-1, 1, (*full, 3))).astype(np.float32)
    image[:3] = 0
    shading = run(log_shading, guide, image)
    np.testing.assert_allclose(shading, reference(log_shading, guide, image), rtol=2e-4)
    assert np.all(shading > 0)


def test_even_shading_comes_out_even(run):
    rng = np.random.default_rng(0)
    guide, image = (rng.uniform(0, 2, size).astype(np.float32) for size in ((32, 48, 3), (80, 120, 3)))
    image[:5] = 0
    shading = run(np.full((32, 48, 3), np.log(2.5)), guide, image)
    # Away from black, where the shading ends.
    bright = image.min(2) > 0.3
    np.testing.assert_allclose(shading[bright], 2.5, rtol=0.02)


def test_a_channel_without_light_and_a_near_black_pixel_leave_no_colour_in_the_shading(run):
    """A yellow disc and codes of one on a grey wall in even light, whose low shading is yellow and noisy."""
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 20) ** 2 + (columns - 20) ** 2 < 144
    image = np.where(disc[..., None], [0.6, 0.5, 0.0], 0.4) * np.ones((64, 64, 1))
    image[40:, 40:] = 0
    image[40::2, 40:] = [3e-4, 0, 0]
    shading = run(np.log(np.maximum(image, 1e-4) / np.maximum(0.8 * image, 1e-3)), image, image)
    for place in ((20, 20), (50, 50), (51, 50)):
        color = np.log(shading[place])
        assert np.ptp(color) < 0.25
    assert (image / shading)[40:, 40:].max() < 0.1


def shadow_and_texture():
    """A shadow's edge at column 0.5 on the left of an even wall, and a checkerboard in even light; full resolution."""
    rows, columns = np.mgrid[0:256, 0:256]
    shading = np.where(columns < 61, 0.2, 1.0) * np.ones((256, 256))
    albedo = np.where((rows // 8 + columns // 8) % 2, 0.2, 0.6)
    albedo[:, :128] = 0.5
    return np.repeat(albedo[..., None], 3, 2).astype(np.float32), np.repeat(shading[..., None], 3, 2).astype(np.float32)


def test_shadow_edges_stay_sharp_and_texture_stays_out_of_the_shading(run):
    albedo, shading = shadow_and_texture()
    image = albedo * shading
    shrink = lambda x: x.reshape(64, 4, 64, 4, 3).mean((1, 3))  # noqa: E731
    guide = shrink(image)
    light = run(np.log(shrink(shading)), guide, image)
    found = image / light
    # Bilinear interpolation would smear the edge over four pixels and more.
    edge = light[:, 56:66, 0]
    assert (np.abs(edge[:, :3] / 0.2 - 1) < 0.35).all() and (np.abs(edge[:, 7:] - 1) < 0.35).all()
    assert (edge[:, 5] / edge[:, 4] > 2.5).all()
    textured = light[:, 160:, 0]
    assert textured.std() < 0.05 and np.abs(textured.mean() - 1) < 0.05
    assert np.abs(found[:, 160:] - albedo[:, 160:]).mean() < 0.02


def test_strips_of_a_large_image_join_without_seams(exported_bundle):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 2, (203, 97, 3)).astype(np.float32)
    low = {"log_shading": to_nchw(rng.normal(0, 1, (41, 33, 3))), "guide": to_nchw(rng.uniform(0, 2, (41, 33, 3)))}
    engine = open_backend(Bundle.load(exported_bundle))
    whole = upsample_shading(engine, image, low, 1.7)
    for rows in (1, 7, 64, 202):
        strips = upsample_shading(engine, image, low, 1.7, strip_pixels=97 * rows)
        np.testing.assert_allclose(strips, whole, rtol=2e-5)
