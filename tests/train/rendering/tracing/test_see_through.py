"""Cut-outs and panes of glass, against scenes that have none: holes are cut into the mesh, light is dimmed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intrinsic_flow.train.rendering.scene import Camera, Environment, Material, Mesh, Part, Scene, Sun, Texture

SIDE = 24


def upright(x0: float, x1: float, y: float, u0: float, u1: float) -> Mesh:
    """A wall 2 m high at depth y that faces -y."""
    vertices = np.array([[x0, y, -1], [x1, y, -1], [x1, y, 1], [x0, y, 1]], float)
    uv = np.array([[u0, 0], [u1, 0], [u1, 1], [u0, 1]], float)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), uv, smooth=False)


def scene(parts: list[Part], materials: list[Material]) -> Scene:
    """A white wall behind whatever parts there are, in the sun and under an even sky."""
    wall = Part(upright(-2, 2, 1.0, 0, 1), 0, 0)
    slope = np.array([0.1, 1.0, -0.15])
    sun = Sun(slope / np.linalg.norm(slope), np.array([2.0, 2.0, 2.0]), 0.0)
    sky = Environment(np.full((16, 32, 3), 0.3, np.float32))
    made = Scene(
        1, "test", [wall, *parts], [Material((0.6, 0.6, 0.6), specular=0.0), *materials], [], sun, sky, lambda _: None
    )
    return made


CAMERA = Camera(np.array([0.3, -3.0, 0.2]), np.array([0.0, 1.0, 0.0]), 40.0)


def rendered(made: Scene):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.integrator import render_layers

    return render_layers(assemble(made), CAMERA, (SIDE, SIDE), 256, 1)


@pytest.fixture(scope="module")
def open_wall(backend):
    return rendered(scene([], []))


def test_a_cut_out_is_as_if_it_were_not_there(backend, open_wall):
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, :4] = 255
    half = Texture(np.full((8, 8, 3), 128, np.uint8), tileable=True, alpha=alpha)
    fence = Material((1.0, 1.0, 1.0), half, specular=0.0, cutoff=0.5)
    cut = rendered(scene([Part(upright(-0.5, 0.5, 0.0, 0, 1), 1, 1)], [fence]))
    # The texture is mirrored by nothing: its first half is there. Texels are blended across the wrap, so both scenes
    # differ at the seams by half a texel.
    board = Material((0.252, 0.252, 0.252), specular=0.0)
    solid = rendered(scene([Part(upright(-0.5, 0.0, 0.0, 0, 1), 1, 1)], [board]))
    assert not np.allclose(solid.albedo, open_wall.albedo, atol=0.05)
    agree = np.abs(cut.albedo - solid.albedo).max(-1) < 0.02
    assert agree.mean() > 0.85
    for group in range(2):
        first, second = cut.diffuse.mean(0)[group][agree], solid.diffuse.mean(0)[group][agree]
        assert first.mean() == pytest.approx(second.mean(), rel=0.06)


def test_what_lies_right_behind_a_hole_is_seen(backend, open_wall):
    # As skin under hair: a tenth of a millimetre.
    hole = Texture(np.full((4, 4, 3), 128, np.uint8), tileable=True, alpha=np.zeros((4, 4), np.uint8))
    sheet = Part(upright(-2, 2, 1.0 - 1e-4, 0, 1), 1, 1)
    seen = rendered(scene([sheet], [Material((1.0, 1.0, 1.0), hole, cutoff=0.5)]))
    np.testing.assert_allclose(seen.albedo, open_wall.albedo, atol=0.01)
    np.testing.assert_allclose(seen.diffuse.mean(0)[0].mean(), open_wall.diffuse.mean(0)[0].mean(), rtol=0.02)


def test_a_pane_dims_what_is_behind_and_mirrors_the_rest(backend, open_wall):
    pane = Material((0.5, 0.7, 0.9), clear=True)
    seen = rendered(scene([Part(upright(-1.9, 1.9, -1.0, 0, 1), 1, 1)], [pane]))
    middle = (slice(8, 16), slice(8, 16))
    np.testing.assert_allclose(seen.albedo[middle].mean((0, 1)) / 0.6, 1 - 2 * 0.04 / 1.04, atol=0.02)
    # Once on the way to the eye; the sun and most of the sky come to the wall through the pane, too.
    through = seen.diffuse.mean(0)[0][middle].mean((0, 1)) / open_wall.diffuse.mean(0)[0][middle].mean((0, 1))
    np.testing.assert_allclose(through, np.square(np.array([0.5, 0.7, 0.9]) * (1 - 2 * 0.04 / 1.04)), rtol=0.06)
    # The even sky, mirrored at nearly normal incidence.
    assert seen.residual.mean(0)[1][middle].mean() == pytest.approx(0.3 * 2 * 0.04 / 1.04, rel=0.15)


def test_a_lens_is_sharp_where_it_is_focused(backend):
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.integrator import render_layers

    stripes = Texture(np.tile(np.repeat([[40], [240]], 4, 0)[None], (8, 1, 3)).astype(np.uint8), tileable=True)
    made = scene([Part(upright(-1, 1, 0.0, 0, 8), 1, 1)], [Material((1.0, 1.0, 1.0), stripes, specular=0.0)])
    assembled = assemble(made)
    contrast = []
    for focus in (3.0, 1.5):
        camera = replace(CAMERA, origin=np.array([0, -3.0, 0]), target=np.zeros(3), aperture=0.15, focus=focus)
        albedo = render_layers(assembled, camera, (SIDE, SIDE), 64, 1).albedo
        contrast.append(float(albedo[8:16, 6:18].std()))
    assert contrast[0] > 1.5 * contrast[1]
