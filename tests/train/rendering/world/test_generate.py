from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance.gltf import Model, ModelPart
from intrinsic_flow.train.rendering.appearance.patterns.mineral import USED_ALBEDO
from intrinsic_flow.train.rendering.scene import Environment, RectangleLight, Relief, Scene, Texture
from intrinsic_flow.train.rendering.world.builder import MAX_TRIANGLES, SceneBuilder
from intrinsic_flow.train.rendering.world.generate import KINDS, compose, generate
from intrinsic_flow.train.rendering.world.geometry import box, face_normals, moved, translation
from intrinsic_flow.train.rendering.world.real import photographer, prop_of

SEEDS = range(48)


class PlainLibrary:
    """The library's interface with small pictures, so that all these scenes take seconds."""

    def texture(self, rng, role):
        pixels = (rng.uniform(0.3, 0.8, (1, 1, 3)) * 255 + rng.normal(0, 9, (16, 16, 3))).clip(0, 255).astype(np.uint8)
        return Texture(pixels, role not in ("rug", "book", "picture", "label"))

    def relief(self, rng, role, texture=None):
        return Relief(rng.normal(0, 0.7, (16, 16, 2)).astype(np.float16), True)

    def environment(self, rng, kind):
        return Environment(np.ones((8, 16, 3), np.float32), float(rng.uniform(0, 360)))

    def window_view(self, rng):
        return np.ones((8, 8, 3), np.float32)

    def model(self, rng):
        return None

    def real_model(self, rng, *folders, name=""):
        """Boxes: people of three materials, things 0.2 m high, trees whose leaves are cut out."""
        size = {"people": (0.5, 0.3, 1.7), "foliage": (2.0, 2.0, 4.0), "ycb": (0.08, 0.08, 0.2)}.get(
            folders[0], (0.4, 0.3, 0.4)
        )
        if folders[0] == "people":
            eyes = ModelPart(moved(box((0.1, 0.02, 0.02)), translation(0, -0.15, 1.6)), (0.1, 0.1, 0.1), None, "eye")
            return Model("person", (ModelPart(box(size), (0.5, 0.3, 0.2), None, "skin"), eyes))
        alpha = np.full((4, 4), 255, np.uint8)
        leaves = Texture(np.full((4, 4, 3), 120, np.uint8), True, alpha)
        cutoff = 0.5 if folders[0] == "foliage" else 0.0
        return Model("thing", (ModelPart(box(size), (0.5, 0.5, 0.5), leaves, "scan", cutoff=cutoff),))

    def print(self, rng, name=""):
        return Texture(np.full((40, 20, 3), 120, np.uint8), False)


@pytest.fixture(scope="module")
def made() -> list[tuple[Scene, SceneBuilder]]:
    library = PlainLibrary()
    return [compose(seed, library) for seed in SEEDS]


def test_all_kinds_of_scene_come_up(made):
    kinds = Counter(scene.kind for scene, _ in made)
    assert kinds["room"] > 4 and kinds["portrait"] > 3 and kinds["scans"] > 3 and len(kinds) >= 9
    assert set(kinds) <= set(KINDS)


@pytest.mark.parametrize("folder", ["people", "ycb"])
def test_models_of_another_size_keep_their_pictures_and_normals(folder):
    b = SceneBuilder(5, PlainLibrary())
    model = PlainLibrary().real_model(b.rng, folder)
    up = np.tile([0.0, 0.0, 1.0], (len(model.parts[0].mesh.vertices), 1))
    part = replace(model.parts[0], mesh=replace(model.parts[0].mesh, smooth=True, normals=up))
    mesh, _ = prop_of(b, Model("thing", (part,)), folder, 1.25).pieces[0]
    np.testing.assert_allclose(mesh.vertices, 1.25 * part.mesh.vertices)
    np.testing.assert_array_equal(mesh.uv, part.mesh.uv)
    np.testing.assert_array_equal(mesh.normals, up)


@pytest.mark.parametrize("kind", ["portrait", "people", "scans", "pattern", "print", "dappled", "color"])
def test_kinds_show_what_they_are_for(kind):
    shown = {"portrait": "skin", "people": "skin", "scans": "scan", "print": "print", "dappled": "foliage"}
    for seed in range(3):
        scene = generate(seed, PlainLibrary(), (kind,))
        assert scene.kind == kind
        made_of = {scene.materials[part.material].kind for part in scene.parts}
        assert kind not in shown or shown[kind] in made_of


