from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.scene import Relief, Texture
from intrinsic_flow.train.rendering.world.builder import PRIORS, Prop, SceneBuilder
from intrinsic_flow.train.rendering.world.clutter import SHELF, TABLE, scatter
from intrinsic_flow.train.rendering.world.furniture import bookshelf, table
from intrinsic_flow.train.rendering.world.geometry import block, box, panel, rotation, translation
from intrinsic_flow.train.rendering.world.lighting import bulb


class GreyLibrary:
    """What makers draw from, all of it grey."""

    def texture(self, rng, role):
        return Texture(np.full((4, 4, 3), 128, np.uint8), role not in ("rug", "book", "picture", "label"))

    def relief(self, rng, role, texture=None):
        return Relief(np.ones((4, 4, 2), np.float16), True)

    def model(self, rng):
        return None


@pytest.fixture
def b() -> SceneBuilder:
    return SceneBuilder(3, GreyLibrary())


@pytest.mark.parametrize("role", PRIORS)
def test_materials_of_all_roles_are_physical(b, role):
    for _ in range(3):
        material = b.materials[b.material(role)]
        assert min(material.color) > 0 and max(material.color) < 1.6
        assert 0.1 <= material.roughness <= 1 and 0 <= material.specular <= 0.06
        assert (material.tile is None) == (PRIORS[role].tile is None)
        assert material.relief is None or 0 < material.relief_strength < 0.7
        if material.texture is None:
            assert max(material.color) <= 0.9


def test_gloss_and_metal_are_as_rare_as_in_homes(b):
    roles = ["wall", "fabric", "wood", "ceramic", "any", "stone", "plastic", "book", "floor", "metal"]
    made = [b.materials[b.material(role)] for role in roles for _ in range(30)]
    gloss = np.mean([material.roughness < 0.55 for material in made])
    metal = np.mean([material.metallic for material in made])
    assert 0.2 < gloss < 0.5
    assert 0.01 < metal < 0.1


def test_materials_repeat_where_they_should(b):
    first = b.material("wood")
    assert b.material("wood", fresh=0.0) == first
    assert b.material("wood") != first
    red = b.material("plastic", color=(0.5, 0.1, 0.1))
    assert b.material("plastic", color=(0.1, 0.1, 0.5), fresh=0.0) != red
    assert b.material("plastic", color=(0.5, 0.1, 0.1), fresh=0.0) == red


def test_one_colour_looks_used_and_a_wall_is_dirtier_at_its_foot():
    b = SceneBuilder(3, Library.load(None))
    paint = (0.5, 0.3, 0.2)
    for height in (None, 2.5):
        made = b.materials[b.material("wall", color=paint, height=height)]
        albedo = (made.texture.pixels / 255.0) ** 2 * made.color
        np.testing.assert_allclose(np.median(albedo, (0, 1)), paint, rtol=0.12)
        assert 0.005 < np.log(albedo.mean(-1)).std() < 0.4
    assert made.tile == 2.5 and albedo[:10].mean() < 0.97 * albedo[120:200].mean()
    wall = b.add(block((-1, 0, 0), (1, 0.1, 2.5)), len(b.materials) - 1)
    uv = next(part.mesh.uv for part in b.parts if part.thing == wall)
    assert uv[:, 1].min() == pytest.approx(-0.05) or uv[:, 1].min() == pytest.approx(0)


def test_repeating_textures_lie_elsewhere_on_every_board_and_pictures_do_not_move(b):
    wood, picture = b.material("wood", plain=0.0), b.material("picture")
    for _ in range(2):
        b.add(box((1, 0.2, 0.02)), wood)
        b.add(panel(0.3, 0.4), picture)
    boards, pictures = b.parts[0::2], b.parts[1::2]
    assert np.abs(boards[0].mesh.uv - boards[1].mesh.uv).max() > 1e-3
    np.testing.assert_array_equal(pictures[0].mesh.uv, pictures[1].mesh.uv)


def test_a_placed_prop_takes_its_lights_along_as_one_thing(b):
    prop = Prop()
    skin = b.material("metal")
    prop.add(box((0.1, 0.1, 0.4)), skin)
    prop.add(box((0.3, 0.3, 0.1)), skin, translation(z=0.4))
    prop.lights.append(bulb((0.1, 0, 0.6), 0.03, 1.0, np.ones(3)))
    thing = b.place(prop, translation(2, 1) @ rotation("z", 90))
    assert {part.thing for part in b.parts} == {thing}
    np.testing.assert_allclose(b.lights[0].center, (2, 1.1, 0.6), atol=1e-12)
    np.testing.assert_allclose(b.focus[0][0], (2, 1, 0.25), atol=1e-12)
    assert b.triangles == 24


def test_points_in_things_are_blocked_also_where_things_are_turned(b):
    b.add(box((2.0, 0.1, 1.0)), b.material("wood"), rotation("z", 45))
    assert b.blocked(np.array([0.6, 0.6, 0.5]), 0.0)
    assert not b.blocked(np.array([0.6, -0.6, 0.5]), 0.05)
    assert b.blocked(np.array([0.0, 0.0, 1.04]), 0.05)


def test_scattered_things_stand_on_the_table_off_each_other(b):
    desk = table(b, 1.6, 0.9, 0.75, cloth=False)
    frame = translation(1, 2) @ rotation("z", 30)
    wood = b.place(desk, frame)
    placed = scatter(b, desk.supports[0], frame, TABLE, 14)
    assert placed >= 4
    for thing in range(wood + 1, wood + 1 + placed):
        low = min(part.mesh.vertices[:, 2].min() for part in b.parts if part.thing == thing)
        assert low == pytest.approx(0.75, abs=0.01)


def test_nothing_is_taller_than_its_compartment(b):
    shelf = bookshelf(b, 1.0, 0.3, 1.8, 5)
    frame = np.eye(4)
    b.place(shelf, frame)
    for support in shelf.supports[:-1]:
        before = len(b.parts)
        scatter(b, support, frame, SHELF, 3)
        top = max((part.mesh.vertices[:, 2].max() for part in b.parts[before:]), default=0.0)
        assert top <= support.frame[2, 3] + support.clearance + 1e-6


def test_a_scene_that_is_too_large_is_refused(b):
    b.add(box((1, 1, 1)), b.material("wood"))
    b.triangles = 500_000
    with pytest.raises(ValueError, match="500000 triangles"):
        b.build("room", lambda rng: None)


def test_a_scene_without_light_is_refused(b):
    b.add(box((1, 1, 1)), b.material("wood"))
    with pytest.raises(ValueError, match="0 light groups"):
        b.build("room", lambda rng: None)
