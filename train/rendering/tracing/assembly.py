"""Scene -> Mitsuba scene: one mesh with all parts, lights, and tables that tell the integrator which light is whose.

Every scene holds the same kinds of lights (unused ones are black, tiny and far below the ground, and are never
sampled), so that all scenes share one compiled kernel.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import drjit as dr
import mitsuba as mi
import numpy as np

from intrinsic_flow.train.rendering.appearance.assets import MAP_SIZE
from intrinsic_flow.train.rendering.scene import Camera, Light, LightGroup, Mesh, RectangleLight, Scene, SphereLight, Sun
from intrinsic_flow.train.rendering.tracing.light_table import MAX_LIGHTS, LightTable
from intrinsic_flow.train.rendering.tracing.surface import MaterialTable, register
from intrinsic_flow.train.rendering.tracing.window_sun import WindowSun
from intrinsic_flow.train.rendering.world.geometry import face_normals, vertex_normals

# Scenes have room for so many lights: kernels depend on the number.
_LIGHT_COUNTS = (2, 6, 14, 30, 60, 120, MAX_LIGHTS - 8)
# What is nobody's light stands at these corners of the world: kernels depend on the extent of a scene, too.
_FAR = 900.0
_FAR_BELOW = np.array([0.0, 0.0, -_FAR])
_NOTHING = np.zeros(3)
# The first two of all surfaces.
SKY, LAMP = 0, 1


@dataclass(frozen=True, eq=False)
class AssembledScene:
    """What the integrator needs. scene: the Mitsuba scene; materials: its surface table; lights: which there are and whose;
    sun_spread: tangent of the sun's angular radius; window_sun: sunlight through portals, None where there is none;
    groups: names, in the order of the indices; things: (F,) int, the thing that each face belongs to. surfaces: (what it is
    made of, thing) by the numbers that the tracer gives for first hits.
    """

    scene: mi.Scene
    materials: MaterialTable
    lights: LightTable
    sun_spread: mi.Float
    window_sun: WindowSun | None
    groups: tuple[LightGroup, ...]
    things: np.ndarray
    surfaces: tuple[tuple[str, int], ...]

    def hits(self, rays: mi.Ray3f) -> tuple[np.ndarray, np.ndarray]:
        """Distance (inf: nothing hit) and thing (-1: nothing, or a light) where rays end first; both (N,)."""
        found = self.scene.ray_intersect_preliminary(rays)
        distance = np.array(found.t)
        shape = np.array(dr.reinterpret_array(mi.UInt32, found.shape))
        world = np.array(dr.reinterpret_array(mi.UInt32, mi.ShapePtr(self._world)))[0]
        face = np.minimum(np.array(found.prim_index), len(self.things) - 1)
        thing = np.where(np.isfinite(distance) & (shape == world), self.things[face], -1)
        return distance, thing

    @property
    def _world(self) -> mi.Shape:
        return next(shape for shape in self.scene.shapes() if shape.id() == "world")


def _shaded(mesh: Mesh) -> tuple[Mesh, np.ndarray]:
    """The mesh and its vertex normals (V, 3); a flat one gets vertices of its own for every face."""
    if mesh.smooth:
        return mesh, vertex_normals(mesh) if mesh.normals is None else mesh.normals
    normals = np.repeat(face_normals(mesh), 3, axis=0)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    faces = np.arange(3 * len(mesh.faces)).reshape(-1, 3)
    return Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), faces, mesh.uv[mesh.faces].reshape(-1, 2), smooth=False), normals


def _world_mesh(scene: Scene) -> tuple[mi.Mesh, np.ndarray, np.ndarray]:
    """The one mesh, and material and thing of each face."""
    vertices, normals, uvs, faces, materials, things = [], [], [], [], [], []
    start = 0
    for part in scene.parts:
        mesh, normal = _shaded(part.mesh)
        vertices.append(mesh.vertices)
        normals.append(normal)
        uvs.append(mesh.uv)
        faces.append(mesh.faces + start)
        materials.append(np.full(len(mesh.faces), part.material))
        things.append(np.full(len(mesh.faces), part.thing))
        start += len(mesh.vertices)
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict({"type": "intrinsic_materials"})
    count = sum(map(len, faces))
    world = mi.Mesh("world", start, count, has_vertex_normals=True, has_vertex_texcoords=True, props=properties)
    parameters = mi.traverse(world)
    parameters["vertex_positions"] = np.concatenate(vertices).astype(np.float32).ravel()
    parameters["vertex_normals"] = np.concatenate(normals).astype(np.float32).ravel()
    parameters["vertex_texcoords"] = np.concatenate(uvs).astype(np.float32).ravel()
    parameters["faces"] = np.concatenate(faces).astype(np.uint32).ravel()
    parameters.update()
    return world, np.concatenate(materials), np.concatenate(things)


def _rgb(value: np.ndarray) -> dict:
    return {"type": "rgb", "value": [float(v) for v in value]}


def _image(pixels: np.ndarray) -> mi.Bitmap:
    return mi.Bitmap(np.ascontiguousarray(pixels, np.float32))


def _name(emitter: mi.Emitter) -> str:
    """Its name in the scene's description."""
    shape = emitter.get_shape()
    return emitter.id() if shape is None else shape.id()


