"""Reflection and texture lookup against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.scene import Material, Relief, Texture

pytestmark = pytest.mark.usefixtures("backend")

MATERIALS = {
    "matte": Material((0.5, 0.4, 0.3), specular=0.0),
    "glossy": Material((0.5, 0.4, 0.3), roughness=0.3),
    "metal": Material((0.8, 0.7, 0.5), roughness=0.5, metallic=1.0),
    "sheet": Material((0.5, 0.4, 0.3), roughness=0.5, transmission=0.6),
}


def hit_of(material: Material):
    """The surface at z = 0 seen from above."""
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import MaterialTable

    si = interaction([0.5], [0.5])
    return MaterialTable([material], np.zeros(1)).lookup(si, mi.Bool(True))


def interaction(u, v):
    import drjit as dr
    import mitsuba as mi

    si = dr.zeros(mi.SurfaceInteraction3f, len(u))
    si.uv = mi.Point2f(np.array(u, np.float32), np.array(v, np.float32))
    si.n = mi.Normal3f(0, 0, 1)
    si.sh_frame = mi.Frame3f(mi.Vector3f(0, 0, 1))
    si.wi = mi.Vector3f(0, 0, 1)
    si.dp_du, si.dp_dv = mi.Vector3f(1, 0, 0), mi.Vector3f(0, 1, 0)
    return si


def directions(count: int = 400_000):
    """Uniform over the sphere."""
    import mitsuba as mi

    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, count)
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(1 - z * z)
    return mi.Vector3f(*(np.float32(x) for x in (radius * np.cos(angle), radius * np.sin(angle), z)))


def incoming(degrees: float):
    import mitsuba as mi

    return mi.Vector3f(float(np.sin(np.radians(degrees))), 0.0, float(np.cos(np.radians(degrees))))


@pytest.mark.parametrize("name", MATERIALS)
@pytest.mark.parametrize("angle", [0, 40, 75])
def test_density_integrates_to_one_or_less(name, angle):
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import evaluate

    _, _, pdf = evaluate(hit_of(MATERIALS[name]), incoming(angle), directions(), mi.Bool(True))
    total = 4 * np.pi * np.array(pdf).mean()
    # What the coat sends below the horizon is missing.
    assert 0.9 < total < 1.02


@pytest.mark.parametrize("name", MATERIALS)
@pytest.mark.parametrize("angle", [0, 40, 75])
def test_sampling_agrees_with_integration(name, angle):
    import drjit as dr
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import evaluate, sample

    hit, wi = hit_of(MATERIALS[name]), incoming(angle)

    def reflected(wo):
        lambert, coat, pdf = evaluate(hit, wi, wo, mi.Bool(True))
        return hit.base * lambert + coat, pdf

    value, _ = reflected(directions())
    integral = 4 * np.pi * np.array(value).mean(1)
    rng = np.random.default_rng(1)
    choice, x, y = (mi.Float(rng.uniform(0, 1, 200_000).astype(np.float32)) for _ in range(3))
    value, pdf = reflected(sample(hit, wi, choice, mi.Point2f(x, y)))
    estimate = np.array(dr.select(pdf > 0, value / pdf, 0)).mean(1)
    np.testing.assert_allclose(estimate, integral, rtol=0.03)


def test_base_reflects_its_albedo_and_metal_has_no_base():
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import evaluate

    wo = directions()
    for name, material in MATERIALS.items():
        hit = hit_of(material)
        lambert, coat, _ = evaluate(hit, incoming(30), wo, mi.Bool(True))
        diffuse = 4 * np.pi * np.array(hit.base * lambert).mean(1)
        expected = np.zeros(3) if name == "metal" else np.array(material.color) * (1 + material.transmission)
        np.testing.assert_allclose(diffuse, expected, rtol=0.02)
        through = np.array(lambert)[np.array(wo.z) < 0]
        assert (through.max() > 0) == (name == "sheet")
        assert np.array(coat).min() >= 0
        assert (np.array(coat).max() > 0) == (name != "matte")


def albedo_at(material: Material, u, v) -> np.ndarray:
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import MaterialTable

    return np.array(MaterialTable([material], np.zeros(1)).lookup(interaction(u, v), mi.Bool(True)).base).T


@pytest.mark.parametrize("tileable", [True, False])
def test_texture_lookup_is_bilinear_and_repeats(tileable):
    rng = np.random.default_rng(2)
    pixels = rng.integers(60, 240, (6, 9, 3)).astype(np.uint8)
    material = Material((1.0, 1.0, 1.0), Texture(pixels, tileable), tile=0.5)
    u, v = rng.uniform(-3, 3, (2, 500))
    linear = (pixels / 255.0) ** 2
    tiled = linear if tileable else np.block([[[linear], [linear[:, ::-1]]], [[linear[::-1]], [linear[::-1, ::-1]]]])
    height, width = tiled.shape[:2]
    x, y = u / 0.5 * 9 - 0.5, v / 0.5 * 6 - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]

    def texel(row, column):
        return tiled[row % height, column % width]

    upper = texel(top, left) * (1 - fx) + texel(top, left + 1) * fx
    lower = texel(top + 1, left) * (1 - fx) + texel(top + 1, left + 1) * fx
    expected = (upper * (1 - fy) + lower * fy).clip(0.01, 0.9)
    np.testing.assert_allclose(albedo_at(material, u, v), expected, atol=2e-3)


def test_colour_tints_the_texture_and_albedo_stays_in_bounds():
    white = Texture(np.full((2, 2, 3), 255, np.uint8), tileable=True)
    found = albedo_at(Material((0.5, 2.0, 0.001), white), [0.3], [0.3])[0]
    np.testing.assert_allclose(found, [0.5, 0.9, 0.01], rtol=1e-3)


def test_relief_tilts_the_normal_against_the_slope():
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import MaterialTable

    slopes = np.zeros((4, 4, 2), np.float16)
    slopes[..., 0] = 1.0
    material = Material(relief=Relief(slopes, True), relief_tile=1.0, relief_strength=0.3)
    hit = MaterialTable([material], np.zeros(1)).lookup(interaction([0.4], [0.6]), mi.Bool(True))
    normal = np.array(hit.frame.n).ravel()
    np.testing.assert_allclose(normal, np.array([-0.3, 0, 1]) / np.hypot(0.3, 1), atol=1e-3)


def test_faces_have_their_own_materials():
    import drjit as dr
    import mitsuba as mi

    from intrinsic_flow.train.rendering.tracing.surface import MaterialTable

    table = MaterialTable([Material((0.1, 0.1, 0.1)), Material((0.6, 0.6, 0.6))], np.array([1, 0, 1]))
    si = interaction([0.5] * 3, [0.5] * 3)
    si.prim_index = dr.arange(mi.UInt32, 3)
    np.testing.assert_allclose(np.array(table.lookup(si, mi.Bool(True)).base)[0], [0.6, 0.1, 0.6], rtol=1e-3)


def test_a_sheet_never_scatters_more_than_it_gets():
    white = hit_of(Material((0.8, 0.8, 0.8), transmission=0.9))
    assert float(white.through[0]) == pytest.approx(0.95 / 0.8 - 1, rel=1e-4)
    assert float(hit_of(Material((0.3, 0.3, 0.3), transmission=0.9)).through[0]) == pytest.approx(0.9)
