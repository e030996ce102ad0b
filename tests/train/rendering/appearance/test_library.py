from __future__ import annotations

import cv2
import numpy as np
import pytest

from intrinsic_flow.errors import InputError
from intrinsic_flow.train.rendering.appearance import library
from intrinsic_flow.train.rendering.appearance.library import ROLES, Library


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "textures").mkdir()
    for number in range(4):
        spots = np.random.default_rng(number).integers(60, 200, (80, 80, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "textures" / f"Wood_0{number}_0.png"), spots)
    (tmp_path / "textures" / "Wood_broken.png").write_bytes(b"no picture")
    return tmp_path


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_gives_textures_and_reliefs(role):
    found = Library.load(None)
    texture = found.texture(rng(), role)
    assert found.relief(rng(1), role, texture).slopes.shape[2] == 2
    assert found.relief(rng(2), role).tileable


def test_a_draw_does_not_depend_on_earlier_draws(folder):
    first, second = Library.load(folder, seed=5), Library.load(folder, seed=5)
    for seed in range(6):
        second.texture(rng(100 + seed), "wood")
        second.environment(rng(200 + seed), "outdoor")
    for seed in (3, 1, 2):
        a, b = first.texture(rng(seed), "wood"), second.texture(rng(seed), "wood")
        np.testing.assert_array_equal(a.pixels, b.pixels)
        np.testing.assert_array_equal(first.relief(rng(seed), "wood", a).slopes, second.relief(rng(seed), "wood", b).slopes)
    a, b = first.environment(rng(7), "outdoor"), second.environment(rng(7), "outdoor")
    assert a.rotation == b.rotation
    np.testing.assert_array_equal(a.radiance, b.radiance)
    np.testing.assert_array_equal(first.window_view(rng(8)), second.window_view(rng(8)))


def test_generators_go_on_alike_whatever_was_kept():
    a, b = Library.load(None), Library.load(None)
    one, two = rng(4), rng(4)
    a.texture(one, "bark")
    b.texture(rng(4), "bark")
    b.texture(two, "bark")
    assert one.random() == two.random()


def test_libraries_of_other_seeds_differ():
    a, b = (Library.load(None, seed=seed).texture(rng(), "any") for seed in (0, 1))
    assert a.pixels.shape != b.pixels.shape or (a.pixels != b.pixels).any()


def test_what_was_made_is_kept():
    found = Library.load(None)
    assert found.texture(rng(), "wall") is found.texture(rng(), "wall")


def test_what_was_used_longest_ago_is_dropped_and_made_again(monkeypatch):
    monkeypatch.setattr(library, "CACHE_BYTES", 1_000_000)
    found = Library.load(None)
    first = found.texture(rng(0), "bark")
    for seed in range(1, 8):
        found.texture(rng(seed), "bark")
    again = found.texture(rng(0), "bark")
    assert again is not first
    np.testing.assert_array_equal(again.pixels, first.pixels)


def test_assets_and_procedural_textures_mix(folder):
    found = Library.load(folder)
    sizes = [found.texture(rng(seed), "wood").pixels.shape[0] for seed in range(16)]
    assert 80 in sizes and max(sizes) > 80


def test_a_role_without_assets_is_procedural(folder):
    assert Library.load(folder).texture(rng(), "picture").pixels.shape[0] > 80


def test_environments_of_a_kind(folder):
    found = Library.load(folder)
    names = {found.environment(rng(seed), "any").name for seed in range(5)}
    assert names == {"procedural outdoor", "procedural indoor"}
    assert 0 <= found.environment(rng(), "indoor").rotation < 360


def test_a_library_without_models_has_none():
    assert Library.load(None).model(rng()) is None


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        Library.load(tmp_path / "nowhere")
