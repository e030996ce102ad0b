from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.scene import Environment
from intrinsic_flow.train.rendering.world.builder import SceneBuilder
from intrinsic_flow.train.rendering.world.geometry import rotation, translation
from intrinsic_flow.train.rendering.world.lighting import (
    LUMINANCE,
    PORTAL_DISTANCE,
    WhiteBalance,
    balance,
    balance_white,
    bulb,
    flux,
    glowing_panel,
    make_sun,
    planckian,
    sun_kelvin,
    travel_direction,
    window_portal,
)


def builder() -> SceneBuilder:
    return SceneBuilder(0, Library.load(None))


def test_black_bodies_turn_from_red_to_blue_at_luminance_one():
    temperatures = (1800, 2700, 4000, 6504, 9000, 20000)
    colors = np.array([planckian(kelvin) for kelvin in temperatures])
    np.testing.assert_allclose(colors @ LUMINANCE, 1)
    assert (np.diff(colors[:, 0] / colors[:, 2]) < 0).all()


def test_a_black_body_of_6504_kelvin_is_nearly_rec709_white():
    np.testing.assert_allclose(planckian(6504), 1, atol=0.06)


def test_planckian_agrees_with_tabulated_chromaticity():
    """CIE 1931 xy of Planck's law at 2856 K (illuminant A): 0.4476, 0.4074."""
    rgb = planckian(2856)
    to_xyz = np.linalg.inv(
        [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
    )
    xyz = to_xyz @ rgb
    np.testing.assert_allclose(xyz[:2] / xyz.sum(), (0.4476, 0.4074), atol=2e-3)


def test_complete_white_balance_makes_its_own_light_white():
    np.testing.assert_allclose(WhiteBalance(3000, 1.0).color(3000), 1, atol=1e-9)
    assert WhiteBalance(3000, 0.6).color(3000)[0] > 1
    assert WhiteBalance(3000, 1.0).color(6500)[2] > 1


def test_the_sun_gets_whiter_and_travels_down():
    assert sun_kelvin(5) < sun_kelvin(30) < sun_kelvin(60)
    direction = travel_direction(90, 30)
    np.testing.assert_allclose(direction, (0, -np.cos(np.pi / 6), -0.5), atol=1e-12)
    sun = make_sun(builder(), 10, 40, 7.0, WhiteBalance(5400, 1.0))
    assert sun.irradiance @ LUMINANCE == pytest.approx(7.0)
    assert sun.direction[2] < 0


def test_flux_of_lights_is_what_was_asked_for():
    warm = planckian(3000)
    assert flux(bulb((0, 0, 1), 0.05, 12.0, warm)) == pytest.approx(12)
    assert flux(glowing_panel((0, 0, 2), (0, 0, -1), 0.6, 1.2, 5.0, warm, "ceiling")) == pytest.approx(5)


def test_balance_scales_some_groups_together():
    b = builder()
    b.lights = [
        bulb((0, 0, 1), 0.05, 1.0, np.ones(3)),
        bulb((1, 0, 1), 0.05, 3.0, np.ones(3)),
        bulb((2, 0, 1), 0.1, 5.0, np.ones(3), "ceiling"),
    ]
    balance(b, ("lamps",), 8.0)
    np.testing.assert_allclose([flux(light) for light in b.lights], (2, 6, 5))


def test_a_portal_stands_outside_faces_in_and_covers_its_opening():
    b = builder()
    frame = rotation("z", -90) @ translation(0, 2.0, 1.5)
    view = np.ones((4, 6, 3), np.float32)
    portal = window_portal(b, frame, 1.2, 1.0, 0.2, np.ones(3), view)
    np.testing.assert_allclose(portal.center, (2.2 + PORTAL_DISTANCE, 0, 1.5), atol=1e-12)
    np.testing.assert_allclose(portal.normal, (-1, 0, 0), atol=1e-12)
    assert portal.portal and portal.group == "sky"
    # A line through the opening's edge at 70 degrees to the wall's normal still meets it.
    reach = 2 * PORTAL_DISTANCE * np.tan(np.radians(70))
    assert portal.width >= 1.2 + reach and portal.height >= 1.0 + reach
    assert portal.texture is view


def test_white_balance_of_daylight_takes_the_cast_off_sun_and_sky_alike():
    sky = np.full((16, 32, 3), (0.5, 0.8, 1.6), np.float32)
    casts = []
    for seed in range(6):
        b = SceneBuilder(seed, Library.load(None))
        b.environment = Environment(sky)
        b.sun = make_sun(b, 0, 30, 1.0, WhiteBalance(5400, 1.0))
        before = b.sun.irradiance.copy()
        balance_white(b)
        after = b.environment.radiance[0, 0]
        np.testing.assert_allclose(after / sky[0, 0], b.sun.irradiance / before, rtol=1e-4)
        casts.append(after[2] / after[0])
    assert max(casts) < 2.4 and len(set(np.round(casts, 4))) == 6
