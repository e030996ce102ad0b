"""What a scene is, without a renderer: meshes, materials, lights and cameras as plain numbers.

Metres, z up, angles in degrees, colours and radiances linear RGB with Rec.709 primaries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from intrinsic_flow.train.data.shards import MAX_LIGHT_GROUPS

Color = tuple[float, float, float]
LightGroup = Literal["sun", "sky", "ceiling", "lamps"]

# A scene's light groups in their fixed order; a view stores at most MAX_LIGHT_GROUPS of them.
LIGHT_GROUPS: tuple[LightGroup, ...] = ("sun", "sky", "ceiling", "lamps")


@dataclass(frozen=True, eq=False)
class Texture:
    """An albedo texture. pixels: (H, W, 3) uint8, square-root coded, `albedo = (pixels / 255) ** 2`; row 0 is v = 0.

    tileable: it repeats without a seam. Otherwise the renderer repeats it mirrored. alpha: (H, W) uint8, how much of it is
    there, for materials with a `cutoff`; None: everywhere all of it.
    """

    pixels: np.ndarray
    tileable: bool
    alpha: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Relief:
    """A height map, as slopes. slopes: (H, W, 2) float16, d height / du and d height / dv, root mean square 1 over both
    together; row 0 is v = 0. tileable as in `Texture`.
    """

    slopes: np.ndarray
    tileable: bool


@dataclass(frozen=True, eq=False)
class Material:
    """A surface: Lambertian reflection under a GGX coat, or bare metal, or a thin pane of glass.

    color: linear albedo, multiplies the texture. tile: metres that one repeat of the texture covers, for meshes whose uv
    are metres; None: uv (0, 0)..(1, 1) is one repeat. relief_tile: the same for the relief. relief_strength: root mean
    square slope (tangent of the tilt). roughness: GGX alpha = roughness ** 2. specular: reflectance of the coat at
    normal incidence (0.04 for common dielectrics, 0 = no coat). metallic: 1 = no diffuse reflection, the coat's
    reflectance is the colour. kind: what it is made of, a name of `train.data.shards` (skin, wood, print, ...).
    cutoff: where the texture's alpha (0..1) is below it, there is nothing. clear: light goes straight through, times the
    colour, but for what the coat reflects like a mirror. transmission: what light from behind gives, scattered through a
    thin sheet (a leaf, a curtain, a lamp's shade), as a share of what the same light from the front would; it takes on
    the albedo and is shading.
    """

    color: Color = (1.0, 1.0, 1.0)
    texture: Texture | None = None
    tile: float | None = None
    relief: Relief | None = None
    relief_tile: float | None = None
    relief_strength: float = 0.0
    roughness: float = 0.8
    specular: float = 0.04
    metallic: float = 0.0
    kind: str = "other"
    cutoff: float = 0.0
    clear: bool = False
    transmission: float = 0.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles. vertices: (V, 3) float64. faces: (F, 3) int64, counter-clockwise seen from outside. uv: (V, 2) float64,
    metres along the surface, or repeats for materials without `tile`. smooth: normals are averaged at vertices;
    otherwise every face is flat. normals: (V, 3) unit normals of a smooth mesh that brings its own.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    smooth: bool
    normals: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """A placed mesh. material: index into `Scene.materials`. thing: number of the object that it belongs to (all parts of
    a chair share one); views are scored by how many things they see.
    """

    mesh: Mesh
    material: int
    thing: int


@dataclass(frozen=True, eq=False)
class RectangleLight:
    """A one-sided area light. center, normal: (3,). width is horizontal (for floor and ceiling lights along y), height the
    other side. radiance: (3,) W/(m2 sr) in arbitrary units. texture: (H, W, 3) float32 factors on the radiance with mean
    1, row 0 at the top; None: uniform. portal: it stands outside a window in place of the sky, and the sun shines
    through it.
    """

    center: np.ndarray
    normal: np.ndarray
    width: float
    height: float
    radiance: np.ndarray
    group: LightGroup
    texture: np.ndarray | None = None
    portal: bool = False

    @property
    def up(self) -> np.ndarray:
        """(3,) the direction that its height follows, projected onto it: z, or y for lights that face up or down."""
        faces_vertically = abs(self.normal[2]) > 0.9 * np.linalg.norm(self.normal)
        return np.array([0.0, 1.0, 0.0] if faces_vertically else [0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class SphereLight:
    """A glowing ball. center: (3,); radiance: (3,)."""

    center: np.ndarray
    radius: float
    radiance: np.ndarray
    group: LightGroup


@dataclass(frozen=True, eq=False)
class Sun:
    """direction: (3,) unit vector along which the light travels. irradiance: (3,) on a surface that faces it.
    angular_radius: degrees; 0.27 is the real one, more is a sun behind haze.
    """

    direction: np.ndarray
    irradiance: np.ndarray
    angular_radius: float = 0.27


@dataclass(frozen=True, eq=False)
class Environment:
    """radiance: (H, 2H, 3) float32, latitude-longitude, row 0 is the zenith. rotation: degrees about z."""

    radiance: np.ndarray
    rotation: float = 0.0
    name: str = "procedural"


@dataclass(frozen=True, eq=False)
class Camera:
    """origin, target: (3,). fov: degrees across the larger side of the picture. aperture: radius of its lens in metres,
    0: a pinhole. focus: metres along the axis at which it is sharp.
    """

    origin: np.ndarray
    target: np.ndarray
    fov: float
    aperture: float = 0.0
    focus: float = 1.0

    def frame(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Unit vectors forward, right and up, (3,) each, and the extent of a pixel at distance 1. size: (height, width)."""
        forward = np.asarray(self.target, np.float64) - self.origin
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= max(np.linalg.norm(right), 1e-9)
        return forward, right, np.cross(right, forward), 2 * float(np.tan(np.radians(self.fov) / 2)) / max(size)


Light = RectangleLight | SphereLight


@dataclass(eq=False)
class Scene:
    """A finished scene. propose_camera draws a candidate (or None where the draw was no good); the same generator state
    gives the same camera. focus: points (3,) with sizes in metres that a camera may look at. isolated: one thing before
    black, which need not fill the picture nor be one of many. casters: things that are there for their shadows; of a
    scene that has some, one surface may fill the picture, and they hardly any of it. close: one or two things may fill it.
    wanted: things of which some have to be in the picture.
    """

    seed: int
    kind: str
    parts: list[Part]
    materials: list[Material]
    lights: list[Light]
    sun: Sun | None
    environment: Environment | None
    propose_camera: Callable[[np.random.Generator], Camera | None]
    focus: list[tuple[np.ndarray, float]] = field(default_factory=list)
    isolated: bool = False
    casters: frozenset[int] = frozenset()
    close: bool = False
    wanted: frozenset[int] = frozenset()

    @property
    def groups(self) -> tuple[LightGroup, ...]:
        """The light groups that shine here, in their fixed order.

        ValueError: none, or more than MAX_LIGHT_GROUPS.
        """
        present = {light.group for light in self.lights}
        present |= {"sun"} if self.sun is not None else set()
        present |= {"sky"} if self.environment is not None else set()
        groups = tuple(group for group in LIGHT_GROUPS if group in present)
        if not 1 <= len(groups) <= MAX_LIGHT_GROUPS:
            raise ValueError(f"scene {self.seed}: found {len(groups)} light groups, expected 1 to {MAX_LIGHT_GROUPS}")
        return groups
