"""The demodulating path tracer against Mitsuba's own, and its layers against what they are defined as."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intrinsic_flow.train.rendering.scene import Camera, Environment, Material, Mesh, Part, Scene, Sun
from tests.train.rendering.conftest import INSIDE, box, window_room

SIDE, SAMPLES = 32, 512


def layers_of(scene: Scene, camera: Camera = INSIDE, samples: int = SAMPLES, seed: int = 1, **options):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.integrator import render_layers

    # Without Russian roulette the paths are as long as the reference's.
    return render_layers(assemble(scene), camera, (SIDE, SIDE), samples, seed, 5, roulette_depth=100, **options)


def reference(scene: Scene, camera: Camera = INSIDE) -> np.ndarray:
    """Mitsuba's `path` integrator on the same scene: (H, W, 3)."""
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.assembly import assemble

    sensor = {
        "type": "perspective",
        "fov": camera.fov,
        "fov_axis": "larger",
        "near_clip": 0.01,
        "to_world": mi.ScalarTransform4f().look_at(list(camera.origin), list(camera.target), [0, 0, 1]),
        "film": {
            "type": "hdrfilm",
            "width": SIDE,
            "height": SIDE,
            "pixel_format": "rgb",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent", "sample_count": SAMPLES},
    }
    path = mi.load_dict({"type": "path", "max_depth": 5, "rr_depth": 100})
    return np.array(mi.render(assemble(scene).scene, sensor=mi.load_dict(sensor), integrator=path, spp=SAMPLES, seed=5))


def blocks(image: np.ndarray) -> np.ndarray:
    """Means over 8x8 pixels."""
    return image.reshape(SIDE // 8, 8, SIDE // 8, 8, -1).mean((1, 3))


@pytest.mark.usefixtures("backend")
class TestAgainstPathTracer:
    """The image is the sum over groups of (albedo x shading + residual)."""

    @pytest.mark.parametrize("relief", [False, True])
    def test_window_and_lamp(self, relief):
        scene = window_room(sun=False, relief=relief)
        image, truth = layers_of(scene).image, reference(scene)
        assert image.mean() == pytest.approx(truth.mean(), rel=0.01)
        np.testing.assert_allclose(blocks(image), blocks(truth), rtol=0.06)

    def test_sunlit_room(self):
        # A plain path tracer's sun does not pass the portal: the two lights are rendered one after the other.
        truth = reference(window_room(sun=False, lamp=False)) + reference(window_room(portal=False, lamp=False))
        layers = layers_of(window_room(lamp=False))
        assert layers.image.mean() == pytest.approx(truth.mean(), rel=0.01)
        # The reference is the noisy one here: it seldom finds the patch of sunlight.
        np.testing.assert_allclose(blocks(layers.image), blocks(truth), rtol=0.3)
        assert np.median(np.abs(blocks(layers.image) / blocks(truth) - 1)) < 0.03

    def test_outdoors_under_sun_and_sky(self):
        sky = np.linspace(2.0, 0.2, 16, dtype=np.float32)[:, None, None] * np.ones((16, 32, 3), np.float32)
        sun = Sun(np.array([0.6, 0.0, -0.8]), np.array([6.0, 5.0, 4.0]), 0.0)
        materials = [Material((0.4, 0.3, 0.2)), Material((0.2, 0.5, 0.3), roughness=0.3)]
        parts = [box((0, 0, -0.1), (20, 20, 0.2), 0, 0), box((0, 0, 0.5), (1, 1, 1), 1, 1)]
        scene = Scene(0, "street", parts, materials, [], sun, Environment(sky), lambda rng: None)
        camera = Camera(np.array([3.0, -3.0, 1.8]), np.array([0.0, 0.0, 0.6]), 50.0)
        image, truth = layers_of(scene, camera).image, reference(scene, camera)
        assert image.mean() == pytest.approx(truth.mean(), rel=0.01)
        np.testing.assert_allclose(blocks(image), blocks(truth), rtol=0.05)

    @pytest.mark.parametrize("thickness", [1e-4, 0.6])
    def test_light_from_behind_through_a_sheet_or_a_solid(self, thickness):
        sky = np.linspace(2.0, 0.2, 16, dtype=np.float32)[:, None, None] * np.ones((16, 32, 3), np.float32)
        sun = Sun(np.array([0.0, -0.8, -0.6]), np.array([6.0, 5.0, 4.0]), 0.0)
        materials = [Material((0.4, 0.3, 0.2)), Material((0.2, 0.4, 0.1), specular=0.0, transmission=0.7)]
        parts = [box((0, 0, -0.1), (20, 20, 0.2), 0, 0), box((0, 0, 0.5), (1, thickness, 1), 1, 1)]
        scene = Scene(0, "street", parts, materials, [], sun, Environment(sky), lambda rng: None)
        camera = Camera(np.array([0.0, -3.0, 1.0]), np.array([0.0, 0.0, 0.5]), 30.0)
        layers, truth = layers_of(scene, camera), reference(scene, camera)
        assert layers.image.mean() == pytest.approx(truth.mean(), rel=0.01)
        np.testing.assert_allclose(blocks(layers.image), blocks(truth), rtol=0.05)


@pytest.mark.usefixtures("backend")
class TestLayers:
    def test_no_light_is_negative(self):
        layers = layers_of(window_room(relief=True), samples=16)
        assert layers.diffuse.min() >= 0
        assert layers.residual.min() >= 0

    def test_a_group_is_what_its_lights_give_alone(self):
        both = layers_of(window_room(sun=False))
        for index, alone in enumerate((window_room(sun=False, lamp=False), window_room(sun=False, portal=False))):
            single = layers_of(alone, seed=9)
            assert both.diffuse[:, index].mean() == pytest.approx(single.diffuse[:, 0].mean(), rel=0.02)
            assert both.residual[:, index].mean() == pytest.approx(single.residual[:, 0].mean(), rel=0.02)

    def test_shading_does_not_depend_on_first_albedo_nor_gloss(self):
        # Seen alone under the sky, a plane's shading is the sky's radiance, whatever the plane is made of.
        sky = np.full((16, 32, 3), 0.7, np.float32)
        camera = Camera(np.array([0.0, -3.0, 3.0]), np.array([0.0, 0.0, 0.0]), 30.0)
        for material in (Material((0.1, 0.2, 0.3)), Material((0.8, 0.8, 0.8), roughness=0.2)):
            scene = Scene(
                0, "street", [box((0, 0, -0.1), (20, 20, 0.2), 0, 0)], [material], [], None, None, lambda rng: None
            )
            layers = layers_of(replace(scene, environment=Environment(sky)), camera)
            np.testing.assert_allclose(layers.albedo, np.broadcast_to(material.color, layers.albedo.shape), rtol=1e-3)
            shading = layers.diffuse.mean(0)[0] / layers.albedo
            np.testing.assert_allclose(shading.mean((0, 1)), 0.7, rtol=0.01)

    def test_light_through_a_leaf_is_shading(self):
        # One sheet seen from below, the sky only above it: its shading is the transmitted share of the sky's radiance.
        sky = np.concatenate([np.full((8, 32, 3), 0.7), np.full((8, 32, 3), 1e-6)]).astype(np.float32)
        corners = np.array([[-9, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0]], float)
        leaf = Part(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), corners[:, :2], smooth=False), 0, 0)
        material = Material((0.2, 0.4, 0.1), specular=0.0, transmission=0.6)
        scene = Scene(0, "street", [leaf], [material], [], None, Environment(sky), lambda rng: None)
        layers = layers_of(scene, Camera(np.array([0.5, 0.0, -3.0]), np.array([0.0, 0.0, 0.0]), 30.0), samples=256)
        np.testing.assert_allclose(layers.albedo.mean((0, 1)), material.color, rtol=1e-3)
        np.testing.assert_allclose((layers.diffuse.mean(0)[0] / layers.albedo).mean((0, 1)), 0.6 * 0.7, rtol=0.03)
        assert layers.residual.max() == 0

    def test_matte_surfaces_have_no_residual(self):
        scene = window_room(sun=False, portal=False)
        matte = [replace(material, specular=0.0, metallic=0.0) for material in scene.materials]
        layers = layers_of(replace(scene, materials=matte), samples=64)
        # Pixels that show the lamp or the window have its light as residual.
        surface = layers.coverage == 1
        assert layers.residual[:, :, surface].max() == 0
        assert layers.residual[:, :, ~surface].max() > 0
        assert layers.diffuse[:, :, surface].mean() > 0

    def test_metal_has_no_albedo_and_all_its_light_is_residual(self):
        layers = layers_of(window_room(), samples=64)
        metal = (layers.albedo.max(-1) == 0) & (layers.coverage == 1)
        assert metal.sum() > 20
        assert layers.diffuse.mean(0).sum(0)[metal].max() == 0
        assert layers.residual.mean(0).sum(0)[metal].mean() > 0

    def test_same_seed_same_picture_and_light_does_not_move_the_albedo(self):
        first, second = layers_of(window_room(), samples=8), layers_of(window_room(), samples=8)
        np.testing.assert_array_equal(first.diffuse, second.diffuse)
        np.testing.assert_array_equal(first.residual, second.residual)
        other = layers_of(window_room(sun=False), samples=8)
        np.testing.assert_array_equal(first.albedo, other.albedo)
        assert not np.array_equal(first.diffuse[:, 0], other.diffuse[:, 0])

    def test_any_seed_is_good_and_another_one_is_another_picture(self):
        first, second = (
            layers_of(window_room(), samples=4, seed=seed) for seed in (10**8 * 131 * 17, 10**8 * 131 * 17 + 1)
        )
        assert not np.array_equal(first.diffuse, second.diffuse)
        assert first.albedo.mean() == pytest.approx(second.albedo.mean(), rel=0.03)

    def test_strips_of_a_large_picture_join(self, monkeypatch):
        from intrinsic_flow.train.rendering.tracing import integrator

        whole = layers_of(window_room(sun=False), samples=64)
        monkeypatch.setattr(integrator, "_MAX_LANES", 5 * SIDE * 64)
        strips = layers_of(window_room(sun=False), samples=64)
        np.testing.assert_allclose(strips.albedo, whole.albedo, atol=0.2)
        assert np.abs(strips.albedo - whole.albedo).mean() < 0.01
        assert strips.image.mean() == pytest.approx(whole.image.mean(), rel=0.03)

    def test_distance_and_coverage(self):
        layers = layers_of(window_room(sun=False), samples=64)
        assert layers.distance[layers.coverage == 1].min() > 0.5
        assert layers.distance.max() < 6.5
        # The window shows the portal, which is no surface.
        assert (layers.coverage == 0).any()

    def test_samples_have_to_fill_the_buckets(self):
        with pytest.raises(ValueError, match="samples: found 6"):
            layers_of(window_room(), samples=6)