def _light_shape(light: Light) -> dict:
    black = {"type": "diffuse", "reflectance": _rgb(_NOTHING)}
    radiance = _rgb(light.radiance)
    if isinstance(light, SphereLight):
        emitter = {"type": "area", "radiance": radiance}
        center = [float(v) for v in light.center]
        return {"type": "sphere", "center": center, "radius": float(light.radius), "emitter": emitter, "bsdf": black}
    if light.texture is not None:
        # The rectangle's v runs upwards and bitmap row 0 is v = 0 here.
        pixels = light.texture[::-1] * np.asarray(light.radiance, np.float32)
        radiance = {"type": "bitmap", "bitmap": _image(pixels), "raw": True, "wrap_mode": "clamp"}
    emitter = {"type": "area", "radiance": radiance}
    middle, normal = np.asarray(light.center, np.float64), np.asarray(light.normal, np.float64)
    transform = mi.ScalarTransform4f
    place = transform().look_at(origin=list(middle), target=list(middle + normal), up=list(light.up))
    size = transform().scale([light.width / 2, light.height / 2, 1])
    return {"type": "rectangle", "to_world": place @ size, "emitter": emitter, "bsdf": black}


@cache
def _black_sky() -> mi.Bitmap:
    """As large as all maps are, since kernels depend on its size."""
    width, height = MAP_SIZE
    return _image(np.full((height, width, 3), 1e-12))


def _environment(scene: Scene) -> dict:
    upright = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    if scene.environment is None:
        return {"type": "envmap", "bitmap": _black_sky(), "to_world": upright}
    turned = mi.ScalarTransform4f().rotate([0, 0, 1], float(scene.environment.rotation)) @ upright
    pixels = _image(scene.environment.radiance)
    return {"type": "envmap", "bitmap": pixels, "to_world": turned}


def _sun(sun: Sun | None) -> dict:
    direction, irradiance = (sun.direction, sun.irradiance) if sun is not None else (np.array([0, 0, -1.0]), _NOTHING)
    return {
        "type": "directional",
        "direction": [float(v) for v in direction],
        "irradiance": _rgb(irradiance),
    }


_PLACEHOLDERS: tuple[Light, ...] = (
    RectangleLight(_FAR_BELOW, np.array([0, 0, -1.0]), 0.01, 0.01, _NOTHING, "lamps", np.ones((2, 2, 3), np.float32)),
    RectangleLight(_FAR_BELOW, np.array([0, 0, -1.0]), 0.01, 0.01, _NOTHING, "lamps"),
    *(SphereLight(np.full(3, at), 0.01, _NOTHING, "lamps") for at in (-_FAR, _FAR)),
)


def assemble(scene: Scene) -> AssembledScene:
    """Build the Mitsuba scene. ValueError: no parts, or light groups that do not fit a view."""
    if not scene.parts:
        raise ValueError(f"scene {scene.seed}: found no parts, expected at least one")
    register()
    groups = scene.groups
    world, face_materials, things = _world_mesh(scene)
    places = next(count for count in _LIGHT_COUNTS if count >= len(scene.lights))
    lights = [*scene.lights, *_PLACEHOLDERS, *_PLACEHOLDERS[-1:] * (places - len(scene.lights))]
    in_group = {group: sum(light.group == group for light in scene.lights) for group in groups}
    description = {"type": "scene", "world": world, "environment": _environment(scene), "sun": _sun(scene.sun)}
    # One after the other, placeholders first: kernels depend on which kind of light comes first.
    for index in (*range(len(scene.lights), len(lights)), *range(len(scene.lights))):
        description[f"light{index:03d}"] = _light_shape(lights[index])
    built = mi.load_dict(description, parallel=False)
    pairs, face_surfaces = np.unique(np.stack([face_materials, things], 1), axis=0, return_inverse=True)
    surfaces = (("sky", -1), ("lamp", -1), *((scene.materials[m].kind, int(thing)) for m, thing in pairs.tolist()))
    materials = MaterialTable(scene.materials, face_materials, face_surfaces.ravel() + 2)
    world.bsdf().table = materials

    emitters = {_name(emitter): emitter for emitter in built.emitters()}
    names = [f"light{index:03d}" for index in range(len(lights))]
    table = LightTable(
        [emitters[name] for name in ("sun", "environment", *names)],
        [groups.index(group) if group in groups else 0 for group in ("sun", "sky", *(light.group for light in lights))],
        [
            float(scene.sun is not None),
            float(scene.environment is not None),
            *(1.0 / in_group[light.group] for light in scene.lights),
            *(0.0 for _ in lights[len(scene.lights) :]),
        ],
        [False, False, *(isinstance(light, RectangleLight) and light.portal for light in lights)],
    )
    radius = scene.sun.angular_radius if scene.sun is not None else 0.0
    return AssembledScene(
        built,
        materials,
        table,
        dr.opaque(mi.Float, float(np.tan(np.radians(radius)))),
        WindowSun.of(scene),
        groups,
        things,
        surfaces,
    )


def camera_rays(camera: Camera, x: mi.Float, y: mi.Float, lens: mi.Point2f, width: int, height: int) -> mi.Ray3f:
    """Rays through picture positions (x, y) in pixels, origin at the top left corner. lens: uniform in the unit square."""
    forward, right, up, reach = camera.frame((height, width))

    def vector(value: np.ndarray) -> mi.Vector3f:
        return mi.Vector3f(*(dr.opaque(mi.Float, float(v)) for v in value))

    # Opaque, as a number that differs between cameras would be compiled into a kernel of its own for each of them.
    reach_ = dr.opaque(mi.Float, reach)
    across, down = (x - width / 2) * reach_, (y - height / 2) * reach_
    right_, up_ = vector(right), vector(up)
    disc = mi.warp.square_to_uniform_disk_concentric(lens) * dr.opaque(mi.Float, float(camera.aperture))
    moved = right_ * disc.x + up_ * disc.y
    sharp = dr.opaque(mi.Float, float(camera.focus))
    direction = dr.normalize((vector(forward) + right_ * across - up_ * down) * sharp - moved)
    return mi.Ray3f(mi.Point3f(vector(camera.origin) + moved), direction)
