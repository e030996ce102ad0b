"""Sunlight that enters through windows, sampled from the window: the light of the patches it draws.

A path that leaves a wall at random seldom runs into the small bright patch on the floor, and the light that the patch
throws back comes out as specks. Here a point of a window is drawn, followed along the sunlight to the patch, and joined
with the path: bidirectional path tracing with one light vertex (Veach 1997), weighted against the ordinary strategy.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

from collections.abc import Sequence

import drjit as dr
import mitsuba as mi
import numpy as np

from intrinsic_flow.train.rendering.scene import RectangleLight, Scene, Sun

# Fixed, so that the kernel does not depend on the scene.
MAX_PORTALS = 16


def rectangle_edges(light: RectangleLight) -> tuple[np.ndarray, np.ndarray]:
    """Full side vectors (width, height), each (3,), oriented as `assembly` places the rectangle."""
    normal = np.asarray(light.normal, np.float64) / np.linalg.norm(light.normal)
    across = np.cross(light.up, normal)
    across /= np.linalg.norm(across)
    return across * light.width, np.cross(normal, across) * light.height


def _seen_area(portal: RectangleLight, sun: Sun) -> float:
    """m2 of the portal's lit side as the sun sees it, negative where it shines on the back."""
    return float(np.cross(*rectangle_edges(portal)) @ np.asarray(sun.direction, np.float64))


class WindowSun:
    """The sun and the window portals that it shines through, on the device.

    area: m2 of portal as the sun sees it, all together. direction: along which sunlight travels. irradiance: on a surface
    that faces the sun. (No dataclass: Dr.Jit would take its fields for variables of the loop.)
    """

    def __init__(self, sun: Sun, portals: Sequence[RectangleLight]):
        """portals: those that face the sun. ValueError: more than MAX_PORTALS."""
        if not 1 <= len(portals) <= MAX_PORTALS:
            raise ValueError(f"sunlit windows: found {len(portals)}, expected 1 to {MAX_PORTALS}")
        areas = [_seen_area(portal, sun) for portal in portals]
        sides = [rectangle_edges(portal) for portal in portals]
        corners = [portal.center - sum(edges) / 2 for portal, edges in zip(portals, sides)]
        ends = np.full(MAX_PORTALS, 2.0)
        ends[: len(areas) - 1] = np.cumsum(areas)[:-1] / np.sum(areas)
        self.area = dr.opaque(mi.Float, float(np.sum(areas)))
        self.direction = mi.Vector3f(*(dr.opaque(mi.Float, float(v)) for v in sun.direction))
        self.irradiance = mi.Color3f(*(dr.opaque(mi.Float, float(v)) for v in sun.irradiance))
        self._ends = mi.Float(ends.astype(np.float32))
        self._corner, self._across, self._up = (
            mi.Float(np.ravel(table).astype(np.float32)) for table in (corners, *zip(*sides))
        )

    @classmethod
    def of(cls, scene: Scene) -> WindowSun | None:
        """None where there is no sun or no portal that it shines through."""
        if scene.sun is None:
            return None
        portals = [light for light in scene.lights if isinstance(light, RectangleLight) and light.portal]
        lit = [portal for portal in portals if _seen_area(portal, scene.sun) > 0]
        return cls(scene.sun, lit) if lit else None

    def sample(self, choice: mi.Float, point: mi.Point2f, direction: mi.Vector3f, active: mi.Bool) -> mi.Ray3f:
        """A ray of sunlight that starts on a portal, uniform over their area as the sun sees it; `direction` is the
        sunlight's, spread over the sun's disc.
        """
        index = dr.binary_search(0, MAX_PORTALS - 1, lambda i: dr.gather(mi.Float, self._ends, i, active) < choice)
        corner, across, up = (
            dr.gather(mi.Point3f, table, index, active) for table in (self._corner, self._across, self._up)
        )
        return mi.Ray3f(corner + across * point.x + up * point.y, direction)

    def density(self, cosine: mi.Float) -> mi.Float:
        """Density of `sample` per area of the surface that its rays end on, at `cosine` to the sunlight."""
        return cosine / self.area