def test_people_are_photographed_from_a_photographers_height():
    rng = np.random.default_rng(0)
    face = np.array([1.0, 2.0, 1.6])
    places = np.array([photographer(rng, face, 0.6) for _ in range(300)])
    rise = np.degrees(np.arctan2(places[:, 2] - 1.6, np.linalg.norm(places[:, :2] - face[:2], axis=1)))
    assert np.abs(rise).max() < 33 and np.median(np.abs(rise)) < 10
    assert places[:, 2].min() > 0.75 and places[:, 2].max() < 1.95


def test_kinds_can_be_chosen():
    library = PlainLibrary()
    assert {generate(seed, library, ("specimen", "street")).kind for seed in range(6)} == {"specimen", "street"}


def test_a_specimen_is_one_thing_under_bare_lamps():
    for seed in range(30):
        scene = generate(seed, PlainLibrary(), ("specimen",))
        assert scene.isolated and scene.sun is None and scene.environment is None
        assert 1 <= len(scene.lights) <= 2 and scene.groups in (("lamps",), ("ceiling", "lamps"))
        # The thing, and a dark cloth at most.
        assert len({part.thing for part in scene.parts}) <= 2
        cloth = [scene.materials[part.material] for part in scene.parts if part.thing == 1]
        assert all(USED_ALBEDO * max(material.color) <= 0.05001 for material in cloth)


def test_a_sunlit_scene_has_shadows_where_cameras_look():
    looked_at = 0
    for seed in range(12):
        scene = generate(seed, PlainLibrary(), ("sunlit",))
        (caster,) = scene.casters
        assert caster in {part.thing for part in scene.parts} and not scene.isolated
        assert scene.environment is not None and (scene.sun is not None or scene.groups[-1] == "lamps")
        rng = np.random.default_rng(seed)
        cameras = [camera for camera in (scene.propose_camera(rng) for _ in range(48)) if camera is not None]
        assert cameras
        points = np.concatenate([part.mesh.vertices for part in scene.parts if part.thing == caster])
        if scene.sun is not None:
            shadow = points - points[:, 2:] * scene.sun.direction / scene.sun.direction[2]
            # Light passes the casters on its way down: their shadows lie on the ground or before it, on the wall.
            assert np.isfinite(shadow).all() and (points[:, 2] > 0).any()
            looked_at += min(np.linalg.norm(shadow - camera.target, axis=1).min() for camera in cameras) < 6
    assert looked_at > 3


def test_scenes_fit_the_budget_and_are_full_of_things(made):
    for scene, _ in made:
        assert sum(len(part.mesh.faces) for part in scene.parts) <= MAX_TRIANGLES
    rooms = [len({part.thing for part in scene.parts}) for scene, _ in made if scene.kind == "room"]
    assert np.median(rooms) > 25


def test_light_groups_are_valid_and_positive(made):
    seen = Counter()
    for scene, _ in made:
        groups = scene.groups
        seen.update(groups)
        assert scene.sun is None or scene.sun.direction[2] < 0
        for light in scene.lights:
            assert np.isfinite(light.center).all() and np.min(light.radiance) > 0
            if isinstance(light, RectangleLight):
                assert np.linalg.norm(light.normal) == pytest.approx(1)
        portals = sum(isinstance(light, RectangleLight) and light.portal for light in scene.lights)
        assert portals <= 16
        if scene.kind == "room":
            assert scene.environment is None
            assert (portals > 0) == ("sky" in groups)
    assert set(seen) == {"sun", "sky", "ceiling", "lamps"}


def test_meshes_are_sound(made):
    for scene, _ in made:
        for part in scene.parts:
            mesh = part.mesh
            assert np.isfinite(mesh.vertices).all() and np.isfinite(mesh.uv).all()
            assert mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)
            assert np.linalg.norm(face_normals(mesh), axis=1).min() > 1e-14
            assert 0 <= part.material < len(scene.materials)


def test_the_same_seed_makes_the_same_scene(made):
    library = PlainLibrary()
    for seed in (0, 4, 6):
        first, second = made[seed][0], generate(seed, library)
        assert len(first.parts) == len(second.parts)
        for a, b in zip(first.parts, second.parts):
            assert a.thing == b.thing and a.material == b.material
            np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
            np.testing.assert_array_equal(a.mesh.uv, b.mesh.uv)
        for a, b in zip(first.materials, second.materials):
            assert a.color == b.color and a.roughness == b.roughness and a.tile == b.tile
        for a, b in zip(first.lights, second.lights):
            np.testing.assert_array_equal(a.radiance, b.radiance)
        cameras = [scene.propose_camera(np.random.default_rng(5)) for scene in (first, second)]
        assert (cameras[0] is None) == (cameras[1] is None)
        if cameras[0] is not None:
            np.testing.assert_array_equal(cameras[0].origin, cameras[1].origin)


