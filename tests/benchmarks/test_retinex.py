from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL
from intrinsic_flow.benchmarks.scoring.metrics import lmse
from intrinsic_flow.benchmarks.scoring.retinex import PoissonSolver, Thresholds, color_retinex

THRESHOLDS = Thresholds(chromaticity=0.1, brightness=0.4)


def mondrian(size: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture (H, W, 3) of flat coloured patches under smooth grey light, its albedo and its shading."""
    rng = np.random.default_rng(11)
    albedo = np.empty((size, size, 3))
    for top in range(0, size, 24):
        for left in range(0, size, 24):
            albedo[top : top + 24, left : left + 24] = rng.uniform(0.1, 0.9, 3)
    y, x = np.mgrid[:size, :size] / size
    shading = (0.15 + np.exp(-((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.2))[..., None].repeat(3, -1)
    return albedo * shading, albedo, shading


def test_a_mondrian_is_separated_far_better_than_by_the_trivial_answers() -> None:
    image, albedo, shading = mondrian()
    mask = np.ones(image.shape[:2], bool)
    layers = color_retinex(image, mask, THRESHOLDS)
    trivial = [method(image, mask) for method in TRIVIAL.values()]
    albedo_trivial = min(lmse(answer.albedo, albedo, mask) for answer in trivial if answer.albedo is not None)
    shading_trivial = min(lmse(answer.shading, shading, mask) for answer in trivial if answer.shading is not None)
    assert lmse(layers.albedo, albedo, mask) < 0.1 * albedo_trivial
    assert lmse(layers.shading, shading, mask) < 0.1 * shading_trivial


def test_a_gray_step_below_the_brightness_threshold_is_shading_and_above_it_albedo() -> None:
    image = np.ones((12, 12, 3))
    image[:, 6:] = 0.5  # a log step of 0.69
    mask = np.ones((12, 12), bool)
    as_shading = color_retinex(image, mask, Thresholds(chromaticity=0.1, brightness=0.8))
    np.testing.assert_allclose(as_shading.shading[0, 0] / as_shading.shading[0, -1], 2, rtol=1e-5)
    np.testing.assert_allclose(as_shading.albedo, as_shading.albedo[0, 0, 0], rtol=1e-5)
    as_albedo = color_retinex(image, mask, Thresholds(chromaticity=0.1, brightness=0.6))
    np.testing.assert_allclose(as_albedo.albedo[0, 0] / as_albedo.albedo[0, -1], 2, rtol=1e-5)
    np.testing.assert_allclose(as_albedo.shading, as_albedo.shading[0, 0, 0], rtol=1e-5)


def test_a_change_of_color_is_albedo_however_small_its_brightness_step() -> None:
    image = np.full((12, 12, 3), [0.5, 0.5, 0.5])
    image[:, 6:] = [0.7, 0.4, 0.45]
    mask = np.ones((12, 12), bool)
    layers = color_retinex(image, mask, Thresholds(chromaticity=0.1, brightness=10.0))
    np.testing.assert_allclose(layers.shading, layers.shading[0, 0, 0], rtol=1e-5)


def test_layers_multiply_to_the_image_inside_the_mask_and_are_zero_outside() -> None:
    image, _, _ = mondrian()
    mask = np.random.default_rng(0).random(image.shape[:2]) < 0.6
    layers = color_retinex(image, mask, THRESHOLDS)
    np.testing.assert_allclose((layers.albedo * layers.shading)[mask], image[mask], rtol=1e-5)
    assert not layers.albedo[~mask].any() and not layers.shading[~mask].any()


def test_exposure_changes_the_shading_only_by_its_factor() -> None:
    image, _, _ = mondrian()
    image[:10, :10] = 0  # black pixels take the floor, which follows the exposure
    mask = np.ones(image.shape[:2], bool)
    normal, bright = color_retinex(image, mask, THRESHOLDS), color_retinex(image * 1000, mask, THRESHOLDS)
    np.testing.assert_allclose(bright.albedo, normal.albedo, rtol=1e-4)
    np.testing.assert_allclose(bright.shading, normal.shading * 1000, rtol=1e-4)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_integrating_the_gradients_of_an_image_gives_it_back(share: float) -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(size=(31, 47))
    mask = np.zeros(image.shape, bool)
    mask[2:-3, 4:-1] = rng.random((26, 42)) < share
    mask[10] = True
    if share == 1.0:
        mask[:] = True
    result = PoissonSolver(mask).integrate(np.diff(image, axis=1), np.diff(image, axis=0))
    for part in connected_parts(mask):
        np.testing.assert_allclose(result[part], image[part] - image[part].mean(), atol=1e-9)
    assert not result[~mask].any()


def connected_parts(mask: np.ndarray) -> list[np.ndarray]:
    """Masks of the 4-connected parts, by flood filling."""
    left, parts = mask.copy(), []
    while left.any():
        part, stack = np.zeros_like(mask), [tuple(np.argwhere(left)[0])]
        while stack:
            y, x = stack.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and left[y, x]:
                left[y, x], part[y, x] = False, True
                stack += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        parts.append(part)
    return parts


def test_integration_of_contradictory_gradients_is_the_least_squares_answer() -> None:
    rng = np.random.default_rng(2)
    mask = rng.random((9, 8)) < 0.75
    across, down = rng.normal(size=(9, 7)), rng.normal(size=(8, 8))
    index = {tuple(pixel): number for number, pixel in enumerate(np.argwhere(mask))}
    rows, wanted = [], []
    for (y, x), number in index.items():
        for neighbour, difference in (((y, x + 1), across), ((y + 1, x), down)):
            if neighbour in index:
                row = np.zeros(len(index))
                row[index[neighbour]], row[number] = 1, -1
                rows.append(row)
                wanted.append(difference[y, x])
    expected, *_ = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)  # the least-norm solution
    np.testing.assert_allclose(PoissonSolver(mask).integrate(across, down)[mask], expected, atol=1e-9)


def test_single_pixels_have_a_zero_field() -> None:
    mask = np.zeros((5, 5), bool)
    mask[1, 1] = mask[3, 3] = True
    assert not PoissonSolver(mask).integrate(np.ones((5, 4)), np.ones((4, 5))).any()


@pytest.mark.parametrize("light, inside", [(0.0, True), (1.0, False)])
def test_a_mask_without_light_is_refused(light: float, inside: bool) -> None:
    with pytest.raises(ValueError, match="holds light"):
        color_retinex(np.full((8, 8, 3), light), np.full((8, 8), inside), THRESHOLDS)
