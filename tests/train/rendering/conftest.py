"""The renderer's backend, and a small scene built by hand that needs no generator."""

from __future__ import annotations

import numpy as np
import pytest

from intrinsic_flow.errors import MissingExtraError
from intrinsic_flow.train.rendering.scene import (
    Camera,
    Material,
    Mesh,
    Part,
    RectangleLight,
    Relief,
    Scene,
    SphereLight,
    Sun,
    Texture,
)
from intrinsic_flow.train.rendering.tracing.llvm import LlvmError, start_backend


@pytest.fixture(scope="session")
def backend() -> None:
    """Starts Mitsuba; skips where it cannot run."""
    try:
        start_backend(threads=1)
    except (LlvmError, MissingExtraError) as error:
        pytest.skip(f"the renderer cannot run here: {error}")


def box(center: tuple[float, float, float], size: tuple[float, float, float], material: int, thing: int) -> Part:
    """A plain box with uv in metres."""
    middle, half = np.array(center, float), np.array(size, float) / 2
    vertices, faces, uv = [], [], []
    for axis in range(3):
        for sign in (-1, 1):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            start = len(vertices)
            for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corner = middle.copy()
                corner[axis] += sign * half[axis]
                corner[first] += i * half[first]
                corner[second] += j * half[second]
                vertices.append(corner)
                uv.append([i * half[first], j * half[second]])
            around = [[start, start + 1, start + 2], [start, start + 2, start + 3]]
            faces += around if sign > 0 else [face[::-1] for face in around]
    return Part(Mesh(np.array(vertices), np.array(faces), np.array(uv), smooth=False), material, thing)


def window_room(
    sun: bool = True, portal: bool = True, lamp: bool = True, relief: bool = False, sun_radius: float = 0.0
) -> Scene:
    """A room of 4 x 4 x 2.6 m with a window in +x, a textured floor, a glossy red box and a metal one."""
    rng = np.random.default_rng(0)
    texture = Texture(rng.integers(60, 220, (32, 32, 3)).astype(np.uint8), tileable=True)
    bumps = Relief(rng.normal(size=(64, 64, 2)).astype(np.float16), tileable=True)
    materials = [
        Material((0.7, 0.68, 0.6), roughness=0.9),
        Material((0.8, 0.8, 0.8), texture, 1.0, bumps if relief else None, 0.5, 0.1, roughness=0.4),
        Material((0.5, 0.1, 0.1), roughness=0.25),
        Material((0.8, 0.7, 0.5), metallic=1.0, roughness=0.3, kind="metal"),
    ]
    wall = 2.075
    parts = [
        box((0, 0, -0.075), (5, 5, 0.15), 1, 0),
        box((0, 0, 2.675), (5, 5, 0.15), 0, 1),
        box((-wall, 0, 1.3), (0.15, 4, 2.6), 0, 2),
        box((0, wall, 1.3), (4, 0.15, 2.6), 0, 3),
        box((0, -wall, 1.3), (4, 0.15, 2.6), 0, 4),
        box((wall, 0, 0.45), (0.15, 4, 0.9), 0, 5),
        box((wall, 0, 2.35), (0.15, 4, 0.5), 0, 5),
        box((wall, -1.5, 1.5), (0.15, 1, 1.2), 0, 5),
        box((wall, 1.5, 1.5), (0.15, 1, 1.2), 0, 5),
        box((0, 0.3, 0.4), (0.8, 0.8, 0.8), 2, 6),
        box((-0.9, -0.7, 0.3), (0.6, 0.6, 0.6), 3, 7),
    ]
    lights: list = []
    if lamp:
        lights.append(SphereLight(np.array([-1.0, 1.0, 2.0]), 0.1, np.array([20.0, 14.0, 8.0]), "lamps"))
    if portal:
        shade = np.linspace(1.5, 0.5, 4, dtype=np.float32)[:, None, None] * np.ones((4, 4, 3), np.float32)
        place, normal = np.array([wall + 0.5, 0, 1.5]), np.array([-1.0, 0, 0])
        lights.append(RectangleLight(place, normal, 3.0, 2.2, np.array([3.0, 3.4, 4.0]), "sky", shade, portal=True))
    direction = np.array([-1.0, -0.25, -0.7])
    direction /= np.linalg.norm(direction)
    light = Sun(direction, np.array([30.0, 27.0, 22.0]), sun_radius) if sun else None
    return Scene(0, "room", parts, materials, lights, light, None, lambda rng: INSIDE)


INSIDE = Camera(np.array([-1.7, -1.7, 1.5]), np.array([0.5, 0.4, 0.9]), 70.0)