def test_other_seeds_make_other_scenes(made):
    extents = {float(sum(np.abs(part.mesh.vertices).sum() for part in scene.parts)) for scene, _ in made}
    assert len(extents) == len(made)


def test_cameras_come_often_and_stand_in_the_open(made):
    for scene, builder in made:
        rng = np.random.default_rng(0)
        cameras = [camera for camera in (scene.propose_camera(rng) for _ in range(40)) if camera is not None]
        assert len(cameras) >= (6 if scene.casters else 10), f"seed {scene.seed}: {scene.kind}"
        for camera in cameras:
            assert (14 if scene.isolated or scene.close else 28) <= camera.fov <= 85
            assert np.isfinite(camera.origin).all() and np.linalg.norm(camera.target - camera.origin) > 0.1
            assert not builder.blocked(camera.origin, 0.02)


class Surfaces:
    """All triangles of a scene, to look down on."""

    def __init__(self, scene: Scene) -> None:
        self.parts = [part.mesh.vertices[part.mesh.faces] for part in scene.parts]
        self.things = np.array([part.thing for part in scene.parts])
        self.low = np.array([corners.min((0, 1)) for corners in self.parts])
        self.high = np.array([corners.max((0, 1)) for corners in self.parts])

    def below(self, point: np.ndarray, skip: int) -> float:
        """Height of the highest surface of another thing below a point (or up to 1 cm above it); -inf: there is none."""
        over = (self.low[:, :2] <= point[:2]) & (self.high[:, :2] >= point[:2])
        highest = -np.inf
        for index in np.flatnonzero(over.all(1) & (self.low[:, 2] < point[2] + 0.01) & (self.things != skip)):
            a, b, c = self.parts[index].transpose(1, 0, 2)
            (ux, uy), (vx, vy), (px, py) = (b - a)[:, :2].T, (c - a)[:, :2].T, (point[:2] - a[:, :2]).T
            area = ux * vy - uy * vx
            area[np.abs(area) < 1e-12] = np.nan
            s, t = (px * vy - py * vx) / area, (ux * py - uy * px) / area
            heights = a[:, 2] + s * (b - a)[:, 2] + t * (c - a)[:, 2]
            hit = (s >= 0) & (t >= 0) & (s + t <= 1) & (heights <= point[2] + 0.01)
            highest = max(highest, heights[hit].max(initial=-np.inf))
        return float(highest)


def test_things_rest_on_something(made):
    """Whatever does not hang has, below some of its lowest points, a surface of another thing within 1 cm."""
    for scene, builder in made[:20]:
        surfaces = Surfaces(scene)
        for thing in {part.thing for part in scene.parts} - builder.hung - scene.casters:
            points = np.concatenate([part.mesh.vertices for part in scene.parts if part.thing == thing])
            low = points[:, 2].min()
            if low < 0.011:
                continue
            feet = points[points[:, 2] < low + 0.003]
            middle = feet.mean(0)
            # A little inwards: feet that stand flush with an edge count as well.
            tries = [middle, *(0.98 * feet[:: max(1, len(feet) // 6)] + 0.02 * middle)]
            found = any(surfaces.below(point * (1, 1, 0) + (0, 0, low), thing) > low - 0.011 for point in tries)
            assert found, f"seed {scene.seed}: thing {thing} floats at {low:.3f} m"


def test_big_things_of_rooms_do_not_stand_in_each_other(made):
    rooms = [(scene, builder) for scene, builder in made if scene.kind == "room"]
    assert len(rooms) > 4
    for room, builder in rooms:
        blocks = {}
        for thing in {part.thing for part in room.parts} - builder.hung:
            points = np.concatenate([part.mesh.vertices for part in room.parts if part.thing == thing])
            low, high = points.min(0), points.max(0)
            if low[2] < 0.02 and high[2] > 0.3 and (high - low)[:2].max() < 2.4:  # stands on the floor, is no wall
                blocks[thing] = extents(points)
        for (a, (a_low, a_high)), (b, (b_low, b_high)) in combinations(blocks.items(), 2):
            overlaps = (a_low <= b_high - 0.03) & (b_low <= a_high - 0.03)
            assert not overlaps.all(), f"seed {room.seed}: {a} and {b}"


def extents(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a thing seen from above begins and ends along each of 16 directions."""
    angles = np.linspace(0, np.pi, 16, endpoint=False)
    along = points[:, :2] @ np.stack([np.cos(angles), np.sin(angles)])
    return along.min(0), along.max(0)