@pytest.mark.usefixtures("backend")
def test_sampling_windows_finds_the_same_light_with_less_noise(monkeypatch):
    from intrinsic_flow.train.rendering.tracing.fireflies import relative_noise
    from intrinsic_flow.train.rendering.tracing.window_sun import WindowSun

    sampled = layers_of(window_room(portal=True, lamp=False), samples=256)
    monkeypatch.setattr(WindowSun, "of", classmethod(lambda cls, scene: None))
    plain = layers_of(window_room(portal=True, lamp=False), samples=256)
    # The ceiling never sees the sun itself, only what the patch on the floor throws back.
    upper = np.zeros((SIDE, SIDE), bool)
    upper[:4] = True
    assert sampled.diffuse[:, 0][:, upper].mean() == pytest.approx(plain.diffuse[:, 0][:, upper].mean(), rel=0.15)
    assert relative_noise(sampled.diffuse[:, 0], upper) < 0.75 * relative_noise(plain.diffuse[:, 0], upper)


@pytest.mark.usefixtures("backend")
def test_a_wider_sun_softens_shadows_and_keeps_the_light():
    parts = [box((0, 0, -0.1), (20, 20, 0.2), 0, 0), box((0, 0, 1.5), (3, 3, 0.1), 0, 1)]
    camera = Camera(np.array([0.0, -3.0, 1.2]), np.array([0.0, -1.0, 0.0]), 60.0)

    def shading(radius: float) -> np.ndarray:
        sun = Sun(np.array([0.0, 0.0, -1.0]), np.full(3, np.pi), radius)
        scene = Scene(0, "street", parts, [Material((0.02, 0.02, 0.02))], [], sun, None, lambda rng: None)
        layers = layers_of(scene, camera, samples=256)
        ground = layers.normal[..., 2] > 0.99 * layers.coverage
        return (layers.diffuse.mean(0)[0] / np.maximum(layers.albedo, 1e-3)).mean(-1)[ground & (layers.coverage == 1)]

    sharp, soft = shading(0.0), shading(10.0)
    assert soft.mean() == pytest.approx(sharp.mean(), rel=0.05)
    penumbra = [((light > 0.1) & (light < 0.9)).sum() for light in (sharp, soft)]
    assert penumbra[1] > 1.5 * penumbra[0]


@pytest.mark.usefixtures("backend")
def test_cameras_share_a_kernel():
    # Each kernel is compiled for seconds, as long as a view takes to trace.
    import drjit as dr

    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.integrator import render_layers

    assembled = assemble(window_room(sun=False))

    def kernel(camera: Camera) -> object:
        with dr.scoped_set_flag(dr.JitFlag.KernelHistory, True):
            dr.kernel_history_clear()
            render_layers(assembled, camera, (SIDE, SIDE), 4, 1, 5, roulette_depth=100)
            return max(dr.kernel_history(), key=lambda entry: entry.get("operation_count", 0))["hash"]

    assert kernel(replace(INSIDE, fov=INSIDE.fov + 7)) == kernel(INSIDE)
