from __future__ import annotations

from functools import cache
from zlib import crc32

import cv2
import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance import noise, palette, textures
from intrinsic_flow.train.rendering.appearance.patterns import tiling

GENERATORS = {
    f"{make.__module__.rsplit('.', 1)[1]}.{make.__name__}": (make, role)
    for role, makers in textures.GENERATORS.items()
    for make in makers
}
every_generator = pytest.mark.parametrize("name", GENERATORS)
repeating_generators = pytest.mark.parametrize(
    "name", [name for name, (_, role) in GENERATORS.items() if role not in textures.DRAWN_ONCE]
)


@cache
def made(name: str, number: int = 0):
    return GENERATORS[name][0](np.random.default_rng([number, crc32(name.encode())]))


def albedo(texture) -> np.ndarray:
    return (texture.pixels.astype(np.float64) / 255) ** 2


@every_generator
def test_a_texture_is_coded_albedo_and_the_same_for_the_same_generator_state(name):
    texture = made(name)
    assert texture.pixels.dtype == np.uint8
    assert texture.pixels.ndim == 3 and texture.pixels.shape[2] == 3
    assert 256 <= texture.pixels.shape[0] == texture.pixels.shape[1] <= 512
    low, high = palette.ALBEDO_RANGE
    assert albedo(texture).min() >= low - 0.002 and albedo(texture).max() <= high + 0.002
    np.testing.assert_array_equal(texture.pixels, made.__wrapped__(name).pixels)
    if texture.height is not None:
        assert texture.height.shape == texture.pixels.shape[:2]
        assert np.isfinite(texture.height.astype(np.float32)).all()


@repeating_generators
@pytest.mark.parametrize("number", range(2))
def test_what_repeats_has_no_seam(name, number):
    texture = made(name, number)
    value = texture.pixels.astype(np.float64)
    for field in (value, value.transpose(1, 0, 2)):
        steps = np.abs(np.diff(field, axis=0)).mean(axis=(1, 2))
        # Joints may lie on the seam, so it is held against the largest step within.
        assert np.abs(field[0] - field[-1]).mean() <= 1.2 * steps.max() + 1


@repeating_generators
def test_what_repeats_is_not_lit_from_one_side(name):
    swings = []
    for number in range(3):
        small = cv2.resize(np.log(albedo(made(name, number)).mean(axis=-1)), (16, 16), interpolation=cv2.INTER_AREA)
        y, x = (np.indices((16, 16)) / 15 - 0.5).reshape(2, -1)
        slope, *_ = np.linalg.lstsq(np.stack([np.ones_like(x), x, y], axis=-1), small.ravel(), rcond=None)
        swings.append(np.hypot(slope[1], slope[2]))
    # The best straight gradient, as a natural logarithm across the whole picture.
    assert np.median(swings) < 0.3


def test_a_role_whose_textures_are_drawn_once_says_so():
    for role in textures.ROLES:
        texture = textures.draw(np.random.default_rng(3), role)
        assert texture.tileable == (role not in textures.DRAWN_ONCE)


@pytest.mark.parametrize(
    ("role", "low", "high"),
    [
        ("wall", 0.3, 0.85),
        ("ceiling", 0.4, 0.85),
        ("road", 0.04, 0.4),
        ("leaf", 0.03, 0.4),
        ("wood", 0.05, 0.6),
        ("any", 0.1, 0.6),
    ],
)
def test_the_mean_albedo_of_a_role_is_plausible(role, low, high):
    rng = np.random.default_rng(1)
    means = [albedo(textures.draw(rng, role)).mean() for _ in range(9)]
    assert low < np.median(means) < high


def test_a_role_has_many_looks():
    rng = np.random.default_rng(2)
    means = np.array([albedo(textures.draw(rng, "fabric")).mean(axis=(0, 1)) for _ in range(10)])
    assert len(np.unique(means.round(3), axis=0)) == 10


def test_noise_repeats_and_has_unit_deviation():
    field = noise.fractal(np.random.default_rng(0), 128, low=3, slope=0.8)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-4)
    assert np.abs(field[0] - field[-1]).mean() < 1.5 * np.abs(np.diff(field, axis=0)).mean()


def test_stretched_noise_is_longer_along_the_stretch():
    field = noise.fractal(np.random.default_rng(0), 128, low=8, stretch=(6.0, 1.0))
    assert np.abs(np.diff(field, axis=0)).mean() > 2.5 * np.abs(np.diff(field, axis=1)).mean()


def test_cells_belong_to_the_nearest_point_across_the_seam():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 40))
    number = noise.nearest(96, x, y)
    columns, rows = noise.grid(96)
    dx, dy = (np.abs((a[..., None] - b + 0.5) % 1 - 0.5) for a, b in ((columns, x), (rows, y)))
    exact = np.hypot(dx, dy).argmin(axis=-1)
    assert np.mean(number == exact) > 0.94  # points are rounded to pixels, distances to a 5 x 5 mask


@pytest.mark.parametrize(
    "pieces", [tiling.herringbone(240, 3, 1), tiling.hexagons(200, 5)], ids=["herringbone", "hexagons"]
)
def test_pieces_of_one_layout_are_equally_large(pieces):
    sizes = np.bincount(pieces.number.ravel())
    sizes = sizes[sizes > 0]
    assert sizes.min() > 0.8 * sizes.max()


def test_a_herringbone_piece_is_as_long_as_its_ratio():
    pieces = tiling.herringbone(240, 3, 1)
    assert pieces.along.max() == pytest.approx(3 * pieces.across.max(), rel=0.05)
    np.testing.assert_allclose(pieces.edge.min(), 0, atol=1 / 240)
